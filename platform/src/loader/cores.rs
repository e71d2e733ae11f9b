//! Starting the other cores, and the way all cores enter the kernel.
//!
//! A started core waits in the loader (`start.s`) until it gets its number. Boot core and waiting cores share the
//! `SLOTS` and the `ENTRY` block by plain loads and stores: all run with the MMU off, where nothing is cached and
//! exclusives do not work.

use crate::memory;
use crate::print::say;
use aarch64_cpu::asm::{barrier, sev};
use aarch64_cpu::registers::{CNTFRQ_EL0, CNTPCT_EL0, MPIDR_EL1, Readable};
use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};
use tern_platform::board::{BoardInfo, CoreStart, Cpu, MAX_CPUS};

/// What boot core and a waiting core know of each other.
#[repr(C)]
pub(crate) struct Slot {
    /// Whose slot it is. No core has this affinity while it is unused.
    pub(crate) mpidr: AtomicU64,
    /// Set by the core when it waits.
    pub(crate) arrived: AtomicU64,
    /// Set by the boot core: logical number plus one.
    pub(crate) number: AtomicU64,
}

pub(crate) static SLOTS: [Slot; MAX_CPUS] = [const {
    Slot {
        mpidr: AtomicU64::new(u64::MAX),
        arrived: AtomicU64::new(0),
        number: AtomicU64::new(0),
    }
}; MAX_CPUS];

/// What every core loads into its registers on the way into the kernel. Read by `start.s`.
#[repr(C)]
pub(crate) struct Entry {
    pub(crate) mair: AtomicU64,
    pub(crate) tcr: AtomicU64,
    pub(crate) ttbr0: AtomicU64,
    pub(crate) ttbr1: AtomicU64,
    pub(crate) sctlr: AtomicU64,
    pub(crate) address: AtomicU64,
    pub(crate) stack_base: AtomicU64,
    pub(crate) stack_stride: AtomicU64,
    /// x0 to x6.
    pub(crate) arguments: [AtomicU64; 7],
}

pub(crate) static ENTRY: Entry = Entry {
    mair: AtomicU64::new(0),
    tcr: AtomicU64::new(0),
    ttbr0: AtomicU64::new(0),
    ttbr1: AtomicU64::new(0),
    sctlr: AtomicU64::new(0),
    address: AtomicU64::new(0),
    stack_base: AtomicU64::new(0),
    stack_stride: AtomicU64::new(0),
    arguments: [const { AtomicU64::new(0) }; 7],
};

unsafe extern "C" {
    fn tern_secondary();
    fn tern_enter(number: u64) -> !;
}

/// How long to wait for the other cores.
const SECONDS: u64 = 2;
const PSCI_CPU_ON: u64 = 0xc400_0003;
const AFFINITY: u64 = 0xff_00ff_ffff;

/// The cores that will enter the kernel.
pub(crate) struct Cores {
    /// By logical number.
    pub(crate) mpidr: [u64; MAX_CPUS],
    pub(crate) count: usize,
    /// A core was told to start and did not appear. It may still do so, and then needs the loader's code.
    pub(crate) missing: bool,
}

/// The affinity of the core that runs.
pub(crate) fn own_mpidr() -> u64 {
    MPIDR_EL1.get() & AFFINITY
}

/// Starts cores of the board up to `limit` in all, and waits for them. The boot core has number 0, the others follow in
/// the order of the board description.
pub(crate) fn start(board: &BoardInfo, limit: usize) -> Cores {
    let mut cores = Cores {
        mpidr: [0; MAX_CPUS],
        count: 1,
        missing: false,
    };
    cores.mpidr[0] = own_mpidr();
    let others = board.cpus.iter().filter(|cpu| cpu.mpidr != cores.mpidr[0]);
    let wanted = limit.clamp(1, MAX_CPUS) - 1;
    let mut started = [false; MAX_CPUS];
    for ((cpu, slot), started) in others.take(wanted).zip(&SLOTS).zip(&mut started) {
        slot.mpidr.store(cpu.mpidr, Ordering::Relaxed);
        barrier::dsb(barrier::SY);
        match start_one(board.start, cpu) {
            Ok(()) => *started = true,
            Err(reason) => {
                // Nobody will come for this slot.
                slot.mpidr.store(u64::MAX, Ordering::Relaxed);
                say!("  core {:#x} does not start: {reason}", cpu.mpidr);
            }
        }
    }
    let deadline = CNTPCT_EL0
        .get()
        .saturating_add(SECONDS * CNTFRQ_EL0.get().max(1_000_000));
    for (slot, _) in SLOTS.iter().zip(started).filter(|(_, started)| *started) {
        let mpidr = slot.mpidr.load(Ordering::Relaxed);
        while slot.arrived.load(Ordering::Relaxed) == 0 && CNTPCT_EL0.get() < deadline {
            // Lets an emulator that runs cores in turn go on with another one.
            // SAFETY: a hint without effect on registers or memory.
            unsafe { asm!("yield", options(nomem, nostack, preserves_flags)) };
        }
        if slot.arrived.load(Ordering::Relaxed) == 0 {
            say!("  core {mpidr:#x} does not appear within {SECONDS} s: continuing without it");
            cores.missing = true;
        } else {
            cores.mpidr[cores.count] = mpidr;
            cores.count += 1;
        }
    }
    cores
}

/// Tells one core to start.
fn start_one(how: CoreStart, cpu: &Cpu) -> Result<(), &'static str> {
    let entry = tern_secondary as *const () as u64;
    match how {
        CoreStart::None => Err("the device tree names no way to start it"),
        CoreStart::PsciHvc | CoreStart::PsciSmc => match cpu_on(how, cpu.mpidr, entry) {
            0 => Ok(()),
            -1 => Err("PSCI: not supported"),
            -2 => Err("PSCI: invalid parameters"),
            -3 => Err("PSCI: denied"),
            -4 => Err("PSCI: already on"),
            -5 => Err("PSCI: on pending"),
            -9 => Err("PSCI: invalid address"),
            _ => Err("PSCI: internal failure"),
        },
        CoreStart::SpinTable => {
            let address = cpu.release_addr;
            if address == 0 || !address.is_multiple_of(8) {
                return Err("its release address is missing or misaligned");
            }
            let word = core::ptr::with_exposed_provenance_mut::<u64>(address as usize);
            // SAFETY: firmware waits for this word to be written, and nothing else is there.
            unsafe { word.write_volatile(entry) };
            memory::clean_line(address);
            sev();
            Ok(())
        }
    }
}

/// PSCI CPU_ON.
fn cpu_on(how: CoreStart, mpidr: u64, entry: u64) -> i64 {
    let mut result = PSCI_CPU_ON as i64;
    if how == CoreStart::PsciHvc {
        // SAFETY: a call to firmware, which keeps all but x0 to x17; the started core runs code that is ready for it.
        unsafe {
            asm!("hvc #0", inout("x0") result, in("x1") mpidr, in("x2") entry, in("x3") 0,
                clobber_abi("C"));
        }
    } else {
        // SAFETY: as above.
        unsafe {
            asm!("smc #0", inout("x0") result, in("x1") mpidr, in("x2") entry, in("x3") 0,
                clobber_abi("C"));
        }
    }
    // 32 bits are defined.
    i64::from(result as i32)
}

/// Sends all cores into the kernel, the calling one too. `ENTRY` is complete.
pub(crate) fn enter(cores: &Cores) -> ! {
    barrier::dsb(barrier::SY);
    for slot in &SLOTS {
        let mpidr = slot.mpidr.load(Ordering::Relaxed);
        let number = cores.mpidr[..cores.count].iter().position(|m| *m == mpidr);
        if let Some(number) = number {
            slot.number.store(number as u64 + 1, Ordering::Relaxed);
        }
    }
    barrier::dsb(barrier::SY);
    sev();
    // SAFETY: `ENTRY` describes a complete address space with the kernel in it.
    unsafe { tern_enter(0) }
}
