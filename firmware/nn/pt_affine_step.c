#include "nn/pt_affine_step.h"

#include "kernels/pt_affine_backward.h"
#include "kernels/pt_memory.h"
#include "kernels/pt_requantize.h"
#include "nn/operators/pt_row_update.h"
#include "nn/pt_fisher.h"
#include "nn/pt_loss.h"
#include "nn/pt_trainer_parts.h"

/* Positions up to which G * w is in int32, without a halving. */
enum { MOST_POSITIONS = 518 };

/* The output of a layer, or of PT_INPUT_LAYER the network's input. Out of line: less code. */
static __attribute__((noinline)) int8_t *activation_of(const struct pt_trainer *t, uint32_t layer)
{
    return pt_part_activation(t, layer);
}

/* The error of the output of a layer; NULL where the layer does not learn. */
static __attribute__((noinline)) int8_t *error_of(const struct pt_trainer *t, uint32_t layer)
{
    const struct pt_buffer *buffer = pt_plan_error(&t->plan, t->model.header->layers, layer);
    return buffer == NULL ? NULL : (int8_t *)pt_part_transient(t, buffer);
}

static struct pt_affine affine_of(const struct pt_trainer *t, uint32_t l)
{
    const struct pt_model_layer *layer = &t->model.layer[l];
    const struct pt_affine affine = {
        pt_model_factors(&t->model, l),
        {layer->zero_in[0], layer->zero_in[1]},
        layer->zero_out,
        layer->low,
        layer->high,
    };
    return affine;
}

void pt_affine_step_forward(struct pt_trainer *t, const struct pt_operation *operation)
{
    const uint32_t l = operation->layer;
    const struct pt_model_layer *layer = &t->model.layer[l];
    const struct pt_operator *op = pt_part_operator(t, l);
    const struct pt_affine_pass pass = {
        .shape = &layer->shape,
        .affine = affine_of(t, l),
        .factors = layer->factors,
        .edges = pt_part_edges(t, l),
        .input = {activation_of(t, layer->input[0]),
                  op->inputs < 2u ? NULL : activation_of(t, layer->input[1])},
        .output = activation_of(t, l),
    };
    op->forward_affine(&pass, pt_part_scratch(t, operation));
}

uint32_t pt_affine_step_loss(const struct pt_trainer *t, const int8_t *logits, int8_t *error)
{
    const struct pt_logits of = pt_affine_step_logits(&t->model);
    return pt_loss_affine_error_s8(logits, &of, logits[t->result.prediction],
                                   t->model.header->classes, t->target, error);
}

/* An error that has its zeros is looked at, and weighted by the multipliers of its rows. */
static void complete_error(struct pt_trainer *t, uint32_t l)
{
    const struct pt_model_layer *layer = &t->model.layer[l];
    if (pt_layer_rows(layer) != 0u) {
        int8_t *error = error_of(t, l);
        if (t->method.kind == PT_FISHER) {
            pt_fisher_add_s8(&layer->shape, activation_of(t, l), layer->zero_out, error,
                             pt_fisher_of(t, l));
        }
        pt_affine_weigh_error_s8(pt_model_factors(&t->model, l), layer->factors,
                                 pt_shape_positions(&layer->shape), error);
    }
}

void pt_affine_step_begin_errors(struct pt_trainer *t)
{
    const uint32_t last = t->model.header->layers - 1u;
    memset(t->scale, 0, sizeof t->scale);
    t->scale[last].multiplier = PT_ERROR_SCALE_ONE;
    complete_error(t, last);
}

/* True where no layer before `reader` reads the output of that layer. */
static bool first_reader(const struct pt_trainer *t, uint32_t layer, uint32_t reader)
{
    for (uint32_t l = layer + 1u; l < reader; ++l) {
        const struct pt_model_layer *other = &t->model.layer[l];
        if (other->input[0] == layer || other->input[1] == layer) {
            return false;
        }
    }
    return true;
}

/* Its last contribution has come. */
static void finish_error(struct pt_trainer *t, uint32_t l)
{
    const struct pt_affine affine = affine_of(t, l);
    pt_affine_mask_error_s8(&affine, activation_of(t, l),
                            pt_shape_out_size(&t->model.layer[l].shape), error_of(t, l));
    complete_error(t, l);
}

void pt_affine_step_error(struct pt_trainer *t, const struct pt_operation *operation)
{
    const uint32_t l = operation->layer;
    const struct pt_model_layer *layer = &t->model.layer[l];
    const struct pt_operator *op = pt_part_operator(t, l);
    const uint32_t count = pt_shape_in_size(&layer->shape);
    int32_t *accumulator = (int32_t *)pt_part_scratch(t, operation);
    uint32_t shift = 0;
    const struct pt_affine_error pass = {
        .shape = &layer->shape,
        .factor = pt_model_factors(&t->model, l),
        .factors = layer->factors,
        .edges = pt_part_edges(t, l),
        .input = activation_of(t, layer->input[0]),
        .error = error_of(t, l),
        .scale = t->scale[l],
    };
    if (op->error_affine_s32 != NULL) {
        op->error_affine_s32(&pass, accumulator + count, accumulator);
        shift = pt_part_error_shift(t, layer, accumulator, count);
    }
    for (uint32_t i = 0; i < op->inputs; ++i) {
        const uint32_t tensor = layer->input[i];
        int8_t *error = tensor == PT_INPUT_LAYER ? NULL : error_of(t, tensor);
        if (error == NULL) {
            continue;
        }
        const struct pt_error_scale scale =
            pt_error_scale_lifted(op->error_scale(&pass, i), shift);
        const struct pt_merge merge = pt_error_scale_merge(error, &t->scale[tensor], scale);
        if (op->error_affine_s32 != NULL) {
            const uint32_t saturated = pt_affine_merge_sums_s32(accumulator, count, shift, &merge);
            t->saturation[l].error += saturated;
            t->result.saturated += saturated;
        } else {
            op->error_affine_s8(&pass, &merge);
        }
        const bool again = i + 1u < op->inputs && layer->input[i + 1u] == tensor;
        if (!again && first_reader(t, tensor, l)) {
            finish_error(t, tensor);
        }
    }
}

void pt_affine_step_update(const struct pt_trainer *t, uint32_t l, uint8_t *scratch,
                           struct pt_update *update)
{
    const struct pt_model_layer *layer = &t->model.layer[l];
    update->rows = pt_selection_bits(&t->selected, &t->model, l);
    update->input = activation_of(t, layer->input[0]);
    update->error = error_of(t, l);
    update->zero = layer->zero_in[0];
    update->halvings = pt_part_halvings(&layer->shape, MOST_POSITIONS);
    pt_affine_update_layout(update, scratch);
}
