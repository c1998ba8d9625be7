/*
 * standalone_lines ARENA: the portable half of firmware/examples/standalone on a host, with the
 * flash of flash_model.h. Lines of stdin go to it, and its answers to stdout; but for those that
 * begin with "!", which are for this program:
 *
 *   !window FILE   another second MiB, without its ring
 *   !boot          as after a loss of the power
 *   !port N        what follows comes by this port
 *   !part TEXT     the text without a line's end
 *   !drop          forgets a part of a line
 *   !version       the newest state becomes one of another version
 *   !damage        the newest state loses a bit; !damage all: every state
 *   !worn          no sector takes anything from now on
 */
#include <string.h>

#include "check.h"
#include "examples/standalone/lines.h"
#include "flash_model.h"
#include "nn/pt_crc32.h"

enum { MOST = 1 << 17, ARENA = 1 << 20 };

static struct flash_model flash;
static struct pt_learner learner;
static struct pt_lines lines;
static uint8_t *window;
static uint32_t arena_size, port;
static _Alignas(64) uint8_t arena[ARENA];
static char line[MOST];

static void boot(void)
{
    memset(arena, 0xa5, sizeof arena);
    memset(&learner, 0xa5, sizeof learner);
    memset(&lines, 0xa5, sizeof lines);
    CHECK(setjmp(flash.power) == 0); /* nothing is cut here */
    flash_power(&flash, NO_CUT, 0, READS_RANDOM);
    pt_learner_open(&learner, window, &flash.flash, arena, arena_size);
    pt_lines_start(&lines, &learner, 1234);
    for (uint32_t at = arena_size; at < ARENA; ++at) {
        CHECK(arena[at] == 0xa5);
    }
}

static void send(const char *text)
{
    for (; *text != '\0'; ++text) {
        const enum pt_lines_outcome outcome = pt_lines_take(&lines, port, (uint8_t)*text);
        if (outcome == PT_LINES_ANSWERED) {
            CHECK(lines.size <= PT_LINES_ANSWER && lines.answer[lines.size - 1u] == '\n');
            (void)fwrite(lines.answer, 1, lines.size, stdout);
        } else if (outcome == PT_LINES_WAIT) {
            (void)puts("(waits)");
            return;
        }
    }
}

static struct pt_store_header *header_at(uint32_t sector)
{
    return (struct pt_store_header *)(void *)(flash.value + sector * flash.flash.sector);
}

static void other_version(void)
{
    const uint32_t last = flash.flash.page - 4u;
    struct pt_store_header *header = header_at(learner.store.place);
    header->version = PT_STORE_VERSION + 1u;
    const uint32_t crc = pt_crc32(0, header, last);
    memcpy((uint8_t *)header + last, &crc, sizeof crc);
}

static void damage(bool all)
{
    for (uint32_t sector = 0; sector < flash.flash.sectors; ++sector) {
        if (header_at(sector)->magic == PT_STORE_MAGIC &&
            (all || sector == learner.store.place)) {
            ((uint8_t *)header_at(sector))[PT_STORE_PAGES * flash.flash.page] ^= 1u;
        }
    }
}

static void obey(char *what)
{
    what[strcspn(what, "\n")] = '\0';
    char *rest = strchr(what, ' ');
    rest = rest == NULL ? what + strlen(what) : rest + 1;
    if (strncmp(what, "!window", 7) == 0) {
        uint32_t size;
        free(window);
        window = read_file(rest, &size);
        memset(window + size, 0xff, (1u << 20) - size);
    } else if (strncmp(what, "!boot", 5) == 0) {
        boot();
    } else if (strncmp(what, "!port", 5) == 0) {
        port = (uint32_t)atoi(rest);
    } else if (strncmp(what, "!part", 5) == 0) {
        send(rest);
    } else if (strncmp(what, "!drop", 5) == 0) {
        CHECK(pt_lines_begun(&lines, port));
        pt_lines_drop(&lines, port);
        CHECK(!pt_lines_begun(&lines, port));
    } else if (strncmp(what, "!version", 8) == 0) {
        other_version();
    } else if (strncmp(what, "!damage", 7) == 0) {
        damage(*rest != '\0');
    } else {
        CHECK(strncmp(what, "!worn", 5) == 0);
        memset(flash.wear, 0, sizeof flash.wear);
        for (uint32_t sector = 0; sector < FLASH_SECTORS; ++sector) {
            flash.wear[sector] = REFUSES;
        }
    }
}

int main(int count, char **words)
{
    CHECK(count == 2);
    arena_size = (uint32_t)atoi(words[1]);
    CHECK(arena_size <= ARENA);
    flash_make(&flash, 4096, 256, FLASH_SECTORS, 1);
    while (fgets(line, sizeof line, stdin) != NULL) {
        if (line[0] == '!') {
            obey(line);
        } else {
            send(line);
        }
    }
    return 0;
}
