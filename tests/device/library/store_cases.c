/*
 * store_cases BLOB: what firmware/nn/pt_store.h promises beside the cuts (power_cuts.c). Full and
 * worn rings, states of other models, methods and versions, damage, and a training that goes on.
 */
#include <stddef.h>
#include <string.h>

#include "check.h"
#include "flash_model.h"
#include "nn/pt_crc32.h"
#include "nn/pt_store.h"

enum { ARENA = 1 << 19, STATE = 1 << 16, IMAGE = 1 << 14, SECTOR = 1024, PAGE = 128 };

static struct pt_trainer trainer;
static _Alignas(64) uint8_t arena[ARENA];
static uint8_t state[2][STATE], *blob;
static uint32_t blob_size, arena_size = ARENA;
static bool larger;
static struct flash_model flash, before;
static struct pt_store store;

static const struct pt_method methods[] = {
    {PT_NITI_DYNAMIC, 2, 0, 0, 0, 0, 0, 0},
    {PT_NITI_STATIC, 2, 0, 0, 0, 0, 0, 0},
    {PT_PRIOT, 3, -64, 0, 0, PT_START_NORMAL, 5, 0},
    {PT_PRIOT_S, 4, -20, 200, PT_SELECT_WEIGHT, PT_START_NORMAL, 9, 20},
};

static void boot(const struct pt_method *method)
{
    pt_trainer_reset(&trainer, arena, arena_size);
    memcpy(arena, blob, blob_size);
    CHECK(pt_trainer_open(&trainer, arena, blob_size, false, NULL) == PT_OK);
    CHECK(pt_trainer_method(&trainer, method, NULL) == PT_OK);
    CHECK(pt_store_open(&store, &flash.flash, NULL) == PT_OK);
}

/* Images [first, last) of a stream that each names by its number. */
static void train(uint32_t first, uint32_t last)
{
    static uint8_t image[IMAGE];
    struct pt_result result;
    for (uint32_t i = first; i < last; ++i) {
        uint32_t seed = i * 2654435761u + 12345u;
        for (uint32_t k = 0; k < trainer.plan.image_size; ++k) {
            image[k] = (uint8_t)(draw(&seed) >> 24);
        }
        const uint32_t label = draw(&seed) % trainer.model.header->classes;
        CHECK(pt_trainer_train(&trainer, image, label, &result, NULL) == PT_OK);
    }
}

static void keep(uint32_t which)
{
    CHECK(pt_state_size(&trainer) <= STATE);
    pt_state_read(&trainer, 0, state[which], pt_state_size(&trainer));
}

static bool kept_alike(void)
{
    return memcmp(state[0], state[1], pt_state_size(&trainer)) == 0;
}

static uint32_t sectors_of_state(void)
{
    return pt_store_sectors(&flash.flash, pt_state_size(&trainer));
}

static void make(uint32_t sectors)
{
    flash_make(&flash, SECTOR, PAGE, sectors, 1);
}

/* Saves with the number of it as position. */
static int save(uint32_t number)
{
    const struct pt_position position = {7, number, {~number, 9}};
    return pt_store_save(&store, &trainer, &position, NULL);
}

/* The number of the state that a boot finds. */
static uint32_t found(const struct pt_method *method)
{
    struct pt_position position;
    boot(method);
    CHECK(pt_store_restore(&store, &trainer, &position, NULL) == PT_OK);
    CHECK(position.epoch == 7 && position.own[0] == ~position.image && position.own[1] == 9);
    return position.image;
}

/* At that step, into that torn state; then loose bits read so. */
static __attribute__((noinline)) void saves_and_is_cut(uint32_t step, uint32_t torn,
                                                       enum reading reading)
{
    flash_power(&flash, step, torn, READS_RANDOM);
    if (setjmp(flash.power) == 0) {
        (void)save(60);
        CHECK(false);
    }
    flash_power(&flash, NO_CUT, 0, reading);
}

/*
 * A commit that was hardly begun and read as blank, so that the older state was given; then its
 * sector is erased, page by page in any order, and the power is cut. It must not come back, even if
 * what made it void goes first and the commit reads as one now.
 */
static void stays_void(const struct pt_method *method)
{
    make(FLASH_SECTORS);
    boot(method);
    CHECK(save(1) == PT_OK);
    flash_power(&flash, NO_CUT, 0, READS_RANDOM);
    CHECK(save(2) == PT_OK);
    const uint32_t commit = flash.steps - 1u;
    train(0, 1);
    for (uint32_t i = 0; i < 400; ++i) {
        saves_and_is_cut(commit, PROGRAM_FEW_LOOSE, READS_1);
        CHECK(found(method) == 2);
        train(i, i + 1u);
        saves_and_is_cut(i % 2u, ERASE_ANY_PAGES, READS_0); /* the header's end, or the erase */
        CHECK(found(method) == 2);
        train(i, i + 1u);
    }
}

/* 50 images, kept, 10 more, cut while they are kept, boot, 50 from where the state is: as 100. */
static void goes_on(const struct pt_method *method)
{
    make(FLASH_SECTORS);
    boot(method);
    train(0, 100);
    keep(0);
    boot(method);
    train(0, 50);
    CHECK(pt_trainer_set_mu(&trainer, 2, NULL) == PT_OK);
    CHECK(pt_trainer_set_mu(&trainer, method->mu, NULL) == PT_OK);
    CHECK(save(50) == PT_OK);
    train(50, 60);
    saves_and_is_cut(3, PROGRAM_SOME_REST_LOOSE, READS_RANDOM);
    CHECK(found(method) == 50);
    train(50, 100);
    keep(1);
    CHECK(kept_alike());
    CHECK(trainer.method.mu == method->mu);
}

static void keeps_the_step_size(const struct pt_method *method)
{
    make(FLASH_SECTORS);
    boot(method);
    CHECK(pt_trainer_set_mu(&trainer, -5, NULL) == PT_OK);
    CHECK(save(1) == PT_OK && found(method) == 1 && trainer.method.mu == -5);
}

/* Never larger than a page of stack, so an io window that holds one image is enough. */
static void needs_no_window(const struct pt_method *method)
{
    make(FLASH_SECTORS);
    boot(method);
    arena_size = pt_trainer_io_offset(&trainer) + trainer.plan.io_minimum;
    boot(method);
    larger = larger || pt_state_size(&trainer) > trainer.plan.io_minimum;
    train(0, 3);
    keep(0);
    CHECK(save(3) == PT_OK && found(method) == 3);
    keep(1);
    CHECK(kept_alike());
    arena_size = ARENA;
}

static void full_ring(const struct pt_method *method)
{
    struct pt_detail detail;
    make(2);
    boot(method);
    const uint32_t k = sectors_of_state();
    make(2u * k - 1u < 2u ? 2 : 2u * k - 1u);
    if (k > 1u) { /* not even the first, for the second could never follow */
        boot(method);
        CHECK(pt_store_save(&store, &trainer, NULL, &detail) == PT_ERR_STORE_ROOM);
        CHECK(detail.value[0] == 2u * k && detail.value[1] == 2u * k - 1u);
        CHECK(detail.value[2] == 0 && flash.steps == 0);
    }
    make(2u * k);
    boot(method);
    CHECK(save(1) == PT_OK && save(2) == PT_OK && save(3) == PT_OK && found(method) == 3);
    /* A worn sector leaves no room beside the newest: it stays, now and after a boot. */
    const uint32_t worn = (store.place + k) % (2u * k);
    flash.wear[worn] = ERASES_BADLY;
    CHECK(pt_store_save(&store, &trainer, NULL, &detail) == PT_ERR_STORE_ROOM);
    CHECK(detail.value[0] == 2u * k && detail.value[1] == 2u * k && detail.value[2] == 1);
    CHECK(found(method) == 3);
    /* Refused before anything is touched where it is known already. */
    flash_power(&flash, NO_CUT, 0, READS_RANDOM);
    CHECK(save(4) == PT_ERR_STORE_ROOM);
    flash_power(&flash, NO_CUT, 0, READS_RANDOM);
    CHECK(save(4) == PT_ERR_STORE_ROOM && flash.steps == 0 && found(method) == 3);
}

/* Every sector in turn, worn in every way: all saves go by it, and the others wear alike. */
static void worn_sector(const struct pt_method *method)
{
    make(2);
    boot(method);
    const uint32_t sectors = 3u * sectors_of_state() + 2u;
    for (uint32_t wear = ERASES_BADLY; wear < WEARS; ++wear) {
        for (uint32_t worn = 0; worn < sectors; ++worn) {
            make(sectors);
            flash.wear[worn] = wear;
            boot(method);
            for (uint32_t number = 1; number < 12; ++number) {
                train(number, number + 1u);
                keep(0);
                CHECK(save(number) == PT_OK && found(method) == number);
                keep(1);
                CHECK(kept_alike());
                const uint32_t behind = (worn + sectors - store.place) % sectors;
                /* A page that programs badly may be one whose bad bits are to be 1. */
                CHECK(behind >= store.newest.sectors ||
                      (wear != ERASES_BADLY && wear != REFUSES));
            }
        }
    }
}

static void wears_evenly(const struct pt_method *method)
{
    make(2);
    boot(method);
    const uint32_t k = sectors_of_state();
    const uint32_t sectors = 3u * k + 1u;
    make(sectors);
    boot(method);
    for (uint32_t number = 0; number < 20u * sectors; ++number) {
        CHECK(save(number) == PT_OK);
    }
    for (uint32_t i = 0; i < sectors; ++i) {
        CHECK(flash.erases[i] >= 20u * k - 1u && flash.erases[i] <= 20u * k + 1u);
    }
}

/* What pt_store.h and docs/field.md say of the steps that a save and a boot take. */
static void costs(const struct pt_method *method)
{
    make(FLASH_SECTORS);
    boot(method);
    CHECK(flash.steps == 0);
    const uint32_t k = sectors_of_state();
    const uint32_t pages = (pt_state_size(&trainer) + PAGE - 1u) / PAGE;
    for (uint32_t number = 0; number < 4; ++number) {
        uint32_t erases = 0;
        memset(flash.erases, 0, sizeof flash.erases);
        flash_power(&flash, NO_CUT, 0, READS_RANDOM);
        CHECK(save(number) == PT_OK);
        for (uint32_t i = 0; i < FLASH_SECTORS; ++i) {
            erases += flash.erases[i];
        }
        CHECK(erases == k && flash.steps == erases + k + pages + 2u);
        flash_copy(&before, &flash);
        flash_power(&flash, NO_CUT, 0, READS_RANDOM);
        boot(method);
        CHECK(flash.steps == 1 && memcmp(flash.erases, before.erases, sizeof flash.erases) == 0);
        CHECK(memcmp(flash.value, before.value, FLASH_SECTORS * SECTOR) == 0);
    }
}

static __attribute__((noinline)) bool clears_through(uint32_t step, uint32_t torn)
{
    flash_power(&flash, step, torn, READS_RANDOM);
    if (setjmp(flash.power) != 0) {
        flash_power(&flash, NO_CUT, 0, READS_RANDOM);
        return false;
    }
    pt_store_clear(&store);
    flash_power(&flash, NO_CUT, 0, READS_RANDOM);
    return true;
}

/* A cut while all states are cleared: the newest is there or none is, never an older one. */
static void clear(const struct pt_method *method)
{
    make(6);
    boot(method);
    make(3u * sectors_of_state());
    boot(method);
    for (uint32_t number = 1; number < 5; ++number) {
        CHECK(save(number) == PT_OK);
    }
    flash_copy(&before, &flash);
    for (uint32_t step = 0, more = 1; more != 0u; ++step) {
        for (uint32_t torn = 0; torn < TORN_ERASES && more != 0u; ++torn) {
            struct pt_position position;
            flash_copy(&flash, &before);
            boot(method);
            more = clears_through(step, torn) ? 0u : 1u;
            boot(method);
            const int err = pt_store_restore(&store, &trainer, &position, NULL);
            CHECK(err == PT_OK ? position.image == 4 && more != 0u
                               : err == PT_ERR_STORE_EMPTY || err == PT_ERR_STORE_DAMAGED);
            CHECK(save(9) == PT_OK && found(method) == 9);
        }
    }
}

/* Field of a header at `sector` set, and its CRC with it. */
static void forge(uint32_t sector, uint32_t offset, uint32_t value)
{
    uint8_t *page = flash.value + sector * SECTOR;
    memcpy(page + offset, &value, sizeof value);
    const uint32_t crc = pt_crc32(0, page, PAGE - 4u);
    memcpy(page + PAGE - 4, &crc, sizeof crc);
}

/* With the same numbers. */
static void refuses_again(int err, const struct pt_detail *why)
{
    struct pt_position position = {1, 2, {3, 4}};
    struct pt_detail detail = {{0}};
    CHECK(pt_store_save(&store, &trainer, NULL, &detail) == err);
    CHECK(memcmp(&detail, why, sizeof detail) == 0);
    detail = (struct pt_detail){{0}};
    CHECK(pt_store_restore(&store, &trainer, &position, &detail) == err);
    CHECK(memcmp(&detail, why, sizeof detail) == 0 && position.image == 2);
    CHECK(pt_store_save(&store, &trainer, NULL, NULL) == err);
}

static void another_version(const struct pt_method *method)
{
    struct pt_detail detail;
    make(FLASH_SECTORS);
    boot(method);
    CHECK(save(1) == PT_OK && save(2) == PT_OK);
    const uint32_t place = store.place;
    forge(place, offsetof(struct pt_store_header, version), PT_STORE_VERSION + 1u);
    flash_copy(&before, &flash);
    CHECK(pt_store_open(&store, &flash.flash, &detail) == PT_ERR_STORE_VERSION);
    CHECK(detail.value[0] == PT_STORE_VERSION + 1u && detail.value[1] == PT_STORE_VERSION);
    CHECK(detail.value[2] == place);
    refuses_again(PT_ERR_STORE_VERSION, &detail);
    CHECK(memcmp(before.value, flash.value, FLASH_SECTORS * SECTOR) == 0);
    pt_store_clear(&store);
    CHECK(pt_store_restore(&store, &trainer, NULL, NULL) == PT_ERR_STORE_EMPTY);
    CHECK(save(6) == PT_OK && found(method) == 6);
    pt_store_clear(&store);
    boot(method);
    CHECK(pt_store_restore(&store, &trainer, NULL, NULL) == PT_ERR_STORE_EMPTY);
    CHECK(save(3) == PT_OK && found(method) == 3);
    /* An old record of another version is in nobody's way. */
    CHECK(save(4) == PT_OK && save(5) == PT_OK);
    forge(place, 0, 0);
    CHECK(found(method) == 5);
}

/* It cannot be, but no state is lost by it. */
static void two_of_one_number(const struct pt_method *method)
{
    make(FLASH_SECTORS);
    boot(method);
    CHECK(save(1) == PT_OK && save(2) == PT_OK);
    forge(store.place, offsetof(struct pt_store_header, sequence), store.sequence - 1u);
    memset(flash.value + 2 * PAGE, 0, PAGE); /* the first is void */
    CHECK(found(method) == 2);
}

static void of_others(const struct pt_method *method, const struct pt_method *other)
{
    struct pt_detail detail;
    make(FLASH_SECTORS);
    boot(method);
    train(0, 2);
    CHECK(save(1) == PT_OK);
    boot(other);
    keep(0);
    CHECK(pt_store_restore(&store, &trainer, NULL, &detail) == PT_ERR_CHECKPOINT);
    CHECK(detail.value[0] == PT_CHECKPOINT_OF_METHOD || detail.value[0] == PT_CHECKPOINT_OF_MODEL);
    keep(1);
    CHECK(kept_alike());
    boot(method);
    CHECK(pt_trainer_open(&trainer, arena, 3, false, NULL) == PT_ERR_BLOB_SIZE);
    CHECK(pt_store_restore(&store, &trainer, NULL, NULL) == PT_ERR_STATE);
    CHECK(pt_store_save(&store, &trainer, NULL, NULL) == PT_ERR_STATE);
    /* Another model: one weight differs, and so does its CRC. */
    struct pt_model_header *header = (struct pt_model_header *)blob;
    const uint32_t crc = header->crc32;
    const struct pt_model_layer *layer = (const struct pt_model_layer *)(blob + sizeof *header);
    while (layer->weights_size == 0u) {
        ++layer;
    }
    uint8_t *weight = blob + layer->weights_offset;
    const uint8_t value = *weight;
    *weight = value == 0u;
    header->crc32 = pt_crc32(0, blob + 16, blob_size - 16u);
    boot(method);
    CHECK(pt_store_restore(&store, &trainer, NULL, &detail) == PT_ERR_CHECKPOINT);
    CHECK(detail.value[0] == PT_CHECKPOINT_OF_MODEL);
    *weight = value;
    header->crc32 = crc;
    CHECK(found(method) == 1);
}

/* Any byte of a record that is damaged: the one before it serves, or nothing, by name. */
static void damage(const struct pt_method *method)
{
    make(FLASH_SECTORS);
    boot(method);
    CHECK(save(1) == PT_OK);
    train(0, 2);
    CHECK(save(2) == PT_OK);
    flash_copy(&before, &flash);
    const uint32_t first = store.place * SECTOR;
    const uint32_t size = PT_STORE_PAGES * PAGE + pt_state_size(&trainer);
    for (uint32_t at = 0; at < size; at += at < 80u ? 1u : 37u) {
        const bool marks = at >= PAGE && at < PT_STORE_PAGES * PAGE;
        flash_copy(&flash, &before);
        flash.value[first + at] ^= 0x10;
        CHECK(found(method) == (marks ? 2u : 1u));
        if (at >= PT_STORE_PAGES * PAGE) { /* it does not come back, even if it reads well now */
            flash.value[first + at] ^= 0x10;
        }
        CHECK(found(method) == (marks ? 2u : 1u));
        CHECK(save(3) == PT_OK && found(method) == 3);
    }
    make(FLASH_SECTORS);
    boot(method);
    struct pt_detail detail;
    CHECK(pt_store_restore(&store, &trainer, NULL, &detail) == PT_ERR_STORE_EMPTY);
    CHECK(detail.value[0] == FLASH_SECTORS);
    CHECK(save(1) == PT_OK);
    flash.value[size - 1u] ^= 4;
    boot(method);
    CHECK(pt_store_restore(&store, &trainer, NULL, &detail) == PT_ERR_STORE_DAMAGED);
    CHECK(detail.value[0] == 0);
    CHECK(save(2) == PT_OK && found(method) == 2);
    /* Damaged after boot; and a weight of -128 under a right CRC. */
    flash.value[store.place * SECTOR + size - 1u] ^= 4;
    CHECK(pt_store_restore(&store, &trainer, NULL, NULL) == PT_ERR_STORE_DAMAGED);
    flash.value[store.place * SECTOR + size - 1u] = 0x80;
    uint8_t *whole = flash.value + store.place * SECTOR + PT_STORE_PAGES * PAGE;
    if (store.place + store.newest.sectors <= FLASH_SECTORS) {
        forge(store.place,
              (uint32_t)(offsetof(struct pt_store_header, state) +
                         offsetof(struct pt_checkpoint, state_crc)),
              pt_crc32(0, whole, pt_state_size(&trainer)));
        boot(method);
        keep(0);
        CHECK(pt_store_restore(&store, &trainer, NULL, &detail) == PT_ERR_CHECKPOINT);
        CHECK(detail.value[0] == PT_CHECKPOINT_OF_VALUES);
        keep(1);
        CHECK(kept_alike());
    }
}

/* A step size that no method has, under a right CRC. */
static void absurd_step(const struct pt_method *method)
{
    static const int32_t none[] = {PT_MIN_MU - 1, PT_MAX_MU + 1, INT32_MIN, INT32_MAX};
    struct pt_detail detail;
    make(FLASH_SECTORS);
    boot(method);
    CHECK(save(1) == PT_OK);
    for (uint32_t i = 0; i < sizeof none / sizeof *none; ++i) {
        forge(store.place, (uint32_t)offsetof(struct pt_store_header, mu), (uint32_t)none[i]);
        boot(method);
        keep(0);
        CHECK(pt_store_restore(&store, &trainer, NULL, &detail) == PT_ERR_ARGUMENT);
        CHECK(detail.value[0] == 1u && detail.value[1] == (uint32_t)none[i]);
        CHECK(trainer.method.mu == method->mu && trainer.state == PT_STATE_READY);
        keep(1);
        CHECK(kept_alike());
    }
}

static void absurd_flash(void)
{
    static const uint32_t numbers[][3] = {
        {4096, 64, 4},  {4096, 512, 4}, {4096, 192, 4},  {4096, 0, 4},  {4096 + 128, 256, 4},
        {768, 256, 4},  {4096, 256, 1}, {4096, 256, 257}, {4096, 256, 0}, {0, 128, 4},
    };
    struct pt_detail detail;
    for (uint32_t i = 0; i < sizeof numbers / sizeof numbers[0]; ++i) {
        make(2);
        flash.flash.sector = numbers[i][0];
        flash.flash.page = numbers[i][1];
        flash.flash.sectors = numbers[i][2];
        CHECK(pt_store_open(&store, &flash.flash, &detail) == PT_ERR_STORE_FLASH);
        CHECK(memcmp(detail.value, numbers[i], sizeof numbers[i]) == 0);
        refuses_again(PT_ERR_STORE_FLASH, &detail);
        pt_store_clear(&store);
        refuses_again(PT_ERR_STORE_FLASH, &detail);
        CHECK(detail.value[3] == PT_STORE_MOST_SECTORS && flash.steps == 0);
    }
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    blob = read_file(argv[1], &blob_size);
    absurd_flash();
    for (uint32_t i = 0; i < 4u; ++i) {
        const struct pt_method *method = &methods[i];
        goes_on(method);
        stays_void(method);
        keeps_the_step_size(method);
        needs_no_window(method);
        full_ring(method);
        worn_sector(method);
        wears_evenly(method);
        costs(method);
        clear(method);
        another_version(method);
        two_of_one_number(method);
        of_others(method, &methods[(i + 1u) % 4u]);
        absurd_step(method);
        damage(method);
    }
    (void)puts(larger ? "as promised, of states larger than the window too" : "as promised");
    return 0;
}
