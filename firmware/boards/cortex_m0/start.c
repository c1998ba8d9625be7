#include "boards/cortex_m0/start.h"

#include "app/pt_image.h"

#define STACK_PAINT 0xa5a5a5a5u

uint32_t pt_board_stack_used(void)
{
    const uint32_t *word = pt_stack_start;
    while (word < pt_stack_end && *word == STACK_PAINT) {
        ++word;
    }
    return (uint32_t)((uintptr_t)pt_stack_end - (uintptr_t)word);
}

/* Runs from flash before SRAM has any code, so it must not call the library's memcpy. */
__attribute__((section(".startup"), optimize("no-tree-loop-distribute-patterns"))) void
pt_reset(void)
{
    const uint32_t *from = pt_code_load;
    for (uint32_t *to = pt_code_start; to < pt_code_end; ++to) {
        *to = *from++;
    }
    for (uint32_t *to = pt_bss_start; to < pt_bss_end; ++to) {
        *to = 0;
    }
    volatile uint32_t *paint = pt_stack_start;
    const uint32_t *here = __builtin_frame_address(0);
    while (paint + 16 < here) {
        *paint++ = STACK_PAINT;
    }
    const struct pt_board_code code = pt_board_code();
    const struct pt_image image = pt_image_of(&code);
    if (!pt_image_whole(&image, &code)) {
        pt_image_damaged();
    }
    pt_board_run();
}
