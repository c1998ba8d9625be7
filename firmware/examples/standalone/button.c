#include "examples/standalone/button.h"

bool pt_button_look(struct pt_button *button, bool held, uint32_t now)
{
    const uint32_t since = now - button->looked;
    const uint32_t before = button->held_us;
    button->looked = now;
    if (!held || !button->held) {
        button->held = held;
        button->held_us = 0;
        return false;
    }
    if (before < PT_BUTTON_HELD_US) {
        button->held_us += since < PT_BUTTON_GAP_US ? since : PT_BUTTON_GAP_US;
    }
    return before < PT_BUTTON_HELD_US && button->held_us >= PT_BUTTON_HELD_US;
}
