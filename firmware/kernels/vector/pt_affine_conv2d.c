#include "kernels/vector/pt_quads.h"

void pt_affine_conv2d_s8(const struct pt_shape *shape, const struct pt_affine *affine,
                         const struct pt_edges *edges, const int8_t *input, void *scratch,
                         int8_t *output)
{
    struct pt_edges left = *edges;
    struct pt_quads_rows rows = {.affine = affine, .length = pt_shape_patch_size(shape)};
    const uint32_t size = pt_round4(rows.length);
    const uint32_t positions = pt_shape_positions(shape);
    const uint32_t fit = PT_BYTES_ROOM / size;
    for (; rows.row < shape->out_c; rows.row += PT_VECTOR) {
        rows.count = pt_vector_count(shape->out_c - rows.row);
        pt_quads_next_rows(&rows, &left, scratch);
        for (uint32_t begin = 0; begin < positions; begin += fit) {
            const uint32_t end = positions - begin < fit ? positions : begin + fit;
            if (rows.row == 0u || fit < positions) {
                pt_quads_gather(shape, input, affine->zero_in[0], begin, end, size);
            }
            pt_quads_forward(&rows, pt_bytes_room, size, end - begin,
                             output + begin * shape->out_c, shape->out_c);
        }
    }
}
