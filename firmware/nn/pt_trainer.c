#include "nn/pt_trainer.h"

#include <stddef.h>

#include "kernels/pt_memory.h"
#include "kernels/pt_requantize.h"
#include "kernels/pt_skips.h"
#include "nn/operators/pt_operator.h"
#include "nn/operators/pt_row_update.h"
#include "nn/pt_affine_step.h"
#include "nn/pt_loss.h"
#include "nn/pt_prototypes.h"
#include "nn/pt_trainer_parts.h"
#ifdef PT_CORES
#include "nn/parallel/pt_update_share.h"
#endif

/* Positions up to which G * w is in int32, without a halving. */
enum { MOST_POSITIONS = 1048 };

/* The input of a layer of the power-of-two form, which is the output of the one before; or of the
 * one that would follow the last. */
static int8_t *chain_activation(const struct pt_trainer *t, uint32_t layer)
{
    return (int8_t *)pt_part_transient(t, &t->plan.buffer[layer]);
}

/* Of a pair; NULL: the layer is no convolution of one. */
static uint8_t *places_of(const struct pt_trainer *t, uint32_t layer)
{
    return pt_plan_pairs(&t->plan, layer) ? (uint8_t *)chain_activation(t, layer + 1u) : NULL;
}

/* Accumulators first, requantised with their own range; they begin the scratch. */
static uint32_t forward_dynamic(struct pt_trainer *t, const struct pt_operator *op,
                                const struct pt_pass *pass, uint8_t *scratch)
{
    int32_t *accumulator = (int32_t *)scratch;
    const uint32_t count = pt_shape_out_size(pass->shape);
    op->forward_s32(pass, accumulator + count, accumulator);
    const uint32_t shift = pt_part_dynamic_shift(pt_max_abs_s32(accumulator, count));
    t->exponent += (int32_t)shift;
    return pt_requantize_s8(accumulator, count, shift, pass->relu, pass->output);
}

static void forward(struct pt_trainer *t, const struct pt_operation *operation)
{
    const uint32_t l = operation->layer;
    if (pt_model_affine(&t->model)) {
        pt_affine_step_forward(t, operation);
        return;
    }
    const struct pt_model_layer *layer = &t->model.layer[l];
    const bool pair = pt_plan_pairs(&t->plan, l);
    const struct pt_operator *op = pt_part_operator(t, l);
    const bool accumulates = op->forward_s32 != NULL;
    uint8_t *scratch = pt_part_scratch(t, operation);
    const struct pt_pass pass = {
        .shape = &layer->shape,
        .edges = pt_part_edges(t, l),
        .input = chain_activation(t, l),
        .output = chain_activation(t, l + (pair ? 2u : 1u)),
        .error = NULL,
        .input_error = NULL,
        .places = pair ? (uint8_t *)chain_activation(t, l + 1u) : NULL,
        .shift = layer->forward_shift,
        .relu = layer->relu != 0u,
    };
    uint32_t saturated;
    t->exponent += accumulates ? layer->weight_exponent : 0;
    if (accumulates && pt_part_dynamic(t)) {
        saturated = forward_dynamic(t, op, &pass, scratch);
    } else {
        t->exponent += accumulates ? layer->forward_shift : 0;
        saturated = pair ? op->pool_forward_s8(&pass, scratch) : op->forward_s8(&pass, scratch);
    }
    t->saturation[l].forward += saturated;
    t->result.saturated += saturated;
}

/* The output of the last layer. */
static const int8_t *logits_of(const struct pt_trainer *t)
{
    return chain_activation(t, t->model.header->layers);
}

static void predict(struct pt_trainer *t)
{
    t->result.prediction = (uint16_t)pt_argmax_s8(logits_of(t), t->model.header->classes);
}

/* The error of the output of a layer that learns, of the power-of-two form, or of the last; of a
 * pair that of the pool. Behind it in the plan is that of its input. */
__attribute__((noinline)) static const struct pt_buffer *direct_error(
    const struct pt_trainer *t, uint32_t layer)
{
    const uint32_t made = layer + (pt_plan_pairs(&t->plan, layer) ? 1u : 0u);
    return pt_plan_error(&t->plan, t->model.header->layers, made);
}

/* The loss error of an easy image counts as zero. */
static bool easy(const struct pt_trainer *t)
{
    return t->result.loss_norm <= t->method.easy;
}

static void loss(struct pt_trainer *t)
{
    const uint32_t classes = t->model.header->classes;
    const bool affine = pt_model_affine(&t->model);
    const int8_t *logits = logits_of(t);
    /* The first of the errors. */
    int8_t *output_error =
        (int8_t *)pt_part_transient(t, &t->plan.buffer[t->model.header->layers + 1u]);
    const uint32_t prediction = pt_argmax_s8(logits, classes);
    t->result.prediction = (uint16_t)prediction;
    t->result.loss_norm = (uint16_t)(
        affine ? pt_affine_step_loss(t, logits, output_error)
               : pt_loss_error_s8(logits, t->exponent, logits[prediction], classes, t->target,
                                  output_error));
    if (easy(t) && t->result.loss_norm != 0u) {
        memset(output_error, 0, classes);
    }
    if (affine) {
        pt_affine_step_begin_errors(t);
    }
}

/* Accumulators first; they begin the scratch. */
static uint32_t error_of(const struct pt_trainer *t, uint32_t l, const struct pt_pass *pass,
                         uint8_t *scratch)
{
    const uint32_t count = pt_shape_in_size(pass->shape);
    int32_t *accumulator = (int32_t *)scratch;
    pt_part_operator(t, l)->error_s32(pass, accumulator + count, accumulator);
    const uint32_t shift = pt_part_error_shift(t, &t->model.layer[l], accumulator, count);
    return pt_requantize_error_s8(accumulator, pass->relu ? pass->input : NULL, count, shift,
                                  pass->input_error);
}

static uint32_t pair_error(const struct pt_trainer *t, uint32_t l, struct pt_pass *pass,
                           uint8_t *scratch)
{
    pass->places = places_of(t, l);
    return pt_part_operator(t, l)->pool_error_s8(pass, scratch);
}

static void error(struct pt_trainer *t, const struct pt_operation *operation)
{
    const uint32_t l = operation->layer;
    if (pt_model_affine(&t->model)) {
        pt_affine_step_error(t, operation);
        return;
    }
    const struct pt_operator *op = pt_part_operator(t, l);
    const struct pt_model_layer *layer = &t->model.layer[l];
    const struct pt_buffer *at = direct_error(t, l);
    struct pt_pass pass;
    pass.shape = &layer->shape;
    pass.relu = layer[-1].relu != 0u;
    pass.relu = pass.relu || pt_plan_pooled(&t->plan, l - 1u);
    pass.input = chain_activation(t, l);
    pass.error = (int8_t *)pt_part_transient(t, at);
    pass.input_error = (int8_t *)pt_part_transient(t, at + 1);
    pass.edges = pt_part_edges(t, l);
    pass.shift = layer->error_shift;
    pass.dynamic = pt_part_dynamic(t);
    if (op->error_s32 == NULL) {
        op->error_s8(&pass);
        return;
    }
    uint8_t *scratch = pt_part_transient(t, &t->plan.buffer[operation->scratch]);
    const uint32_t saturated = pt_plan_pairs(&t->plan, l) ? pair_error(t, l, &pass, scratch)
                                                          : error_of(t, l, &pass, scratch);
    t->saturation[l].error += saturated;
    t->result.saturated += saturated;
}

static uint32_t update_shift(uint32_t bits, int32_t mu)
{
    const int32_t shift = (int32_t)bits - mu;
    return shift < 0 ? 0u : shift > 31 ? 31u : (uint32_t)shift;
}

/* An update at the row that t has come to; its scores begin where those of the rows before end. */
static void prepare_update(const struct pt_trainer *t, const struct pt_operation *operation,
                           bool affine, struct pt_update *update)
{
    const uint32_t l = operation->layer;
    const struct pt_model_layer *layer = &t->model.layer[l];
    const uint32_t row_length = pt_layer_row_length(layer);
    const struct pt_scores *scores = &t->scores[l];
    uint8_t *scratch = pt_part_scratch(t, operation);
    update->shape = &layer->shape;
    update->row_length = row_length;
    update->shift = t->row_shift;
    update->dynamic = pt_part_dynamic(t);
    update->row = t->row;
    update->weights = pt_model_weights(&t->model, l) + t->row * row_length;
    update->scores = scores->score == NULL ? NULL : scores->score + t->scored;
    update->bitmap = scores->bitmap == NULL
                         ? NULL
                         : scores->bitmap + t->row * pt_bitmap_size(row_length);
    if (affine) {
        pt_affine_step_update(t, l, scratch, update);
        return;
    }
    update->rows = pt_selection_bits(&t->selected, &t->model, l);
    update->input = chain_activation(t, l);
    update->error = (const int8_t *)pt_part_transient(t, direct_error(t, l));
    update->places = places_of(t, l);
    update->halvings = pt_part_halvings(&layer->shape, MOST_POSITIONS);
    update->op->update_layout(update, scratch);
}

/* Before the first row: what the operator prepares, and the shift. */
static void start_update(struct pt_trainer *t, uint32_t l, bool affine, struct pt_update *update)
{
    const struct pt_model_layer *layer = &t->model.layer[l];
    const uint32_t bits = pt_method_scores(&t->method) ? layer->score_bits : layer->gradient_bits;
    const uint32_t range = affine ? pt_affine_update_begin(update)
                                  : update->op->update_begin(update);
    t->row_shift = update_shift(update->dynamic ? range : bits, t->method.mu);
    update->shift = t->row_shift;
}

/* Updates rows until the layer is done or the sink is full. */
static void update(struct pt_trainer *t, const struct pt_operation *operation, int8_t *sink,
                   uint32_t sink_size, struct pt_event *event)
{
    const uint32_t l = operation->layer;
    const struct pt_operator *op = pt_part_operator(t, l);
    const uint32_t rows = t->model.layer[l].shape.out_c;
    const bool affine = pt_model_affine(&t->model);
    uint32_t (*const update_row)(const struct pt_update *update) =
        affine ? pt_affine_update_row : op->update_row;
    uint32_t saturated = 0;
    if (!event->unfinished) {
        t->row = 0;
        t->scored = 0;
    }
    struct pt_update u;
    u.op = op;
    prepare_update(t, operation, affine, &u);
    const uint32_t bitmap_row = pt_bitmap_size(u.row_length);
    u.update = sink == NULL ? NULL : u.steps;
    if (!event->unfinished) {
        start_update(t, l, affine, &u);
    }
    event->updates = 0;
#ifdef PT_CORES
    if (sink == NULL) {
        saturated = pt_update_share(&u, update_row, rows);
    }
#endif
    for (; u.row < rows; ++u.row) {
        if (sink != NULL && sink_size - event->updates < u.row_length) {
            break;
        }
        uint32_t learns = u.row_length;
        if (u.bitmap != NULL) {
            learns = pt_bitmap_count(u.bitmap, u.row_length);
        }
        if (pt_selection_has(u.rows, u.row)) {
            saturated += update_row(&u);
        } else {
            learns = 0; /* nor has it scores */
        }
        if (sink != NULL) {
            memcpy(sink + event->updates, u.steps, learns);
            event->updates += learns;
        }
        u.weights += u.row_length;
        if (u.scores != NULL) {
            u.scores += learns;
            t->scored += learns;
        }
        if (u.bitmap != NULL) {
            u.bitmap += bitmap_row;
        }
    }
    t->row = u.row;
    event->unfinished = t->row < rows ? 1u : 0u;
    t->saturation[l].update += saturated;
    t->result.saturated += saturated;
}

/* Pixels 0..255 become activations 0..127. */
static void halve_pixels(const uint8_t *image, uint32_t size, int8_t *input)
{
    const uint8_t *end = image + size;
    if ((uintptr_t)image % 4u == 0u) {
        for (const uint8_t *words = image + (size & ~3u); image != words; image += 4, input += 4) {
            pt_store_word(input, pt_load_word(image) >> 1 & 0x7f7f7f7fu);
        }
    }
    for (; image != end; ++image) {
        *input++ = (int8_t)(*image >> 1);
    }
}

static void begin(struct pt_trainer *t, const uint8_t *image, uint32_t label)
{
    int8_t *input = pt_part_activation(t, PT_INPUT_LAYER);
    if (pt_model_affine(&t->model)) {
        memcpy(input, image, t->plan.image_size);
    } else {
        halve_pixels(image, t->plan.image_size, input);
    }
    t->target = label;
    t->exponent = PT_INPUT_EXPONENT;
    t->operation = 0;
    t->row = 0;
    t->result = (struct pt_result){0};
}

int pt_trainer_begin(struct pt_trainer *t, const uint8_t *image, uint32_t label,
                     struct pt_detail *detail)
{
    const uint32_t classes = t->model.header->classes;
    if (label >= classes) {
        return pt_refuse(detail, PT_ERR_LABEL, 0, label, classes, 0);
    }
    begin(t, image, label);
    return PT_OK;
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
        if (pt_method_backward(&t->method)) {
            loss(t);
            break;
        }
        predict(t);
        if (PT_WITH_AFFINE && t->method.kind == PT_PROTOTYPE) {
            pt_prototypes_add(t);
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

int pt_trainer_train(struct pt_trainer *t, const uint8_t *image, uint32_t label,
                     struct pt_result *result, struct pt_detail *detail)
{
    const int err = pt_trainer_begin(t, image, label, detail);
    if (err) {
        return err;
    }
    while (t->operation < t->plan.operations) {
        const struct pt_event event = pt_trainer_next(t, NULL, 0);
        /* Without a loss error no update can change anything (docs/numerics.md, section 10). */
        if (PT_SKIP_ZEROS && event.kind == PT_LOSS && easy(t)) {
            end_step(t);
        }
    }
    if (result != NULL) {
        *result = t->result;
    }
    return PT_OK;
}

struct pt_result pt_trainer_predict(struct pt_trainer *t, const uint8_t *image)
{
    begin(t, image, 0);
    for (const struct pt_operation *next = t->plan.operation; next->kind == PT_FORWARD; ++next) {
        forward(t, next);
    }
    predict(t);
    end_step(t);
    return t->result;
}
