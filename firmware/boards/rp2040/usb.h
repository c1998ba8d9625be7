/*
 * The RP2040's USB device: a serial port for the link (port 1), and the ways into the boot ROM's
 * USB drive that users know. Without the SDK; descriptors are in usb_descriptors.h.
 *
 * Everything that the host asks is answered by the interrupt, also while a long command runs:
 *
 *   - picotool's requests on the reset interface (picotool reboot [-u] -f, picotool load -f); the
 *     activity LED and the disabled interfaces that wValue may name are not passed on
 *   - the 1200 baud touch: SET_CONTROL_LINE_STATE without DTR while the line coding says 1200,
 *     as when a program opens the port at 1200 baud and closes it. 1200 baud alone does nothing.
 *
 * Both call pt_board_restart, from the interrupt, once the host has taken the status stage.
 *
 * Data of the host waits in one buffer of 64 bytes; until it is taken the controller answers NAK,
 * so nothing is ever lost. Data to the host goes packet by packet from the caller's memory; a short
 * or empty packet ends each call of pt_usb_send, so that a read of the host returns.
 *
 * Errata of the datasheet's appendix B:
 *   RP2040-E2   B0 and B1 cannot abort an endpoint: there a buffer is taken back without, which may
 *               cost a control transfer that the host broke off in the same microseconds. The host
 *               repeats it.
 *   RP2040-E5   B0 and B1 may miss the end of a bus reset behind a hub busy with other devices. Not
 *               worked around: that takes pin GPIO15 and polling for milliseconds after each reset.
 *               Such a board is plugged into the computer directly, or tried again.
 *   RP2040-E15  An IN token late in a frame, garbled by the hub of a Raspberry Pi 4, may hang the
 *               controller. Worked around as far as the SDK does: no data is offered in the last
 *               200 us of a frame. Data offered earlier and control transfers go on.
 *
 * Not told apart are a suspended bus and a pulled plug, since the Pico does not lead VBUS to the
 * controller, and the clocks run on when the bus is suspended.
 */
#ifndef PT_USB_H
#define PT_USB_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Attaches to the bus and lets USBCTRL_IRQ through. The controller is out of reset, clk_usb runs
 * at 48 MHz and TIMER by microseconds. `chip` becomes the serial number.
 */
void pt_usb_start(const uint8_t chip[8]);

/* The handler of USBCTRL_IRQ. It and what it calls must not lie in flash that is being written. */
void pt_usb_interrupt(void);

/* Takes up to `room` bytes that have arrived; returns how many, 0 at once if there are none. */
uint32_t pt_usb_receive(uint8_t *to, uint32_t room);

/*
 * Whether the host has closed the port (DTR off, reset, unplugged) and all that it sent before was
 * received; says so once. Asked before each pt_usb_receive it comes between two clients' bytes.
 */
bool pt_usb_ended(void);

/*
 * Returns when the host has taken all bytes, or has taken none for 500 ms: then the rest is
 * dropped, and what further calls bring is dropped at once until it reads again. Dropped at once is
 * all while no configuration is set or DTR is off. Not from an interrupt.
 */
void pt_usb_send(const uint8_t *from, uint32_t size);

#endif
