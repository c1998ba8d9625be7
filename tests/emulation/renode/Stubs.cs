// As much of Renode 1.16.1 as CycleCounter.cs touches, with a CPU that a test drives by lines of
// text, so that its arithmetic can be tested where there is no Renode:
//
//     table              cycles, width, target and B<cond> of all halfwords, a line each
//     code PC HEX...     halfwords of code from PC on
//     begin PC COUNT     the CPU calls the hook
//     ran COUNT          it has executed so many instructions more
//     pc PC              it stands at PC
//     reset              its count of instructions begins anew
//     write OFFSET VALUE, read OFFSET, clear, forget, enabled 0|1, dump FILE
//     show               -> cycles instructions unexplained
using System;
using System.Collections.Generic;
using System.Globalization;

using Antmicro.Renode.Core;
using Antmicro.Renode.Peripherals.Bus;
using Antmicro.Renode.Peripherals.CPU;
using Antmicro.Renode.Peripherals.Timers;

namespace Antmicro.Renode.Core
{
    public interface IMachine
    {
        IDisposable ObtainPausedState(bool internalPause = false);

        IBusController GetSystemBus(IBusPeripheral peripheral);
    }
}

namespace Antmicro.Renode.Exceptions
{
    public class RecoverableException : Exception
    {
        public RecoverableException(string message) : base(message)
        {
        }
    }
}

namespace Antmicro.Renode.Logging
{
    public enum LogLevel
    {
        Warning
    }

    public static class Logger
    {
        public static void Log(this object origin, LogLevel level, string text, params object[] arguments)
        {
        }
    }
}

namespace Antmicro.Renode.Peripherals
{
    public interface IPeripheral
    {
        void Reset();
    }

    public interface IKnownSize : IBusPeripheral
    {
        long Size { get; }
    }
}

namespace Antmicro.Renode.Peripherals.Bus
{
    public interface IBusPeripheral : IPeripheral
    {
    }

    public interface IDoubleWordPeripheral : IBusPeripheral
    {
        uint ReadDoubleWord(long offset);

        void WriteDoubleWord(long offset, uint value);
    }

    public interface IBusController
    {
        ushort ReadWord(ulong address, IPeripheral context = null, ulong? cpuState = null);
    }
}

namespace Antmicro.Renode.Peripherals.CPU
{
    public struct RegisterValue
    {
        public ulong RawValue { get; set; }
    }

    public class TranslationCPU : IPeripheral
    {
        public void Reset()
        {
        }

        public void SetHookAtBlockBegin(Action<ulong, uint> hook)
        {
            Hook = hook;
        }

        public RegisterValue PC { get; set; }

        public ulong ExecutedInstructions { get; set; }

        public Action<ulong, uint> Hook;
    }
}

public sealed class Driver : IMachine, IBusController, IDisposable
{
    public static void Main()
    {
        new Driver().Run();
    }

    public IDisposable ObtainPausedState(bool internalPause = false)
    {
        return this;
    }

    public void Dispose()
    {
    }

    public IBusController GetSystemBus(IBusPeripheral peripheral)
    {
        return this;
    }

    public ushort ReadWord(ulong address, Antmicro.Renode.Peripherals.IPeripheral context = null, ulong? cpuState = null)
    {
        return memory[(uint)address];
    }

    private void Run()
    {
        var counter = new CycleCounter(this, cpu);
        string line;
        while((line = Console.ReadLine()) != null)
        {
            var words = line.Split(' ');
            switch(words[0])
            {
            case "table":
                PrintTable();
                break;
            case "code":
                for(var i = 2; i < words.Length; i++)
                {
                    memory[Hex(words[1]) + 2 * (uint)(i - 2)] = (ushort)Hex(words[i]);
                }
                break;
            case "begin":
                cpu.Hook(Hex(words[1]), uint.Parse(words[2]));
                break;
            case "ran":
                cpu.ExecutedInstructions += ulong.Parse(words[1]);
                break;
            case "pc":
                cpu.PC = new RegisterValue { RawValue = Hex(words[1]) };
                break;
            case "reset":
                cpu.ExecutedInstructions = 0;
                counter.Reset();
                break;
            case "write":
                counter.WriteDoubleWord(Hex(words[1]), Hex(words[2]));
                break;
            case "read":
                Console.WriteLine(counter.ReadDoubleWord(Hex(words[1])));
                break;
            case "clear":
                counter.Clear();
                break;
            case "forget":
                counter.Forget();
                break;
            case "enabled":
                counter.Enabled = words[1] == "1";
                break;
            case "dump":
                counter.Dump(words[1]);
                break;
            case "show":
                Console.WriteLine("{0} {1} {2}", counter.Cycles, counter.Instructions, counter.Unexplained);
                break;
            default:
                throw new ArgumentException(line);
            }
        }
    }

    private static void PrintTable()
    {
        for(var opcode = 0; opcode <= 0xFFFF; opcode++)
        {
            var half = (ushort)opcode;
            Console.WriteLine("{0} {1} {2} {3}", CortexM0PlusTiming.Cycles(half), CortexM0PlusTiming.Width(half),
                CortexM0PlusTiming.IsConditional(half) ? 1 : 0, CortexM0PlusTiming.Target(0x20000000, half) ?? 0);
        }
    }

    private static uint Hex(string text)
    {
        return uint.Parse(text, NumberStyles.HexNumber);
    }

    private readonly TranslationCPU cpu = new TranslationCPU();
    private readonly Dictionary<uint, ushort> memory = new Dictionary<uint, ushort>();
}
