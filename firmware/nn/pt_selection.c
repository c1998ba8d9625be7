#include "nn/pt_selection.h"

#include "kernels/pt_memory.h"

uint32_t pt_selection_rows(const struct pt_selected *selected, const struct pt_model *model,
                           uint32_t layer)
{
    const uint32_t rows = pt_layer_rows(&model->layer[layer]);
    const uint8_t *bits = pt_selection_bits(selected, model, layer);
    uint32_t count = 0;
    for (uint32_t row = 0; row < rows; ++row) {
        count += pt_selection_has(bits, row) ? 1u : 0u;
    }
    return count;
}

int pt_selection_size(const struct pt_model *model, uint32_t *size, struct pt_detail *detail)
{
    *size = pt_selection_offset(model, model->header->layers);
    if (*size > PT_MAX_SELECTION) {
        return pt_refuse(detail, PT_ERR_ROWS, *size, PT_MAX_SELECTION, 0, 0);
    }
    return PT_OK;
}

/* That no row is selected that is none, and one that is. */
static int check_bits(const struct pt_model *model, const uint8_t *bits, struct pt_detail *detail)
{
    bool any = false;
    for (uint32_t l = 0; l < model->header->layers; ++l) {
        const uint32_t rows = pt_layer_rows(&model->layer[l]);
        const uint32_t size = pt_selection_layer_size(&model->layer[l]);
        for (uint32_t row = 0; row < 8u * size; ++row) {
            if (!pt_selection_has(bits, row)) {
                continue;
            }
            if (row >= rows) {
                return pt_refuse(detail, PT_ERR_SELECTION_ROW, l, row, rows, 0);
            }
            any = true;
        }
        bits += size;
    }
    return any ? PT_OK : pt_refuse(detail, PT_ERR_SELECTION_EMPTY, 0, 0, 0, 0);
}

int pt_selection_set(struct pt_selected *selected, const struct pt_model *model,
                     const uint8_t *bits, uint32_t size, struct pt_detail *detail)
{
    uint32_t needed = 0;
    int err = size == 0u ? PT_OK : pt_selection_size(model, &needed, detail);
    if (!err && size != needed) {
        err = pt_refuse(detail, PT_ERR_SELECTION_SIZE, size, needed, 0, 0);
    }
    if (!err && size != 0u) {
        err = check_bits(model, bits, detail);
    }
    if (err) {
        return err;
    }
    if (size != 0u) { /* else there may be no bits to point at */
        memcpy(selected->bits, bits, size);
    }
    selected->size = size;
    return PT_OK;
}

int pt_selection_set_last(struct pt_selected *selected, const struct pt_model *model,
                          struct pt_detail *detail)
{
    uint32_t size = 0;
    uint32_t last = model->header->layers - 1u;
    int err = pt_selection_size(model, &size, detail);
    if (!err && size == 0u) {
        err = pt_refuse(detail, PT_ERR_SELECTION_EMPTY, 0, 0, 0, 0);
    }
    if (err) {
        return err;
    }
    while (pt_layer_rows(&model->layer[last]) == 0u) {
        --last;
    }
    memset(selected->bits, 0, size);
    selected->size = size;
    uint8_t *bits = selected->bits + pt_selection_offset(model, last);
    for (uint32_t row = 0; row < pt_layer_rows(&model->layer[last]); ++row) {
        bits[row / 8u] = (uint8_t)(bits[row / 8u] | 1u << row % 8u);
    }
    return PT_OK;
}
