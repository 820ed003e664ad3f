/* A model as a flat list of steps over named buffers, run by all threads of a pool together.
 *
 * The Python side describes a transformer once, step by step; a token then costs one call. */
#ifndef STERNA_PROGRAM_H
#define STERNA_PROGRAM_H

#include "pool.h"
#include "sterna.h"

enum { STEP_EMBED, STEP_NORM, STEP_LINEAR, STEP_ROPE, STEP_ATTEND, STEP_GLU, STEP_CAP, STEP_EXPERTS, STEP_KINDS };
enum { MAX_OUTPUTS = 3 };

/* Low-rank side paths of all adapters on one LINEAR step: out[i] += up[i] (factor * (down x)). On EMBED
 * `down` is a table, by id, and its row stands for down x. */
typedef struct {
    Matrix down;          /* float32 or float16 [ranks][width of x]; EMBED: [ids][ranks] */
    int ranks, half;      /* half: float16 */
    const float *factor;  /* [ranks] */
    struct {
        const void *up;   /* the same type, [row / ROW_GROUP][ranks][ROW_GROUP]; NULL: this output has none */
        int first, ranks;   /* which of the step's */
    } out[MAX_OUTPUTS];
} Side;

/* A mixture of experts, on the input that the last NORM prepared: see experts.c. */
typedef struct {
    int groups, units;
} Counts;

typedef struct {
    int count, used, width, kind_of_gate, normalise;
    float scale;         /* of the weights */
    const float *logits; /* [tokens][count] */
    const Matrix **gate, **up, **down; /* [count] */
    Counts *counts;      /* of the run in progress */
    /* where squares of inputs are added: of gate and up [count][width of the stream], of down [count][width];
     * and tokens by expert. NULL: they are not */
    double *squares, *inner_squares;
    int64_t *seen;
} Experts;

typedef struct {
    int expert, first, tokens; /* slots first…; of several tokens from the start of a tile */
} Group;

typedef struct {
    int group, at; /* a tile of a group, or one slot */
} Unit;

/* Where tokens went, and the room for what experts work on; shared by all layers. */
typedef struct {
    int *chosen;     /* [tokens][used] */
    float *weight;   /* the same */
    int *slot;       /* the same */
    int *token;      /* [slots] */
    float *share;    /* [slots] weight of the expert */
    int *of;         /* [count] */
    Group *group;    /* [count or used] */
    Unit *unit;      /* [slots] */
    Act act;         /* inputs of the products, [slots] */
    float *gate, *up; /* [slots][width] */
    float *out;      /* [slots][width of the stream], in the room of gate and up */
    float *row;      /* [threads][row_floats] */
    size_t row_floats;
} Routed;

/* The most slots that so many tokens can take. */
int expert_slots(int tokens, int count, int used);

typedef struct {
    int kind;
    const Experts *experts;
    const Side *side; /* EMBED, LINEAR: NULL without adapters */
    /* buffers, [tokens][width]; NULL when unused */
    float *in;
    float *out[MAX_OUTPUTS];
    const float *bias[MAX_OUTPUTS];
    const Matrix *matrix[MAX_OUTPUTS]; /* LINEAR: products of one input; EMBED: the table */
    int outputs;
    double *squares;     /* LINEAR: [columns] where the squares of every token's input are added; NULL: they are not */
    int width;           /* of `in` */
    int out_width[MAX_OUTPUTS];
    /* NORM: rms norm with `weight` (NULL: none) times `scale`, then the forms that the next products want.
     * Before it, in += rms norm of `branch`; after it, times the sigmoid of `gate` [tokens] (NULL: none). */
    const float *weight, *branch, *branch_weight, *gate;
    float eps;
    int forms;
    int last_only;       /* NORM, LINEAR: only tokens whose logits are wanted */
    int add;             /* LINEAR: out += */
    int kind_of_gate;    /* GLU: GATE_… */
    float scale;         /* EMBED, NORM, ATTEND: factor; CAP: the cap */
    /* ROPE, ATTEND */
    Cache *k, *v;
    int q_heads, rope_width, neox;
    const float *inverse[2]; /* [rope_width / 2] angle of one position, by Program.far */
    float rope_scale;     /* of sine and cosine (YaRN), 1 otherwise */
    const float *q_norm, *k_norm; /* ROPE: rms norm of each head before, with these weights (NULL: none) */
    float cap;            /* ATTEND: see Attention */
    int window;
    int file;             /* EMBED: where the table's rows are read from, its first byte at `offset`; -1: its data */
    int64_t offset;
} Step;

/* Groups of rows whose values are needed: those that likely are among the greatest, which are read first, and those
 * that then may be, after a look and another. */
enum { LIKELY, POSSIBLE, STILL_POSSIBLE, LISTS };

typedef struct {
    const Kernels *kernels;
    Pool *pool;
    Step *steps;
    int count;
    int max_tokens;
    Act act;              /* buffers for the input of products, shared by all steps */
    Routed routed;
    float *scratch;       /* [threads][scratch_floats] */
    size_t scratch_floats;
    size_t panel_bytes;   /* of each thread in act.panel */
    float *mid;           /* of a side: down x, [tokens][ranks] */
    float *partial;       /* results of attention over part of the positions */
    size_t partial_floats;
    /* the run in progress */
    const int32_t *ids;
    int tokens, first, logits_from;
    int far;              /* which angles ROPE takes: beyond some length LongRoPE has others */
    int keep;             /* of one token, so many of the greatest logits must be exact; 0: all */
    float *best, *most;   /* of each group of rows of a split matrix: see Screen */
    int *list, listed[LISTS]; /* groups */
    float least;          /* that one of the greatest may be */
    double chosen, looked, closer, exact; /* groups so far: chosen among, looked at, looked at closer, read whole */
    int screen_at_once; /* tokens for which all rows are looked at closer at once, or by a sketch not at all */
    _Atomic int last_step; /* where to stop: lowered by whoever sees `cancel` */
    volatile int *cancel;
    double seconds[STEP_KINDS]; /* spent by kind of step, as thread 0 saw it */
} Program;

/* Phases of the pool that all steps take at most. */
int program_phases(const Program *p);

/* Run `tokens` ids at positions first…; logits of tokens >= logits_from. 0, or 1 when cancelled. */
int program_run(Program *p, const int32_t *ids, int tokens, int first, int logits_from);

/* Greatest number of parts in which attention is cut for one token. */
enum { MAX_PARTS = 32 };

/* Greatest `keep`. */
enum { KEEP_MAX = 256 };

#endif
