/*
 * What a Pico has for people: the LED on GP25, and the button BOOTSEL.
 *
 * The button pulls the flash's select line low (datasheet 2.8.1.1), so it can be read only while
 * that line is let go and nothing comes from flash: from SRAM, with interrupts off for some 25 us.
 */
#ifndef PT_PANEL_H
#define PT_PANEL_H

#include <stdbool.h>

/* Off at first. After pt_board_start. */
void pt_led_start(void);
void pt_led_set(bool on);

/* Whether BOOTSEL is held down now. */
bool pt_button_held(void);

#endif
