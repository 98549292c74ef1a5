/*-------------------------------------------------------------------------
 *
 * planes.c
 *	  The look at the second bits of templates whose sketch passed: one cache
 *	  line each where a refinement code is three, on pages of their own.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "compat.h"
#include "index/refine.h"
#include "index/sealed.h"

/* Have a job's second bits, and the numbers beside them, on their way from memory. */
static void
prefetch_plane(FaceScan *scan, const FaceJob *job, const FaceLayout *layout, FaceAhead *ahead)
{
	face_look_ahead(scan, ahead, scan->pages[job->page].named[layout->refine_pages]);
	face_prefetch(ahead, layout->plane_scalars_offset + job->slot * layout->plane_scalars_stride, 1);
	face_prefetch(ahead, layout->planes_offset + job->slot * layout->plane_stride, layout->plane_bytes);
}

/* The jobs of a batch that are left, and those among them whose second bits are not summed up yet. */
typedef struct Reading
{
	FaceScan   *scan;
	const FaceEpochPlan *plan;
	FaceJobs   *jobs;
	int			kept;
	FaceBlockScalars *block;	/* of the last */
	FacePlanes	planes;
} Reading;

/* What the second bits collected give. */
static void
sum_up(Reading *reading)
{
	const FaceScan *scan = reading->scan;
	const int	n = reading->planes.n;
	const int	first = reading->kept - n;

	if (n == 0)
		return;
	face_planes_open(&reading->planes, &reading->plan->state->layout, reading->block);
	for (int t = 0; t < scan->ntargets; t++)
	{
		FaceSketchSum sketch_sums[FACE_BLOCK_SLOTS];

		for (int i = 0; i < n; i++)
		{
			const FaceJob job = reading->jobs->jobs[first + i];
			const FaceScanPage *page = &scan->pages[job.page];

			sketch_sums[i] = scan->sums[page->sums + (Size) t * page->slots + job.slot];
		}
		face_query_plane_sums(reading->plan->queries[t], n, sketch_sums, reading->planes.codes,
							  reading->jobs->sums + t * FACE_MAX_JOBS + first);
	}
	reading->planes.n = 0;
}

/*
 * Read what the jobs' plane pages have of them, each page locked once; jobs
 * whose page is no longer the one meant are taken out.
 */
static void
read_planes(FaceScan *scan, const FaceEpochPlan *plan, FaceJobs *jobs, FaceBlockScalars *scalars)
{
	const FaceLayout *layout = &plan->state->layout;
	Reading		reading;
	FaceAhead	ahead = {InvalidBlockNumber};
	Buffer		buffer = InvalidBuffer;
	bool		valid = false;

	reading.scan = scan;
	reading.plan = plan;
	reading.jobs = jobs;
	reading.kept = reading.planes.n = 0;
	for (int i = 0; i < Min(jobs->n, FACE_JOBS_AHEAD); i++)
		prefetch_plane(scan, &jobs->jobs[i], layout, &ahead);
	for (int i = 0; i < jobs->n; i++)
	{
		const FaceJob job = jobs->jobs[i];
		const FaceScanPage *page = &scan->pages[job.page];

		if (i + FACE_JOBS_AHEAD < jobs->n)
			prefetch_plane(scan, &jobs->jobs[i + FACE_JOBS_AHEAD], layout, &ahead);
		if (i == 0 || job.page != jobs->jobs[i - 1].page)
		{
			if (BufferIsValid(buffer))
				UnlockReleaseBuffer(buffer);
			valid = face_lock_named_page(scan, &job, layout->refine_pages, &buffer);
		}
		if (!valid)
			continue;
		if (reading.planes.n == 0)
		{
			/* the last block need not become full */
			reading.block = scalars + reading.kept / FACE_BLOCK_SLOTS;
			memset(reading.block, 0, sizeof(FaceBlockScalars));
		}
		face_planes_add(&reading.planes, layout, page->key, BufferGetPage(buffer), job.slot, reading.block);
		jobs->jobs[reading.kept++] = job;
		if (reading.planes.n == FACE_BLOCK_SLOTS)
			sum_up(&reading);
	}
	if (BufferIsValid(buffer))
		UnlockReleaseBuffer(buffer);
	sum_up(&reading);
	jobs->n = reading.kept;
}

/* Put infinity where a condition with a query of its own rules a template out. */
static void
apply_conditions(const FaceScan *scan, const FaceEpochPlan *plan, const FaceJobs *jobs, int nblocks,
				 const FaceBlockScalars *scalars, float *lower)
{
	float		bounds[FACE_MAX_JOBS];

	for (int t = 1; t < scan->ntargets; t++)
	{
		face_query_plane_bounds(plan->queries[t], nblocks, scalars, jobs->sums + t * FACE_MAX_JOBS,
								face_round_up(scan->targets[t].max_distance), bounds);
		for (int i = 0; i < jobs->n; i++)
			if (isinf(bounds[i]))
				lower[i] = get_float4_infinity();
	}
}

/* Let a job pass. */
static void
pass_job(const FaceScan *scan, const FaceJobs *jobs, int i, FaceJobs *passed)
{
	passed->jobs[passed->n] = jobs->jobs[i];
	for (int t = 0; t < scan->ntargets; t++)
		passed->sums[t * FACE_MAX_JOBS + passed->n] = jobs->sums[t * FACE_MAX_JOBS + i];
	passed->n++;
}

void
face_look_at_planes(FaceScan *scan, FaceJobs *jobs, FaceJobs *passed)
{
	const FaceEpochPlan *plan = scan->plans[scan->pages[jobs->jobs[0].page].epoch];
	FaceBlockScalars scalars[FACE_MAX_JOBS / FACE_BLOCK_SLOTS];
	float		lower[FACE_MAX_JOBS];
	const float limit = face_round_up(scan->limit);
	int			nblocks;

	scan->counters.planes += jobs->n;
	read_planes(scan, plan, jobs, scalars);
	nblocks = (jobs->n + FACE_BLOCK_SLOTS - 1) / FACE_BLOCK_SLOTS;
	face_query_plane_bounds(plan->queries[0], nblocks, scalars, jobs->sums,
							face_round_up(scan->targets[0].max_distance), lower);
	apply_conditions(scan, plan, jobs, nblocks, scalars, lower);
	for (int i = 0; i < jobs->n; i++)
	{
		/* if the key was destroyed in between, nothing can be read: the row is next */
		if ((lower[i] <= limit && !isinf(lower[i])) || face_page_is_lost(&scan->pages[jobs->jobs[i].page]))
			pass_job(scan, jobs, i, passed);
		else if (!isinf(lower[i]))
			face_return_slot(scan, &jobs->jobs[i], lower[i]);
	}
}
