#include "networks.h"

#include <stddef.h>
#include <string.h>

#include "nn/pt_crc32.h"

void fuzz_seal(uint8_t *blob, uint32_t size)
{
    struct pt_model_header header;
    const uint32_t covered = offsetof(struct pt_model_header, crc32) + sizeof header.crc32;
    if (size < sizeof header) {
        return;
    }
    memcpy(&header, blob, sizeof header);
    header.magic = PT_MODEL_MAGIC;
    header.version = PT_MODEL_VERSION;
    header.size = size;
    header.crc32 = pt_crc32(0, blob + covered, size - covered);
    memcpy(blob, &header, sizeof header);
}

uint64_t fuzz_work(const struct pt_model *model)
{
    uint64_t work = 0;
    for (uint32_t l = 0; l < model->header->layers; ++l) {
        const struct pt_shape *shape = &model->layer[l].shape;
        const uint32_t length = pt_layer_row_length(&model->layer[l]);
        const uint32_t each = length != 0u ? length : (uint32_t)shape->kernel_h * shape->kernel_w;
        work += (uint64_t)pt_shape_out_size(shape) * (each + 1u);
        work += pt_shape_in_size(shape);
    }
    return work;
}
