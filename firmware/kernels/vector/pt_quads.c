#include "kernels/vector/pt_quads.h"

#include "kernels/pt_memory.h"
#include "kernels/pt_overlap.h"
#include "kernels/vector/pt_windows.h"

pt_words pt_quads_room[PT_QUADS_ROOM / (4 * PT_VECTOR)];
_Alignas(64) uint8_t pt_bytes_room[PT_BYTES_ROOM];

/* One row becomes a lane; terms that are missing in the last word are 0. */
static void put_row(const int8_t *row, uint32_t length, uint32_t lane)
{
    uint32_t *word = (uint32_t *)pt_quads_room + lane;
    uint32_t i = 0;
    for (; i + 4u <= length; i += 4u, word += PT_VECTOR) {
        __builtin_memcpy(word, row + i, sizeof *word);
    }
    if (i < length) {
        uint32_t last = 0;
        for (uint32_t k = 0; i + k < length; ++k) {
            last |= (uint32_t)(uint8_t)row[i + k] << 8u * k;
        }
        *word = last;
    }
}

pt_words pt_quads_pack_rows(struct pt_edges *edges, uint32_t count, int8_t *masked)
{
    const uint32_t quads = (edges->row_length + 3u) / 4u;
    if (count < PT_VECTOR) {
        memset(pt_quads_room, 0, quads * sizeof *pt_quads_room);
    }
    for (uint32_t lane = 0; lane < count; ++lane) {
        put_row(pt_edges_next_row(edges, masked), edges->row_length, lane);
    }
    return pt_quads_total(pt_quads_room, quads);
}

void pt_quads_gather(const struct pt_shape *shape, const int8_t *input, int32_t zero,
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

void pt_quads_next_rows(struct pt_quads_rows *rows, struct pt_edges *edges, int8_t *masked)
{
    const struct pt_affine *affine = rows->affine;
    const uint32_t moved_zero = (uint32_t)(affine->zero_in[0] + 128);
    const pt_words total = pt_quads_pack_rows(edges, rows->count, masked);
    pt_scaler_of(&rows->scaler, affine, affine->factor + rows->row, rows->count);
    rows->start = (pt_words)rows->scaler.bias - total * moved_zero;
}

void pt_quads_forward(const struct pt_quads_rows *rows, const uint8_t *patch, uint32_t size,
                      uint32_t positions, int8_t *output, uint32_t step)
{
    const uint32_t quads = (rows->length + 3u) / 4u;
    const struct pt_scaler scaler = rows->scaler; /* no output can be stored over it */
    output += rows->row;
    for (uint32_t done = 0; done < positions; done += PT_QUADS_AT_ONCE) {
        const uint32_t left = positions - done;
        const uint32_t count = left < PT_QUADS_AT_ONCE ? left : PT_QUADS_AT_ONCE;
        const uint8_t *patches[PT_QUADS_AT_ONCE];
        pt_words sums[PT_QUADS_AT_ONCE];
        for (uint32_t i = 0; i < PT_QUADS_AT_ONCE; ++i) {
            patches[i] = pt_quads_left(patch, size, i, count);
        }
        pt_quads_multiply(pt_quads_room, quads, patches, 4, rows->start, sums);
        for (uint32_t i = 0; i < count; ++i) {
            pt_store_output(output, &scaler, (pt_ints)sums[i], rows->count);
            output += step;
        }
        patch += PT_QUADS_AT_ONCE * size;
    }
}
