/*
 * Products of matrices of int8 where the machine has tiles for them (AMX): PT_TILES is defined, and
 * pt_tiles_begin says at run time whether the system allows them.
 *
 * The left side are rows of bytes. The right side are tiles: for each block of 64 terms 1 KiB,
 * which holds, for each four of these terms, those four of 16 columns side by side.
 */
#ifndef PT_TILES_H
#define PT_TILES_H

#include "kernels/portable/pt_avx512.h"

#if defined(PT_AVX512) && defined(__AMX_INT8__) && defined(__x86_64__) && defined(__linux__)

#define PT_TILES

#include <stdbool.h>
#include <stdint.h>

enum {
    PT_TILE_TERMS = 64,
    PT_TILE_SIDE = 16,
    PT_TILE_BYTES = PT_TILE_TERMS * PT_TILE_SIDE,
    PT_PANEL = 2 * PT_TILE_SIDE /* rows of the left side at a time, and columns of the right one */
};

/* Before products of a kernel. False: the system has no tiles for this process. */
bool pt_tiles_begin(void);

/* Four terms of 16 rows, `step` bytes from one to the next, side by side: words of the left become
 * those of a tile. */
void pt_tiles_pack(const int8_t *rows, uint32_t step, int8_t *tile);

/*
 * sums [PT_PANEL][PT_PANEL] = up to a panel of rows, `step` bytes from one to the next, times two
 * columns of tiles, of `blocks` each; `right[1]` may be NULL. Sums of what is missing mean nothing,
 * but what lies at up to 16, or 32, rows is read. `ahead` are bytes from each row to one that is
 * wanted next, or 0.
 */
void pt_tiles_multiply(const int8_t *left, uint32_t rows, uint32_t step, uint32_t ahead,
                       const int8_t *const right[2], uint32_t blocks,
                       int32_t sums[PT_PANEL][PT_PANEL]);

#endif

#endif
