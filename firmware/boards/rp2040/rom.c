#include "boards/rp2040/rom.h"

/* Words of the ROM, where the linker script says: "Mu", then two pointers of 16 bits. */
extern const volatile uint16_t pt_rom_magic[], pt_rom_function_table[], pt_rom_lookup[];

typedef uintptr_t lookup(uintptr_t table, uint32_t code);

uintptr_t pt_rom_function(char first, char second)
{
    if (pt_rom_magic[0] != ('M' | 'u' << 8)) {
        return 0;
    }
    lookup *find = (lookup *)(uintptr_t)pt_rom_lookup[0];
    return find(pt_rom_function_table[0], (uint32_t)first | (uint32_t)second << 8);
}
