#include "boards/rp2040/usb_descriptors.h"

#include <stddef.h>

#define U16(value) (uint8_t)((value) & 0xff), (uint8_t)((value) >> 8)
#define U32(value) U16((value) & 0xffff), U16((value) >> 16)

enum descriptor {
    DEVICE = 0x01,
    CONFIGURATION = 0x02,
    STRING = 0x03,
    INTERFACE = 0x04,
    ENDPOINT = 0x05,
    INTERFACE_ASSOCIATION = 0x0b,
    BOS = 0x0f,
    DEVICE_CAPABILITY = 0x10,
    CS_INTERFACE = 0x24,
};

enum string {
    LANGUAGES = 0,
    MANUFACTURER = 1,
    PRODUCT = 2,
    SERIAL = 3,
    LINK = 4,
    RESET = 5,
    STRINGS = 6,
};

enum {
    CONFIGURATION_SIZE = 9 + 8 + (9 + 5 + 5 + 4 + 5 + 7) + (9 + 7 + 7) + 9,
    BOS_SIZE = 5 + 28,
    MS_OS_20_PROPERTY = 8 + 42 + 2 + 80,
    MS_OS_20_FUNCTION = 8 + 20 + MS_OS_20_PROPERTY,
    MS_OS_20_SIZE = 10 + 8 + MS_OS_20_FUNCTION,
    STRING_LETTERS = 16,
};

/* USB 2.1 is the least that has a BOS. The class is of devices with interface associations. */
static const uint8_t device[] = {
    18, DEVICE, U16(0x0210), 0xef, 2, 1, PT_USB_PACKET,
    U16(0x2e8a), U16(0x000a), U16(0x0100), MANUFACTURER, PRODUCT, SERIAL, 1,
};

static const uint8_t configuration[] = {
    9, CONFIGURATION, U16(CONFIGURATION_SIZE), PT_USB_INTERFACES, PT_USB_CONFIGURATION, 0,
    0x80, 250 / 2, /* powered by the bus, 250 mA */

    /* Interfaces 0 and 1 are one function. */
    8, INTERFACE_ASSOCIATION, PT_USB_INTERFACE_NOTIFY, 2, 0x02, 0x02, 0, LINK,

    9, INTERFACE, PT_USB_INTERFACE_NOTIFY, 0, 1, 0x02, 0x02, 0, LINK,
    5, CS_INTERFACE, 0x00, U16(0x0110),               /* header: CDC 1.1 */
    5, CS_INTERFACE, 0x01, 0, PT_USB_INTERFACE_DATA,  /* call management: none */
    4, CS_INTERFACE, 0x02, 0x06,                      /* ACM: line coding and state, break */
    5, CS_INTERFACE, 0x06, PT_USB_INTERFACE_NOTIFY, PT_USB_INTERFACE_DATA, /* union */
    7, ENDPOINT, 0x81, 3, U16(PT_USB_NOTIFICATION), 16,

    9, INTERFACE, PT_USB_INTERFACE_DATA, 0, 2, 0x0a, 0, 0, 0,
    7, ENDPOINT, 0x02, 2, U16(PT_USB_PACKET), 0,
    7, ENDPOINT, 0x82, 2, U16(PT_USB_PACKET), 0,

    9, INTERFACE, PT_USB_INTERFACE_RESET, 0, 0, 0xff, 0x00, 0x01, RESET,
};
_Static_assert(sizeof configuration == CONFIGURATION_SIZE, "wTotalLength");

/* One capability of type platform: {d8dd60df-4589-4cc7-9cd2-659d9e648a9f}, Microsoft OS 2.0. */
static const uint8_t bos[] = {
    5, BOS, U16(BOS_SIZE), 1,
    28, DEVICE_CAPABILITY, 5, 0,
    0xdf, 0x60, 0xdd, 0xd8, 0x89, 0x45, 0xc7, 0x4c,
    0x9c, 0xd2, 0x65, 0x9d, 0x9e, 0x64, 0x8a, 0x9f,
    U32(0x06030000), U16(MS_OS_20_SIZE), PT_USB_VENDOR_CODE, 0, /* since Windows 8.1 */
};
_Static_assert(sizeof bos == BOS_SIZE, "wTotalLength");

static const uint8_t ms_os_20[] = {
    U16(10), U16(0), U32(0x06030000), U16(MS_OS_20_SIZE),                /* set */
    U16(8), U16(1), 0, 0, U16(8 + MS_OS_20_FUNCTION),                    /* first configuration */
    U16(8), U16(2), PT_USB_INTERFACE_RESET, 0, U16(MS_OS_20_FUNCTION),   /* function */
    U16(20), U16(3), 'W', 'I', 'N', 'U', 'S', 'B', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* its driver */
    U16(MS_OS_20_PROPERTY), U16(4), U16(7), U16(42), /* its interface for libusb, a list of one */
    'D', 0, 'e', 0, 'v', 0, 'i', 0, 'c', 0, 'e', 0, 'I', 0, 'n', 0, 't', 0, 'e', 0, 'r', 0,
    'f', 0, 'a', 0, 'c', 0, 'e', 0, 'G', 0, 'U', 0, 'I', 0, 'D', 0, 's', 0, 0, 0,
    U16(80),
    '{', 0, 'b', 0, 'e', 0, 'a', 0, 'a', 0, 'e', 0, '4', 0, 'd', 0, 'f', 0, '-', 0,
    '9', 0, '0', 0, 'a', 0, '8', 0, '-', 0, '4', 0, '9', 0, '8', 0, '2', 0, '-', 0,
    'a', 0, '5', 0, '6', 0, '3', 0, '-', 0, '3', 0, 'd', 0, 'f', 0, '0', 0, '2', 0,
    '6', 0, 'c', 0, '1', 0, 'a', 0, '9', 0, '2', 0, 'c', 0, '}', 0, 0, 0, 0, 0,
};
_Static_assert(sizeof ms_os_20 == MS_OS_20_SIZE, "wTotalLength");

static const char *const strings[STRINGS] = {
    [MANUFACTURER] = "picotrain",
    [PRODUCT] = "picotrain device",
    [LINK] = "serial link",
    [RESET] = "reset",
};

static char serial[STRING_LETTERS + 1];
static uint8_t string[2 + 2 * STRING_LETTERS];

void pt_usb_descriptors_start(const uint8_t chip[8])
{
    for (uint32_t i = 0; i < STRING_LETTERS; ++i) {
        serial[i] = "0123456789ABCDEF"[(chip[i / 2] >> (i % 2 == 0 ? 4 : 0)) & 0xf];
    }
}

/* Of ASCII letters, UTF-16. */
static struct pt_usb_bytes string_descriptor(const char *text)
{
    uint32_t size = 2;
    for (; *text != '\0' && size < sizeof string; ++text) {
        string[size++] = (uint8_t)*text;
        string[size++] = 0;
    }
    string[0] = (uint8_t)size;
    string[1] = STRING;
    return (struct pt_usb_bytes){string, size};
}

struct pt_usb_bytes pt_usb_descriptor(uint32_t type, uint32_t index)
{
    static const uint8_t languages[] = {4, STRING, U16(0x0409)}; /* English only */
    if (type == STRING && index < STRINGS) {
        return index == LANGUAGES ? (struct pt_usb_bytes){languages, sizeof languages}
                                  : string_descriptor(index == SERIAL ? serial : strings[index]);
    }
    if (index == 0) {
        switch (type) {
        case DEVICE:
            return (struct pt_usb_bytes){device, sizeof device};
        case CONFIGURATION:
            return (struct pt_usb_bytes){configuration, sizeof configuration};
        case BOS:
            return (struct pt_usb_bytes){bos, sizeof bos};
        default: /* no device qualifier: a device of full speed only has none */
            break;
        }
    }
    return (struct pt_usb_bytes){NULL, 0};
}

struct pt_usb_bytes pt_usb_ms_os_20(void)
{
    return (struct pt_usb_bytes){ms_os_20, sizeof ms_os_20};
}
