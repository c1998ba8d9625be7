#include "kernels/pt_maxpool2.h"

#include <stddef.h>

#include "kernels/pt_memory.h"

/* Channels side by side, as many as a machine has at least. */
enum { MANY = 16, FEW = 8 };
typedef int8_t many __attribute__((vector_size(MANY)));
typedef int8_t few __attribute__((vector_size(FEW)));

/* Where the four elements of the windows of a row of outputs lie. */
struct corners {
    uint32_t right;
    uint32_t below;
};

#define CHOOSE(mask, yes, no) (((mask) & (yes)) | (~(mask) & (no)))

/* A vector of channels of one window: forward, and its errors, of which each goes to the first
 * maximum, if that is above `least`. */
#define WINDOW(type)                                                                               \
    static inline type load_##type(const int8_t *from)                                             \
    {                                                                                              \
        type x;                                                                                    \
        __builtin_memcpy(&x, from, sizeof x);                                                      \
        return x;                                                                                  \
    }                                                                                              \
    static inline type larger_##type(type a, type b)                                               \
    {                                                                                              \
        const type mask = a > b;                                                                   \
        return CHOOSE(mask, a, b);                                                                 \
    }                                                                                              \
    static inline type largest_##type(const int8_t *window, const struct corners *to)              \
    {                                                                                              \
        const type above = larger_##type(load_##type(window), load_##type(window + to->right));    \
        const int8_t *second = window + to->below;                                                 \
        return larger_##type(above, larger_##type(load_##type(second),                             \
                                                  load_##type(second + to->right)));               \
    }                                                                                              \
    static inline void pool_##type(const int8_t *window, const struct corners *to, int8_t *output) \
    {                                                                                              \
        const type most = largest_##type(window, to);                                              \
        __builtin_memcpy(output, &most, sizeof most);                                              \
    }                                                                                              \
    static inline void route_##type(const int8_t *window, const struct corners *to,                \
                                    const int8_t *output_error, int8_t least, int8_t *error)       \
    {                                                                                              \
        const uint32_t at[4] = {0, to->right, to->below, to->below + to->right};                   \
        const type most = largest_##type(window, to);                                              \
        type left = load_##type(output_error) & (type)(most > least);                              \
        for (uint32_t k = 0; k < 4u; ++k) {                                                        \
            const type here = load_##type(window + at[k]) == most;                                 \
            const type goes = left & here;                                                         \
            __builtin_memcpy(error + at[k], &goes, sizeof goes);                                   \
            left &= ~here;                                                                         \
        }                                                                                          \
    }

WINDOW(many)
WINDOW(few)

static int8_t largest(const int8_t *window, const struct corners *to)
{
    const int8_t *second = window + to->below;
    const int8_t above = window[0] > window[to->right] ? window[0] : window[to->right];
    const int8_t under = second[0] > second[to->right] ? second[0] : second[to->right];
    return above > under ? above : under;
}

static void route(const int8_t *window, const struct corners *to, int8_t output_error,
                  int8_t least, int8_t *error)
{
    const uint32_t at[4] = {0, to->right, to->below, to->below + to->right};
    const int8_t most = largest(window, to);
    int8_t left = most > least ? output_error : 0;
    for (uint32_t k = 0; k < 4u; ++k) {
        const bool here = window[at[k]] == most;
        error[at[k]] = here ? left : 0;
        left = here ? 0 : left;
    }
}

void pt_maxpool2_forward_s8(const struct pt_shape *shape, const int8_t *input, int8_t *output)
{
    const struct corners to = {shape->in_c, (uint32_t)shape->in_w * shape->in_c};
    for (uint32_t y = 0; y < shape->out_h; ++y) {
        const int8_t *window = input + 2u * y * to.below;
        for (uint32_t x = 0; x < shape->out_w; ++x, window += 2u * to.right) {
            uint32_t c = 0;
            for (; c + MANY <= shape->in_c; c += MANY) {
                pool_many(window + c, &to, output + c);
            }
            if (c + FEW <= shape->in_c) {
                pool_few(window + c, &to, output + c);
                c += FEW;
            }
            for (; c < shape->in_c; ++c) {
                output[c] = largest(window + c, &to);
            }
            output += shape->in_c;
        }
    }
}

void pt_maxpool2_error_s8(const struct pt_shape *shape, const int8_t *input,
                          const int8_t *output_error, bool relu, int8_t *input_error)
{
    const struct corners to = {shape->in_c, (uint32_t)shape->in_w * shape->in_c};
    const int8_t least = relu ? 0 : INT8_MIN;
    if (shape->in_h % 2u != 0u || shape->in_w % 2u != 0u) {
        memset(input_error, 0, pt_shape_in_size(shape)); /* what no window has */
    }
    for (uint32_t y = 0; y < shape->out_h; ++y) {
        uint32_t at = 2u * y * to.below;
        for (uint32_t x = 0; x < shape->out_w; ++x, at += 2u * to.right) {
            const int8_t *window = input + at;
            int8_t *error = input_error + at;
            uint32_t c = 0;
            for (; c + MANY <= shape->in_c; c += MANY) {
                route_many(window + c, &to, output_error + c, least, error + c);
            }
            if (c + FEW <= shape->in_c) {
                route_few(window + c, &to, output_error + c, least, error + c);
                c += FEW;
            }
            for (; c < shape->in_c; ++c) {
                route(window + c, &to, output_error[c], least, error + c);
            }
            output_error += shape->in_c;
        }
    }
}
