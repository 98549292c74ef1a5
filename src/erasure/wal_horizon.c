/*-------------------------------------------------------------------------
 *
 * wal_horizon.c
 *	  How far back the files in pg_wal reach.
 *
 * A recycled segment is renamed for future use and keeps its old contents. A
 * segment that is being written has old contents after the new. So file names tell
 * nothing: the header of each page of each file tells which WAL it holds.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/stat.h>
#include <unistd.h>

#include "access/htup_details.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "access/xlogrecovery.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/pg_lsn.h"

#include "compat.h"

PG_FUNCTION_INFO_V1(facematch_wal_files);

typedef struct WalFiles
{
	XLogRecPtr	oldest;			/* of any page, invalid if there is none */
	int64		files;
	int64		older;			/* files with a page from before what they are named for */
	int64		unknown;		/* files with a page that is neither empty nor WAL of this version */
} WalFiles;

/* What a page is of, from its first bytes. */
static void
read_page_header(const XLogPageHeaderData *header, XLogRecPtr *oldest, bool *unknown)
{
	static const XLogPageHeaderData empty;

	if (header->xlp_magic == XLOG_PAGE_MAGIC)
		*oldest = *oldest == InvalidXLogRecPtr ? header->xlp_pageaddr : Min(*oldest, header->xlp_pageaddr);
	else if (memcmp(header, &empty, sizeof(empty)) != 0)
		*unknown = true;
}

/* One file; one that goes away meanwhile holds nothing any more. */
static void
read_file(const char *path, XLogRecPtr begins, WalFiles *wal)
{
	int			fd = OpenTransientFile(path, O_RDONLY | PG_BINARY);
	XLogRecPtr	oldest = InvalidXLogRecPtr;
	bool		unknown = false;
	XLogPageHeaderData header;

	if (fd < 0 && errno == ENOENT)
		return;
	if (fd < 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not open file \"%s\": %m", path)));
	for (off_t at = 0; pg_pread(fd, &header, sizeof(header), at) == sizeof(header); at += XLOG_BLCKSZ)
	{
		CHECK_FOR_INTERRUPTS();
		read_page_header(&header, &oldest, &unknown);
	}
	CloseTransientFile(fd);

	wal->files++;
	wal->unknown += unknown;
	if (oldest == InvalidXLogRecPtr)
		return;
	wal->older += oldest < begins;
	wal->oldest = wal->oldest == InvalidXLogRecPtr ? oldest : Min(wal->oldest, oldest);
}

static void
read_directory(WalFiles *wal)
{
	DIR		   *dir = AllocateDir(XLOGDIR);
	struct dirent *entry;

	while ((entry = ReadDir(dir, XLOGDIR)) != NULL)
	{
		char		path[MAXPGPATH];
		struct stat status;
		XLogRecPtr	begins = InvalidXLogRecPtr;

		snprintf(path, sizeof(path), XLOGDIR "/%s", entry->d_name);
		if (stat(path, &status) != 0 || !S_ISREG(status.st_mode))
			continue;
		if (IsXLogFileName(entry->d_name))
		{
			TimeLineID	timeline;
			XLogSegNo	segment;

			XLogFromFileName(entry->d_name, &timeline, &segment, wal_segment_size);
			XLogSegNoOffsetToRecPtr(segment, 0, wal_segment_size, begins);
		}
		else if (IsTLHistoryFileName(entry->d_name) || IsBackupHistoryFileName(entry->d_name))
			continue;			/* a few lines of text */
		read_file(path, begins, wal);
	}
	FreeDir(dir);
}

/* wal_files(): one row */
Datum
facematch_wal_files(PG_FUNCTION_ARGS)
{
	TupleDesc	desc;
	WalFiles	wal = {InvalidXLogRecPtr};
	Datum		values[5];
	bool		nulls[lengthof(values)] = {false};
	XLogRecPtr	now = RecoveryInProgress() ? GetXLogReplayRecPtr(NULL) : GetXLogInsertRecPtr();

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	read_directory(&wal);
	values[0] = LSNGetDatum(wal.oldest);
	nulls[0] = wal.oldest == InvalidXLogRecPtr;
	values[1] = LSNGetDatum(now);
	values[2] = Int64GetDatum(wal.files);
	values[3] = Int64GetDatum(wal.older);
	values[4] = Int64GetDatum(wal.unknown);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
