#include "nn/pt_guard.h"

#include <stddef.h>

#include "nn/pt_crc32.h"
#include "nn/pt_sum.h"
#include "nn/pt_trainer_parts.h"

/* All but what a step works with. */
static uint32_t trainer_sum(const struct pt_trainer *t)
{
    const uint8_t *at = (const uint8_t *)t;
    const size_t settings = offsetof(struct pt_trainer, method);
    const size_t weights = offsetof(struct pt_trainer, weights);
    const size_t counts = offsetof(struct pt_trainer, saturation);
    uint32_t sum = pt_sum(0, at, offsetof(struct pt_trainer, target));
    sum = pt_sum(sum, at + settings, (uint32_t)(counts - settings));
    return pt_sum(sum, at + weights, (uint32_t)(sizeof *t - weights));
}

static uint32_t description_sum(const struct pt_model *model, uint32_t layers)
{
    const uint32_t sum = pt_sum(0, model->header, sizeof *model->header);
    return pt_sum(sum, model->layer, layers * (uint32_t)sizeof *model->layer);
}

static bool trained(const struct pt_guard *guard, uint32_t layer)
{
    return (guard->trained[layer / 32u] >> (layer % 32u) & 1u) != 0u;
}

/* Notes of which layers the method that is set trains the weights themselves. */
static void note_trained(struct pt_guard *guard, const struct pt_trainer *t)
{
    for (uint32_t w = 0; w < sizeof guard->trained / sizeof guard->trained[0]; ++w) {
        guard->trained[w] = 0;
    }
    if (t->state != PT_STATE_READY || !pt_method_weights(&t->method)) {
        return;
    }
    const struct pt_planned planned = pt_trainer_planned(t);
    for (uint32_t l = 0; l < t->model.header->layers; ++l) {
        if (pt_planned_learns(&planned, l)) {
            guard->trained[l / 32u] |= 1u << (l % 32u);
        }
    }
}

/* The blob without the weights in it that are trained; then a head of its own. */
static uint32_t model_crc(const struct pt_guard *guard, const struct pt_trainer *t)
{
    const struct pt_model *model = &t->model;
    const uint32_t last = model->header->layers - 1u;
    uint32_t crc = 0;
    uint32_t at = 0;
    for (uint32_t l = 0; l <= last; ++l) {
        const struct pt_model_layer *layer = &model->layer[l];
        const uint8_t *own = model->blob + layer->weights_offset;
        if (trained(guard, l) && (const uint8_t *)pt_model_weights(model, l) == own) {
            crc = pt_crc32(crc, model->blob + at, layer->weights_offset - at);
            at = layer->weights_offset + layer->weights_size;
        }
    }
    crc = pt_crc32(crc, model->blob + at, model->header->size - at);
    if (model->head != NULL) {
        const struct pt_model_layer *layer = &model->layer[last];
        crc = pt_crc32(crc, model->head, layer->factors * (uint32_t)sizeof *model->head);
        crc = pt_crc32(crc, pt_model_weights(model, last),
                       trained(guard, last) ? 0u : layer->weights_size);
    }
    return crc;
}

static uint32_t learnt_sum(const struct pt_guard *guard, const struct pt_trainer *t)
{
    uint32_t sum = pt_sum(0, pt_part_scores(t), t->plan.scores_size);
    for (uint32_t l = 0; l < t->model.header->layers; ++l) {
        if (trained(guard, l)) {
            sum = pt_sum(sum, pt_model_weights(&t->model, l), t->model.layer[l].weights_size);
        }
    }
    return sum;
}

void pt_guard_take(struct pt_guard *guard, const struct pt_trainer *t, uint32_t parts)
{
    if ((parts & PT_GUARD_TRAINER) != 0u) {
        guard->trainer = trainer_sum(t);
    }
    if ((parts & PT_GUARD_MODEL) != 0u && t->state != PT_STATE_EMPTY) {
        guard->layers = t->model.header->layers;
        note_trained(guard, t);
        guard->description = description_sum(&t->model, guard->layers);
        guard->model = model_crc(guard, t);
    }
    if ((parts & PT_GUARD_LEARNT) != 0u && t->state == PT_STATE_READY) {
        guard->learnt = learnt_sum(guard, t);
    }
}

static int same(uint32_t region, uint32_t found, uint32_t taken, struct pt_detail *detail)
{
    return found == taken ? PT_OK : pt_refuse(detail, PT_ERR_DAMAGED, region, found, taken, 0);
}

int pt_guard_check(const struct pt_guard *guard, const struct pt_trainer *t, uint32_t parts,
                   struct pt_detail *detail)
{
    int err = same(PT_REGION_TRAINER, trainer_sum(t), guard->trainer, detail);
    if (!err && guard->layers > PT_MAX_LAYERS) { /* the guard itself */
        err = same(PT_REGION_TRAINER, guard->layers, PT_MAX_LAYERS, detail);
    }
    if (!err && t->state != PT_STATE_EMPTY) {
        err = same(PT_REGION_MODEL, description_sum(&t->model, guard->layers), guard->description,
                   detail);
        if (!err && (parts & PT_GUARD_MODEL) != 0u) {
            err = same(PT_REGION_MODEL, model_crc(guard, t), guard->model, detail);
        }
    }
    if (!err && (parts & PT_GUARD_LEARNT) != 0u && t->state == PT_STATE_READY) {
        err = same(PT_REGION_LEARNT, learnt_sum(guard, t), guard->learnt, detail);
    }
    return err;
}
