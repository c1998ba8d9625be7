/* Cycles of ARMv6-M instructions on a Cortex-M0+: zero wait states, 1-cycle multiplier. */
#ifndef PICOTRAIN_CORTEX_M0PLUS_H
#define PICOTRAIN_CORTEX_M0PLUS_H

#include <stdbool.h>
#include <stdint.h>

/* Cycles that a B<cond> costs more when it is taken; the table has it as not taken. */
#define M0PLUS_TAKEN_EXTRA 1

/* Where an instruction goes, as far as a shadow stack of calls must know. */
enum m0plus_flow {
    M0PLUS_ONWARD, /* to the next instruction, or by B or a computed jump to another */
    M0PLUS_CALL,   /* BL, BLX: links */
    M0PLUS_RETURN, /* BX LR, MOV PC, LR, POP with PC */
    M0PLUS_BX,     /* BX by another register: a return if it goes to a return address, or a jump */
};

/* All functions take the first halfword, which alone decides width, class and cycles. */

/* Width in bytes, 2 or 4. */
unsigned m0plus_width(uint16_t opcode);

/* Cycles for one execution, a B<cond> counted as not taken; 0 where the manual gives no number. */
unsigned m0plus_cycles(uint16_t opcode);

/* Whether it is B<cond>, whose cycles depend on where it goes. */
bool m0plus_is_conditional(uint16_t opcode);

/* `second` is the second halfword (0 if there is none): it tells BL from MRS, MSR and barriers. */
enum m0plus_flow m0plus_flow(uint16_t opcode, uint16_t second);

#endif
