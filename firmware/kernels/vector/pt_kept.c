#include "kernels/vector/pt_kept.h"

#include <stdbool.h>
#include <stddef.h>

struct layer {
    const int8_t *weights;
    uint32_t size;
    int32_t threshold;
    int8_t *effective;
};

static struct {
    bool on;
    uint32_t layers;
    uint32_t used; /* bytes of the room */
    uint32_t last; /* the layer that was found last */
    struct layer layer[PT_KEPT_LAYERS];
} kept;

static _Alignas(64) int8_t room[PT_KEPT_ROOM];

void pt_kept_begin(void)
{
    kept.on = true;
    kept.layers = 0;
    kept.used = 0;
    kept.last = 0;
}

void pt_kept_end(void)
{
    kept.on = false;
    kept.layers = 0;
}

static bool holds(const struct layer *layer, const int8_t *weights)
{
    return (uintptr_t)weights - (uintptr_t)layer->weights < layer->size;
}

/* The layer that these weights are of, or NULL. */
static const struct layer *find(const int8_t *weights)
{
    if (kept.last < kept.layers && holds(&kept.layer[kept.last], weights)) {
        return &kept.layer[kept.last];
    }
    for (uint32_t i = 0; i < kept.layers; ++i) {
        if (holds(&kept.layer[i], weights)) {
            kept.last = i;
            return &kept.layer[i];
        }
    }
    return NULL;
}

static const struct layer *keep(const struct pt_edges *edges, uint32_t rows)
{
    const uint32_t size = rows * edges->row_length;
    const uint32_t room_of_it = (size + 63u) & ~63u;
    if (!kept.on || size == 0u || kept.layers == PT_KEPT_LAYERS ||
        room_of_it > PT_KEPT_ROOM - kept.used) {
        return NULL;
    }
    struct layer *layer = &kept.layer[kept.layers++];
    *layer = (struct layer){edges->weights, size, edges->threshold, room + kept.used};
    kept.used += room_of_it;
    if (edges->bitmap == NULL) {
        pt_mask_weights_s8(edges->weights, edges->scores, edges->threshold, size,
                           layer->effective);
        return layer;
    }
    const int8_t *weights = edges->weights;
    const int8_t *scores = edges->scores;
    const uint8_t *bitmap = edges->bitmap;
    for (uint32_t at = 0; at < size; at += edges->row_length) {
        scores += pt_mask_sparse_weights_s8(weights + at, scores, bitmap, edges->threshold,
                                            edges->row_length, layer->effective + at);
        bitmap += pt_bitmap_size(edges->row_length);
    }
    return layer;
}

struct pt_edges pt_kept_edges(struct pt_edges edges, uint32_t rows)
{
    if (edges.scores == NULL) {
        return edges;
    }
    const struct layer *layer = find(edges.weights);
    if (layer == NULL) {
        layer = keep(&edges, rows);
    }
    if (layer != NULL) {
        edges.weights = layer->effective;
        edges.scores = NULL;
        edges.bitmap = NULL;
    }
    return edges;
}

struct pt_kept_row pt_kept_row(const int8_t *weights)
{
    const struct layer *layer = find(weights);
    if (layer == NULL) {
        return (struct pt_kept_row){NULL, 0};
    }
    return (struct pt_kept_row){layer->effective + (weights - layer->weights), layer->threshold};
}

void pt_kept_renew(const int8_t *weights, const int8_t *scores, uint32_t count)
{
    const struct pt_kept_row row = pt_kept_row(weights);
    if (row.effective != NULL) {
        pt_mask_weights_s8(weights, scores, row.threshold, count, row.effective);
    }
}

void pt_kept_renew_sparse(const int8_t *weights, const int8_t *scores, const uint8_t *bitmap,
                          uint32_t count)
{
    const struct pt_kept_row row = pt_kept_row(weights);
    if (row.effective != NULL) {
        (void)pt_mask_sparse_weights_s8(weights, scores, bitmap, row.threshold, count,
                                        row.effective);
    }
}
