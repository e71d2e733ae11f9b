//! The boundary between user mode and Rust: the per-core block that `start.s` and `trap.s` work with, and the decoding
//! of an exception into a [`Cause`].
//!
//! A trap saves the user's registers straight into the current thread's [`Context`], calls one of the functions here,
//! and returns to whatever context is current then. `trap.s` explains who holds what in between.

use core::{
    arch::{asm, global_asm},
    cell::UnsafeCell,
    mem::offset_of,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};

use super::exception;
use crate::{
    config::{DEBUG_BUILD, MAX_NUM_NODES, SMP},
    entry::{self, Cause},
    fast::{self, Exit},
    object::{Context, ObjRef},
    types::CoreId,
};

/// What trap entry and exit need of each core. Only that core reads or writes its own; atomics, because the assembly
/// does so too.
#[repr(C, align(128))]
struct Block {
    /// Address of the current thread's context.
    context: AtomicUsize,
    /// Initial stack pointer of the kernel on this core.
    stack: AtomicUsize,
    /// Initial stack pointer for exceptions that must not be.
    emergency: AtomicUsize,
    /// Counter at the entry to the kernel.
    started: AtomicU64,
    core: CoreId,
}

static BLOCKS: [Block; MAX_NUM_NODES] = {
    let mut blocks = [const { Block::new(0) }; MAX_NUM_NODES];
    let mut core = 0;
    while core < MAX_NUM_NODES {
        blocks[core] = Block::new(core);
        core += 1;
    }
    blocks
};

impl Block {
    const fn new(core: usize) -> Self {
        Self {
            context: AtomicUsize::new(0),
            stack: AtomicUsize::new(tern_platform::handover::stack_top(core) as usize),
            emergency: AtomicUsize::new(0),
            started: AtomicU64::new(0),
            core: CoreId(core as u16),
        }
    }
}

/// Log of the size of a core's stack for exceptions that must not be.
pub(super) const EMERGENCY_SHIFT: u32 = 12;

#[repr(C, align(4096))]
pub(super) struct EmergencyStacks(UnsafeCell<[[u8; 1 << EMERGENCY_SHIFT]; MAX_NUM_NODES]>);

// SAFETY: never touched from Rust but as stacks, each by its own core.
unsafe impl Sync for EmergencyStacks {}

pub(super) static EMERGENCY: EmergencyStacks =
    EmergencyStacks(UnsafeCell::new([[0; 1 << EMERGENCY_SHIFT]; MAX_NUM_NODES]));

global_asm!(
    include_str!("start.s"),
    max_cores = const MAX_NUM_NODES,
    blocks = sym BLOCKS,
    block_size = const size_of::<Block>(),
    block_started = const offset_of!(Block, started),
    block_emergency = const offset_of!(Block, emergency),
    emergency = sym EMERGENCY,
    emergency_shift = const EMERGENCY_SHIFT,
    empty_table = sym super::mmu::EMPTY_TABLE,
    empty_root = sym super::mmu::EMPTY_ROOT,
    paint_stack = const DEBUG_BUILD as u32,
    paint = const exception::PAINT,
    stack_size = const tern_platform::handover::STACK_SIZE,
    boot = sym crate::boot::start::enter_kernel,
);

global_asm!(
    include_str!("trap.s"),
    x = const offset_of!(Context, x),
    x30 = const offset_of!(Context, x) + 30 * 8,
    next_ip = const offset_of!(Context, next_ip),
    tpidr = const offset_of!(Context, tpidr),
    fault_ip = const offset_of!(Context, fault_ip),
    block_context = const offset_of!(Block, context),
    block_stack = const offset_of!(Block, stack),
    block_emergency = const offset_of!(Block, emergency),
    registers_size = const size_of::<exception::Registers>(),
    elr = const offset_of!(exception::Registers, elr),
    esr = const offset_of!(exception::Registers, esr),
    class_svc = const CLASS_SVC,
    syscall = sym handle_syscall,
    exception = sym handle_exception,
    interrupt = sym handle_interrupt,
    serror = sym handle_serror,
    fatal = sym exception::handle_fatal,
);

// What the pairs of loads and stores in trap.s take for granted.
const _: () = {
    assert!(offset_of!(Context, sp) == offset_of!(Context, x) + 31 * 8);
    assert!(offset_of!(Context, spsr) == offset_of!(Context, next_ip) + 8);
    assert!(offset_of!(Context, tpidrro) == offset_of!(Context, tpidr) + 8);
    // The stack pointer of the processor must be a multiple of 16 when memory is reached through it.
    assert!(crate::object::layout::CONTEXT.is_multiple_of(16));
    assert!(offset_of!(exception::Registers, sp) == 31 * 8);
    assert!(offset_of!(exception::Registers, spsr) == offset_of!(exception::Registers, elr) + 8);
    assert!(offset_of!(exception::Registers, far) == offset_of!(exception::Registers, esr) + 8);
    assert!(size_of::<exception::Registers>().is_multiple_of(16));
};

fn block() -> &'static Block {
    let block: *const Block;
    // SAFETY: reads a register that `start.s` sets once.
    unsafe {
        asm!("mrs {}, tpidr_el1", out(reg) block, options(pure, nomem, nostack, preserves_flags))
    };
    // SAFETY: it holds the address of an element of `BLOCKS` for as long as the core runs.
    unsafe { &*block }
}

/// The core that runs this.
pub fn this_core() -> CoreId {
    if SMP { block().core } else { CoreId(0) }
}

/// Where the next return to user mode takes its registers from, and the next trap saves them.
pub fn set_current_context(context: Option<ObjRef<Context>>) {
    block()
        .context
        .store(context.map_or(0, ObjRef::address), Ordering::Relaxed);
}

unsafe extern "C" {
    fn trap_return() -> !;
}

/// Enters user mode with the registers of the current context, from anywhere in a trap.
#[inline(always)]
pub fn return_to_user() {
    // SAFETY: the current context is that of the live thread, and no lock is held; nothing on the stack is needed again.
    unsafe { trap_return() }
}

/// The counter when this core entered the kernel.
pub fn started_at() -> u64 {
    block().started.load(Ordering::Relaxed)
}

/// Bits 31:26 of the syndrome: what kind of exception it was.
const CLASS_FPU: u64 = 0x07;
const CLASS_SVC: u64 = 0x15;
const CLASS_INSTRUCTION_ABORT: u64 = 0x20;
const CLASS_DATA_ABORT: u64 = 0x24;

fn cause(syndrome: u64, address: u64) -> Cause {
    let class = syndrome >> 26 & 0x3f;
    let syndrome = syndrome as u32;
    match class {
        CLASS_DATA_ABORT => Cause::DataAbort { address, syndrome },
        CLASS_INSTRUCTION_ABORT => Cause::InstructionAbort { address, syndrome },
        CLASS_FPU => Cause::FpuAccess,
        _ => Cause::UserException { syndrome },
    }
}

/// Not zero where `trap.s` need not load but x0 to x18, x29 and x30.
extern "C" fn handle_syscall() -> u64 {
    u64::from(fast::syscall(this_core()) == Exit::Same)
}

extern "C" fn handle_exception(syndrome: u64, address: u64) {
    fast::exception(this_core(), cause(syndrome, address));
}

extern "C" fn handle_interrupt() {
    fast::interrupt(this_core());
}

/// An error that the memory system reported late. The thread that runs gets the exception, unless the syndrome says
/// that the error may have spread (Arm ARM, ESR_ELx for SError: asynchronous, AET uncontainable).
extern "C" fn handle_serror(syndrome: u64) {
    const IMPLEMENTATION_DEFINED: u64 = 1 << 24;
    const ASYNCHRONOUS: u64 = 0x11;
    let uncontainable = syndrome & IMPLEMENTATION_DEFINED == 0
        && syndrome & 0x3f == ASYNCHRONOUS
        && syndrome >> 10 & 0b111 == 0;
    assert!(
        !uncontainable,
        "uncontainable memory error, syndrome {syndrome:#x}"
    );
    entry::enter(
        this_core(),
        Cause::UserException {
            syndrome: syndrome as u32,
        },
    );
}
