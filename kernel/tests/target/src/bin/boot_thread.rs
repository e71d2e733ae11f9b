//! The initial thread as the kernel starts it: every register, priorities, time slice, buffer, roots, name, and that nobody
//! handles its faults.
//!
//! This test has an entry point of its own, which saves the registers before anything changes them.
//!
//! expect: Bootstrapping kernel
//! expect: memory 0x40000000..0x80000000
//! expect: Booting all finished, dropped to user space
//! expect: thread 'rootserver' stops at 0x

#![no_std]
#![no_main]

use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use libsel4::abi::{Invocation, MAX_PRIORITY, ObjectType};
use libsel4::runtime::{DEFAULT_HEAP, DEFAULT_STACK, HeapMemory, Stack, start};
use libsel4::{
    BootInfo, Budget, CapRights, Error, System, Tcb, ThreadBuilder, debug, init, syscall,
};
use tern_target_tests::builds::root_slice;
use tern_target_tests::objects::{answer, invoke, object};
use tern_target_tests::rows::{row, rows};

/// x0 to x29, SP, TPIDR_EL0, NZCV, FPCR, FPSR, the entry point, and the 64 halves of the vector registers.
static SAVED: [AtomicU64; 100] = [const { AtomicU64::new(u64::MAX) }; 100];
const SP: usize = 30;
const TPIDR: usize = 31;
const NZCV: usize = 32;
const FPCR: usize = 33;
const FPSR: usize = 34;
const VECTORS: usize = 36;

static STACK: Stack<DEFAULT_STACK> = Stack::new();
static HEAP: HeapMemory<DEFAULT_HEAP> = HeapMemory::new();

/// Saves all registers; x30 is only checked, since something has to hold an address.
#[unsafe(naked)]
#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    core::arch::naked_asm!(
        "cbz x30, 2f",
        "udf #30",
        "2: adrp x30, {saved}",
        "add x30, x30, :lo12:{saved}",
        "stp x0, x1, [x30, #0]",
        "stp x2, x3, [x30, #16]",
        "stp x4, x5, [x30, #32]",
        "stp x6, x7, [x30, #48]",
        "stp x8, x9, [x30, #64]",
        "stp x10, x11, [x30, #80]",
        "stp x12, x13, [x30, #96]",
        "stp x14, x15, [x30, #112]",
        "stp x16, x17, [x30, #128]",
        "stp x18, x19, [x30, #144]",
        "stp x20, x21, [x30, #160]",
        "stp x22, x23, [x30, #176]",
        "stp x24, x25, [x30, #192]",
        "stp x26, x27, [x30, #208]",
        "stp x28, x29, [x30, #224]",
        "mov x1, sp",
        "mrs x2, tpidr_el0",
        "stp x1, x2, [x30, #240]",
        "mrs x1, nzcv",
        "mrs x2, fpcr",
        "stp x1, x2, [x30, #256]",
        "mrs x1, fpsr",
        "str x1, [x30, #272]",
        "stp q0, q1, [x30, #288]",
        "stp q2, q3, [x30, #320]",
        "stp q4, q5, [x30, #352]",
        "stp q6, q7, [x30, #384]",
        "stp q8, q9, [x30, #416]",
        "stp q10, q11, [x30, #448]",
        "stp q12, q13, [x30, #480]",
        "stp q14, q15, [x30, #512]",
        "stp q16, q17, [x30, #544]",
        "stp q18, q19, [x30, #576]",
        "stp q20, q21, [x30, #608]",
        "stp q22, q23, [x30, #640]",
        "stp q24, q25, [x30, #672]",
        "stp q26, q27, [x30, #704]",
        "stp q28, q29, [x30, #736]",
        "stp q30, q31, [x30, #768]",
        "adrp x1, {stack}",
        "add x1, x1, :lo12:{stack}",
        "ldr x2, ={size}",
        "add sp, x1, x2",
        "mov x29, xzr",
        "mov x30, xzr",
        "b {begin}",
        ".ltorg",
        saved = sym SAVED,
        stack = sym STACK,
        size = const DEFAULT_STACK + 4096,
        begin = sym begin,
    )
}

extern "C" fn begin(boot: *const libsel4::abi::BootInfo) -> ! {
    // SAFETY: the entry point calls this once with what the kernel passed; the statics are used nowhere else.
    unsafe {
        start(boot, &STACK, &HEAP, |boot| {
            main(boot);
            0
        })
    }
}

fn main(boot: &'static BootInfo) {
    registers(boot);
    let mut system = System::new(boot);
    rows(&["boot.thread.time-slice", "boot.thread.sched-context"]);
    let micros = root_slice(&mut system);
    assert!((4950..=5050).contains(&micros), "{micros} us");
    sched_context(&mut system, boot);
    priorities(&mut system);
    state(&mut system);
    buffer(&mut system);
    roots(&mut system);
    no_handler(&mut system);
}

fn registers(boot: &'static BootInfo) {
    let saved = |index: usize| SAVED[index].load(Ordering::Relaxed);
    row("boot.thread.argument");
    assert_eq!(saved(0), core::ptr::from_ref(boot) as u64);
    row("boot.thread.registers");
    for index in (1..=TPIDR).chain([NZCV]) {
        assert_eq!(saved(index), 0, "register {index}");
    }
    assert_eq!(saved(SP), 0);
    row("boot.thread.fpu");
    for index in [FPCR, FPSR].into_iter().chain(VECTORS..100) {
        assert_eq!(saved(index), 0, "register {index}");
    }
}

/// The smallest kind: two refills, so none beyond. Bound to the thread, on core 0.
fn sched_context(system: &mut System, boot: &'static BootInfo) {
    row("boot.thread.sched-context");
    let configure = |extra| {
        boot.sched_control(0)
            .configure(init::SCHED_CONTEXT, 5000, 10_000, extra, 0)
    };
    assert!(configure(1).is_err(), "no room for another refill");
    let other = object::<Tcb>(system);
    assert_eq!(
        init::SCHED_CONTEXT.bind(other),
        Err(Error::IllegalOperation)
    );
    assert!(init::SCHED_CONTEXT.consumed().is_ok());
    row("boot.thread.core");
    assert_eq!(debug::thread_affinity(init::TCB), Some(0));
}

fn priorities(system: &mut System) {
    row("boot.thread.mcp");
    let other = object::<Tcb>(system);
    assert_eq!(other.set_priority(init::TCB, MAX_PRIORITY), Ok(()));
    assert_eq!(other.set_mc_priority(init::TCB, MAX_PRIORITY), Ok(()));
    // An equal had its turns above; one just below has none as long as this thread can run.
    row("boot.thread.priority");
    static RAN: AtomicBool = AtomicBool::new(false);
    let slices = Budget::DEFAULT;
    let below = ThreadBuilder::new("below").priority(254).budget(slices);
    let below = below.spawn(system, || RAN.store(true, Ordering::Relaxed));
    let below = below.expect("a thread");
    for _ in 0..100 {
        syscall::yield_now();
        assert!(!RAN.load(Ordering::Relaxed));
    }
    below.join(system).expect("it runs when this thread waits");
    assert!(RAN.load(Ordering::Relaxed));
}

fn state(system: &mut System) {
    row("boot.thread.spsr");
    let reader = ThreadBuilder::new("reader").spawn(system, || init::TCB.read_registers(false));
    let registers = reader.expect("a thread").join(system).expect("its result");
    assert_eq!(registers.expect("the registers").spsr & !0xf000_0000, 0x40);
}

/// The thread's buffer is that of the frame in its slot, and a child of it: revoked, the thread has none.
fn buffer(system: &mut System) {
    rows(&["boot.thread.ipc-buffer", "boot.thread.copies"]);
    let memory = system.untyped(4).expect("memory");
    let slot = system.slot().expect("a slot").index;
    let words = [ObjectType::Endpoint as u64, 0, 0, 0, slot, 1];
    let retype = || {
        invoke(
            memory.bits(),
            Invocation::UntypedRetype,
            &[init::CNODE.bits()],
            &words,
        )
    };
    let vaddr = system.boot().raw().ipc_buffer;
    // Somebody else has to give it back.
    let [go, done] = [0; 2].map(|_| system.notification().expect("a notification"));
    let helper = ThreadBuilder::new("helper").spawn(system, move || {
        go.wait();
        init::TCB
            .set_ipc_buffer(vaddr, Some(init::IPC_BUFFER_FRAME))
            .expect("to set the buffer");
        done.signal();
    });
    helper.expect("a thread");
    init::IPC_BUFFER_FRAME.slot().revoke().expect("revoked");
    assert_eq!(
        retype(),
        answer::truncated(),
        "four words and no capability"
    );
    go.signal();
    done.wait();
    assert_eq!(retype(), answer::ok());
}

/// The capability space is that of slot 2, the address space that of slot 3.
fn roots(system: &mut System) {
    row("boot.thread.roots");
    let slot = system.slot().expect("a slot");
    let path = libsel4::SlotPath::new(init::CNODE, slot.index, 64);
    path.copy_from(&init::TCB.slot(), CapRights::all())
        .expect("a copy");
    assert_eq!(debug::cap_identify(Tcb::at(slot.index)), 12);
    let region = system
        .region(4096, libsel4::system::Guard::None)
        .expect("memory");
    let word = region.start() as *mut u64;
    // SAFETY: mapped through slot 3 and nobody else's.
    unsafe { word.write_volatile(5) };
    // SAFETY: likewise.
    assert_eq!(unsafe { word.read_volatile() }, 5);
}

/// The test ends in another thread, after this one has faulted.
fn no_handler(system: &mut System) {
    rows(&[
        "boot.thread.no-handler",
        "boot.thread.name",
        "boot.console.banner",
    ]);
    ThreadBuilder::new("last")
        .spawn(system, || libsel4::exit(0))
        .expect("a thread");
    // SAFETY: the thread stops here, and the memory that it has stays.
    unsafe { asm!("udf #0", options(noreturn)) }
}
