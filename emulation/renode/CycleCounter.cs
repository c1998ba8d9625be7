using System.Collections.Generic;
using System.IO;
using System.Text;

using Antmicro.Renode.Core;
using Antmicro.Renode.Exceptions;
using Antmicro.Renode.Logging;
using Antmicro.Renode.Peripherals.Bus;
using Antmicro.Renode.Peripherals.CPU;

namespace Antmicro.Renode.Peripherals.Timers
{
    /// <summary>
    /// Counts the cycles of a Cortex-M0+ as its manual gives them: zero wait states, multiplier of
    /// one cycle. Renode itself counts instructions. README.md says what is exact and what is not.
    ///
    ///     include @CycleCounter.cs
    ///     machine LoadPlatformDescriptionFromString "cycles: Timers.CycleCounter @ sysbus 0xF0000000 { cpu: cpu }"
    ///
    /// It counts from then on. Monitor:
    ///
    ///     cycles Cycles           cycles so far, a 64-bit number; cycles Instructions likewise
    ///     cycles Clear            both from 0 again, and all blocks
    ///     cycles Enabled false    stands still; true goes on
    ///     cycles Detach           gives the CPU its full speed back; Attach counts again
    ///     cycles Dump "FILE"      what ran, a line for each block: pc (hexadecimal), instructions,
    ///                             cycles of one pass, passes, passes left by a taken B.cond
    ///     cycles Forget           after code in memory was replaced: reads it again
    ///     cycles Unexplained      instructions that no block accounts for; 0, or counts are wrong
    ///     cycles Unpriced         executed instructions that a Cortex-M0+ does not have, which count
    ///                             no cycles; 0, or the program is another core's. Each block that
    ///                             ran with one is warned of once
    ///     cycles Accelerated      whether CycleAccelerator.cs counts, and not the hook
    ///
    /// Registers, 32 bits:
    ///
    ///     0x00 CONTROL            bit 0: enabled; writing 1 to bit 1 clears both counters
    ///     0x04 CYCLES_LOW         reading it freezes CYCLES_HIGH
    ///     0x08 CYCLES_HIGH
    ///     0x0C INSTRUCTIONS_LOW   reading it freezes INSTRUCTIONS_HIGH
    ///     0x10 INSTRUCTIONS_HIGH
    ///
    /// The program sees the counters as they were when the basic block began in which it reads them;
    /// so between two reads lie the cycles from the beginning of one block to that of the other. The
    /// monitor sees every executed instruction.
    ///
    /// Uses the CPU's one hook for beginnings of blocks (SetHookAtBlockBegin), unless accelerated:
    /// another user of that hook ends the counting, and the other way round. A reset of the machine
    /// keeps the counts.
    /// </summary>
    public sealed class CycleCounter : IDoubleWordPeripheral, IKnownSize
    {
        public CycleCounter(IMachine machine, TranslationCPU cpu)
        {
            this.machine = machine;
            this.cpu = cpu;
            enabled = true;
            Attach();
        }

        public void Attach()
        {
            using(machine.ObtainPausedState(true))
            {
                attached = true;
                if(substitute != null)
                {
                    substitute.Attach();
                    return;
                }
                last = nothing;
                begun = cpu.ExecutedInstructions;
                cpu.SetHookAtBlockBegin(OnBlock);
            }
        }

        public void Detach()
        {
            using(machine.ObtainPausedState(true))
            {
                if(!attached)
                {
                    return;
                }
                Settle();
                attached = false;
                if(substitute != null)
                {
                    substitute.Detach();
                    return;
                }
                cpu.SetHookAtBlockBegin(null);
            }
        }

        /// <summary>From now on `substitute` counts passes; null: the hook does again.</summary>
        public void Use(IHookSubstitute substitute)
        {
            using(machine.ObtainPausedState(true))
            {
                Detach();
                this.substitute = substitute;
                Attach();
            }
        }

        /// <summary>
        /// For a substitute: counts passes of a block. After `left` of them another block began than
        /// the one behind it.
        /// </summary>
        public void Add(uint pc, uint count, ulong passes, ulong left)
        {
            lock(blocks)
            {
                Count(Find(pc, count), passes, left);
            }
        }

        /// <summary>For a substitute: the address behind a block, which it asks for when that first begins.</summary>
        public uint FallThrough(uint pc, uint count)
        {
            lock(blocks)
            {
                return Find(pc, count).FallThrough;
            }
        }

        public void Clear()
        {
            using(machine.ObtainPausedState(true))
            {
                Settle();
                ClearCounters();
                unexplained = 0;
                unpriced = 0;
                foreach(var block in blocks.Values)
                {
                    block.Executions = 0;
                    block.Taken = 0;
                }
                retired.Clear();
            }
        }

        public void Forget()
        {
            using(machine.ObtainPausedState(true))
            {
                Settle();
                ForgetBlocks();
            }
        }

        public void Dump(string path)
        {
            var text = new StringBuilder();
            using(machine.ObtainPausedState(true))
            {
                Settle();
                foreach(var block in retired)
                {
                    block.AppendTo(text);
                }
                foreach(var block in blocks.Values)
                {
                    block.AppendTo(text);
                }
            }
            try
            {
                File.WriteAllText(path, text.ToString());
            }
            catch(IOException e)
            {
                throw new RecoverableException(e.Message);
            }
        }

        /// <summary>Another image may have been loaded, so code is read again; counts stay.</summary>
        public void Reset()
        {
            substitute?.Collect();
            ForgetBlocks();
        }

        public uint ReadDoubleWord(long offset)
        {
            substitute?.Collect();
            switch(offset)
            {
            case 0x00:
                return enabled ? 1u : 0u;
            case 0x04:
                cyclesHigh = (uint)(cycles >> 32);
                return (uint)cycles;
            case 0x08:
                return cyclesHigh;
            case 0x0C:
                instructionsHigh = (uint)(instructions >> 32);
                return (uint)instructions;
            case 0x10:
                return instructionsHigh;
            default:
                this.Log(LogLevel.Warning, "There is no register at 0x{0:X}", offset);
                return 0;
            }
        }

        public void WriteDoubleWord(long offset, uint value)
        {
            if(offset != 0x00)
            {
                this.Log(LogLevel.Warning, "Only CONTROL can be written, not 0x{0:X}", offset);
                return;
            }
            substitute?.Collect();
            enabled = (value & 1) != 0;
            if((value & 2) != 0)
            {
                ClearCounters();
            }
        }

        public long Size
        {
            get { return 0x14; }
        }

        public ulong Cycles
        {
            get
            {
                using(machine.ObtainPausedState(true))
                {
                    Settle();
                    return cycles;
                }
            }
        }

        public ulong Instructions
        {
            get
            {
                using(machine.ObtainPausedState(true))
                {
                    Settle();
                    return instructions;
                }
            }
        }

        public ulong Unexplained
        {
            get
            {
                using(machine.ObtainPausedState(true))
                {
                    Settle();
                    return unexplained;
                }
            }
        }

        public ulong Unpriced
        {
            get
            {
                using(machine.ObtainPausedState(true))
                {
                    Settle();
                    return unpriced;
                }
            }
        }

        public TranslationCPU Cpu
        {
            get { return cpu; }
        }

        public bool Accelerated
        {
            get { return substitute != null; }
        }

        public bool Enabled
        {
            get
            {
                return enabled;
            }

            set
            {
                using(machine.ObtainPausedState(true))
                {
                    Settle();
                    enabled = value;
                }
            }
        }

        // A block is counted when the next one begins: a pause may keep it from running after its
        // hook, and an interrupt, a fault or a watchpoint may end it early. Where the next one is
        // no plain successor of it, the CPU's own count of instructions tells how far it came.
        private void OnBlock(ulong address, uint count)
        {
            var pc = (uint)address;
            var block = last;
            if((pc == block.FallThrough || pc == block.Target) && pc != block.Pc)
            {
                begun += block.Instructions;
                Count(block, pc);
            }
            else
            {
                Account(pc);
            }
            var next = block.Next;
            if(next == null || next.Pc != pc || next.Instructions != count)
            {
                next = Find(pc, count);
                block.Next = next;
            }
            last = next;
        }

        // Only while the CPU stands still.
        private void Settle()
        {
            if(!attached)
            {
                return;
            }
            var pc = (uint)cpu.PC.RawValue & ~1u;
            if(substitute != null)
            {
                var missed = substitute.Settle(pc);
                if(missed != 0)
                {
                    unexplained += missed;
                    this.Log(LogLevel.Warning, "{0} instructions were missed: counting by the hook from here on", missed);
                    substitute.Detach();
                    substitute = null;
                    Attach();
                }
                return;
            }
            Account(pc);
            last = nothing;
        }

        private void Account(uint pc)
        {
            var executed = cpu.ExecutedInstructions;
            var ran = executed - begun;
            begun = executed;
            if(ran == 0)
            {
                return;
            }
            if(ran == last.Instructions)
            {
                Count(last, pc);
            }
            else if(ran < last.Instructions)
            {
                Count(Find(last.Pc, (uint)ran), pc);
            }
            else if(ran <= executed) // else the CPU was reset, and its count with it
            {
                unexplained += ran;
            }
        }

        private void Count(Block block, uint next)
        {
            Count(block, 1, next != block.FallThrough ? 1u : 0);
        }

        private void Count(Block block, ulong passes, ulong left)
        {
            if(!enabled)
            {
                return;
            }
            block.Executions += passes;
            instructions += passes * block.Instructions;
            cycles += passes * block.Cycles;
            if(block.Unpriced != 0 && passes != 0)
            {
                unpriced += passes * block.Unpriced;
                if(!block.Told)
                {
                    block.Told = true;
                    this.Log(LogLevel.Warning, "The block at 0x{0:X} has {1} instructions that a Cortex-M0+ does not have, the first 0x{2:X} at 0x{3:X}: they count no cycles", block.Pc, block.Unpriced, block.FirstUnpriced, block.FirstUnpricedAt);
                }
            }
            if(block.EndsConditional)
            {
                block.Taken += left;
                cycles += left * CortexM0PlusTiming.TakenExtra;
            }
        }

        // The same pc begins a shorter block where the CPU's time slice ends.
        private Block Find(uint pc, uint count)
        {
            var key = (ulong)pc << 32 | count;
            Block block;
            if(!blocks.TryGetValue(key, out block))
            {
                block = Read(pc, count);
                blocks.Add(key, block);
            }
            return block;
        }

        private Block Read(uint pc, uint count)
        {
            var bus = machine.GetSystemBus(this);
            var block = new Block { Pc = pc, Instructions = count, FallThrough = pc };
            for(var i = 0u; i < count; i++)
            {
                var at = block.FallThrough;
                var opcode = bus.ReadWord(at, cpu);
                var second = CortexM0PlusTiming.Width(opcode) == 4 ? bus.ReadWord(at + 2, cpu) : (ushort)0;
                if(CortexM0PlusTiming.IsPriced(opcode, second))
                {
                    block.Cycles += CortexM0PlusTiming.Cycles(opcode);
                }
                else if(block.Unpriced++ == 0)
                {
                    block.FirstUnpriced = opcode;
                    block.FirstUnpricedAt = at;
                }
                block.EndsConditional = CortexM0PlusTiming.IsConditional(opcode);
                block.FallThrough += CortexM0PlusTiming.Width(opcode);
                block.Target = CortexM0PlusTiming.Target(at, opcode) ?? block.FallThrough;
            }
            return block;
        }

        private void ForgetBlocks()
        {
            substitute?.Forget();
            foreach(var block in blocks.Values)
            {
                if(block.Executions != 0)
                {
                    block.Next = null;
                    retired.Add(block);
                }
            }
            blocks.Clear();
            last = nothing;
            nothing.Next = null;
        }

        private void ClearCounters()
        {
            cycles = 0;
            instructions = 0;
        }

        private bool attached;
        private bool enabled;
        private ulong cycles;
        private ulong instructions;
        private ulong unexplained;
        private ulong unpriced;
        private uint cyclesHigh;
        private uint instructionsHigh;
        private ulong begun;
        private Block last;
        private IHookSubstitute substitute;

        private readonly IMachine machine;
        private readonly TranslationCPU cpu;
        private readonly Dictionary<ulong, Block> blocks = new Dictionary<ulong, Block>();
        private readonly List<Block> retired = new List<Block>();
        private readonly Block nothing = new Block();

        private sealed class Block
        {
            public void AppendTo(StringBuilder text)
            {
                if(Executions != 0)
                {
                    text.AppendFormat("{0:x8} {1} {2} {3} {4}\n", Pc, Instructions, Cycles, Executions, Taken);
                }
            }

            public uint Pc;
            public uint Instructions;
            public uint Cycles; // of one pass, its B<cond> not taken
            public uint FallThrough;
            public uint Target; // of a B or B<cond> at its end, else FallThrough
            public bool EndsConditional;
            public uint Unpriced; // instructions
            public ushort FirstUnpriced;
            public uint FirstUnpricedAt;
            public bool Told;
            public ulong Executions;
            public ulong Taken;
            public Block Next; // that began after it the last time
        }
    }

    /// <summary>What counts passes of blocks in the place of Renode's hook.</summary>
    public interface IHookSubstitute
    {
        /// <summary>The CPU stands still.</summary>
        void Attach();

        void Detach();

        /// <summary>Adds to the counter all that ran, where the CPU stands still at `pc`.</summary>
        /// <returns>How many instructions it missed.</returns>
        ulong Settle(uint pc);

        /// <summary>Adds to the counter the blocks that have ended; at any time.</summary>
        void Collect();

        /// <summary>Code is to be read again; what is not collected is lost.</summary>
        void Forget();
    }

    /// <summary>
    /// Cycles of ARMv6-M instructions on a Cortex-M0+ (ARM DDI 0484C, section 3.3). The first
    /// halfword alone decides how many, the second whether ARMv6-M has the instruction at all.
    /// Knows nothing of Renode.
    /// </summary>
    public static class CortexM0PlusTiming
    {
        /// <summary>What a B.cond costs more when it is taken.</summary>
        public const uint TakenExtra = 1;

        /// <summary>Bytes, 2 or 4.</summary>
        public static uint Width(ushort opcode)
        {
            return opcode >= 0xE800 ? 4u : 2u;
        }

        public static bool IsConditional(ushort opcode)
        {
            return opcode >= 0xD000 && opcode < 0xDE00;
        }

        /// <summary>Where a B or B.cond at `address` goes when it is taken; null: it is neither.</summary>
        public static uint? Target(uint address, ushort opcode)
        {
            if(IsConditional(opcode))
            {
                return address + 4 + 2 * (uint)(sbyte)opcode;
            }
            if(opcode >> 11 == 0x1C)
            {
                return address + 4 + (uint)((opcode << 21) >> 20);
            }
            return null;
        }

        /// <summary>
        /// Of one execution, a B.cond counted as not taken; 0 where the manual has no such
        /// instruction, and for UDF.
        /// </summary>
        public static uint Cycles(ushort opcode)
        {
            switch(opcode >> 12)
            {
            case 0x4:
                return LowRegisters(opcode) ? 1 : HighRegistersOrLoad(opcode);
            case 0x5: // LDR, STR of all kinds
            case 0x6:
            case 0x7:
            case 0x8:
            case 0x9:
                return 2;
            case 0xB:
                return Miscellaneous(opcode);
            case 0xC: // LDM, STM
                return 1 + Ones(opcode & 0xFF);
            case 0xD:
                return IsConditional(opcode) ? 1 : SupervisorCall(opcode);
            case 0xE: // B; above it nothing that ARMv6-M has
                return Width(opcode) == 2 ? 2u : 0;
            case 0xF: // BL, MRS, MSR, DMB, DSB, ISB
                return opcode < 0xF800 ? 3u : 0;
            default: // shifts, ADD, SUB, MOV, CMP; ADR, ADD from SP
                return 1;
            }
        }

        /// <summary>Whether a Cortex-M0+ has the instruction, so that Cycles tells what it takes.</summary>
        public static bool IsPriced(ushort opcode, ushort second)
        {
            if(Cycles(opcode) == 0)
            {
                return false;
            }
            if(Width(opcode) == 2)
            {
                return (opcode & 0xFF00) != 0xBF00 || (opcode & 0xF) == 0; // above the hints: IT
            }
            if((second & 0xD000) == 0xD000) // BL
            {
                return true;
            }
            switch(opcode)
            {
            case 0xF3BF: // DSB, DMB, ISB
                return (second & 0xFF00) == 0x8F00 && (second >> 4 & 0xF) >= 4 && (second >> 4 & 0xF) <= 6;
            case 0xF3EF: // MRS
                return (second & 0xF000) == 0x8000;
            default: // MSR
                return (opcode & 0xFFF0) == 0xF380 && (second & 0xFF00) == 0x8800;
            }
        }

        private static bool LowRegisters(int opcode)
        {
            return opcode < 0x4400;
        }

        private static uint HighRegistersOrLoad(int opcode)
        {
            if(opcode >= 0x4700) // BX, BLX; LDR from a literal
            {
                return 2;
            }
            var destination = (opcode & 7) | (opcode >> 4 & 8);
            var compares = (opcode & 0xFF00) == 0x4500;
            return destination == 15 && !compares ? 2u : 1;
        }

        private static uint Miscellaneous(int opcode)
        {
            switch(opcode >> 8 & 0xF)
            {
            case 0x0: // ADD, SUB on SP
            case 0x2: // SXTH, SXTB, UXTH, UXTB
            case 0xA: // REV, REV16, REVSH
                return 1;
            case 0x4: // PUSH; bit 8 is LR
            case 0x5:
            case 0xC: // POP
                return 1 + Ones(opcode & 0x1FF);
            case 0xD: // POP with PC, which bit 8 counts
                return 3 + Ones(opcode & 0x1FF);
            case 0x6: // CPSIE, CPSID
                return (opcode & 0xFFE8) == 0xB660 ? 1u : 0;
            case 0xF: // WFE and WFI, without the time asleep; NOP, YIELD, SEV
                return opcode == 0xBF20 || opcode == 0xBF30 ? 2u : 1;
            default:
                return 0;
            }
        }

        private static uint SupervisorCall(int opcode)
        {
            return opcode >= 0xDF00 ? 15u : 0; // 0xDExx is UDF
        }

        private static uint Ones(int bits)
        {
            var count = 0u;
            for(; bits != 0; bits &= bits - 1)
            {
                count++;
            }
            return count;
        }
    }
}
