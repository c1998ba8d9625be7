#include "boards/rp2040/usb.h"

#include <stdbool.h>

#include "app/pt_board.h"
#include "boards/rp2040/usb_descriptors.h"
#include "boards/rp2040/usb_registers.h"

/* One direction of one endpoint; the numbers are those of usb_registers.h. */
enum side {
    EP0_IN = 0,
    EP0_OUT = 1,
    NOTIFY = 2,
    DATA_IN = 4,
    DATA_OUT = 5,
    SIDES = 6,
};

enum {
    NOTIFY_BUFFER = USB_FREE_BUFFERS,
    DATA_IN_BUFFER = NOTIFY_BUFFER + PT_USB_PACKET,
    DATA_OUT_BUFFER = DATA_IN_BUFFER + PT_USB_PACKET,
};

enum {
    SEND_US = 500000,    /* pt_usb_send waits so long for the host to take a packet */
    FRAME_US = 1200,     /* a frame, and some: if none begins in this time, the bus has none */
    FRAME_SAFE_US = 790, /* of a frame; RP2040-E15 asks for 800, and copying takes a few */
    FRAMES_WATCHED = 4,  /* after the last packet of data */
    ABORT_POLLS = 1000,  /* more than the 50 us that a packet takes */
};

/* Chapter 9 of USB 2.0 */
enum {
    TYPE_BITS = 0x60,
    TYPE_STANDARD = 0x00,
    TYPE_CLASS = 0x20,
    TYPE_VENDOR = 0x40,
    RECIPIENT_BITS = 0x1f,
    TO_DEVICE = 0,
    TO_INTERFACE = 1,
    TO_ENDPOINT = 2,
    ENDPOINT_HALT = 0, /* the only feature that this device has */
};

/* bRequest, and the direction from bmRequestType: no request exists in both. */
enum { TO_HOST = 0x80 << 8 };
enum standard_request {
    GET_STATUS = TO_HOST | 0,
    CLEAR_FEATURE = 1,
    SET_FEATURE = 3,
    SET_ADDRESS = 5,
    GET_DESCRIPTOR = TO_HOST | 6,
    GET_CONFIGURATION = TO_HOST | 8,
    SET_CONFIGURATION = 9,
    GET_INTERFACE = TO_HOST | 10,
    SET_INTERFACE = 11,
};

/* USB CDC, PSTN 1.2 */
enum cdc_request {
    SET_LINE_CODING = 0x20,
    GET_LINE_CODING = TO_HOST | 0x21,
    SET_CONTROL_LINE_STATE = 0x22,
    SEND_BREAK = 0x23,
};
enum {
    LINE_CODING_SIZE = 7, /* bits a second (4 bytes), stop bits, parity, data bits */
    LINE_STATE_DTR = 1,
    TOUCH_BAUD = 1200,
};

/* picotool; class requests of the reset interface */
enum reset_request {
    RESET_BOOTSEL = 1,
    RESET_FLASH = 2,
};

struct setup {
    uint32_t type;    /* bmRequestType */
    uint32_t request; /* bRequest and TO_HOST */
    uint32_t value;
    uint32_t index;
    uint32_t length;
};

enum stage {
    IDLE,
    ANSWERING, /* the data goes to the host; its empty packet is the status */
    READING,   /* the data comes from the host */
    STATUS,    /* our empty packet is the status */
};

/* What the device does once the host has taken the status stage. */
enum afterwards {
    NOTHING,
    TAKE_ADDRESS,
    RESTART_PROGRAM,
    RESTART_BOOTSEL,
};

/* The main program reads and writes these with the interrupt off, or reads one word. */
static struct {
    volatile bool armed; /* the controller has the buffer, or has it again after a halt */
    bool halted;
    uint32_t buffer; /* its length, and FULL */
    uint32_t toggle; /* DATA1 of the next packet */
} sides[SIDES];

static struct {
    enum stage stage;
    enum afterwards afterwards;
    uint32_t address;
    const uint8_t *from;
    uint32_t left;
    bool ends_empty;
    uint8_t reply[2];
} control;

static struct {
    bool configured;
    volatile bool dtr; /* off while not configured */
    uint8_t line_coding[LINE_CODING_SIZE];
    uint32_t arrived; /* bytes in the buffer DATA_OUT ... */
    uint32_t taken;   /* ... and how many of them the program has */
    bool ended;       /* the host closed the port ... */
    uint32_t before;  /* ... and so many bytes of the buffer are of before that */
} port;

static struct {
    volatile uint32_t began; /* us */
    volatile bool seen;      /* since the last bus reset */
    uint32_t left;           /* to watch */
} frame;

static const uint8_t default_line_coding[LINE_CODING_SIZE] = {0x00, 0xc2, 0x01, 0x00, 0, 0, 8};

static uint32_t interrupts_off(void)
{
    uint32_t primask;
    __asm__ volatile("mrs %0, primask\n\tcpsid i" : "=r"(primask) : : "memory");
    return primask;
}

static void interrupts_restore(uint32_t primask)
{
    __asm__ volatile("msr primask, %0" : : "r"(primask) : "memory");
}

static uint32_t now(void)
{
    return PT_REGISTER(TIMERAWL);
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static volatile uint8_t *dpram(uint32_t offset)
{
    return (volatile uint8_t *)(uintptr_t)(USB_DPRAM + offset);
}

static void copy_in(uint32_t offset, const uint8_t *from, uint32_t size)
{
    volatile uint8_t *to = dpram(offset);
    for (uint32_t i = 0; i < size; ++i) {
        to[i] = from[i];
    }
}

static void copy_out(uint8_t *to, uint32_t offset, uint32_t size)
{
    const volatile uint8_t *from = dpram(offset);
    for (uint32_t i = 0; i < size; ++i) {
        to[i] = from[i];
    }
}

/* Buffers */

/*
 * The controller looks at a buffer control by its own clock, so AVAILABLE follows when it has seen
 * the rest: 4.1.2.5.1 asks for a cycle of 48 MHz, 5 of ours at 200 MHz; 12 also suffice at the
 * highest speed that anyone runs this chip at.
 */
static void offer(enum side side)
{
    const uint32_t value = sides[side].buffer | sides[side].toggle;
    PT_REGISTER(USB_BUFFER_CONTROL(side)) = value;
    __asm__ volatile("nop\n\tnop\n\tnop\n\tnop\n\tnop\n\tnop\n\t"
                     "nop\n\tnop\n\tnop\n\tnop\n\tnop\n\tnop" ::: "memory");
    PT_REGISTER(USB_BUFFER_CONTROL(side)) = value | USB_BUFFER_AVAILABLE;
    sides[side].toggle ^= USB_BUFFER_DATA1;
}

/* Gives the buffer to the controller; a halted side once it is not halted any more. */
static void arm(enum side side, uint32_t buffer)
{
    sides[side].buffer = buffer;
    sides[side].armed = true;
    if (!sides[side].halted) {
        offer(side);
    }
}

static bool can_abort(void)
{
    return PT_REGISTER(SYSINFO_CHIP_ID) >> SYSINFO_CHIP_ID_REVISION_LSB >= 2u; /* RP2040-E2 */
}

/*
 * Takes a buffer back from the controller. Returns false when the host has used it meanwhile, which
 * BUFF_STATUS tells; then nothing is changed.
 */
static bool withdraw(enum side side)
{
    const uint32_t bit = 1u << side;
    const bool abort = can_abort();
    if (abort) {
        PT_REGISTER(USB_EP_ABORT + PT_ALIAS_SET) = bit;
        for (uint32_t i = 0; i < ABORT_POLLS; ++i) {
            if (PT_REGISTER(USB_EP_ABORT_DONE) & bit) {
                break;
            }
        }
    }
    const bool ours = (PT_REGISTER(USB_BUFF_STATUS) & bit) == 0u;
    if (ours) {
        PT_REGISTER(USB_BUFFER_CONTROL(side)) = 0;
    }
    if (abort) {
        PT_REGISTER(USB_EP_ABORT + PT_ALIAS_CLEAR) = bit;
        PT_REGISTER(USB_EP_ABORT_DONE) = bit;
    }
    return ours;
}

/* The side as after a reset; a packet that the host has used unseen is forgotten. */
static void clear_side(enum side side, uint32_t toggle)
{
    if (sides[side].armed) {
        withdraw(side);
    }
    PT_REGISTER(USB_BUFFER_CONTROL(side)) = 0;
    PT_REGISTER(USB_BUFF_STATUS) = 1u << side;
    sides[side].armed = false;
    sides[side].halted = false;
    sides[side].toggle = toggle;
}

/* Endpoint 0 */

static void expect_setup(void)
{
    clear_side(EP0_IN, USB_BUFFER_DATA1);
    clear_side(EP0_OUT, USB_BUFFER_DATA1);
    control.stage = IDLE;
    control.afterwards = NOTHING;
}

/* Until the next SETUP, which ends it by itself. */
static void stall(void)
{
    control.stage = IDLE;
    PT_REGISTER(USB_EP_STALL_ARM) = USB_EP_STALL_ARM_EP0_IN | USB_EP_STALL_ARM_EP0_OUT;
    PT_REGISTER(USB_BUFFER_CONTROL(EP0_IN)) = USB_BUFFER_STALL;
    PT_REGISTER(USB_BUFFER_CONTROL(EP0_OUT)) = USB_BUFFER_STALL;
}

static void send_status(void)
{
    control.stage = STATUS;
    arm(EP0_IN, USB_BUFFER_FULL);
}

static void send_status_and(enum afterwards afterwards)
{
    control.afterwards = afterwards;
    send_status();
}

static void answer_on(void)
{
    const uint32_t size = smaller(control.left, PT_USB_PACKET);
    copy_in(USB_EP0_BUFFER, control.from, size);
    control.from += size;
    control.left -= size;
    if (size < PT_USB_PACKET) {
        control.ends_empty = false;
    }
    arm(EP0_IN, size | USB_BUFFER_FULL);
}

/* The host may end its reading early, so its status is awaited from the beginning. */
static void answer(const struct setup *setup, const uint8_t *from, uint32_t size)
{
    if (setup->length == 0u) { /* there is no data stage */
        send_status();
        return;
    }
    control.stage = ANSWERING;
    control.from = from;
    control.left = smaller(size, setup->length);
    control.ends_empty = size < setup->length;
    arm(EP0_OUT, 0);
    answer_on();
}

static void ep0_in_done(void)
{
    if (control.stage == ANSWERING) {
        if (control.left != 0u || control.ends_empty) {
            answer_on();
        }
        return;
    }
    if (control.stage != STATUS) {
        return;
    }
    control.stage = IDLE;
    switch (control.afterwards) {
    case TAKE_ADDRESS:
        PT_REGISTER(USB_ADDR_ENDP) = control.address;
        break;
    case RESTART_PROGRAM:
        pt_board_restart(PT_RESTART_PROGRAM);
        break;
    case RESTART_BOOTSEL:
        pt_board_restart(PT_RESTART_BOOTSEL);
        break;
    case NOTHING:
        break;
    }
}

static void ep0_out_done(uint32_t size)
{
    if (control.stage == ANSWERING) {
        expect_setup();
    } else if (control.stage == READING) { /* SET_LINE_CODING: nothing else has data */
        if (size != LINE_CODING_SIZE) {
            stall();
            return;
        }
        copy_out(port.line_coding, USB_EP0_BUFFER, size);
        send_status();
    }
}

/* Data */

static void watch_frames(void)
{
    frame.left = FRAMES_WATCHED;
    if ((PT_REGISTER(USB_INTE) & USB_INT_DEV_SOF) == 0u) {
        (void)PT_REGISTER(USB_SOF_RD); /* else one of long ago would seem to begin now */
        PT_REGISTER(USB_INTE + PT_ALIAS_SET) = USB_INT_DEV_SOF;
    }
}

static void frame_began(void)
{
    frame.began = now();
    (void)PT_REGISTER(USB_SOF_RD);
    frame.seen = true;
    if (frame.left == 0u) {
        PT_REGISTER(USB_INTE + PT_ALIAS_CLEAR) = USB_INT_DEV_SOF;
    } else {
        frame.left -= 1u;
    }
}

static void data_out_done(uint32_t size)
{
    watch_frames(); /* an answer will follow */
    if (size == 0u) {
        arm(DATA_OUT, PT_USB_PACKET);
    }
    port.arrived = size;
}

static void buffers_done(void)
{
    const uint32_t done = PT_REGISTER(USB_BUFF_STATUS);
    PT_REGISTER(USB_BUFF_STATUS) = done;
    for (enum side side = EP0_IN; side < SIDES; ++side) {
        if ((done >> side & 1u) == 0u || !sides[side].armed) {
            continue;
        }
        const uint32_t size = PT_REGISTER(USB_BUFFER_CONTROL(side)) & USB_BUFFER_LENGTH;
        sides[side].armed = false;
        if (side == EP0_IN) {
            ep0_in_done();
        } else if (side == EP0_OUT) {
            ep0_out_done(size);
        } else if (side == DATA_OUT) {
            data_out_done(size);
        }
    }
}

static void halt(enum side side)
{
    sides[side].halted = true;
    if (sides[side].armed && !withdraw(side)) {
        buffers_done();
    }
    PT_REGISTER(USB_BUFFER_CONTROL(side)) = USB_BUFFER_STALL;
}

/* Also without a halt before: then only the data toggle begins anew. No packet is lost. */
static void end_halt(enum side side)
{
    halt(side);
    PT_REGISTER(USB_BUFFER_CONTROL(side)) = 0;
    sides[side].halted = false;
    sides[side].toggle = 0;
    if (sides[side].armed) {
        offer(side);
    }
}

static void set_dtr(bool on)
{
    if (port.dtr && !on) {
        port.ended = true;
        port.before = port.arrived - port.taken;
    }
    port.dtr = on;
}

/* On or off: nothing is left of an earlier configuration. */
static void configure(bool on)
{
    const uint32_t each = USB_EP_CONTROL_ENABLE | USB_EP_CONTROL_INTERRUPT_PER_BUFF;
    PT_REGISTER(USB_EP_CONTROL(NOTIFY)) =
        on ? each | USB_EP_CONTROL_TYPE_INTERRUPT | NOTIFY_BUFFER : 0u;
    PT_REGISTER(USB_EP_CONTROL(DATA_IN)) =
        on ? each | USB_EP_CONTROL_TYPE_BULK | DATA_IN_BUFFER : 0u;
    PT_REGISTER(USB_EP_CONTROL(DATA_OUT)) =
        on ? each | USB_EP_CONTROL_TYPE_BULK | DATA_OUT_BUFFER : 0u;
    clear_side(NOTIFY, 0);
    clear_side(DATA_IN, 0);
    clear_side(DATA_OUT, 0);
    port.configured = on;
    port.arrived = 0;
    port.taken = 0;
    port.before = 0;
    set_dtr(false);
    if (on) {
        watch_frames();
        arm(DATA_OUT, PT_USB_PACKET);
    }
}

/* Requests. Each of these functions returns false if there is no such request: it stalls. */

static bool find_side(uint32_t index, enum side *side)
{
    const uint32_t found = 2u * (index & 0xfu) + ((index & 0x80u) == 0u ? 1u : 0u);
    if ((index & ~0x8fu) != 0u || found >= SIDES || found == NOTIFY + 1u) {
        return false;
    }
    *side = (enum side)found;
    return true;
}

static bool request_of_device(const struct setup *setup)
{
    switch (setup->request) {
    case GET_STATUS:
        control.reply[0] = 0; /* powered by the bus, wakes nobody */
        control.reply[1] = 0;
        answer(setup, control.reply, 2);
        return true;
    case SET_ADDRESS:
        if (setup->value > 127u) {
            return false;
        }
        control.address = setup->value;
        send_status_and(TAKE_ADDRESS);
        return true;
    case GET_DESCRIPTOR: {
        const uint32_t value = setup->value;
        const struct pt_usb_bytes bytes = pt_usb_descriptor(value >> 8, value & 0xffu);
        if (bytes.size == 0u) {
            return false;
        }
        answer(setup, bytes.from, bytes.size);
        return true;
    }
    case GET_CONFIGURATION:
        control.reply[0] = port.configured ? PT_USB_CONFIGURATION : 0;
        answer(setup, control.reply, 1);
        return true;
    case SET_CONFIGURATION:
        if (setup->value > PT_USB_CONFIGURATION) {
            return false;
        }
        configure(setup->value == PT_USB_CONFIGURATION);
        send_status();
        return true;
    default:
        return false;
    }
}

static bool request_of_interface(const struct setup *setup)
{
    if (!port.configured || setup->index >= PT_USB_INTERFACES) {
        return false;
    }
    switch (setup->request) {
    case GET_STATUS:
        control.reply[0] = 0;
        control.reply[1] = 0;
        answer(setup, control.reply, 2);
        return true;
    case GET_INTERFACE:
        control.reply[0] = 0;
        answer(setup, control.reply, 1);
        return true;
    case SET_INTERFACE: /* no interface has an alternate setting but 0 */
        if (setup->value != 0u) {
            return false;
        }
        if (setup->index == PT_USB_INTERFACE_NOTIFY) {
            end_halt(NOTIFY);
        } else if (setup->index == PT_USB_INTERFACE_DATA) {
            end_halt(DATA_IN);
            end_halt(DATA_OUT);
        }
        send_status();
        return true;
    default:
        return false;
    }
}

static bool request_of_endpoint(const struct setup *setup)
{
    enum side side;
    if (!find_side(setup->index, &side) || (side > EP0_OUT && !port.configured)) {
        return false;
    }
    switch (setup->request) {
    case GET_STATUS:
        control.reply[0] = sides[side].halted;
        control.reply[1] = 0;
        answer(setup, control.reply, 2);
        return true;
    case CLEAR_FEATURE:
    case SET_FEATURE:
        if (setup->value != ENDPOINT_HALT) {
            return false;
        }
        if (side > EP0_OUT && setup->request == SET_FEATURE) {
            halt(side);
        } else if (side > EP0_OUT) {
            end_halt(side);
        }
        send_status();
        return true;
    default:
        return false;
    }
}

static bool request_of_port(const struct setup *setup)
{
    switch (setup->request) {
    case SET_LINE_CODING:
        if (setup->length != LINE_CODING_SIZE) {
            return false;
        }
        control.stage = READING;
        arm(EP0_OUT, PT_USB_PACKET);
        return true;
    case GET_LINE_CODING:
        answer(setup, port.line_coding, LINE_CODING_SIZE);
        return true;
    case SET_CONTROL_LINE_STATE: {
        const uint8_t *baud = port.line_coding;
        const bool touch = (baud[0] | baud[1] << 8 | baud[2] << 16) == TOUCH_BAUD && baud[3] == 0u;
        set_dtr((setup->value & LINE_STATE_DTR) != 0u);
        send_status_and(touch && !port.dtr ? RESTART_BOOTSEL : NOTHING);
        return true;
    }
    case SEND_BREAK: /* there is no line to break */
        send_status();
        return true;
    default:
        return false;
    }
}

static bool request_of_reset(const struct setup *setup)
{
    switch (setup->request) {
    case RESET_BOOTSEL:
        send_status_and(RESTART_BOOTSEL);
        return true;
    case RESET_FLASH:
        send_status_and(RESTART_PROGRAM);
        return true;
    default:
        return false;
    }
}

static bool standard_request(const struct setup *setup)
{
    switch (setup->type & RECIPIENT_BITS) {
    case TO_DEVICE:
        return request_of_device(setup);
    case TO_INTERFACE:
        return request_of_interface(setup);
    case TO_ENDPOINT:
        return request_of_endpoint(setup);
    default:
        return false;
    }
}

/* By interface, whatever recipient the host writes: some name the device. */
static bool class_request(const struct setup *setup)
{
    if (!port.configured) {
        return false;
    }
    if (setup->index == PT_USB_INTERFACE_NOTIFY) {
        return request_of_port(setup);
    }
    return setup->index == PT_USB_INTERFACE_RESET && request_of_reset(setup);
}

static bool vendor_request(const struct setup *setup)
{
    if (setup->request != (TO_HOST | PT_USB_VENDOR_CODE) || setup->index != PT_USB_MS_OS_20_INDEX) {
        return false;
    }
    const struct pt_usb_bytes bytes = pt_usb_ms_os_20();
    answer(setup, bytes.from, bytes.size);
    return true;
}

static bool carry_out(const struct setup *setup)
{
    const uint32_t type = setup->type & TYPE_BITS;
    const bool reads = (setup->request & TO_HOST) == 0u && setup->length != 0u;
    if (reads && !(type == TYPE_CLASS && setup->request == SET_LINE_CODING)) {
        return false; /* data for a request that has none */
    }
    switch (type) {
    case TYPE_STANDARD:
        return standard_request(setup);
    case TYPE_CLASS:
        return class_request(setup);
    case TYPE_VENDOR:
        return vendor_request(setup);
    default:
        return false;
    }
}

static void setup_received(void)
{
    /* Before the packet is read, so that one which overwrites it meanwhile is seen. */
    PT_REGISTER(USB_SIE_STATUS) = USB_SIE_STATUS_SETUP_REC;
    expect_setup();

    const uint32_t low = PT_REGISTER(USB_SETUP_PACKET);
    const uint32_t high = PT_REGISTER(USB_SETUP_PACKET + 4u);
    const struct setup setup = {
        .type = low & 0xffu,
        .request = (low >> 8 & 0xffu) | (low << 8 & TO_HOST),
        .value = low >> 16,
        .index = high & 0xffffu,
        .length = high >> 16,
    };
    if (!carry_out(&setup)) {
        stall();
    }
}

static void bus_reset(void)
{
    PT_REGISTER(USB_ADDR_ENDP) = 0;
    expect_setup();
    configure(false);
    for (uint32_t i = 0; i < LINE_CODING_SIZE; ++i) {
        port.line_coding[i] = default_line_coding[i];
    }
    frame.seen = false;
    PT_REGISTER(USB_SIE_STATUS) = USB_SIE_STATUS_BUS_RESET;
}

void pt_usb_interrupt(void)
{
    if (PT_REGISTER(USB_INTS) & USB_INT_DEV_SOF) {
        frame_began();
    }
    if (PT_REGISTER(USB_INTS) & USB_INT_BUS_RESET) {
        bus_reset();
    }
    /* Of the transfer before the SETUP. */
    if (PT_REGISTER(USB_INTS) & USB_INT_BUFF_STATUS) {
        buffers_done();
    }
    if (PT_REGISTER(USB_INTS) & USB_INT_SETUP_REQ) {
        setup_received();
    }
}

void pt_usb_start(const uint8_t chip[8])
{
    pt_usb_descriptors_start(chip);
    for (uint32_t offset = 0; offset < USB_DPRAM_SIZE; offset += 4u) {
        PT_REGISTER(USB_DPRAM + offset) = 0;
    }
    PT_REGISTER(USB_USB_MUXING) = USB_USB_MUXING_TO_PHY | USB_USB_MUXING_SOFTCON;
    /* The Pico's VBUS does not lead to the controller. */
    PT_REGISTER(USB_USB_PWR) = USB_USB_PWR_VBUS_DETECT | USB_USB_PWR_VBUS_DETECT_OVERRIDE_EN;
    PT_REGISTER(USB_MAIN_CTRL) = USB_MAIN_CTRL_CONTROLLER_EN;
    PT_REGISTER(USB_INTE) = USB_INT_BUFF_STATUS | USB_INT_BUS_RESET | USB_INT_SETUP_REQ;
    PT_REGISTER(NVIC_ISER) = 1u << USBCTRL_IRQ;
    PT_REGISTER(USB_SIE_CTRL) = USB_SIE_CTRL_EP0_INT_1BUF | USB_SIE_CTRL_PULLUP_EN;
}

uint32_t pt_usb_receive(uint8_t *to, uint32_t room)
{
    const uint32_t primask = interrupts_off();
    const uint32_t size = smaller(room, port.arrived - port.taken);
    copy_out(to, DATA_OUT_BUFFER + port.taken, size);
    port.taken += size;
    port.before -= smaller(port.before, size);
    if (port.arrived != 0u && port.taken == port.arrived) {
        port.arrived = 0;
        port.taken = 0;
        arm(DATA_OUT, PT_USB_PACKET);
    }
    interrupts_restore(primask);
    return size;
}

bool pt_usb_ended(void)
{
    const uint32_t primask = interrupts_off();
    const bool ended = port.ended && port.before == 0u;
    port.ended = port.ended && !ended;
    interrupts_restore(primask);
    return ended;
}

/* RP2040-E15. A bus on which no frame begins in `waited` us is not waited for. */
static bool late_in_frame(uint32_t waited)
{
    return frame.seen && now() - frame.began >= FRAME_SAFE_US && waited < FRAME_US;
}

/* Returns false if nobody listens or the host did not even take the packet before. */
static bool offer_data(const uint8_t *from, uint32_t size)
{
    const uint32_t start = now();
    for (;;) {
        const uint32_t primask = interrupts_off();
        const bool possible = port.dtr && !sides[DATA_IN].armed;
        const bool early = possible && !late_in_frame(now() - start);
        if (possible) {
            watch_frames();
        }
        if (early) {
            copy_in(DATA_IN_BUFFER, from, size);
            arm(DATA_IN, size | USB_BUFFER_FULL);
        }
        interrupts_restore(primask);
        if (early || !possible) {
            return early;
        }
    }
}

static bool taken(void)
{
    const uint32_t start = now();
    while (sides[DATA_IN].armed) {
        if (!port.dtr || now() - start >= SEND_US) {
            return false;
        }
    }
    return true;
}

void pt_usb_send(const uint8_t *from, uint32_t size)
{
    if (size == 0u) {
        return;
    }
    uint32_t part;
    do {
        part = smaller(size, PT_USB_PACKET);
        if (!offer_data(from, part) || !taken()) {
            return;
        }
        from += part;
        size -= part;
    } while (part == PT_USB_PACKET);
}
