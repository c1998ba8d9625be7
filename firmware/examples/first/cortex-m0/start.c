/* From reset to main, and what main returns to the emulator (semihosting, SYS_EXIT_EXTENDED). */
#include <stdint.h>

extern uint32_t data_load[], data_start[], data_end[], bss_start[], bss_end[], stack_end[];

int main(void);
void reset(void);

/* No loop may become memcpy, which is not in SRAM yet. */
__attribute__((optimize("no-tree-loop-distribute-patterns"))) void reset(void)
{
    const uint32_t *from = data_load;
    for (uint32_t *to = data_start; to < data_end; ++to) {
        *to = *from++;
    }
    for (uint32_t *to = bss_start; to < bss_end; ++to) {
        *to = 0;
    }
    const uint32_t exited[2] = {0x20026u, (uint32_t)main()};
    register uint32_t operation __asm__("r0") = 0x20u;
    register const uint32_t *argument __asm__("r1") = exited;
    __asm__ volatile("bkpt 0xab" : : "r"(operation), "r"(argument) : "memory");
    for (;;) {
    }
}

__attribute__((section(".vectors"), used)) static const uintptr_t vectors[16] = {
    (uintptr_t)stack_end,
    (uintptr_t)reset,
};
