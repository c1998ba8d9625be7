#include "kernels/vector/pt_gradients.h"

#include "kernels/pt_affine_backward.h"

struct pt_gradients pt_gradients;

void pt_affine_gradient_begin(void)
{
    pt_gradients.packed = false;
    pt_gradients.rows = 0;
}
