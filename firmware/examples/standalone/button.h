/*
 * A button that has to be held, as a program sees it that looks at it between other work.
 *
 * Between two looks nobody knows whether it was held all the time. So the time counts only from one
 * look that saw it held to the next, and of a long work no more than PT_BUTTON_GAP: a short press
 * behind an erase of flash is a short press.
 */
#ifndef PT_BUTTON_H
#define PT_BUTTON_H

#include <stdbool.h>
#include <stdint.h>

enum { PT_BUTTON_HELD_US = 3000000, PT_BUTTON_GAP_US = 500000 };

/* Zero at first. */
struct pt_button {
    uint32_t looked; /* us */
    uint32_t held_us;
    bool held;
};

/* What a look at `now` (us, which may wrap) saw. -> whether it has just been held long enough:
 * once, until it was seen let go. */
bool pt_button_look(struct pt_button *button, bool held, uint32_t now);

#endif
