#include "kernels/cortex_m0plus/pt_affine_rows.h"
#include "kernels/pt_memory.h"

void pt_affine_linear_s8(const struct pt_shape *shape, const struct pt_affine *affine,
                         const struct pt_edges *edges, const int8_t *input, void *scratch,
                         int8_t *output)
{
    const uint32_t length = pt_shape_in_size(shape);
    struct pt_affine_rows rows;
    struct pt_edges left = *edges;
    pt_affine_rows_at(&rows, affine, length, 1, scratch);
    memcpy(rows.patch[0], input, length);
    pt_affine_rows_put(&rows, 0, rows.patch[0], rows.patch[0]);
    for (uint32_t row = 0; row < shape->out_c; ++row) {
        pt_affine_rows_forward(&rows, pt_edges_next_row(&left, rows.row), &affine->factor[row], 1,
                               output + row, 1);
    }
}
