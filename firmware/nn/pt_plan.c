#include "nn/pt_plan.h"

#include <stdbool.h>

#include "kernels/pt_conv2d_pool.h"
#include "nn/pt_loss.h"

/* Scored edges of a layer: its share, but at least `least` of them, or all where it has fewer. */
static uint32_t allotted(const struct pt_model_layer *layer, uint32_t permille, uint32_t least)
{
    const uint32_t edges = layer->weights_size;
    const uint32_t share = edges / 1000u * permille + edges % 1000u * permille / 1000u;
    const uint32_t scored = share > least ? share : least;
    return scored < edges ? scored : edges;
}

static uint32_t allotted_in_all(const struct pt_model *model, uint32_t permille, uint32_t least)
{
    uint32_t sum = 0;
    for (uint32_t l = 0; l < model->header->layers; ++l) {
        sum += allotted(&model->layer[l], permille, least);
    }
    return sum;
}

_Static_assert((PT_MAX_WEIGHTS & (PT_MAX_WEIGHTS - 1)) == 0, "pt_allot begins with its one bit");

struct pt_allotment pt_allot(const struct pt_model *model, uint32_t permille)
{
    const uint32_t budget = allotted_in_all(model, permille, 1);
    struct pt_allotment allotment = {0, 0};
    /* Both sums grow with what is sought, so one bit after the other finds the largest. */
    for (uint32_t bit = PT_MAX_WEIGHTS; bit != 0u; bit >>= 1) {
        const uint32_t least = allotment.least | bit;
        if (allotted_in_all(model, 0, least) <= budget - budget / 4u) {
            allotment.least = least;
        }
    }
    allotment.least = allotment.least == 0u ? 1u : allotment.least;
    for (uint32_t bit = 512; bit != 0u; bit >>= 1) {
        const uint32_t share = allotment.permille | bit;
        if (share <= permille && allotted_in_all(model, share, allotment.least) <= budget) {
            allotment.permille = share;
        }
    }
    return allotment;
}

uint32_t pt_scored_edges(const struct pt_model_layer *layer,
                         const struct pt_allotment *allotment)
{
    return allotted(layer, allotment->permille, allotment->least);
}

uint32_t pt_bitmap_row_size(const struct pt_model_layer *layer)
{
    return pt_bitmap_size(pt_layer_row_length(layer));
}

bool pt_planned_learns(const struct pt_planned *planned, uint32_t layer)
{
    const struct pt_method *method = planned->method;
    if (!pt_method_backward(method) || pt_layer_rows(&planned->model->layer[layer]) == 0u) {
        return false;
    }
    return !pt_method_selects(method) ||
           pt_selection_rows(planned->selected, planned->model, layer) != 0u;
}

uint32_t pt_planned_copy(const struct pt_planned *planned, uint32_t layer)
{
    const struct pt_model *model = planned->model;
    const struct pt_model_layer *entry = &model->layer[layer];
    if (!planned->frozen) {
        return 0u;
    }
    if (model->head != NULL && layer + 1u == model->header->layers) {
        return pt_round4(entry->weights_size) +
               entry->factors * (uint32_t)sizeof(struct pt_factor);
    }
    return pt_method_weights(planned->method) && pt_planned_learns(planned, layer)
               ? pt_round4(entry->weights_size)
               : 0u;
}

/* Scores of so many edges, and a bitmap that says which. */
static uint32_t indexed_size(const struct pt_model_layer *layer, uint32_t scored)
{
    return pt_round4(scored) + pt_round4(pt_layer_rows(layer) * pt_bitmap_row_size(layer));
}

uint32_t pt_layer_scores_size(const struct pt_planned *planned, uint32_t layer,
                              const struct pt_allotment *allotment)
{
    const struct pt_model_layer *entry = &planned->model->layer[layer];
    switch (planned->method->kind) {
    case PT_PRIOT:
        if (planned->selected->size != 0u) {
            const uint32_t rows = pt_selection_rows(planned->selected, planned->model, layer);
            return rows == 0u ? 0u : indexed_size(entry, rows * pt_layer_row_length(entry));
        }
        return pt_round4(entry->weights_size);
    case PT_PRIOT_S:
        return indexed_size(entry, pt_scored_edges(entry, allotment));
    case PT_FISHER:
        return pt_layer_rows(entry) * (uint32_t)sizeof(uint64_t);
    case PT_PROTOTYPE: /* sums and a count of each class, by the last layer */
        return layer + 1u == planned->model->header->layers
                   ? 4u * (entry->weights_size + pt_layer_rows(entry))
                   : 0u;
    default:
        return 0u;
    }
}

_Static_assert((int)PT_MAX_CHAIN_LAYERS <= (int)PT_MAX_TRAINED_LAYERS &&
                   (int)PT_MAX_LAYERS + 1 <= (int)PT_MAX_OPERATIONS &&
                   2 * (int)PT_MAX_LAYERS + 1 <= (int)PT_MAX_BUFFERS &&
                   (int)PT_MAX_BUFFERS < (int)PT_NO_BUFFER,
               "all networks fit the lists");

/* A convolution with ReLU and the pool behind it, under static scales. */
static uint32_t find_pairs(const struct pt_planned *planned)
{
    const struct pt_model *model = planned->model;
    uint32_t found = 0;
    if (!planned->fuses || pt_model_affine(model) || planned->method->kind == PT_NITI_DYNAMIC) {
        return 0;
    }
    for (uint32_t l = 0; l + 1u < model->header->layers; ++l) {
        const struct pt_model_layer *layer = &model->layer[l];
        if (layer->kind == PT_CONV2D && layer->relu != 0u && layer[1].kind == PT_MAXPOOL2) {
            found |= 1u << l;
        }
    }
    return found;
}

/* The same for networks with more layers than there are bits: they have no pairs. */
static bool pairs(const struct pt_plan *plan, uint32_t layer)
{
    return PT_WITH_CHAIN && plan->pairs != 0u && pt_plan_pairs(plan, layer);
}

static bool pooled(const struct pt_plan *plan, uint32_t layer)
{
    return plan->pairs != 0u && pt_plan_pooled(plan, layer);
}

static void add_operation(struct pt_plan *plan, enum pt_operation_kind kind, uint32_t layer)
{
    struct pt_operation *operation = &plan->operation[plan->operations++];
    operation->kind = (uint8_t)kind;
    operation->layer = (uint8_t)layer;
    operation->scratch = PT_NO_BUFFER;
}

/* True where the layer reads one of those that learn. */
static bool reads(const struct pt_model *model, uint32_t layer, const bool *learns)
{
    const struct pt_model_layer *entry = &model->layer[layer];
    for (uint32_t i = 0; i < pt_operators[entry->kind]->inputs; ++i) {
        if (entry->input[i] != PT_INPUT_LAYER && learns[entry->input[i]]) {
            return true;
        }
    }
    return false;
}

/* A layer learns if a row of it does or it reads a layer that learns. */
static void list_operations(struct pt_plan *plan, const struct pt_planned *planned)
{
    const struct pt_model *model = planned->model;
    const uint32_t layers = model->header->layers;
    for (uint32_t l = 0; l < layers; ++l) {
        if (!pooled(plan, l)) {
            add_operation(plan, PT_FORWARD, l);
        }
    }
    add_operation(plan, PT_LOSS, layers - 1u);
    if (!pt_method_backward(planned->method)) {
        return;
    }
    bool rows[PT_MAX_LAYERS];
    bool learns[PT_MAX_LAYERS];
    for (uint32_t l = 0; l < layers; ++l) {
        rows[l] = pt_planned_learns(planned, l);
        learns[l] = rows[l] || reads(model, l, learns);
    }
    for (uint32_t l = layers; l-- > 0u;) {
        if (reads(model, l, learns) && !pooled(plan, l)) {
            add_operation(plan, PT_ERROR, l);
        }
        if (rows[l] && planned->method->kind != PT_FISHER) {
            add_operation(plan, PT_UPDATE, l);
        }
    }
}

/* The operation of that kind and layer, or `otherwise`. */
static uint8_t find(const struct pt_plan *plan, enum pt_operation_kind kind, uint32_t layer,
                    uint8_t otherwise)
{
    layer -= pooled(plan, layer) ? 1u : 0u;
    for (uint32_t i = 0; i < plan->operations; ++i) {
        if (plan->operation[i].kind == kind && plan->operation[i].layer == layer) {
            return (uint8_t)i;
        }
    }
    return otherwise;
}

/* The last backward operation of a layer, or `otherwise`; its update comes after its error. */
static uint8_t last_backward(const struct pt_plan *plan, uint32_t layer, uint8_t otherwise)
{
    return find(plan, PT_UPDATE, layer, find(plan, PT_ERROR, layer, otherwise));
}

static void add_buffer(struct pt_plan *plan, enum pt_memory_kind kind, uint32_t layer,
                       uint32_t size, uint8_t first, uint8_t last)
{
    struct pt_buffer *buffer = &plan->buffer[plan->buffers++];
    buffer->offset = 0;
    buffer->size = pt_round4(size);
    buffer->kind = (uint8_t)kind;
    buffer->layer = (uint8_t)layer;
    buffer->first = first;
    buffer->last = last;
}

static uint32_t scratch_size(const struct pt_plan *plan, const struct pt_model *model,
                             const struct pt_operation *operation, const struct pt_method *method)
{
    const struct pt_model_layer *layer = &model->layer[operation->layer];
    const struct pt_operator *op = pt_operators[layer->kind];
    if (operation->kind != PT_LOSS && pairs(plan, operation->layer)) {
        return op->pool_scratch(&layer->shape, operation->kind);
    }
    uint32_t (*scratch)(const struct pt_shape *shape, uint32_t operation, bool dynamic) =
        pt_model_affine(model) ? op->affine_scratch : op->scratch;
    if (operation->kind == PT_LOSS || scratch == NULL) {
        return 0u;
    }
    return scratch(&layer->shape, operation->kind, method->kind == PT_NITI_DYNAMIC);
}

/* The error of the last layer comes with the loss, others with the error of their last reader. */
static uint8_t first_error(const struct pt_plan *plan, const struct pt_model *model,
                           uint32_t layer, uint8_t loss)
{
    for (uint32_t l = model->header->layers; l-- > layer + 1u;) {
        const struct pt_model_layer *reader = &model->layer[l];
        for (uint32_t i = 0; i < pt_operators[reader->kind]->inputs; ++i) {
            if (reader->input[i] == layer) {
                return find(plan, PT_ERROR, l, loss);
            }
        }
    }
    return loss;
}

/* A tensor lives until the last operation of the last layer that reads it. */
static void prolong_lives(struct pt_plan *plan, const struct pt_model *model)
{
    for (uint32_t l = 0; l < model->header->layers; ++l) {
        const struct pt_model_layer *layer = &model->layer[l];
        const uint8_t last = last_backward(plan, l, find(plan, PT_FORWARD, l, 0));
        for (uint32_t i = 0; i < pt_operators[layer->kind]->inputs; ++i) {
            struct pt_buffer *buffer = &plan->buffer[(uint8_t)(layer->input[i] + 1u)];
            buffer->last = last > buffer->last ? last : buffer->last;
        }
    }
}

/* The operation after which the error of a layer is complete: that of the first layer that reads
 * it. */
static uint8_t finished_error(const struct pt_plan *plan, const struct pt_model *model,
                              uint32_t layer, uint8_t loss)
{
    for (uint32_t l = layer + 1u; l < model->header->layers; ++l) {
        if (model->layer[l].input[0] == layer || model->layer[l].input[1] == layer) {
            return find(plan, PT_ERROR, l, loss);
        }
    }
    return loss;
}

static void list_buffers(struct pt_plan *plan, const struct pt_planned *planned)
{
    const struct pt_model *model = planned->model;
    const uint32_t layers = model->header->layers;
    const uint8_t loss = find(plan, PT_LOSS, layers - 1u, 0);
    add_buffer(plan, PT_MEMORY_ACTIVATION, PT_INPUT_LAYER, plan->image_size, 0, 0);
    for (uint32_t l = 0; l < layers; ++l) {
        const struct pt_shape *shape = &model->layer[l].shape;
        const uint8_t made = find(plan, PT_FORWARD, l, 0);
        if (pairs(plan, l)) {
            add_buffer(plan, PT_MEMORY_PLACES, l, pt_places_size(shape), made, made);
            continue;
        }
        add_buffer(plan, PT_MEMORY_ACTIVATION, l, pt_shape_out_size(shape), made,
                   l + 1u < layers ? made : loss);
    }
    prolong_lives(plan, model);
    for (uint32_t i = 0; i < plan->buffers; ++i) {
        plan->activations_size += plan->buffer[i].size;
    }
    for (uint32_t l = layers; l-- > 0u;) {
        uint8_t last = last_backward(plan, l, PT_NO_OPERATION);
        if (planned->method->kind == PT_FISHER && last == PT_NO_OPERATION &&
            pt_planned_learns(planned, l)) {
            last = finished_error(plan, model, l, loss); /* its error is looked at, no more */
        }
        if (last != PT_NO_OPERATION && !pairs(plan, l)) { /* it learns */
            add_buffer(plan, PT_MEMORY_ERROR, l, pt_shape_out_size(&model->layer[l].shape),
                       first_error(plan, model, l, loss), last);
        }
    }
    for (uint32_t i = 0; i < plan->operations; ++i) {
        struct pt_operation *operation = &plan->operation[i];
        const uint32_t size = scratch_size(plan, model, operation, planned->method);
        if (size != 0u) {
            operation->scratch = (uint8_t)plan->buffers;
            add_buffer(plan, PT_MEMORY_SCRATCH, operation->layer, size, (uint8_t)i, (uint8_t)i);
        }
    }
}

static bool live_together(const struct pt_buffer *a, const struct pt_buffer *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* Lowest offset at which buffer `at` meets no placed buffer that it shares an operation with. */
static uint32_t lowest_offset(const struct pt_plan *plan, const bool *placed, uint32_t at)
{
    const struct pt_buffer *buffer = &plan->buffer[at];
    uint32_t offset = 0;
    for (uint32_t i = 0; i < plan->buffers;) {
        const struct pt_buffer *other = &plan->buffer[i];
        if (placed[i] && live_together(buffer, other) && offset < other->offset + other->size &&
            other->offset < offset + buffer->size) {
            offset = other->offset + other->size; /* every lower place collides too */
            i = 0;
        } else {
            ++i;
        }
    }
    return offset;
}

static void place_buffers(struct pt_plan *plan)
{
    bool placed[PT_MAX_BUFFERS] = {false};
    for (uint32_t n = 0; n < plan->buffers; ++n) {
        uint32_t largest = PT_MAX_BUFFERS;
        for (uint32_t i = 0; i < plan->buffers; ++i) {
            if (!placed[i] && (largest == PT_MAX_BUFFERS ||
                               plan->buffer[i].size > plan->buffer[largest].size)) {
                largest = i;
            }
        }
        struct pt_buffer *buffer = &plan->buffer[largest];
        buffer->offset = lowest_offset(plan, placed, largest);
        placed[largest] = true;
        if (buffer->offset + buffer->size > plan->transient_size) {
            plan->transient_size = buffer->offset + buffer->size;
        }
    }
}

/* PT_ERR_MEMORY with the largest of all buffers, weights and scores included. */
static int refuse_memory(const struct pt_plan *plan, const struct pt_planned *planned,
                         uint32_t needed, uint32_t available, struct pt_detail *detail)
{
    const struct pt_model *model = planned->model;
    uint32_t size = 0;
    uint32_t name = 0;
    for (uint32_t i = 0; i < plan->buffers; ++i) {
        if (plan->buffer[i].size > size) {
            size = plan->buffer[i].size;
            name = (uint32_t)plan->buffer[i].kind << 8 | plan->buffer[i].layer;
        }
    }
    for (uint32_t l = 0; l < model->header->layers; ++l) {
        const struct pt_model_layer *layer = &model->layer[l];
        if ((!planned->frozen || pt_planned_copy(planned, l) != 0u) &&
            layer->weights_size > size) {
            size = layer->weights_size;
            name = (uint32_t)PT_MEMORY_WEIGHTS << 8 | l;
        }
        const uint32_t scores = pt_layer_scores_size(planned, l, &plan->allotment);
        if (scores > size) {
            size = scores;
            name = (uint32_t)PT_MEMORY_SCORES << 8 | l;
        }
    }
    return pt_refuse(detail, PT_ERR_MEMORY, needed, available, size, name);
}

int pt_plan_make(struct pt_plan *plan, const struct pt_planned *planned, uint32_t arena_size,
                 struct pt_detail *detail)
{
    const uint32_t alignment = PT_MODEL_ALIGNMENT;
    const struct pt_model *model = planned->model;
    const struct pt_method *method = planned->method;
    if (method->kind != PT_NITI_DYNAMIC && model->logits_exponent < PT_LEAST_LOGITS_EXPONENT) {
        return pt_refuse(detail, PT_ERR_EXPONENT, (uint32_t)model->logits_exponent,
                         (uint32_t)PT_LEAST_LOGITS_EXPONENT, 0, 0);
    }
    *plan = (struct pt_plan){0};
    plan->blob_size = planned->frozen ? 0u : model->header->size;
    plan->image_size = pt_shape_in_size(&model->layer[0].shape);
    plan->io_minimum = pt_batch_size(plan->image_size, 1);
    if (method->kind == PT_PRIOT_S) {
        plan->allotment = pt_allot(model, method->permille);
    }
    for (uint32_t l = 0; l < model->header->layers; ++l) {
        plan->blob_size += pt_planned_copy(planned, l);
        plan->scores_size += pt_layer_scores_size(planned, l, &plan->allotment);
    }
    plan->blob_size = (plan->blob_size + alignment - 1u) & ~(alignment - 1u);
    plan->pairs = find_pairs(planned);
    list_operations(plan, planned);
    list_buffers(plan, planned);
    place_buffers(plan);
    /* Each term is far below 2^31: layers <= 48, weights and tensors of a layer <= 2^22. */
    const uint32_t needed = plan->blob_size + plan->scores_size + plan->transient_size +
                            plan->io_minimum;
    if (needed > arena_size) {
        return refuse_memory(plan, planned, needed, arena_size, detail);
    }
    return PT_OK;
}
