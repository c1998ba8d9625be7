using System.Collections.Generic;

using Antmicro.Renode.Core;
using Antmicro.Renode.Logging;
using Antmicro.Renode.Peripherals.Bus;
using Antmicro.Renode.Peripherals.CPU;
using Antmicro.Renode.Peripherals.Timers;
using Antmicro.Renode.Time;

// The RP2040's registers that a start-up writes and waits for, as far as it can see them; section
// numbers are those of the datasheet. One file, so that one include brings them all. What a class
// does not mention is storage: it reads back what was written. README.md has the limits.
namespace Antmicro.Renode.Peripherals.Miscellaneous
{
    /// <summary>
    /// A block of registers with the atomic aliases of section 2.1.2: writes at +0x1000 toggle bits,
    /// at +0x2000 set them, at +0x3000 clear them. Storage, unless a subclass says otherwise.
    ///
    ///     pads: Miscellaneous.Rp2040Block @ sysbus 0x4001C000 { initial: 0x56 }
    ///
    /// `initial` is what every register holds after a reset.
    /// </summary>
    [AllowedTranslations(AllowedTranslation.ByteToDoubleWord | AllowedTranslation.WordToDoubleWord)]
    public class Rp2040Block : IDoubleWordPeripheral, IKnownSize
    {
        public Rp2040Block(IMachine machine, uint initial = 0)
        {
            Machine = machine;
            this.initial = initial;
            Registers = new uint[Span / 4];
            FillRegisters();
        }

        public virtual void Reset()
        {
            FillRegisters();
        }

        public uint ReadDoubleWord(long offset)
        {
            return Read(offset & (Span - 1));
        }

        public void WriteDoubleWord(long offset, uint value)
        {
            var register = offset & (Span - 1);
            switch(offset / Span)
            {
            case 1:
                value = Registers[register / 4] ^ value;
                break;
            case 2:
                value = Registers[register / 4] | value;
                break;
            case 3:
                value = Registers[register / 4] & ~value;
                break;
            }
            Write(register, value);
        }

        public long Size
        {
            get { return 4 * Span; }
        }

        public virtual uint Read(long register)
        {
            return Registers[register / 4];
        }

        protected virtual void Write(long register, uint value)
        {
            Registers[register / 4] = value;
        }

        /// <summary>Virtual time in microseconds, up to the instruction that asks.</summary>
        protected ulong Microseconds()
        {
            ICPU cpu;
            if(Machine.GetSystemBus(this).TryGetCurrentCPU(out cpu))
            {
                cpu.SyncTime();
            }
            return Machine.ElapsedVirtualTime.TimeElapsed.Ticks / TimeInterval.TicksPerMicrosecond;
        }

        protected readonly IMachine Machine;
        protected readonly uint[] Registers;

        protected const long Span = 0x1000;

        private void FillRegisters()
        {
            for(var i = 0; i < Registers.Length; i++)
            {
                Registers[i] = initial;
            }
        }

        private readonly uint initial;
    }

    /// <summary>
    /// The atomic aliases of a stock peripheral that does not know them, to be registered 0x1000
    /// above it.
    ///
    ///     uart0Aliases: Miscellaneous.Rp2040Aliases @ sysbus 0x40035000 { target: uart0 }
    /// </summary>
    public class Rp2040Aliases : IDoubleWordPeripheral, IKnownSize
    {
        public Rp2040Aliases(IDoubleWordPeripheral target)
        {
            this.target = target;
        }

        public void Reset()
        {
        }

        public uint ReadDoubleWord(long offset)
        {
            return target.ReadDoubleWord(offset & 0xFFF);
        }

        public void WriteDoubleWord(long offset, uint value)
        {
            var register = offset & 0xFFF;
            var old = target.ReadDoubleWord(register);
            switch(offset >> 12)
            {
            case 0:
                value = old ^ value;
                break;
            case 1:
                value = old | value;
                break;
            default:
                value = old & ~value;
                break;
            }
            target.WriteDoubleWord(register, value);
        }

        public long Size
        {
            get { return 0x3000; }
        }

        private readonly IDoubleWordPeripheral target;
    }

    /// <summary>SYSINFO (2.20): an RP2040 B2.</summary>
    public class Rp2040SysInfo : Rp2040Block
    {
        public Rp2040SysInfo(IMachine machine) : base(machine)
        {
        }

        public override uint Read(long register)
        {
            switch(register)
            {
            case 0x00: // CHIP_ID
                return 0x20002927;
            case 0x04: // PLATFORM: silicon
                return 2;
            default:
                return 0;
            }
        }
    }

    /// <summary>RESETS (2.14): what is let out of reset is out at once.</summary>
    public class Rp2040Resets : Rp2040Block
    {
        public Rp2040Resets(IMachine machine) : base(machine)
        {
            Registers[0] = All;
        }

        public override void Reset()
        {
            base.Reset();
            Registers[0] = All;
        }

        public override uint Read(long register)
        {
            return register == 0x08 ? ~Registers[0] & All : base.Read(register); // RESET_DONE
        }

        private const uint All = 0x01FFFFFF;
    }

    /// <summary>
    /// PSM (2.13): all on. WDSEL, at 0x08, says what a reset by the watchdog resets; Rp2040Watchdog
    /// obeys its bit for the core.
    /// </summary>
    public class Rp2040Psm : Rp2040Block
    {
        public Rp2040Psm(IMachine machine) : base(machine)
        {
        }

        public bool WatchdogResetsCore
        {
            get { return (Registers[0x08 / 4] & 1u << 15) != 0; }
        }

        public override uint Read(long register)
        {
            return register == 0x0C ? 0x1FFFF : base.Read(register); // DONE
        }
    }

    /// <summary>XOSC (2.16): stable as soon as it is enabled.</summary>
    public class Rp2040Xosc : Rp2040Block
    {
        public Rp2040Xosc(IMachine machine) : base(machine)
        {
        }

        public override uint Read(long register)
        {
            if(register != 0x04) // STATUS: STABLE, ENABLED
            {
                return base.Read(register);
            }
            return (Registers[0] & 0xFFF000) == 0xFAB000 ? 1u << 31 | 1u << 12 : 0;
        }
    }

    /// <summary>ROSC (2.17): always enabled and stable.</summary>
    public class Rp2040Rosc : Rp2040Block
    {
        public Rp2040Rosc(IMachine machine) : base(machine)
        {
        }

        public override uint Read(long register)
        {
            return register == 0x18 ? 1u << 31 | 1u << 12 : base.Read(register); // STATUS
        }
    }

    /// <summary>A PLL (2.18): locked as soon as PLL and VCO have power. Has no speed.</summary>
    public class Rp2040Pll : Rp2040Block
    {
        public Rp2040Pll(IMachine machine) : base(machine)
        {
            PowerDown();
        }

        public override void Reset()
        {
            base.Reset();
            PowerDown();
        }

        public override uint Read(long register)
        {
            var value = base.Read(register);
            if(register != 0x00) // CS
            {
                return value;
            }
            return (Registers[Power / 4] & 0x21) == 0 ? value | 1u << 31 : value & ~(1u << 31);
        }

        private void PowerDown()
        {
            Registers[0] = 1;
            Registers[Power / 4] = 0x2D;
        }

        private const int Power = 0x04;
    }

    /// <summary>
    /// CLOCKS (2.15): a clock has switched as soon as it is asked to. All run at the speed that the
    /// platform file gives the core and its timers.
    /// </summary>
    public class Rp2040Clocks : Rp2040Block
    {
        public Rp2040Clocks(IMachine machine) : base(machine)
        {
        }

        public override uint Read(long register)
        {
            if(register >= 0x78 || register % 12 != 8)
            {
                return base.Read(register);
            }
            switch(register) // SELECTED of the ten clocks
            {
            case 0x38: // CLK_REF
                return 1u << (int)(Registers[0x30 / 4] & 3);
            case 0x44: // CLK_SYS
                return 1u << (int)(Registers[0x3C / 4] & 1);
            default:
                return 1;
            }
        }
    }

    /// <summary>VREG_AND_CHIP_RESET (2.10): in regulation; every reset looks like power on.</summary>
    public class Rp2040Vreg : Rp2040Block
    {
        public Rp2040Vreg(IMachine machine) : base(machine)
        {
            PowerOn();
        }

        public override void Reset()
        {
            base.Reset();
            PowerOn();
        }

        public override uint Read(long register)
        {
            return register == 0x00 ? base.Read(register) | 1u << 12 : base.Read(register); // ROK
        }

        private void PowerOn()
        {
            Registers[0x00 / 4] = 0xB1; // 1.10 V
            Registers[0x04 / 4] = 0x91;
            Registers[0x08 / 4] = 0x100; // HAD_POR
        }
    }

    /// <summary>
    /// Watchdog and tick (4.7). When its time is up, or CTRL.TRIGGER is set, the machine resets, if
    /// PSM's WDSEL names the core; REASON says why, and the scratch registers keep what they hold.
    /// Any other reset of the machine is one by power. It counts down twice a tick, as the chip does
    /// (RP2040-E1), and a tick takes TICK.CYCLES of a 12 MHz crystal. Bits that pause it for a
    /// debugger do nothing: a machine that stands still has no time.
    ///
    ///     watchdog: Miscellaneous.Rp2040Watchdog @ sysbus 0x40058000 { psm: psm }
    /// </summary>
    public class Rp2040Watchdog : Rp2040Block
    {
        public Rp2040Watchdog(IMachine machine, Rp2040Psm psm) : base(machine)
        {
            this.psm = psm;
            countdown = new LimitTimer(machine.ClockSource, 2 * CrystalMegahertz * 1000000, this,
                "countdown", Most, workMode: WorkMode.OneShot, eventEnabled: true);
            countdown.LimitReached += () => Bite(Timer);
        }

        public override void Reset()
        {
            countdown.Reset();
            left = 0;
            if(biting == 0)
            {
                ticks = Ticks; // TICK loses its ENABLE
                base.Reset();
            }
            Registers[Control / 4] = 0;
            Registers[Reason / 4] = biting;
            biting = 0;
        }

        /// <summary>Since the beginning of the emulation; for the TIMER.</summary>
        public ulong Ticks
        {
            get
            {
                return ticks + (TickPeriod == 0 ? 0 : (Microseconds() - since) * CrystalMegahertz / TickPeriod);
            }
        }

        /// <summary>Where the core was when the watchdog last bit; for the monitor.</summary>
        public uint BittenAt { get; private set; }

        public override uint Read(long register)
        {
            var value = base.Read(register);
            switch(register)
            {
            case Control:
                return value & ~Most | (countdown.Enabled ? (uint)countdown.Value : left);
            case Tick: // RUNNING follows ENABLE
                return value & ~(1u << 10) | (value & 1u << 9) << 1;
            default:
                return value;
            }
        }

        protected override void Write(long register, uint value)
        {
            switch(register)
            {
            case Control:
                base.Write(register, value & ~(Most | Trigger));
                Run();
                if((value & Trigger) != 0)
                {
                    Bite(Force);
                }
                break;
            case Load:
                base.Write(register, value & Most);
                left = value & Most;
                countdown.Enabled = false;
                Run();
                break;
            case Reason:
                break;
            case Tick:
                ticks = Ticks;
                since = Microseconds();
                base.Write(register, value & 0x3FF);
                Run();
                break;
            default:
                base.Write(register, value);
                break;
            }
        }

        private void Run()
        {
            if(countdown.Enabled)
            {
                left = (uint)countdown.Value;
                countdown.Enabled = false;
            }
            if(TickPeriod == 0 || (Registers[Control / 4] & Enable) == 0)
            {
                return;
            }
            countdown.Divider = TickPeriod;
            countdown.Value = left == 0 ? 1 : left;
            countdown.Enabled = true;
        }

        private void Bite(uint reason)
        {
            countdown.Enabled = false;
            left = 0;
            if(!psm.WatchdogResetsCore)
            {
                this.Log(LogLevel.Warning, "The watchdog bites, but PSM's WDSEL does not name the core");
                return;
            }
            this.Log(LogLevel.Info, reason == Force ? "Reset by TRIGGER" : "Reset: its time is up");
            biting = reason;
            foreach(var cpu in Machine.GetSystemBus(this).GetCPUs())
            {
                BittenAt = (uint)cpu.PC.RawValue;
            }
            Machine.RequestReset();
        }

        private uint TickPeriod
        {
            get
            {
                var value = Registers[Tick / 4];
                return (value & 1u << 9) != 0 ? value & 0x1FF : 0;
            }
        }

        private uint biting;
        private uint left;
        private ulong ticks; // until `since`
        private ulong since;

        private readonly Rp2040Psm psm;
        private readonly LimitTimer countdown;

        private const uint CrystalMegahertz = 12;
        private const uint Most = 0xFFFFFF;
        private const uint Enable = 1u << 30;
        private const uint Trigger = 1u << 31;
        private const uint Timer = 1; // bits of REASON
        private const uint Force = 2;

        private const int Control = 0x00;
        private const int Load = 0x04;
        private const int Reason = 0x08;
        private const int Tick = 0x2C;
    }

    /// <summary>
    /// TIMER (4.6): counts the watchdog's ticks, so microseconds of virtual time once the start-up
    /// has set them up. TIMELR latches TIMEHR. Has no alarms.
    ///
    ///     timer: Miscellaneous.Rp2040Timer @ sysbus 0x40054000 { watchdog: watchdog }
    /// </summary>
    public class Rp2040Timer : Rp2040Block
    {
        public Rp2040Timer(IMachine machine, Rp2040Watchdog watchdog) : base(machine)
        {
            this.watchdog = watchdog;
        }

        public override void Reset()
        {
            base.Reset();
            zero = watchdog.Ticks;
        }

        public override uint Read(long register)
        {
            switch(register)
            {
            case 0x08: // TIMEHR
                return latched;
            case 0x0C: // TIMELR
                latched = (uint)(Now >> 32);
                return (uint)Now;
            case 0x24: // TIMERAWH
                return (uint)(Now >> 32);
            case 0x28: // TIMERAWL
                return (uint)Now;
            default:
                return base.Read(register);
            }
        }

        protected override void Write(long register, uint value)
        {
            base.Write(register, value);
            if(register == 0x00) // TIMEHW, after TIMELW
            {
                zero = watchdog.Ticks - ((ulong)value << 32 | Registers[0x04 / 4]);
            }
            else if(register >= 0x10 && register < 0x20)
            {
                this.Log(LogLevel.Warning, "Alarms are not modelled");
            }
        }

        private ulong Now
        {
            get { return watchdog.Ticks - zero; }
        }

        private ulong zero;
        private uint latched;
        private readonly Rp2040Watchdog watchdog;
    }

    /// <summary>
    /// USBCTRL's registers (4.1): storage, but no bus is ever there. Nothing of the controller's own
    /// happens, so the device is never enumerated.
    /// </summary>
    public class Rp2040Usb : Rp2040Block
    {
        public Rp2040Usb(IMachine machine) : base(machine)
        {
        }

        public override uint Read(long register)
        {
            switch(register)
            {
            case 0x50: // SIE_STATUS
            case 0x58: // BUFF_STATUS
            case 0x64: // EP_ABORT_DONE
            case 0x70: // EP_STATUS_STALL_NAK
            case 0x8C: // INTR
            case 0x98: // INTS
                return 0;
            default:
                return base.Read(register);
            }
        }
    }

    /// <summary>XIP's cache control (2.6.3): the cache is empty, ready, and flushed at once.</summary>
    public class Rp2040Xip : Rp2040Block
    {
        public Rp2040Xip(IMachine machine) : base(machine)
        {
        }

        public override uint Read(long register)
        {
            switch(register)
            {
            case 0x04: // FLUSH
                return 0;
            case 0x08: // STAT: FLUSH_READY, FIFO_EMPTY
                return 3;
            default:
                return base.Read(register);
            }
        }
    }

    /// <summary>
    /// SSI (4.10) with the Pico's W25Q16JV behind it. Code reads flash as memory, whatever the SSI is
    /// set to; through the data register the flash answers to its status registers, JEDEC ID and
    /// unique number. A transfer ends when IO_QSPI releases chip select, or, where the SSI itself
    /// drives that, when the program looks at SR. Erasing and programming go by stores to memory,
    /// as our boot ROM does.
    ///
    ///     ssi: Miscellaneous.Rp2040Ssi @ sysbus 0x18000000 { ioQspi: ioQspi }
    /// </summary>
    [AllowedTranslations(AllowedTranslation.ByteToDoubleWord | AllowedTranslation.WordToDoubleWord)]
    public class Rp2040Ssi : IDoubleWordPeripheral, IKnownSize
    {
        public Rp2040Ssi(Rp2040Block ioQspi, ulong uniqueNumber = 0xE660583883000001)
        {
            this.ioQspi = ioQspi;
            this.uniqueNumber = uniqueNumber;
        }

        public void Reset()
        {
            System.Array.Clear(registers, 0, registers.Length);
            received.Clear();
            position = 0;
        }

        public uint ReadDoubleWord(long offset)
        {
            switch(offset)
            {
            case 0x20: // TXFLR
                return 0;
            case 0x24: // RXFLR
                return (uint)received.Count;
            case 0x28: // SR: RFNE, TFE, TFNF
                if(!Selected)
                {
                    position = 0;
                }
                return 6u | (received.Count != 0 ? 8u : 0);
            case Data:
                return received.Count != 0 ? received.Dequeue() : 0;
            default:
                return registers[offset / 4];
            }
        }

        public void WriteDoubleWord(long offset, uint value)
        {
            if(offset != Data)
            {
                registers[offset / 4] = value;
                if(offset == Enable && (value & 1) == 0)
                {
                    received.Clear();
                    position = 0;
                }
                return;
            }
            if((registers[Enable / 4] & 1) == 0)
            {
                this.Log(LogLevel.Warning, "Data for the flash while the SSI is disabled");
                return;
            }
            if(Selected != wasSelected)
            {
                wasSelected = Selected;
                position = 0;
            }
            var answer = Exchange((byte)value);
            if(received.Count < FifoDepth)
            {
                received.Enqueue(answer);
            }
        }

        public long Size
        {
            get { return 0x1000; }
        }

        private uint Exchange(byte value)
        {
            var at = position++;
            if(at == 0)
            {
                command = value;
                writable = command == WriteEnable || writable && command == WriteStatus;
                if(command == SectorErase || command == BlockErase || command == PageProgram)
                {
                    this.Log(LogLevel.Warning, "The flash does not erase or program: store to its memory");
                }
                return 0;
            }
            switch(command)
            {
            case 0x05: // status 1
                return writable ? 2u : 0;
            case 0x35: // status 2
                return status2;
            case WriteStatus:
                if(at == 2 && writable)
                {
                    status2 = value;
                    writable = false;
                }
                return 0;
            case 0x9F: // JEDEC ID
                return at <= 3 ? new uint[] { 0xEF, 0x40, 0x15 }[at - 1] : 0;
            case 0x4B: // unique number, after four bytes of nothing
                return at >= 5 && at <= 12 ? (uint)(uniqueNumber >> 8 * (12 - at)) & 0xFF : 0;
            default:
                return 0;
            }
        }

        // GPIO_QSPI_SS_CTRL.OUTOVER drives chip select low.
        private bool Selected
        {
            get { return (ioQspi.Read(0x0C) >> 8 & 3) == 2; }
        }

        private byte command;
        private int position; // in the transfer
        private bool wasSelected;
        private bool writable;
        private uint status2;

        private readonly Rp2040Block ioQspi;
        private readonly ulong uniqueNumber;
        private readonly uint[] registers = new uint[0x400];
        private readonly Queue<uint> received = new Queue<uint>();

        private const int FifoDepth = 16;
        private const int Enable = 0x08;
        private const int Data = 0x60;
        private const byte WriteStatus = 0x01;
        private const byte PageProgram = 0x02;
        private const byte WriteEnable = 0x06;
        private const byte SectorErase = 0x20;
        private const byte BlockErase = 0xD8;
    }
}
