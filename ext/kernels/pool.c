/* Threads spin for a short while when idle, for the next job of a token loop comes within
 * microseconds, and then sleep, so that an idle program uses no core. */
#define _GNU_SOURCE
#include "pool.h"

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

/* About 100 microseconds between two jobs; inside a barrier the others are at work, so yield late. */
enum { SPINS_IDLE = 4000, SPINS_BARRIER = 20000 };

/* What one thread knows of the sharing in progress; `next` is what others may take from. */
typedef struct {
    _Alignas(64) atomic_int next[2]; /* items of this thread's part that are taken, in two uses */
    _Alignas(64) int turn, total, chunk;
} Share;

struct Pool {
    int threads;
    Share *shares; /* one a thread */
    PoolJob job;
    void *context;
    _Alignas(64) atomic_uint generation; /* jobs started */
    _Alignas(64) atomic_int running;     /* workers not yet done with the job */
    _Alignas(64) atomic_int arrived;     /* threads in the barrier */
    _Alignas(64) atomic_uint phase;      /* barriers passed */
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
    pool->shares = aligned_alloc(64, sizeof(Share) * (size_t)threads);
    pool->handles = calloc((size_t)threads, sizeof *pool->handles);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    if (!pool->shares || !pool->handles) {
        pool_destroy(pool);
        return NULL;
    }
    memset(pool->shares, 0, sizeof(Share) * (size_t)threads);
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
    free(pool->shares);
    free(pool->handles);
    free(pool);
}

int pool_threads(const Pool *pool) { return pool->threads; }

void pool_run(Pool *pool, PoolJob job, void *context)
{
    int spins = 0;
    pool->job = job;
    pool->context = context;
    atomic_store_explicit(&pool->running, pool->threads - 1, memory_order_relaxed);
    if (pool->threads > 1) start_generation(pool);
    job(context, pool, 0);
    while (atomic_load_explicit(&pool->running, memory_order_acquire))
        if (++spins < SPINS_BARRIER) {
            RELAX();
        } else {
            sched_yield();
        }
}

void pool_barrier(Pool *pool, int index)
{
    unsigned phase;
    int spins = 0;
    (void)index;
    if (pool->threads == 1) return;
    phase = atomic_load_explicit(&pool->phase, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&pool->arrived, 1, memory_order_acq_rel) == pool->threads - 1) {
        atomic_store_explicit(&pool->arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&pool->phase, phase + 1, memory_order_release);
        return;
    }
    while (atomic_load_explicit(&pool->phase, memory_order_acquire) == phase)
        if (++spins < SPINS_BARRIER) {
            RELAX();
        } else {
            sched_yield();
        }
}

/* Each part follows from total, chunk and threads, so only the counters are shared. There are two
 * sets of them, used in turn: a thread clears its counter of the other set here, when all are done
 * with that one (a barrier lies between) and before anybody begins with it (another barrier). */
void pool_share(Pool *pool, int index, int total, int chunk)
{
    Share *mine = &pool->shares[index];
    mine->turn ^= 1;
    mine->total = total;
    mine->chunk = chunk;
    atomic_store_explicit(&mine->next[mine->turn ^ 1], 0, memory_order_relaxed);
}

int pool_take(Pool *pool, int index, int *begin, int *end)
{
    const Share *mine = &pool->shares[index];
    int threads = pool->threads, chunk = mine->chunk;
    int64_t chunks = (mine->total + chunk - 1) / chunk;
    for (int i = 0; i < threads; i++) {
        int who = (index + i) % threads;
        atomic_int *next = &pool->shares[who].next[mine->turn];
        int first = (int)(chunks * who / threads), last = (int)(chunks * (who + 1) / threads);
        if (atomic_load_explicit(next, memory_order_relaxed) >= last - first) continue;
        int at = first + atomic_fetch_add_explicit(next, 1, memory_order_relaxed);
        if (at >= last) continue;
        *begin = at * chunk;
        *end = *begin + chunk < mine->total ? *begin + chunk : mine->total;
        return 1;
    }
    return 0;
}
