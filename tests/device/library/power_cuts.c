/*
 * power_cuts BLOB KIND SECTOR PAGE SECTORS SAVES SEED ALL [WORN WEAR]: keeps the state of a network
 * that trains, SAVES times, and at each save cuts the power at every step of the flash, in every
 * torn state, then boots. After each cut: the state before or the state after, every byte, and at
 * the next boot the same one. Then a second cut, at each step of that recovery (ALL 1: in every
 * torn state again, 0: in one) and somewhere in the next save. Prints what it tried.
 */
#include <string.h>

#include "check.h"
#include "flash_model.h"
#include "nn/pt_store.h"

enum { ARENA = 1 << 18, STATE = 1 << 15, IMAGE = 1 << 12 };

/* A trainer and what it should be found to have. */
struct side {
    struct pt_trainer trainer;
    _Alignas(64) uint8_t arena[ARENA];
    uint8_t state[STATE];
    struct pt_position position;
};

static struct side old, new, next, probe;
static struct flash_model base, torn, again, third;
static bool all;
static uint32_t state_size, random_state = 1, cuts, second_cuts, boots, kept_old, kept_new;

static void open_side(struct side *side, const uint8_t *blob, uint32_t size,
                      const struct pt_method *method)
{
    pt_trainer_reset(&side->trainer, side->arena, ARENA);
    memcpy(side->arena, blob, size);
    CHECK(pt_trainer_open(&side->trainer, side->arena, size, false, NULL) == PT_OK);
    CHECK(pt_trainer_method(&side->trainer, method, NULL) == PT_OK);
    state_size = pt_state_size(&side->trainer);
    CHECK(state_size <= STATE && side->trainer.plan.image_size <= IMAGE);
}

static void note(struct side *side)
{
    pt_state_read(&side->trainer, 0, side->state, state_size);
}

static void take_over(struct side *to, const struct side *from)
{
    pt_state_write(&to->trainer, 0, from->state, state_size);
    to->trainer.method.mu = from->trainer.method.mu;
    to->position = from->position;
    note(to);
}

static void train(struct side *side)
{
    static uint8_t image[IMAGE];
    struct pt_result result;
    for (uint32_t i = 0; i < side->trainer.plan.image_size; ++i) {
        image[i] = (uint8_t)(draw(&random_state) >> 24);
    }
    const uint32_t label = draw(&random_state) % side->trainer.model.header->classes;
    CHECK(pt_trainer_train(&side->trainer, image, label, &result, NULL) == PT_OK);
    ++side->position.image;
    side->position.own[1] = draw(&random_state);
    CHECK(pt_trainer_set_mu(&side->trainer, (int32_t)(side->position.image % 4u), NULL) == PT_OK);
    note(side);
}

static bool holds(const struct side *side)
{
    const struct pt_trainer *t = &probe.trainer;
    return memcmp(probe.state, side->state, state_size) == 0 &&
           memcmp(&probe.position, &side->position, sizeof probe.position) == 0 &&
           t->method.mu == side->trainer.method.mu;
}

/* What a boot finds: 0 the state of `before` (NULL: none), 1 that of `after`. */
static int boot(struct flash_model *flash, const struct side *before, const struct side *after,
                struct pt_store *store)
{
    ++boots;
    CHECK(pt_store_open(store, &flash->flash, NULL) == PT_OK);
    memset(&probe.position, 0x77, sizeof probe.position);
    pt_state_write(&probe.trainer, 0, next.state, state_size);
    const int err = pt_store_restore(store, &probe.trainer, &probe.position, NULL);
    if (before == NULL && (err == PT_ERR_STORE_EMPTY || err == PT_ERR_STORE_DAMAGED)) {
        return 0;
    }
    CHECK(err == PT_OK);
    note(&probe);
    const bool is_after = holds(after);
    CHECK(is_after || (before != NULL && holds(before)));
    return is_after ? 1 : 0;
}

/* Whether the power lasts; in functions of their own, so that no jump finds a changed variable. */
static __attribute__((noinline)) bool boots_through(struct flash_model *flash,
                                                    const struct side *before)
{
    static struct pt_store store;
    if (setjmp(flash->power) != 0) {
        return false;
    }
    (void)boot(flash, before, &new, &store);
    return true;
}

static __attribute__((noinline)) bool saves_through(struct flash_model *flash,
                                                    struct pt_store *store, struct side *side)
{
    if (setjmp(flash->power) != 0) {
        return false;
    }
    CHECK(pt_store_save(store, &side->trainer, &side->position, NULL) == PT_OK);
    return true;
}

/* The same answer at the boots after, however loose bits read. */
static void same_again(const struct flash_model *flash, const struct side *before,
                       const struct side *after, int found)
{
    struct pt_store store;
    const uint32_t first = draw(&random_state) % READINGS;
    for (uint32_t i = 0; i < (!flash->any_loose ? 1u : all ? READINGS : 2u); ++i) {
        flash_copy(&again, flash);
        flash_power(&again, NO_CUT, 0, (first + i) % READINGS);
        CHECK(boot(&again, before, after, &store) == found);
        if (all) {
            CHECK(boot(&again, before, after, &store) == found);
        }
    }
}

static uint32_t kinds_of(const struct flash_model *flash)
{
    return flash->cut_an_erase ? TORN_ERASES : TORN_PROGRAMS;
}

static enum reading any_reading(void)
{
    return draw(&random_state) % READINGS;
}

/* A cut at every step of the boot that follows the first cut. */
static void cut_the_boot(const struct flash_model *flash, const struct side *before)
{
    struct pt_store store;
    for (uint32_t step = 0, more = 1; more != 0u; ++step) {
        const uint32_t shift = draw(&random_state) % TORN_PROGRAMS;
        for (uint32_t kind = 0; kind < (all ? TORN_PROGRAMS : 1u); ++kind) {
            flash_copy(&third, flash);
            flash_power(&third, step, kind + shift, any_reading());
            if (boots_through(&third, before)) {
                more = 0;
                break;
            }
            ++second_cuts;
            flash_power(&third, NO_CUT, 0, any_reading());
            same_again(&third, before, &new, boot(&third, before, &new, &store));
        }
    }
}

/* A cut somewhere in the save that follows; `store` has booted, and `found` is what it has. */
static void cut_the_next(struct flash_model *flash, struct pt_store *store,
                         const struct side *found)
{
    flash_copy(&third, flash);
    struct pt_store booted = *store;
    booted.flash = &third.flash;
    flash_power(&third, draw(&random_state) % (base.steps + 2u), draw(&random_state) >> 8,
                any_reading());
    second_cuts += saves_through(&third, &booted, &next) ? 0u : 1u;
    flash_power(&third, NO_CUT, 0, any_reading());
    const int is = boot(&third, found, &next, &booted);
    same_again(&third, found, &next, is);
    /* And it can be kept after all. */
    CHECK(pt_store_save(&booted, &next.trainer, &next.position, NULL) == PT_OK);
    CHECK(boot(&third, NULL, &next, &booted) == 1);
}

/* One cut at `step` of a save onto `base`, in one torn state; 0: the save has fewer steps. */
static bool cut_once(uint32_t step, uint32_t kind, const struct side *before)
{
    struct pt_store store;
    flash_copy(&torn, &base);
    flash_power(&torn, NO_CUT, 0, READS_RANDOM);
    CHECK(pt_store_open(&store, &torn.flash, NULL) == PT_OK);
    flash_power(&torn, step, kind, READS_RANDOM);
    if (saves_through(&torn, &store, &new)) {
        base.steps = torn.steps;
        return false;
    }
    ++cuts;
    cut_the_boot(&torn, before);
    flash_power(&torn, NO_CUT, 0, any_reading());
    const int found = boot(&torn, before, &new, &store);
    kept_old += found == 0 ? 1u : 0u;
    kept_new += found == 1 ? 1u : 0u;
    same_again(&torn, before, &new, found);
    cut_the_next(&torn, &store, found == 1 ? &new : before);
    return true;
}

static void cut_everywhere(const struct side *before)
{
    for (uint32_t step = 0, more = 1; more != 0u; ++step) {
        uint32_t kinds = 1;
        for (uint32_t kind = 0; kind < kinds; ++kind) {
            if (!cut_once(step, kind, before)) {
                more = 0;
                break;
            }
            kinds = kinds_of(&torn);
        }
    }
}

int main(int argc, char **argv)
{
    CHECK(argc == 9 || argc == 11);
    uint32_t size;
    const uint8_t *blob = read_file(argv[1], &size);
    uint32_t number[9] = {0};
    for (int i = 2; i < argc; ++i) {
        number[i - 2] = (uint32_t)strtoul(argv[i], NULL, 10);
    }
    const struct pt_method method = {number[0], 1, -20, 200, PT_SELECT_WEIGHT, PT_START_NORMAL,
                                     9, 0};
    const uint32_t sectors = number[3], saves = number[4];
    random_state = number[5] * 2654435761u | 1u;
    flash_make(&base, number[1], number[2], sectors, random_state);
    flash_make(&torn, number[1], number[2], sectors, random_state + 2u);
    flash_make(&again, number[1], number[2], sectors, random_state + 4u);
    flash_make(&third, number[1], number[2], sectors, random_state + 6u);
    all = number[6] != 0u;
    if (argc == 11) {
        base.wear[number[7]] = number[8];
    }
    struct side *sides[] = {&old, &new, &next, &probe};
    for (uint32_t i = 0; i < 4u; ++i) {
        open_side(sides[i], blob, size, &method);
    }
    struct pt_store store;
    CHECK(pt_store_open(&store, &base.flash, NULL) == PT_OK);
    store.sequence = 0u - saves / 2u; /* so that it wraps half way */
    take_over(&next, &old);
    note(&next);
    train(&next);
    for (uint32_t i = 0; i < saves; ++i) {
        take_over(&new, &next);
        train(&next);
        if (i > 0u) { /* the ring's first sequence number is not in the flash yet */
            cut_everywhere(&old);
        }
        flash_power(&base, NO_CUT, 0, READS_RANDOM);
        CHECK(pt_store_save(&store, &new.trainer, &new.position, NULL) == PT_OK);
        CHECK(boot(&base, NULL, &new, &store) == 1);
        take_over(&old, &new);
    }
    flash_make(&base, number[1], number[2], sectors, random_state);
    cut_everywhere(NULL); /* the very first save */
    (void)printf("saves %u cuts %u second cuts %u boots %u old %u new %u state %u sectors %u\n",
                 saves, cuts, second_cuts, boots, kept_old, kept_new, state_size,
                 pt_store_sectors(&base.flash, state_size));
    return 0;
}
