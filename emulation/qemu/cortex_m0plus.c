/* The table of ARM DDI 0484C, section 3.3 (Cortex-M0+ instruction set summary). */
#include "cortex_m0plus.h"

#include <stddef.h>

/* What the N of "1 + N" counts in the opcode. */
enum list {
    NO_LIST,
    LIST_8, /* bits 0 to 7: r0 to r7 */
    LIST_9, /* bits 0 to 8: r0 to r7, and LR in PUSH or PC in POP */
};

struct row {
    uint16_t mask;
    uint16_t value;
    uint8_t cycles;
    uint8_t list;
};

/* The first row that matches counts, so an exception stands before the rule. */
static const struct row table[] = {
    /* Data processing and moves. */
    {0xff87, 0x4487, 2, NO_LIST}, /* ADD PC, Rm */
    {0xff87, 0x4687, 2, NO_LIST}, /* MOV PC, Rm */
    {0xff00, 0x4700, 2, NO_LIST}, /* BX, BLX Rm */
    {0xc000, 0x0000, 1, NO_LIST}, /* LSL LSR ASR ADD SUB MOV CMP, registers and immediates */
    {0xf800, 0x4000, 1, NO_LIST}, /* AND EOR ADC SBC ROR TST RSB CMN ORR MULS BIC MVN; high regs */
    {0xf000, 0xa000, 1, NO_LIST}, /* ADR; ADD Rd, SP, #imm */
    {0xff00, 0xb000, 1, NO_LIST}, /* ADD, SUB SP, SP, #imm */
    {0xff00, 0xb200, 1, NO_LIST}, /* SXTH SXTB UXTH UXTB */
    {0xff00, 0xba00, 1, NO_LIST}, /* REV REV16 REVSH */
    /* Loads and stores. */
    {0xf800, 0x4800, 2, NO_LIST}, /* LDR Rt, [PC, #imm] */
    {0xf000, 0x5000, 2, NO_LIST}, /* STR STRH STRB LDRSB LDR LDRH LDRB LDRSH, register offset */
    {0xe000, 0x6000, 2, NO_LIST}, /* STR LDR STRB LDRB, immediate offset */
    {0xe000, 0x8000, 2, NO_LIST}, /* STRH LDRH; STR LDR [SP, #imm] */
    {0xf000, 0xc000, 1, LIST_8},  /* STM, LDM */
    {0xfe00, 0xb400, 1, LIST_9},  /* PUSH */
    {0xff00, 0xbd00, 3, LIST_9},  /* POP with PC */
    {0xff00, 0xbc00, 1, LIST_9},  /* POP */
    /* Branches. */
    {0xff00, 0xde00, 0, NO_LIST},  /* UDF: faults */
    {0xff00, 0xdf00, 15, NO_LIST}, /* SVC: the exception entry */
    {0xf000, 0xd000, 1, NO_LIST},  /* B<cond>, not taken */
    {0xf800, 0xe000, 2, NO_LIST},  /* B */
    {0xf800, 0xf000, 3, NO_LIST},  /* BL; MRS MSR; DSB DMB ISB: all that is 32 bits wide */
    /* State and hints. */
    {0xffe8, 0xb660, 1, NO_LIST}, /* CPSIE, CPSID */
    {0xffff, 0xbf20, 2, NO_LIST}, /* WFE, without the time asleep */
    {0xffff, 0xbf30, 2, NO_LIST}, /* WFI, without the time asleep */
    {0xff00, 0xbf00, 1, NO_LIST}, /* NOP YIELD SEV */
};

/* Ones in the low nine bits. */
static unsigned count_registers(unsigned bits)
{
    unsigned n = 0;
    for (; bits; bits &= bits - 1) {
        n++;
    }
    return n;
}

unsigned m0plus_width(uint16_t opcode)
{
    return (opcode >> 11) >= 0x1d ? 4 : 2;
}

unsigned m0plus_cycles(uint16_t opcode)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const struct row *row = &table[i];
        if ((opcode & row->mask) != row->value) {
            continue;
        }
        switch (row->list) {
        case LIST_8:
            return row->cycles + count_registers(opcode & 0xffu);
        case LIST_9:
            return row->cycles + count_registers(opcode & 0x1ffu);
        default:
            return row->cycles;
        }
    }
    return 0;
}

bool m0plus_is_conditional(uint16_t opcode)
{
    return (opcode & 0xf000) == 0xd000 && (opcode & 0x0e00) != 0x0e00;
}

enum m0plus_flow m0plus_flow(uint16_t opcode, uint16_t second)
{
    if ((opcode & 0xf800) == 0xf000) {
        return (second & 0xd000) == 0xd000 ? M0PLUS_CALL : M0PLUS_ONWARD;
    }
    if ((opcode & 0xff80) == 0x4780) {
        return M0PLUS_CALL;
    }
    if ((opcode & 0xfff8) == 0x4770 || opcode == 0x46f7 || (opcode & 0xff00) == 0xbd00) {
        return M0PLUS_RETURN;
    }
    return (opcode & 0xff80) == 0x4700 ? M0PLUS_BX : M0PLUS_ONWARD;
}
