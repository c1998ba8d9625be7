#include "boards/rp2040/cycles.h"

#include "app/pt_board.h"
#include "boards/rp2040/rp2040.h"

#define WRAP_BITS 24

static uint64_t origin; /* cycles at TIMER's zero, modulo 2^64 */

/* SysTick started at 0 and counts down. */
static uint32_t systick(void)
{
    return (0u - PT_REGISTER(SYST_CVR)) & ((1u << WRAP_BITS) - 1u);
}

static uint64_t timer_cycles(void)
{
    const uint32_t low = PT_REGISTER(TIMELR);
    const uint32_t high = PT_REGISTER(TIMEHR);
    return ((uint64_t)high << 32 | low) * (uint32_t)PT_CLOCK_MHZ;
}

void pt_cycles_start(void)
{
    origin = systick() - timer_cycles();
}

uint64_t pt_board_cycles(void)
{
    const uint32_t count = systick();
    const uint64_t about = timer_cycles() + origin;
    const uint64_t wraps = (about - count + (1u << (WRAP_BITS - 1))) >> WRAP_BITS;
    return (wraps << WRAP_BITS) + count;
}
