#include "kernels/pt_memory.h"
#include "kernels/pt_overlap.h"
#include "kernels/vector/pt_quads.h"
#include "kernels/vector/pt_windows.h"

/* The patches of the positions [begin, end), `size` bytes each. */
static void gather(const struct pt_shape *shape, const int8_t *input, int32_t zero,
                   uint32_t begin, uint32_t end, uint32_t size)
{
    const uint32_t length = pt_shape_patch_size(shape);
    const uint32_t kernel_row = (uint32_t)shape->kernel_w * shape->in_c;
    uint8_t *patch = pt_bytes_room;
    if (pt_is_pointwise(shape) && size == length) {
        pt_quads_move_up(input + begin * length, (end - begin) * length, patch);
        return;
    }
    for (uint32_t position = begin; position < end; ++position, patch += size) {
        const struct pt_overlap window =
            pt_overlap_at(shape, position / shape->out_w, position % shape->out_w);
        uint8_t *to = patch + window.row_begin * kernel_row + window.kernel_start;
        const int8_t *from = input + window.input_start;
        if (window.length != kernel_row || window.row_end - window.row_begin != shape->kernel_h) {
            memset(patch, zero + 128, length);
        }
        for (uint32_t k = window.row_begin; k < window.row_end; ++k) {
            pt_quads_move_up(from, window.length, to);
            to += kernel_row;
            from += (uint32_t)shape->in_w * shape->in_c;
        }
    }
}

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
                gather(shape, input, affine->zero_in[0], begin, end, size);
            }
            pt_quads_forward(&rows, pt_bytes_room, size, end - begin,
                             output + begin * shape->out_c, shape->out_c);
        }
    }
}
