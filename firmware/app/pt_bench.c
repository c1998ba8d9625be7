#include "app/pt_bench.h"

#include <stddef.h>

#include "app/pt_bench_affine.h"
#include "kernels/pt_conv2d.h"
#include "kernels/pt_conv2d_pool.h"
#include "kernels/pt_edges.h"
#include "kernels/pt_linear.h"
#include "kernels/pt_maxpool2.h"
#include "kernels/pt_memory.h"
#include "kernels/pt_requantize.h"
#include "kernels/pt_update.h"
#include "nn/pt_model.h"

/* A job and what it needs. Operands lie behind the job, so that no kernel changes it. */
struct bench {
    const struct pt_bench_job *job;
    uint32_t mode;
    struct pt_model_layer layer;
    uint8_t *window;
    uint32_t size;
    uint32_t rows; /* of edges */
    uint32_t row_length;
    uint32_t needed[PT_BENCH_OPERANDS]; /* bytes; 0: not an operand */
    uint32_t words;                     /* bit set of the operands that are aligned to 4 */
};

static uint32_t layer_kind(uint32_t kernel)
{
    switch (kernel) {
    case PT_BENCH_CONV2D_FORWARD_S32:
    case PT_BENCH_CONV2D_FORWARD_S8:
    case PT_BENCH_CONV2D_ERROR:
    case PT_BENCH_CONV2D_GRADIENT:
    case PT_BENCH_CONV2D_POOL_FORWARD:
    case PT_BENCH_CONV2D_POOL_ERROR:
    case PT_BENCH_CONV2D_POOL_GRADIENT:
        return PT_CONV2D;
    case PT_BENCH_LINEAR_FORWARD_S32:
    case PT_BENCH_LINEAR_FORWARD_S8:
    case PT_BENCH_LINEAR_ERROR:
    case PT_BENCH_LINEAR_UPDATE:
        return PT_LINEAR;
    case PT_BENCH_MAXPOOL2_FORWARD:
    case PT_BENCH_MAXPOOL2_ERROR:
        return PT_MAXPOOL2;
    default:
        return pt_bench_affine_kind(kernel);
    }
}

/* Whether the kernel is a convolution with its pool. */
static bool pools(uint32_t kernel)
{
    return kernel >= PT_BENCH_CONV2D_POOL_FORWARD && kernel <= PT_BENCH_CONV2D_POOL_GRADIENT;
}

static int check_number(uint32_t word, uint32_t value, uint32_t least, uint32_t most,
                        struct pt_detail *detail)
{
    if (value < least || value > most) {
        return pt_refuse(detail, PT_ERR_ARGUMENT, word, value, least, most);
    }
    return PT_OK;
}

static int check_numbers(const struct pt_bench_job *job, struct pt_detail *detail)
{
    const bool steps = job->kernel == PT_BENCH_UPDATE || job->kernel == PT_BENCH_LINEAR_UPDATE;
    int err = check_number(0, job->kernel, 0, PT_BENCH_KERNELS - 1, detail);
    if (!err) {
        err = check_number(1, job->masks, job->kernel == PT_BENCH_MASK ? PT_BENCH_SCORED : 0,
                           PT_BENCH_SPARSE, detail);
    }
    if (!err) {
        const bool counts = layer_kind(job->kernel) == 0u;
        err = check_number(2, job->count, counts ? 1 : 0, PT_MAX_WEIGHTS, detail);
    }
    if (!err) {
        err = check_number(3, job->shift, 0, steps ? 31 : PT_MAX_SHIFT, detail);
    }
    if (!err) {
        err = check_number(4, job->gradient_shift, 0, PT_MAX_SHIFT, detail);
    }
    if (!err) {
        err = check_number(5, job->relu, 0, 1, detail);
    }
    if (!err && (job->threshold < -PT_S8_MAX || job->threshold > PT_S8_MAX)) {
        err = pt_refuse(detail, PT_ERR_ARGUMENT, 6, (uint32_t)job->threshold,
                        (uint32_t)-PT_S8_MAX, PT_S8_MAX);
    }
    if (!err && pt_bench_affine_kind(job->kernel) != 0u) {
        err = pt_bench_affine_check_numbers(job, detail);
    }
    return err;
}

static int check_shape(struct bench *b, struct pt_detail *detail)
{
    const uint32_t kind = layer_kind(b->job->kernel);
    b->rows = 1;
    b->row_length = b->job->count;
    if (kind == 0u) {
        return PT_OK;
    }
    b->layer.kind = (uint8_t)kind;
    b->layer.shape = b->job->shape;
    const bool affine = pt_bench_affine_kind(b->job->kernel) != 0u;
    const uint32_t form = affine ? PT_AFFINE : PT_POWER_OF_TWO;
    if (!pt_form_built(form)) {
        return pt_refuse(detail, PT_ERR_FORM, form, 0, 0, 0);
    }
    if (!pt_layer_shape_valid(&b->layer, form) ||
        (affine && !pt_bench_affine_factors_valid(b->job))) {
        return pt_refuse(detail, PT_ERR_LAYER_SHAPE, 0, 0, 0, 0);
    }
    if (pools(b->job->kernel) && (b->job->shape.out_h < 2u || b->job->shape.out_w < 2u)) {
        return pt_refuse(detail, PT_ERR_LAYER_SHAPE, 0, 0, 0, 0);
    }
    const uint32_t terms = pt_layer_terms(&b->layer, form);
    if (terms > PT_MAX_TERMS) {
        return pt_refuse(detail, PT_ERR_LAYER_TERMS, 0, terms, PT_MAX_TERMS, 0);
    }
    b->rows = pt_layer_rows(&b->layer);
    b->row_length = pt_layer_row_length(&b->layer);
    return PT_OK;
}

static void need_words(struct bench *b, uint32_t operand, uint32_t count)
{
    b->needed[operand] = 4u * count;
    b->words |= 1u << operand;
}

static void need_scratch(struct bench *b, uint32_t size)
{
    b->needed[PT_BENCH_SCRATCH] = size;
    b->words |= 1u << PT_BENCH_SCRATCH;
}

/* Scores, and the steps of an update, depend on the bitmap and come later. */
static void need_edges(struct bench *b)
{
    b->needed[PT_BENCH_WEIGHTS] = b->rows * b->row_length;
    if (b->job->masks == PT_BENCH_SPARSE) {
        b->needed[PT_BENCH_BITMAP] = b->rows * pt_bitmap_size(b->row_length);
    }
}

/* An activation may be left out. */
static uint32_t activation_size(const struct bench *b, uint32_t size)
{
    return b->job->operand[PT_BENCH_INPUT].size == 0u ? 0u : size;
}

static void need_operands(struct bench *b)
{
    const struct pt_shape *shape = &b->job->shape;
    const uint32_t in = pt_shape_in_size(shape);
    const uint32_t out = pt_shape_out_size(shape);
    const uint32_t count = b->job->count;
    uint32_t *needed = b->needed;
    switch (b->job->kernel) {
    case PT_BENCH_CONV2D_FORWARD_S32:
    case PT_BENCH_LINEAR_FORWARD_S32:
        needed[PT_BENCH_INPUT] = in;
        need_edges(b);
        need_words(b, PT_BENCH_OUTPUT, out);
        break;
    case PT_BENCH_CONV2D_FORWARD_S8:
    case PT_BENCH_LINEAR_FORWARD_S8:
        needed[PT_BENCH_INPUT] = in;
        need_edges(b);
        needed[PT_BENCH_OUTPUT] = out;
        break;
    case PT_BENCH_LINEAR_ERROR:
        needed[PT_BENCH_INPUT] = activation_size(b, in);
        /* fall through */
    case PT_BENCH_CONV2D_ERROR:
        needed[PT_BENCH_ERROR] = out;
        need_edges(b);
        need_words(b, PT_BENCH_OUTPUT, in);
        break;
    case PT_BENCH_CONV2D_GRADIENT:
        needed[PT_BENCH_INPUT] = in;
        needed[PT_BENCH_ERROR] = out;
        need_words(b, PT_BENCH_OUTPUT, b->rows * b->row_length);
        break;
    case PT_BENCH_CONV2D_POOL_FORWARD:
        needed[PT_BENCH_INPUT] = in;
        need_edges(b);
        needed[PT_BENCH_OUTPUT] = pt_pooled_size(shape);
        needed[PT_BENCH_PLACES] = pt_places_size(shape);
        need_scratch(b, pt_conv2d_pool_forward_scratch(shape));
        break;
    case PT_BENCH_CONV2D_POOL_ERROR:
        needed[PT_BENCH_INPUT] = activation_size(b, in);
        needed[PT_BENCH_ERROR] = pt_pooled_size(shape);
        needed[PT_BENCH_PLACES] = pt_places_size(shape);
        need_edges(b);
        needed[PT_BENCH_OUTPUT] = in;
        need_scratch(b, pt_conv2d_pool_error_scratch(shape));
        break;
    case PT_BENCH_CONV2D_POOL_GRADIENT:
        needed[PT_BENCH_INPUT] = in;
        needed[PT_BENCH_ERROR] = pt_pooled_size(shape);
        needed[PT_BENCH_PLACES] = pt_places_size(shape);
        need_words(b, PT_BENCH_OUTPUT, b->rows * b->row_length);
        need_scratch(b, pt_conv2d_pool_gradient_scratch(shape));
        break;
    case PT_BENCH_LINEAR_UPDATE:
        needed[PT_BENCH_INPUT] = in;
        needed[PT_BENCH_ERROR] = out;
        need_edges(b);
        break;
    case PT_BENCH_UPDATE:
        need_words(b, PT_BENCH_ACCUMULATOR, count);
        need_edges(b);
        break;
    case PT_BENCH_MAXPOOL2_FORWARD:
        needed[PT_BENCH_INPUT] = in;
        needed[PT_BENCH_OUTPUT] = out;
        break;
    case PT_BENCH_MAXPOOL2_ERROR:
        needed[PT_BENCH_INPUT] = in;
        needed[PT_BENCH_ERROR] = out;
        needed[PT_BENCH_OUTPUT] = in;
        break;
    case PT_BENCH_REQUANTIZE:
        need_words(b, PT_BENCH_ACCUMULATOR, count);
        needed[PT_BENCH_OUTPUT] = count;
        break;
    case PT_BENCH_REQUANTIZE_ERROR:
        need_words(b, PT_BENCH_ACCUMULATOR, count);
        needed[PT_BENCH_INPUT] = activation_size(b, count);
        needed[PT_BENCH_OUTPUT] = count;
        break;
    case PT_BENCH_MAX_ABS_S8:
        needed[PT_BENCH_INPUT] = count;
        break;
    case PT_BENCH_MAX_ABS_S32:
        need_words(b, PT_BENCH_ACCUMULATOR, count);
        break;
    case PT_BENCH_MASK:
        need_edges(b);
        needed[PT_BENCH_OUTPUT] = count;
        break;
    case PT_BENCH_BITMAP_COUNT:
        needed[PT_BENCH_BITMAP] = pt_bitmap_size(count);
        break;
    default:
        needed[PT_BENCH_INPUT] = in;
        if (b->rows != 0u) {
            need_edges(b);
        }
        needed[PT_BENCH_INPUT_B] = b->job->kernel == PT_BENCH_AFFINE_ADD ? in : 0u;
        need_words(b, PT_BENCH_FACTORS, 3u * pt_bench_affine_factors(b->job));
        needed[PT_BENCH_OUTPUT] = out;
        need_scratch(b, pt_bench_affine_scratch(b->job));
        break;
    }
    switch (b->job->kernel) {
    case PT_BENCH_CONV2D_FORWARD_S32:
    case PT_BENCH_CONV2D_FORWARD_S8:
        need_scratch(b, pt_conv2d_forward_scratch(shape));
        break;
    case PT_BENCH_CONV2D_ERROR:
        need_scratch(b, pt_conv2d_error_scratch(shape));
        break;
    case PT_BENCH_CONV2D_GRADIENT:
        need_scratch(b, pt_conv2d_gradient_scratch(shape));
        break;
    case PT_BENCH_LINEAR_FORWARD_S32:
    case PT_BENCH_LINEAR_FORWARD_S8:
        need_scratch(b, pt_linear_forward_scratch(b->row_length));
        break;
    case PT_BENCH_LINEAR_ERROR:
        need_scratch(b, pt_linear_error_scratch(b->row_length));
        break;
    case PT_BENCH_LINEAR_UPDATE:
        need_scratch(b, pt_update_linear_scratch(b->row_length));
        break;
    default:
        break;
    }
}

static int check_operand(const struct bench *b, uint32_t operand, struct pt_detail *detail)
{
    const struct pt_bench_operand *given = &b->job->operand[operand];
    const uint32_t needed = b->needed[operand];
    const bool word = (b->words >> operand & 1u) != 0u;
    if (needed == 0u || (operand == PT_BENCH_SCRATCH && b->mode == PT_BENCH_SCRATCH_SIZE)) {
        return PT_OK;
    }
    if (given->size != needed || given->offset < sizeof *b->job || given->offset > b->size ||
        given->size > b->size - given->offset) {
        return pt_refuse(detail, PT_ERR_OPERAND, operand, given->offset, given->size, needed);
    }
    if (word && given->offset % 4u != 0u) {
        return pt_refuse(detail, PT_ERR_ALIGNMENT, operand, given->offset, 4, 0);
    }
    for (uint32_t other = 0; other < operand; ++other) {
        const struct pt_bench_operand *before = &b->job->operand[other];
        if (b->needed[other] != 0u && given->offset < before->offset + before->size &&
            before->offset < given->offset + given->size) {
            return pt_refuse(detail, PT_ERR_OVERLAP, other, operand, 0, 0);
        }
    }
    return PT_OK;
}

/* How many edges have a score, by the bitmap where there is one. */
static int count_scores(const struct bench *b, uint32_t *scores, struct pt_detail *detail)
{
    *scores = 0;
    if (b->job->masks == PT_BENCH_SCORED) {
        *scores = b->rows * b->row_length;
    }
    if (b->needed[PT_BENCH_BITMAP] == 0u) {
        return PT_OK;
    }
    const int err = check_operand(b, PT_BENCH_BITMAP, detail);
    if (err) {
        return err;
    }
    const uint8_t *bitmap = b->window + b->job->operand[PT_BENCH_BITMAP].offset;
    for (uint32_t row = 0; row < b->rows; ++row) {
        *scores += pt_bitmap_count(bitmap, b->row_length);
        bitmap += pt_bitmap_size(b->row_length);
        if (b->row_length % 8u != 0u && bitmap[-1] >> b->row_length % 8u != 0) {
            return pt_refuse(detail, PT_ERR_BITMAP, row, 0, 0, 0);
        }
    }
    return PT_OK;
}

static int check(struct bench *b, struct pt_detail *detail)
{
    uint32_t scores;
    int err = check_numbers(b->job, detail);
    if (!err) {
        err = check_shape(b, detail);
    }
    if (err) {
        return err;
    }
    need_operands(b);
    err = count_scores(b, &scores, detail);
    if (err) {
        return err;
    }
    const bool updates = b->job->kernel == PT_BENCH_UPDATE ||
                         b->job->kernel == PT_BENCH_LINEAR_UPDATE;
    if (b->needed[PT_BENCH_WEIGHTS] != 0u) {
        b->needed[PT_BENCH_SCORES] = scores;
    }
    if (updates && b->job->operand[PT_BENCH_STEPS].size != 0u) {
        b->needed[PT_BENCH_STEPS] = b->job->masks == PT_BENCH_ALL_EDGES
                                        ? b->rows * b->row_length
                                        : scores;
    }
    for (uint32_t operand = 0; operand < PT_BENCH_OPERANDS; ++operand) {
        err = check_operand(b, operand, detail);
        if (err) {
            return err;
        }
    }
    if (pt_bench_affine_kind(b->job->kernel) != 0u) {
        return pt_bench_affine_check_factors(b->job, b->window, b->row_length, detail);
    }
    return PT_OK;
}

/* NULL for what is not an operand. */
static void *operand_of(const struct bench *b, uint32_t operand)
{
    return b->needed[operand] == 0u ? NULL : b->window + b->job->operand[operand].offset;
}

/* Without scores a sparse layer still has a list of them, an empty one. */
static struct pt_edges edges_of(const struct bench *b)
{
    const struct pt_edges edges = {
        operand_of(b, PT_BENCH_WEIGHTS),
        b->job->masks == PT_BENCH_ALL_EDGES
            ? NULL
            : (int8_t *)b->window + b->job->operand[PT_BENCH_SCORES].offset,
        operand_of(b, PT_BENCH_BITMAP),
        b->job->threshold,
        b->row_length,
    };
    return edges;
}

static void gradient(const struct bench *b)
{
    const struct pt_shape *shape = &b->job->shape;
    const int8_t *input = operand_of(b, PT_BENCH_INPUT);
    const int8_t *error = operand_of(b, PT_BENCH_ERROR);
    void *scratch = operand_of(b, PT_BENCH_SCRATCH);
    int32_t *output = operand_of(b, PT_BENCH_OUTPUT);
    pt_conv2d_gradient_begin(shape, input, error, scratch);
    for (uint32_t row = 0; row < b->rows; ++row) {
        pt_conv2d_gradient_row_s32(shape, row, input, error, scratch, output);
        output += b->row_length;
    }
}

static void pool_gradient(const struct bench *b)
{
    const struct pt_shape *shape = &b->job->shape;
    const int8_t *error = operand_of(b, PT_BENCH_ERROR);
    void *scratch = operand_of(b, PT_BENCH_SCRATCH);
    int32_t *output = operand_of(b, PT_BENCH_OUTPUT);
    pt_conv2d_pool_gradient_begin(shape, operand_of(b, PT_BENCH_INPUT), error, scratch);
    for (uint32_t row = 0; row < b->rows; ++row) {
        pt_conv2d_pool_gradient_row_s32(shape, row, error, operand_of(b, PT_BENCH_PLACES),
                                        scratch, output);
        output += b->row_length;
    }
}

static uint32_t linear_update(const struct bench *b)
{
    const struct pt_bench_job *job = b->job;
    const struct pt_edges edges = edges_of(b);
    const uint32_t count = b->row_length;
    const uint8_t *bitmap = edges.bitmap;
    const int8_t *input = operand_of(b, PT_BENCH_INPUT);
    const int8_t *error = operand_of(b, PT_BENCH_ERROR);
    int8_t *weights = operand_of(b, PT_BENCH_WEIGHTS);
    int8_t *scores = (int8_t *)b->window + job->operand[PT_BENCH_SCORES].offset;
    int8_t *steps = operand_of(b, PT_BENCH_STEPS);
    void *scratch = operand_of(b, PT_BENCH_SCRATCH);
    uint32_t saturated = 0;
    pt_update_linear_begin(input, count, scratch);
    for (uint32_t row = 0; row < b->rows; ++row) {
        uint32_t learned = count;
        if (job->masks == PT_BENCH_ALL_EDGES) {
            saturated += pt_update_linear_weights_s8(weights, input, error[row], count,
                                                     job->shift, scratch, steps);
        } else if (job->masks == PT_BENCH_SCORED) {
            saturated += pt_update_linear_scores_s8(scores, weights, input, error[row], count,
                                                    job->shift, scratch, steps);
        } else {
            saturated += pt_update_linear_sparse_scores_s8(scores, bitmap, weights, input,
                                                           error[row], count, job->shift, steps);
            learned = pt_bitmap_count(bitmap, count);
            bitmap += pt_bitmap_size(count);
        }
        weights += count;
        scores += learned;
        if (steps != NULL) {
            steps += learned;
        }
    }
    return saturated;
}

static uint32_t update(const struct bench *b)
{
    const struct pt_bench_job *job = b->job;
    const struct pt_edges edges = edges_of(b);
    const int32_t *accumulator = operand_of(b, PT_BENCH_ACCUMULATOR);
    int8_t *weights = operand_of(b, PT_BENCH_WEIGHTS);
    int8_t *scores = (int8_t *)b->window + job->operand[PT_BENCH_SCORES].offset;
    int8_t *steps = operand_of(b, PT_BENCH_STEPS);
    switch (job->masks) {
    case PT_BENCH_ALL_EDGES:
        return pt_update_weights_s8(weights, accumulator, job->count, job->shift, steps);
    case PT_BENCH_SCORED:
        return pt_update_scores_s8(scores, weights, accumulator, job->count, job->gradient_shift,
                                   job->shift, steps);
    default:
        return pt_update_sparse_scores_s8(scores, edges.bitmap, weights, accumulator, job->count,
                                          job->gradient_shift, job->shift, steps);
    }
}

static uint32_t mask(const struct bench *b)
{
    const struct pt_edges edges = edges_of(b);
    int8_t *output = operand_of(b, PT_BENCH_OUTPUT);
    if (edges.bitmap != NULL) {
        return pt_mask_sparse_weights_s8(edges.weights, edges.scores, edges.bitmap,
                                         edges.threshold, b->job->count, output);
    }
    pt_mask_weights_s8(edges.weights, edges.scores, edges.threshold, b->job->count, output);
    return 0;
}

static uint32_t run_layer(const struct bench *b)
{
    const struct pt_bench_job *job = b->job;
    const struct pt_shape *shape = &job->shape;
    const struct pt_edges edges = edges_of(b);
    const int8_t *input = operand_of(b, PT_BENCH_INPUT);
    const int8_t *error = operand_of(b, PT_BENCH_ERROR);
    void *scratch = operand_of(b, PT_BENCH_SCRATCH);
    void *output = operand_of(b, PT_BENCH_OUTPUT);
    const bool relu = job->relu != 0u;
    switch (job->kernel) {
    case PT_BENCH_CONV2D_FORWARD_S32:
        pt_conv2d_forward_s32(shape, input, &edges, scratch, output);
        return 0;
    case PT_BENCH_CONV2D_FORWARD_S8:
        return pt_conv2d_forward_s8(shape, input, &edges, job->shift, relu, scratch, output);
    case PT_BENCH_CONV2D_ERROR:
        pt_conv2d_error_s32(shape, error, &edges, scratch, output);
        return 0;
    case PT_BENCH_CONV2D_GRADIENT:
        gradient(b);
        return 0;
    case PT_BENCH_CONV2D_POOL_FORWARD:
        return pt_conv2d_pool_forward_s8(shape, input, &edges, job->shift, scratch, output,
                                         operand_of(b, PT_BENCH_PLACES));
    case PT_BENCH_CONV2D_POOL_ERROR:
        return pt_conv2d_pool_error_s8(shape, error, operand_of(b, PT_BENCH_PLACES), &edges,
                                       input, job->shift, scratch, output);
    case PT_BENCH_CONV2D_POOL_GRADIENT:
        pool_gradient(b);
        return 0;
    case PT_BENCH_LINEAR_FORWARD_S32:
        pt_linear_forward_s32(input, &edges, b->rows, scratch, output);
        return 0;
    case PT_BENCH_LINEAR_FORWARD_S8:
        return pt_linear_forward_s8(input, &edges, b->rows, job->shift, relu, scratch, output);
    case PT_BENCH_LINEAR_ERROR:
        pt_linear_error_s32(error, &edges, b->rows, input, scratch, output);
        return 0;
    case PT_BENCH_LINEAR_UPDATE:
        return linear_update(b);
    case PT_BENCH_MAXPOOL2_FORWARD:
        pt_maxpool2_forward_s8(shape, input, output);
        return 0;
    default:
        pt_maxpool2_error_s8(shape, input, error, relu, output);
        return 0;
    }
}

static uint32_t run(const struct bench *b)
{
    const struct pt_bench_job *job = b->job;
    const int8_t *input = operand_of(b, PT_BENCH_INPUT);
    const int32_t *accumulator = operand_of(b, PT_BENCH_ACCUMULATOR);
    int8_t *output = operand_of(b, PT_BENCH_OUTPUT);
    switch (job->kernel) {
    case PT_BENCH_UPDATE:
        return update(b);
    case PT_BENCH_REQUANTIZE:
        return pt_requantize_s8(accumulator, job->count, job->shift, job->relu != 0u, output);
    case PT_BENCH_REQUANTIZE_ERROR:
        return pt_requantize_error_s8(accumulator, input, job->count, job->shift, output);
    case PT_BENCH_MAX_ABS_S8:
        return pt_max_abs_s8(input, job->count);
    case PT_BENCH_MAX_ABS_S32:
        return pt_max_abs_s32(accumulator, job->count);
    case PT_BENCH_MASK:
        return mask(b);
    case PT_BENCH_BITMAP_COUNT:
        return pt_bitmap_count(operand_of(b, PT_BENCH_BITMAP), job->count);
    default:
        break;
    }
    if (PT_WITH_AFFINE && pt_bench_affine_kind(job->kernel) != 0u) {
        const struct pt_edges edges = edges_of(b);
        pt_bench_affine_run(job, b->window, &edges);
        return 0;
    }
    return PT_WITH_CHAIN ? run_layer(b) : 0u;
}

int pt_bench_run(uint8_t *window, uint32_t size, uint32_t mode, uint32_t *value,
                 struct pt_detail *detail)
{
    struct pt_bench_job *job = (struct pt_bench_job *)window;
    struct bench b;
    memset(&b, 0, sizeof b);
    if (size < sizeof *job) {
        return pt_refuse(detail, PT_ERR_RANGE, 0, (uint32_t)sizeof *job, size, 0);
    }
    b.job = job;
    b.mode = mode;
    b.window = window;
    b.size = size;
    const int err = check(&b, detail);
    if (err) {
        return err;
    }
    *value = mode == PT_BENCH_RUN            ? run(&b)
             : mode == PT_BENCH_SCRATCH_SIZE ? b.needed[PT_BENCH_SCRATCH]
                                             : 0u;
    job->answer = *value;
    return PT_OK;
}
