/*
 * QEMU TCG plugin: Cortex-M0+ cycles per basic block, in a file that others can map.
 *
 *   -plugin file=cycles.so,out=PATH[,slots=N]
 *
 * Each block has one slot, and one callback per execution adds to it. README.md describes the file.
 */
#define _POSIX_C_SOURCE 200809L

#include "cortex_m0plus.h"
#include "qemu_plugin_api.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FILE_MAGIC "PTCYCLES"
#define FILE_VERSION 1
#define DEFAULT_SLOTS 65536
#define MAX_SLOTS (1u << 24)

enum slot_flags {
    ENDS_CONDITIONAL = 1, /* the last instruction is B<cond>, so `taken` means something */
    HAS_UNCOSTED = 2,     /* holds an instruction for which the manual gives no number */
};

/* In the byte order of the host. */
struct header {
    char magic[8];
    uint32_t version;
    uint32_t header_size;
    uint32_t slot_size;
    uint32_t capacity;
    uint32_t used;
    uint32_t dropped; /* blocks that found no free slot: the counts are then worthless */
    uint8_t reserved[32];
};

struct slot {
    uint64_t executions;
    uint64_t taken;
    uint64_t hash; /* FNV-1a of the instruction bytes */
    uint32_t pc;
    uint32_t fall_through; /* address after the last instruction */
    uint32_t instructions;
    uint32_t cycles; /* for one pass, its B<cond> not taken */
    uint32_t flags;
    uint32_t reserved;
};

_Static_assert(sizeof(struct header) == 64, "the file layout is documented");
_Static_assert(sizeof(struct slot) == 48, "the file layout is documented");

int qemu_plugin_version = QEMU_PLUGIN_API_VERSION;

static struct header *header;
static struct slot *slots;

/* Open addressing over (pc, instructions, hash): slot number + 1, or 0 where free. */
static uint32_t *slot_index;
static uint32_t index_mask;

/* Makes the first block that runs need no special case. */
static struct slot before_first;
static struct slot *previous = &before_first;

static void on_block(unsigned int vcpu, void *user)
{
    struct slot *slot = user;
    (void)vcpu;
    slot->executions++;
    previous->taken += (previous->flags & ENDS_CONDITIONAL) & (previous->fall_through != slot->pc);
    previous = slot;
}

/* Fills everything of `key` but the counters from the block that QEMU just translated. */
static void describe(const struct qemu_plugin_tb *tb, struct slot *key)
{
    memset(key, 0, sizeof *key);
    key->pc = (uint32_t)qemu_plugin_tb_vaddr(tb);
    key->fall_through = key->pc;
    key->instructions = (uint32_t)qemu_plugin_tb_n_insns(tb);
    key->hash = 0xcbf29ce484222325u;

    for (size_t i = 0; i < key->instructions; i++) {
        /* The width comes from the opcode: near the end of a page, QEMU's own size is too big. */
        const uint8_t *bytes = qemu_plugin_insn_data(qemu_plugin_tb_get_insn(tb, i));
        uint16_t opcode = (uint16_t)(bytes[0] | bytes[1] << 8);
        unsigned width = m0plus_width(opcode);
        unsigned cycles = m0plus_cycles(opcode);

        for (unsigned b = 0; b < width; b++) {
            key->hash = (key->hash ^ bytes[b]) * 0x100000001b3u;
        }
        key->fall_through += width;
        key->cycles += cycles;
        if (cycles == 0) {
            key->flags |= HAS_UNCOSTED;
        }
        if (i + 1 == key->instructions && m0plus_is_conditional(opcode)) {
            key->flags |= ENDS_CONDITIONAL;
        }
    }
}

/* The slot of a block, a new one if it was never seen; NULL when the file is full. */
static struct slot *find_slot(const struct slot *key)
{
    uint64_t mixed = (key->hash ^ key->pc ^ ((uint64_t)key->instructions << 32))
                     * 0x9e3779b97f4a7c15u;
    uint32_t at = (uint32_t)(mixed >> 32) & index_mask;

    for (; slot_index[at]; at = (at + 1) & index_mask) {
        struct slot *slot = &slots[slot_index[at] - 1];
        if (slot->pc == key->pc && slot->instructions == key->instructions
            && slot->hash == key->hash) {
            return slot;
        }
    }
    if (header->used == header->capacity) {
        return NULL;
    }
    slots[header->used] = *key;
    slot_index[at] = ++header->used;
    return &slots[header->used - 1];
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    struct slot key;
    (void)id;
    describe(tb, &key);

    struct slot *slot = find_slot(&key);
    if (!slot) {
        header->dropped++;
        return;
    }
    qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, QEMU_PLUGIN_CB_NO_REGS, slot);
}

static int fail(const char *what, const char *detail)
{
    fprintf(stderr, "cycles plugin: %s%s\n", what, detail);
    return 1;
}

static int create_file(const char *path, uint32_t capacity)
{
    size_t size = sizeof(struct header) + (size_t)capacity * sizeof(struct slot);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return fail("cannot open the counter file: ", strerror(errno));
    }
    /* Truncating to nothing first leaves all zeros, whatever the file held. */
    if (ftruncate(fd, 0) || ftruncate(fd, (off_t)size)) {
        close(fd);
        return fail("cannot size the counter file: ", strerror(errno));
    }
    void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (map == MAP_FAILED) {
        return fail("cannot map the counter file: ", strerror(errno));
    }
    header = map;
    slots = (struct slot *)(header + 1);
    memcpy(header->magic, FILE_MAGIC, sizeof header->magic);
    header->version = FILE_VERSION;
    header->header_size = sizeof(struct header);
    header->slot_size = sizeof(struct slot);
    header->capacity = capacity;
    return 0;
}

static int create_index(uint32_t capacity)
{
    uint32_t size = 2;
    while (size < 2 * capacity) {
        size *= 2;
    }
    slot_index = calloc(size, sizeof *slot_index);
    index_mask = size - 1;
    return slot_index ? 0 : fail("out of memory", "");
}

int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
    const char *path = NULL;
    uint32_t capacity = DEFAULT_SLOTS;

    if (info->version.cur != QEMU_PLUGIN_API_VERSION) {
        fprintf(stderr, "cycles plugin: built for plugin API %d, but this QEMU has %d\n",
                QEMU_PLUGIN_API_VERSION, info->version.cur);
        return 1;
    }
    if (!info->system_emulation || strcmp(info->target_name, "arm") != 0
        || info->system.smp_vcpus != 1) {
        return fail("counts one Cortex-M0+ in qemu-system-arm, nothing else", "");
    }
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "out=", 4) == 0) {
            path = argv[i] + 4;
        } else if (strncmp(argv[i], "slots=", 6) == 0) {
            char *end;
            unsigned long n = strtoul(argv[i] + 6, &end, 10);
            if (*end || n < 1 || n > MAX_SLOTS) {
                return fail("slots must be 1 to 16777216, not ", argv[i] + 6);
            }
            capacity = (uint32_t)n;
        } else {
            return fail("unknown argument ", argv[i]);
        }
    }
    if (!path) {
        return fail("needs out=PATH for the counter file", "");
    }
    int err = create_file(path, capacity);
    if (!err) {
        err = create_index(capacity);
    }
    if (err) {
        return err;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    return 0;
}
