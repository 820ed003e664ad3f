/* Threads spin for a short while when idle, for the next job of a token loop comes within
 * microseconds, and then sleep, so that an idle program uses no core. */
#define _GNU_SOURCE
#include "pool.h"

#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define RELAX() _mm_pause()
#elif defined(__aarch64__)
#define RELAX() __asm__ volatile("yield")
#else
#define RELAX() ((void)0)
#endif

/* About 100 microseconds between two jobs; at the end of a phase the others are at work, so yield late. */
enum { SPINS_IDLE = 4000, SPINS_WAIT = 20000 };

/* Counters carry the number of the run in their upper half, so that none needs clearing: one of an
 * older run counts as zero. */
typedef _Atomic uint64_t Counter;

typedef struct {
    _Alignas(64) Counter count;
} Line;

/* What one thread knows of the phase that it is in. */
typedef struct {
    _Alignas(64) int phase, total, chunk;
    int finished; /* chunks that this thread has done */
    const char *ahead, *ahead_end;
} Place;

struct Pool {
    int threads, phases;
    Line *lines;   /* [phases][1 + threads]: chunks done, then chunks taken of each thread's part */
    Place *places; /* one a thread */
    PoolJob job;
    void *context;
    uint64_t run; /* number of the run, in the upper half */
    _Alignas(64) atomic_uint generation; /* jobs started */
    _Alignas(64) atomic_int running;     /* workers not yet done with the job */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    int stop;
    pthread_t *handles;
    int started;
};

typedef struct {
    Pool *pool;
    int index;
} Worker;

static void *worker_main(void *argument)
{
    Worker self = *(Worker *)argument;
    Pool *pool = self.pool;
    unsigned seen = 0;
    free(argument);
    for (;;) {
        unsigned now;
        int spins = 0;
        while ((now = atomic_load_explicit(&pool->generation, memory_order_acquire)) == seen) {
            if (++spins < SPINS_IDLE) {
                RELAX();
                continue;
            }
            pthread_mutex_lock(&pool->lock);
            while (atomic_load_explicit(&pool->generation, memory_order_acquire) == seen)
                pthread_cond_wait(&pool->wake, &pool->lock);
            pthread_mutex_unlock(&pool->lock);
        }
        seen = now;
        if (pool->stop) return NULL;
        pool->places[self.index].phase = -1;
        pool->places[self.index].ahead = pool->places[self.index].ahead_end = NULL;
        pool->job(pool->context, pool, self.index);
        atomic_fetch_sub_explicit(&pool->running, 1, memory_order_release);
    }
}

static void start_generation(Pool *pool)
{
    pthread_mutex_lock(&pool->lock); /* no worker may go to sleep between its look and its wait */
    atomic_fetch_add_explicit(&pool->generation, 1, memory_order_release);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
}

Pool *pool_create(int threads)
{
    Pool *pool = calloc(1, sizeof *pool);
    if (!pool) return NULL;
    pool->threads = threads;
    pool->places = aligned_alloc(64, sizeof(Place) * (size_t)threads);
    pool->handles = calloc((size_t)threads, sizeof *pool->handles);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    if (!pool->places || !pool->handles || pool_reserve(pool, 1)) {
        pool_destroy(pool);
        return NULL;
    }
    for (int i = 1; i < threads; i++) {
        Worker *self = malloc(sizeof *self);
        if (self) *self = (Worker){pool, i};
        if (!self || pthread_create(&pool->handles[i], NULL, worker_main, self)) {
            free(self);
            pool_destroy(pool);
            return NULL;
        }
        pool->started = i;
    }
    return pool;
}

void pool_destroy(Pool *pool)
{
    if (!pool) return;
    pool->stop = 1;
    start_generation(pool);
    for (int i = 1; i <= pool->started; i++) pthread_join(pool->handles[i], NULL);
    pthread_mutex_destroy(&pool->lock);
    pthread_cond_destroy(&pool->wake);
    free(pool->places);
    free(pool->lines);
    free(pool->handles);
    free(pool);
}

int pool_threads(const Pool *pool) { return pool->threads; }

int pool_reserve(Pool *pool, int phases)
{
    size_t lines = (size_t)phases * (size_t)(pool->threads + 1);
    Line *fresh = aligned_alloc(64, lines * sizeof *fresh);
    if (!fresh) return -1;
    memset(fresh, 0, lines * sizeof *fresh);
    free(pool->lines);
    pool->lines = fresh;
    pool->phases = phases;
    return 0;
}

void pool_run(Pool *pool, PoolJob job, void *context)
{
    int spins = 0;
    pool->job = job;
    pool->context = context;
    pool->run += (uint64_t)1 << 32;
    pool->places[0].phase = -1;
    pool->places[0].ahead = pool->places[0].ahead_end = NULL;
    atomic_store_explicit(&pool->running, pool->threads - 1, memory_order_relaxed);
    if (pool->threads > 1) start_generation(pool);
    job(context, pool, 0);
    while (atomic_load_explicit(&pool->running, memory_order_acquire))
        if (++spins < SPINS_WAIT) {
            RELAX();
        } else {
            sched_yield();
        }
}

static Line *lines_of(const Pool *pool, int phase) { return pool->lines + (size_t)phase * (size_t)(pool->threads + 1); }

static uint64_t of_this_run(const Pool *pool, uint64_t count)
{
    return count >= pool->run ? count : pool->run; /* older runs have smaller numbers */
}

void pool_open(Pool *pool, int index, int total, int chunk)
{
    Place *mine = &pool->places[index];
    mine->phase++;
    mine->total = total;
    mine->chunk = chunk;
    mine->finished = 0;
}

/* Take chunks of a part that has `size`: one, and one for every `share` of those that are left. -1 when none is. */
static int take_from(const Pool *pool, Counter *taken, int size, int share, int *count)
{
    uint64_t seen = atomic_load_explicit(taken, memory_order_relaxed);
    for (;;) {
        uint64_t now = of_this_run(pool, seen);
        int left = size - (int)(uint32_t)now;
        if (left <= 0) return -1;
        *count = 1 + (left - 1) / share;
        if (atomic_compare_exchange_weak_explicit(taken, &seen, now + (uint64_t)*count, memory_order_relaxed,
                                                  memory_order_relaxed))
            return (int)(uint32_t)now;
    }
}

static int take(Pool *pool, int index, int share, int *begin, int *end)
{
    Place *mine = &pool->places[index];
    Line *lines = lines_of(pool, mine->phase);
    int threads = pool->threads, chunk = mine->chunk, count;
    int64_t chunks = (mine->total + chunk - 1) / chunk;
    for (int i = 0; i < threads; i++) {
        int who = (index + i) % threads;
        int first = (int)(chunks * who / threads), last = (int)(chunks * (who + 1) / threads);
        int at = take_from(pool, &lines[1 + who].count, last - first, share, &count);
        if (at < 0) continue;
        *begin = (first + at) * chunk;
        *end = *begin + count * chunk < mine->total ? *begin + count * chunk : mine->total;
        mine->finished += count; /* they will be, before this thread closes the phase */
        return 1;
    }
    return 0;
}

int pool_take(Pool *pool, int index, int *begin, int *end) { return take(pool, index, INT_MAX, begin, end); }

int pool_take_some(Pool *pool, int index, int *begin, int *end)
{
    enum { SHARE = 8 }; /* little is left when the last ones are taken one by one */
    return take(pool, index, SHARE, begin, end);
}

void pool_ahead(Pool *pool, int index, const void *data, size_t bytes)
{
    Place *mine = &pool->places[index];
    mine->ahead = data;
    mine->ahead_end = mine->ahead + bytes;
}

void pool_close(Pool *pool, int index)
{
    Place *mine = &pool->places[index];
    Counter *done = &lines_of(pool, mine->phase)->count;
    uint64_t all = pool->run + (uint64_t)((mine->total + mine->chunk - 1) / mine->chunk), seen;
    int spins = 0;
    if (mine->finished) {
        seen = atomic_load_explicit(done, memory_order_relaxed);
        while (!atomic_compare_exchange_weak_explicit(done, &seen, of_this_run(pool, seen) + (uint64_t)mine->finished,
                                                      memory_order_acq_rel, memory_order_relaxed)) {}
    }
    while (of_this_run(pool, atomic_load_explicit(done, memory_order_acquire)) < all)
        if (mine->ahead < mine->ahead_end) {
            __builtin_prefetch(mine->ahead, 0, 2);
            mine->ahead += 64;
        } else if (++spins < SPINS_WAIT) {
            RELAX();
        } else {
            sched_yield();
        }
}
