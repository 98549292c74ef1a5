/*-------------------------------------------------------------------------
 *
 * attempts.c
 *	  How often searches may come near one person.
 *
 * Enough answers about one person reveal that person's template. An attempt is a
 * search by a role that may not read templates, which reaches a similarity of at
 * most FACE_NEAR below the threshold with one of a person's references, hit or
 * miss. It is a row of facematch_internal.attempt. A role has a number of attempts
 * on each person a day, and all roles together have a number a week, of which a
 * part may be misses. An attempt is counted and recorded under a lock that is
 * released at once, before the caller gets an answer. Farther misses tell little,
 * and strangers' searches have many of them by chance: docs/security.md has the
 * figures.
 *
 * After the last attempt, the person is withheld from the role: not compared with
 * its probes, so that no answer depends on that person's template. A search that
 * finds nobody else is then refused if the person is in the gallery, near or not.
 * So the refusal reveals nothing (except in the few sessions that search at the
 * same moment), and an officer looks at the traveler. Verification names the
 * person, so it is refused whatever the score. Any answer without a limit, such as
 * whether a search came near, leads to the template: with a photograph and 2,000
 * searches to a cosine of 0.99 (bench/attack.py).
 *
 * The order of candidates reveals scores too: a role that may stage templates can
 * put templates of known scores beside a person's. So a search that returns several
 * candidates of one strength counts as more attempts on each of them. A staged
 * template under the person's own pseudonym makes every search a hit. So a search
 * is a miss if it misses any of the person's references by less than FACE_NEAR.
 * And the search looks for references down to that score, however many better ones
 * there are.
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

PG_FUNCTION_INFO_V1(facematch_is_withheld);

#define DAY					USECS_PER_DAY
#define WEEK				(7 * USECS_PER_DAY)

/* A traveler who fails at a gate tries again a few times; the officer's look at the document follows. */
#define ATTEMPTS_A_DAY		10
/* A frequent crosser: four crossings a day, of which some take a second try. */
#define ATTEMPTS_A_WEEK		40

/* One in so many of a week's attempts may be a miss.  Hits tell little, misses among them much. */
#define MISSES_OF_ATTEMPTS	6

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
	bool		told;			/* a row says that there is no room for another */
} Count;

/* Counts a row of an index scan and continues. */
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
	count->told |= DatumGetTimestampTz(slot_getattr(row, ATTEMPT_WITHHELD + 1, &isnull)) > count->now && !isnull;
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

/* The same of one person, whom a search names. */
TimestampTz
face_next_attempt(const char *asker, const pg_uuid_t *subject)
{
	Count		count = count_attempts(asker, subject);

	return next_attempt(&count);
}

/* Until when a person is withheld from an asker; 0: is not.  Where limits were lowered, not before a row says so. */
TimestampTz
face_withheld_until(const char *asker, const pg_uuid_t *subject)
{
	Count		count = count_attempts(asker, subject);

	return count.told ? next_attempt(&count) : 0;
}

void
face_refuse_attempt(TimestampTz next)
{
	ereport(ERROR,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED), face_refusal("subject_attempts_are_left"),
			 errmsg("too many searches have come near one person"),
			 errdetail("Searches near one person are limited: those of a role to %d a day, those of all roles to %d a week, of which %d may be misses."
					   " After that, searches in that person's galleries that find nobody are refused as well.",
					   attempts_a_day, attempts_a_week, misses_a_week()),
			 errhint("Look at the document. The next search for this person is accepted after %s.", timestamptz_to_str(next))));
}

/*--------------------------------------------------------- recording */

/* When the next attempt is accepted after so many more rows; 0: at once. */
static TimestampTz
next_after(Count count, int rows, bool missed)
{
	count.today += rows;
	count.week += rows;
	count.misses += missed ? rows : 0;
	count.first_today = Min(count.first_today, count.now);
	count.first_this_week = Min(count.first_this_week, count.now);
	count.first_miss = Min(count.first_miss, count.now);
	return next_attempt(&count);
}

/* The rows of a search that came near, or was refused for it; if there is no room for another, the last one says until when. */
static void
record_attempt(const char *asker, const FaceNear *near, const Count *before, TimestampTz refused)
{
	Datum		values[ATTEMPT_COLUMNS];
	bool		isnull[ATTEMPT_COLUMNS] = {false};
	TimestampTz next = refused != 0 ? refused : next_after(*before, near->attempts, near->missed);

	values[ATTEMPT_AT] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[ATTEMPT_ROLE] = CStringGetTextDatum(asker);
	values[ATTEMPT_SUBJECT] = UUIDPGetDatum(&near->subject);
	values[ATTEMPT_MISSED] = BoolGetDatum(near->missed && refused == 0);
	values[ATTEMPT_WITHHELD] = TimestampTzGetDatum(next);
	values[ATTEMPT_CLASS] = CStringGetTextDatum("search");
	values[ATTEMPT_PURGE_AFTER] = TimestampTzGetDatum(face_search_due("attempt"));
	for (int left = refused != 0 ? 0 : near->attempts - 1; left >= 0; left--)
	{
		values[ATTEMPT_ID] = face_random_id();
		isnull[ATTEMPT_WITHHELD] = next == 0 || left > 0;
		face_insert_surviving(face_table("attempt"), values, isnull, ATTEMPT_COLUMNS);
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
		if (next == 0 || !before.told)
			record_attempt(asker, &near[i], &before, next);
		UnlockDatabaseObject(attempt, part, 0, ExclusiveLock);
		if (next != 0)
			return next;
	}
	return 0;
}

/*--------------------------------------------------------- withholding */

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

typedef struct Gallery
{
	const char *asker;
	int64		gallery_id;		/* 0: any */
	TimestampTz next;
} Gallery;

static bool
concerns_gallery(TupleTableSlot *row, void *state)
{
	Gallery    *gallery = state;
	bool		isnull;
	pg_uuid_t	subject = *DatumGetUUIDP(slot_getattr(row, ATTEMPT_SUBJECT + 1, &isnull));

	CHECK_FOR_INTERRUPTS();
	/* Whom others may not search for, this one may; and the limits may have been raised since. */
	gallery->next = face_withheld_until(gallery->asker, &subject);
	return gallery->next != 0 && (gallery->gallery_id == 0 || has_reference(gallery->gallery_id, &subject));
}

/* Until when somebody is withheld from this asker who is in the gallery, 0: in any; the answer is 0 if nobody is. */
TimestampTz
face_withheld_in(const char *asker, int64 gallery_id)
{
	static const char *const by_end[] = {"withheld_until"};
	Oid			attempt = face_table("attempt");
	Gallery		gallery = {.asker = asker,.gallery_id = gallery_id};
	ScanKeyData key;

	ScanKeyInit(&key, 1, BTGreaterStrategyNumber, F_TIMESTAMPTZ_GT, TimestampTzGetDatum(GetCurrentTimestamp()));
	return face_find_row(attempt, face_index_on(attempt, 1, by_end), 1, &key, concerns_gallery, &gallery) ? gallery.next : 0;
}

/* is_withheld(asker, subject, above): above is how far above the threshold, and of who is far it does not matter */
Datum
facematch_is_withheld(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(PG_GETARG_FLOAT8(2) >= -FACE_NEAR && !face_reads_templates() && face_is_accounted() &&
				   face_withheld_until(text_to_cstring(PG_GETARG_TEXT_PP(0)), PG_GETARG_UUID_P(1)) != 0);
}

void
face_attempts_init(void)
{
	DefineCustomIntVariable("facematch.attempts_per_day",
							"How many searches of one role may come near one person in a day.",
							"Near is a similarity of at most " CppAsString2(FACE_NEAR) " below the threshold, hits and misses alike."
							" Roles that may read templates have no limit.",
							&attempts_a_day,
							ATTEMPTS_A_DAY,
							1, INT_MAX,
							PGC_SUSET,
							0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("facematch.attempts_per_week",
							"How many searches of all roles together may come near one person in a week.",
							NULL,
							&attempts_a_week,
							ATTEMPTS_A_WEEK,
							1, INT_MAX,
							PGC_SUSET,
							0,
							NULL, NULL, NULL);
}
