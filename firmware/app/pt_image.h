/*
 * Whether the program is the one that was built: CRC-32s of its code and constants, against those
 * that the image carries. At boot, before anything runs from SRAM, and whenever it is asked for.
 */
#ifndef PT_IMAGE_H
#define PT_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "app/pt_board.h"

/* As they are now; 0 where a board cannot tell. */
struct pt_image {
    uint32_t flash_crc32;
    uint32_t sram_crc32;
};

struct pt_image pt_image_of(const struct pt_board_code *code);

/* Whether both are those of the image. */
bool pt_image_whole(const struct pt_image *image, const struct pt_board_code *code);

#endif
