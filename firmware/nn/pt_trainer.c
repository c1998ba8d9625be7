#include "nn/pt_trainer.h"

#include <stddef.h>

#include "kernels/pt_conv2d.h"
#include "kernels/pt_linear.h"
#include "kernels/pt_maxpool2.h"
#include "kernels/pt_memory.h"
#include "kernels/pt_requantize.h"
#include "kernels/pt_skips.h"
#include "kernels/pt_update.h"
#include "nn/pt_loss.h"
#include "nn/pt_scores.h"

static uint8_t *transient(const struct pt_trainer *t, const struct pt_buffer *buffer)
{
    return t->arena + t->plan.blob_size + t->plan.scores_size + buffer->offset;
}

static int8_t *activation(const struct pt_trainer *t, int32_t layer)
{
    return (int8_t *)transient(t, pt_plan_activation(&t->plan, layer));
}

static int8_t *error_of(const struct pt_trainer *t, uint32_t layer)
{
    return (int8_t *)transient(t, pt_plan_error(&t->plan, t->model.header->layers, layer));
}

static uint8_t *scratch_of(const struct pt_trainer *t, const struct pt_operation *operation)
{
    return operation->scratch == PT_NO_BUFFER
               ? NULL
               : transient(t, &t->plan.buffer[operation->scratch]);
}

static bool dynamic(const struct pt_trainer *t)
{
    return t->method.kind == PT_NITI_DYNAMIC;
}

static uint32_t dynamic_shift(uint32_t magnitude)
{
    const uint32_t bits = pt_range_bits(magnitude);
    return bits > 7u ? bits - 7u : 0u;
}

static struct pt_edges edges_of(const struct pt_trainer *t, uint32_t layer)
{
    const struct pt_scores scores = t->scores[layer];
    const struct pt_edges edges = {
        pt_model_weights(&t->model, layer),
        scores.score,
        scores.bitmap,
        t->method.threshold,
        pt_layer_row_length(&t->model.layer[layer]),
    };
    return edges;
}

/* Requantises accumulators with their own range and notes the exponent. */
static uint32_t requantize_dynamic(struct pt_trainer *t, const struct pt_model_layer *layer,
                                   const int32_t *accumulator, int8_t *output)
{
    const uint32_t count = pt_shape_out_size(&layer->shape);
    const uint32_t shift = dynamic_shift(pt_max_abs_s32(accumulator, count));
    t->exponent += (int32_t)shift;
    return pt_requantize_s8(accumulator, count, shift, layer->relu != 0u, output);
}

/* With dynamic scales the accumulators of the whole layer come first in the scratch. */
static uint32_t forward_dynamic(struct pt_trainer *t, const struct pt_model_layer *layer,
                                const int8_t *input, const struct pt_edges *edges,
                                uint8_t *scratch, int8_t *output)
{
    int32_t *accumulator = (int32_t *)scratch;
    void *rest = accumulator + pt_shape_out_size(&layer->shape);
    if (layer->kind == PT_CONV2D) {
        pt_conv2d_forward_s32(&layer->shape, input, edges, rest, accumulator);
    } else {
        pt_linear_forward_s32(input, edges, layer->shape.out_c, rest, accumulator);
    }
    return requantize_dynamic(t, layer, accumulator, output);
}

static uint32_t forward_static(const struct pt_model_layer *layer, const int8_t *input,
                               const struct pt_edges *edges, uint8_t *scratch, int8_t *output)
{
    const bool relu = layer->relu != 0u;
    if (layer->kind == PT_CONV2D) {
        return pt_conv2d_forward_s8(&layer->shape, input, edges, layer->forward_shift, relu,
                                    scratch, output);
    }
    return pt_linear_forward_s8(input, edges, layer->shape.out_c, layer->forward_shift, relu,
                                scratch, output);
}

static void forward(struct pt_trainer *t, const struct pt_operation *operation)
{
    const uint32_t l = operation->layer;
    const struct pt_model_layer *layer = &t->model.layer[l];
    const int8_t *input = activation(t, (int32_t)l - 1);
    int8_t *output = activation(t, (int32_t)l);
    uint8_t *scratch = scratch_of(t, operation);
    if (layer->kind == PT_MAXPOOL2) {
        pt_maxpool2_forward_s8(&layer->shape, input, output);
        return;
    }
    const struct pt_edges edges = edges_of(t, l);
    t->exponent += layer->weight_exponent + (dynamic(t) ? 0 : layer->forward_shift);
    const uint32_t saturated =
        dynamic(t) ? forward_dynamic(t, layer, input, &edges, scratch, output)
                   : forward_static(layer, input, &edges, scratch, output);
    t->saturation[l].forward += saturated;
    t->result.saturated += saturated;
}

static void predict(struct pt_trainer *t)
{
    const uint32_t layers = t->model.header->layers;
    t->result.prediction = (uint16_t)pt_argmax_s8(activation(t, (int32_t)layers - 1),
                                                  t->model.header->classes);
}

/* The loss error of an easy image counts as zero. */
static bool easy(const struct pt_trainer *t)
{
    return t->result.loss_norm <= t->method.easy;
}

static void loss(struct pt_trainer *t)
{
    const uint32_t last = t->model.header->layers - 1u;
    int8_t *output_error = error_of(t, last);
    predict(t);
    t->result.loss_norm = (uint16_t)pt_loss_error_s8(activation(t, (int32_t)last), t->exponent,
                                                     t->model.header->classes, t->target,
                                                     output_error);
    if (easy(t) && t->result.loss_norm != 0u) {
        memset(output_error, 0, t->model.header->classes);
    }
}

static void error(struct pt_trainer *t, const struct pt_operation *operation)
{
    const uint32_t l = operation->layer;
    const struct pt_model_layer *layer = &t->model.layer[l];
    const bool relu = t->model.layer[l - 1u].relu != 0u;
    const int8_t *input = activation(t, (int32_t)l - 1);
    const int8_t *output_error = error_of(t, l);
    int8_t *input_error = error_of(t, l - 1u);
    if (layer->kind == PT_MAXPOOL2) {
        pt_maxpool2_error_s8(&layer->shape, input, output_error, relu, input_error);
        return;
    }
    const uint32_t count = pt_shape_in_size(&layer->shape);
    int32_t *accumulator = (int32_t *)scratch_of(t, operation);
    const struct pt_edges edges = edges_of(t, l);
    if (layer->kind == PT_CONV2D) {
        pt_conv2d_error_s32(&layer->shape, output_error, &edges, accumulator + count, accumulator);
    } else {
        pt_linear_error_s32(output_error, &edges, layer->shape.out_c, accumulator + count,
                            accumulator);
    }
    const uint32_t shift = dynamic(t) ? dynamic_shift(pt_max_abs_s32(accumulator, count))
                                      : layer->error_shift;
    const uint32_t saturated = pt_requantize_error_s8(accumulator, relu ? input : NULL, count,
                                                      shift, input_error);
    t->saturation[l].error += saturated;
    t->result.saturated += saturated;
}

static uint32_t update_shift(uint32_t bits, int32_t mu)
{
    const int32_t shift = (int32_t)bits - mu;
    return shift < 0 ? 0u : shift > 31 ? 31u : (uint32_t)shift;
}

/* Halvings of G that keep G * w in int32: up to 1048 output positions need none. */
static uint32_t gradient_shift(const struct pt_shape *shape)
{
    uint32_t shift = 0;
    while (1048u << shift < pt_shape_positions(shape)) {
        ++shift;
    }
    return shift;
}

/* The scratch of an update: gradient (convolutions), the row's update elements, the kernel's own. */
struct update_scratch {
    int32_t *gradient;
    int8_t *steps;
    void *kernel;
};

static bool whole_gradient(const struct pt_trainer *t, const struct pt_model_layer *layer)
{
    return dynamic(t) && layer->kind == PT_CONV2D;
}

static struct update_scratch update_scratch_of(const struct pt_trainer *t,
                                               const struct pt_operation *operation)
{
    const struct pt_model_layer *layer = &t->model.layer[operation->layer];
    const uint32_t row_length = pt_layer_row_length(layer);
    uint8_t *memory = scratch_of(t, operation);
    struct update_scratch scratch = {(int32_t *)memory, NULL, NULL};
    if (layer->kind == PT_CONV2D) {
        memory += 4u * (dynamic(t) ? layer->weights_size : row_length);
    }
    scratch.steps = (int8_t *)memory;
    scratch.kernel = memory + pt_round4(row_length);
    return scratch;
}

static void gradient_row(const struct pt_trainer *t, uint32_t l, uint32_t row, void *scratch,
                         int32_t *gradient)
{
    pt_conv2d_gradient_row_s32(&t->model.layer[l].shape, row, activation(t, (int32_t)l - 1),
                               error_of(t, l), scratch, gradient);
}

/* Before the first row: the shift, and for a dynamic convolution the whole gradient. */
static void start_update(struct pt_trainer *t, uint32_t l, const struct update_scratch *scratch)
{
    const struct pt_model_layer *layer = &t->model.layer[l];
    const uint32_t row_length = pt_layer_row_length(layer);
    const int8_t *input = activation(t, (int32_t)l - 1);
    uint32_t bits = pt_method_scores(&t->method) ? layer->score_bits : layer->gradient_bits;
    if (layer->kind == PT_CONV2D) {
        pt_conv2d_gradient_begin(&layer->shape, input, error_of(t, l), scratch->kernel);
    } else {
        pt_update_linear_begin(input, row_length, scratch->kernel);
    }
    if (whole_gradient(t, layer)) {
        for (uint32_t row = 0; row < layer->shape.out_c; ++row) {
            gradient_row(t, l, row, scratch->kernel, scratch->gradient + row * row_length);
        }
        bits = pt_range_bits(pt_max_abs_s32(scratch->gradient, layer->weights_size));
    } else if (dynamic(t)) {
        /* A linear gradient has rank one, so its range needs no gradient. */
        bits = pt_range_bits(pt_max_abs_s8(error_of(t, l), layer->shape.out_c) *
                             pt_max_abs_s8(input, row_length));
    }
    t->row = 0;
    t->scored = 0;
    t->row_shift = update_shift(bits, t->method.mu);
}

/* One row; `update` may be NULL. Returns how many elements saturated. */
static uint32_t update_conv2d_row(const struct pt_trainer *t, uint32_t l,
                                  const struct pt_scores *scores, int8_t *weights,
                                  const struct update_scratch *scratch, int8_t *update)
{
    const struct pt_model_layer *layer = &t->model.layer[l];
    const uint32_t row_length = pt_layer_row_length(layer);
    const uint32_t halvings = gradient_shift(&layer->shape);
    const int32_t *gradient = scratch->gradient;
    if (whole_gradient(t, layer)) {
        gradient += t->row * row_length;
    } else {
        gradient_row(t, l, t->row, scratch->kernel, scratch->gradient);
    }
    if (scores->score == NULL) {
        return pt_update_weights_s8(weights, gradient, row_length, t->row_shift, update);
    }
    if (scores->bitmap == NULL) {
        return pt_update_scores_s8(scores->score, weights, gradient, row_length, halvings,
                                   t->row_shift, update);
    }
    return pt_update_sparse_scores_s8(scores->score, scores->bitmap, weights, gradient,
                                      row_length, halvings, t->row_shift, update);
}

static uint32_t update_linear_row(const struct pt_trainer *t, uint32_t l,
                                  const struct pt_scores *scores, int8_t *weights,
                                  const struct update_scratch *scratch, int8_t *update)
{
    const uint32_t row_length = pt_layer_row_length(&t->model.layer[l]);
    const int8_t *input = activation(t, (int32_t)l - 1);
    const int32_t error = error_of(t, l)[t->row];
    if (scores->score == NULL) {
        return pt_update_linear_weights_s8(weights, input, error, row_length, t->row_shift,
                                           scratch->kernel, update);
    }
    if (scores->bitmap == NULL) {
        return pt_update_linear_scores_s8(scores->score, weights, input, error, row_length,
                                          t->row_shift, scratch->kernel, update);
    }
    return pt_update_linear_sparse_scores_s8(scores->score, scores->bitmap, weights, input, error,
                                             row_length, t->row_shift, update);
}

/* Of the layer's scores those of row t->row, the next one. */
static struct pt_scores row_scores(const struct pt_trainer *t, const struct pt_scores *layer,
                                   uint32_t row_length)
{
    struct pt_scores scores = {NULL, NULL, row_length};
    if (layer->score != NULL) {
        scores.score = layer->score + t->scored;
    }
    if (layer->bitmap != NULL) {
        scores.bitmap = layer->bitmap + t->row * pt_bitmap_size(row_length);
        scores.count = pt_bitmap_count(scores.bitmap, row_length);
    }
    return scores;
}

/* Updates rows until the layer is done or the sink is full. */
static void update(struct pt_trainer *t, const struct pt_operation *operation, int8_t *sink,
                   uint32_t sink_size, struct pt_event *event)
{
    const uint32_t l = operation->layer;
    const struct pt_model_layer *layer = &t->model.layer[l];
    const uint32_t row_length = pt_layer_row_length(layer);
    const struct update_scratch scratch = update_scratch_of(t, operation);
    const struct pt_scores layer_scores = t->scores[l];
    int8_t *steps = sink == NULL ? NULL : scratch.steps;
    uint32_t saturated = 0;
    if (!event->unfinished) {
        start_update(t, l, &scratch);
    }
    event->updates = 0;
    for (; t->row < layer->shape.out_c; ++t->row) {
        if (sink != NULL && sink_size - event->updates < row_length) {
            break;
        }
        int8_t *weights = pt_model_weights(&t->model, l) + t->row * row_length;
        const struct pt_scores scores = row_scores(t, &layer_scores, row_length);
        saturated += layer->kind == PT_CONV2D
                         ? update_conv2d_row(t, l, &scores, weights, &scratch, steps)
                         : update_linear_row(t, l, &scores, weights, &scratch, steps);
        t->scored += scores.count;
        if (sink != NULL) {
            memcpy(sink + event->updates, steps, scores.count);
            event->updates += scores.count;
        }
    }
    event->unfinished = t->row < layer->shape.out_c ? 1u : 0u;
    t->saturation[l].update += saturated;
    t->result.saturated += saturated;
}

/* Pixels 0..255 become activations 0..127. */
static void halve_pixels(const uint8_t *image, uint32_t size, int8_t *input)
{
    uint32_t i = 0;
    if ((uintptr_t)image % 4u == 0u) {
        for (; i + 4u <= size; i += 4u) {
            pt_store_word(input + i, pt_load_word(image + i) >> 1 & 0x7f7f7f7fu);
        }
    }
    for (; i < size; ++i) {
        input[i] = (int8_t)(image[i] >> 1);
    }
}

void pt_trainer_begin(struct pt_trainer *t, const uint8_t *image, uint32_t label)
{
    halve_pixels(image, t->plan.image_size, activation(t, -1));
    t->target = label;
    t->exponent = PT_INPUT_EXPONENT;
    t->operation = 0;
    t->row = 0;
    t->result = (struct pt_result){0};
}

struct pt_event pt_trainer_next(struct pt_trainer *t, int8_t *sink, uint32_t sink_size)
{
    struct pt_event event = {PT_DONE, 0, 0, 0};
    if (t->operation >= t->plan.operations) {
        return event;
    }
    const struct pt_operation *operation = &t->plan.operation[t->operation];
    event.kind = operation->kind;
    event.layer = operation->layer;
    switch (operation->kind) {
    case PT_FORWARD:
        forward(t, operation);
        break;
    case PT_LOSS:
        if (pt_method_trains(&t->method)) {
            loss(t);
        } else {
            predict(t);
        }
        break;
    case PT_ERROR:
        error(t, operation);
        break;
    default:
        event.unfinished = t->row != 0u ? 1u : 0u;
        update(t, operation, sink, sink_size, &event);
        break;
    }
    if (!event.unfinished) {
        ++t->operation;
        t->row = 0;
    }
    return event;
}

/* Leaves nothing of the step for pt_trainer_next to go on with. */
static void end_step(struct pt_trainer *t)
{
    t->operation = t->plan.operations;
}

struct pt_result pt_trainer_train(struct pt_trainer *t, const uint8_t *image, uint32_t label)
{
    pt_trainer_begin(t, image, label);
    while (t->operation < t->plan.operations) {
        const struct pt_event event = pt_trainer_next(t, NULL, 0);
        /* Without a loss error no update can change anything (docs/numerics.md, section 10). */
        if (PT_SKIP_ZEROS && event.kind == PT_LOSS && easy(t)) {
            end_step(t);
        }
    }
    return t->result;
}

struct pt_result pt_trainer_predict(struct pt_trainer *t, const uint8_t *image)
{
    pt_trainer_begin(t, image, 0);
    for (uint32_t l = 0; l < t->model.header->layers; ++l) {
        forward(t, &t->plan.operation[l]);
    }
    predict(t);
    end_step(t);
    return t->result;
}

void pt_trainer_reset(struct pt_trainer *t, uint8_t *arena, uint32_t arena_size)
{
    memset(t, 0, sizeof *t);
    t->arena = arena;
    t->arena_size = arena_size;
    t->state = PT_STATE_EMPTY;
}

int pt_trainer_open(struct pt_trainer *t, uint8_t *blob, uint32_t size, bool frozen,
                    struct pt_detail *detail)
{
    t->state = PT_STATE_EMPTY;
    t->frozen = frozen;
    if (!frozen && size > t->arena_size) {
        return pt_refuse(detail, PT_ERR_MEMORY, size, t->arena_size, size,
                         (uint32_t)PT_MEMORY_WEIGHTS << 8);
    }
    const int err = pt_model_open(&t->model, blob, size, detail);
    if (!err) {
        t->state = PT_STATE_MODEL;
    }
    return err;
}

int pt_trainer_method(struct pt_trainer *t, const struct pt_method *method,
                      struct pt_detail *detail)
{
    t->state = PT_STATE_MODEL;
    int err = pt_method_check(method, detail);
    if (!err && t->frozen && pt_method_trains(method) && !pt_method_scores(method)) {
        err = pt_refuse(detail, PT_ERR_FROZEN, method->kind, 0, 0, 0);
    }
    if (!err) {
        err = pt_plan_make(&t->plan, &t->model, method, t->frozen, t->arena_size, detail);
    }
    if (err) {
        return err;
    }
    t->method = *method;
    memset(t->saturation, 0, sizeof t->saturation);
    end_step(t);
    uint8_t *memory = t->arena + t->plan.blob_size;
    for (uint32_t l = 0; l < t->model.header->layers; ++l) {
        t->scores[l] = pt_scores_at(memory, &t->model.layer[l], method, &t->plan.allotment);
        memory += pt_layer_scores_size(&t->model.layer[l], method, &t->plan.allotment);
        if (t->scores[l].count != 0u) {
            pt_scores_initialise(&t->scores[l], &t->model, l, method);
        }
    }
    t->state = PT_STATE_READY;
    return PT_OK;
}

int pt_trainer_set_mu(struct pt_trainer *t, int32_t mu, struct pt_detail *detail)
{
    struct pt_method method = t->method;
    method.mu = mu;
    const int err = pt_method_check(&method, detail);
    if (!err) {
        t->method = method;
    }
    return err;
}

/* True where the operation that ran last made, or still had, that activation or error. */
static bool fresh(const struct pt_trainer *t, const struct pt_buffer *buffer)
{
    const uint32_t last = t->operation == 0u ? 0u : t->operation - 1u;
    return buffer->first <= last && last <= buffer->last;
}

int pt_trainer_tensor(const struct pt_trainer *t, uint32_t kind, uint32_t layer, uint8_t **data,
                      uint32_t *size, struct pt_detail *detail)
{
    const uint32_t layers = t->model.header->layers;
    const bool input = kind == PT_TENSOR_ACTIVATION && layer == PT_INPUT_LAYER;
    struct pt_scores scores = {NULL, NULL, 0};
    const struct pt_buffer *buffer = NULL;
    *data = NULL;
    *size = 0;
    if (input) {
        buffer = pt_plan_activation(&t->plan, -1);
        *size = t->plan.image_size;
    } else if (layer < layers) {
        const struct pt_model_layer *entry = &t->model.layer[layer];
        scores = t->scores[layer];
        switch (kind) {
        case PT_TENSOR_ACTIVATION:
            buffer = pt_plan_activation(&t->plan, (int32_t)layer);
            *size = pt_shape_out_size(&entry->shape);
            break;
        case PT_TENSOR_ERROR:
            if (pt_method_trains(&t->method) && layer >= t->model.first_weighted) {
                buffer = pt_plan_error(&t->plan, layers, layer);
                *size = pt_shape_out_size(&entry->shape);
            }
            break;
        case PT_TENSOR_WEIGHTS:
            *data = (uint8_t *)pt_model_weights(&t->model, layer);
            *size = entry->weights_size;
            break;
        case PT_TENSOR_SCORES:
            *data = (uint8_t *)scores.score;
            *size = scores.count;
            break;
        case PT_TENSOR_BITMAP:
            *data = scores.bitmap;
            *size = scores.bitmap == NULL ? 0u : pt_layer_rows(entry) * pt_bitmap_row_size(entry);
            break;
        default:
            break;
        }
    }
    if (buffer != NULL && fresh(t, buffer)) {
        *data = transient(t, buffer);
    }
    if (*data == NULL || *size == 0u) {
        return pt_refuse(detail, PT_ERR_TENSOR, kind, layer, 0, 0);
    }
    return PT_OK;
}

uint32_t pt_trainer_io_offset(const struct pt_trainer *t)
{
    return t->plan.blob_size + t->plan.scores_size + t->plan.transient_size;
}
