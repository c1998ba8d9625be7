/*
 * last_layer BLOB KIND FROZEN: trains the last layer alone, by the method of that kind, with the
 * images on standard input: pixels, then a label of one byte. Half way what was learned goes into
 * flash, the device boots, and goes on from there. Writes what all layers hold then: of each the
 * weights, and behind them the scores.
 */
#include <string.h>

#include "check.h"
#include "flash_model.h"
#include "picotrain.h"

enum { ARENA = 1 << 19, IMAGE = 1 << 12, MOST_IMAGES = 64, SECTOR = 4096, PAGE = 256 };

static struct pt_trainer trainer;
static _Alignas(64) uint8_t arena[ARENA];
static uint8_t stream[MOST_IMAGES * (IMAGE + 1)];
static uint8_t *blob;
static uint32_t blob_size;
static struct flash_model flash;
static struct pt_store store;

static void boot(const struct pt_method *method, bool frozen)
{
    memset(arena, 0x55, sizeof arena);
    pt_trainer_reset(&trainer, arena, sizeof arena);
    if (!frozen) {
        memcpy(arena, blob, blob_size);
    }
    CHECK(pt_trainer_open(&trainer, frozen ? blob : arena, blob_size, frozen, NULL) == PT_OK);
    CHECK(pt_trainer_select_last(&trainer, NULL) == PT_OK);
    CHECK(pt_trainer_method(&trainer, method, NULL) == PT_OK);
    CHECK(pt_store_open(&store, &flash.flash, NULL) == PT_OK);
}

static void train(uint32_t first, uint32_t last)
{
    const uint32_t size = trainer.plan.image_size;
    for (uint32_t i = first; i < last; ++i) {
        const uint8_t *image = stream + i * (size + 1u);
        CHECK(pt_trainer_train(&trainer, image, image[size], NULL, NULL) == PT_OK);
    }
}

static void write_all(void)
{
    for (uint32_t l = 0; l < trainer.model.header->layers; ++l) {
        for (uint32_t kind = PT_TENSOR_WEIGHTS; kind <= PT_TENSOR_SCORES; ++kind) {
            uint8_t *data;
            uint32_t size;
            if (pt_trainer_tensor(&trainer, kind, l, &data, &size, NULL) == PT_OK) {
                CHECK(fwrite(data, 1, size, stdout) == size);
            }
        }
    }
}

int main(int argc, char **argv)
{
    CHECK(argc == 4);
    blob = read_file(argv[1], &blob_size);
    const struct pt_method method = pt_method_of((enum pt_method_kind)atoi(argv[2]));
    const bool frozen = atoi(argv[3]) != 0;
    flash_make(&flash, SECTOR, PAGE, 32, 1);
    boot(&method, frozen);
    const size_t read = fread(stream, 1, sizeof stream, stdin);
    const uint32_t images = (uint32_t)read / (trainer.plan.image_size + 1u);
    CHECK(trainer.plan.image_size <= IMAGE && images >= 2u && images <= MOST_IMAGES);
    train(0, images / 2u);
    CHECK(pt_store_save(&store, &trainer, NULL, NULL) == PT_OK);

    /* It is no state of all layers. */
    if (!frozen || pt_method_scores(&method)) {
        boot(&method, frozen);
        CHECK(pt_trainer_select(&trainer, NULL, 0, NULL) == PT_OK);
        CHECK(pt_store_restore(&store, &trainer, NULL, NULL) == PT_ERR_STATE);
        CHECK(pt_trainer_method(&trainer, &method, NULL) == PT_OK);
        CHECK(pt_store_restore(&store, &trainer, NULL, NULL) == PT_ERR_CHECKPOINT);
    }
    boot(&method, frozen);
    CHECK(pt_store_restore(&store, &trainer, NULL, NULL) == PT_OK);
    train(images / 2u, images);
    write_all();
    return 0;
}
