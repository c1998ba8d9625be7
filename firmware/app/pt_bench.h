/*
 * One kernel on operands of the harness's choice: to test it alone, and to count its cycles.
 *
 * The job lies at the start of the model window, its operands anywhere behind it. It names a
 * kernel, a geometry and an offset and size for each operand, and where the next job lies, so that
 * one command runs many; what each kernel takes:
 *
 *   kernel              operands                                                   answer
 *   CONV2D_FORWARD_S32  INPUT, edges, SCRATCH -> OUTPUT int32
 *   CONV2D_FORWARD_S8   INPUT, edges, SCRATCH, shift, relu -> OUTPUT               saturated
 *   CONV2D_ERROR        ERROR, edges, SCRATCH -> OUTPUT int32
 *   CONV2D_GRADIENT     INPUT, ERROR, SCRATCH -> OUTPUT int32, all rows
 *   CONV2D_POOL_FORWARD   INPUT, edges, SCRATCH, shift -> OUTPUT, PLACES           saturated
 *   CONV2D_POOL_ERROR     ERROR, PLACES, edges, INPUT (the activation), SCRATCH, shift
 *                         -> OUTPUT                                                saturated
 *   CONV2D_POOL_GRADIENT  INPUT, ERROR, PLACES, SCRATCH -> OUTPUT int32, all rows
 *   LINEAR_FORWARD_S32, LINEAR_FORWARD_S8    as CONV2D_
 *   LINEAR_ERROR        ERROR, edges, INPUT (what is needed), SCRATCH -> OUTPUT int32
 *   LINEAR_UPDATE       INPUT, ERROR, edges, SCRATCH, shift -> state, STEPS        saturated
 *   UPDATE              ACCUMULATOR (the gradient), edges, shifts -> state, STEPS  saturated
 *   MAXPOOL2_FORWARD    INPUT -> OUTPUT
 *   MAXPOOL2_ERROR      INPUT, ERROR, relu -> OUTPUT
 *   REQUANTIZE          ACCUMULATOR, shift, relu -> OUTPUT                         saturated
 *   REQUANTIZE_ERROR    ACCUMULATOR, INPUT (the activation), shift -> OUTPUT       saturated
 *   MAX_ABS_S8          INPUT                                                      maximum
 *   MAX_ABS_S32         ACCUMULATOR                                                maximum
 *   MASK                edges -> OUTPUT                          scores used, where sparse
 *   BITMAP_COUNT        BITMAP                                                     set bits
 *   AFFINE_CONV2D, AFFINE_DEPTHWISE, AFFINE_LINEAR   INPUT, edges, SCRATCH, FACTORS -> OUTPUT
 *   AFFINE_MAXPOOL, AFFINE_AVGPOOL                   INPUT -> OUTPUT
 *   AFFINE_MEAN                                      INPUT, FACTORS -> OUTPUT
 *   AFFINE_ADD                                       INPUT, INPUT_B, FACTORS -> OUTPUT
 *
 * Edges are WEIGHTS with `masks`: ALL_EDGES nothing else, SCORED with SCORES, SPARSE with SCORES
 * and BITMAP. The state that an update changes in place is WEIGHTS (ALL_EDGES) or SCORES. CONV2D_,
 * LINEAR_, MAXPOOL2_ and AFFINE_ take `shape`, the others `count` elements, which is one row of
 * edges. FACTORS are struct pt_factor, as many as a model has for the layer.
 *
 * All of it is checked but the values of tensors, which must hold what the kernels' headers ask
 * for: -127..127 (affine: -128 too), no bit of a bitmap behind the last edge of a row (this is
 * checked), sums and products that fit. Operands that a kernel does not take are ignored.
 */
#ifndef PT_BENCH_H
#define PT_BENCH_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/pt_shape.h"
#include "nn/pt_error.h"

enum pt_bench_kernel {
    PT_BENCH_CONV2D_FORWARD_S32 = 0,
    PT_BENCH_CONV2D_FORWARD_S8 = 1,
    PT_BENCH_CONV2D_ERROR = 2,
    PT_BENCH_CONV2D_GRADIENT = 3,
    PT_BENCH_LINEAR_FORWARD_S32 = 4,
    PT_BENCH_LINEAR_FORWARD_S8 = 5,
    PT_BENCH_LINEAR_ERROR = 6,
    PT_BENCH_LINEAR_UPDATE = 7,
    PT_BENCH_UPDATE = 8,
    PT_BENCH_MAXPOOL2_FORWARD = 9,
    PT_BENCH_MAXPOOL2_ERROR = 10,
    PT_BENCH_REQUANTIZE = 11,
    PT_BENCH_REQUANTIZE_ERROR = 12,
    PT_BENCH_MAX_ABS_S8 = 13,
    PT_BENCH_MAX_ABS_S32 = 14,
    PT_BENCH_MASK = 15,
    PT_BENCH_BITMAP_COUNT = 16,
    PT_BENCH_AFFINE_CONV2D = 17,
    PT_BENCH_AFFINE_DEPTHWISE = 18,
    PT_BENCH_AFFINE_LINEAR = 19,
    PT_BENCH_AFFINE_MAXPOOL = 20,
    PT_BENCH_AFFINE_AVGPOOL = 21,
    PT_BENCH_AFFINE_MEAN = 22,
    PT_BENCH_AFFINE_ADD = 23,
    PT_BENCH_CONV2D_POOL_FORWARD = 24,
    PT_BENCH_CONV2D_POOL_ERROR = 25,
    PT_BENCH_CONV2D_POOL_GRADIENT = 26,
    PT_BENCH_KERNELS
};

enum pt_bench_mode {
    PT_BENCH_RUN = 0,
    PT_BENCH_CHECK = 1,        /* only check */
    PT_BENCH_SCRATCH_SIZE = 2, /* check all but SCRATCH; the answer is the size that it needs */
    PT_BENCH_MODES
};

enum pt_bench_masks { PT_BENCH_ALL_EDGES = 0, PT_BENCH_SCORED = 1, PT_BENCH_SPARSE = 2 };

enum pt_bench_operand_name {
    PT_BENCH_INPUT = 0,
    PT_BENCH_ERROR = 1,
    PT_BENCH_ACCUMULATOR = 2, /* int32 */
    PT_BENCH_WEIGHTS = 3,
    PT_BENCH_SCORES = 4,      /* one per scored edge */
    PT_BENCH_BITMAP = 5,      /* rows of ceil(row length / 8) bytes */
    PT_BENCH_OUTPUT = 6,
    PT_BENCH_STEPS = 7,       /* the step of each edge that learns; size 0: not wanted */
    PT_BENCH_SCRATCH = 8,     /* of the size that the kernel's header gives */
    PT_BENCH_FACTORS = 9,     /* struct pt_factor */
    PT_BENCH_INPUT_B = 10,
    PT_BENCH_PLACES = 11,     /* pt_conv2d_pool.h */
    PT_BENCH_OPERANDS
};

/* In bytes, from the start of the window. int32 operands, FACTORS and SCRATCH are aligned to 4. */
struct pt_bench_operand {
    uint32_t offset;
    uint32_t size; /* exact; an activation may have size 0: no ReLU */
};

/* PT_ERR_ARGUMENT counts its words from 0. */
struct pt_bench_job {
    uint32_t kernel; /* enum pt_bench_kernel */
    uint32_t masks;  /* enum pt_bench_masks */
    uint32_t count;
    uint32_t shift;
    uint32_t gradient_shift; /* of UPDATE with scores */
    uint32_t relu;           /* 0 or 1 */
    int32_t threshold;       /* -127..127 */
    int32_t zero_in[2];      /* affine, like the next three: -128..127 */
    int32_t zero_out;
    int32_t low;
    int32_t high;
    struct pt_shape shape;   /* linear: as a layer of a model */
    struct pt_bench_operand operand[PT_BENCH_OPERANDS];
    uint32_t next;   /* bytes from this job to the next, a multiple of 8; 0: it is the last */
    uint32_t answer; /* written by pt_bench_run */
};

/*
 * Checks the job at the start of window[0..size), which is aligned to 8, then runs it as the mode
 * says. *value, and the job's answer, is what the kernel returns, 0 where it returns nothing.
 */
int pt_bench_run(uint8_t *window, uint32_t size, uint32_t mode, uint32_t *value,
                 struct pt_detail *detail);

#endif
