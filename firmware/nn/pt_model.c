#include "nn/pt_model.h"

#include <stdbool.h>
#include <stddef.h>

#include "nn/pt_crc32.h"

static bool dimension_valid(uint32_t extent)
{
    return extent >= 1u && extent <= PT_MAX_DIMENSION;
}

static bool sizes_valid(const struct pt_shape *shape)
{
    if (!dimension_valid(shape->in_h) || !dimension_valid(shape->in_w) ||
        !dimension_valid(shape->in_c) || !dimension_valid(shape->out_h) ||
        !dimension_valid(shape->out_w) || !dimension_valid(shape->out_c)) {
        return false;
    }
    /* 2^12 * 2^12 fits; with the third factor it need not, so bound the plane first. */
    const uint32_t in_plane = (uint32_t)shape->in_h * shape->in_w;
    const uint32_t out_plane = (uint32_t)shape->out_h * shape->out_w;
    return in_plane <= PT_MAX_WEIGHTS / shape->in_c && out_plane <= PT_MAX_WEIGHTS / shape->out_c;
}

bool pt_layer_shape_valid(const struct pt_model_layer *layer)
{
    const struct pt_shape *shape = &layer->shape;
    return sizes_valid(shape) && shape->reserved == 0u &&
           pt_operators[layer->kind]->shape_valid(shape);
}

static bool chained(const struct pt_shape *before, const struct pt_shape *shape)
{
    return before->out_h == shape->in_h && before->out_w == shape->in_w &&
           before->out_c == shape->in_c;
}

uint32_t pt_layer_terms(const struct pt_model_layer *layer)
{
    const struct pt_operator *op = pt_operators[layer->kind];
    return op->terms == NULL ? 0u : op->terms(&layer->shape);
}

static int check_scales(const struct pt_model_layer *layer, uint32_t index,
                        struct pt_detail *detail)
{
    if (layer->forward_shift > PT_MAX_SHIFT) {
        return pt_refuse(detail, PT_ERR_LAYER_SCALE, index, layer->forward_shift, 0, 0);
    }
    if (layer->error_shift > PT_MAX_SHIFT) {
        return pt_refuse(detail, PT_ERR_LAYER_SCALE, index, layer->error_shift, 0, 0);
    }
    if (layer->gradient_bits > PT_MAX_RANGE_BITS) {
        return pt_refuse(detail, PT_ERR_LAYER_SCALE, index, layer->gradient_bits, 0, 0);
    }
    if (layer->score_bits > PT_MAX_RANGE_BITS) {
        return pt_refuse(detail, PT_ERR_LAYER_SCALE, index, layer->score_bits, 0, 0);
    }
    if (layer->weight_exponent < PT_MIN_EXPONENT || layer->weight_exponent > PT_MAX_EXPONENT) {
        return pt_refuse(detail, PT_ERR_LAYER_SCALE, index, (uint32_t)layer->weight_exponent, 0,
                         0);
    }
    return PT_OK;
}

static int check_layer(const struct pt_model *model, uint32_t index, struct pt_detail *detail)
{
    const struct pt_model_layer *layer = &model->layer[index];
    const struct pt_operator *op = pt_operator_of(layer->kind);
    if (op == NULL || layer->relu > (op->row_length == NULL ? 0u : 1u) || layer->reserved != 0u) {
        return pt_refuse(detail, PT_ERR_LAYER_KIND, index, layer->kind, layer->relu, 0);
    }
    if (!pt_layer_shape_valid(layer) || (index > 0u && !chained(&layer[-1].shape, &layer->shape))) {
        return pt_refuse(detail, PT_ERR_LAYER_SHAPE, index, 0, 0, 0);
    }
    const uint32_t terms = pt_layer_terms(layer);
    if (terms > PT_MAX_TERMS) {
        return pt_refuse(detail, PT_ERR_LAYER_TERMS, index, terms, PT_MAX_TERMS, 0);
    }
    return check_scales(layer, index, detail);
}

/* Where the layer table ends and the weights begin. */
static uint32_t table_end(uint32_t layers)
{
    return (uint32_t)(sizeof(struct pt_model_header) + layers * sizeof(struct pt_model_layer));
}

/* Weights lie one layer after the other, so *offset also proves that none leaves the blob. */
static int check_weights(const struct pt_model *model, uint32_t index, uint32_t *offset,
                         struct pt_detail *detail)
{
    const struct pt_model_layer *layer = &model->layer[index];
    const uint32_t rows = pt_layer_rows(layer);
    const uint32_t row_length = pt_layer_row_length(layer);
    const uint32_t expected = rows == 0u ? 0u : *offset;
    if (layer->weights_offset != expected) {
        return pt_refuse(detail, PT_ERR_LAYER_OFFSET, index, layer->weights_offset, expected, 0);
    }
    if (rows != 0u && row_length > PT_MAX_WEIGHTS / rows) {
        return pt_refuse(detail, PT_ERR_LAYER_TERMS, index, row_length, PT_MAX_WEIGHTS / rows, 0);
    }
    const uint32_t size = rows * row_length;
    if (layer->weights_size != size) {
        return pt_refuse(detail, PT_ERR_LAYER_OFFSET, index, layer->weights_size, size, 0);
    }
    if (pt_round4(size) > model->header->size - *offset) {
        return pt_refuse(detail, PT_ERR_BLOB_SIZE, model->header->size, *offset + pt_round4(size),
                         0, 0);
    }
    const int8_t *weights = (const int8_t *)(model->blob + *offset);
    for (uint32_t i = 0; i < size; ++i) {
        if (weights[i] == INT8_MIN) {
            return pt_refuse(detail, PT_ERR_WEIGHT, index, i, 0, 0);
        }
    }
    *offset += pt_round4(size);
    return PT_OK;
}

static int check_header(const struct pt_model_header *header, uint32_t size,
                        struct pt_detail *detail)
{
    if (size < sizeof *header) {
        return pt_refuse(detail, PT_ERR_BLOB_SIZE, size, sizeof *header, 0, 0);
    }
    if (header->magic != PT_MODEL_MAGIC) {
        return pt_refuse(detail, PT_ERR_BLOB_MAGIC, header->magic, PT_MODEL_MAGIC, 0, 0);
    }
    if (header->version != PT_MODEL_VERSION) {
        return pt_refuse(detail, PT_ERR_BLOB_VERSION, header->version, PT_MODEL_VERSION, 0, 0);
    }
    if (header->size != size) {
        return pt_refuse(detail, PT_ERR_BLOB_SIZE, size, header->size, 0, 0);
    }
    const uint32_t covered = offsetof(struct pt_model_header, crc32) + sizeof header->crc32;
    const uint32_t crc = pt_crc32(0, (const uint8_t *)header + covered, size - covered);
    if (header->crc32 != crc) {
        return pt_refuse(detail, PT_ERR_BLOB_CRC, header->crc32, crc, 0, 0);
    }
    if (header->layers < 1u || header->layers > PT_MAX_LAYERS || header->classes < 2u ||
        header->classes > PT_MAX_CLASSES || header->reserved != 0u) {
        return pt_refuse(detail, PT_ERR_BLOB_LAYERS, header->layers, PT_MAX_LAYERS,
                         header->classes, PT_MAX_CLASSES);
    }
    if (size < table_end(header->layers)) {
        return pt_refuse(detail, PT_ERR_BLOB_SIZE, size, table_end(header->layers), 0, 0);
    }
    return PT_OK;
}

int pt_model_open(struct pt_model *model, uint8_t *blob, uint32_t size, struct pt_detail *detail)
{
    model->blob = blob;
    model->header = (const struct pt_model_header *)blob;
    model->layer = (const struct pt_model_layer *)(blob + sizeof *model->header);
    int err = check_header(model->header, size, detail);
    if (err) {
        return err;
    }
    const uint32_t layers = model->header->layers;
    uint32_t offset = table_end(layers);
    model->first_weighted = layers;
    model->logits_exponent = PT_INPUT_EXPONENT;
    for (uint32_t i = 0; i < layers; ++i) {
        err = check_layer(model, i, detail);
        if (err) {
            return err;
        }
        err = check_weights(model, i, &offset, detail);
        if (err) {
            return err;
        }
        const struct pt_model_layer *layer = &model->layer[i];
        if (layer->weights_size != 0u) {
            model->logits_exponent += layer->weight_exponent + layer->forward_shift;
            if (model->first_weighted == layers) {
                model->first_weighted = i;
            }
        }
    }
    if (offset != size) {
        return pt_refuse(detail, PT_ERR_BLOB_SIZE, size, offset, 0, 0);
    }
    const struct pt_model_layer *head = &model->layer[layers - 1u];
    if (!pt_operators[head->kind]->head || head->relu != 0u ||
        head->shape.out_c != model->header->classes) {
        return pt_refuse(detail, PT_ERR_HEAD, layers - 1u, 0, 0, 0);
    }
    return PT_OK;
}
