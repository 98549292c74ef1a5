/*-------------------------------------------------------------------------
 *
 * templates.c
 *	  Sets of labelled templates, read block by block from a query.
 *
 * Nothing is written to a temporary file: a template would stay behind in it.
 * What does not fit into memory is read again instead.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"

#include "accuracy/templates.h"
#include "base/query.h"
#include "base/refusal.h"
#include "simd/half.h"

PG_FUNCTION_INFO_V1(facematch_checked_set);

/* Rows asked of a cursor at a time. */
#define FETCH_ROWS	1000

/* However little memory there is, blocks smaller than this would be all overhead. */
#define LEAST_ROWS	256

/* More rows in a block would not be faster, and 32-bit positions would not reach. */
#define MOST_ROWS	1000000

enum
{
	COLUMN_ID = 1,
	COLUMN_SUBJECT,
	COLUMN_TEMPLATE,
	COLUMNS = COLUMN_TEMPLATE
};

/*
 * The clock is volatile too, but by the clock a set loses only what becomes due, and
 * row security of the extension's own tables asks it.
 */
static bool
is_volatile(Oid function, void *context)
{
	return function != F_CLOCK_TIMESTAMP && func_volatile(function) == PROVOLATILE_VOLATILE;
}

/* Whether a query may give other rows when it runs again with the same snapshot. */
static bool
varies(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		const Query *query = (const Query *) node;
		bool		limited = query->limitCount != NULL || query->limitOffset != NULL;

		/* which rows a limit leaves is the plan's choice, unless there is an order */
		if (limited && query->sortClause == NIL && query->jointree->fromlist != NIL)
			return true;
		return query_tree_walker((Query *) node, varies, context, 0);
	}
	if (IsA(node, TableSampleClause) && ((TableSampleClause *) node)->repeatable == NULL)
		return true;
	if (IsA(node, NextValueExpr) || check_functions_in_node(node, is_volatile, NULL))
		return true;
	return expression_tree_walker(node, varies, context);
}

/* A set is read several times, in one comparison and in several: it has to be the same set each time. */
static void
check_repeatable(const FaceSet *set)
{
	ListCell   *cell;

	foreach(cell, SPI_plan_get_plan_sources(set->plan))
	{
		CachedPlanSource *source = lfirst(cell);

		if (varies((Node *) linitial(source->query_list), NULL))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("argument %s may give other rows each time it is read", set->name),
					 errdetail("It has a volatile function, LIMIT without ORDER BY, or TABLESAMPLE without REPEATABLE."),
					 errhint("Put the sample into a table first, and give that table.")));
	}
}

/* Past what may stand before the first word of a query: blanks, comments and opening parentheses. */
static const char *
first_word(const char *text)
{
	int			depth = 0;

	for (;;)
	{
		const bool	opens = text[0] == '/' && text[1] == '*';
		const bool	closes = depth > 0 && text[0] == '*' && text[1] == '/';

		depth += opens - closes;
		if (opens || closes)
			text += 2;
		else if (depth == 0 && text[0] == '-' && text[1] == '-')
			text += strcspn(text, "\r\n");
		else if (*text != '\0' && (depth > 0 || strchr(" \t\r\n\f\v(", *text) != NULL))
			text++;
		else
			return text;
	}
}

/* A table's name, the first thing that comes to mind, would be PostgreSQL's syntax error in a statement that nobody wrote. */
static void
check_query(const char *name, const char *query, int columns)
{
	static const char *const begin[] = {"SELECT", "WITH", "VALUES", "TABLE"};
	const char *word = first_word(query);
	size_t		length = strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789$");

	for (int i = 0; i < lengthof(begin); i++)
		if (length == strlen(begin[i]) && pg_strncasecmp(word, begin[i], length) == 0)
			return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE), face_refusal("set_is_a_query"),
			 errmsg("argument %s is not a query", name),
			 errhint("Give the text of one query with %d columns: SELECT id, subject, template%s FROM a table.",
					 columns, columns > COLUMNS ? ", quality" : "")));
}

/*
 * checked_set(name text, query text, columns int4) returns text
 *
 * The query as it is, for functions in SQL that put it into a query of their own.
 */
Datum
facematch_checked_set(PG_FUNCTION_ARGS)
{
	check_query(text_to_cstring(PG_GETARG_TEXT_PP(0)), text_to_cstring(PG_GETARG_TEXT_PP(1)), PG_GETARG_INT32(2));
	PG_RETURN_DATUM(PG_GETARG_DATUM(1));
}

FaceSet *
face_set_open(const char *name, const char *query)
{
	FaceSet    *set = palloc0(sizeof(FaceSet));
	StringInfoData text;

	check_query(name, query, COLUMNS);
	set->name = name;
	/* The query stands on lines of its own: it may end in a comment. */
	initStringInfo(&text);
	appendStringInfo(&text, "SELECT q.id::pg_catalog.int8, q.subject::pg_catalog.text, q.template::%s.face_embedding FROM (\n%s\n) q (id, subject, template)",
					 face_type_schema(), query);
	set->plan = face_prepare_query(text.data);
	if (!SPI_is_cursor_plan(set->plan))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), face_refusal("set_is_a_query"),
				 errmsg("argument %s is not a query", name),
				 errhint("Give one SELECT with three columns: identifier, subject, template.")));
	check_repeatable(set);
	set->cursor = face_open_query(set->plan);
	return set;
}

void
face_set_rewind(FaceSet *set)
{
	SPI_cursor_close(set->cursor);
	set->cursor = face_open_query(set->plan);
	set->read = 0;
	set->ended = false;
}

void
face_set_close(FaceSet *set)
{
	SPI_cursor_close(set->cursor);
	SPI_freeplan(set->plan);
	pfree(set);
}

static void
give_memory(FaceBlock *block, int dims, int rows)
{
	Size		row_size;

	block->dims = dims;
	block->stride = MAXALIGN(FACE_EMBEDDING_SIZE(dims));
	row_size = block->stride + dims * sizeof(float) + sizeof(int64) + sizeof(FaceLabel) + sizeof(uint32) + sizeof(FaceEmbedding *);
	if (rows == 0)
		rows = Min((Size) maintenance_work_mem * 1024 / row_size, MOST_ROWS);
	block->capacity = Max(rows, LEAST_ROWS);
	block->ids = MemoryContextAllocHuge(CurrentMemoryContext, block->capacity * sizeof(int64));
	block->labels = MemoryContextAllocHuge(CurrentMemoryContext, block->capacity * sizeof(FaceLabel));
	block->tags = MemoryContextAllocHuge(CurrentMemoryContext, block->capacity * sizeof(uint32));
	block->templates = MemoryContextAllocHuge(CurrentMemoryContext, block->capacity * sizeof(FaceEmbedding *));
	block->unit = MemoryContextAllocHuge(CurrentMemoryContext, (Size) block->capacity * dims * sizeof(float));
	block->arena = MemoryContextAllocHuge(CurrentMemoryContext, block->capacity * block->stride);
}

static void
check_template(FaceSet *set, const FaceEmbedding *template)
{
	if (set->dims == 0)
		set->dims = template->dims;
	if (set->model == FACE_NO_MODEL)
		set->model = template->model;
	if (template->dims != set->dims)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("argument %s gives templates of %d and of %d dimensions", set->name, set->dims, template->dims),
				 errhint("Choose the templates of one model.")));
	if (template->model != FACE_NO_MODEL && template->model != set->model)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument %s gives templates of models %d and %d", set->name, set->model, template->model),
				 errhint("Scores of different models mean nothing: choose the templates of one model.")));
}

static FaceLabel
label_of(const text *subject)
{
	const unsigned char *bytes = (const unsigned char *) VARDATA_ANY(subject);
	int			length = VARSIZE_ANY_EXHDR(subject);
	FaceLabel	label;

	label.high = hash_bytes_extended(bytes, length, 0);
	label.low = hash_bytes_extended(bytes, length, label.high);
	return label;
}

/* Opened, if it is sealed; NULL: its key has been destroyed. */
static FaceEmbedding *
opened(FaceEmbedding *template)
{
	static PGFunction open = NULL;

	LOCAL_FCINFO(call, 1);
	Datum		result;

	if (!face_is_sealed(template))
		return template;
	/* the main module's, which has the keys */
	if (open == NULL)
		open = (PGFunction) load_external_function("$libdir/facematch", "facematch_opened", true, NULL);
	InitFunctionCallInfoData(*call, NULL, 1, InvalidOid, NULL, NULL);
	call->args[0].value = PointerGetDatum(template);
	call->args[0].isnull = false;
	result = open(call);
	return call->isnull ? NULL : DatumGetFaceEmbedding(result);
}

static void
add_row(FaceSet *set, FaceBlock *block, int rows, HeapTuple row, TupleDesc description)
{
	Datum		values[COLUMNS + 1];
	FaceEmbedding *template;

	for (int i = COLUMN_ID; i <= COLUMNS; i++)
	{
		bool		isnull;

		values[i] = SPI_getbinval(row, description, i, &isnull);
		if (isnull)
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("argument %s gives a NULL", set->name),
					 errhint("Identifier, subject and template of every row must be known; leave out captures that gave no template.")));
	}
	template = opened(DatumGetFaceEmbedding(values[COLUMN_TEMPLATE]));
	/* It compares with nobody. */
	if (template == NULL)
		return;
	check_template(set, template);
	if (block->arena == NULL)
		give_memory(block, template->dims, rows);
	block->ids[block->n] = DatumGetInt64(values[COLUMN_ID]);
	block->labels[block->n] = label_of(DatumGetTextPP(values[COLUMN_SUBJECT]));
	block->templates[block->n] = (FaceEmbedding *) (block->arena + block->n * block->stride);
	memcpy(block->templates[block->n], template, VARSIZE(template));
	if ((Pointer) template != DatumGetPointer(values[COLUMN_TEMPLATE]))
		pfree(template);
	block->n++;
	set->read++;
}

typedef struct SortItem
{
	int64		id;
	FaceLabel	label;
	FaceEmbedding *template;
} SortItem;

static int
compare_items(const void *a, const void *b)
{
	int64		x = ((const SortItem *) a)->id;
	int64		y = ((const SortItem *) b)->id;

	return (x > y) - (x < y);
}

static void
sort_block(FaceBlock *block)
{
	SortItem   *items = MemoryContextAllocHuge(CurrentMemoryContext, block->n * sizeof(SortItem));

	for (int i = 0; i < block->n; i++)
		items[i] = (SortItem) {block->ids[i], block->labels[i], block->templates[i]};
	qsort(items, block->n, sizeof(SortItem), compare_items);
	for (int i = 0; i < block->n; i++)
	{
		block->ids[i] = items[i].id;
		block->labels[i] = items[i].label;
		block->templates[i] = items[i].template;
	}
	pfree(items);
}

static uint32
tag_of(const FaceLabel *label)
{
	return (uint32) label->low;
}

/* Tags of different subjects are seldom equal, so nearly all of them are passed over a stride at a time. */
#define TAG_STRIDE	32

int
face_find_subject(const FaceBlock *block, int first, int n, const FaceLabel *label, int *found)
{
	const uint32 *tags = block->tags + first;
	const FaceLabel *labels = block->labels + first;
	uint32		tag = tag_of(label);
	int			nfound = 0;

	for (int begin = 0; begin < n; begin += TAG_STRIDE)
	{
		int			end = Min(begin + TAG_STRIDE, n);
		uint32		equal = 0;

		for (int i = begin; i < end; i++)
			equal |= tags[i] == tag;
		if (likely(!equal))
			continue;
		for (int i = begin; i < end; i++)
			if (tags[i] == tag && face_same_subject(&labels[i], label))
				found[nfound++] = i;
	}
	return nfound;
}

/* Each component divided by the template's norm, rounded once to float32. */
static void
make_unit(FaceBlock *block)
{
	for (int i = 0; i < block->n; i++)
	{
		const FaceEmbedding *template = block->templates[i];
		float	   *row = block->unit + (Size) i * block->dims;
		double		norm = template->norm;

		for (int k = 0; k < block->dims; k++)
			row[k] = (float) (half_to_float(template->x[k]) / norm);
	}
}

bool
face_set_next(FaceSet *set, FaceBlock *block, int rows, bool sorted)
{
	block->n = 0;
	while (!set->ended && (block->arena == NULL || block->n < block->capacity))
	{
		CHECK_FOR_INTERRUPTS();
		SPI_cursor_fetch(set->cursor, true, block->arena == NULL ? 1 : Min(FETCH_ROWS, block->capacity - block->n));
		if (SPI_processed == 0)
			set->ended = true;
		for (uint64 i = 0; i < SPI_processed; i++)
			add_row(set, block, rows, SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
		SPI_freetuptable(SPI_tuptable);
	}
	if (sorted)
		sort_block(block);
	for (int i = 0; i < block->n; i++)
		block->tags[i] = tag_of(&block->labels[i]);
	make_unit(block);
	return block->n > 0;
}
