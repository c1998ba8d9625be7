#include "app/pt_image.h"

#include "nn/pt_crc32.h"

struct pt_image pt_image_of(const struct pt_board_code *code)
{
    const struct pt_image image = {
        pt_crc32(0, code->flash, code->flash_size),
        pt_crc32(0, code->sram, code->sram_size),
    };
    return image;
}

bool pt_image_whole(const struct pt_image *image, const struct pt_board_code *code)
{
    return image->flash_crc32 == code->flash_crc32 && image->sram_crc32 == code->sram_crc32;
}
