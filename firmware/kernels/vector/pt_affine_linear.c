#include "kernels/vector/pt_quads.h"

void pt_affine_linear_s8(const struct pt_shape *shape, const struct pt_affine *affine,
                         const struct pt_edges *edges, const int8_t *input, void *scratch,
                         int8_t *output)
{
    struct pt_edges left = *edges;
    struct pt_quads_rows rows = {.affine = affine, .length = pt_shape_in_size(shape)};
    pt_quads_move_up(input, rows.length, pt_bytes_room);
    for (; rows.row < shape->out_c; rows.row += PT_VECTOR) {
        rows.count = pt_vector_count(shape->out_c - rows.row);
        pt_quads_next_rows(&rows, &left, scratch);
        pt_quads_forward(&rows, pt_bytes_room, 0, 1, output, 0);
    }
}
