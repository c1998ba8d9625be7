/*
 * What a trainer does between steps: models, methods, and finding tensors. It stays in flash.
 */
#include <stddef.h>

#include "kernels/pt_memory.h"
#include "nn/pt_scores.h"
#include "nn/pt_trainer.h"
#include "nn/pt_trainer_parts.h"

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
    const bool weights = pt_method_trains(method) && !pt_method_scores(method);
    if (!err && pt_method_trains(method)) {
        err = pt_model_trains(&t->model, weights, detail);
    }
    if (!err && t->frozen && weights) {
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
    t->operation = t->plan.operations; /* no step is in work */
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
        buffer = pt_plan_activation(&t->plan, PT_INPUT_LAYER);
        *size = t->plan.image_size;
    } else if (layer < layers) {
        const struct pt_model_layer *entry = &t->model.layer[layer];
        scores = t->scores[layer];
        switch (kind) {
        case PT_TENSOR_ACTIVATION:
            buffer = pt_plan_activation(&t->plan, layer);
            *size = pt_shape_out_size(&entry->shape);
            break;
        case PT_TENSOR_ERROR:
            buffer = pt_plan_error(&t->plan, layers, layer);
            *size = pt_shape_out_size(&entry->shape);
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
        *data = pt_part_transient(t, buffer);
    }
    if (*data == NULL || *size == 0u) {
        return pt_refuse(detail, PT_ERR_TENSOR, kind, layer, 0, 0);
    }
    return PT_OK;
}
