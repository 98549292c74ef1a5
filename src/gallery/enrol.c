/*-------------------------------------------------------------------------
 *
 * enrol.c
 *	  What makes a row a reference: it is whole, and its template is of its
 *	  gallery's model.
 *
 * Whole: for a row that breaks a constraint PostgreSQL prints the row, and here
 * that would print a template. So the guard checks first, and names the problem
 * without the template; the constraint is for rows that bypass triggers. Both
 * call the same function.
 *
 * Of its gallery's model: a foreign key declares it, and PostgreSQL's triggers
 * on the gallery enforce it when a gallery is deleted or changed. For a new
 * reference the guard does what the key's own trigger would do, and that
 * trigger is switched off: it would read and lock the gallery's row again for
 * each reference, which costs as much as storing it. The guard locks that row
 * FOR SHARE once, at the first reference, until the transaction ends (facts.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/refusal.h"
#include "embedding/embedding.h"
#include "gallery/enrol.h"
#include "gallery/gallery.h"
#include "redaction/redact.h"

PG_FUNCTION_INFO_V1(facematch_reference_fault);

#define MAX_QUALITY		100
#define MAX_SOURCE		1000	/* characters */
/* Bytes that are not looked into: more than sources have, fewer than a template of a dozen dimensions. */
#define SHORT_SOURCE	30

/* Not empty, and no blanks around it. */
static bool
is_word(Datum value)
{
	text	   *word = DatumGetTextPP(value);
	int			length = VARSIZE_ANY_EXHDR(word);
	const char *data = VARDATA_ANY(word);

	return length > 0 && data[0] != ' ' && data[length - 1] != ' ';
}

/* Short enough, and no place to store a template: it would outlive the row in a dump or a statistic of the server's. */
static bool
is_innocent(Datum value)
{
	text	   *source = DatumGetTextPP(value);
	int			length = VARSIZE_ANY_EXHDR(source);

	if (length <= SHORT_SOURCE)
		return true;
	if (length > MAX_SOURCE && pg_mbstrlen_with_len(VARDATA_ANY(source), length) > MAX_SOURCE)
		return false;
	return !face_redact(VARDATA_ANY(source), length, FACE_ANY_TEXT, FACE_ASK, NULL);
}

/* In the order of the SQL function's arguments. */
enum
{
	PART_GALLERY,
	PART_SUBJECT,
	PART_CLASS,
	PART_TEMPLATE,
	PART_SOURCE,
	PART_QUALITY,
	PART_ENROLLED,
	PARTS
};

static const char *
fault_of(const Datum *values, const bool *nulls)
{
	if (nulls[PART_GALLERY])
		return "gallery_id is NULL";
	if (nulls[PART_SUBJECT])
		return "subject_id is NULL";
	if (nulls[PART_TEMPLATE])
		return "embedding is NULL";
	if (nulls[PART_CLASS])
		return "retention_class is NULL";
	if (!is_word(values[PART_CLASS]))
		return "retention_class is empty, or begins or ends with a blank";
	if (nulls[PART_SOURCE])
		return "source is NULL";
	if (!is_word(values[PART_SOURCE]))
		return "source is empty, or begins or ends with a blank";
	if (!is_innocent(values[PART_SOURCE]))
		return "source is longer than 1000 characters, or looks like a template or an image";
	if (!nulls[PART_QUALITY] && (DatumGetInt16(values[PART_QUALITY]) < 0 || DatumGetInt16(values[PART_QUALITY]) > MAX_QUALITY))
		return "quality is outside 0 to 100";
	if (nulls[PART_ENROLLED] || TIMESTAMP_NOT_FINITE(DatumGetTimestampTz(values[PART_ENROLLED])))
		return "enrolled_at is not a moment";
	return NULL;
}

/* reference_fault(gallery_id, subject_id, retention_class, embedding, source, quality, enrolled_at) */
Datum
facematch_reference_fault(PG_FUNCTION_ARGS)
{
	Datum		values[PARTS];
	bool		nulls[PARTS];
	const char *fault;

	for (int i = 0; i < PARTS; i++)
	{
		nulls[i] = PG_ARGISNULL(i);
		values[i] = PG_GETARG_DATUM(i);
	}
	fault = fault_of(values, nulls);
	if (fault == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(fault));
}

/* Refuses an impossible row without printing it. */
void
face_check_whole(const FaceEnrolment *columns, const FaceRow *row)
{
	const AttrNumber parts[PARTS] = {
		columns->gallery, columns->subject, columns->class, columns->template, columns->source, columns->quality, columns->enrolled
	};
	Datum		values[PARTS];
	bool		nulls[PARTS];
	const char *fault;

	for (int i = 0; i < PARTS; i++)
	{
		nulls[i] = face_row_null(row, parts[i]);
		values[i] = nulls[i] ? (Datum) 0 : row->values[parts[i] - 1];
	}
	fault = fault_of(values, nulls);
	if (fault != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("the row is not a reference: %s", fault),
				 errhint("The comments on the columns of facematch.reference say what each holds."),
				 errtableconstraint(row->rel, "reference_is_whole")));
}

static const FaceEmbedding *
template_of(const FaceEnrolment *columns, const FaceRow *row)
{
	return DatumGetFaceEmbedding(row->values[columns->template - 1]);
}

/* Gives an untagged template the tag of its gallery's model. */
void
face_stamp(const FaceEnrolment *columns, FaceRow *row)
{
	FaceEmbedding *template = DatumGetFaceEmbedding(row->values[columns->template - 1]);
	const FaceGallery *gallery;

	if (template->model != FACE_NO_MODEL)
		return;
	gallery = face_gallery(face_row_number(row, columns->gallery), true);
	if (!gallery->exists)
		return;
	template = face_embedding_apply_typmod(template, FACE_TYPMOD(0, gallery->model_tag));
	face_row_set(row, columns->template, PointerGetDatum(template));
}

/* Refuses a photograph that is not as good as its gallery asks for. */
void
face_check_quality(const FaceEnrolment *columns, const FaceRow *row)
{
	int64		gallery_id = face_row_number(row, columns->gallery);
	int16		least = face_gallery(gallery_id, true)->min_quality;
	bool		assessed = !face_row_null(row, columns->quality);

	if (least == 0 || (assessed && DatumGetInt16(row->values[columns->quality - 1]) >= least))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_CHECK_VIOLATION), face_refusal("reference_is_of_its_gallerys_quality"),
			 assessed ?
			 errmsg("the quality of the photograph is %d, but gallery %lld requires %d", DatumGetInt16(row->values[columns->quality - 1]),
					(long long) gallery_id, least) :
			 errmsg("the quality of the photograph was not assessed, but gallery %lld requires %d", (long long) gallery_id, least),
			 errhint("Take a better photograph, or set facematch.gallery.min_quality.")));
}

/* As the foreign key would, but under a name of its own: an application tells the two apart. */
static void
refuse_missing(const FaceRow *row, int64 gallery_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_FOREIGN_KEY_VIOLATION), face_refusal("reference_gallery_exists"),
			 errmsg("insert or update on table \"%s\" violates foreign key constraint \"%s\"", RelationGetRelationName(row->rel),
					"reference_is_of_its_gallerys_model"),
			 errdetail("Gallery %lld is not there.", (long long) gallery_id),
			 errhint("A gallery holds templates of one model: facematch.gallery and facematch.model say which.")));
}

/* Refuses a template of another model than its gallery's, and one of no gallery, as the foreign key would. */
void
face_check_member(const FaceEnrolment *columns, const FaceRow *row)
{
	int64		gallery_id = face_row_number(row, columns->gallery);
	const FaceGallery *gallery = face_gallery(gallery_id, true);
	const FaceEmbedding *template = template_of(columns, row);

	if (!gallery->exists)
		refuse_missing(row, gallery_id);
	if (gallery->model_tag == template->model && gallery->dims == face_dims_of(template))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_FOREIGN_KEY_VIOLATION),
			 errmsg("insert or update on table \"%s\" violates foreign key constraint \"%s\"", RelationGetRelationName(row->rel),
					"reference_is_of_its_gallerys_model"),
			 errdetail("Gallery %lld is of the model with tag %d and %d dimensions, the template of one with tag %d and %d dimensions.",
					   (long long) gallery_id, gallery->model_tag, gallery->dims, template->model, face_dims_of(template)),
			 errhint("A gallery holds templates of one model: facematch.gallery and facematch.model say which."),
			 errtableconstraint(row->rel, "reference_is_of_its_gallerys_model")));
}
