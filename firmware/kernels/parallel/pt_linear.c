#include "kernels/pt_linear.h"

#include <stddef.h>

#include "kernels/cortex_m0plus/pt_slices.h"
#include "kernels/parallel/pt_core.h"
#include "kernels/parallel/pt_share.h"
#include "kernels/pt_update.h"

__typeof__(pt_linear_forward_s32) pt_linear_forward_s32_alone;
__typeof__(pt_linear_forward_s8) pt_linear_forward_s8_alone;
__typeof__(pt_linear_error_s32) pt_linear_error_s32_alone;
__typeof__(pt_update_linear_begin) pt_update_linear_begin_alone;

enum {
    GROUP = 4, /* rows that the tuned kernel makes at a time */
    LEAST_LISTED = 4 * PT_SHARE_LEAST, /* inputs that both cores list */
};

struct lists {
    const int8_t *values;
    uint32_t begin[2];
    uint32_t count[2];
    uint32_t *list[2];
    uint32_t **end;
};

static uint32_t half_list(const void *argument, uint32_t core)
{
    const struct lists *job = argument;
    job->end[core] = pt_list_inputs(job->values + job->begin[core], job->count[core],
                                    job->begin[core], job->list[core]);
    return 0;
}

/* The list of all inputs, by both: core 1 begins where there is room for all those before. Returns
 * where it ends; NULL: it is not worth a job. */
static uint32_t *share_list(const int8_t *values, uint32_t length, uint32_t *list)
{
    if (length < LEAST_LISTED || !pt_share_fits(0)) {
        return NULL;
    }
    const uint32_t cut = 4u * pt_core_cut(length / 4u);
    uint32_t *end[2];
    const struct lists job = {values, {0, cut}, {cut, length - cut}, {list, list + cut}, end};
    pt_share(half_list, &job);
    uint32_t *to = end[0];
    const uint32_t *from = job.list[1];
    const uint32_t count = (uint32_t)(end[1] - from);
    if (to + count <= from) {
        memcpy(to, from, count * sizeof *to);
        return to + count;
    }
    while (from != end[1]) {
        *to++ = *from++;
    }
    return to;
}

void pt_update_linear_begin(const int8_t *input, uint32_t count, void *scratch)
{
    uint32_t *length = scratch;
    const uint32_t *end = share_list(input, count, length + 1);
    if (end == NULL) {
        pt_update_linear_begin_alone(input, count, scratch);
    } else {
        *length = (uint32_t)(end - (length + 1));
    }
}

struct job {
    const int8_t *input; /* or error */
    const int8_t *needed;
    struct pt_edges edges[2];
    uint32_t begin[2];
    uint32_t rows[2];
    void *scratch[2];
    const uint32_t *listed; /* where the list of inputs ends, for both in scratch[0]; NULL: none */
    int32_t *sums[2];
    int8_t *output;
    uint32_t shift;
    bool relu;
};

/* Core 1 begins at row `cut`. */
static void cut_rows(struct job *job, const struct pt_edges *edges, uint32_t rows, uint32_t cut)
{
    job->edges[0] = *edges;
    job->edges[1] = pt_share_edges(edges, cut);
    job->begin[0] = 0;
    job->begin[1] = cut;
    job->rows[0] = cut;
    job->rows[1] = rows - cut;
}

static void *forward_scratch(const struct pt_edges *edges)
{
    return pt_share_scratch(pt_linear_forward_scratch(edges->row_length));
}

static bool cut_forward(struct job *job, const struct pt_edges *edges, uint32_t rows)
{
    if (rows < 2u * GROUP || !pt_share_fits(pt_linear_forward_scratch(edges->row_length))) {
        return false;
    }
    cut_rows(job, edges, rows, GROUP * pt_core_cut(rows / GROUP));
    const uint32_t *list = job->scratch[0];
    job->listed = share_list(job->input, edges->row_length, job->scratch[0]);
    if (job->listed != NULL &&
        (uint32_t)(job->listed - list) > pt_linear_most_listed(edges->row_length)) {
        job->listed = NULL; /* they may be made pairs, each core its own */
    }
    return true;
}

static uint32_t half_s32(const void *argument, uint32_t core)
{
    const struct job *job = argument;
    const struct pt_edges *edges = &job->edges[core];
    int32_t *sums = job->sums[core] + job->begin[core];
    if (job->listed != NULL) {
        pt_linear_forward_slice_s32(job->input, job->scratch[0], job->listed, edges,
                                    job->rows[core], sums);
    } else {
        pt_linear_forward_s32_alone(job->input, edges, job->rows[core], job->scratch[core], sums);
    }
    return 0;
}

void pt_linear_forward_s32(const int8_t *input, const struct pt_edges *edges, uint32_t rows,
                           void *scratch, int32_t *output)
{
    struct job job = {
        .input = input, .scratch = {scratch, forward_scratch(edges)}, .sums = {output, output},
    };
    if (cut_forward(&job, edges, rows)) {
        pt_share(half_s32, &job);
    } else {
        pt_linear_forward_s32_alone(input, edges, rows, scratch, output);
    }
}

static uint32_t half_s8(const void *argument, uint32_t core)
{
    const struct job *job = argument;
    const struct pt_edges *edges = &job->edges[core];
    int8_t *output = job->output + job->begin[core];
    return job->listed != NULL
               ? pt_linear_forward_slice_s8(job->input, job->scratch[0], job->listed, edges,
                                            job->rows[core], job->shift, job->relu, output)
               : pt_linear_forward_s8_alone(job->input, edges, job->rows[core], job->shift,
                                            job->relu, job->scratch[core], output);
}

uint32_t pt_linear_forward_s8(const int8_t *input, const struct pt_edges *edges, uint32_t rows,
                              uint32_t shift, bool relu, void *scratch, int8_t *output)
{
    struct job job = {
        .input = input, .scratch = {scratch, forward_scratch(edges)}, .output = output,
        .shift = shift, .relu = relu,
    };
    if (cut_forward(&job, edges, rows)) {
        return pt_share(half_s8, &job);
    }
    return pt_linear_forward_s8_alone(input, edges, rows, shift, relu, scratch, output);
}

struct columns {
    const int8_t *error;
    const struct pt_edges *edges;
    const int8_t *needed;
    void *scratch[2];
    int32_t *sums;
    uint32_t rows;
    uint32_t begin[2];
    uint32_t end[2];
};

static uint32_t half_columns(const void *argument, uint32_t core)
{
    const struct columns *job = argument;
    pt_linear_error_slice_s32(job->error, job->edges, job->rows, job->begin[core], job->end[core],
                              job->needed, job->scratch[core], job->sums);
    return 0;
}

static uint32_t half_error(const void *argument, uint32_t core)
{
    const struct job *job = argument;
    pt_linear_error_s32_alone(job->input + job->begin[core], &job->edges[core], job->rows[core],
                              job->needed, job->scratch[core], job->sums[core]);
    return 0;
}

struct addition {
    int32_t *to;
    const int32_t *sums;
    uint32_t begin[2];
    uint32_t end[2];
};

static uint32_t half_addition(const void *argument, uint32_t core)
{
    const struct addition *job = argument;
    int32_t *to = job->to + job->begin[core];
    const int32_t *sums = job->sums + job->begin[core];
    for (const int32_t *end = job->to + job->end[core]; to != end;) {
        *to++ += *sums++;
    }
    return 0;
}

void pt_linear_error_s32(const int8_t *error, const struct pt_edges *edges, uint32_t rows,
                         const int8_t *needed, void *scratch, int32_t *input_error)
{
    const uint32_t length = edges->row_length;
    const uint32_t size = pt_linear_error_scratch(length);
    const uint32_t column = edges->bitmap == NULL && pt_share_fits(size)
                                ? pt_share_words(needed, length)
                                : 0u;
    if (column != 0u) {
        const struct columns job = {
            error, edges, needed, {scratch, pt_share_scratch(size)}, input_error, rows,
            {0, column}, {column, length},
        };
        pt_share(half_columns, &job);
        return;
    }
    const uint32_t cut = pt_share_fits(4u * length + size) ? pt_share_rows(error, rows) : 0u;
    if (cut == 0u) {
        pt_linear_error_s32_alone(error, edges, rows, needed, scratch, input_error);
        return;
    }
    int32_t *sums = pt_share_scratch(4u * length + size);
    struct job job = {
        .input = error, .needed = needed, .scratch = {scratch, sums + length},
        .sums = {input_error, sums},
    };
    cut_rows(&job, edges, rows, cut);
    pt_share(half_error, &job);
    const uint32_t half = pt_share_stretch(length);
    const struct addition addition = {input_error, sums, {0, half}, {half, length}};
    if (half == 0u) {
        half_addition(&addition, 1);
    } else {
        pt_share(half_addition, &addition);
    }
}
