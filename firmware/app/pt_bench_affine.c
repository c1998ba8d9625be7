#include "app/pt_bench_affine.h"

#include <stddef.h>

#include "nn/pt_model.h"

uint32_t pt_bench_affine_kind(uint32_t kernel)
{
    switch (kernel) {
    case PT_BENCH_AFFINE_CONV2D:
        return PT_CONV2D;
    case PT_BENCH_AFFINE_DEPTHWISE:
        return PT_DEPTHWISE;
    case PT_BENCH_AFFINE_LINEAR:
        return PT_LINEAR;
    case PT_BENCH_AFFINE_MAXPOOL:
        return PT_MAXPOOL;
    case PT_BENCH_AFFINE_AVGPOOL:
    case PT_BENCH_AFFINE_MEAN:
        return PT_AVGPOOL;
    case PT_BENCH_AFFINE_ADD:
        return PT_ADD;
    default:
        return 0;
    }
}

static const struct pt_operator *operator_of(const struct pt_bench_job *job)
{
    return pt_operators[pt_bench_affine_kind(job->kernel)];
}

int pt_bench_affine_check_numbers(const struct pt_bench_job *job, struct pt_detail *detail)
{
    const int32_t number[] = {job->zero_in[0], job->zero_in[1], job->zero_out, job->low,
                              job->high};
    for (uint32_t i = 0; i < sizeof number / sizeof *number; ++i) {
        if (number[i] < INT8_MIN || number[i] > INT8_MAX) {
            return pt_refuse(detail, PT_ERR_ARGUMENT, 7u + i, (uint32_t)number[i],
                             (uint32_t)INT8_MIN, INT8_MAX);
        }
    }
    return PT_OK;
}

uint32_t pt_bench_affine_factors(const struct pt_bench_job *job)
{
    switch (job->kernel) {
    case PT_BENCH_AFFINE_MAXPOOL:
    case PT_BENCH_AFFINE_AVGPOOL:
        return 0;
    case PT_BENCH_AFFINE_MEAN:
        return 1;
    case PT_BENCH_AFFINE_ADD:
        return 3;
    default:
        return job->shape.out_c;
    }
}

bool pt_bench_affine_factors_valid(const struct pt_bench_job *job)
{
    const struct pt_operator *op = operator_of(job);
    return op->factors_valid == NULL ||
           op->factors_valid(&job->shape, pt_bench_affine_factors(job));
}

uint32_t pt_bench_affine_scratch(const struct pt_bench_job *job)
{
    const struct pt_operator *op = operator_of(job);
    return !PT_WITH_AFFINE || op->affine_scratch == NULL
               ? 0u
               : op->affine_scratch(&job->shape, PT_FORWARD, false);
}

int pt_bench_affine_check_factors(const struct pt_bench_job *job, const uint8_t *window,
                                  uint32_t row_length, struct pt_detail *detail)
{
    const struct pt_operator *op = operator_of(job);
    const uint8_t *factors = window + job->operand[PT_BENCH_FACTORS].offset;
    const int8_t *weights = (const int8_t *)window + job->operand[PT_BENCH_WEIGHTS].offset;
    for (uint32_t row = 0; row < pt_bench_affine_factors(job); ++row) {
        const struct pt_factor *factor = (const struct pt_factor *)factors + row;
        const int err = pt_factor_check(op, factor, &job->shape, weights + row * row_length, 0,
                                        row, detail);
        if (err) {
            return err;
        }
    }
    return PT_OK;
}

/* Of a kernel that does not take it, anywhere. */
static int8_t *operand_of(const struct pt_bench_job *job, uint8_t *window, uint32_t operand)
{
    return (int8_t *)window + job->operand[operand].offset;
}

void pt_bench_affine_run(const struct pt_bench_job *job, uint8_t *window,
                         const struct pt_edges *edges)
{
    const struct pt_affine_pass pass = {
        .shape = &job->shape,
        .affine = {(const struct pt_factor *)(window + job->operand[PT_BENCH_FACTORS].offset),
                   {job->zero_in[0], job->zero_in[1]}, job->zero_out, job->low, job->high},
        .factors = pt_bench_affine_factors(job),
        .edges = *edges,
        .input = {operand_of(job, window, PT_BENCH_INPUT),
                  operand_of(job, window, PT_BENCH_INPUT_B)},
        .output = operand_of(job, window, PT_BENCH_OUTPUT),
    };
    operator_of(job)->forward_affine(&pass, operand_of(job, window, PT_BENCH_SCRATCH));
}
