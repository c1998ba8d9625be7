/* What the programs of this folder share: a check that names its line, and numbers that repeat. */
#ifndef CHECK_H
#define CHECK_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK(what)                                                                    \
    do {                                                                               \
        if (!(what)) {                                                                 \
            (void)fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #what);   \
            exit(1);                                                                   \
        }                                                                              \
    } while (0)

/* xorshift; *state must not be 0. */
static inline uint32_t draw(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

/* The file in memory that is aligned for a blob. */
static inline uint8_t *read_file(const char *path, uint32_t *size)
{
    FILE *file = fopen(path, "rb");
    CHECK(file != NULL);
    uint8_t *data = aligned_alloc(64, 1 << 20);
    CHECK(data != NULL);
    *size = (uint32_t)fread(data, 1, 1 << 20, file);
    (void)fclose(file);
    return data;
}

#endif
