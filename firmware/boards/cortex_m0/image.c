#include "app/pt_board.h"
#include "boards/cortex_m0/start.h"

extern const uint8_t pt_image_start[], pt_image_end[];
extern const uint8_t pt_text_end[];

/* CRC-32s: of pt_image_start to pt_image_end, and of pt_code_start to pt_text_end. Written when
 * the image is built (image_crc.py), so the compiler must not believe what stands here. */
__attribute__((section(".image"), used)) const volatile uint32_t pt_image_built[2] = {0, 0};

static uint32_t bytes(const void *start, const void *end)
{
    return (uint32_t)((uintptr_t)end - (uintptr_t)start);
}

struct pt_board_code pt_board_code(void)
{
    const struct pt_board_code code = {
        pt_image_start,
        pt_code_start,
        bytes(pt_image_start, pt_image_end),
        bytes(pt_code_start, pt_text_end),
        pt_image_built[0],
        pt_image_built[1],
    };
    return code;
}
