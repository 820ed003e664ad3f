/* A persistent pool of threads that run one function together, and the barrier inside it. */
#ifndef STERNA_POOL_H
#define STERNA_POOL_H

typedef struct Pool Pool;

/* Work of one thread: `index` in [0, threads). Every thread runs the whole function. */
typedef void (*PoolJob)(void *context, Pool *pool, int index);

Pool *pool_create(int threads); /* NULL: threads or memory could not be had */
void pool_destroy(Pool *pool);
int pool_threads(const Pool *pool);
void pool_run(Pool *pool, PoolJob job, void *context); /* the caller is thread 0 */
void pool_barrier(Pool *pool, int index);

/* Share `total` items among the threads: each takes chunks from its own contiguous part and then
 * helps the others, so that a slow core holds nobody up. A barrier must separate two uses. */
void pool_share(Pool *pool, int index, int total, int chunk);
/* Next [*begin, *end) for this thread; 0 when all is taken. */
int pool_take(Pool *pool, int index, int *begin, int *end);

#endif
