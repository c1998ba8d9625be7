/*
 * The yardstick of `make host-speed`: tinycnn as one writes it first, in plain nested loops over
 * plain arrays, with the numerics of docs/numerics.md. It shares no code with the firmware.
 *
 *   naive JOB-FILE RESULT-FILE
 *
 * The job is `struct job`, the weights and scores of all layers, the images and a label for each.
 * The result is the seconds that the images took (processor time, double), a prediction for each
 * image (uint8), and the weights and scores as they are then.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SIDE = 28, HALF = 14, QUARTER = 7, C1 = 8, C2 = 16, HIDDEN = 64, CLASSES = 10, KERNEL = 3 };
enum { FLAT = QUARTER * QUARTER * C2, PAD = KERNEL / 2 };
enum method { INFER, NITI_STATIC, PRIOT };
enum { LAYERS = 4, MOST_ROW = FLAT };

struct job {
    int32_t method;
    int32_t images;
    int32_t exponent; /* of the logits, -6..-1 */
    int32_t threshold;
    int32_t mu;
    int32_t forward_shift[LAYERS];
    int32_t error_shift[LAYERS];
    int32_t bits[LAYERS]; /* of the gradient, or of the scores */
};

struct state {
    int8_t conv1[C1][KERNEL][KERNEL][1];
    int8_t conv2[C2][KERNEL][KERNEL][C1];
    int8_t linear1[HIDDEN][FLAT];
    int8_t linear2[CLASSES][HIDDEN];
};

static struct job job;
static struct state weights;
static struct state scores;
static struct state masked; /* the weights that take part */

static int8_t input[SIDE][SIDE][1];
static int8_t map1[SIDE][SIDE][C1];
static int8_t pool1[HALF][HALF][C1];
static int8_t map2[HALF][HALF][C2];
static int8_t pool2[QUARTER][QUARTER][C2];
static int8_t hidden[HIDDEN];
static int8_t logits[CLASSES];
static int8_t d_map1[SIDE][SIDE][C1];
static int8_t d_pool1[HALF][HALF][C1];
static int8_t d_map2[HALF][HALF][C2];
static int8_t d_pool2[QUARTER][QUARTER][C2];
static int8_t d_hidden[HIDDEN];
static int8_t d_logits[CLASSES];

static int32_t round_shift(int32_t x, int32_t shift)
{
    return shift == 0 ? x : (x + (1 << (shift - 1))) >> shift;
}

static int8_t clamp(int32_t x, int32_t least)
{
    return (int8_t)(x < least ? least : x > 127 ? 127 : x);
}

static void convolve(int side, int from, int to, const int8_t *in, const int8_t *w, int32_t shift,
                     int8_t *out)
{
    for (int y = 0; y < side; ++y) {
        for (int x = 0; x < side; ++x) {
            for (int o = 0; o < to; ++o) {
                int32_t sum = 0;
                for (int ky = 0; ky < KERNEL; ++ky) {
                    for (int kx = 0; kx < KERNEL; ++kx) {
                        const int iy = y + ky - PAD;
                        const int ix = x + kx - PAD;
                        if (iy < 0 || iy >= side || ix < 0 || ix >= side) {
                            continue;
                        }
                        for (int i = 0; i < from; ++i) {
                            sum += in[(iy * side + ix) * from + i] *
                                   w[((o * KERNEL + ky) * KERNEL + kx) * from + i];
                        }
                    }
                }
                out[(y * side + x) * to + o] = clamp(round_shift(sum, shift), 0);
            }
        }
    }
}

static void pool(int side, int channels, const int8_t *in, int8_t *out)
{
    for (int y = 0; y < side / 2; ++y) {
        for (int x = 0; x < side / 2; ++x) {
            for (int c = 0; c < channels; ++c) {
                int8_t most = -128;
                for (int k = 0; k < 4; ++k) {
                    const int8_t a = in[((2 * y + k / 2) * side + 2 * x + k % 2) * channels + c];
                    most = a > most ? a : most;
                }
                out[(y * (side / 2) + x) * channels + c] = most;
            }
        }
    }
}

static void multiply(int from, int to, const int8_t *in, const int8_t *w, int32_t shift,
                     int32_t least, int8_t *out)
{
    for (int o = 0; o < to; ++o) {
        int32_t sum = 0;
        for (int i = 0; i < from; ++i) {
            sum += in[i] * w[o * from + i];
        }
        out[o] = clamp(round_shift(sum, shift), least);
    }
}

static int forward(const uint8_t *image)
{
    const struct state *w = &weights;
    if (job.method == PRIOT) {
        const int8_t *from = (const int8_t *)&weights;
        const int8_t *score = (const int8_t *)&scores;
        for (size_t i = 0; i < sizeof weights; ++i) {
            ((int8_t *)&masked)[i] = score[i] >= job.threshold ? from[i] : 0;
        }
        w = &masked;
    }
    for (int i = 0; i < SIDE * SIDE; ++i) {
        (&input[0][0][0])[i] = (int8_t)(image[i] >> 1);
    }
    convolve(SIDE, 1, C1, &input[0][0][0], &w->conv1[0][0][0][0], job.forward_shift[0],
             &map1[0][0][0]);
    pool(SIDE, C1, &map1[0][0][0], &pool1[0][0][0]);
    convolve(HALF, C1, C2, &pool1[0][0][0], &w->conv2[0][0][0][0], job.forward_shift[1],
             &map2[0][0][0]);
    pool(HALF, C2, &map2[0][0][0], &pool2[0][0][0]);
    multiply(FLAT, HIDDEN, &pool2[0][0][0], &w->linear1[0][0], job.forward_shift[2], 0, hidden);
    multiply(HIDDEN, CLASSES, hidden, &w->linear2[0][0], job.forward_shift[3], -127, logits);
    int best = 0;
    for (int i = 1; i < CLASSES; ++i) {
        best = logits[i] > logits[best] ? i : best;
    }
    return best;
}

/* Integer cross-entropy by powers of two; returns the sum of the errors' magnitudes. */
static int32_t loss(int best, int label)
{
    int32_t power[CLASSES];
    int32_t sum = 0;
    int32_t total = 0;
    int32_t norm = 0;
    const int32_t most = ((logits[best] * 47274) >> 15) >> -job.exponent;
    for (int i = 0; i < CLASSES; ++i) {
        const int32_t z = (((logits[i] * 47274) >> 15) >> -job.exponent) - most + 10;
        power[i] = z > 0 ? (1 << z) - 1 : 0;
        sum += power[i];
    }
    for (int i = 0; i < CLASSES; ++i) {
        power[i] = (power[i] << 11) / sum;
        total += power[i];
    }
    power[label] -= total;
    for (int i = 0; i < CLASSES; ++i) {
        d_logits[i] = clamp(round_shift(power[i], 4), -127);
        norm += abs(d_logits[i]);
    }
    return norm;
}

/* The error of a layer's input, where `in` is that input behind a ReLU. */
static void finish(int count, const int32_t *sums, int32_t shift, const int8_t *in, int8_t *d_in)
{
    for (int i = 0; i < count; ++i) {
        d_in[i] = in[i] == 0 ? 0 : clamp(round_shift(sums[i], shift), -127);
    }
}

static void multiply_error(int from, int to, const int8_t *d_out, const int8_t *w, int32_t shift,
                           const int8_t *in, int8_t *d_in)
{
    static int32_t sums[FLAT];
    memset(sums, 0, sizeof sums);
    for (int o = 0; o < to; ++o) {
        for (int i = 0; i < from; ++i) {
            sums[i] += d_out[o] * w[o * from + i];
        }
    }
    finish(from, sums, shift, in, d_in);
}

static void convolve_error(int side, int from, int to, const int8_t *d_out, const int8_t *w,
                           int32_t shift, const int8_t *in, int8_t *d_in)
{
    static int32_t sums[HALF * HALF * C1];
    memset(sums, 0, sizeof sums);
    for (int y = 0; y < side; ++y) {
        for (int x = 0; x < side; ++x) {
            for (int o = 0; o < to; ++o) {
                const int32_t d = d_out[(y * side + x) * to + o];
                for (int ky = 0; ky < KERNEL; ++ky) {
                    for (int kx = 0; kx < KERNEL; ++kx) {
                        const int iy = y + ky - PAD;
                        const int ix = x + kx - PAD;
                        if (d == 0 || iy < 0 || iy >= side || ix < 0 || ix >= side) {
                            continue;
                        }
                        for (int i = 0; i < from; ++i) {
                            sums[(iy * side + ix) * from + i] +=
                                d * w[((o * KERNEL + ky) * KERNEL + kx) * from + i];
                        }
                    }
                }
            }
        }
    }
    finish(side * side * from, sums, shift, in, d_in);
}

/* Each error goes to the first maximum of its window, and through the ReLU behind it. */
static void pool_error(int side, int channels, const int8_t *in, const int8_t *d_out, int8_t *d_in)
{
    memset(d_in, 0, (size_t)(side * side * channels));
    for (int y = 0; y < side / 2; ++y) {
        for (int x = 0; x < side / 2; ++x) {
            for (int c = 0; c < channels; ++c) {
                int first = 0;
                int8_t most = -128;
                for (int k = 0; k < 4; ++k) {
                    const int at = ((2 * y + k / 2) * side + 2 * x + k % 2) * channels + c;
                    if (in[at] > most) {
                        most = in[at];
                        first = at;
                    }
                }
                d_in[first] = most == 0 ? 0 : d_out[(y * (side / 2) + x) * channels + c];
            }
        }
    }
}

/* Pseudo-stochastic rounding. */
static int32_t psto(int32_t x, uint32_t shift)
{
    const uint32_t magnitude = (uint32_t)abs(x);
    const uint32_t half = shift / 2;
    const uint32_t fraction = magnitude & ((1u << shift) - 1u);
    const uint32_t chance = (fraction & ((1u << half) - 1u)) << shift % 2;
    const int32_t rounded = (int32_t)((magnitude >> shift) + (fraction >> half > chance));
    return x < 0 ? -rounded : rounded;
}

static void update(int layer, int count, const int32_t *gradient, int8_t *w, int8_t *score)
{
    const int32_t difference = job.bits[layer] - job.mu;
    const uint32_t shift = difference < 0 ? 0u : difference > 31 ? 31u : (uint32_t)difference;
    for (int i = 0; i < count; ++i) {
        if (job.method == PRIOT) {
            score[i] = clamp(score[i] - clamp(psto(gradient[i] * w[i], shift), -127), -127);
        } else {
            w[i] = clamp(w[i] - clamp(psto(gradient[i], shift), -127), -127);
        }
    }
}

static void multiply_update(int layer, int from, int to, const int8_t *in, const int8_t *d_out,
                            int8_t *w, int8_t *score)
{
    static int32_t gradient[FLAT];
    for (int o = 0; o < to; ++o) {
        for (int i = 0; i < from; ++i) {
            gradient[i] = d_out[o] * in[i];
        }
        update(layer, from, gradient, w + o * from, score + o * from);
    }
}

static void convolve_update(int layer, int side, int from, int to, const int8_t *in,
                            const int8_t *d_out, int8_t *w, int8_t *score)
{
    static int32_t gradient[C2 * KERNEL * KERNEL * C1];
    memset(gradient, 0, sizeof gradient);
    for (int y = 0; y < side; ++y) {
        for (int x = 0; x < side; ++x) {
            for (int o = 0; o < to; ++o) {
                const int32_t d = d_out[(y * side + x) * to + o];
                for (int ky = 0; ky < KERNEL; ++ky) {
                    for (int kx = 0; kx < KERNEL; ++kx) {
                        const int iy = y + ky - PAD;
                        const int ix = x + kx - PAD;
                        if (d == 0 || iy < 0 || iy >= side || ix < 0 || ix >= side) {
                            continue;
                        }
                        for (int i = 0; i < from; ++i) {
                            gradient[((o * KERNEL + ky) * KERNEL + kx) * from + i] +=
                                d * in[(iy * side + ix) * from + i];
                        }
                    }
                }
            }
        }
    }
    update(layer, to * KERNEL * KERNEL * from, gradient, w, score);
}

static void backward(void)
{
    const struct state *w = job.method == PRIOT ? &masked : &weights;
    multiply_error(HIDDEN, CLASSES, d_logits, &w->linear2[0][0], job.error_shift[3], hidden,
                   d_hidden);
    multiply_update(3, HIDDEN, CLASSES, hidden, d_logits, &weights.linear2[0][0],
                    &scores.linear2[0][0]);
    multiply_error(FLAT, HIDDEN, d_hidden, &w->linear1[0][0], job.error_shift[2],
                   &pool2[0][0][0], &d_pool2[0][0][0]);
    multiply_update(2, FLAT, HIDDEN, &pool2[0][0][0], d_hidden, &weights.linear1[0][0],
                    &scores.linear1[0][0]);
    pool_error(HALF, C2, &map2[0][0][0], &d_pool2[0][0][0], &d_map2[0][0][0]);
    convolve_error(HALF, C1, C2, &d_map2[0][0][0], &w->conv2[0][0][0][0], job.error_shift[1],
                   &pool1[0][0][0], &d_pool1[0][0][0]);
    convolve_update(1, HALF, C1, C2, &pool1[0][0][0], &d_map2[0][0][0],
                    &weights.conv2[0][0][0][0], &scores.conv2[0][0][0][0]);
    pool_error(SIDE, C1, &map1[0][0][0], &d_pool1[0][0][0], &d_map1[0][0][0]);
    convolve_update(0, SIDE, 1, C1, &input[0][0][0], &d_map1[0][0][0],
                    &weights.conv1[0][0][0][0], &scores.conv1[0][0][0][0]);
}

static void run(const uint8_t *images, const uint8_t *labels, uint8_t *predictions)
{
    for (int i = 0; i < job.images; ++i, images += SIDE * SIDE) {
        const int best = forward(images);
        predictions[i] = (uint8_t)best;
        if (job.method != INFER && loss(best, labels[i]) != 0) {
            backward();
        }
    }
}

static void exchange(size_t done, size_t wanted, const char *what)
{
    if (done != wanted) {
        (void)fprintf(stderr, "naive: %s is too short\n", what);
        exit(EXIT_FAILURE);
    }
}

int main(int argc, char **argv)
{
    FILE *from = argc == 3 ? fopen(argv[1], "rb") : NULL;
    FILE *to = from == NULL ? NULL : fopen(argv[2], "wb");
    if (to == NULL) {
        (void)fprintf(stderr, "usage: %s JOB-FILE RESULT-FILE\n", argv[0]);
        return EXIT_FAILURE;
    }
    exchange(fread(&job, sizeof job, 1, from), 1, argv[1]);
    exchange(fread(&weights, sizeof weights, 1, from), 1, argv[1]);
    exchange(fread(&scores, sizeof scores, 1, from), 1, argv[1]);
    const size_t count = (size_t)job.images;
    uint8_t *images = malloc(count * (SIDE * SIDE + 2u) + 1u);
    uint8_t *labels = images + count * SIDE * SIDE;
    uint8_t *predictions = labels + count;
    exchange(images == NULL ? 0 : fread(images, SIDE * SIDE + 1u, count, from), count, argv[1]);
    const clock_t start = clock();
    run(images, labels, predictions);
    const double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    exchange(fwrite(&seconds, sizeof seconds, 1, to), 1, argv[2]);
    exchange(fwrite(predictions, 1, count, to), count, argv[2]);
    exchange(fwrite(&weights, sizeof weights, 1, to), 1, argv[2]);
    exchange(fwrite(&scores, sizeof scores, 1, to), 1, argv[2]);
    (void)fclose(from);
    free(images);
    return fclose(to) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
