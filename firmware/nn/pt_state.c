#include "nn/pt_state.h"

#include <stdbool.h>
#include <stddef.h>

#include "kernels/pt_memory.h"
#include "nn/pt_crc32.h"

/* The part of a layer's state that learns, or that NITI may have trained before. -> bytes */
static uint32_t learned(const struct pt_trainer *t, uint32_t layer, uint8_t **data)
{
    const struct pt_planned planned = pt_trainer_planned(t);
    struct pt_detail ignored;
    uint32_t size;
    if (t->method.kind != PT_INFER &&
        (!pt_planned_learns(&planned, layer) || t->method.kind == PT_FISHER)) {
        return 0;
    }
    const uint32_t kind = pt_method_scores(&t->method) ? PT_TENSOR_SCORES : PT_TENSOR_WEIGHTS;
    return pt_trainer_tensor(t, kind, layer, data, &size, &ignored) == PT_OK ? size : 0u;
}

/* Over the weights of a layer that are no state, and its factors, which a head from prototypes has
 * of its own. */
static uint32_t fixed_crc(const struct pt_trainer *t, uint32_t layer, bool state, uint32_t crc)
{
    const struct pt_model_layer *entry = &t->model.layer[layer];
    if (!state) {
        crc = pt_crc32(crc, pt_model_weights(&t->model, layer), entry->weights_size);
    }
    return pt_crc32(crc, pt_model_factors(&t->model, layer),
                    entry->factors * (uint32_t)sizeof(struct pt_factor));
}

struct pt_checkpoint pt_state_describe(const struct pt_trainer *t)
{
    struct pt_method method = t->method;
    method.mu = 0;
    struct pt_checkpoint head = {
        PT_CHECKPOINT_MAGIC, t->model.header->crc32, pt_crc32(0, &method, sizeof method), 0, 0,
    };
    if (pt_method_selects(&method)) {
        head.method = pt_crc32(head.method, t->selected.bits, t->selected.size);
    }
    for (uint32_t l = 0; l < t->model.header->layers; ++l) {
        uint8_t *data;
        const uint32_t size = learned(t, l, &data);
        const bool weights = size != 0u && !pt_method_scores(&method);
        head.model_crc = fixed_crc(t, l, weights, head.model_crc);
        if (size != 0u) {
            head.state_crc = pt_crc32(head.state_crc, data, size);
            head.state_size += size;
        }
    }
    return head;
}

uint32_t pt_state_size(const struct pt_trainer *t)
{
    uint32_t size = 0;
    for (uint32_t l = 0; l < t->model.header->layers; ++l) {
        uint8_t *data;
        size += learned(t, l, &data);
    }
    return size;
}

/* The piece that begins at `offset`: of one layer, and of at most `most` bytes. */
static uint32_t piece(const struct pt_trainer *t, uint32_t offset, uint32_t most, uint8_t **data)
{
    for (uint32_t l = 0; l < t->model.header->layers; ++l) {
        const uint32_t size = learned(t, l, data);
        if (offset < size) {
            *data += offset;
            return size - offset < most ? size - offset : most;
        }
        offset -= size;
    }
    return 0;
}

void pt_state_read(const struct pt_trainer *t, uint32_t offset, uint8_t *to, uint32_t size)
{
    uint8_t *data;
    uint32_t part;
    for (; size != 0u && (part = piece(t, offset, size, &data)) != 0u; size -= part) {
        memcpy(to, data, part);
        to += part;
        offset += part;
    }
}

void pt_state_write(struct pt_trainer *t, uint32_t offset, const uint8_t *from, uint32_t size)
{
    uint8_t *data;
    uint32_t part;
    for (; size != 0u && (part = piece(t, offset, size, &data)) != 0u; size -= part) {
        memcpy(data, from, part);
        from += part;
        offset += part;
    }
}

/*
 * Frozen weights can be read and used, not changed; nor affine ones that the range of sums rests
 * on, which it does not of a layer that the method trains, in the arena or in a copy.
 */
int pt_state_writable_weights(const struct pt_trainer *t, uint32_t layer,
                              struct pt_detail *detail)
{
    const struct pt_planned planned = pt_trainer_planned(t);
    const bool none = layer >= t->model.header->layers || /* pt_trainer_tensor says so */
                      pt_layer_rows(&t->model.layer[layer]) == 0u;
    const bool trained = pt_method_weights(&t->method) &&
                         (none || pt_planned_learns(&planned, layer));
    if (!trained && pt_model_affine(&t->model)) {
        return pt_refuse(detail, PT_ERR_AFFINE, t->method.kind, 0, 0, 0);
    }
    return !trained && t->frozen ? pt_refuse(detail, PT_ERR_FROZEN, t->method.kind, 0, 0, 0)
                                 : PT_OK;
}

int pt_state_writable(const struct pt_trainer *t, struct pt_detail *detail)
{
    int err = PT_OK;
    for (uint32_t l = 0; l < t->model.header->layers && !err; ++l) {
        uint8_t *data;
        if (!pt_method_scores(&t->method) && learned(t, l, &data) != 0u) {
            err = pt_state_writable_weights(t, l, detail);
        }
    }
    return err;
}

int pt_state_accept(const struct pt_trainer *t, const struct pt_checkpoint *head,
                    struct pt_detail *detail)
{
    const struct pt_checkpoint now = pt_state_describe(t);
    uint32_t field = PT_CHECKPOINT_OF_MAGIC;
    if (head->magic == now.magic) {
        field = head->model_crc != now.model_crc     ? PT_CHECKPOINT_OF_MODEL
                : head->method != now.method         ? PT_CHECKPOINT_OF_METHOD
                : head->state_size != now.state_size ? PT_CHECKPOINT_OF_SIZE
                                                     : PT_CHECKPOINT_OF_VALUES;
    }
    return field == PT_CHECKPOINT_OF_VALUES
               ? PT_OK
               : pt_refuse(detail, PT_ERR_CHECKPOINT, field, 0, 0, 0);
}

int pt_state_values(const uint8_t *values, uint32_t size, uint32_t layer,
                    struct pt_detail *detail)
{
    for (uint32_t i = 0; i < size; ++i) {
        if (values[i] == 0x80u) {
            return pt_refuse(detail, PT_ERR_WEIGHT, layer, i, 0, 0);
        }
    }
    return PT_OK;
}
