#include "nn/pt_prototypes.h"

#include "kernels/pt_numerics.h"
#include "nn/pt_trainer_parts.h"
#include "nn/pt_wide.h"

enum {
    UNIT_BITS = 12,     /* of the largest element of a mean, as it is worked with */
    LEAST_LOGIT = 128,  /* that 100 steps of the output may stand for */
    LOGIT_STEPS = 100,
};

/* A class's sums, and how they become numbers of UNIT_BITS. */
struct mean {
    const int32_t *sum;
    uint32_t length;
    int32_t shift;   /* right, or if negative left */
    uint32_t norm;   /* of the shifted numbers, at least 1 */
    uint32_t peak;   /* the largest magnitude of them */
};

static int32_t element(const struct mean *mean, uint32_t k)
{
    return mean->shift < 0 ? mean->sum[k] * (1 << -mean->shift)
                           : pt_rhu_s32(mean->sum[k], (uint32_t)mean->shift);
}

static struct mean mean_of(const int32_t *sum, uint32_t length)
{
    struct mean mean = {sum, length, -UNIT_BITS, 0, 0};
    uint32_t largest = 0;
    uint64_t squares = 0;
    for (uint32_t k = 0; k < length; ++k) {
        const uint32_t magnitude = pt_abs_s32(sum[k]);
        largest = magnitude > largest ? magnitude : largest;
    }
    for (; largest != 0u; largest >>= 1) {
        ++mean.shift;
    }
    for (uint32_t k = 0; k < length; ++k) {
        const uint32_t magnitude = pt_abs_s32(element(&mean, k));
        mean.peak = magnitude > mean.peak ? magnitude : mean.peak;
        squares += magnitude * magnitude; /* at most 2^24 */
    }
    const uint32_t norm = pt_wide_root(squares);
    mean.norm = norm == 0u ? 1u : norm;
    return mean;
}

/* The largest length of the rows, over 127, with which no weight of the class exceeds 127. */
static uint32_t longest(const struct mean *mean)
{
    return mean->peak == 0u ? UINT32_MAX : (uint32_t)PT_S8_MAX * mean->norm / mean->peak;
}

/* The row of a class. Its weights may lie where its sums or those of earlier classes did: an
 * element is read before its weight is written. Returns the logit of the class's own mean, times
 * its count, if that is positive. */
static uint64_t make_row(const struct mean *mean, uint32_t scale, int8_t *weights)
{
    int64_t logit = 0;
    for (uint32_t k = 0; k < mean->length; ++k) {
        const int32_t value = element(mean, k);
        const int32_t sum = mean->sum[k];
        const uint32_t magnitude = (pt_abs_s32(value) * scale + mean->norm / 2u) / mean->norm;
        const int32_t weight = value < 0 ? -(int32_t)magnitude : (int32_t)magnitude;
        const uint64_t product = pt_wide_product(magnitude, pt_abs_s32(sum));
        logit += (weight < 0) == (sum < 0) ? (int64_t)product : -(int64_t)product;
        weights[k] = (int8_t)weight;
    }
    return logit < 0 ? 0u : (uint64_t)logit;
}

/* The multiplier and the shift of LOGIT_STEPS / logit. */
static struct pt_factor factor_of(uint32_t logit)
{
    struct pt_factor factor = {0, 0, 31};
    uint64_t steps = LOGIT_STEPS;
    uint64_t quotient;
    do {
        quotient = pt_wide_quotient(steps, logit);
        if (quotient < 1u << 30) {
            steps <<= 1;
            --factor.shift;
        }
    } while (quotient < 1u << 30);
    factor.multiplier = (int32_t)quotient;
    return factor;
}

int pt_prototypes_check(const struct pt_model *model, struct pt_detail *detail)
{
    const uint32_t last = model->header->layers - 1u;
    const struct pt_model_layer *head = &model->layer[last];
    if (head->kind != PT_LINEAR) {
        return pt_refuse(detail, PT_ERR_PROTOTYPE_HEAD, last, 0, 0, 0);
    }
    if (pt_layer_row_length(head) > PT_MAX_PROTOTYPE) {
        return pt_refuse(detail, PT_ERR_PROTOTYPE_HEAD, last, pt_layer_row_length(head),
                         PT_MAX_PROTOTYPE, 0);
    }
    return PT_OK;
}

int pt_prototypes_make(struct pt_trainer *t, struct pt_detail *detail)
{
    const uint32_t last = t->model.header->layers - 1u;
    const uint32_t classes = t->model.header->classes;
    const uint32_t length = pt_layer_row_length(&t->model.layer[last]);
    const int32_t *sums = (const int32_t *)pt_part_scores(t);
    const uint32_t *counts = (const uint32_t *)(sums + classes * length);
    if (!PT_WITH_AFFINE || t->method.kind != PT_PROTOTYPE) {
        return pt_refuse(detail, PT_ERR_METHOD_NEEDED, t->method.kind, PT_PROTOTYPE, 0, 0);
    }
    const uint32_t size = pt_round4(classes * length) +
                          classes * (uint32_t)sizeof(struct pt_factor);
    if (t->frozen && size > t->arena_size) {
        return pt_refuse(detail, PT_ERR_MEMORY, size, t->arena_size, classes * length,
                         (uint32_t)PT_MEMORY_WEIGHTS << 8 | last);
    }
    uint32_t scale = UINT32_MAX;
    for (uint32_t c = 0; c < classes; ++c) {
        if (counts[c] == 0u) {
            return pt_refuse(detail, PT_ERR_CLASS_EMPTY, c, classes, 0, 0);
        }
        const struct mean mean = mean_of(sums + c * length, length);
        const uint32_t most = longest(&mean);
        scale = most < scale ? most : scale;
    }
    scale = scale == UINT32_MAX ? 0u : scale;
    int8_t *weights = t->model.weights[last];
    struct pt_factor *factor = (struct pt_factor *)pt_model_factors(&t->model, last);
    if (t->frozen && t->model.head == NULL) {
        /* The sums begin there too; a row of weights takes no more than a quarter of a row of
         * them, and the factors are written after all. */
        weights = (int8_t *)t->arena;
        factor = (struct pt_factor *)(t->arena + pt_round4(classes * length));
        t->model.weights[last] = weights;
        t->model.head = factor;
    }
    uint64_t logit = LEAST_LOGIT;
    for (uint32_t c = 0; c < classes; ++c) {
        const struct mean mean = mean_of(sums + c * length, length);
        const uint64_t own = pt_wide_quotient(make_row(&mean, scale, weights + c * length),
                                              counts[c]);
        logit = own > logit ? own : logit;
    }
    const struct pt_factor one = factor_of((uint32_t)logit);
    for (uint32_t c = 0; c < classes; ++c) {
        factor[c] = one;
    }
    t->state = PT_STATE_MODEL;
    return PT_OK;
}
