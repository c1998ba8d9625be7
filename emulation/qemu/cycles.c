/*
 * QEMU TCG plugin: Cortex-M0+ cycles per basic block and per call chain, in a file that others can
 * map.
 *
 *   -plugin file=cycles.so,out=PATH[,slots=N][,nodes=N]
 *
 * Each block has one slot, and one callback per execution adds to it and to the node of the call
 * tree that the core is in. README.md describes the file.
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
#define FILE_VERSION 4
#define DEFAULT_SLOTS 65536
#define DEFAULT_NODES 16384
#define MAX_ENTRIES (1u << 24)
#define MAX_DEPTH 1024 /* calls that the shadow stack holds */

/* In the byte order of the host. */
struct header {
    char magic[8];
    uint32_t version;
    uint32_t header_size;
    uint32_t slot_size;
    uint32_t capacity;
    uint32_t used;
    uint32_t dropped; /* blocks that found no free slot: the counts are then worthless */
    uint32_t node_size;
    uint32_t node_capacity;
    uint32_t nodes;      /* in use */
    uint32_t lost_calls; /* found no node or were too deep: their cycles are their caller's */
    uint64_t unmatched;  /* returns to an address that no call left on the shadow stack */
    /* Addresses in QEMU, u64: the callback keeps what it has at hand, and the reader divides. */
    _Alignas(8) struct slot *slots_at;
    _Alignas(8) struct node *nodes_at;
    _Alignas(8) struct slot *last;    /* of the block that ran last; elsewhere before any */
    _Alignas(8) struct node *current; /* the node that it ran in; NULL before any */
    uint64_t reserved[5];
};

/* What every execution touches comes first; a slot is a cache line. */
struct slot {
    uint64_t executions;
    uint64_t fell; /* passes after which its B<cond> was not taken */
    uint32_t pc;
    uint32_t falls_to;     /* where a B<cond> that is not taken goes on; NOWHERE without one */
    uint32_t most;         /* cycles of a pass, its B<cond> taken */
    uint32_t flow;         /* enum m0plus_flow of the last instruction */
    uint64_t hash;         /* FNV-1a of the instruction bytes */
    uint32_t fall_through; /* address after the last instruction */
    uint32_t instructions;
    uint32_t last;         /* address of the last instruction */
    uint32_t has_uncosted; /* holds an instruction for which the manual gives no number */
    uint64_t reserved;
};

#define NOWHERE 1 /* no instruction has an odd address */

/* A function as reached through one chain of calls. */
struct node {
    uint64_t calls;
    uint64_t cycles;    /* its own, without its callees' */
    uint32_t parent;    /* number of a node before this one; NO_PARENT for the root */
    uint32_t entry;     /* the first pc after the call */
    uint32_t call_site; /* address of the BL or BLX that came first */
    uint32_t reserved;
};

#define NO_PARENT UINT32_MAX

_Static_assert(sizeof(struct header) == 128, "the file layout is documented");
_Static_assert(sizeof(struct slot) == 64, "the file layout is documented");
_Static_assert(sizeof(struct node) == 32, "the file layout is documented");

int qemu_plugin_version = QEMU_PLUGIN_API_VERSION;

static struct header *header;
static struct slot *slots;
static struct node *nodes;

/* Open addressing: the number of a slot or node + 1, or 0 where free. */
struct index {
    uint32_t *numbers;
    uint32_t mask;
};

static struct index slot_index; /* over (pc, instructions, hash) */
static struct index node_index; /* over (parent, entry) */

/* Where each open call will return to, and the node that it left. */
static struct frame {
    uint32_t return_address;
    struct node *caller;
} frames[MAX_DEPTH];
static unsigned depth;

/* Calls are recognised by the block after them; "called" from here, the first one is the root. */
static struct slot before_first = {.flow = M0PLUS_CALL};

static uint32_t spread(uint64_t key)
{
    return (uint32_t)(key * 0x9e3779b97f4a7c15u >> 32);
}

/* The node of a function called from node `parent`, a new one at the first call; NULL if full. */
static struct node *find_node(uint32_t parent, uint32_t entry, uint32_t call_site)
{
    uint32_t at = spread((uint64_t)parent << 32 | entry) & node_index.mask;

    for (; node_index.numbers[at]; at = (at + 1) & node_index.mask) {
        struct node *node = &nodes[node_index.numbers[at] - 1];
        if (node->parent == parent && node->entry == entry) {
            return node;
        }
    }
    if (header->nodes == header->node_capacity) {
        return NULL;
    }
    struct node *node = &nodes[header->nodes];
    node->parent = parent;
    node->entry = entry;
    node->call_site = call_site;
    node_index.numbers[at] = ++header->nodes;
    return node;
}

static void enter(const struct slot *from, uint32_t entry)
{
    if (!header->current) {
        header->current = find_node(NO_PARENT, entry, 0); /* there is room for one */
        header->current->calls++;
        return;
    }
    if (depth == MAX_DEPTH) {
        /* Without a frame the return will look unmatched, or unwind further: wrong, and said so. */
        header->lost_calls++;
        return;
    }
    frames[depth++] = (struct frame){from->fall_through, header->current};

    struct node *node = find_node((uint32_t)(header->current - nodes), entry, from->last);
    if (!node) {
        header->lost_calls++;
        return;
    }
    node->calls++;
    header->current = node;
}

/* Back to the innermost call that returns to `pc`; whether there was one. */
static bool leave(uint32_t pc)
{
    for (unsigned i = depth; i-- > 0;) {
        if (frames[i].return_address == pc) {
            depth = i;
            header->current = frames[i].caller;
            return true;
        }
    }
    return false;
}

/* A call or return, known by its last block, has arrived at `pc`. */
static void change_function(const struct slot *from, uint32_t pc)
{
    switch (from->flow) {
    case M0PLUS_CALL:
        enter(from, pc);
        break;
    case M0PLUS_RETURN:
        header->unmatched += !leave(pc);
        break;
    default:
        leave(pc);
    }
}

/* Apart from on_block, so that it need not save registers. */
static __attribute__((noinline)) void after_jump(const struct slot *from, struct slot *slot)
{
    change_function(from, slot->pc);
    slot->executions++;
    header->current->cycles += slot->most;
}

/*
 * Runs before every block, and is what counting costs: 17 instructions. A block counts as left by
 * its branch, until the next one tells otherwise.
 */
static void on_block(unsigned int vcpu, void *user)
{
    struct slot *slot = user;
    struct slot *last = header->last;
    (void)vcpu;
    header->last = slot;
    if (__builtin_expect(last->flow, M0PLUS_ONWARD) != M0PLUS_ONWARD) {
        after_jump(last, slot);
        return;
    }
    uint64_t fell = last->falls_to == slot->pc;
    last->fell += fell;
    slot->executions++;
    header->current->cycles += slot->most - fell; /* a B<cond> stays in its block's node */
}

/* Fills everything of `key` but the counters from the block that QEMU just translated. */
static void describe(const struct qemu_plugin_tb *tb, struct slot *key)
{
    memset(key, 0, sizeof *key);
    key->pc = (uint32_t)qemu_plugin_tb_vaddr(tb);
    key->fall_through = key->pc;
    key->falls_to = NOWHERE;
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
        key->most += cycles;
        key->has_uncosted |= cycles == 0;
        if (i + 1 == key->instructions) {
            uint16_t second = width == 4 ? (uint16_t)(bytes[2] | bytes[3] << 8) : 0;
            key->last = key->fall_through - width;
            key->flow = m0plus_flow(opcode, second);
            if (m0plus_is_conditional(opcode)) {
                key->falls_to = key->fall_through;
                key->most += M0PLUS_TAKEN_EXTRA;
            }
        }
    }
}

/* The slot of a block, a new one if it was never seen; NULL when the file is full. */
static struct slot *find_slot(const struct slot *key)
{
    uint32_t at = spread(key->hash ^ key->pc ^ (uint64_t)key->instructions << 32) & slot_index.mask;

    for (; slot_index.numbers[at]; at = (at + 1) & slot_index.mask) {
        struct slot *slot = &slots[slot_index.numbers[at] - 1];
        if (slot->pc == key->pc && slot->instructions == key->instructions
            && slot->hash == key->hash) {
            return slot;
        }
    }
    if (header->used == header->capacity) {
        return NULL;
    }
    slots[header->used] = *key;
    slot_index.numbers[at] = ++header->used;
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

static int create_file(const char *path, uint32_t capacity, uint32_t node_capacity)
{
    size_t nodes_at = sizeof(struct header) + (size_t)capacity * sizeof(struct slot);
    size_t size = nodes_at + (size_t)node_capacity * sizeof(struct node);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return fail("cannot open the counter file: ", strerror(errno));
    }
    /* Truncating to nothing first leaves all zeros, whatever the file held. */
    if (ftruncate(fd, 0) || ftruncate(fd, (off_t)size)) {
        close(fd);
        return fail("cannot size the counter file: ", strerror(errno));
    }
    /* A page without room would kill QEMU when a block in it first runs. */
    int full = posix_fallocate(fd, 0, (off_t)size);
    if (full) {
        close(fd);
        return fail("no room for the counter file: ", strerror(full));
    }
    void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (map == MAP_FAILED) {
        return fail("cannot map the counter file: ", strerror(errno));
    }
    header = map;
    slots = (struct slot *)(header + 1);
    nodes = (struct node *)(slots + capacity);
    memcpy(header->magic, FILE_MAGIC, sizeof header->magic);
    header->version = FILE_VERSION;
    header->header_size = sizeof(struct header);
    header->slot_size = sizeof(struct slot);
    header->capacity = capacity;
    header->node_size = sizeof(struct node);
    header->node_capacity = node_capacity;
    header->slots_at = slots;
    header->nodes_at = nodes;
    header->last = &before_first;
    return 0;
}

static int create_index(struct index *index, uint32_t capacity)
{
    uint32_t size = 2;
    while (size < 2 * capacity) {
        size *= 2;
    }
    index->numbers = calloc(size, sizeof *index->numbers);
    index->mask = size - 1;
    return index->numbers ? 0 : fail("out of memory", "");
}

static int parse_capacity(const char *text, const char *refusal, uint32_t *capacity)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    if (*end || n < 1 || n > MAX_ENTRIES) {
        return fail(refusal, text);
    }
    *capacity = (uint32_t)n;
    return 0;
}

int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
    const char *path = NULL;
    uint32_t capacity = DEFAULT_SLOTS;
    uint32_t node_capacity = DEFAULT_NODES;
    int err = 0;

    if (info->version.cur != QEMU_PLUGIN_API_VERSION) {
        fprintf(stderr, "cycles plugin: built for plugin API %d, but this QEMU has %d\n",
                QEMU_PLUGIN_API_VERSION, info->version.cur);
        return 1;
    }
    if (!info->system_emulation || strcmp(info->target_name, "arm") != 0
        || info->system.smp_vcpus != 1) {
        return fail("counts one Cortex-M0+ in qemu-system-arm, nothing else", "");
    }
    for (int i = 0; i < argc && !err; i++) {
        if (strncmp(argv[i], "out=", 4) == 0) {
            path = argv[i] + 4;
        } else if (strncmp(argv[i], "slots=", 6) == 0) {
            err = parse_capacity(argv[i] + 6, "slots must be 1 to 16777216, not ", &capacity);
        } else if (strncmp(argv[i], "nodes=", 6) == 0) {
            err = parse_capacity(argv[i] + 6, "nodes must be 1 to 16777216, not ", &node_capacity);
        } else {
            return fail("unknown argument ", argv[i]);
        }
    }
    if (!err && !path) {
        err = fail("needs out=PATH for the counter file", "");
    }
    if (!err) {
        err = create_file(path, capacity, node_capacity);
    }
    if (!err) {
        err = create_index(&slot_index, capacity);
    }
    if (!err) {
        err = create_index(&node_index, node_capacity);
    }
    if (err) {
        return err;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    return 0;
}
