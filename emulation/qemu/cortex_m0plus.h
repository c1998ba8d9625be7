/* Cycles of ARMv6-M instructions on a Cortex-M0+: zero wait states, 1-cycle multiplier. */
#ifndef PICOTRAIN_CORTEX_M0PLUS_H
#define PICOTRAIN_CORTEX_M0PLUS_H

#include <stdbool.h>
#include <stdint.h>

/* Cycles that a B<cond> costs more when it is taken; the table has it as not taken. */
#define M0PLUS_TAKEN_EXTRA 1

/* All functions take the first halfword, which alone decides width, class and cycles. */

/* Width in bytes, 2 or 4. */
unsigned m0plus_width(uint16_t opcode);

/* Cycles for one execution, a B<cond> counted as not taken; 0 where the manual gives no number. */
unsigned m0plus_cycles(uint16_t opcode);

/* Whether it is B<cond>, whose cycles depend on where it goes. */
bool m0plus_is_conditional(uint16_t opcode);

#endif
