/*-------------------------------------------------------------------------
 *
 * account.c
 *	  What every search leaves behind, and how often one may search.
 *
 * Each search is a row of facematch.search: who, when, gallery, purpose, how
 * many candidates, whether it was refused; no probe and no score.  It stays whatever becomes of the
 * transaction (base/surviving.c).
 *
 * A score tells how near a probe is to a template; enough of them tell the
 * template.  So a role that may not read templates sees the strength of a
 * match instead of its score, and may come near the same person only so often: each search
 * that reaches a similarity of at most FACE_NEAR below the threshold with one of
 * a person's references is an attempt, a hit or a miss, and is a row of
 * facematch_internal.attempt.  A role has a number of them a day and person, and
 * all roles together a number a week and person, of which a part may be misses
 * that were close.  An attempt is counted and recorded under a lock that is
 * released at once, before anything is told.  Whether a search is refused does
 * not depend on its own score: a refusal tells nothing.
 *
 * The order of candidates tells scores too: whoever may stage templates puts
 * some of known scores beside a person's.  So a search that tells several of one
 * strength is worth more attempts on each of them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>
#include <math.h>

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "base/refusal.h"
#include "base/run.h"
#include "base/surviving.h"
#include "gallery/staging.h"
#include "matching/account.h"
#include "retention/person.h"
#include "retention/rules.h"

PG_FUNCTION_INFO_V1(facematch_record_search);
PG_FUNCTION_INFO_V1(facematch_shown_similarity);
PG_FUNCTION_INFO_V1(facematch_asked_threshold);
PG_FUNCTION_INFO_V1(facematch_reads_templates);

#define DAY					USECS_PER_DAY
#define WEEK				(7 * USECS_PER_DAY)

/* A traveler who fails at a gate tries again a few times; the officer's look at the document follows. */
#define ATTEMPTS_A_DAY		10
/* A frequent crosser: four crossings a day, of which some take a second try. */
#define ATTEMPTS_A_WEEK		40

/* One in so many of a week's attempts may be a miss this close.  Hits tell little, misses among them much. */
#define MISSES_OF_ATTEMPTS	5
#define CLOSE_MISS			0.1

/* What a search is worth at most that tells several of one strength. */
#define MOST_ATTEMPTS		4

/* Purposes are words for an inspector; nothing this short holds a template. */
#define LONGEST_PURPOSE		100

static bool account_searches = true;
static int	attempts_a_day = ATTEMPTS_A_DAY;
static int	attempts_a_week = ATTEMPTS_A_WEEK;
static char *purpose_setting = NULL;

/* Whether this search is to be written down; an error where it is and cannot be. */
bool
face_is_accounted(void)
{
	if (!account_searches)
		return false;
	if (!RecoveryInProgress())
		return true;
	if (!face_reads_templates())
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION), face_refusal("search_is_accounted"),
				 errmsg("a search on a standby cannot be accounted for"),
				 errdetail("Every search leaves a row in facematch.search, and a standby writes none."),
				 errhint("Search on the primary, or as a role that may read templates.")));
	return false;
}

/* The purpose as it is recorded: the argument, else the setting; NULL: none. */
const char *
face_checked_purpose(const char *purpose, bool required, const char *gallery)
{
	if (purpose == NULL && purpose_setting != NULL && purpose_setting[0] != '\0')
		purpose = purpose_setting;
	if (purpose == NULL)
	{
		if (required)
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), face_refusal("search_has_a_purpose"),
					 errmsg("a search of gallery \"%s\" needs a purpose", gallery),
					 errhint("Give it as the argument \"purpose\", or SET facematch.purpose.")));
		return NULL;
	}
	if (strlen(purpose) > LONGEST_PURPOSE)
		ereport(ERROR,
				(errcode(ERRCODE_STRING_DATA_RIGHT_TRUNCATION), face_refusal("search_purpose_length"),
				 errmsg("the purpose of a search is longer than %d bytes", LONGEST_PURPOSE),
				 errhint("Name the purpose in a few words.")));
	return purpose;
}

/*
 * When a row of a kind that is written now has to go.  At the beginning of a
 * day, so that rows go a day's worth at a time; earlier than the rule says, never later.
 */
static TimestampTz
due(const char *what)
{
	FaceFacts	facts = {.recorded = GetCurrentTimestamp(),.verified = DT_NOEND,.anchor = DT_NOEND,.ceiling = DT_NOEND};
	FaceDue		found = face_due(face_rule_set(what, cstring_to_text("search")), &facts, NULL);

	if (found.rule == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FOREIGN_KEY_VIOLATION), face_refusal("retention_rule_is_in_force"),
				 errmsg("no retention rule is in force for class \"search\" and %s", what),
				 errdetail("Nothing is kept without a deadline."),
				 errhint("facematch.retention_rule has the rules.")));
	if (!TIMESTAMP_NOT_FINITE(found.due) && found.due - found.due % DAY > facts.recorded)
		return found.due - found.due % DAY;
	return found.due;
}

static Datum
new_id(void)
{
	pg_uuid_t  *id = palloc(sizeof(pg_uuid_t));

	if (!pg_strong_random(id->data, UUID_LEN))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random values")));
	return UUIDPGetDatum(id);
}

/* Columns of facematch.search, as sql/matching/searches.sql has them. */
enum
{
	SEARCH_ID, SEARCH_AT, SEARCH_ROLE, SEARCH_KIND, SEARCH_GALLERY, SEARCH_PURPOSE, SEARCH_CANDIDATES, SEARCH_NEAR, SEARCH_REFUSED,
	SEARCH_CLASS, SEARCH_PURGE_AFTER,
	SEARCH_COLUMNS
};

void
face_record_search(const FaceAsked *search)
{
	Datum		values[SEARCH_COLUMNS];
	bool		isnull[SEARCH_COLUMNS] = {false};

	values[SEARCH_ID] = new_id();
	values[SEARCH_AT] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[SEARCH_ROLE] = CStringGetTextDatum(search->asker);
	values[SEARCH_KIND] = CStringGetTextDatum(search->kind);
	values[SEARCH_GALLERY] = Int64GetDatum(search->gallery_id);
	isnull[SEARCH_GALLERY] = search->gallery_id == 0;
	isnull[SEARCH_PURPOSE] = search->purpose == NULL;
	values[SEARCH_PURPOSE] = isnull[SEARCH_PURPOSE] ? (Datum) 0 : CStringGetTextDatum(search->purpose);
	values[SEARCH_CANDIDATES] = Int32GetDatum(search->candidates);
	values[SEARCH_NEAR] = Int32GetDatum(search->near);
	values[SEARCH_REFUSED] = BoolGetDatum(search->refused);
	values[SEARCH_CLASS] = CStringGetTextDatum("search");
	values[SEARCH_PURGE_AFTER] = TimestampTzGetDatum(due("search"));
	face_insert_surviving(face_table("search"), values, isnull);
}

/*--------------------------------------------------------- attempts */

/* Columns of facematch_internal.attempt. */
enum
{
	ATTEMPT_ID, ATTEMPT_AT, ATTEMPT_ROLE, ATTEMPT_SUBJECT, ATTEMPT_MISSED, ATTEMPT_CLASS, ATTEMPT_PURGE_AFTER,
	ATTEMPT_COLUMNS
};

typedef struct Count
{
	const char *asker;
	TimestampTz now;
	int			today;			/* of this asker */
	int			week;			/* of all */
	int			misses;			/* of these */
	TimestampTz first_today;
	TimestampTz first_this_week;
	TimestampTz first_miss;
} Count;

/* Counts a row of an index scan, and goes on. */
static bool
count_attempt(TupleTableSlot *row, void *state)
{
	Count	   *count = state;
	bool		isnull;
	TimestampTz at = DatumGetTimestampTz(slot_getattr(row, ATTEMPT_AT + 1, &isnull));
	text	   *role = DatumGetTextPP(slot_getattr(row, ATTEMPT_ROLE + 1, &isnull));
	size_t		length = strlen(count->asker);

	if (at > count->now - WEEK)
	{
		count->week++;
		count->first_this_week = Min(count->first_this_week, at);
		if (DatumGetBool(slot_getattr(row, ATTEMPT_MISSED + 1, &isnull)))
		{
			count->misses++;
			count->first_miss = Min(count->first_miss, at);
		}
	}
	if (at > count->now - DAY && VARSIZE_ANY_EXHDR(role) == length && memcmp(VARDATA_ANY(role), count->asker, length) == 0)
	{
		count->today++;
		count->first_today = Min(count->first_today, at);
	}
	return false;
}

static void
record_attempt(const FaceAsked *search, const FaceNear *near)
{
	Datum		values[ATTEMPT_COLUMNS];
	bool		isnull[ATTEMPT_COLUMNS] = {false};

	values[ATTEMPT_AT] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[ATTEMPT_ROLE] = CStringGetTextDatum(search->asker);
	values[ATTEMPT_SUBJECT] = UUIDPGetDatum(&near->subject);
	values[ATTEMPT_MISSED] = BoolGetDatum(near->missed);
	values[ATTEMPT_CLASS] = CStringGetTextDatum("search");
	values[ATTEMPT_PURGE_AFTER] = TimestampTzGetDatum(due("attempt"));
	for (int i = 0; i < near->attempts; i++)
	{
		values[ATTEMPT_ID] = new_id();
		face_insert_surviving(face_table("attempt"), values, isnull);
	}
}

/* When the next attempt is accepted; 0: now. */
static TimestampTz
next_attempt(const FaceAsked *search, Oid attempt, const pg_uuid_t *person)
{
	static const char *const by_subject[] = {"subject_id"};
	Count		count = {.asker = search->asker,.now = GetCurrentTimestamp(),.first_today = DT_NOEND,.first_this_week = DT_NOEND,
	.first_miss = DT_NOEND};
	Oid			index = face_index_on(attempt, 1, by_subject);
	ListCell   *cell;

	foreach(cell, face_aliases(person))
	{
		ScanKeyData key;

		ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(lfirst(cell)));
		(void) face_find_row(attempt, index, 1, &key, count_attempt, &count);
	}
	if (count.week >= attempts_a_week)
		return count.first_this_week + WEEK;
	if (count.misses >= Max(attempts_a_week / MISSES_OF_ATTEMPTS, 1))
		return count.first_miss + WEEK;
	return count.today >= attempts_a_day ? count.first_today + DAY : 0;
}

static void
refuse(TimestampTz next)
{
	ereport(ERROR,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED), face_refusal("subject_attempts_are_left"),
			 errmsg("too many searches have come near one person"),
			 errdetail("A role may come near one person %d times a day, and all roles together %d times a week, of which %d may be close misses.",
					   attempts_a_day, attempts_a_week, Max(attempts_a_week / MISSES_OF_ATTEMPTS, 1)),
			 errhint("Look at the document. The next search for this person is accepted after %s.", timestamptz_to_str(next))));
}

/* Records that a search has come near these persons, as far as that was not too often already; 0, or when it is accepted again. */
static TimestampTz
record_attempts(const FaceAsked *search, const FaceNear *near, int count)
{
	Oid			attempt = face_table("attempt");

	for (int i = 0; i < count; i++)
	{
		pg_uuid_t	person = face_person(&near[i].subject);
		Oid			part = (Oid) (hash_bytes(person.data, UUID_LEN) | 1);
		TimestampTz next;

		/* Sessions that search at once must not all find room for one more. */
		LockDatabaseObject(attempt, part, 0, ExclusiveLock);
		next = next_attempt(search, attempt, &near[i].subject);
		if (next == 0)
			record_attempt(search, &near[i]);
		UnlockDatabaseObject(attempt, part, 0, ExclusiveLock);
		if (next != 0)
			return next;
	}
	return 0;
}

/* The attempts of a search by who is limited, and its row; refuses what came near somebody too often. */
void
face_account_for(FaceAsked *search, const FaceNear *near, int count, bool limited)
{
	TimestampTz next = limited ? record_attempts(search, near, count) : 0;

	search->near = count;
	search->refused = next != 0;
	face_record_search(search);
	if (next != 0)
		refuse(next);
}

/*
 * How strong a match is: 0 is none, 1 reaches the threshold, 2 halfway from there
 * to 1, 3 halfway from there, and so on.  "least" becomes what it reaches.
 */
static int
strength(double similarity, double threshold, double *least)
{
	int			steps = 0;
	double		next = threshold;

	*least = -1.0;
	while (similarity >= next && next > *least)
	{
		*least = next;
		next = (next + 1.0) / 2.0;
		steps++;
	}
	return steps;
}

int
face_strength(double similarity, double threshold)
{
	double		least;

	return Min(strength(similarity, threshold, &least), FACE_STRENGTHS - 1);
}

/* A score as a role sees it that may not read templates: the least of its strength. */
double
face_shown_similarity(double similarity, double threshold)
{
	double		least;

	(void) strength(similarity, threshold, &least);
	return least;
}

/* A threshold that such a role asks for: the own one or that of a stronger match, or bisecting would tell the score. */
double
face_asked_threshold(double asked, double own)
{
	double		least;

	(void) strength(asked, own, &least);
	return asked > least && asked > own ? (least + 1.0) / 2.0 : asked;
}

/* A person whom a search came near that tells nobody else. */
FaceNear
face_near(const pg_uuid_t *subject, double similarity, double threshold)
{
	FaceNear	near = {*subject, similarity < threshold && similarity >= threshold - CLOSE_MISS, 1};

	return near;
}

/* How many attempts a search is worth on each of so many of one strength. */
int
face_attempts(int alike)
{
	return Min(Max(alike, 1), MOST_ATTEMPTS);
}

/* The persons of two arrays: who they are, and how far above the threshold; how many. */
static FaceNear *
argument_near(ArrayType *subjects, ArrayType *above, int *count)
{
	Datum	   *subject;
	Datum	   *margin;
	int			margins;
	int			hits = 0;
	FaceNear   *near;

	if (array_contains_nulls(subjects) || array_contains_nulls(above))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), face_refusal("search_names_persons"),
				 errmsg("a person whom a search came near is NULL")));
	deconstruct_array(subjects, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR, &subject, NULL, count);
	deconstruct_array(above, FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &margin, NULL, &margins);
	if (margins != *count)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR), face_refusal("search_names_scores"),
				 errmsg("%d persons, but %d scores", *count, margins)));
	near = palloc(sizeof(FaceNear) * Max(*count, 1));
	for (int i = 0; i < *count; i++)
		hits += DatumGetFloat8(margin[i]) >= 0.0;
	for (int i = 0; i < *count; i++)
	{
		near[i] = face_near(DatumGetUUIDP(subject[i]), DatumGetFloat8(margin[i]), 0.0);
		if (DatumGetFloat8(margin[i]) >= 0.0)
			near[i].attempts = face_attempts(hits);
	}
	return near;
}

/* record_search(kind, asker, gallery_id, candidates, near uuid[], above double precision[]) */
Datum
facematch_record_search(PG_FUNCTION_ARGS)
{
	FaceAsked	asked = {0};
	FaceNear   *near;
	int			count;

	for (int i = 0; i < PG_NARGS(); i++)
	{
		if (PG_ARGISNULL(i) && i != 2)
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), face_refusal("search_is_whole"),
					 errmsg("argument %d of record_search() is NULL", i + 1)));
	}
	if (!face_is_accounted())
		PG_RETURN_VOID();
	asked.kind = text_to_cstring(PG_GETARG_TEXT_PP(0));
	asked.asker = text_to_cstring(PG_GETARG_TEXT_PP(1));
	asked.gallery_id = PG_ARGISNULL(2) ? 0 : PG_GETARG_INT64(2);
	asked.candidates = PG_GETARG_INT32(3);
	asked.purpose = face_checked_purpose(NULL, false, NULL);
	near = argument_near(PG_GETARG_ARRAYTYPE_P(4), PG_GETARG_ARRAYTYPE_P(5), &count);
	face_account_for(&asked, near, count, true);
	PG_RETURN_VOID();
}

/* shown_similarity(similarity, threshold) */
Datum
facematch_shown_similarity(PG_FUNCTION_ARGS)
{
	if (face_reads_templates())
		PG_RETURN_FLOAT8(PG_GETARG_FLOAT8(0));
	PG_RETURN_FLOAT8(face_shown_similarity(PG_GETARG_FLOAT8(0), PG_GETARG_FLOAT8(1)));
}

/* asked_threshold(asked, own) */
Datum
facematch_asked_threshold(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(face_asked_threshold(PG_GETARG_FLOAT8(0), PG_GETARG_FLOAT8(1)));
}

/* reads_templates() */
Datum
facematch_reads_templates(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(face_reads_templates());
}

void
face_account_init(void)
{
	DefineCustomBoolVariable("facematch.account_searches",
							 "Whether every search leaves a row in facematch.search, and attempts on a person are limited.",
							 "Off, nobody learns who searched for what. The health check says so.",
							 &account_searches,
							 true,
							 PGC_SUSET,
							 0,
							 NULL,
							 NULL,
							 NULL);
	DefineCustomIntVariable("facematch.attempts_per_day",
							"How many searches of one role may come near one person in a day.",
							"Near is a similarity of at most 0.15 below the threshold, hits and misses alike. Roles that may read templates have no limit.",
							&attempts_a_day,
							ATTEMPTS_A_DAY,
							1, INT_MAX,
							PGC_SUSET,
							0,
							NULL,
							NULL,
							NULL);
	DefineCustomIntVariable("facematch.attempts_per_week",
							"How many searches of all roles together may come near one person in a week.",
							NULL,
							&attempts_a_week,
							ATTEMPTS_A_WEEK,
							1, INT_MAX,
							PGC_SUSET,
							0,
							NULL,
							NULL,
							NULL);
	DefineCustomStringVariable("facematch.purpose",
							   "What this session searches for, as facematch.search records it.",
							   "The argument purpose of a search takes its place.",
							   &purpose_setting,
							   "",
							   PGC_USERSET,
							   0,
							   NULL,
							   NULL,
							   NULL);
}
