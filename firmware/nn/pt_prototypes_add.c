#include "nn/pt_prototypes.h"
#include "nn/pt_trainer_parts.h"

void pt_prototypes_add(const struct pt_trainer *t)
{
    const uint32_t last = t->model.header->layers - 1u;
    const struct pt_model_layer *head = &t->model.layer[last];
    const uint32_t length = pt_layer_row_length(head);
    /* Nothing has taken the place of the input: only the prediction came after it was read. */
    const int8_t *input = pt_part_activation(t, head->input[0]);
    int32_t *sums = (int32_t *)pt_part_scores(t);
    uint32_t *count = (uint32_t *)(sums + pt_layer_rows(head) * length) + t->target;
    if (*count >= PT_MAX_PROTOTYPE_IMAGES) {
        return; /* so that no sum overflows */
    }
    ++*count;
    sums += t->target * length;
    for (uint32_t k = 0; k < length; ++k) {
        sums[k] += input[k] - head->zero_in[0];
    }
}
