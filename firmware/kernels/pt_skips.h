/*
 * Terms that are zero may be left out of a sum (docs/numerics.md, section 10). Built with
 * PT_SKIP_ZEROS=0 nothing is left out, so that the cost of the worst input can be measured; the
 * results are the same.
 */
#ifndef PT_SKIPS_H
#define PT_SKIPS_H

#ifndef PT_SKIP_ZEROS
#define PT_SKIP_ZEROS 1
#endif

#endif
