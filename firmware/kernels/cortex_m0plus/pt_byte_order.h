/*
 * For the tuned kernels that take a word for the bytes in it: on a big-endian machine they would
 * give other results, and say nothing.
 */
#ifndef PT_BYTE_ORDER_H
#define PT_BYTE_ORDER_H

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "kernels/cortex_m0plus are for little-endian machines; kernels/portable for others");

#endif
