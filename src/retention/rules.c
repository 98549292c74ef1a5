/*-------------------------------------------------------------------------
 *
 * rules.c
 *	  The retention rules, cached in the backend, and the deadline they give.
 *
 * A deadline is a function of the row's facts and of the rules, at whatever time it
 * is computed. The rule in force when the row was recorded gives the first
 * deadline. Every rule that comes into force while the row still exists may make it
 * earlier, from its date on, or later if the rule allows it. A rule with a future
 * date is already part of every deadline, so nothing has to run on that date.
 *
 * The cache is read with the newest snapshot, never the transaction's own, because
 * an old snapshot could show rules from before the message that invalidated the
 * cache. The triggers of the rule tables send that message.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/refusal.h"
#include "retention/facts.h"
#include "retention/rules.h"
#include "base/run.h"

static MemoryContext rules_memory = NULL;
static FaceRuleSet *rule_sets;
static int	nrule_sets;
static const FaceRuleSet *last_rule_set;	/* the one asked for last: rows of a class come together */
static bool rules_valid = false;
static Oid	rule_relid = InvalidOid;

/* Columns of the query that reads the rules. */
enum
{
	RULE_NAME = 1,
	RULE_CLASS,
	RULE_WHAT,
	RULE_ANCHORS,
	RULE_KEEP,
	RULE_LATEST,
	RULE_FALLBACK_ANCHOR,
	RULE_FALLBACK_KEEP,
	RULE_VALID_FROM,
	RULE_VALID_TO,
	RULE_FOLLOWS,
	RULE_LENGTHENS,
	RULE_XMIN,
	RULE_CMIN
};

static void
forget_rule_sets(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == rule_relid)
		rules_valid = false;
}

/* This transaction has changed the rules; others learn of it when it commits. */
void
face_forget_rules(void)
{
	rules_valid = false;
	CacheInvalidateRelcacheByRelid(face_table("retention_rule"));
}

static Datum
field(HeapTuple row, int column, bool *isnull)
{
	return SPI_getbinval(row, SPI_tuptable->tupdesc, column, isnull);
}

static char *
text_field(HeapTuple row, int column)
{
	char	   *value = SPI_getvalue(row, SPI_tuptable->tupdesc, column);

	return value == NULL ? NULL : MemoryContextStrdup(rules_memory, value);
}

static TimestampTz
time_field(HeapTuple row, int column)
{
	bool		isnull;
	Datum		value = field(row, column, &isnull);

	return isnull ? DT_NOEND : DatumGetTimestampTz(value);
}

static bool
flag_field(HeapTuple row, int column)
{
	bool		isnull;

	return DatumGetBool(field(row, column, &isnull));
}

static void
set_term(FaceTerm *term, char *anchor, const Interval *keep)
{
	term->anchor = anchor;
	term->keep = *keep;
	if (strcmp(anchor, "recorded") == 0)
		term->kind = FACE_ANCHOR_RECORDED;
	else if (strcmp(anchor, "verification") == 0)
		term->kind = FACE_ANCHOR_VERIFICATION;
	else if (strcmp(anchor, "gallery_anchor") == 0)
		term->kind = FACE_ANCHOR_GALLERY;
	else
		term->kind = FACE_ANCHOR_EVENT;
}

static void
read_terms(FaceRule *rule, HeapTuple row)
{
	bool		isnull;
	ArrayType  *anchors = DatumGetArrayTypeP(field(row, RULE_ANCHORS, &isnull));
	ArrayType  *keeps = DatumGetArrayTypeP(field(row, RULE_KEEP, &isnull));
	Datum	   *names;
	Datum	   *intervals;
	int			nintervals;

	deconstruct_array(anchors, TEXTOID, -1, false, TYPALIGN_INT, &names, NULL, &rule->nterms);
	deconstruct_array(keeps, INTERVALOID, sizeof(Interval), false, TYPALIGN_DOUBLE, &intervals, NULL, &nintervals);
	if (nintervals != rule->nterms)
		elog(ERROR, "retention rule has %d anchors and %d intervals", rule->nterms, nintervals);
	rule->terms = MemoryContextAlloc(rules_memory, sizeof(FaceTerm) * Max(rule->nterms, 1));
	for (int i = 0; i < rule->nterms; i++)
		set_term(&rule->terms[i], MemoryContextStrdup(rules_memory, TextDatumGetCString(names[i])),
				 DatumGetIntervalP(intervals[i]));
}

static void
read_rule(FaceRule *rule, HeapTuple row)
{
	bool		isnull;
	char	   *anchor = text_field(row, RULE_FALLBACK_ANCHOR);

	rule->name = text_field(row, RULE_NAME);
	rule->class = text_field(row, RULE_CLASS);
	rule->what = text_field(row, RULE_WHAT);
	rule->valid_from = time_field(row, RULE_VALID_FROM);
	rule->valid_to = time_field(row, RULE_VALID_TO);
	rule->latest = flag_field(row, RULE_LATEST);
	rule->follows_anchor = flag_field(row, RULE_FOLLOWS);
	rule->lengthens = flag_field(row, RULE_LENGTHENS);
	rule->written_by.xid = DatumGetTransactionId(field(row, RULE_XMIN, &isnull));
	rule->written_by.cid = DatumGetCommandId(field(row, RULE_CMIN, &isnull));
	rule->has_fallback = anchor != NULL;
	if (anchor != NULL)
		set_term(&rule->fallback, anchor, DatumGetIntervalP(field(row, RULE_FALLBACK_KEEP, &isnull)));
	read_terms(rule, row);
}

/* Rules come sorted by what, class, valid_from: each run of them is a rule set. */
static void
group_rules(FaceRule *rules, int nrules)
{
	rule_sets = MemoryContextAlloc(rules_memory, sizeof(FaceRuleSet) * Max(nrules, 1));
	nrule_sets = 0;
	for (int i = 0; i < nrules; i++)
	{
		FaceRuleSet *last = nrule_sets > 0 ? &rule_sets[nrule_sets - 1] : NULL;

		if (last == NULL || strcmp(last->what, rules[i].what) != 0 || strcmp(last->class, rules[i].class) != 0)
		{
			last = &rule_sets[nrule_sets++];
			last->what = rules[i].what;
			last->class = rules[i].class;
			last->rules = &rules[i];
			last->nrules = 0;
		}
		last->nrules++;
	}
}

static void
load_rules(void)
{
	static FacePlan read = {
		"SELECT r.name, r.retention_class, r.what, r.anchors, r.keep, r.take OPERATOR(pg_catalog.=) 'latest',"
		" r.fallback_anchor, r.fallback_keep, r.valid_from, r.valid_to, r.follows_anchor, r.lengthens, r.xmin, r.cmin"
		" FROM facematch.retention_rule r"
		" ORDER BY r.what COLLATE pg_catalog.\"C\", r.retention_class COLLATE pg_catalog.\"C\", r.valid_from,"
		" r.name COLLATE pg_catalog.\"C\"", 0, {0}, NULL
	};
	FaceRule   *rules;

	rule_relid = face_table("retention_rule");
	if (rules_memory == NULL)
	{
		rules_memory = AllocSetContextCreate(TopMemoryContext, "facematch retention rules", ALLOCSET_SMALL_SIZES);
		CacheRegisterRelcacheCallback(forget_rule_sets, (Datum) 0);
	}
	MemoryContextReset(rules_memory);
	nrule_sets = 0;
	last_rule_set = NULL;

	/* A message that arrives while the rules are read makes them stale again. */
	rules_valid = true;
	PG_TRY();
	{
		SPI_connect();
		face_run_plan(&read, NULL, face_owner(rule_relid));
		rules = MemoryContextAlloc(rules_memory, sizeof(FaceRule) * Max(SPI_processed, 1));
		for (uint64 i = 0; i < SPI_processed; i++)
			read_rule(&rules[i], SPI_tuptable->vals[i]);
		group_rules(rules, (int) SPI_processed);
		SPI_finish();
	}
	PG_CATCH();
	{
		rules_valid = false;
		nrule_sets = 0;
		PG_RE_THROW();
	}
	PG_END_TRY();
}

static bool
is_text(const char *name, const text *value)
{
	size_t		length = VARSIZE_ANY_EXHDR(value);

	return strlen(name) == length && memcmp(name, VARDATA_ANY(value), length) == 0;
}

static bool
is_rule_set_of(const FaceRuleSet *set, const char *what, const text *class)
{
	return is_text(set->class, class) && strcmp(set->what, what) == 0;
}

/* The rules of a class for a kind of row, or NULL.  Good until the next statement. */
const FaceRuleSet *
face_rule_set(const char *what, const text *class)
{
	if (!rules_valid)
		load_rules();
	if (last_rule_set != NULL && is_rule_set_of(last_rule_set, what, class))
		return last_rule_set;
	for (int i = 0; i < nrule_sets; i++)
	{
		if (is_rule_set_of(&rule_sets[i], what, class))
			return last_rule_set = &rule_sets[i];
	}
	return NULL;
}

/* Whether any rule counts from this event of a subject. */
bool
face_event_matters(const char *event)
{
	if (!rules_valid)
		load_rules();
	for (int i = 0; i < nrule_sets; i++)
	{
		for (int j = 0; j < rule_sets[i].nrules; j++)
		{
			const FaceRule *rule = &rule_sets[i].rules[j];

			if (rule->has_fallback && strcmp(rule->fallback.anchor, event) == 0)
				return true;
			for (int k = 0; k < rule->nterms; k++)
			{
				if (strcmp(rule->terms[k].anchor, event) == 0)
					return true;
			}
		}
	}
	return false;
}

/*
 * What a row and its gallery (NULL: none) say; times that are not known are DT_NOEND.
 * A time in the future would be a deadline of one's own choice.  An anchor of the
 * row's own takes the place of the gallery's, and never the place of its deadline.
 */
FaceFacts
face_facts(TimestampTz recorded, TimestampTz verified, TimestampTz anchor, const FaceGallery *gallery, const pg_uuid_t *subject,
		   TimestampTz now)
{
	FaceFacts	facts = {.recorded = Min(recorded, now), .verified = verified, .anchor = anchor, .ceiling = DT_NOEND, .subject = subject};

	if (!TIMESTAMP_IS_NOEND(verified))
		facts.verified = Min(verified, now);
	if (gallery != NULL)
	{
		if (TIMESTAMP_IS_NOEND(anchor))
			facts.anchor = gallery->anchor;
		facts.ceiling = gallery->purge_after;
	}
	return facts;
}

static TimestampTz
anchor_time(const FaceTerm *term, const FaceFacts *facts)
{
	switch (term->kind)
	{
		case FACE_ANCHOR_RECORDED:
			return facts->recorded;
		case FACE_ANCHOR_VERIFICATION:
			return facts->verified;
		case FACE_ANCHOR_GALLERY:
			return facts->anchor;
		case FACE_ANCHOR_EVENT:
			break;
	}
	if (facts->subject == NULL)
		return DT_NOEND;
	if (facts->event != NULL && strcmp(facts->event, term->anchor) == 0)
		return facts->event_at;
	return face_anchor_event(facts->subject, term->anchor, 0);
}

static bool
add_fixed(TimestampTz start, const Interval *keep, TimestampTz *sum)
{
	int64		days;

	return !pg_mul_s64_overflow(keep->day, USECS_PER_DAY, &days) && !pg_add_s64_overflow(start, days, sum) &&
		!pg_add_s64_overflow(*sum, keep->time, sum) && IS_VALID_TIMESTAMP(*sum);
}

/* Counted in UTC: a day is 24 hours, so that a deadline does not depend on who computes it.  What leaves the range is an error, on every version. */
static TimestampTz
add_interval(TimestampTz start, const Interval *keep)
{
	Interval	months = {.month = keep->month};
	TimestampTz sum;

	if (TIMESTAMP_NOT_FINITE(start))
		return start;
	/* Only months need a calendar. */
	if (keep->month != 0)
		start = DatumGetTimestamp(DirectFunctionCall2(timestamp_pl_interval, TimestampGetDatum(start), IntervalPGetDatum(&months)));
	if (!add_fixed(start, keep, &sum))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_FIELD_OVERFLOW), face_refusal("deadline_is_a_timestamp"),
				 errmsg("a retention period leads past the last timestamp"),
				 errhint("Give the rule a finite period in facematch.retention_rule; 'infinity' is not a period.")));
	return sum;
}

static void
take_term(FaceDue *due, const FaceTerm *term, TimestampTz anchor_at, TimestampTz at)
{
	due->due = at;
	due->term = term;
	due->anchor_at = anchor_at;
}

/* The deadline that one rule gives. */
static FaceDue
rule_due(const FaceRule *rule, const FaceFacts *facts)
{
	FaceDue		due = {.due = DT_NOEND, .rule = rule};
	int			known = 0;

	for (int i = 0; i < rule->nterms; i++)
	{
		TimestampTz anchor_at = anchor_time(&rule->terms[i], facts);
		TimestampTz at = add_interval(anchor_at, &rule->terms[i].keep);

		if (TIMESTAMP_IS_NOEND(anchor_at))
			continue;
		if (known == 0 || (rule->latest ? at > due.due : at < due.due))
			take_term(&due, &rule->terms[i], anchor_at, at);
		known++;
	}

	/* The latest of several is known when all of them are. */
	if ((known == 0 || (rule->latest && known < rule->nterms)) && rule->has_fallback)
	{
		TimestampTz anchor_at = anchor_time(&rule->fallback, facts);

		if (TIMESTAMP_IS_NOEND(anchor_at))
			return (FaceDue) {.due = DT_NOEND, .rule = rule};
		take_term(&due, &rule->fallback, anchor_at, add_interval(anchor_at, &rule->fallback.keep));
	}
	return due;
}

/* Whether a rule is to be left out. */
static bool
is_without(const FaceRule *rule, const FaceCommand *without)
{
	return without != NULL && rule->written_by.xid == without->xid && rule->written_by.cid == without->cid;
}

/* The rule in force when the row was recorded: of several the newest, and before all of them the first. */
static int
first_rule(const FaceRuleSet *set, TimestampTz recorded, const FaceCommand *without)
{
	int			found = -1;

	for (int i = 0; i < set->nrules; i++)
	{
		const FaceRule *rule = &set->rules[i];

		if (is_without(rule, without))
			continue;
		if (rule->valid_from <= recorded && recorded < rule->valid_to)
			found = i;
		else if (rule->valid_from > recorded)
			return found >= 0 ? found : i;
	}
	return found;
}

/*
 * The deadline of a row; "without" is a command whose rules are left out, or
 * NULL.  Where there is no rule, due.rule is NULL.
 */
FaceDue
face_due(const FaceRuleSet *set, const FaceFacts *facts, const FaceCommand *without)
{
	FaceDue		due = {.due = DT_NOEND};
	int			first = set == NULL ? -1 : first_rule(set, facts->recorded, without);

	if (first < 0)
		return due;
	due = rule_due(&set->rules[first], facts);
	for (int i = first + 1; i < set->nrules && set->rules[i].valid_from < due.due; i++)
	{
		const FaceRule *rule = &set->rules[i];
		FaceDue		then;

		if (rule->valid_from <= facts->recorded || is_without(rule, without))
			continue;
		then = rule_due(rule, facts);
		then.due = Max(then.due, rule->valid_from);
		then.lengthened = due.lengthened;
		if (then.due < due.due)
			due = then;
		else if (then.due > due.due && rule->lengthens)
		{
			due = then;
			due.lengthened = true;
		}
	}
	if (facts->ceiling < due.due)
	{
		due.due = facts->ceiling;
		due.capped = true;
	}
	return due;
}
