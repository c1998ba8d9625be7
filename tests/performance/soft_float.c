/*
 * A training step of tinycnn as one writes it first: float32, nested loops over plain arrays, batch
 * 1, softmax and cross entropy, gradient descent. On a Cortex-M0+ every addition and multiplication
 * is a call into libgcc. With SKIP_ZEROS products with an activation or error of 0 are left out.
 *
 * `network.h`, which yardsticks.py writes, has the image, its label and the weights of the shipped
 * network. `picotrain cycles --from step --to stepped` counts the step, `--to predicted` its
 * forward pass. Its weights alone are 208 KB: it runs on QEMU's machine with more SRAM.
 */
#include <stdint.h>

#include "network.h"

#ifdef SKIP_ZEROS
#define IS_LEFT_OUT(x) ((x) == 0.0f)
#else
#define IS_LEFT_OUT(x) ((void)(x), 0)
#endif

#define RATE 0.01f

enum { SIDE_1 = 28, SIDE_2 = 14, SIDE_3 = 7, FIRST = 8, SECOND = 16, HIDDEN = 64, CLASSES = 10 };
enum { FLAT = SIDE_3 * SIDE_3 * SECOND };

static float weights_1[FIRST * 9], weights_2[SECOND * 9 * FIRST];
static float weights_3[HIDDEN * FLAT], weights_4[CLASSES * HIDDEN];

static float input[SIDE_1 * SIDE_1];
static float map_1[SIDE_1 * SIDE_1 * FIRST], pooled_1[SIDE_2 * SIDE_2 * FIRST];
static float map_2[SIDE_2 * SIDE_2 * SECOND], pooled_2[FLAT];
static float hidden[HIDDEN], logits[CLASSES];

static float error_logits[CLASSES], error_hidden[HIDDEN], error_pooled_2[FLAT];
static float error_map_2[SIDE_2 * SIDE_2 * SECOND], error_pooled_1[SIDE_2 * SIDE_2 * FIRST];
static float error_map_1[SIDE_1 * SIDE_1 * FIRST];

/* Layout [row][column][channel], weights [output][row][column][input], 3x3, padding 1, ReLU. */
static void convolve(const float *in, int side, int from, const float *weights, float *out, int to)
{
    for (int y = 0; y < side; y++) {
        for (int x = 0; x < side; x++) {
            for (int c = 0; c < to; c++) {
                float sum = 0.0f;
                for (int ky = 0; ky < 3; ky++) {
                    for (int kx = 0; kx < 3; kx++) {
                        int row = y + ky - 1, column = x + kx - 1;
                        if (row < 0 || row >= side || column < 0 || column >= side) {
                            continue;
                        }
                        const float *a = &in[(row * side + column) * from];
                        const float *w = &weights[((c * 3 + ky) * 3 + kx) * from];
                        for (int i = 0; i < from; i++) {
                            if (!IS_LEFT_OUT(a[i])) {
                                sum += a[i] * w[i];
                            }
                        }
                    }
                }
                out[(y * side + x) * to + c] = sum > 0.0f ? sum : 0.0f;
            }
        }
    }
}

/* The input's error, unless `error_in` is NULL, and the weights' step. */
static void convolve_back(const float *in, int side, int from, float *weights, const float *error,
                          int to, float *error_in)
{
    if (error_in) {
        for (int i = 0; i < side * side * from; i++) {
            error_in[i] = 0.0f;
        }
        for (int y = 0; y < side; y++) {
            for (int x = 0; x < side; x++) {
                for (int c = 0; c < to; c++) {
                    float e = error[(y * side + x) * to + c];
                    if (IS_LEFT_OUT(e)) {
                        continue;
                    }
                    for (int ky = 0; ky < 3; ky++) {
                        for (int kx = 0; kx < 3; kx++) {
                            int row = y + ky - 1, column = x + kx - 1;
                            if (row < 0 || row >= side || column < 0 || column >= side) {
                                continue;
                            }
                            float *out = &error_in[(row * side + column) * from];
                            const float *w = &weights[((c * 3 + ky) * 3 + kx) * from];
                            for (int i = 0; i < from; i++) {
                                out[i] += e * w[i];
                            }
                        }
                    }
                }
            }
        }
    }
    for (int c = 0; c < to; c++) {
        for (int ky = 0; ky < 3; ky++) {
            for (int kx = 0; kx < 3; kx++) {
                for (int i = 0; i < from; i++) {
                    float gradient = 0.0f;
                    for (int y = 0; y < side; y++) {
                        int row = y + ky - 1;
                        for (int x = 0; x < side && row >= 0 && row < side; x++) {
                            int column = x + kx - 1;
                            if (column < 0 || column >= side) {
                                continue;
                            }
                            float e = error[(y * side + x) * to + c];
                            if (!IS_LEFT_OUT(e)) {
                                gradient += e * in[(row * side + column) * from + i];
                            }
                        }
                    }
                    weights[((c * 3 + ky) * 3 + kx) * from + i] -= RATE * gradient;
                }
            }
        }
    }
}

static void pool(const float *in, int side, int channels, float *out)
{
    for (int y = 0; y < side / 2; y++) {
        for (int x = 0; x < side / 2; x++) {
            for (int c = 0; c < channels; c++) {
                float most = in[(2 * y * side + 2 * x) * channels + c];
                for (int at = 1; at < 4; at++) {
                    int row = 2 * y + at / 2, column = 2 * x + at % 2;
                    float value = in[(row * side + column) * channels + c];
                    most = value > most ? value : most;
                }
                out[(y * (side / 2) + x) * channels + c] = most;
            }
        }
    }
}

/* To the first place that has the maximum; where that is 0, ReLU lets nothing through. */
static void pool_back(const float *in, int side, int channels, const float *pooled,
                      const float *error, float *error_in)
{
    for (int i = 0; i < side * side * channels; i++) {
        error_in[i] = 0.0f;
    }
    for (int y = 0; y < side / 2; y++) {
        for (int x = 0; x < side / 2; x++) {
            for (int c = 0; c < channels; c++) {
                int from = (y * (side / 2) + x) * channels + c;
                for (int at = 0; at < 4 && pooled[from] > 0.0f; at++) {
                    int to = ((2 * y + at / 2) * side + 2 * x + at % 2) * channels + c;
                    if (in[to] == pooled[from]) {
                        error_in[to] = error[from];
                        break;
                    }
                }
            }
        }
    }
}

static void connect(const float *in, int from, const float *weights, float *out, int to)
{
    for (int o = 0; o < to; o++) {
        float sum = 0.0f;
        for (int i = 0; i < from; i++) {
            if (!IS_LEFT_OUT(in[i])) {
                sum += in[i] * weights[o * from + i];
            }
        }
        out[o] = sum;
    }
}

static void connect_back(const float *in, int from, float *weights, const float *error, int to,
                         float *error_in)
{
    for (int i = 0; i < from; i++) {
        error_in[i] = 0.0f;
    }
    for (int o = 0; o < to; o++) {
        if (IS_LEFT_OUT(error[o])) {
            continue;
        }
        for (int i = 0; i < from; i++) {
            error_in[i] += error[o] * weights[o * from + i];
        }
        for (int i = 0; i < from; i++) {
            if (!IS_LEFT_OUT(in[i])) {
                weights[o * from + i] -= RATE * error[o] * in[i];
            }
        }
    }
}

/* For x <= 0: halved until the series is exact enough, and squared as often. */
static float exponential(float x)
{
    int halvings = 0;
    for (; x < -0.125f && halvings < 10; halvings++) {
        x *= 0.5f;
    }
    float result = 1.0f + x * (1.0f + x * (0.5f + x * (0.16666667f + x * 0.041666668f)));
    for (; halvings > 0; halvings--) {
        result *= result;
    }
    return result;
}

static void softmax_error(int label)
{
    float most = logits[0], sum = 0.0f;
    for (int i = 1; i < CLASSES; i++) {
        most = logits[i] > most ? logits[i] : most;
    }
    for (int i = 0; i < CLASSES; i++) {
        error_logits[i] = exponential(logits[i] - most);
        sum += error_logits[i];
    }
    for (int i = 0; i < CLASSES; i++) {
        error_logits[i] = error_logits[i] / sum - (i == label ? 1.0f : 0.0f);
    }
}

__attribute__((noinline)) void predicted(void)
{
    __asm__ volatile("");
}

__attribute__((noinline)) void stepped(void)
{
    __asm__ volatile("");
}

__attribute__((noinline)) void step(int label)
{
    convolve(input, SIDE_1, 1, weights_1, map_1, FIRST);
    pool(map_1, SIDE_1, FIRST, pooled_1);
    convolve(pooled_1, SIDE_2, FIRST, weights_2, map_2, SECOND);
    pool(map_2, SIDE_2, SECOND, pooled_2);
    connect(pooled_2, FLAT, weights_3, hidden, HIDDEN);
    for (int i = 0; i < HIDDEN; i++) {
        hidden[i] = hidden[i] > 0.0f ? hidden[i] : 0.0f;
    }
    connect(hidden, HIDDEN, weights_4, logits, CLASSES);
    predicted();

    softmax_error(label);
    connect_back(hidden, HIDDEN, weights_4, error_logits, CLASSES, error_hidden);
    for (int i = 0; i < HIDDEN; i++) {
        error_hidden[i] = hidden[i] > 0.0f ? error_hidden[i] : 0.0f;
    }
    connect_back(pooled_2, FLAT, weights_3, error_hidden, HIDDEN, error_pooled_2);
    pool_back(map_2, SIDE_2, SECOND, pooled_2, error_pooled_2, error_map_2);
    convolve_back(pooled_1, SIDE_2, FIRST, weights_2, error_map_2, SECOND, error_pooled_1);
    pool_back(map_1, SIDE_1, FIRST, pooled_1, error_pooled_1, error_map_1);
    convolve_back(input, SIDE_1, 1, weights_1, error_map_1, FIRST, (float *)0);
}

static void scaled(float *to, const int8_t *from, unsigned count, float scale)
{
    for (unsigned i = 0; i < count; i++) {
        to[i] = (float)from[i] * scale;
    }
}

__attribute__((used, noreturn)) static void start(void)
{
    scaled(weights_1, network_1, sizeof network_1, NETWORK_SCALE_1);
    scaled(weights_2, network_2, sizeof network_2, NETWORK_SCALE_2);
    scaled(weights_3, network_3, sizeof network_3, NETWORK_SCALE_3);
    scaled(weights_4, network_4, sizeof network_4, NETWORK_SCALE_4);
    for (int i = 0; i < SIDE_1 * SIDE_1; i++) {
        input[i] = (float)network_image[i] * (1.0f / 128.0f);
    }
    step(network_label);
    stepped();
    for (;;) {
    }
}

extern uint8_t stack_end[];
__attribute__((section(".vectors"), used)) static void *const vectors[] = {stack_end, start};
