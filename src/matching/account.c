/*-------------------------------------------------------------------------
 *
 * account.c
 *	  The row that every search leaves, and how often a role may search.
 *
 * Each search is a row of facematch.search: who, when, gallery, purpose, how many
 * candidates, whether it was refused; no probe and no score. It stays even if the
 * transaction fails (base/surviving.c).
 *
 * A score tells how near a probe is to a template, and from enough scores the
 * template can be computed. So a role that may not read templates sees the strength
 * of a match instead of its score, and may come near the same person only a limited
 * number of times (attempts.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "base/gate.h"
#include "base/refusal.h"
#include "base/run.h"
#include "base/surviving.h"
#include "gallery/staging.h"
#include "keys/cipher.h"
#include "matching/account.h"
#include "retention/rules.h"

PG_FUNCTION_INFO_V1(facematch_shown_similarity);
PG_FUNCTION_INFO_V1(facematch_asked_threshold);
PG_FUNCTION_INFO_V1(facematch_near_margin);

/* Purposes are words for an inspector; nothing this short holds a template. */
#define LONGEST_PURPOSE		100

static bool account_searches = true;
static char *purpose_setting = NULL;

/* Whether this search is to be written down; an error where it is and cannot be. */
bool
face_is_accounted(void)
{
	/* Where the library was loaded by this very call, nobody has looked at it before. */
	if (face_is_tables_code())
		face_refuse_tables_code("identify");
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

/* Of no purpose, "" and " " say as much as NULL. */
static bool
is_blank(const char *purpose)
{
	return purpose == NULL || purpose[strspn(purpose, " \t\n\v\f\r")] == '\0';
}

/* The purpose as it is recorded: the argument, else the setting; NULL: none. */
const char *
face_checked_purpose(const char *purpose, bool required, const char *gallery)
{
	if (is_blank(purpose))
		purpose = purpose_setting;
	if (is_blank(purpose))
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
TimestampTz
face_search_due(const char *what)
{
	FaceFacts	facts = {.recorded = GetCurrentTimestamp(),.verified = DT_NOEND,.anchor = DT_NOEND,.ceiling = DT_NOEND};
	FaceDue		found = face_due(face_rule_set(what, cstring_to_text("search")), &facts, NULL);

	if (found.rule == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FOREIGN_KEY_VIOLATION), face_refusal("retention_rule_is_in_force"),
				 errmsg("no retention rule is in force for class \"search\" and %s", what),
				 errdetail("Nothing is kept without a deadline."),
				 errhint("facematch.retention_rule has the rules.")));
	if (!TIMESTAMP_NOT_FINITE(found.due) && found.due - found.due % USECS_PER_DAY > facts.recorded)
		return found.due - found.due % USECS_PER_DAY;
	return found.due;
}

Datum
face_random_id(void)
{
	pg_uuid_t  *id = palloc(sizeof(pg_uuid_t));

	face_draw_bytes(id, sizeof(*id));
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

	values[SEARCH_ID] = face_random_id();
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
	values[SEARCH_PURGE_AFTER] = TimestampTzGetDatum(face_search_due("search"));
	face_insert_surviving(face_table("search"), values, isnull, SEARCH_COLUMNS);
	face_tell_wal_writer();
}

/*
 * The attempts of a search by limited roles, and its row; refuses what came near
 * somebody too often, and what found nobody where somebody is withheld.
 */
void
face_account_for(FaceAsked *search, const FaceNear *near, int count, bool limited)
{
	TimestampTz next = limited ? face_record_attempts(search->asker, near, count) : 0;

	if (next == 0 && search->candidates == 0)
		next = search->withheld_until;
	search->near = count;
	search->refused = next != 0;
	face_record_search(search);
	if (next != 0)
		face_refuse_attempt(next);
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

/* near_margin() */
Datum
facematch_near_margin(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(face_reads_templates() ? 0.0 : FACE_NEAR);
}

/* Where it is set, so that no search compares first and is refused then; the library may come after the value. */
static bool
check_purpose(char **value, void **extra, GucSource source)
{
	if (*value == NULL)
		return true;
	if (is_blank(*value))
		(*value)[0] = '\0';
	if (strlen(*value) <= LONGEST_PURPOSE)
		return true;
	GUC_check_errcode(ERRCODE_STRING_DATA_RIGHT_TRUNCATION);
	GUC_check_errmsg("the purpose of a search is longer than %d bytes", LONGEST_PURPOSE);
	GUC_check_errhint("Name the purpose in a few words.");
	return false;
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
							 NULL, NULL, NULL);
	face_attempts_init();
	DefineCustomStringVariable("facematch.purpose",
							   "What this session searches for, as facematch.search records it.",
							   "The argument purpose of a search takes its place. record_encounter() records \"encounter\" without it, also"
							   " where the gallery requires a purpose.",
							   &purpose_setting,
							   "",
							   PGC_USERSET,
							   0,
							   check_purpose,
							   NULL,
							   NULL);
}
