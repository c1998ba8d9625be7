/*
 * In place of boards/rp2040/usb_descriptors.c: descriptors of any length, of which the device has
 * none that fills its last packet. The type is the length over 16, the index the rest.
 */
#include "boards/rp2040/usb_descriptors.h"

static uint8_t bytes[0x400];

void pt_usb_descriptors_start(const uint8_t chip[8])
{
    for (uint32_t i = 0; i < sizeof bytes; ++i) {
        bytes[i] = (uint8_t)(i * 7u + (i >> 8) + chip[0]);
    }
}

struct pt_usb_bytes pt_usb_descriptor(uint32_t type, uint32_t index)
{
    return (struct pt_usb_bytes){bytes, 16u * type + index};
}

struct pt_usb_bytes pt_usb_ms_os_20(void)
{
    return (struct pt_usb_bytes){bytes, 0};
}
