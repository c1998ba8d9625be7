/* What the example calls of pico-sdk, by its names. */
#ifndef STAND_IN_PICO_STDLIB_H
#define STAND_IN_PICO_STDLIB_H

#include <stdbool.h>
#include <stdint.h>

#if __STDC_HOSTED__
#include <stdio.h>
#include <stdlib.h>

static inline bool stdio_init_all(void)
{
    return true;
}

/* Every other time nothing has come yet; at the end of the input the program ends. */
static inline int getchar_timeout_us(uint32_t timeout)
{
    static uint32_t called;
    if (timeout != 0 && ++called % 2u == 0) {
        return -1;
    }
    const int byte = getchar();
    if (byte == EOF) {
        exit(0);
    }
    return byte;
}

static inline void sleep_ms(uint32_t milliseconds)
{
    exit(milliseconds != 0);
}
#else
bool stdio_init_all(void);
int getchar_timeout_us(uint32_t timeout);
void sleep_ms(uint32_t milliseconds);
#endif

#endif
