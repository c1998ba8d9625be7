/*
 * What a trainer has learned, in a ring of flash sectors, so that a cut of the power at any moment
 * leaves the state before or the state after.
 *
 *   pt_store_open      at boot: finds the newest state
 *   pt_store_restore   gives it to a trainer that has the same model and method
 *   pt_store_save      writes the trainer's state as the newest
 *   pt_store_clear     forgets all states
 *
 * The caller owns struct pt_store and struct pt_flash, and says how flash is read, erased and
 * programmed; nothing else is touched. A state passes page by page, so it may be larger than any
 * buffer.
 *
 * A record is a run of sectors, which may go round the end of the ring:
 *
 *   page 0   header: whose state, how large, which in sequence, CRC of the state, CRC of the page
 *   page 1   commit: blank, or all zero when the record counts
 *   page 2   void: blank, or all zero when it never will
 *   page 3.. the state
 *
 * pt_store_save takes the sectors behind the newest record, so that all wear alike, and never those
 * of the newest record itself. It erases them, programs the state and reads it back, then the
 * header, and only when that reads back too the commit page. Each page is programmed from blank.
 *
 * Why a cut does no harm. A cut leaves pages in which any bit of what was under way may be done,
 * not done, or unstable: it reads as it likes until it is programmed or erased again.
 *
 *   Before the commit page was begun it is blank for certain, for its sector was erased to the end:
 *   the record does not count, whatever its header or state read as.
 *   Once it was begun, header and state are whole for certain. If a single bit of it reads 0 the
 *   record counts, and pt_store_open programs the page again, with the same zeros, before it says
 *   so: all bits are then stable, and the answer stays.
 *   If it was begun but reads blank, pt_store_open cannot know, and programs the void page before
 *   it gives the older state: what reads as a commit later comes too late.
 *   A cut during either of these leaves one page more in work, and the same rules decide: void that
 *   is all zero, then commit that is all zero, then any 0 in void, then any 0 in commit. A record
 *   for which a commit was finished is never voided, unless its state is damaged by something else
 *   and an older one serves; nor is one that is void committed.
 *   Before a sector is erased its page 0 is programmed to zero, so that no header comes back while
 *   the erase is under way, in whatever order the bits go.
 *   An old record that was cut while it was erased has a lower sequence number than the newest. A
 *   number is given once: the next is above that of every header that can be read, void or not.
 *   Numbers may wrap; they are compared by their difference.
 *
 * What is left is chance: 1 in 2^32 that a torn header has a right CRC, and then its commit page is
 * blank; or that all of the many unstable bits of a page read as 1 at one boot and not at the next.
 *
 * Wear. A sector that does not erase or a page that does not read back is skipped, and with it the
 * start of the run, for as long as this struct lives; after a boot it is tried once more. A save of
 * a state of k sectors and n pages is k erases and n + k + 2 programs: each of its pages, header,
 * commit, and page 0 of each sector to zero before the erase. pt_store_open programs one page, the
 * commit of the newest record once more, and erases nothing: between two saves that page is
 * programmed once and then once at each boot. Where a datasheet limits how often a page may be
 * programmed without an erase, save again before so many boots. More than two records' worth of
 * sectors keep older states too, which serve if the newest is damaged by something else than a cut.
 */
#ifndef PT_STORE_H
#define PT_STORE_H

#include <stdint.h>

#include "nn/pt_error.h"
#include "nn/pt_state.h"
#include "nn/pt_trainer.h"

enum pt_store_format {
    PT_STORE_MAGIC = 0x46535450, /* "PTSF" */
    PT_STORE_VERSION = 1,
    PT_STORE_LEAST_PAGE = 128,
    PT_STORE_MOST_PAGE = 256,
    PT_STORE_MOST_SECTORS = 256,
    PT_STORE_PAGES = 3, /* in front of the state */
    PT_NO_SECTOR = 0xffffffff,
};

/*
 * NOR flash: an erase makes all bits of a sector 1, a program makes bits of a page 0, and a page
 * may be programmed again without an erase (page 0 of a sector once more, a commit at each boot),
 * which flash with error correction does not allow. What `program` is given has 1 where bits stay.
 */
struct pt_flash {
    uint32_t sector;  /* bytes, a multiple of a page and at least 4 of them */
    uint32_t page;    /* bytes, a power of two, 128..256 */
    uint32_t sectors; /* of the ring, 2..256 */
    void *context;    /* handed back to the functions; offsets count from the start of the ring */
    void (*read)(void *context, uint32_t offset, uint8_t *to, uint32_t size);
    int (*erase)(void *context, uint32_t sector);                        /* not 0: it failed */
    int (*program)(void *context, uint32_t offset, const uint8_t *page); /* not 0: it failed */
};

/* Where the caller is in its stream of images; kept with the state, and never looked at. */
struct pt_position {
    uint32_t epoch;
    uint32_t image;
    uint32_t own[2];
};

/* Page 0 of a record; the page's last word is the CRC-32 of all before it. The first five fields,
 * that CRC and pages 1 and 2 stay as they are in every version. */
struct pt_store_header {
    uint32_t magic;
    uint32_t version;
    uint32_t sequence;
    uint32_t sector;  /* its own: the first of the record */
    uint32_t sectors; /* of the record */
    struct pt_checkpoint state;
    struct pt_position position;
    int32_t mu;
};

struct pt_store {
    const struct pt_flash *flash;
    uint32_t place;    /* first sector of the newest state; PT_NO_SECTOR: there is none */
    uint32_t damaged;  /* of a newer one that cannot be read, or PT_NO_SECTOR */
    uint32_t sequence; /* the highest that was seen */
    struct pt_store_header newest; /* of the state at `place` */
    uint32_t worn[PT_STORE_MOST_SECTORS / 32]; /* a bit for each sector that failed */
    int refused;                               /* what pt_store_open said, if that was no PT_OK, */
    struct pt_detail why;                      /* and its numbers */
};

/*
 * Finds the newest state that counts and whose CRC is right. A ring that is empty or damaged opens
 * too, with `place` PT_NO_SECTOR. PT_ERR_STORE_FLASH where the numbers of `flash` are none that can
 * be; PT_ERR_STORE_VERSION where the newest state is of another version of this format, which then
 * stays as it is. After either, pt_store_restore and pt_store_save refuse with the same error:
 * after the second until pt_store_clear, after the first until a ring that can be is opened.
 */
int pt_store_open(struct pt_store *store, const struct pt_flash *flash, struct pt_detail *detail);

/*
 * The newest state, and the step size that was in use, into `trainer`, which must be
 * PT_STATE_READY. `position` may be NULL. PT_ERR_STORE_EMPTY; PT_ERR_STORE_DAMAGED;
 * PT_ERR_CHECKPOINT where it is of another model or method (pt_state.h), PT_ERR_ARGUMENT where its
 * step size is none, PT_ERR_FROZEN and PT_ERR_AFFINE where it is weights that cannot be written. On
 * an error the trainer is as it was, or, if the flash first read well and then did not,
 * PT_STATE_MODEL.
 */
int pt_store_restore(const struct pt_store *store, struct pt_trainer *trainer,
                     struct pt_position *position, struct pt_detail *detail);

/*
 * The state of `trainer`, which must be PT_STATE_READY, as the newest; `position` may be NULL.
 * PT_ERR_STORE_ROOM where the ring has no room beside the newest state (or, when it is empty, for
 * two of this size), or where too much of it is worn: the newest state stays what it was.
 */
int pt_store_save(struct pt_store *store, const struct pt_trainer *trainer,
                  const struct pt_position *position, struct pt_detail *detail);

/* Erases all sectors, the newest state last; worn ones as far as they can be. Nothing where
 * pt_store_open said PT_ERR_STORE_FLASH. */
void pt_store_clear(struct pt_store *store);

/* Sectors that a state of `size` bytes takes. */
uint32_t pt_store_sectors(const struct pt_flash *flash, uint32_t size);

#endif
