/*
 * What a trainer does between steps: models, methods, and finding tensors. It stays in flash.
 */
#include <stddef.h>

#include "kernels/pt_conv2d_pool.h"
#include "kernels/pt_memory.h"
#include "nn/pt_fisher.h"
#include "nn/pt_prototypes.h"
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
    t->selected.size = 0;
    const int err = pt_model_open(&t->model, t->weights, blob, size, detail);
    if (!err) {
        t->state = PT_STATE_MODEL;
    }
    return err;
}

struct pt_planned pt_trainer_planned(const struct pt_trainer *t)
{
    const struct pt_planned planned = {&t->model, &t->method, &t->selected, t->frozen, t->fuses};
    return planned;
}

/* Layers of which a row of weights learns, as bits; of as many as a network that trains has. */
static uint32_t trained_layers(const struct pt_planned *planned)
{
    uint32_t layers = 0;
    for (uint32_t l = 0; l < planned->model->header->layers && l < PT_MAX_TRAINED_LAYERS; ++l) {
        if (pt_method_weights(planned->method) && pt_planned_learns(planned, l)) {
            layers |= 1u << l;
        }
    }
    return layers;
}

/* What the method asks of the model, but for the memory. */
static int check_method(const struct pt_planned *planned, struct pt_detail *detail)
{
    const struct pt_method *method = planned->method;
    const struct pt_model *model = planned->model;
    const bool selected = planned->selected->size != 0u;
    int err = pt_method_check(method, detail);
    if (!err && method->kind >= PT_FISHER && !pt_model_affine(model)) {
        err = pt_refuse(detail, PT_ERR_SPARSE_FORM, model->header->form, PT_AFFINE, 0, 0);
    }
    if (!err && method->kind == PT_PRIOT_S && selected) {
        err = pt_refuse(detail, PT_ERR_SELECTION_METHOD, method->kind, 0, 0, 0);
    }
    if (!err && pt_method_trains(method)) {
        err = pt_model_trains(model, trained_layers(planned), detail);
    }
    if (!err && planned->frozen && pt_method_weights(method) && !selected) {
        err = pt_refuse(detail, PT_ERR_FROZEN, method->kind, 0, 0, 0);
    }
    if (!err && method->kind == PT_PROTOTYPE) {
        err = pt_prototypes_check(model, detail);
    }
    return err;
}

/* Weights are the blob's again, but for a head that was made, which stays where it is. */
static void forget_copies(struct pt_trainer *t)
{
    const uint32_t last = t->model.header->layers - 1u;
    const struct pt_factor *head = t->model.head;
    pt_model_forget_copies(&t->model);
    if (head != NULL) {
        t->model.head = head;
        t->model.weights[last] = (int8_t *)t->arena;
    }
}

/* Copies begin with what the blob has. */
static void place_copies(struct pt_trainer *t, const struct pt_planned *planned)
{
    const uint32_t last = t->model.header->layers - 1u;
    const bool made = t->model.head != NULL;
    uint8_t *memory = t->arena + (made ? pt_planned_copy(planned, last) : 0u);
    for (uint32_t l = 0; l < last + (made ? 0u : 1u); ++l) {
        const uint32_t size = pt_planned_copy(planned, l);
        if (size != 0u) {
            memcpy(memory, t->model.weights[l], t->model.layer[l].weights_size);
            t->model.weights[l] = (int8_t *)memory;
            memory += size;
        }
    }
}

int pt_trainer_method(struct pt_trainer *t, const struct pt_method *method,
                      struct pt_detail *detail)
{
    const struct pt_planned planned = {&t->model, method, &t->selected, t->frozen, t->fuses};
    t->state = PT_STATE_MODEL;
    forget_copies(t);
    int err = check_method(&planned, detail);
    if (!err) {
        err = pt_plan_make(&t->plan, &planned, t->arena_size, detail);
    }
    if (err) {
        return err;
    }
    t->method = pt_method_bare(method);
    memset(t->saturation, 0, sizeof t->saturation);
    t->operation = t->plan.operations; /* no step is in work */
    place_copies(t, &planned);
    uint8_t *memory = pt_part_scores(t);
    if (method->kind >= PT_FISHER) {
        memset(memory, 0, t->plan.scores_size);
    }
    for (uint32_t l = 0; l < t->model.header->layers; ++l) {
        t->scores[l] = pt_scores_at(memory, &planned, l, &t->plan.allotment);
        memory += pt_layer_scores_size(&planned, l, &t->plan.allotment);
        if (t->scores[l].count != 0u) {
            pt_scores_initialise(&t->scores[l], &planned, l);
        }
    }
    t->state = PT_STATE_READY;
    return PT_OK;
}

void pt_trainer_fuse(struct pt_trainer *t, bool fuses)
{
    t->fuses = fuses;
}

/* Ends a method that another selection would change. */
static int selected_anew(struct pt_trainer *t, int err)
{
    if (!err && (pt_method_selects(&t->method) || t->method.kind == PT_PRIOT_S)) {
        t->state = PT_STATE_MODEL;
    }
    return err;
}

int pt_trainer_select(struct pt_trainer *t, const uint8_t *bits, uint32_t size,
                      struct pt_detail *detail)
{
    return selected_anew(t, pt_selection_set(&t->selected, &t->model, bits, size, detail));
}

int pt_trainer_select_last(struct pt_trainer *t, struct pt_detail *detail)
{
    return selected_anew(t, pt_selection_set_last(&t->selected, &t->model, detail));
}

int pt_trainer_seal(struct pt_trainer *t, struct pt_detail *detail)
{
    if (t->state == PT_STATE_EMPTY) {
        return pt_refuse(detail, PT_ERR_STATE, t->state, PT_STATE_MODEL, 0, 0);
    }
    if (t->frozen) {
        return pt_refuse(detail, PT_ERR_FROZEN, t->method.kind, 0, 0, 0);
    }
    pt_model_seal(&t->model);
    return PT_OK;
}

int pt_trainer_set_mu(struct pt_trainer *t, int32_t mu, struct pt_detail *detail)
{
    const int err = pt_method_check_mu(mu, detail);
    if (!err) {
        t->method.mu = mu;
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
        case PT_TENSOR_PLACES:
            buffer = pt_plan_activation(&t->plan, layer);
            if ((buffer->kind == PT_MEMORY_PLACES) != (kind == PT_TENSOR_PLACES)) {
                buffer = NULL;
            } else if (kind == PT_TENSOR_PLACES) {
                *size = pt_places_size(&entry->shape);
            } else {
                *size = pt_shape_out_size(&entry->shape);
            }
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
        case PT_TENSOR_FISHER:
            if (PT_WITH_AFFINE && t->method.kind == PT_FISHER) {
                *data = (uint8_t *)pt_fisher_of(t, layer);
                *size = pt_layer_rows(entry) * (uint32_t)sizeof(uint64_t);
            }
            break;
        case PT_TENSOR_SELECTION:
            *data = (uint8_t *)pt_selection_bits(&t->selected, &t->model, layer);
            *size = pt_selection_layer_size(entry);
            break;
        case PT_TENSOR_FACTORS:
            *data = (uint8_t *)pt_model_factors(&t->model, layer);
            *size = entry->factors * (uint32_t)sizeof(struct pt_factor);
            break;
        case PT_TENSOR_PROTOTYPES:
            if (t->method.kind == PT_PROTOTYPE && layer + 1u == layers) {
                *data = pt_part_scores(t);
                *size = t->plan.scores_size;
            }
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
