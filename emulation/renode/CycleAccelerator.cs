using System;
using System.IO;
using System.Linq;
using System.Reflection;
using System.Runtime.InteropServices;

using Antmicro.Renode.Logging;
using Antmicro.Renode.Peripherals.CPU;
using Antmicro.Renode.Utilities;
using Antmicro.Renode.Utilities.Binding;

namespace Antmicro.Renode.Peripherals.Timers
{
    /// <summary>
    /// Has a CycleCounter's blocks counted by machine code: the same counts, many times as fast.
    ///
    ///     cc -O2 -shared -fPIC -o libcycle_counter.so cycle_counter.c
    ///
    ///     include @CycleCounter.cs
    ///     include @CycleAccelerator.cs
    ///     cycles Accelerate @libcycle_counter.so
    ///
    /// This rests on what Renode keeps to itself, as it is in 1.16.1. Where anything is not as it
    /// should be, Accelerate says what, and the hook counts as without it. `cycles Accelerated`
    /// tells which of them counts. `cycles Decelerate` gives it back to the hook; a snapshot (Save)
    /// needs that. Breakpoints, single steps and other users of the hook work as ever.
    /// </summary>
    public static class CycleAccelerator
    {
        /// <returns>Who counts now, and where that is the hook, why. That is logged, too.</returns>
        public static string Accelerate(this CycleCounter counter, string library)
        {
            counter.Use(null);
            try
            {
                counter.Use(new NativeHook(counter, library));
                return "counting in machine code";
            }
            catch(Exception e)
            {
                counter.Use(null);
                counter.Log(LogLevel.Warning, "Not accelerated, counting by the hook: {0}", e.Message);
                return "not accelerated, counting by the hook: " + e.Message;
            }
        }

        public static void Decelerate(this CycleCounter counter)
        {
            counter.Use(null);
        }

        /// <summary>
        /// tlib, which runs the guest, calls Renode's OnBlockBegin through a pointer that it was
        /// given when the CPU was created. This gives it another one, for a function of the library,
        /// which calls OnBlockBegin itself while that has more to do than to count.
        /// </summary>
        private sealed class NativeHook : IHookSubstitute
        {
            public NativeHook(CycleCounter counter, string library)
            {
                this.counter = counter;
                cpu = counter.Cpu;

                var copy = Load(library);
                if(Function<GetNumber>(copy, "interface")() != Interface)
                {
                    throw new NotSupportedException(library + " is not of this version of CycleAccelerator.cs");
                }
                start = Function<Start>(copy, "start");
                wantManaged = Function<TakeNumber>(copy, "want_managed");
                settle = Function<SettleAt>(copy, "settle");
                read = Function<Read>(copy, "read");
                forget = Function<Run>(copy, "forget");
                onBlock = Symbol(copy, "cycle_counter_on_block");

                var binder = Field(typeof(TranslationCPU), "binder").GetValue(cpu);
                var tlib = (IntPtr)Field(typeof(NativeBinder), "libraryAddress").GetValue(binder);
                attach = AsDelegate<TakePointer>(Symbol(tlib, "renode_external_attach__FuncUInt32UInt64UInt32__OnBlockBegin"));
                executed = Symbol(tlib, "tlib_get_total_executed_instructions");
                var before = cpu.ExecutedInstructions; // it may be running
                var count = AsDelegate<GetCount>(executed)();
                if(count < before || count > cpu.ExecutedInstructions)
                {
                    throw new NotSupportedException("Renode counts executed instructions in an unknown way");
                }
                var callbacks = (object[])Field(typeof(NativeBinder), "delegateStore").GetValue(binder);
                var callback = callbacks.OfType<Delegate>().SingleOrDefault(IsOnBlockBegin);
                if(callback == null)
                {
                    throw new NotSupportedException("Renode has given its CPU no callback OnBlockBegin");
                }
                managed = Marshal.GetFunctionPointerForDelegate(callback);

                present = Field(typeof(TranslationCPU), "TlibSetBlockBeginHookPresent");
                tellPresent = (Action<uint>)present.GetValue(cpu);
                update = typeof(TranslationCPU).GetMethod("UpdateBlockBeginHookPresent", Private, null, Type.EmptyTypes, null);
                if(tellPresent == null || update == null)
                {
                    throw new NotSupportedException("Renode tells its CPU of hooks in an unknown way");
                }
                fallThrough = FallThroughOf;
            }

            public void Attach()
            {
                start(executed, fallThrough, managed);
                Forget();
                settled = cpu.ExecutedInstructions;
                attach(onBlock);
                // Whether anybody else wants OnBlockBegin, Renode says here, at any time.
                present.SetValue(cpu, new Action<uint>(wanted =>
                {
                    wantManaged(wanted);
                    tellPresent(1);
                }));
                Retranslate();
            }

            public void Detach()
            {
                attach(managed);
                present.SetValue(cpu, tellPresent);
                Retranslate();
            }

            public ulong Settle(uint pc)
            {
                var now = cpu.ExecutedInstructions;
                var all = settle(now, pc);
                Collect();
                var lost = all - missed;
                // What did not arrive here would be lost, too. A CPU that was reset counts anew.
                if(settled.HasValue && now - settled.Value > collected && now >= settled.Value)
                {
                    lost = now - settled.Value - collected;
                }
                missed = all;
                settled = now;
                collected = 0;
                return lost;
            }

            public void Collect()
            {
                lock(sync)
                {
                    uint count;
                    while((count = read(blocks, (uint)(blocks.Length / RecordSize))) > blocks.Length / RecordSize)
                    {
                        Array.Resize(ref blocks, 2 * RecordSize * (int)count);
                        Array.Resize(ref counted, 2 * RecordSize * (int)count);
                    }
                    for(var i = 0; i < count * RecordSize; i += RecordSize)
                    {
                        var passes = blocks[i + 2] - counted[i + 2];
                        var left = blocks[i + 3] - counted[i + 3];
                        if(passes != 0)
                        {
                            counter.Add((uint)blocks[i], (uint)blocks[i + 1], passes, left);
                            collected += passes * blocks[i + 1];
                        }
                    }
                    Array.Copy(blocks, counted, count * RecordSize);
                }
            }

            public void Forget()
            {
                lock(sync)
                {
                    forget();
                    Array.Clear(counted, 0, counted.Length);
                    settled = null;
                }
            }

            // Called by the library, which no exception can cross.
            private uint FallThroughOf(uint pc, uint count)
            {
                try
                {
                    return counter.FallThrough(pc, count);
                }
                catch(Exception e)
                {
                    counter.Log(LogLevel.Error, "Cannot read the code at 0x{0:X}: {1}", pc, e.Message);
                    return pc;
                }
            }

            // So that blocks call tlib's hook from now on, or no more.
            private void Retranslate()
            {
                update.Invoke(cpu, null);
                cpu.ClearTranslationCache();
            }

            // The library keeps its state in variables, so that each CPU has a copy of its own, which
            // stays loaded until Renode ends.
            private static IntPtr Load(string library)
            {
                if(!File.Exists(library))
                {
                    throw new FileNotFoundException("there is no file " + library);
                }
                var copy = TemporaryFilesManager.Instance.GetTemporaryFile("libcycle_counter.so");
                File.Copy(library, copy, true);
                try
                {
                    return SharedLibraries.LoadLibrary(copy);
                }
                finally
                {
                    File.Delete(copy);
                }
            }

            private static T Function<T>(IntPtr library, string name)
            {
                return AsDelegate<T>(Symbol(library, "cycle_counter_" + name));
            }

            private static T AsDelegate<T>(IntPtr function)
            {
                return (T)(object)Marshal.GetDelegateForFunctionPointer(function, typeof(T));
            }

            private static IntPtr Symbol(IntPtr library, string name)
            {
                return SharedLibraries.GetSymbolAddress(library, name);
            }

            private static FieldInfo Field(Type type, string name)
            {
                var field = type.GetField(name, Private);
                if(field == null)
                {
                    throw new NotSupportedException("Renode's " + type.Name + " has no field " + name);
                }
                return field;
            }

            private static bool IsOnBlockBegin(Delegate callback)
            {
                return callback.Method.Name == "OnBlockBeginWrapper";
            }

            private ulong missed;
            private ulong? settled; // executed instructions, when it last was
            private ulong collected; // instructions since then
            private ulong[] blocks = new ulong[0];
            private ulong[] counted = new ulong[0];

            private readonly object sync = new object();
            private readonly CycleCounter counter;
            private readonly TranslationCPU cpu;
            private readonly FieldInfo present;
            private readonly MethodInfo update;
            private readonly Action<uint> tellPresent;
            private readonly IntPtr executed;
            private readonly IntPtr managed;
            private readonly IntPtr onBlock;
            private readonly TakePointer attach;
            private readonly FindFallThrough fallThrough;
            private readonly Start start;
            private readonly TakeNumber wantManaged;
            private readonly SettleAt settle;
            private readonly Read read;
            private readonly Run forget;

            private const uint Interface = 1;
            private const int RecordSize = 4; // pc, instructions, passes, left
            private const BindingFlags Private = BindingFlags.Instance | BindingFlags.NonPublic;

            [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
            private delegate uint FindFallThrough(uint pc, uint instructions);

            [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
            private delegate void Start(IntPtr executed, FindFallThrough fallThrough, IntPtr managed);

            [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
            private delegate ulong SettleAt(ulong executed, uint pc);

            [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
            private delegate uint Read([In, Out] ulong[] records, uint capacity);

            [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
            private delegate void Run();

            [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
            private delegate uint GetNumber();

            [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
            private delegate ulong GetCount();

            [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
            private delegate void TakeNumber(uint number);

            [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
            private delegate void TakePointer(IntPtr pointer);
        }
    }
}
