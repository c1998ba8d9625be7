/*
 * Counts passes of blocks for CycleAccelerator.cs, which loads a copy of this library for each CPU
 * and has Renode call `cycle_counter_on_block` where it would call its own managed method.
 *
 *   cc -O2 -shared -fPIC -o libcycle_counter.so cycle_counter.c
 *
 * This is CycleCounter.cs without the cycles: a block is what began at `pc` and ran `instructions`
 * from there, and it has run when the CPU's own count of instructions says so. All but
 * `cycle_counter_read` is called by the CPU's thread, or while that stands still.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#define INTERFACE 1

#define CHUNK_BLOCKS 1024u
#define MAX_CHUNKS 4096u
#define FIRST_BUCKETS 4096u

struct block {
    uint64_t passes;
    uint64_t left; /* passes after which another block than the one behind it began */
    uint32_t pc;
    uint32_t instructions;
    uint32_t fall_through; /* address behind its last instruction */
    struct block *next;    /* that began after it the last time */
};

/* What `cycle_counter_read` tells of a block; CycleAccelerator.cs knows the order. */
struct record {
    uint64_t pc;
    uint64_t instructions;
    uint64_t passes;
    uint64_t left;
};

typedef uint64_t executed_fn(void);
typedef uint32_t fall_through_fn(uint32_t pc, uint32_t instructions);
typedef uint32_t on_block_fn(uint64_t pc, uint32_t instructions);

static executed_fn *count_executed;
static fall_through_fn *find_fall_through;
static on_block_fn *managed_on_block;
static bool managed_wanted;

/* Blocks never move, so that another thread can read them meanwhile. */
static struct block *chunks[MAX_CHUNKS];
static uint32_t used;

/* Open addressing; a power of two, at most half full. */
static struct block **buckets;
static uint32_t bucket_count;

static struct block *last; /* that began; NULL: none is known */
static uint64_t begun;     /* the CPU's count of instructions when it did */
static uint64_t missed;

static uint32_t hash(uint32_t pc, uint32_t instructions)
{
    uint32_t mixed = (pc ^ instructions << 20) * 2654435761u;
    return mixed ^ mixed >> 15;
}

/* Its bucket, or the empty one where it belongs. */
static struct block **look_up(uint32_t pc, uint32_t instructions)
{
    uint32_t at = hash(pc, instructions) & (bucket_count - 1);
    while (buckets[at] && (buckets[at]->pc != pc || buckets[at]->instructions != instructions))
        at = (at + 1) & (bucket_count - 1);
    return &buckets[at];
}

static bool grow(void)
{
    uint32_t wanted = bucket_count ? 2 * bucket_count : FIRST_BUCKETS;
    struct block **wider = calloc(wanted, sizeof *wider);
    if (!wider)
        return false;
    free(buckets);
    buckets = wider;
    bucket_count = wanted;
    for (uint32_t i = 0; i < used; i++) {
        struct block *block = &chunks[i / CHUNK_BLOCKS][i % CHUNK_BLOCKS];
        *look_up(block->pc, block->instructions) = block;
    }
    return true;
}

/* NULL: there is no memory for it. */
static struct block *add(uint32_t pc, uint32_t instructions)
{
    if (2 * (used + 1) > bucket_count && !grow())
        return NULL;
    if (used == CHUNK_BLOCKS * MAX_CHUNKS)
        return NULL;
    struct block **chunk = &chunks[used / CHUNK_BLOCKS];
    if (!*chunk && !(*chunk = calloc(CHUNK_BLOCKS, sizeof **chunk)))
        return NULL;
    struct block *block = &(*chunk)[used % CHUNK_BLOCKS];
    *block = (struct block){
        .pc = pc,
        .instructions = instructions,
        .fall_through = find_fall_through(pc, instructions),
    };
    *look_up(pc, instructions) = block;
    __atomic_store_n(&used, used + 1, __ATOMIC_RELEASE);
    return block;
}

static struct block *find(uint32_t pc, uint32_t instructions)
{
    struct block *known = bucket_count ? *look_up(pc, instructions) : NULL;
    return known ? known : add(pc, instructions);
}

/* Counts the block that began last, now that the CPU is at `pc`, as far as it ran. */
static void account(uint64_t executed, uint32_t pc)
{
    uint64_t ran = executed - begun;
    begun = executed;
    if (ran == 0 || ran > executed) /* not at all, or the CPU was reset, and its count with it */
        return;
    struct block *block = last;
    if (block && ran < block->instructions)
        block = find(block->pc, (uint32_t)ran);
    if (!block || ran != block->instructions) {
        missed += ran;
        return;
    }
    block->passes++;
    block->left += pc != block->fall_through;
}

/* What Renode calls when a block begins. 1: go on; 0: leave, the CPU is to stand still. */
uint32_t cycle_counter_on_block(uint64_t address, uint32_t instructions)
{
    uint32_t pc = (uint32_t)address;
    account(count_executed(), pc);
    struct block *next = last ? last->next : NULL;
    if (!next || next->pc != pc || next->instructions != instructions) {
        next = find(pc, instructions);
        if (last)
            last->next = next;
    }
    last = next;
    /* The last thing here: it may jump out of this function, to the CPU's loop. */
    return managed_wanted ? managed_on_block(address, instructions) : 1;
}

/* Changes with anything below. */
uint32_t cycle_counter_interface(void)
{
    return INTERFACE;
}

void cycle_counter_start(executed_fn *executed, fall_through_fn *fall_through,
                                on_block_fn *managed)
{
    count_executed = executed;
    find_fall_through = fall_through;
    managed_on_block = managed;
    begun = executed();
    last = NULL;
}

/* Whether the managed method has work of its own: breakpoints, single steps, other hooks. */
void cycle_counter_want_managed(uint32_t wanted)
{
    managed_wanted = wanted != 0;
}

/* Where the CPU stands still at `pc`: counts all that ran. How many instructions were missed. */
uint64_t cycle_counter_settle(uint64_t executed, uint32_t pc)
{
    account(executed, pc);
    last = NULL;
    return missed;
}

/* Copies the blocks, from the first that ever began on, as far as they fit; how many there are. */
uint32_t cycle_counter_read(struct record *into, uint32_t capacity)
{
    uint32_t count = __atomic_load_n(&used, __ATOMIC_ACQUIRE);
    for (uint32_t i = 0; i < count && i < capacity; i++) {
        const struct block *block = &chunks[i / CHUNK_BLOCKS][i % CHUNK_BLOCKS];
        into[i] = (struct record){block->pc, block->instructions, block->passes, block->left};
    }
    return count;
}

/* No block is known any more, and none counted. */
void cycle_counter_forget(void)
{
    used = 0;
    last = NULL;
    for (uint32_t i = 0; i < bucket_count; i++)
        buckets[i] = NULL;
}
