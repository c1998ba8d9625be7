/* As much of Renode's tlib as Stubs.cs and CycleAccelerator.cs touch. */
#include <stdint.h>

typedef uint32_t on_block_fn(uint64_t address, uint32_t size);

static on_block_fn *on_block;
static uint32_t hook_present;
static uint64_t executed;

void renode_external_attach__FuncUInt32UInt64UInt32__OnBlockBegin(on_block_fn *callback)
{
    on_block = callback;
}

void tlib_set_block_begin_hook_present(uint32_t present)
{
    hook_present = present;
}

uint64_t tlib_get_total_executed_instructions(void)
{
    return executed;
}

void set_executed_instructions(uint64_t count)
{
    executed = count;
}

uint32_t is_hook_present(void)
{
    return hook_present;
}

void begin(uint64_t address, uint32_t size)
{
    if (hook_present)
        on_block(address, size);
}
