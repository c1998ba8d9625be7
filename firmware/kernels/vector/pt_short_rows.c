#include "kernels/vector/pt_short_rows.h"

#include "kernels/vector/pt_outputs.h"
#include "kernels/vector/pt_quads.h"

static void multiply(const struct pt_shape *shape, uint32_t begin, uint32_t end, uint32_t size,
                     uint32_t row, uint32_t count, pt_words start, struct pt_outputs *output)
{
    const uint8_t *patch = pt_bytes_room;
    for (uint32_t p = begin; p < end; p += PT_QUADS_AT_ONCE) {
        const uint8_t *left[PT_QUADS_AT_ONCE];
        pt_words sums[PT_QUADS_AT_ONCE];
        for (uint32_t i = 0; i < PT_QUADS_AT_ONCE; ++i) {
            left[i] = pt_quads_left(patch, size, i, end - p);
        }
        pt_quads_multiply(pt_quads_room, size / 4u, left, 4, start, sums);
        for (uint32_t i = 0; i < PT_QUADS_AT_ONCE && i < end - p; ++i) {
            pt_outputs_put(output, (p + i) * shape->out_c + row, (pt_ints)sums[i], count);
        }
        patch += PT_QUADS_AT_ONCE * size;
    }
}

static void forward(const struct pt_shape *shape, const int8_t *input,
                    const struct pt_edges *edges, int8_t *masked, struct pt_outputs *output)
{
    struct pt_edges left = *edges;
    const uint32_t size = pt_round4(edges->row_length);
    const uint32_t positions = pt_shape_positions(shape);
    const uint32_t fit = PT_BYTES_ROOM / size;
    for (uint32_t row = 0; row < shape->out_c; row += PT_VECTOR) {
        const uint32_t count = pt_vector_count(shape->out_c - row);
        const pt_words start = pt_quads_pack_rows(&left, count, masked) * (0u - 128u);
        for (uint32_t begin = 0; begin < positions; begin += fit) {
            const uint32_t end = positions - begin < fit ? positions : begin + fit;
            if (row == 0u || fit < positions) {
                pt_quads_gather(shape, input, 0, begin, end, size);
            }
            multiply(shape, begin, end, size, row, count, start, output);
        }
    }
}

void pt_short_rows_forward_s32(const struct pt_shape *shape, const int8_t *input,
                               const struct pt_edges *edges, void *scratch, int32_t *output)
{
    struct pt_outputs to = pt_outputs_s32(output);
    forward(shape, input, edges, scratch, &to);
}

uint32_t pt_short_rows_forward_s8(const struct pt_shape *shape, const int8_t *input,
                                  const struct pt_edges *edges, uint32_t shift, bool relu,
                                  void *scratch, int8_t *output)
{
    struct pt_outputs to = pt_outputs_s8(output, shift, relu);
    forward(shape, input, edges, scratch, &to);
    return pt_outputs_saturated(&to);
}
