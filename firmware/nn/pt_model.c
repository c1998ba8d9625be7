#include "nn/pt_model.h"

#include <stdbool.h>
#include <stddef.h>

#include "kernels/pt_numerics.h"
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
    const uint32_t most = PT_MAX_WEIGHTS;
    return in_plane <= most / shape->in_c && out_plane <= most / shape->out_c;
}

bool pt_layer_shape_valid(const struct pt_model_layer *layer, uint32_t form)
{
    const struct pt_operator *op = pt_operators[layer->kind];
    bool (*valid)(const struct pt_shape *shape) = op->shape_valid;
    if (pt_form_affine(form)) {
        valid = op->affine_shape_valid;
    }
    return valid != NULL && sizes_valid(&layer->shape) && valid(&layer->shape);
}

uint32_t pt_layer_terms(const struct pt_model_layer *layer, uint32_t form)
{
    const struct pt_operator *op = pt_operators[layer->kind];
    if (pt_form_affine(form)) {
        return pt_layer_row_length(layer);
    }
    return op->terms == NULL ? 0u : op->terms(&layer->shape);
}

/* Shifts, ranges and the exponent; what the other form alone has is 0. */
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

/* What a layer has of the form that it is not of is 0. */
static bool other_form_empty(const struct pt_model_layer *layer, uint32_t form)
{
    if (pt_form_affine(form)) {
        const bool learns = pt_operators[layer->kind]->row_length != NULL;
        return layer->relu == 0u && layer->weight_exponent == 0 && layer->forward_shift == 0u &&
               (learns || (layer->error_shift == 0u && layer->gradient_bits == 0u &&
                           layer->score_bits == 0u));
    }
    return layer->zero_in[0] == 0 && layer->zero_in[1] == 0 && layer->zero_out == 0 &&
           layer->low == 0 && layer->high == 0 && layer->factors == 0u;
}

/* True where that tensor is there when the layer runs, and has the shape that it takes. */
static bool input_valid(const struct pt_model *model, uint32_t index, uint32_t tensor)
{
    const struct pt_shape *shape = &model->layer[index].shape;
    if (model->header->form == PT_POWER_OF_TWO && tensor != (index == 0u ? PT_INPUT_LAYER
                                                                         : index - 1u)) {
        return false;
    }
    if (tensor == PT_INPUT_LAYER) {
        /* Layer 0 reads nothing else, so its shape is that of the input. */
        const struct pt_shape *input = &model->layer[0].shape;
        return input->in_h == shape->in_h && input->in_w == shape->in_w &&
               input->in_c == shape->in_c;
    }
    if (tensor >= index) {
        return false;
    }
    const struct pt_shape *before = &model->layer[tensor].shape;
    return before->out_h == shape->in_h && before->out_w == shape->in_w &&
           before->out_c == shape->in_c;
}

static int check_inputs(const struct pt_model *model, uint32_t index, struct pt_detail *detail)
{
    const struct pt_model_layer *layer = &model->layer[index];
    const uint32_t inputs = pt_operators[layer->kind]->inputs;
    for (uint32_t i = 0; i < PT_MAX_INPUTS; ++i) {
        const uint32_t tensor = layer->input[i];
        if (i < inputs ? !input_valid(model, index, tensor) : tensor != PT_NO_LAYER) {
            return pt_refuse(detail, PT_ERR_LAYER_INPUT, index, i, tensor, 0);
        }
    }
    return PT_OK;
}

/* Zero points, bounds and the number of factors of the affine form. */
static int check_affine(const struct pt_model_layer *layer, uint32_t index,
                        struct pt_detail *detail)
{
    const struct pt_operator *op = pt_operators[layer->kind];
    if (layer->low > layer->high) {
        return pt_refuse(detail, PT_ERR_LAYER_BOUNDS, index, (uint32_t)layer->low,
                         (uint32_t)layer->high, 0);
    }
    if (op->factors_valid == NULL ? layer->factors != pt_layer_rows(layer)
                                  : !op->factors_valid(&layer->shape, layer->factors)) {
        return pt_refuse(detail, PT_ERR_LAYER_FACTORS, index, layer->factors, 0, 0);
    }
    if ((layer->factors == 0u && layer->zero_in[0] != layer->zero_out) ||
        (op->inputs < PT_MAX_INPUTS && layer->zero_in[1] != 0)) {
        return pt_refuse(detail, PT_ERR_LAYER_ZERO, index, (uint32_t)layer->zero_in[0],
                         (uint32_t)layer->zero_out, 0);
    }
    return PT_OK;
}

static int check_layer(const struct pt_model *model, uint32_t index, struct pt_detail *detail)
{
    const struct pt_model_layer *layer = &model->layer[index];
    const uint32_t form = model->header->form;
    const struct pt_operator *op = pt_operator_of(layer->kind);
    if (op == NULL || (pt_form_affine(form) ? op->affine_shape_valid == NULL
                                         : op->shape_valid == NULL) ||
        layer->relu > (op->row_length == NULL ? 0u : 1u) || layer->reserved != 0u ||
        !other_form_empty(layer, form)) {
        return pt_refuse(detail, PT_ERR_LAYER_KIND, index, layer->kind, layer->relu, 0);
    }
    if (!pt_layer_shape_valid(layer, form)) {
        return pt_refuse(detail, PT_ERR_LAYER_SHAPE, index, 0, 0, 0);
    }
    const int err = check_inputs(model, index, detail);
    if (err) {
        return err;
    }
    const uint32_t terms = pt_layer_terms(layer, form);
    if (terms > PT_MAX_TERMS) {
        return pt_refuse(detail, PT_ERR_LAYER_TERMS, index, terms, PT_MAX_TERMS, 0);
    }
    const int out_of_range = check_scales(layer, index, detail);
    return out_of_range || !pt_form_affine(form) ? out_of_range
                                                   : check_affine(layer, index, detail);
}

/* Where the layer table ends and the weights begin. */
static uint32_t table_end(uint32_t layers)
{
    return (uint32_t)(sizeof(struct pt_model_header) + layers * sizeof(struct pt_model_layer));
}

/*
 * Weights and factors lie one layer after the other, so *offset also proves that none leaves the
 * blob.
 */
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
    model->weights[index] = (int8_t *)(model->blob + layer->weights_offset);
    const int8_t *weights = model->weights[index];
    for (uint32_t i = 0; i < size && model->header->form == PT_POWER_OF_TWO; ++i) {
        if (weights[i] == INT8_MIN) {
            return pt_refuse(detail, PT_ERR_WEIGHT, index, i, 0, 0);
        }
    }
    *offset += pt_round4(size);
    return PT_OK;
}

/*
 * The largest magnitude of the sum that a factor is given, at most 2^31: of a row of weights its
 * bias and 255 for each unit of a weight, of a mean (length 0) 255 for each element. Without
 * weights, of whatever weights training may come to.
 */
static uint32_t largest_sum(const struct pt_factor *factor, const struct pt_shape *shape,
                            uint32_t length, const int8_t *weights)
{
    if (length == 0u) {
        return 255u * shape->kernel_h * shape->kernel_w;
    }
    uint32_t sum = pt_abs_s32(factor->bias);
    /* A term is less than 2^15, so nothing wraps before the bound is seen. */
    for (uint32_t i = 0; i < length && sum < 1u << 31; ++i) {
        sum += 255u * (weights == NULL ? PT_S8_MAX : pt_abs_s32(weights[i]));
    }
    return sum < 1u << 31 ? sum : 1u << 31;
}

/* Section 14: sum * 2^shift + 128 < 2^31. */
static bool overflows(uint32_t sum, int32_t shift)
{
    return sum > (0x7fffffffu - 128u) >> (shift > 0 ? shift : 0);
}

int pt_factor_check(const struct pt_operator *op, const struct pt_factor *factor,
                    const struct pt_shape *shape, const int8_t *weights, uint32_t index,
                    uint32_t row, struct pt_detail *detail)
{
    const int32_t least = (int32_t)(1u << op->least_bits);
    if ((factor->multiplier != 0 && factor->multiplier < least) || factor->shift < PT_MIN_FACTOR ||
        factor->shift > op->most_shift || (op->row_length == NULL && factor->bias != 0)) {
        return pt_refuse(detail, PT_ERR_FACTOR, index, row, (uint32_t)factor->multiplier,
                         (uint32_t)factor->shift);
    }
    const uint32_t length = op->row_length == NULL ? 0u : op->row_length(shape);
    const uint32_t sum = largest_sum(factor, shape, length, weights);
    if (overflows(sum, factor->shift)) {
        return pt_refuse(detail, PT_ERR_LAYER_RANGE, index, row, sum, (uint32_t)factor->shift);
    }
    return PT_OK;
}

static int check_factors(const struct pt_model *model, uint32_t index, uint32_t *offset,
                         struct pt_detail *detail)
{
    const struct pt_model_layer *layer = &model->layer[index];
    const uint32_t size = layer->factors * (uint32_t)sizeof(struct pt_factor);
    const uint32_t expected = size == 0u ? 0u : *offset;
    if (layer->factors_offset != expected) {
        return pt_refuse(detail, PT_ERR_LAYER_OFFSET, index, layer->factors_offset, expected, 0);
    }
    if (size > model->header->size - *offset) {
        return pt_refuse(detail, PT_ERR_BLOB_SIZE, model->header->size, *offset + size, 0, 0);
    }
    *offset += size;
    const struct pt_operator *op = pt_operators[layer->kind];
    const uint32_t length = pt_layer_row_length(layer);
    for (uint32_t row = 0; row < layer->factors; ++row) {
        const int err = pt_factor_check(op, &pt_model_factors(model, index)[row], &layer->shape,
                                        pt_model_weights(model, index) + row * length, index, row,
                                        detail);
        if (err) {
            return err;
        }
    }
    return PT_OK;
}

/* Every tensor but the last is read. */
static int check_readers(const struct pt_model *model, struct pt_detail *detail)
{
    const uint32_t layers = model->header->layers;
    bool read[PT_MAX_LAYERS + 1] = {false}; /* the input first */
    for (uint32_t l = 0; l < layers; ++l) {
        for (uint32_t i = 0; i < pt_operators[model->layer[l].kind]->inputs; ++i) {
            read[(uint8_t)(model->layer[l].input[i] + 1u)] = true;
        }
    }
    for (uint32_t tensor = 0; tensor < layers; ++tensor) {
        if (!read[tensor]) {
            return pt_refuse(detail, PT_ERR_LAYER_UNREAD, (uint8_t)(tensor - 1u), 0, 0, 0);
        }
    }
    return PT_OK;
}

static int check_head(const struct pt_model *model, struct pt_detail *detail)
{
    const uint32_t last = model->header->layers - 1u;
    const struct pt_model_layer *head = &model->layer[last];
    const bool ends = pt_model_affine(model) ||
                      (pt_operators[head->kind]->head && head->relu == 0u);
    if (!ends || pt_shape_out_size(&head->shape) != model->header->classes) {
        return pt_refuse(detail, PT_ERR_HEAD, last, 0, 0, 0);
    }
    return PT_OK;
}

/* Of everything behind the field that holds it. */
static uint32_t crc_of(const struct pt_model_header *header)
{
    const uint32_t covered = offsetof(struct pt_model_header, crc32) + sizeof header->crc32;
    return pt_crc32(0, (const uint8_t *)header + covered, header->size - covered);
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
    const uint32_t crc = crc_of(header);
    if (header->crc32 != crc) {
        return pt_refuse(detail, PT_ERR_BLOB_CRC, header->crc32, crc, 0, 0);
    }
    if (header->form >= PT_FORMS) {
        return pt_refuse(detail, PT_ERR_BLOB_FORM, header->form, PT_FORMS, 0, 0);
    }
    if (!pt_form_built(header->form)) {
        return pt_refuse(detail, PT_ERR_FORM, header->form, 0, 0, 0);
    }
    const bool affine = pt_form_affine(header->form);
    if (affine ? header->logits_multiplier < PT_MIN_LOGITS_MULTIPLIER ||
                     header->logits_exponent < PT_MIN_LOGITS_EXPONENT ||
                     header->logits_exponent > PT_MAX_LOGITS_EXPONENT
               : header->logits_multiplier != 0u || header->logits_exponent != 0) {
        return pt_refuse(detail, PT_ERR_BLOB_LOGITS, header->logits_multiplier,
                         (uint32_t)header->logits_exponent, 0, 0);
    }
    const uint32_t most_layers = affine ? PT_MAX_LAYERS : PT_MAX_CHAIN_LAYERS;
    const uint32_t most_classes = affine ? PT_MAX_OUTPUTS : PT_MAX_CLASSES;
    if (header->layers < 1u || header->layers > most_layers || header->classes < 2u ||
        header->classes > most_classes) {
        return pt_refuse(detail, PT_ERR_BLOB_LAYERS, header->layers, most_layers, header->classes,
                         most_classes);
    }
    if (size < table_end(header->layers)) {
        return pt_refuse(detail, PT_ERR_BLOB_SIZE, size, table_end(header->layers), 0, 0);
    }
    return PT_OK;
}

void pt_model_seal(struct pt_model *model)
{
    ((struct pt_model_header *)model->blob)->crc32 = crc_of(model->header);
}

void pt_model_forget_copies(struct pt_model *model)
{
    model->head = NULL;
    for (uint32_t l = 0; l < model->header->layers; ++l) {
        model->weights[l] = (int8_t *)(model->blob + model->layer[l].weights_offset);
    }
}

int pt_model_open(struct pt_model *model, int8_t **weights, uint8_t *blob, uint32_t size,
                  struct pt_detail *detail)
{
    model->blob = blob;
    model->weights = weights;
    model->head = NULL;
    model->header = (const struct pt_model_header *)blob;
    model->layer = (const struct pt_model_layer *)(blob + sizeof *model->header);
    int err = check_header(model->header, size, detail);
    if (err) {
        return err;
    }
    const uint32_t layers = model->header->layers;
    uint32_t offset = table_end(layers);
    model->logits_exponent = pt_model_affine(model) ? 0 : PT_INPUT_EXPONENT;
    for (uint32_t i = 0; i < layers; ++i) {
        err = check_layer(model, i, detail);
        if (err) {
            return err;
        }
        err = check_weights(model, i, &offset, detail);
        if (!err) {
            err = check_factors(model, i, &offset, detail);
        }
        if (err) {
            return err;
        }
        const struct pt_model_layer *layer = &model->layer[i];
        if (layer->weights_size != 0u) {
            model->logits_exponent += layer->weight_exponent + layer->forward_shift;
        }
    }
    if (offset != size) {
        return pt_refuse(detail, PT_ERR_BLOB_SIZE, size, offset, 0, 0);
    }
    err = check_readers(model, detail);
    return err ? err : check_head(model, detail);
}

/* A weight that no training makes, and sums with weights that it could make. */
static int check_trained_weights(const struct pt_model *model, uint32_t index, bool trained,
                                 struct pt_detail *detail)
{
    const struct pt_model_layer *layer = &model->layer[index];
    const int8_t *weight = pt_model_weights(model, index);
    for (uint32_t i = 0; i < layer->weights_size; ++i) {
        if (weight[i] == INT8_MIN) {
            return pt_refuse(detail, PT_ERR_TRAIN_WEIGHT, index, i, 0, 0);
        }
    }
    for (uint32_t row = 0; row < pt_layer_rows(layer) && trained; ++row) {
        const struct pt_factor *factor = &pt_model_factors(model, index)[row];
        const uint32_t length = pt_layer_row_length(layer);
        const uint32_t sum = largest_sum(factor, &layer->shape, length, NULL);
        if (overflows(sum, factor->shift)) {
            return pt_refuse(detail, PT_ERR_TRAIN_RANGE, index, row, sum, (uint32_t)factor->shift);
        }
    }
    return PT_OK;
}

/* A factor of 0 ends every error: of a row it may, of all of a layer's it may not. */
static int check_trained_factors(const struct pt_model *model, uint32_t index,
                                 struct pt_detail *detail)
{
    const struct pt_model_layer *layer = &model->layer[index];
    const struct pt_factor *factor = pt_model_factors(model, index);
    uint32_t zeros = 0;
    for (uint32_t row = 0; row < layer->factors; ++row) {
        zeros += factor[row].multiplier == 0 ? 1u : 0u;
    }
    const bool all = pt_layer_rows(layer) != 0u;
    if (all ? zeros == layer->factors : zeros != 0u) {
        return pt_refuse(detail, PT_ERR_TRAIN_FACTOR, index, zeros, layer->factors, 0);
    }
    return PT_OK;
}

static int check_trained_terms(const struct pt_model_layer *layer, uint32_t index,
                               struct pt_detail *detail)
{
    const struct pt_operator *op = pt_operators[layer->kind];
    const uint32_t positions = pt_shape_positions(&layer->shape);
    if (op->row_length != NULL && positions > PT_MAX_POSITIONS) {
        return pt_refuse(detail, PT_ERR_TRAIN_TERMS, index, positions, PT_MAX_POSITIONS, 0);
    }
    const uint32_t terms = op->terms == NULL ? 0u : op->terms(&layer->shape);
    if (terms > PT_MAX_TERMS) {
        return pt_refuse(detail, PT_ERR_TRAIN_TERMS, index, terms, PT_MAX_TERMS, 0);
    }
    return PT_OK;
}

int pt_model_trains(const struct pt_model *model, uint32_t weights, struct pt_detail *detail)
{
    const struct pt_model_header *header = model->header;
    uint32_t weighted = 0;
    if (!pt_model_affine(model)) {
        return PT_OK;
    }
    if (header->layers > PT_MAX_TRAINED_LAYERS || header->classes > PT_MAX_CLASSES) {
        return pt_refuse(detail, PT_ERR_TRAIN_SIZE, header->layers, PT_MAX_TRAINED_LAYERS,
                         header->classes, PT_MAX_CLASSES);
    }
    for (uint32_t l = 0; l < header->layers; ++l) {
        int err = check_trained_terms(&model->layer[l], l, detail);
        if (!err) {
            err = check_trained_factors(model, l, detail);
        }
        if (!err) {
            err = check_trained_weights(model, l, (weights >> l & 1u) != 0u, detail);
        }
        if (err) {
            return err;
        }
        weighted += pt_layer_rows(&model->layer[l]) != 0u ? 1u : 0u;
    }
    return weighted == 0u ? pt_refuse(detail, PT_ERR_TRAIN_NOTHING, 0, 0, 0, 0) : PT_OK;
}
