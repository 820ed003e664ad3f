/* A persistent pool of threads that run one function together, phase by phase.
 *
 * A phase is over when its work is done, not when every thread has arrived: a thread that the system
 * has put aside (another program wants the core) holds nobody up, and passes the phases that others
 * did without it when it comes back. */
#ifndef STERNA_POOL_H
#define STERNA_POOL_H

#include <stddef.h>

typedef struct Pool Pool;

/* Work of one thread: `index` in [0, threads). Every thread runs the whole function. */
typedef void (*PoolJob)(void *context, Pool *pool, int index);

Pool *pool_create(int threads); /* NULL: threads or memory could not be had */
void pool_destroy(Pool *pool);
int pool_threads(const Pool *pool);
/* Room for jobs of up to `phases` phases; 0, or -1 without memory. Not while a job runs. */
int pool_reserve(Pool *pool, int phases);
void pool_run(Pool *pool, PoolJob job, void *context); /* the caller is thread 0 */

/* Every thread opens the phases of a job in the same order, with the same total and chunk.
 * `total` items are shared out: each thread takes chunks from its own contiguous part and then
 * helps the others. */
void pool_open(Pool *pool, int index, int total, int chunk);
/* Next [*begin, *end) for this thread, a chunk; 0 when all is taken. */
int pool_take(Pool *pool, int index, int *begin, int *end);
/* The same, but of several chunks while many are left: for chunks that are soon done, or agreeing costs too much. */
int pool_take_some(Pool *pool, int index, int *begin, int *end);
/* Memory that this thread reads soon, of which as much as there is time for is brought into the second-level
 * cache while it waits for others. */
void pool_ahead(Pool *pool, int index, const void *data, size_t bytes);
/* Wait until all items of the phase are done; what was written for them is then visible. */
void pool_close(Pool *pool, int index);

#endif
