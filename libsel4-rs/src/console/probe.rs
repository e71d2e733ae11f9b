//! Does the kernel print?
//!
//! `seL4_DebugPutChar` exists in kernels built with `PRINTING`; in others it is an unknown system call, and a fault.
//! The first thread has nobody to handle its faults, so it lets another thread make the call: one with no stack, no
//! IPC buffer and no memory of its own, whose next message is either its fault or the news that the call came back.
//! The character is an end of line, which also sets the program's output apart from the kernel's.
//!
//! This happens before `main`, in objects from the smallest untyped that holds them and in the last empty slots;
//! afterwards all of it is gone again. Should the kernel refuse any of it, it is taken to print: that is what kernels
//! under test do.

use sel4_abi::{MessageInfo, ObjectType, UserContext, size_bits};

use crate::arch;
use crate::boot::BootInfo;
use crate::cap::{Cap, Endpoint, Reply, SchedContext, Tcb, Untyped, init};
use crate::error::Error;

/// Logarithm of the bytes that a TCB, a scheduling context, a reply object and an endpoint take together.
const SPACE_BITS: u8 = size_bits::TCB as u8 + 1;
/// The label of the news that the call came back: not that of a fault.
const CAME_BACK: u64 = 0x5e14;
/// Microseconds: the helper is in turn with the first thread.
const SLICE: u64 = 5000;

/// Whether `seL4_DebugPutChar` does something.
pub(super) fn kernel_prints(boot: &BootInfo) -> bool {
    let fits = boot
        .untypeds()
        .filter(|it| !it.is_device && it.size_bits >= SPACE_BITS);
    let slots = boot.empty_slots();
    match fits.min_by_key(|untyped| untyped.size_bits) {
        Some(untyped) if slots.len() >= 4 => {
            let outcome = ask(boot, untyped.cap, slots.end - 4);
            // Destroys whatever there is of the helper.
            let revoked = untyped.cap.slot().revoke();
            outcome
                .and_then(|prints| revoked.map(|()| prints))
                .unwrap_or(true)
        }
        _ => true,
    }
}

fn ask(boot: &BootInfo, memory: Cap<Untyped>, first_slot: u64) -> Result<bool, Error> {
    let make =
        |object, slot| memory.retype_into(object, size_bits::MIN_SCHED_CONTEXT, init::CNODE, slot);
    let tcb: Cap<Tcb> = Cap::from_bits(first_slot);
    let sched: Cap<SchedContext> = Cap::from_bits(first_slot + 1);
    let reply: Cap<Reply> = Cap::from_bits(first_slot + 2);
    let endpoint: Cap<Endpoint> = Cap::from_bits(first_slot + 3);
    make(ObjectType::Tcb, tcb.bits())?;
    make(ObjectType::SchedContext, sched.bits())?;
    make(ObjectType::Reply, reply.bits())?;
    make(ObjectType::Endpoint, endpoint.bits())?;

    boot.sched_control(0).configure(sched, SLICE, SLICE, 0, 0)?;
    tcb.configure(init::CNODE, 0, init::VSPACE, 0, None)?;
    let priority = sel4_abi::MAX_PRIORITY;
    tcb.set_sched_params(init::TCB, 0, priority, Some(sched), Some(endpoint))?;
    let context = UserContext {
        pc: arch::probe_put_char_entry() as u64,
        x0: u64::from(b'\n'),
        x19: endpoint.bits(),
        x20: MessageInfo::new(CAME_BACK, 0, 0, 0).0,
        ..UserContext::default()
    };
    tcb.write_registers(true, &context)?;
    Ok(endpoint.recv(reply).label() == CAME_BACK)
}
