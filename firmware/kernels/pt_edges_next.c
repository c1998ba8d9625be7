#include "kernels/pt_edges.h"

#include <stddef.h>

const int8_t *pt_edges_next_row(struct pt_edges *edges, int8_t *masked)
{
    const int8_t *row = edges->weights;
    const uint32_t length = edges->row_length;
    edges->weights += length;
    if (edges->scores == NULL) {
        return row;
    }
    if (edges->bitmap == NULL) {
        pt_mask_weights_s8(row, edges->scores, edges->threshold, length, masked);
        edges->scores += length;
    } else {
        edges->scores += pt_mask_sparse_weights_s8(row, edges->scores, edges->bitmap,
                                                   edges->threshold, length, masked);
        edges->bitmap += pt_bitmap_size(length);
    }
    return masked;
}
