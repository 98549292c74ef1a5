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

void
face_put_scalars(FaceBlockScalars *blocks, int place, const FaceScalars *s)
{
	FaceBlockScalars *block = blocks + place / FACE_BLOCK_SLOTS;
	const int	slot = place % FACE_BLOCK_SLOTS;

	block->inverse[slot] = s->inverse;
	block->tangent[slot] = s->tangent;
	block->centre_product[slot] = s->centre_product;
	block->norm[slot] = s->norm;
}

/*
 * Read what the jobs' plane pages have of them, each page locked once; jobs
 * whose page is no longer the one meant are taken out.
 */
static void
read_planes(FaceScan *scan, const FaceEpochPlan *plan, FaceJobs *jobs, FaceBlockScalars *scalars)
{
	const FaceLayout *layout = &plan->state->layout;
	FaceAhead	ahead = {InvalidBlockNumber};
	Buffer		buffer = InvalidBuffer;
	bool		valid = false;
	int			kept = 0;
	FaceSlotRoom room;

	for (int i = 0; i < Min(jobs->n, FACE_JOBS_AHEAD); i++)
		prefetch_plane(scan, &jobs->jobs[i], layout, &ahead);
	for (int i = 0; i < jobs->n; i++)
	{
		const FaceJob job = jobs->jobs[i];
		const FaceScanPage *page = &scan->pages[job.page];
		FacePlane	plane;

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
		plane = face_open_plane(layout, page->key, BufferGetPage(buffer), job.slot, &room);
		for (int t = 0; t < scan->ntargets; t++)
			jobs->sums[t * FACE_MAX_JOBS + kept] =
				face_query_plane_sum(plan->queries[t], scan->sums[page->sums + (Size) t * page->slots + job.slot], plane.code);
		face_put_scalars(scalars, kept, plane.scalars);
		jobs->jobs[kept++] = job;
	}
	if (BufferIsValid(buffer))
		UnlockReleaseBuffer(buffer);
	jobs->n = kept;
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
	const FaceScalars none = {0};
	int			nblocks;

	scan->counters.planes += jobs->n;
	read_planes(scan, plan, jobs, scalars);

	/* the last block need not be full */
	for (int i = jobs->n; i % FACE_BLOCK_SLOTS != 0; i++)
		face_put_scalars(scalars, i, &none);
	nblocks = (jobs->n + FACE_BLOCK_SLOTS - 1) / FACE_BLOCK_SLOTS;
	face_query_plane_bounds(plan->queries[0], nblocks, scalars, jobs->sums,
							face_round_up(scan->targets[0].max_distance), lower);
	apply_conditions(scan, plan, jobs, nblocks, scalars, lower);
	for (int i = 0; i < jobs->n; i++)
	{
		/* of a key that was destroyed meanwhile there is nothing to read: the row is next */
		if ((lower[i] <= limit && !isinf(lower[i])) || face_page_is_lost(&scan->pages[jobs->jobs[i].page]))
			pass_job(scan, jobs, i, passed);
		else if (!isinf(lower[i]))
			face_return_slot(scan, &jobs->jobs[i], lower[i]);
	}
}
