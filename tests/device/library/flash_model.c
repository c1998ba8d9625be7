#include "flash_model.h"

#include <stddef.h>
#include <string.h>

#include "check.h"

/* The bits of one byte that the cut leaves done and loose; `loose` wins over neither. */
struct outcome {
    uint8_t done, loose;
};

/* Any bits; a share of them that `density` 0..2 makes small, half or large. */
static uint8_t some(struct flash_model *m, uint32_t density)
{
    const uint32_t one = draw(&m->random) >> 8;
    const uint32_t other = draw(&m->random) >> 8;
    return (uint8_t)(density == 0u ? one & other & one >> 8 : density == 1u ? one
                                                                  : (one | other | one >> 8));
}

static void apply(struct flash_model *m, uint32_t at, struct outcome outcome, bool to_one)
{
    m->loose[at] = (uint8_t)((m->loose[at] & ~outcome.done) | outcome.loose);
    m->value[at] = (uint8_t)(to_one ? m->value[at] | outcome.done : m->value[at] & ~outcome.done);
    m->any_loose = m->any_loose || outcome.loose != 0u;
}

/* Bits that the step has still to bring to 0, or to 1. */
static uint8_t open_bits(const struct flash_model *m, uint32_t at, bool to_one, uint8_t wanted)
{
    return (uint8_t)((to_one ? ~m->value[at] | m->loose[at]
                             : (m->value[at] | m->loose[at]) & ~wanted));
}

/* One to three of the open bits, one for each byte of `few`. */
static void pick_few(struct flash_model *m, uint32_t offset, uint32_t size, bool to_one,
                     const uint8_t *wanted, uint32_t few[3])
{
    const uint32_t count = 1u + draw(&m->random) % 3u;
    for (uint32_t i = 0; i < 3u; ++i) {
        few[i] = UINT32_MAX;
        for (uint32_t turn = 0; i < count && turn < 64u && few[i] == UINT32_MAX; ++turn) {
            const uint32_t at = draw(&m->random) % size;
            if (open_bits(m, offset + at, to_one, wanted == NULL ? 0u : wanted[at]) != 0u) {
                few[i] = at;
            }
        }
    }
}

static struct outcome torn_byte(struct flash_model *m, uint32_t torn, uint8_t open, bool few,
                                bool front, uint32_t density)
{
    struct outcome o = {0, 0};
    const uint8_t chosen = some(m, density) & open;
    const uint8_t bit = (uint8_t)(open & -open);
    switch (torn) {
    case ERASE_DONE:
        o.done = open;
        break;
    case ERASE_SOME:
        o.done = chosen;
        break;
    case ERASE_SOME_REST_LOOSE:
        o.done = chosen;
        o.loose = (uint8_t)(open & ~chosen);
        break;
    case ERASE_SOME_LOOSE:
        o.loose = chosen;
        break;
    case ERASE_ALL_LOOSE:
        o.loose = open;
        break;
    case ERASE_FEW_LOOSE:
        o.loose = few ? bit : 0u;
        break;
    case ERASE_DONE_BUT_FEW:
        o.loose = few ? bit : 0u;
        o.done = (uint8_t)(open & ~o.loose);
        break;
    case ERASE_FIRST_PAGES:
    case ERASE_ANY_PAGES:
        o.done = front ? open : 0u;
        break;
    case ERASE_LAST_PAGES:
        o.done = front ? 0u : open;
        break;
    default:
        break;
    }
    return o;
}

static void tear(struct flash_model *m, uint32_t offset, uint32_t size, bool erase,
                 const uint8_t *wanted)
{
    static const uint8_t of_program[TORN_PROGRAMS] = {
        ERASE_NOT_BEGUN,  ERASE_DONE,      ERASE_SOME,        ERASE_SOME_REST_LOOSE,
        ERASE_SOME_LOOSE, ERASE_ALL_LOOSE, ERASE_FIRST_PAGES, ERASE_FEW_LOOSE,
        ERASE_DONE_BUT_FEW,
    };
    const uint32_t torn = erase ? m->torn % TORN_ERASES : of_program[m->torn % TORN_PROGRAMS];
    const uint32_t density = draw(&m->random) % 3u;
    const bool zeroes = erase && torn >= ERASE_SOME_ZEROED;
    const uint32_t pages = draw(&m->random); /* ERASE_ANY_PAGES: which, as bits */
    uint32_t middle = draw(&m->random) % size;
    uint32_t few[3];
    if (erase) {
        middle -= middle % m->flash.page;
    }
    pick_few(m, offset, size, erase, wanted, few);
    for (uint32_t at = 0; at < size; ++at) {
        if (zeroes) { /* the first half of an erase: to 0 */
            const uint8_t open = open_bits(m, offset + at, false, 0);
            const uint8_t chosen = some(m, density) & open;
            const struct outcome o = {
                torn == ERASE_ALL_ZEROED ? open : torn == ERASE_SOME_ZEROED ? chosen : 0u,
                torn == ERASE_SOME_ZEROED_LOOSE ? chosen : 0u,
            };
            apply(m, offset + at, o, false);
            continue;
        }
        const uint8_t open = open_bits(m, offset + at, erase, wanted == NULL ? 0u : wanted[at]);
        const bool is_few = at == few[0] || at == few[1] || at == few[2];
        const bool front = torn == ERASE_ANY_PAGES
                               ? (pages >> at / m->flash.page % 32u & 1u) != 0u
                               : at < middle;
        apply(m, offset + at, torn_byte(m, torn, open, is_few, front, density), erase);
    }
}

/* True where the step is the last before the power is gone. */
static bool is_cut(struct flash_model *m)
{
    return m->steps++ == m->cut;
}

static int erase(void *context, uint32_t sector)
{
    struct flash_model *m = context;
    const uint32_t offset = sector * m->flash.sector;
    CHECK(sector < m->flash.sectors);
    ++m->erases[sector];
    if (is_cut(m)) {
        tear(m, offset, m->flash.sector, true, NULL);
        m->cut_an_erase = true;
        longjmp(m->power, 1);
    }
    if (m->wear[sector] == REFUSES) {
        return -1;
    }
    memset(m->value + offset, 0xff, m->flash.sector);
    memset(m->loose + offset, 0, m->flash.sector);
    if (m->wear[sector] == ERASES_BADLY) {
        m->value[offset + m->flash.sector - 7u] = 0xef;
    }
    return 0;
}

static int program(void *context, uint32_t offset, const uint8_t *page)
{
    struct flash_model *m = context;
    const uint32_t sector = offset / m->flash.sector;
    CHECK(offset % m->flash.page == 0u && sector < m->flash.sectors);
    if (is_cut(m)) {
        tear(m, offset, m->flash.page, false, page);
        m->cut_an_erase = false;
        longjmp(m->power, 1);
    }
    if (m->wear[sector] == REFUSES) {
        return -1;
    }
    const uint32_t number = offset % m->flash.sector / m->flash.page;
    const bool badly = m->wear[sector] == PROGRAMS_BADLY ||
                       (m->wear[sector] == PAGE_0_BADLY && number == 0u) ||
                       (m->wear[sector] == PAGE_1_BADLY && number == 1u);
    for (uint32_t i = 0; i < m->flash.page; ++i) {
        const bool bad = badly && i == 5u;
        const struct outcome o = {(uint8_t)~(page[i] | (bad ? 0x21u : 0u)), 0};
        apply(m, offset + i, o, false);
    }
    return 0;
}

static void read(void *context, uint32_t offset, uint8_t *to, uint32_t size)
{
    struct flash_model *m = context;
    CHECK(offset + size <= m->flash.sectors * m->flash.sector);
    memcpy(to, m->value + offset, size);
    for (uint32_t i = 0; i < size && m->any_loose; ++i) {
        const uint8_t loose = m->loose[offset + i];
        if (loose != 0u) {
            const uint32_t says = m->reading == READS_0   ? 0u
                                  : m->reading == READS_1 ? 0xffu
                                                          : draw(&m->random) >> 11;
            to[i] = (uint8_t)((to[i] & ~loose) | (says & loose));
        }
    }
}

void flash_make(struct flash_model *m, uint32_t sector, uint32_t page, uint32_t sectors,
                uint32_t seed)
{
    CHECK(sector * sectors <= FLASH_BYTES && sectors <= FLASH_SECTORS);
    memset(m, 0, sizeof *m);
    memset(m->value, 0xff, sizeof m->value);
    m->flash = (struct pt_flash){sector, page, sectors, m, read, erase, program};
    m->random = seed | 1u;
    m->cut = NO_CUT;
}

void flash_power(struct flash_model *m, uint32_t cut, uint32_t torn, enum reading reading)
{
    m->steps = 0;
    m->cut = cut;
    m->torn = torn;
    m->reading = reading;
}

void flash_copy(struct flash_model *to, const struct flash_model *from)
{
    const uint32_t bytes = from->flash.sector * from->flash.sectors;
    memcpy(to->value, from->value, bytes);
    memcpy(to->loose, from->loose, bytes);
    memcpy(to->wear, from->wear, sizeof to->wear);
    memcpy(to->erases, from->erases, sizeof to->erases);
    to->any_loose = from->any_loose;
    to->flash = from->flash;
    to->flash.context = to;
}
