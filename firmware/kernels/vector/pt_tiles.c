#include "kernels/vector/pt_tiles.h"

#ifdef PT_TILES

/* Of the eight tile registers: all are whole. Constant, as compilers do not see what is read. */
static const struct {
    uint8_t palette;
    uint8_t start;
    uint8_t reserved[14];
    uint16_t bytes[16]; /* of a row */
    uint8_t rows[16];
} shapes = {
    .palette = 1,
    .bytes = {64, 64, 64, 64, 64, 64, 64, 64},
    .rows = {16, 16, 16, 16, 16, 16, 16, 16},
};

/* Linux gives a process the room for its tiles when it asks: arch_prctl(ARCH_REQ_XCOMP_PERM). */
static bool allowed(void)
{
    enum { ARCH_PRCTL = 158, REQUEST = 0x1023, TILE_DATA = 18 };
    long result = ARCH_PRCTL;
    __asm__ volatile("syscall"
                     : "+a"(result)
                     : "D"((long)REQUEST), "S"((long)TILE_DATA)
                     : "rcx", "r11", "memory");
    return result == 0;
}

bool pt_tiles_begin(void)
{
    static enum { NOT_ASKED, YES, NO } answer;
    if (answer == NOT_ASKED) {
        answer = allowed() ? YES : NO;
    }
    if (answer == NO) {
        return false;
    }
    _tile_loadconfig(&shapes);
    return true;
}

void pt_tiles_pack(const int8_t *rows, uint32_t step, int8_t *tile)
{
    __m512i a[16];
    __m512i b[16];
    for (uint32_t i = 0; i < 16u; ++i) {
        a[i] = _mm512_loadu_si512(rows + i * step);
    }
    for (uint32_t i = 0; i < 16u; i += 2u) {
        b[i] = _mm512_unpacklo_epi32(a[i], a[i + 1u]);
        b[i + 1u] = _mm512_unpackhi_epi32(a[i], a[i + 1u]);
    }
    for (uint32_t i = 0; i < 16u; i += 4u) {
        a[i] = _mm512_unpacklo_epi64(b[i], b[i + 2u]);
        a[i + 1u] = _mm512_unpackhi_epi64(b[i], b[i + 2u]);
        a[i + 2u] = _mm512_unpacklo_epi64(b[i + 1u], b[i + 3u]);
        a[i + 3u] = _mm512_unpackhi_epi64(b[i + 1u], b[i + 3u]);
    }
    /* a[4g + k] holds words k, k + 4, k + 8 and k + 12 of the rows 4g to 4g + 3, in its lanes. */
    for (uint32_t k = 0; k < 4u; ++k) {
        const __m512i low = _mm512_shuffle_i32x4(a[k], a[4u + k], 0x88);
        const __m512i high = _mm512_shuffle_i32x4(a[8u + k], a[12u + k], 0x88);
        const __m512i low_odd = _mm512_shuffle_i32x4(a[k], a[4u + k], 0xdd);
        const __m512i high_odd = _mm512_shuffle_i32x4(a[8u + k], a[12u + k], 0xdd);
        _mm512_storeu_si512(tile + 64u * k, _mm512_shuffle_i32x4(low, high, 0x88));
        _mm512_storeu_si512(tile + 64u * (k + 8u), _mm512_shuffle_i32x4(low, high, 0xdd));
        _mm512_storeu_si512(tile + 64u * (k + 4u), _mm512_shuffle_i32x4(low_odd, high_odd, 0x88));
        _mm512_storeu_si512(tile + 64u * (k + 12u), _mm512_shuffle_i32x4(low_odd, high_odd, 0xdd));
    }
}

static void prefetch(const int8_t *rows, uint32_t step)
{
    for (uint32_t row = 0; row < PT_PANEL; ++row, rows += step) {
        _mm_prefetch(rows, _MM_HINT_T1);
    }
}

/* With one column of tiles, or with half a panel, half of it is left out. */
static inline __attribute__((always_inline)) void
multiply(const int8_t *left, uint32_t step, uint32_t ahead, const int8_t *first,
         const int8_t *second, bool lower, uint32_t blocks, int32_t sums[PT_PANEL][PT_PANEL])
{
    const int8_t *below = left + PT_TILE_SIDE * step;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (uint32_t block = 0; block < blocks; ++block) {
        if (ahead != 0u) {
            prefetch(left + block * PT_TILE_TERMS + ahead, step);
        }
        _tile_loadd(4, left + block * PT_TILE_TERMS, step);
        _tile_loadd(6, first + block * PT_TILE_BYTES, PT_TILE_TERMS);
        _tile_dpbssd(0, 4, 6);
        if (lower) {
            _tile_loadd(5, below + block * PT_TILE_TERMS, step);
            _tile_dpbssd(2, 5, 6);
        }
        if (second != 0) {
            _tile_loadd(7, second + block * PT_TILE_BYTES, PT_TILE_TERMS);
            _tile_dpbssd(1, 4, 7);
            if (lower) {
                _tile_dpbssd(3, 5, 7);
            }
        }
    }
    const uint32_t row = PT_PANEL * sizeof sums[0][0];
    _tile_stored(0, sums[0], row);
    _tile_stored(1, sums[0] + PT_TILE_SIDE, row);
    if (lower) {
        _tile_stored(2, sums[PT_TILE_SIDE], row);
        _tile_stored(3, sums[PT_TILE_SIDE] + PT_TILE_SIDE, row);
    }
}

void pt_tiles_multiply(const int8_t *left, uint32_t rows, uint32_t step, uint32_t ahead,
                       const int8_t *const right[2], uint32_t blocks,
                       int32_t sums[PT_PANEL][PT_PANEL])
{
    if (rows > PT_TILE_SIDE) {
        multiply(left, step, ahead, right[0], right[1], true, blocks, sums);
    } else {
        multiply(left, step, ahead, right[0], right[1], false, blocks, sums);
    }
}

#endif
