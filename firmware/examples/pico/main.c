/*
 * A Pico that learns over USB or UART, a line for each image:
 *
 *   ? PIXELS       answered by its class, and how sure that is in 128ths: 7 113
 *   LABEL PIXELS   learns it; answered by how far off it was, the loss norm: learned 42
 * PIXELS: two hexadecimal digits each. Other lines are answered by "error: ..." and change nothing.
 */
#include <stdio.h>

#include "model.h"
#include "pico/stdlib.h"
#include "picotrain.h"

#define PIXELS (28u * 28u)
#define MOST (2u * PIXELS + 7u)

PT_ARENA(arena, 96u * 1024u);
static struct pt_trainer trainer;
static struct pt_detail why;
static char line[MOST + 1u];
static uint8_t image[PIXELS];

/* How long the next line is, without its end; what does not fit is counted, but not kept. */
static uint32_t read_line(void)
{
    uint32_t length = 0;
    for (int byte = 0; length == 0 || (byte != '\n' && byte != '\r');) {
        byte = getchar_timeout_us(1000u * 1000u);
        if (byte >= 0 && (length > 0 || (byte != '\n' && byte != '\r'))) {
            line[length < MOST ? length : MOST] = (char)byte;
            ++length;
        }
    }
    return length - 1u;
}

static int digit(char c)
{
    const int small = c | 0x20;
    return c >= '0' && c <= '9' ? c - '0' : small >= 'a' && small <= 'f' ? small - 'a' + 10 : -1;
}

static bool read_image(const char *text, uint32_t length)
{
    bool right = length == 2u * PIXELS;
    for (uint32_t i = 0; right && i < PIXELS; ++i) {
        const int high = digit(text[2u * i]), low = digit(text[2u * i + 1u]);
        right = high >= 0 && low >= 0;
        image[i] = (uint8_t)(high * 16 + low);
    }
    return right;
}

static void answer(uint32_t length)
{
    const bool asked = line[0] == '?';
    uint32_t at = asked ? 1u : 0u, label = 0;
    for (; !asked && at < 3u && line[at] >= '0' && line[at] <= '9'; ++at) {
        label = label * 10u + (uint32_t)(line[at] - '0');
    }
    struct pt_result result;
    if (at == 0 || line[at] != ' ') {
        printf("error: a line is a label or ?, a space, and the pixels\n");
    } else if (!read_image(line + at + 1u, length - at - 1u)) {
        printf("error: the pixels are %u hexadecimal digits\n", (unsigned)(2u * PIXELS));
    } else if (asked) {
        const unsigned prediction = pt_trainer_predict(&trainer, image).prediction;
        printf("%u %u\n", prediction, (unsigned)pt_trainer_confidence(&trainer));
    } else if (pt_trainer_train(&trainer, image, label, &result, &why) != PT_OK) {
        printf("error: label %u is none of the %u\n", (unsigned)label, (unsigned)why.value[2]);
    } else {
        printf("learned %u\n", (unsigned)result.loss_norm);
    }
}

int main(void)
{
    const struct pt_method method = pt_method_of(PT_PRIOT);
    stdio_init_all();
    pt_trainer_reset(&trainer, arena, sizeof arena_words);
    int error = pt_trainer_open_flash(&trainer, pt_network_tinycnn, PT_NETWORK_TINYCNN_SIZE, &why);
    error = error ? error : pt_trainer_method(&trainer, &method, &why);
    while (error) { /* again and again, as nobody listens yet when a Pico starts */
        printf("error: %d of nn/pt_error.h\n", error);
        sleep_ms(1000);
    }
    for (;;) {
        answer(read_line());
    }
}
