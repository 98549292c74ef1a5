/*-------------------------------------------------------------------------
 *
 * meta.c
 *	  The meta page, and epochs: how templates of one model are encoded.
 *
 * What the pages of a centre hold is one row of bytes: the rotated centre; of a
 * sealed epoch the name of the site's key, nonce, tag, and as ciphertext the
 * seed and the centre, which may be zero.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"

#include "compat.h"
#include "index/directory.h"
#include "index/meta.h"
#include "index/rotation.h"
#include "index/sealed.h"
#include "keys/template_key.h"

/* What a sealed epoch's centre pages hold; the centre's floats behind it. */
typedef struct SealedCentre
{
	pg_uuid_t	site_key;
	uint8		nonce[FACE_NONCE_BYTES];
	uint8		tag[FACE_TAG_BYTES];
	uint8		unused[4];
	uint64		seed;			/* from here on ciphertext */
	float		values[FLEXIBLE_ARRAY_MEMBER];
} SealedCentre;

#define SEALED_CENTRE_SIZE(padded) (offsetof(SealedCentre, values) + sizeof(float) * (padded))

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

/* Read what a chain of centre pages holds. */
static void
read_chain(Relation index, BlockNumber blkno, void *bytes, Size size)
{
	for (Size done = 0; done < size;)
	{
		Buffer		buffer = face_read_page(index, blkno, BUFFER_LOCK_SHARE);
		Page		page = BufferGetPage(buffer);
		Size		here = Min(size - done, FACE_PAGE_DATA_SIZE);

		face_check_page(index, buffer, FACE_PAGE_CENTRE);
		memcpy((char *) bytes + done, PageGetContents(page), here);
		done += here;
		blkno = FacePageGetOpaque(page)->next;
		UnlockReleaseBuffer(buffer);
	}
}

static void
report_damaged_centre(Relation index)
{
	ereport(ERROR,
			(errcode(ERRCODE_INDEX_CORRUPTED),
			 errmsg("index \"%s\" has a damaged centre", RelationGetRelationName(index)),
			 errhint("Please REINDEX it.")));
}

Size
face_centre_size(const FaceEpoch *epoch)
{
	const int	padded = face_rotation_padded(epoch->dims);

	return epoch->sealed ? SEALED_CENTRE_SIZE(padded) : sizeof(float) * padded;
}

/* Seed and centre of a sealed epoch; NULL if the site's key is gone, or with *damaged. */
static SealedCentre *
open_centre(Relation index, const FaceEpoch *epoch, bool *damaged)
{
	const FaceTemplateKind kind = face_epoch_kind(epoch);
	SealedCentre *sealed = palloc(face_centre_size(epoch));
	const uint8 *key;
	const uint8 *block_key;

	read_chain(index, epoch->centre, sealed, face_centre_size(epoch));
	if (!face_template_key(&sealed->site_key, &key, &block_key))
		return NULL;
	*damaged = !face_cipher_open(key, sealed->nonce, &kind, sizeof(kind), (uint8 *) &sealed->seed,
								 face_centre_size(epoch) - offsetof(SealedCentre, seed), sealed->tag);
	return *damaged ? NULL : sealed;
}

bool
face_centre_opens(Relation index, const FaceEpoch *epoch)
{
	bool		damaged = false;

	(void) open_centre(index, epoch, &damaged);
	return !damaged;
}

/* The centre of an epoch, from its pages or from what was opened of them. */
static void
read_centre(Relation index, FaceEpochState *state, const SealedCentre *opened)
{
	const Size	size = sizeof(float) * state->codec->padded;
	FaceCentre *centre = state->centre;

	if (opened != NULL)
		memcpy(centre->values, opened->values, size);
	else if (BlockNumberIsValid(state->epoch.centre) && !state->closed)
		read_chain(index, state->epoch.centre, centre->values, size);
	for (int i = 0; i < state->codec->padded; i++)
	{
		if (!isfinite(centre->values[i]))
			report_damaged_centre(index);
		centre->norm_squared += centre->values[i] * centre->values[i];
	}
}

/*
 * Everything needed to write or read codes of an epoch, in the current memory
 * context.
 */
const FaceEpochState *
face_epoch_state(Relation index, int epoch, bool open)
{
	FaceEpochState *state = palloc0(sizeof(FaceEpochState));
	SealedCentre *opened = NULL;
	FaceMetaData meta;

	face_meta_read(index, &meta);
	if (epoch < 0 || epoch >= meta.nepochs ||
		meta.epochs[epoch].dims > FACE_MAX_DIMS)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("index \"%s\" refers to an unknown epoch %d", RelationGetRelationName(index), epoch),
				 errhint("Please REINDEX it.")));
	state->epoch = meta.epochs[epoch];
	if (state->epoch.sealed)
	{
		bool		damaged = false;

		opened = open ? open_centre(index, &state->epoch, &damaged) : NULL;
		if (damaged)
			report_damaged_centre(index);
		state->closed = opened == NULL;
		state->epoch.seed = state->closed ? 0 : opened->seed;
	}
	state->codec = face_codec_create(state->epoch.dims == 0 ? NULL_CODEC_DIMS : state->epoch.dims,
									 state->epoch.seed);
	if (state->epoch.dims != 0 &&
		(state->codec->sketch_bits != state->epoch.sketch_bits ||
		 state->codec->refine_bits != state->epoch.refine_bits))
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("index \"%s\" has codes of %d + %d bits per dimension, this version of facematch writes %d + %d",
						RelationGetRelationName(index), state->epoch.sketch_bits, state->epoch.refine_bits,
						state->codec->sketch_bits, state->codec->refine_bits),
				 errhint("Please REINDEX it.")));
	face_layout_compute(state->codec, state->epoch.sealed, &state->layout);
	state->centre = palloc0(FACE_CENTRE_SIZE(state->codec));
	read_centre(index, state, opened);
	return state;
}

void
face_epoch_require(Relation index, const FaceEpochState *state)
{
	if (state->closed)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the key of index \"%s\" is gone", RelationGetRelationName(index)),
				 errhint("Restore the site's key to the place of the keys, or REINDEX the index.")));
}

int
face_epoch_find(const FaceMetaData *meta, FaceTemplateKind kind)
{
	for (int i = meta->nepochs - 1; i >= 0; i--)
		if (meta->epochs[i].dims == kind.dims && meta->epochs[i].model == kind.model &&
			meta->epochs[i].sealed == kind.sealed)
			return i;
	return -1;
}

int
face_epoch_for(Relation index, FaceTemplateKind kind)
{
	FaceMetaData meta;
	int			epoch;

	face_meta_read(index, &meta);
	epoch = face_epoch_find(&meta, kind);
	return epoch >= 0 ? epoch : face_epoch_add(index, kind, 0, NULL);
}

/* Write bytes to centre pages of their own; returns the first. */
static BlockNumber
write_chain(Relation index, const void *bytes, Size size)
{
	BlockNumber next = InvalidBlockNumber;

	/* Backwards, so that each page knows its successor. */
	for (int64 start = (size - 1) / FACE_PAGE_DATA_SIZE * FACE_PAGE_DATA_SIZE; start >= 0; start -= FACE_PAGE_DATA_SIZE)
	{
		Size		here = Min(size - start, FACE_PAGE_DATA_SIZE);
		Buffer		buffer = face_take_page(index);
		GenericXLogState *xlog = GenericXLogStart(index);
		Page		page = GenericXLogRegisterBuffer(xlog, buffer, GENERIC_XLOG_FULL_IMAGE);

		face_page_init(page, FACE_PAGE_CENTRE, 0, face_random_stamp());
		memcpy(PageGetContents(page), (const char *) bytes + start, here);
		FacePageGetOpaque(page)->next = next;
		face_page_set_lower(page, PageGetContents(page) + here - (char *) page);
		GenericXLogFinish(xlog);
		next = BufferGetBlockNumber(buffer);
		UnlockReleaseBuffer(buffer);
	}
	return next;
}

/* Write seed and centre (NULL for zero) under the site's key. */
static BlockNumber
write_sealed_centre(Relation index, const FaceEpoch *epoch, const float *centre)
{
	const Size	size = face_centre_size(epoch);
	const FaceTemplateKind kind = face_epoch_kind(epoch);
	SealedCentre *sealed = palloc0(size);
	const uint8 *key;
	const uint8 *block_key;

	sealed->site_key = face_site_key();
	if (!face_template_key(&sealed->site_key, &key, &block_key))
		face_report_lost_key(index);
	sealed->seed = epoch->seed;
	if (centre != NULL)
		memcpy(sealed->values, centre, size - offsetof(SealedCentre, values));
	face_random_bytes(sealed->nonce, FACE_NONCE_BYTES);
	face_cipher_seal(key, sealed->nonce, &kind, sizeof(kind), (uint8 *) &sealed->seed, size - offsetof(SealedCentre, seed),
					 sealed->tag);
	return write_chain(index, sealed, size);
}

/* The epoch to add, and its centre pages. */
static FaceEpoch
prepare_epoch(Relation index, FaceTemplateKind kind, uint64 seed, const float *centre)
{
	FaceEpoch	epoch = {.seed = centre != NULL ? seed : face_random_stamp(),.centre = InvalidBlockNumber};

	epoch.dims = kind.dims;
	epoch.model = kind.model;
	epoch.sealed = kind.sealed;
	if (kind.dims != 0)
	{
		FaceCodec  *codec = face_codec_create(kind.dims, epoch.seed);

		epoch.sketch_bits = codec->sketch_bits;
		epoch.refine_bits = codec->refine_bits;
		if (kind.sealed)
			epoch.centre = write_sealed_centre(index, &epoch, centre);
		else if (centre != NULL)
			epoch.centre = write_chain(index, centre, sizeof(float) * codec->padded);
	}
	if (kind.sealed)
		epoch.seed = 0;
	return epoch;
}

/*
 * Add an epoch.  With a centre (rotated by the given seed) it always becomes
 * the newest; without one, an epoch that somebody else has made meanwhile
 * serves as well.
 */
int
face_epoch_add(Relation index, FaceTemplateKind kind, uint64 seed, const float *centre)
{
	const FaceEpoch new = prepare_epoch(index, kind, seed, centre);
	Buffer		buffer;
	GenericXLogState *xlog;
	FaceMetaData *meta;
	int			epoch;

	buffer = face_read_page(index, FACE_META_BLOCK, BUFFER_LOCK_EXCLUSIVE);
	face_check_page(index, buffer, FACE_PAGE_META);
	meta = FacePageGetMeta(BufferGetPage(buffer));
	epoch = centre == NULL ? face_epoch_find(meta, kind) : -1;
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
				 errhint("Index each model by a partial index of its own, or REINDEX to remove models that are no longer used.")));

	xlog = GenericXLogStart(index);
	meta = FacePageGetMeta(GenericXLogRegisterBuffer(xlog, buffer, 0));
	epoch = meta->nepochs++;
	meta->epochs[epoch] = new;
	GenericXLogFinish(xlog);
	UnlockReleaseBuffer(buffer);
	return epoch;
}

/*
 * Add an epoch around a mean of unit-length templates, not yet rotated; NULL
 * for the zero centre.
 */
int
face_epoch_add_mean(Relation index, FaceTemplateKind kind, const float *mean)
{
	uint64		seed;
	FaceCodec  *codec;
	float	   *rotated;

	if (mean == NULL)
		return face_epoch_add(index, kind, 0, NULL);
	seed = face_random_stamp();
	codec = face_codec_create(kind.dims, seed);
	rotated = palloc(sizeof(float) * codec->padded);
	face_codec_rotate(codec, face_embedding_from_floats(kind.dims, kind.model, mean), false, rotated);
	return face_epoch_add(index, kind, seed, rotated);
}
