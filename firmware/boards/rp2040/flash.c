#include "boards/rp2040/flash.h"

#include <stdbool.h>
#include <stddef.h>

#include "app/pt_board.h"
#include "boards/rp2040/rom.h"
#include "boards/rp2040/rp2040.h"

enum { BOOT2_WORDS = 64, POLLS = 1000, CMD_UNIQUE_ID = 0x4b, CMD_BLOCK_ERASE = 0xd8 };

extern uint8_t pt_flash_start[], pt_flash_end[];

/* The ROM's functions that this file needs, found before the flash goes away. */
struct rom {
    void (*connect_internal_flash)(void);
    void (*flash_exit_xip)(void);
    void (*flash_range_erase)(uint32_t offset, uint32_t size, uint32_t block, uint8_t command);
    void (*flash_range_program)(uint32_t offset, const uint8_t *from, uint32_t size);
    void (*flash_flush_cache)(void);
    uint32_t boot2[BOOT2_WORDS];
};

__attribute__((noinline)) static bool rom_find(struct rom *rom)
{
    rom->connect_internal_flash = (void (*)(void))pt_rom_function('I', 'F');
    rom->flash_exit_xip = (void (*)(void))pt_rom_function('E', 'X');
    rom->flash_range_erase =
        (void (*)(uint32_t, uint32_t, uint32_t, uint8_t))pt_rom_function('R', 'E');
    rom->flash_range_program =
        (void (*)(uint32_t, const uint8_t *, uint32_t))pt_rom_function('R', 'P');
    rom->flash_flush_cache = (void (*)(void))pt_rom_function('F', 'C');
    const volatile uint32_t *boot2 = (const volatile uint32_t *)(uintptr_t)XIP_BASE;
    for (uint32_t i = 0; i < BOOT2_WORDS; ++i) {
        rom->boot2[i] = boot2[i];
    }
    return rom->connect_internal_flash && rom->flash_exit_xip && rom->flash_range_erase
           && rom->flash_range_program && rom->flash_flush_cache;
}

/* From here to flash_attach no instruction and no constant may come from flash. -> PRIMASK */
static uint32_t flash_detach(const struct rom *rom)
{
    uint32_t primask;
    __asm__ volatile("mrs %0, primask\n\tcpsid i" : "=r"(primask)::"memory");
    rom->connect_internal_flash();
    rom->flash_exit_xip();
    return primask;
}

static void flash_attach(const struct rom *rom, uint32_t primask)
{
    rom->flash_flush_cache();
    ((void (*)(void))((uintptr_t)rom->boot2 | 1u))();
    __asm__ volatile("msr primask, %0" ::"r"(primask) : "memory");
}

/* One byte out, one in; -1 if none comes. */
static int exchange(uint32_t byte)
{
    PT_REGISTER(XIP_SSI_BASE + SSI_DR0) = byte;
    for (uint32_t i = 0; i < POLLS; ++i) {
        if ((PT_REGISTER(XIP_SSI_BASE + SSI_SR) & SSI_SR_RFNE) != 0u) {
            return (int)(PT_REGISTER(XIP_SSI_BASE + SSI_DR0) & 0xffu);
        }
    }
    return -1;
}

void pt_flash_number(uint8_t number[8])
{
    struct rom rom;
    uint32_t all = 0xff; /* bits that every byte has */
    uint32_t any = 0;    /* bits that some byte has */
    if (rom_find(&rom)) {
        const uint32_t primask = flash_detach(&rom);
        PT_REGISTER(IO_QSPI_SS_CTRL) = IO_QSPI_OUTOVER_LOW;
        int in = exchange(CMD_UNIQUE_ID);
        for (uint32_t i = 0; i < 12u && in >= 0; ++i) { /* four bytes of nothing, then eight */
            in = exchange(0);
            if (i >= 4u && in >= 0) {
                number[i - 4u] = (uint8_t)in;
                all &= (uint32_t)in;
                any |= (uint32_t)in;
            }
        }
        if (in < 0) {
            any = 0;
        }
        PT_REGISTER(IO_QSPI_SS_CTRL) = IO_QSPI_OUTOVER_HIGH;
        PT_REGISTER(IO_QSPI_SS_CTRL) = IO_QSPI_OUTOVER_NORMAL;
        flash_attach(&rom, primask);
    }
    if (any == 0u || all == 0xffu) {
        for (uint32_t i = 0; i < 8u; ++i) {
            number[i] = 0;
        }
    }
}

/* Programs `size` bytes of `from` at `at`, or erases them where `from` is NULL. */
__attribute__((noinline)) static int flash_change(const uint8_t *at, const uint8_t *from,
                                                  uint32_t size)
{
    const uint32_t offset = (uint32_t)((uintptr_t)at - XIP_BASE);
    struct rom rom;
    if (!rom_find(&rom)) {
        return -1;
    }
    pt_board_alive();
    const uint32_t primask = flash_detach(&rom);
    if (from == NULL) {
        /* Smaller than a block: the ROM takes the command for sectors. */
        rom.flash_range_erase(offset, size, 1u << 16, CMD_BLOCK_ERASE);
    } else {
        rom.flash_range_program(offset, from, size);
    }
    flash_attach(&rom, primask);
    return 0;
}

int pt_flash_erase(const uint8_t *sector)
{
    const volatile uint32_t *back = (const volatile uint32_t *)(uintptr_t)sector;
    int err = flash_change(sector, NULL, PT_FLASH_SECTOR);
    for (uint32_t i = 0; i < PT_FLASH_SECTOR / sizeof *back && !err; ++i) {
        err = back[i] == 0xffffffffu ? 0 : -1;
    }
    return err;
}

int pt_flash_program(const uint8_t *page, const uint8_t *from, uint32_t size)
{
    const volatile uint8_t *back = page;
    int err = flash_change(page, from, size);
    for (uint32_t i = 0; i < size && !err; ++i) {
        err = (back[i] & ~from[i]) == 0 ? 0 : -1;
    }
    return err;
}

int pt_board_flash_write(uint32_t offset, const uint8_t *from, uint32_t size)
{
    const uint32_t window = (uint32_t)(pt_flash_end - pt_flash_start);
    if ((offset | size) % PT_FLASH_PAGE != 0u || offset >= window
        || size > PT_FLASH_SECTOR - offset % PT_FLASH_SECTOR) {
        return -1;
    }
    const volatile uint8_t *back = pt_flash_start + offset;
    int err = offset % PT_FLASH_SECTOR == 0u ? pt_flash_erase(pt_flash_start + offset) : 0;
    err = err ? err : pt_flash_program(pt_flash_start + offset, from, size);
    for (uint32_t i = 0; i < size && !err; ++i) {
        err = back[i] == from[i] ? 0 : -1;
    }
    return err;
}
