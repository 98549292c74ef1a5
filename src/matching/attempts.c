/*-------------------------------------------------------------------------
 *
 * attempts.c
 *	  How often searches may come near one person.
 *
 * Answers about one person tell that person's template, if there are enough of
 * them.  Each search by a role that may not read templates that reaches a similarity of at most
 * FACE_NEAR below the threshold with one of a person's references is an attempt,
 * a hit or a miss, and is a row of facematch_internal.attempt.  A role has a number
 * of them a day and person, and all roles together a number a week and person, of
 * which a part may be misses that were close.  An attempt is counted and recorded
 * under a lock that is released at once, before anything is told.
 *
 * When none is left, a search that comes near is refused, whether a hit or a
 * miss.  That it came near shows by the refusal, and so a refusal is an attempt
 * too.  After so many more the person is withheld until the week has room again:
 * compared with nobody, so that no answer depends on that person's template.  A
 * search that finds nobody else is refused then, as far as the person is in the
 * gallery, near or not.  Verification names the person, so it is refused
 * without a comparison as soon as no attempt is left.
 *
 * The order of candidates tells scores too: whoever may stage templates puts
 * some of known scores beside a person's.  So a search that tells several of one
 * strength is worth more attempts on each of them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "access/stratnum.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"

#include "base/refusal.h"
#include "base/run.h"
#include "base/surviving.h"
#include "gallery/staging.h"
#include "matching/account.h"
#include "matching/attempts.h"
#include "retention/person.h"

PG_FUNCTION_INFO_V1(facematch_withheld);

#define DAY					USECS_PER_DAY
#define WEEK				(7 * USECS_PER_DAY)

/* A traveler who fails at a gate tries again a few times; the officer's look at the document follows. */
#define ATTEMPTS_A_DAY		10
/* A frequent crosser: four crossings a day, of which some take a second try. */
#define ATTEMPTS_A_WEEK		40

/* One in so many of a week's attempts may be a miss this close.  Hits tell little, misses among them much. */
#define MISSES_OF_ATTEMPTS	5
#define CLOSE_MISS			0.1

/* A week has one in so many more that are refused, until the person is withheld. */
#define REFUSALS_OF_ATTEMPTS	4

/* What a search is worth at most that tells several of one strength. */
#define MOST_ATTEMPTS		4

static int	attempts_a_day = ATTEMPTS_A_DAY;
static int	attempts_a_week = ATTEMPTS_A_WEEK;

/* Columns of facematch_internal.attempt. */
enum
{
	ATTEMPT_ID, ATTEMPT_AT, ATTEMPT_ROLE, ATTEMPT_SUBJECT, ATTEMPT_MISSED, ATTEMPT_WITHHELD, ATTEMPT_CLASS, ATTEMPT_PURGE_AFTER,
	ATTEMPT_COLUMNS
};

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

/*--------------------------------------------------------- counting */

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

static Count
count_attempts(const char *asker, const pg_uuid_t *subject)
{
	static const char *const by_subject[] = {"subject_id"};
	Oid			attempt = face_table("attempt");
	Oid			index = face_index_on(attempt, 1, by_subject);
	Count		count = {.asker = asker,.now = GetCurrentTimestamp(),.first_today = DT_NOEND,.first_this_week = DT_NOEND,
	.first_miss = DT_NOEND};
	ListCell   *cell;

	foreach(cell, face_aliases(subject))
	{
		ScanKeyData key;

		ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(lfirst(cell)));
		(void) face_find_row(attempt, index, 1, &key, count_attempt, &count);
	}
	return count;
}

/* Refused ones are of a week's. */
static int64
most_a_week(void)
{
	return (int64) attempts_a_week + Max(attempts_a_week / REFUSALS_OF_ATTEMPTS, 1);
}

static int
misses_a_week(void)
{
	return Max(attempts_a_week / MISSES_OF_ATTEMPTS, 1);
}

/* When the next attempt is accepted; 0: now. */
static TimestampTz
next_attempt(const Count *count)
{
	if (count->week >= attempts_a_week)
		return count->first_this_week + WEEK;
	if (count->misses >= misses_a_week())
		return count->first_miss + WEEK;
	return count->today >= attempts_a_day ? count->first_today + DAY : 0;
}

/* The same of one person. */
TimestampTz
face_next_attempt(const char *asker, const pg_uuid_t *subject)
{
	Count		count = count_attempts(asker, subject);

	return next_attempt(&count);
}

void
face_refuse_attempt(TimestampTz next)
{
	ereport(ERROR,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED), face_refusal("subject_attempts_are_left"),
			 errmsg("too many searches have come near one person"),
			 errdetail("A role may come near one person %d times a day, and all roles together %d times a week, of which %d may be close misses."
					   " After that, searches in that person's galleries that find nobody are refused as well.",
					   attempts_a_day, attempts_a_week, misses_a_week()),
			 errhint("Look at the document. The next search for this person is accepted after %s.", timestamptz_to_str(next))));
}

/*--------------------------------------------------------- recording */

/*
 * The rows of a search that came near; the last one withholds the person if the
 * week has no room for more.  A refusal tells that the search came near, and no more.
 */
static void
record_attempt(const char *asker, const FaceNear *near, const Count *count, bool refused)
{
	int			rows = refused ? 1 : near->attempts;
	Datum		values[ATTEMPT_COLUMNS];
	bool		isnull[ATTEMPT_COLUMNS] = {false};
	bool		full = count->week + rows >= most_a_week();

	values[ATTEMPT_AT] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[ATTEMPT_ROLE] = CStringGetTextDatum(asker);
	values[ATTEMPT_SUBJECT] = UUIDPGetDatum(&near->subject);
	values[ATTEMPT_MISSED] = BoolGetDatum(near->missed && !refused);
	values[ATTEMPT_WITHHELD] = TimestampTzGetDatum(Min(count->first_this_week, count->now) + WEEK);
	values[ATTEMPT_CLASS] = CStringGetTextDatum("search");
	values[ATTEMPT_PURGE_AFTER] = TimestampTzGetDatum(face_search_due("attempt"));
	for (int i = 1; i <= rows; i++)
	{
		values[ATTEMPT_ID] = face_random_id();
		isnull[ATTEMPT_WITHHELD] = !full || i < rows;
		face_insert_surviving(face_table("attempt"), values, isnull);
	}
}

/* Records that a search has come near these persons, as far as that was not too often already; 0, or when it is accepted again. */
TimestampTz
face_record_attempts(const char *asker, const FaceNear *near, int count)
{
	Oid			attempt = face_table("attempt");

	for (int i = 0; i < count; i++)
	{
		pg_uuid_t	person = face_person(&near[i].subject);
		Oid			part = (Oid) (hash_bytes(person.data, UUID_LEN) | 1);
		Count		before;
		TimestampTz next;

		/* Sessions that search at once must not all find room for one more. */
		LockDatabaseObject(attempt, part, 0, ExclusiveLock);
		before = count_attempts(asker, &near[i].subject);
		next = next_attempt(&before);
		record_attempt(asker, &near[i], &before, next != 0);
		UnlockDatabaseObject(attempt, part, 0, ExclusiveLock);
		if (next != 0)
			return next;
	}
	return 0;
}

/*--------------------------------------------------------- withholding */

static bool
collect_withheld(TupleTableSlot *row, void *state)
{
	List	  **found = state;
	FaceWithheld *withheld = palloc(sizeof(FaceWithheld));
	bool		isnull;

	withheld->person = *DatumGetUUIDP(slot_getattr(row, ATTEMPT_SUBJECT + 1, &isnull));
	withheld->until = DatumGetTimestampTz(slot_getattr(row, ATTEMPT_WITHHELD + 1, &isnull));
	*found = lappend(*found, withheld);
	return false;
}

/* The persons with whom nothing is compared now, FaceWithheld *: those whose week has no room even for a refusal. */
List *
face_withheld(void)
{
	static const char *const by_end[] = {"withheld_until"};
	Oid			attempt = face_table("attempt");
	List	   *found = NIL;
	List	   *persons = NIL;
	ScanKeyData key;
	ListCell   *cell;

	ScanKeyInit(&key, 1, BTGreaterStrategyNumber, F_TIMESTAMPTZ_GT, TimestampTzGetDatum(GetCurrentTimestamp()));
	(void) face_find_row(attempt, face_index_on(attempt, 1, by_end), 1, &key, collect_withheld, &found);
	foreach(cell, found)
	{
		FaceWithheld *withheld = lfirst(cell);

		/* The limits may have been raised since. */
		if (count_attempts("", &withheld->person).week < most_a_week())
			continue;
		withheld->person = face_person(&withheld->person);
		persons = lappend(persons, withheld);
	}
	return persons;
}

bool
face_is_withheld(const List *withheld, const pg_uuid_t *person)
{
	ListCell   *cell;

	foreach(cell, withheld)
	{
		if (memcmp(&((FaceWithheld *) lfirst(cell))->person, person, UUID_LEN) == 0)
			return true;
	}
	return false;
}

static bool
has_reference(int64 gallery_id, const pg_uuid_t *person)
{
	static FacePlan plan = {
		"SELECT FROM facematch.reference r WHERE r.gallery_id OPERATOR(pg_catalog.=) $1"
		" AND r.subject_id OPERATOR(pg_catalog.=) ANY ($2) LIMIT 1",
		2, {INT8OID, UUIDARRAYOID}, NULL
	};
	Datum		values[] = {Int64GetDatum(gallery_id), face_alias_array(person)};
	bool		found;

	SPI_connect();
	face_run_plan(&plan, values, face_owner(face_table("reference")));
	found = SPI_processed > 0;
	SPI_finish();
	return found;
}

/* Until when one of them is withheld who is in the gallery, 0: anywhere; the answer is 0 if none is. */
TimestampTz
face_withheld_in(const List *withheld, int64 gallery_id)
{
	ListCell   *cell;

	foreach(cell, withheld)
	{
		const FaceWithheld *one = lfirst(cell);

		if (gallery_id == 0 || has_reference(gallery_id, &one->person))
			return one->until;
	}
	return 0;
}

/* withheld() returns uuid[]: all subjects of these persons; none for who may read templates */
Datum
facematch_withheld(PG_FUNCTION_ARGS)
{
	List	   *subjects = NIL;
	Datum	   *values;
	ListCell   *cell;

	if (!face_reads_templates() && face_is_accounted())
	{
		foreach(cell, face_withheld())
			subjects = list_concat(subjects, face_aliases(&((FaceWithheld *) lfirst(cell))->person));
	}
	values = palloc(sizeof(Datum) * Max(list_length(subjects), 1));
	foreach(cell, subjects)
		values[foreach_current_index(cell)] = UUIDPGetDatum(lfirst(cell));
	PG_RETURN_ARRAYTYPE_P(construct_array(values, list_length(subjects), UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
}

void
face_attempts_init(void)
{
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
}
