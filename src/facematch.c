/*-------------------------------------------------------------------------
 *
 * facematch.c
 *	  The module: what happens when a backend loads it, and its settings.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "compat.h"
#include "fmgr.h"
#include "index/activity.h"
#include "matching/account.h"
#include "matching/unseen.h"
#include "index/explain.h"
#include "index/paths.h"
#include "index/share.h"
#include "index/settings.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "gallery/gallery.h"
#include "gallery/gallery_size.h"
#include "gallery/row_key.h"
#include "base/attempt.h"
#include "base/gate.h"
#include "erasure/erase_purge.h"
#include "retention/facts.h"
#include "retention/gone.h"
#include "retention/keep.h"
#include "keys/key_command.h"
#include "keys/keyfile.h"
#include "keys/template_key.h"
#include "redaction/server_log.h"
#include "retention/rights.h"
#include "retention/skip.h"
#include "simd/simd.h"
#include "utils/builtins.h"
#include "utils/guc.h"

FACE_MODULE_MAGIC;

void		_PG_init(void);

PG_FUNCTION_INFO_V1(facematch_simd_level);

/* facematch.simd: the values are positions in this array */
static const struct config_enum_entry simd_options[] = {
	{"auto", 0, false},
	{"portable", 1, false},
	{"avx2", 2, false},
	{"avx512", 3, false},
	{"neon", 4, false},
	{NULL, 0, false}
};

static int	simd_setting = 0;

static bool
check_simd(int *newval, void **extra, GucSource source)
{
	const char *name = simd_options[*newval].name;
	StringInfoData usable;

	if (face_simd_find(name) != NULL)
		return true;

	initStringInfo(&usable);
	appendStringInfoString(&usable, "auto");
	for (const FaceKernels *const *table = face_simd_available(); *table != NULL; table++)
		appendStringInfo(&usable, ", %s", (*table)->name);

	GUC_check_errcode(ERRCODE_INVALID_PARAMETER_VALUE);
	GUC_check_errdetail("This server's CPU or operating system cannot run the \"%s\" kernels.", name);
	GUC_check_errhint("Available values: %s.", usable.data);
	return false;
}

static void
assign_simd(int newval, void *extra)
{
	(void) face_simd_select(simd_options[newval].name);
}

/* A looser bound loses matches inside identify(), which runs in the user's session: only a superuser may set it. */
static bool
check_miss_probability(double *newval, void **extra, GucSource source)
{
	if (*newval <= FACE_DEFAULT_MISS_PROBABILITY || source < PGC_S_CLIENT || InitializingParallelWorker ||
		(IsTransactionState() && superuser()))
		return true;
	GUC_check_errcode(ERRCODE_INSUFFICIENT_PRIVILEGE);
	GUC_check_errmsg("permission denied to raise facematch.miss_probability above %g", FACE_DEFAULT_MISS_PROBABILITY);
	GUC_check_errhint("Anybody may lower it.");
	return false;
}

void
_PG_init(void)
{
	face_simd_init();

	DefineCustomEnumVariable("facematch.simd",
							 "Instruction set of the distance kernels.",
							 "All of them return the same distances; \"auto\" takes the fastest that this server can run.",
							 &simd_setting,
							 0,
							 simd_options,
							 PGC_USERSET,
							 0,
							 check_simd,
							 assign_simd,
							 NULL);

	DefineCustomRealVariable("facematch.miss_probability",
							 "Chance, per comparison, that an index scan misses a template that it should return.",
							 "0 uses bounds that hold for certain, and reads about four times as much.",
							 &face_miss_probability,
							 FACE_DEFAULT_MISS_PROBABILITY,
							 0.0,
							 FACE_MAX_MISS_PROBABILITY,
							 PGC_USERSET,
							 0,
							 check_miss_probability,
							 NULL,
							 NULL);

	face_gallery_init();
	face_facts_init();
	face_gone_init();
	face_gallery_size_init();
	face_row_key_init();
	face_rights_init();
	face_skip_init();
	face_erase_init();
	face_explain_init();
	face_paths_init();
	face_share_init();
	face_activity_init();
	face_gate_init();
	face_keep_init();
	face_attempt_init();
	face_server_log_init();
	face_account_init();
	face_unseen_init();
	face_keyfile_init();
	face_key_command_init();
	face_template_key_init();

	MarkGUCPrefixReserved("facematch");
}

/* facematch.simd_level() returns text: asks the kernels themselves, so that it names what runs */
Datum
facematch_simd_level(PG_FUNCTION_ARGS)
{
	StringInfoData text;
	FaceKernelPart part;

	initStringInfo(&text);
	appendStringInfoString(&text, face_kernels->name);
	for (int i = 0; face_simd_part(face_kernels, i, &part); i++)
		if (strcmp(part.level, face_kernels->name) != 0)
			appendStringInfo(&text, ", %s by %s", part.kernel, part.level);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(text.data, text.len));
}
