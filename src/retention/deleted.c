/*-------------------------------------------------------------------------
 *
 * deleted.c
 *	  Codes of the persons in a receipt, for users who can name the person.
 *
 * "Was this traveler's photograph deleted, and when?" must have an answer even when
 * nothing of the person is stored any more. So a receipt has a random salt and, for
 * each person whose rows were deleted, a code: the first 64 bits of
 * HMAC-SHA256(salt, subject), all of them sorted. A user who has the document
 * computes the subject and looks for its code. Nobody can list the persons of a
 * receipt, or tell that two receipts are about the same person. Among a million
 * receipts of 10,000 persons, the probability of a code that is another person's is
 * 1 in 10^9.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hmac.h"
#include "common/sha2.h"
#include "fmgr.h"
#include "lib/qunique.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/uuid.h"

#include "base/bytes.h"
#include "base/run.h"
#include "keys/cipher.h"
#include "retention/deleted.h"

PG_FUNCTION_INFO_V1(facematch_receipt_names);

#define SALT_BYTES	16

typedef struct Code
{
	uint8		bytes[8];
} Code;

static int
by_bytes(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(Code));
}

static Code
code_of(pg_hmac_ctx *hmac, const uint8 *salt, size_t salt_bytes, const pg_uuid_t *subject)
{
	uint8		whole[PG_SHA256_DIGEST_LENGTH];
	Code		code;

	if (pg_hmac_init(hmac, salt, salt_bytes) < 0 || pg_hmac_update(hmac, subject->data, UUID_LEN) < 0 ||
		pg_hmac_final(hmac, whole, sizeof(whole)) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("HMAC-SHA256 failed: %s", pg_hmac_error(hmac))));
	memcpy(&code, whole, sizeof(Code));
	return code;
}

static Datum *
subjects_of(ArrayType *subjects, int *count)
{
	Datum	   *values;

	deconstruct_array(subjects, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR, &values, NULL, count);
	return values;
}

/* The codes of subjects, in the order of the array.  The context is the server's own memory: it is freed whatever happens. */
static void
make_codes(const Datum *subjects, int count, const uint8 *salt, size_t salt_bytes, Code *codes)
{
	pg_hmac_ctx *hmac = pg_hmac_create(PG_SHA256);

	if (hmac == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	PG_TRY();
	{
		for (int i = 0; i < count; i++)
			codes[i] = code_of(hmac, salt, salt_bytes, DatumGetUUIDP(subjects[i]));
	}
	PG_FINALLY();
	{
		pg_hmac_free(hmac);
	}
	PG_END_TRY();
}

/* Beside the receipt that this session has just written; uuid[] of those whose rows went, repeated or not. */
void
face_write_receipt_persons(ArrayType *subjects)
{
	Oid			types[] = {BYTEAOID, BYTEAOID};
	Datum		values[2];
	uint8		salt[SALT_BYTES];
	int			count;
	Datum	   *persons = subjects_of(subjects, &count);
	Code	   *codes = palloc(sizeof(Code) * Max(count, 1));

	face_random_bytes(salt, sizeof(salt));
	make_codes(persons, count, salt, sizeof(salt), codes);
	qsort(codes, count, sizeof(Code), by_bytes);
	count = (int) qunique(codes, count, sizeof(Code), by_bytes);
	values[0] = PointerGetDatum(face_bytea(salt, sizeof(salt)));
	values[1] = PointerGetDatum(face_bytea(codes, sizeof(Code) * count));
	face_run("INSERT INTO facematch_internal.receipt_persons (receipt_id, salt, codes) VALUES"
			 " (pg_catalog.currval('facematch.purge_receipt_receipt_id_seq'::pg_catalog.regclass), $1, $2)",
			 lengthof(types), types, values, face_owner(face_table("purge_receipt")));
}

/* receipt_names(salt bytea, codes bytea, subjects uuid[]): whether one of the subjects is among those whose rows went */
Datum
facematch_receipt_names(PG_FUNCTION_ARGS)
{
	bytea	   *salt = PG_GETARG_BYTEA_PP(0);
	bytea	   *codes = PG_GETARG_BYTEA_PP(1);
	int			count;
	Datum	   *subjects = subjects_of(PG_GETARG_ARRAYTYPE_P(2), &count);
	Code	   *wanted = palloc(sizeof(Code) * Max(count, 1));
	bool		found = false;

	make_codes(subjects, count, (const uint8 *) VARDATA_ANY(salt), VARSIZE_ANY_EXHDR(salt), wanted);
	for (int i = 0; i < count && !found; i++)
		found = bsearch(&wanted[i], VARDATA_ANY(codes), VARSIZE_ANY_EXHDR(codes) / sizeof(Code), sizeof(Code), by_bytes) != NULL;
	PG_RETURN_BOOL(found);
}
