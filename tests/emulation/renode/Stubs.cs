// As much of Renode 1.16.1 as CycleCounter.cs and CycleAccelerator.cs touch, with a CPU that a test
// drives by lines of text, so that their arithmetic can be tested where there is no Renode. The
// program's argument is tlib.c, built.
//
//     accelerate LIBRARY -> what Accelerate says
//     accelerated        -> True or False
//     decelerate
//     other 0|1          another user of the hook comes or goes; it prints what begins
//     rename             the CPU gives its callback another name than Renode does
//     hooked             -> 1 if blocks call the CPU's callback, else 0
//     table              cycles, width, target and B<cond> of all halfwords, a line each
//     code PC HEX...     halfwords of code from PC on
//     begin PC COUNT     the CPU calls the hook
//     ran COUNT          it has executed so many instructions more
//     pc PC              it stands at PC
//     reset              its count of instructions begins anew
//     write OFFSET VALUE, read OFFSET, clear, forget, detach, attach, enabled 0|1, dump FILE
//     show               -> cycles instructions unexplained
//     unpriced           -> executed instructions without a price
//     priced FIRST SECOND -> 1 if a Cortex-M0+ has the instruction, else 0
using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Runtime.InteropServices;

using Antmicro.Renode.Core;
using Antmicro.Renode.Peripherals.Bus;
using Antmicro.Renode.Peripherals.CPU;
using Antmicro.Renode.Peripherals.Timers;
using Antmicro.Renode.Utilities;
using Antmicro.Renode.Utilities.Binding;

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
        Warning,
        Error
    }

    public static class Logger
    {
        public static void Log(this object origin, LogLevel level, string text, params object[] arguments)
        {
            Console.WriteLine(level + ": " + text, arguments);
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
        public TranslationCPU(string tlib)
        {
            binder = new NativeBinder(tlib, OnBlockBegin);
            setPresent = binder.Get<SetPresent>("tlib_set_block_begin_hook_present");
            TlibSetBlockBeginHookPresent = present => setPresent(present);
            getExecuted = binder.Get<GetExecuted>("tlib_get_total_executed_instructions");
            setExecuted = binder.Get<SetExecuted>("set_executed_instructions");
            Begin = binder.Get<BeginBlock>("begin");
            IsHooked = binder.Get<GetPresent>("is_hook_present");
        }

        public void Reset()
        {
        }

        public void ClearTranslationCache()
        {
        }

        public void SetHookAtBlockBegin(Action<ulong, uint> hook)
        {
            blockBeginUserHook = hook;
            UpdateBlockBeginHookPresent();
        }

        public void RenameCallback()
        {
            binder.Rename();
        }

        public RegisterValue PC { get; set; }

        public ulong ExecutedInstructions
        {
            get { return getExecuted(); }
            set { setExecuted(value); }
        }

        public readonly BeginBlock Begin;
        public readonly GetPresent IsHooked;

        private void UpdateBlockBeginHookPresent()
        {
            TlibSetBlockBeginHookPresent(blockBeginUserHook != null ? 1u : 0u);
        }

        private uint OnBlockBegin(ulong address, uint size)
        {
            blockBeginUserHook?.Invoke(address, size);
            return 1;
        }

        private Action<ulong, uint> blockBeginUserHook;

        private readonly NativeBinder binder;
        private readonly Action<uint> TlibSetBlockBeginHookPresent;
        private readonly SetPresent setPresent;
        private readonly GetExecuted getExecuted;
        private readonly SetExecuted setExecuted;

        [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
        public delegate void BeginBlock(ulong address, uint size);

        [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
        public delegate uint GetPresent();

        [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
        private delegate void SetPresent(uint present);

        [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
        private delegate ulong GetExecuted();

        [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
        private delegate void SetExecuted(ulong count);
    }
}

namespace Antmicro.Renode.Utilities
{
    public sealed class TemporaryFilesManager
    {
        public string GetTemporaryFile(string suffix)
        {
            return Path.GetTempFileName();
        }

        public static readonly TemporaryFilesManager Instance = new TemporaryFilesManager();
    }

    public static class SharedLibraries
    {
        public static IntPtr LoadLibrary(string path)
        {
            var library = dlopen(path, 2);
            if(library == IntPtr.Zero)
            {
                throw new InvalidOperationException("cannot load " + path);
            }
            return library;
        }

        public static IntPtr GetSymbolAddress(IntPtr library, string name)
        {
            var address = dlsym(library, name);
            if(address == IntPtr.Zero)
            {
                throw new InvalidOperationException("undefined symbol: " + name);
            }
            return address;
        }

        [DllImport("libdl.so.2")]
        private static extern IntPtr dlopen(string path, int mode);

        [DllImport("libdl.so.2")]
        private static extern IntPtr dlsym(IntPtr library, string name);
    }
}

namespace Antmicro.Renode.Utilities.Binding
{
    public sealed class NativeBinder
    {
        public NativeBinder(string library, OnBlockBegin callback)
        {
            libraryAddress = SharedLibraries.LoadLibrary(library);
            this.callback = callback;
            OnBlockBegin wrapper = OnBlockBeginWrapper;
            delegateStore = new object[] { new Action(Rename), wrapper };
            Get<Attach>("renode_external_attach__FuncUInt32UInt64UInt32__OnBlockBegin")(wrapper);
        }

        public T Get<T>(string name)
        {
            return (T)(object)Marshal.GetDelegateForFunctionPointer(SharedLibraries.GetSymbolAddress(libraryAddress, name), typeof(T));
        }

        public void Rename()
        {
            delegateStore[1] = new OnBlockBegin(OtherWrapper);
        }

        private uint OnBlockBeginWrapper(ulong address, uint size)
        {
            return callback(address, size);
        }

        private uint OtherWrapper(ulong address, uint size)
        {
            return callback(address, size);
        }

        private readonly IntPtr libraryAddress;
        private readonly object[] delegateStore;
        private readonly OnBlockBegin callback;

        [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
        public delegate uint OnBlockBegin(ulong address, uint size);

        [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
        private delegate void Attach(OnBlockBegin callback);
    }
}

public sealed class Driver : IMachine, IBusController, IDisposable
{
    public Driver(string tlib)
    {
        cpu = new TranslationCPU(tlib);
    }

    public static void Main(string[] arguments)
    {
        new Driver(arguments[0]).Run();
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
            case "accelerate":
                Console.WriteLine(counter.Accelerate(words[1]));
                break;
            case "decelerate":
                counter.Decelerate();
                break;
            case "accelerated":
                Console.WriteLine(counter.Accelerated);
                break;
            case "other":
                cpu.SetHookAtBlockBegin(words[1] == "1" ? PrintBlock : (Action<ulong, uint>)null);
                break;
            case "hooked":
                Console.WriteLine(cpu.IsHooked());
                break;
            case "rename":
                cpu.RenameCallback();
                break;
            case "code":
                for(var i = 2; i < words.Length; i++)
                {
                    memory[Hex(words[1]) + 2 * (uint)(i - 2)] = (ushort)Hex(words[i]);
                }
                break;
            case "begin":
                cpu.Begin(Hex(words[1]), uint.Parse(words[2]));
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
            case "detach":
                counter.Detach();
                break;
            case "attach":
                counter.Attach();
                break;
            case "enabled":
                counter.Enabled = words[1] == "1";
                break;
            case "dump":
                counter.Dump(words[1]);
                break;
            case "unpriced":
                Console.WriteLine(counter.Unpriced);
                break;
            case "priced":
                Console.WriteLine(CortexM0PlusTiming.IsPriced((ushort)Hex(words[1]), (ushort)Hex(words[2])) ? 1 : 0);
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

    private static void PrintBlock(ulong address, uint size)
    {
        Console.WriteLine("{0:x8} {1}", address, size);
    }

    private static uint Hex(string text)
    {
        return uint.Parse(text, NumberStyles.HexNumber);
    }

    private readonly TranslationCPU cpu;
    private readonly Dictionary<uint, ushort> memory = new Dictionary<uint, ushort>();
}
