/*-------------------------------------------------------------------------
 *
 * gallery.c
 *	  A gallery as it stays until the transaction ends.
 *
 * The first row that a transaction puts into a gallery locks the gallery's row
 * FOR SHARE. A new departure time waits for that transaction, then finds its
 * rows and moves their deadlines; so does a session that gives the gallery
 * another model or deletes it. While it holds the lock, the transaction may
 * remember the gallery, until it changes or deletes it itself.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/hsearch.h"
#include "utils/timestamp.h"

#include "base/run.h"
#include "gallery/gallery.h"

/* The galleries that this transaction has locked; NULL: none. */
static HTAB *galleries = NULL;
static FaceGallery *last_gallery = NULL;

void
face_forget_galleries(void)
{
	if (galleries != NULL)
		hash_destroy(galleries);
	galleries = NULL;
	last_gallery = NULL;
}

void
face_gallery_init(void)
{
	face_forget_at_end(face_forget_galleries);
}

static TimestampTz
result_time(int column)
{
	bool		isnull;
	Datum		value = face_result(column, &isnull);

	return isnull ? DT_NOEND : DatumGetTimestampTz(value);
}

static int16
result_int2(int column)
{
	return DatumGetInt16(face_result(column, NULL));
}

static void
read_gallery(FaceGallery *gallery, bool lock)
{
	static FacePlan look = {
		"SELECT g.anchor_at, g.purge_after, g.closed_at, g.model_tag, g.dims, g.min_quality, g.sealed FROM facematch.gallery g WHERE g.gallery_id OPERATOR(pg_catalog.=) $1",
		1, {INT8OID}, NULL
	};
	static FacePlan hold = {
		"SELECT g.anchor_at, g.purge_after, g.closed_at, g.model_tag, g.dims, g.min_quality, g.sealed FROM facematch.gallery g WHERE g.gallery_id OPERATOR(pg_catalog.=) $1"
		" FOR SHARE",
		1, {INT8OID}, NULL
	};
	Datum		id = Int64GetDatum(gallery->gallery_id);

	SPI_connect();
	face_run_plan(lock ? &hold : &look, &id, face_owner(face_table("gallery")));
	gallery->exists = SPI_processed == 1;
	gallery->anchor = gallery->exists ? result_time(1) : DT_NOEND;
	gallery->purge_after = gallery->exists ? result_time(2) : DT_NOEND;
	gallery->closed = gallery->exists && !TIMESTAMP_IS_NOEND(result_time(3));
	gallery->model_tag = gallery->exists ? result_int2(4) : 0;
	gallery->dims = gallery->exists ? result_int2(5) : 0;
	/* NULL reads as 0: any quality will do. */
	gallery->min_quality = gallery->exists ? result_int2(6) : 0;
	gallery->sealed = gallery->exists && DatumGetBool(face_result(7, NULL));
	SPI_finish();
}

static FaceGallery *
remember_gallery(const FaceGallery *gallery)
{
	FaceGallery *entry;

	if (galleries == NULL)
	{
		HASHCTL		control = {.keysize = sizeof(int64), .entrysize = sizeof(FaceGallery)};

		galleries = hash_create("facematch galleries", 64, &control, HASH_ELEM | HASH_BLOBS);
	}
	entry = hash_search(galleries, &gallery->gallery_id, HASH_ENTER, NULL);
	*entry = *gallery;
	return entry;
}

/*
 * A gallery as it will stay until this transaction ends, if it is locked.  One
 * that is not there cannot be locked, and may come.  Good until the next call.
 */
const FaceGallery *
face_gallery(int64 gallery_id, bool lock)
{
	static FaceGallery unlocked;
	FaceGallery *known = last_gallery;

	if (known != NULL && known->gallery_id == gallery_id)
		return known;
	if (galleries != NULL)
		known = hash_search(galleries, &gallery_id, HASH_FIND, NULL);
	else
		known = NULL;
	if (known == NULL)
	{
		unlocked = (FaceGallery) {.gallery_id = gallery_id};
		read_gallery(&unlocked, lock);
		if (!lock || !unlocked.exists)
			return &unlocked;
		known = remember_gallery(&unlocked);
	}
	last_gallery = known;
	return known;
}
