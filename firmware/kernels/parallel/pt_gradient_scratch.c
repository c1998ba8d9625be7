#include "kernels/parallel/pt_gradient_scratch.h"

struct begin {
    void (*alone)(const struct pt_shape *shape, const int8_t *input, const int8_t *error,
                  void *scratch);
    const struct pt_shape *shape;
    const int8_t *input;
    const int8_t *error;
    void *scratch[2];
};

static uint32_t half_begin(const void *argument, uint32_t core)
{
    const struct begin *job = argument;
    job->alone(job->shape, job->input, job->error, job->scratch[core]);
    return 0;
}

void pt_gradient_begin(void (*alone)(const struct pt_shape *shape, const int8_t *input,
                                     const int8_t *error, void *scratch),
                       uint32_t kernel, const struct pt_shape *shape, const int8_t *input,
                       const int8_t *error, void *scratch)
{
    const struct begin job = {
        alone, shape, input, error, {scratch, pt_gradient_scratch(shape, kernel)},
    };
    if (pt_gradient_shared(shape, kernel)) {
        pt_share(half_begin, &job);
    } else {
        alone(shape, input, error, scratch);
    }
}
