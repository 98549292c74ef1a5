/*-------------------------------------------------------------------------
 *
 * meta.c
 *	  The meta page, and epochs: how templates of one model are encoded.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"

#include "compat.h"
#include "index/directory.h"
#include "index/meta.h"

/* Floats of a centre on one page. */
#define CENTRE_FLOATS_PER_PAGE	((int) (FACE_PAGE_DATA_SIZE / sizeof(float)))

/* Codes of a null embedding are never looked at: the cheapest codec. */
#define NULL_CODEC_DIMS 1

/*
 * Write meta page and an empty directory into a new fork.  Pages are logged as
 * full images: the init fork of an unlogged index needs that too.
 */
void
face_meta_init(Relation index, ForkNumber fork)
{
	static const FacePageKind kinds[] = {FACE_PAGE_META, FACE_PAGE_ROOT, FACE_PAGE_BUCKET};
	const bool	logged = RelationNeedsWAL(index) || fork == INIT_FORKNUM;

	for (int i = 0; i < lengthof(kinds); i++)
	{
		Buffer		buffer = ReadBufferExtended(index, fork, P_NEW, RBM_NORMAL, NULL);
		Page		page;

		LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
		if (BufferGetBlockNumber(buffer) != i)
			elog(ERROR, "index \"%s\" is not empty", RelationGetRelationName(index));
		START_CRIT_SECTION();
		page = BufferGetPage(buffer);
		face_page_init(page, kinds[i], 0, face_random_stamp());
		if (kinds[i] == FACE_PAGE_META)
		{
			FaceMetaData *meta = FacePageGetMeta(page);

			memset(meta, 0, sizeof(FaceMetaData));
			meta->magic = FACE_MAGIC;
			meta->version = FACE_VERSION;
			meta->nkeys = IndexRelationGetNumberOfKeyAttributes(index) - 1;
			meta->root = FACE_META_BLOCK + 1;
			face_page_set_lower(page, (char *) (meta + 1) - (char *) page);
		}
		else if (kinds[i] == FACE_PAGE_ROOT)
			face_directory_init_root(page, FACE_META_BLOCK + 2);
		else
			face_directory_init_bucket(page, 0);
		MarkBufferDirty(buffer);
		if (logged)
			log_newpage_buffer(buffer, true);
		END_CRIT_SECTION();
		UnlockReleaseBuffer(buffer);
	}
}

/* A copy of the meta page, checked. */
void
face_meta_read(Relation index, FaceMetaData *meta)
{
	Buffer		buffer = face_read_page(index, FACE_META_BLOCK, BUFFER_LOCK_SHARE);
	FaceMetaData *stored;

	face_check_page(index, buffer, FACE_PAGE_META);
	stored = FacePageGetMeta(BufferGetPage(buffer));
	if (stored->magic != FACE_MAGIC || stored->nepochs > FACE_MAX_EPOCHS ||
		stored->nkeys != IndexRelationGetNumberOfKeyAttributes(index) - 1)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("index \"%s\" has a damaged meta page", RelationGetRelationName(index)),
				 errhint("Please REINDEX it.")));
	if (stored->version != FACE_VERSION)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("index \"%s\" has page format %u, this version of facematch reads format %u",
						RelationGetRelationName(index), stored->version, FACE_VERSION),
				 errhint("Please REINDEX it.")));
	memcpy(meta, stored, offsetof(FaceMetaData, epochs) + sizeof(FaceEpoch) * stored->nepochs);
	UnlockReleaseBuffer(buffer);
}

/* Read a centre from its chain of pages. */
static void
read_centre(Relation index, BlockNumber blkno, const FaceCodec *codec, FaceCentre *centre)
{
	int			done = 0;

	while (done < codec->padded)
	{
		Buffer		buffer = face_read_page(index, blkno, BUFFER_LOCK_SHARE);
		Page		page = BufferGetPage(buffer);
		int			n = Min(codec->padded - done, CENTRE_FLOATS_PER_PAGE);

		face_check_page(index, buffer, FACE_PAGE_CENTRE);
		memcpy(centre->values + done, PageGetContents(page), n * sizeof(float));
		done += n;
		blkno = FacePageGetOpaque(page)->next;
		UnlockReleaseBuffer(buffer);
	}
	centre->norm_squared = 0;
	for (int i = 0; i < codec->padded; i++)
	{
		if (!isfinite(centre->values[i]))
			ereport(ERROR,
					(errcode(ERRCODE_INDEX_CORRUPTED),
					 errmsg("index \"%s\" has a damaged centre", RelationGetRelationName(index)),
					 errhint("Please REINDEX it.")));
		centre->norm_squared += centre->values[i] * centre->values[i];
	}
}

/*
 * Everything needed to write or read codes of an epoch, in the current memory
 * context.
 */
const FaceEpochState *
face_epoch_state(Relation index, int epoch)
{
	FaceEpochState *state = palloc0(sizeof(FaceEpochState));
	FaceMetaData meta;

	face_meta_read(index, &meta);
	if (epoch < 0 || epoch >= meta.nepochs ||
		meta.epochs[epoch].dims > FACE_MAX_DIMS)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("index \"%s\" refers to an unknown epoch %d", RelationGetRelationName(index), epoch),
				 errhint("Please REINDEX it.")));
	state->epoch = meta.epochs[epoch];
	state->codec = face_codec_create(state->epoch.dims == 0 ? NULL_CODEC_DIMS : state->epoch.dims,
									 state->epoch.seed);
	if (state->epoch.dims != 0 &&
		(state->codec->sketch_bits != state->epoch.sketch_bits ||
		 state->codec->refine_bits != state->epoch.refine_bits))
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("index \"%s\" has codes of %d + %d bits a dimension, this version of facematch writes %d + %d",
						RelationGetRelationName(index), state->epoch.sketch_bits, state->epoch.refine_bits,
						state->codec->sketch_bits, state->codec->refine_bits),
				 errhint("Please REINDEX it.")));
	face_layout_compute(state->codec, &state->layout);
	state->centre = palloc0(FACE_CENTRE_SIZE(state->codec));
	if (BlockNumberIsValid(state->epoch.centre))
		read_centre(index, state->epoch.centre, state->codec, state->centre);
	return state;
}

/* The newest epoch for templates of this kind, or -1. */
static int
find_epoch(const FaceMetaData *meta, int dims, int model)
{
	for (int i = meta->nepochs - 1; i >= 0; i--)
		if (meta->epochs[i].dims == dims && meta->epochs[i].model == model)
			return i;
	return -1;
}

/* The newest epoch for templates of this kind; made if there is none. */
int
face_epoch_for(Relation index, int dims, int model)
{
	FaceMetaData meta;
	int			epoch;

	face_meta_read(index, &meta);
	epoch = find_epoch(&meta, dims, model);
	return epoch >= 0 ? epoch : face_epoch_add(index, dims, model, 0, NULL);
}

/* Write a rotated centre to pages of its own; returns the first. */
static BlockNumber
write_centre(Relation index, const float *centre, int n)
{
	BlockNumber next = InvalidBlockNumber;

	/* Backwards, so that each page knows its successor. */
	for (int start = (n - 1) / CENTRE_FLOATS_PER_PAGE * CENTRE_FLOATS_PER_PAGE; start >= 0;
		 start -= CENTRE_FLOATS_PER_PAGE)
	{
		int			here = Min(n - start, CENTRE_FLOATS_PER_PAGE);
		Buffer		buffer = face_take_page(index);
		GenericXLogState *xlog = GenericXLogStart(index);
		Page		page = GenericXLogRegisterBuffer(xlog, buffer, GENERIC_XLOG_FULL_IMAGE);

		face_page_init(page, FACE_PAGE_CENTRE, 0, face_random_stamp());
		memcpy(PageGetContents(page), centre + start, here * sizeof(float));
		FacePageGetOpaque(page)->next = next;
		face_page_set_lower(page, PageGetContents(page) + here * sizeof(float) - (char *) page);
		GenericXLogFinish(xlog);
		next = BufferGetBlockNumber(buffer);
		UnlockReleaseBuffer(buffer);
	}
	return next;
}

/*
 * Add an epoch.  With a centre (rotated by the given seed) it always becomes
 * the newest; without one, an epoch that somebody else has made meanwhile
 * serves as well.
 */
int
face_epoch_add(Relation index, int dims, int model, uint64 seed, const float *centre)
{
	FaceCodec  *codec = NULL;
	BlockNumber centre_block = InvalidBlockNumber;
	Buffer		buffer;
	GenericXLogState *xlog;
	FaceMetaData *meta;
	FaceEpoch  *new;
	int			epoch;

	if (dims != 0)
		codec = face_codec_create(dims, seed);
	if (centre != NULL)
		centre_block = write_centre(index, centre, codec->padded);

	buffer = face_read_page(index, FACE_META_BLOCK, BUFFER_LOCK_EXCLUSIVE);
	face_check_page(index, buffer, FACE_PAGE_META);
	meta = FacePageGetMeta(BufferGetPage(buffer));
	epoch = centre == NULL ? find_epoch(meta, dims, model) : -1;
	if (epoch >= 0)
	{
		UnlockReleaseBuffer(buffer);
		return epoch;
	}
	if (meta->nepochs >= FACE_MAX_EPOCHS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("index \"%s\" holds templates of too many kinds (%d)",
						RelationGetRelationName(index), FACE_MAX_EPOCHS),
				 errhint("Index each model by a partial index of its own, or REINDEX to forget models no longer there.")));

	xlog = GenericXLogStart(index);
	meta = FacePageGetMeta(GenericXLogRegisterBuffer(xlog, buffer, 0));
	epoch = meta->nepochs++;
	new = &meta->epochs[epoch];
	memset(new, 0, sizeof(FaceEpoch));
	new->seed = centre != NULL ? seed : face_random_stamp();
	new->centre = centre_block;
	new->dims = dims;
	new->model = model;
	if (codec != NULL)
	{
		new->sketch_bits = codec->sketch_bits;
		new->refine_bits = codec->refine_bits;
	}
	GenericXLogFinish(xlog);
	UnlockReleaseBuffer(buffer);
	return epoch;
}

/*
 * Add an epoch around a mean of unit-length templates, not yet rotated; NULL
 * for the zero centre.
 */
int
face_epoch_add_mean(Relation index, int dims, int model, const float *mean)
{
	uint64		seed;
	FaceCodec  *codec;
	float	   *rotated;

	if (mean == NULL)
		return face_epoch_add(index, dims, model, 0, NULL);
	seed = face_random_stamp();
	codec = face_codec_create(dims, seed);
	rotated = palloc(sizeof(float) * codec->padded);
	face_codec_rotate(codec, face_embedding_from_floats(dims, model, mean), false, rotated);
	return face_epoch_add(index, dims, model, seed, rotated);
}
