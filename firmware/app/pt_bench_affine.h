/*
 * The part of pt_bench.h that is about affine layers: each kernel is the forward operation of a
 * kind of layer.
 */
#ifndef PT_BENCH_AFFINE_H
#define PT_BENCH_AFFINE_H

#include <stdbool.h>
#include <stdint.h>

#include "app/pt_bench.h"
#include "kernels/pt_edges.h"

/* enum pt_layer_kind; 0: not a kernel of an affine layer. */
uint32_t pt_bench_affine_kind(uint32_t kernel);

/* Zero points and bounds are int8. */
int pt_bench_affine_check_numbers(const struct pt_bench_job *job, struct pt_detail *detail);

/* How many factors the kernel takes, and whether a layer of that valid shape has so many. */
uint32_t pt_bench_affine_factors(const struct pt_bench_job *job);
bool pt_bench_affine_factors_valid(const struct pt_bench_job *job);

/* In bytes, of a valid shape. */
uint32_t pt_bench_affine_scratch(const struct pt_bench_job *job);

/* The range of sums (docs/numerics.md, section 14); operands are checked already. */
int pt_bench_affine_check_factors(const struct pt_bench_job *job, const uint8_t *window,
                                  uint32_t row_length, struct pt_detail *detail);

void pt_bench_affine_run(const struct pt_bench_job *job, uint8_t *window,
                         const struct pt_edges *edges);

#endif
