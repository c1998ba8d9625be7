#include "boards/rp2040/uart.h"

#include "app/pt_link.h"
#include "boards/rp2040/rp2040.h"

enum { RING = 2048, POLLS = 200000 };

_Static_assert((RING & (RING - 1)) == 0, "indices run freely");
_Static_assert(RING > PT_LINK_FRAME + PT_LINK_FRAME / 254 + 3, "a frame fits");

static uint8_t ring[RING];
static volatile uint32_t written; /* by the interrupt */
static volatile uint32_t taken;   /* by the program */

void pt_uart_start(void)
{
    /* Divisor in 1/64, rounded: clk_peri / (16 * baud). */
    const uint32_t divisor = (8u * 1000000u * PT_CLOCK_MHZ / PT_UART_BAUD + 1u) / 2u;
    PT_REGISTER(UARTIBRD) = divisor >> 6;
    PT_REGISTER(UARTFBRD) = divisor & 63u;
    PT_REGISTER(UARTLCR_H) = UARTLCR_H_WLEN_8 | UARTLCR_H_FEN; /* takes the divisor over */
    PT_REGISTER(UARTIFLS) = UARTIFLS_RX_QUARTER;
    PT_REGISTER(UARTIMSC) = UART_INT_RX | UART_INT_RX_TIMEOUT;
    PT_REGISTER(UARTCR) = UARTCR_UARTEN | UARTCR_TXE | UARTCR_RXE;
    /* An open input reads as an idle line. */
    PT_REGISTER(PADS_GPIO1) = PADS_IE | PADS_PUE | PADS_SCHMITT;
    PT_REGISTER(GPIO0_CTRL) = GPIO_FUNCSEL_UART;
    PT_REGISTER(GPIO1_CTRL) = GPIO_FUNCSEL_UART;
    PT_REGISTER(NVIC_ISER) = 1u << UART0_IRQ;
}

void pt_uart_interrupt(void)
{
    PT_REGISTER(UARTICR) = UART_INT_RX | UART_INT_RX_TIMEOUT;
    uint32_t at = written;
    /* Bounded by the FIFO's depth: a line faster than this loop does not exist. */
    for (uint32_t i = 0; i < 64u && (PT_REGISTER(UARTFR) & UARTFR_RXFE) == 0u; ++i) {
        const uint8_t byte = (uint8_t)PT_REGISTER(UARTDR);
        if (at - taken < RING) {
            ring[at++ % RING] = byte;
        }
    }
    written = at;
}

uint32_t pt_uart_receive(uint8_t *to, uint32_t room)
{
    uint32_t at = taken;
    const uint32_t held = written - at;
    const uint32_t size = held < room ? held : room;
    for (uint32_t i = 0; i < size; ++i) {
        to[i] = ring[at++ % RING];
    }
    __asm__ volatile("" ::: "memory"); /* the interrupt may overwrite what is taken */
    taken = at;
    return size;
}

static int wait_clear(uint32_t flag)
{
    for (uint32_t i = 0; i < POLLS; ++i) {
        if ((PT_REGISTER(UARTFR) & flag) == 0u) {
            return 0;
        }
    }
    return -1;
}

void pt_uart_send(const uint8_t *from, uint32_t size)
{
    for (uint32_t i = 0; i < size; ++i) {
        if (wait_clear(UARTFR_TXFF) != 0) {
            return;
        }
        PT_REGISTER(UARTDR) = from[i];
    }
}

void pt_uart_flush(void)
{
    (void)wait_clear(UARTFR_BUSY);
}
