using System;
using System.IO;
using System.Reflection;
using System.Runtime.InteropServices;

using Antmicro.Renode.Logging;
using Antmicro.Renode.Peripherals.CPU;
using Antmicro.Renode.Utilities;
using Antmicro.Renode.Utilities.Binding;

namespace Antmicro.Renode.Peripherals.Timers
{
    /// <summary>
    /// Lets a CycleCounter count in machine code: the same counts, many times as fast.
    ///
    ///     cc -O2 -shared -fPIC -o libcycle_counter.so cycle_counter.c
    ///
    ///     include @CycleCounter.cs
    ///     include @CycleAccelerator.cs
    ///     ...
    ///     cycles Accelerate @libcycle_counter.so
    ///
    /// This depends on what Renode keeps to itself, as it is in 1.16.1. Where anything is not as
    /// expected, Accelerate says so and the counter counts by its hook, as without it.
    /// </summary>
    public static class CycleAcceleration
    {
        /// <returns>What counts now, and why; a reason not to is logged too, as a warning.</returns>
        public static string Accelerate(this CycleCounter counter, TranslationCPU cpu, string library)
        {
            try
            {
                counter.Use(new NativeHook(counter, cpu, library));
                return "counting in machine code";
            }
            catch(Exception e)
            {
                counter.Use(null);
                counter.Log(LogLevel.Warning, "Counting by the hook, not in machine code: {0}", e.Message);
                return "counting by the hook: " + e.Message;
            }
        }
    }
}
