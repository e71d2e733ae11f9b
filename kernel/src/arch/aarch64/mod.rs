//! AArch64, at EL1 with 4 KiB pages: see the parts. `registers` says what every system register is set to, `trap.s` which
//! of them hold what between user mode and the kernel.

mod cache;
mod cpu;
mod exception;
mod fpu;
mod mmu;
mod registers;
mod trap;

pub use cache::{
    clean_invalidate_to_poc, clean_to_poc, clean_to_pou, clear_to_poc, copy_memory,
    invalidate_to_poc, unify_instruction,
};
pub use cpu::{
    completion_barrier, counter, counter_frequency, cycles, device_barrier, interleave,
    interrupt_pending, publish, ring, send_event, set_timer, wait_for_event, wait_for_interrupt,
    wait_until_equal,
};
pub use exception::{frame_pointer, frame_record, halt, stack_of_address, stack_peak};
pub use fpu::{allow_user_fpu, load_fpu, save_fpu};
pub use mmu::{
    UserRoot, asid_bits, invalidate_asid, invalidate_page, invalidation_barrier, load_user_root,
    physical_address_bits, table_barrier, to_physical, to_virtual,
};
pub use registers::start_core_hardware;
pub use tern_platform::gic::Gic;
pub use trap::{return_to_user, set_current_context, started_at, this_core};
