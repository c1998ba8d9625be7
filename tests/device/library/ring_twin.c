/*
 * ring_twin BLOB METHOD RING OUT: boots from a ring of flash (struct pt_method and the ring's bytes
 * are files), restores its newest state, and writes OUT: the state, and then the ring as a save of
 * that state into blank flash leaves it. Prints what the store says of the record.
 */
#include <string.h>

#include "check.h"
#include "flash_model.h"
#include "nn/pt_store.h"

enum { ARENA = 1 << 20, STATE = 1 << 17 };

static struct pt_trainer trainer;
static _Alignas(64) uint8_t arena[ARENA];
static uint8_t state[STATE];
static const uint8_t *blob, *method, *ring;
static struct flash_model flash;
static struct pt_store store;

int main(int argc, char **argv)
{
    CHECK(argc == 5);
    uint32_t blob_size, method_size, ring_size;
    blob = read_file(argv[1], &blob_size);
    method = read_file(argv[2], &method_size);
    ring = read_file(argv[3], &ring_size);
    struct pt_method asked;
    CHECK(method_size == sizeof asked && ring_size == sizeof flash.value);
    memcpy(&asked, method, sizeof asked);
    pt_trainer_reset(&trainer, arena, sizeof arena);
    memcpy(arena, blob, blob_size);
    CHECK(pt_trainer_open(&trainer, arena, blob_size, false, NULL) == PT_OK);
    CHECK(pt_trainer_method(&trainer, &asked, NULL) == PT_OK);

    flash_make(&flash, 4096, 256, FLASH_SECTORS, 1);
    memcpy(flash.value, ring, ring_size);
    struct pt_detail detail;
    CHECK(pt_store_open(&store, &flash.flash, &detail) == PT_OK);
    struct pt_position position;
    const int err = pt_store_restore(&store, &trainer, &position, &detail);
    if (err) {
        (void)printf("refused %d %u\n", err, detail.value[0]);
        return 0;
    }
    /* What pt_store_open programs once more was that way already. */
    CHECK(memcmp(flash.value, ring, ring_size) == 0);
    (void)printf("sequence %u place %u sectors %u mu %d epoch %u image %u\n", store.sequence,
                 store.place, store.newest.sectors, trainer.method.mu, position.epoch,
                 position.image);

    flash_make(&flash, 4096, 256, FLASH_SECTORS, 1);
    CHECK(pt_store_open(&store, &flash.flash, NULL) == PT_OK);
    CHECK(pt_store_save(&store, &trainer, NULL, NULL) == PT_OK);
    const uint32_t size = pt_state_size(&trainer);
    CHECK(size <= STATE);
    pt_state_read(&trainer, 0, state, size);
    FILE *out = fopen(argv[4], "wb");
    CHECK(out != NULL);
    CHECK(fwrite(state, 1, size, out) == size);
    CHECK(fwrite(flash.value, 1, sizeof flash.value, out) == sizeof flash.value);
    CHECK(fclose(out) == 0);
    return 0;
}
