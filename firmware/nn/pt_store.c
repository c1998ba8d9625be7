#include "nn/pt_store.h"

#include <stdbool.h>
#include <stddef.h>

#include "kernels/pt_memory.h"
#include "nn/pt_crc32.h"

_Static_assert(sizeof(struct pt_store_header) + sizeof(uint32_t) <= PT_STORE_LEAST_PAGE,
               "a header and its CRC fit the smallest page");

enum page { HEADER = 0, COMMIT = 1, VOID = 2 };

/* Bytes at a time where no whole page is needed; and how often a state is read before it is given
 * up. */
enum { PIECE = 32, TRIES = 3 };

/* What a commit or a void page reads as. */
enum mark { BLANK, BEGUN, FULL };

static uint32_t pages_per_sector(const struct pt_flash *flash)
{
    return flash->sector / flash->page;
}

static uint32_t round_ring(const struct pt_flash *flash, uint32_t sector)
{
    return sector % flash->sectors;
}

/* Page `page` of the record that begins at `sector`. */
static uint32_t offset_of(const struct pt_flash *flash, uint32_t sector, uint32_t page)
{
    const uint32_t in_sector = pages_per_sector(flash);
    return round_ring(flash, sector + page / in_sector) * flash->sector +
           page % in_sector * flash->page;
}

uint32_t pt_store_sectors(const struct pt_flash *flash, uint32_t size)
{
    const uint32_t pages = PT_STORE_PAGES + (size + flash->page - 1u) / flash->page;
    return (pages + pages_per_sector(flash) - 1u) / pages_per_sector(flash);
}

static bool is_worn(const struct pt_store *store, uint32_t sector)
{
    return (store->worn[sector / 32u] >> sector % 32u & 1u) != 0u;
}

static void wear_out(struct pt_store *store, uint32_t sector)
{
    store->worn[sector / 32u] |= 1u << sector % 32u;
}

/* Whether `size` bytes at `offset` are those at `from`, or all `value` where that is NULL. */
static bool reads(const struct pt_flash *flash, uint32_t offset, const uint8_t *from,
                  uint8_t value, uint32_t size)
{
    uint8_t piece[PIECE];
    for (uint32_t at = 0; at < size; at += PIECE) {
        flash->read(flash->context, offset + at, piece, PIECE);
        for (uint32_t i = 0; i < PIECE; ++i) {
            if (piece[i] != (from == NULL ? value : from[at + i])) {
                return false;
            }
        }
    }
    return true;
}

/* Programs and reads back; a sector that fails is worn. */
static bool program(struct pt_store *store, uint32_t sector, uint32_t page, const uint8_t *from)
{
    const struct pt_flash *flash = store->flash;
    const uint32_t offset = offset_of(flash, sector, page);
    const bool done = flash->program(flash->context, offset, from) == 0 &&
                      reads(flash, offset, from, 0, flash->page);
    if (!done) {
        wear_out(store, offset / flash->sector);
    }
    return done;
}

static bool program_zero(struct pt_store *store, uint32_t sector, uint32_t page)
{
    uint8_t zero[PT_STORE_MOST_PAGE];
    memset(zero, 0, sizeof zero);
    return program(store, sector, page, zero);
}

/* One read of the page, so that unstable bits say one thing. */
static enum mark mark_of(const struct pt_flash *flash, uint32_t sector, uint32_t page)
{
    const uint32_t offset = offset_of(flash, sector, page);
    uint8_t piece[PIECE];
    uint8_t all = 0xff;
    uint8_t any = 0;
    for (uint32_t at = 0; at < flash->page; at += PIECE) {
        flash->read(flash->context, offset + at, piece, PIECE);
        for (uint32_t i = 0; i < PIECE; ++i) {
            all &= piece[i];
            any |= piece[i];
        }
    }
    return any == 0u ? FULL : all == 0xffu ? BLANK : BEGUN;
}

/* Whether the record counts; what decides is programmed once more, so that it stays. */
static bool settle(struct pt_store *store, uint32_t sector)
{
    const enum mark voided = mark_of(store->flash, sector, VOID);
    const enum mark commit = mark_of(store->flash, sector, COMMIT);
    if ((voided != FULL && commit == FULL) || (voided == BLANK && commit == BEGUN)) {
        if (program_zero(store, sector, COMMIT) || commit == FULL) {
            return true;
        }
    }
    (void)program_zero(store, sector, VOID);
    return false;
}

/* Where the CRC of a header's page stands. */
static uint32_t crc_at(const struct pt_flash *flash)
{
    return flash->page - (uint32_t)sizeof(uint32_t);
}

static bool read_header(const struct pt_flash *flash, uint32_t sector,
                        struct pt_store_header *header)
{
    uint8_t page[PT_STORE_MOST_PAGE];
    uint32_t crc;
    flash->read(flash->context, sector * flash->sector, page, flash->page);
    memcpy(header, page, sizeof *header);
    memcpy(&crc, page + crc_at(flash), sizeof crc);
    return header->magic == PT_STORE_MAGIC && crc == pt_crc32(0, page, crc_at(flash)) &&
           header->sector == sector && header->sectors >= 1u && header->sectors <= flash->sectors;
}

static bool newer(uint32_t one, uint32_t other)
{
    return (int32_t)(one - other) > 0;
}

/* The newest header, or with `below` the next: lower, or in a later sector where two are equal. */
static bool find_header(const struct pt_flash *flash, const struct pt_store_header *below,
                        struct pt_store_header *found)
{
    struct pt_store_header header;
    bool any = false;
    for (uint32_t sector = 0; sector < flash->sectors; ++sector) {
        if (read_header(flash, sector, &header) &&
            (below == NULL || newer(below->sequence, header.sequence) ||
             (below->sequence == header.sequence && below->sector < sector)) &&
            (!any || newer(header.sequence, found->sequence))) {
            *found = header;
            any = true;
        }
    }
    return any;
}

/* Bytes of the state in the page that begins at `at`. */
static uint32_t part_of(const struct pt_flash *flash, uint32_t size, uint32_t at)
{
    return size - at < flash->page ? size - at : flash->page;
}

static uint32_t read_state(const struct pt_flash *flash, const struct pt_store_header *header,
                           uint32_t at, uint8_t *to)
{
    const uint32_t part = part_of(flash, header->state.state_size, at);
    flash->read(flash->context,
                offset_of(flash, header->sector, PT_STORE_PAGES + at / flash->page), to, part);
    return part;
}

/* Whether the state in flash has the CRC of its header. */
static bool sound(const struct pt_flash *flash, const struct pt_store_header *header)
{
    const uint32_t size = header->state.state_size;
    uint8_t page[PT_STORE_MOST_PAGE];
    if (size > header->sectors * flash->sector ||
        pt_store_sectors(flash, size) > header->sectors) {
        return false;
    }
    uint32_t crc = 0;
    for (uint32_t at = 0; at < size; at += flash->page) {
        crc = pt_crc32(crc, page, read_state(flash, header, at, page));
    }
    return crc == header->state.state_crc;
}

static bool reads_sound(const struct pt_flash *flash, const struct pt_store_header *header)
{
    bool is = false;
    for (uint32_t i = 0; i < TRIES && !is; ++i) {
        is = sound(flash, header);
    }
    return is;
}

static bool flash_valid(const struct pt_flash *flash)
{
    const uint32_t page = flash->page;
    return page >= PT_STORE_LEAST_PAGE && page <= PT_STORE_MOST_PAGE &&
           (page & (page - 1u)) == 0u && flash->sector % page == 0u &&
           flash->sector / page > PT_STORE_PAGES &&
           flash->sectors >= 2u && flash->sectors <= PT_STORE_MOST_SECTORS;
}

/* Damaged records that are newer than the newest that is not, so that none comes back. */
static void void_newer(struct pt_store *store)
{
    struct pt_store_header header;
    for (uint32_t sector = 0; sector < store->flash->sectors; ++sector) {
        if (read_header(store->flash, sector, &header) &&
            newer(header.sequence, store->newest.sequence) &&
            mark_of(store->flash, sector, VOID) != FULL) {
            (void)program_zero(store, sector, VOID);
        }
    }
}

static int find_newest(struct pt_store *store, const struct pt_flash *flash,
                       struct pt_detail *detail)
{
    struct pt_store_header header, last;
    bool more = find_header(flash, NULL, &header);
    store->sequence = more ? header.sequence : 0u;
    /* Each turn ends one header, or what unstable bits make of one. */
    for (uint32_t turn = 0; more && turn < 2u * flash->sectors; ++turn) {
        if (settle(store, header.sector)) {
            if (header.version != PT_STORE_VERSION) {
                return pt_refuse(detail, PT_ERR_STORE_VERSION, header.version, PT_STORE_VERSION,
                                 header.sector, 0);
            }
            if (reads_sound(flash, &header)) {
                store->place = header.sector;
                store->newest = header;
                if (store->damaged != PT_NO_SECTOR) {
                    void_newer(store);
                }
                return PT_OK;
            }
            store->damaged = store->damaged == PT_NO_SECTOR ? header.sector : store->damaged;
        }
        last = header;
        more = find_header(flash, &last, &header);
    }
    return PT_OK;
}

/* What was refused when it was opened, once more. */
static int refused(const struct pt_store *store, struct pt_detail *detail)
{
    if (store->refused != PT_OK && detail != NULL) {
        *detail = store->why;
    }
    return store->refused;
}

int pt_store_open(struct pt_store *store, const struct pt_flash *flash, struct pt_detail *detail)
{
    memset(store, 0, sizeof *store);
    store->flash = flash;
    store->place = PT_NO_SECTOR;
    store->damaged = PT_NO_SECTOR;
    store->refused = flash_valid(flash)
                         ? find_newest(store, flash, &store->why)
                         : pt_refuse(&store->why, PT_ERR_STORE_FLASH, flash->sector, flash->page,
                                     flash->sectors, PT_STORE_MOST_SECTORS);
    return refused(store, detail);
}

int pt_store_restore(const struct pt_store *store, struct pt_trainer *trainer,
                     struct pt_position *position, struct pt_detail *detail)
{
    const struct pt_flash *flash = store->flash;
    const struct pt_store_header *header = &store->newest;
    const uint32_t size = header->state.state_size;
    uint8_t page[PT_STORE_MOST_PAGE];
    int err = refused(store, detail);
    if (!err && trainer->state != PT_STATE_READY) {
        err = pt_refuse(detail, PT_ERR_STATE, trainer->state, PT_STATE_READY, 0, 0);
    }
    if (err) {
        return err;
    }
    if (store->place == PT_NO_SECTOR) {
        return store->damaged == PT_NO_SECTOR
                   ? pt_refuse(detail, PT_ERR_STORE_EMPTY, flash->sectors, 0, 0, 0)
                   : pt_refuse(detail, PT_ERR_STORE_DAMAGED, store->damaged, 0, 0, 0);
    }
    err = pt_state_writable(trainer, detail);
    if (!err) {
        err = pt_state_accept(trainer, &header->state, detail);
    }
    if (!err) {
        err = pt_method_check_mu(header->mu, detail);
    }
    if (!err && !reads_sound(flash, header)) {
        err = pt_refuse(detail, PT_ERR_STORE_DAMAGED, store->place, 0, 0, 0);
    }
    for (uint32_t at = 0; at < size && !err; at += flash->page) {
        if (pt_state_values(page, read_state(flash, header, at, page), 0, NULL) != PT_OK) {
            err = pt_refuse(detail, PT_ERR_CHECKPOINT, PT_CHECKPOINT_OF_VALUES, 0, 0, 0);
        }
    }
    if (err) {
        return err;
    }
    uint32_t crc = ~header->state.state_crc;
    for (uint32_t i = 0; i < TRIES && crc != header->state.state_crc; ++i) {
        crc = 0;
        for (uint32_t at = 0; at < size; at += flash->page) {
            const uint32_t part = read_state(flash, header, at, page);
            pt_state_write(trainer, at, page, part);
            crc = pt_crc32(crc, page, part);
        }
    }
    if (crc != header->state.state_crc) {
        trainer->state = PT_STATE_MODEL;
        return pt_refuse(detail, PT_ERR_STORE_DAMAGED, store->place, 0, 0, 0);
    }
    trainer->method.mu = header->mu;
    if (position != NULL) {
        *position = header->position;
    }
    return PT_OK;
}

/* To blank, for certain; a sector that does not become so is worn. */
static bool erase(struct pt_store *store, uint32_t sector)
{
    const struct pt_flash *flash = store->flash;
    uint8_t zero[PT_STORE_MOST_PAGE];
    memset(zero, 0, sizeof zero);
    (void)flash->program(flash->context, sector * flash->sector, zero);
    const bool done = flash->erase(flash->context, sector) == 0 &&
                      reads(flash, sector * flash->sector, NULL, 0xff, flash->sector);
    if (!done) {
        wear_out(store, sector);
    }
    return done;
}

static bool write_header(struct pt_store *store, const struct pt_store_header *header)
{
    uint8_t page[PT_STORE_MOST_PAGE];
    memset(page, 0xff, sizeof page);
    memcpy(page, header, sizeof *header);
    const uint32_t crc = pt_crc32(0, page, crc_at(store->flash));
    memcpy(page + crc_at(store->flash), &crc, sizeof crc);
    return program(store, header->sector, HEADER, page);
}

/* The state, and that it is there as a whole. */
static bool write_state(struct pt_store *store, const struct pt_trainer *trainer,
                        const struct pt_store_header *header)
{
    const struct pt_flash *flash = store->flash;
    const uint32_t size = header->state.state_size;
    uint8_t page[PT_STORE_MOST_PAGE];
    for (uint32_t at = 0; at < size; at += flash->page) {
        memset(page, 0xff, sizeof page);
        pt_state_read(trainer, at, page, part_of(flash, size, at));
        if (!program(store, header->sector, PT_STORE_PAGES + at / flash->page, page)) {
            return false;
        }
    }
    if (!sound(flash, header)) { /* a page that was right was changed by a later one */
        wear_out(store, header->sector);
        return false;
    }
    return true;
}

static bool write_record(struct pt_store *store, const struct pt_trainer *trainer,
                         const struct pt_store_header *header)
{
    for (uint32_t i = 0; i < header->sectors; ++i) {
        if (!erase(store, round_ring(store->flash, header->sector + i))) {
            return false;
        }
    }
    if (!write_state(store, trainer, header)) {
        return false;
    }
    if (write_header(store, header) && program_zero(store, header->sector, COMMIT)) {
        return true;
    }
    (void)program_zero(store, header->sector, VOID);
    return false;
}

/* The first run of `sectors` good ones behind the newest record, clear of it; PT_NO_SECTOR. */
static uint32_t next_place(const struct pt_store *store, uint32_t sectors, uint32_t held)
{
    const struct pt_flash *flash = store->flash;
    /* Without a newest one a damaged one goes, and first of all, so that it cannot come back. */
    uint32_t first = store->damaged == PT_NO_SECTOR ? 0u : store->damaged;
    uint32_t run = 0;
    if (store->place != PT_NO_SECTOR) {
        first = store->place + held;
    }
    for (uint32_t i = 0; i < flash->sectors - held; ++i) {
        run = is_worn(store, round_ring(flash, first + i)) ? 0u : run + 1u;
        if (run == sectors) {
            return round_ring(flash, first + i + 1u - run);
        }
    }
    return PT_NO_SECTOR;
}

static uint32_t worn_sectors(const struct pt_store *store)
{
    uint32_t count = 0;
    for (uint32_t sector = 0; sector < store->flash->sectors; ++sector) {
        count += is_worn(store, sector) ? 1u : 0u;
    }
    return count;
}

int pt_store_save(struct pt_store *store, const struct pt_trainer *trainer,
                  const struct pt_position *position, struct pt_detail *detail)
{
    const struct pt_flash *flash = store->flash;
    const uint32_t held = store->place == PT_NO_SECTOR ? 0u : store->newest.sectors;
    struct pt_store_header header;
    int err = refused(store, detail);
    if (!err && trainer->state != PT_STATE_READY) {
        err = pt_refuse(detail, PT_ERR_STATE, trainer->state, PT_STATE_READY, 0, 0);
    }
    if (err) {
        return err;
    }
    memset(&header, 0, sizeof header);
    header.magic = PT_STORE_MAGIC;
    header.version = PT_STORE_VERSION;
    header.state = pt_state_describe(trainer);
    header.sectors = pt_store_sectors(flash, header.state.state_size);
    header.mu = trainer->method.mu;
    if (position != NULL) {
        header.position = *position;
    }
    const uint32_t needed = header.sectors + (held == 0u ? header.sectors : held);
    for (;;) {
        header.sector = needed > flash->sectors ? PT_NO_SECTOR
                                                : next_place(store, header.sectors, held);
        if (header.sector == PT_NO_SECTOR) {
            return pt_refuse(detail, PT_ERR_STORE_ROOM, needed, flash->sectors,
                             worn_sectors(store), 0);
        }
        header.sequence = ++store->sequence;
        /* What fails marks a sector that was not: there are only so many. */
        if (write_record(store, trainer, &header)) {
            break;
        }
    }
    store->place = header.sector;
    store->damaged = PT_NO_SECTOR;
    store->newest = header;
    return PT_OK;
}

void pt_store_clear(struct pt_store *store)
{
    const struct pt_flash *flash = store->flash;
    if (store->refused == PT_ERR_STORE_FLASH) {
        return;
    }
    const uint32_t first = store->place == PT_NO_SECTOR ? 0u
                                                        : store->place + store->newest.sectors;
    for (uint32_t i = 0; i < flash->sectors; ++i) {
        (void)erase(store, round_ring(flash, first + i));
    }
    store->refused = PT_OK;
    store->place = PT_NO_SECTOR;
    store->damaged = PT_NO_SECTOR;
}
