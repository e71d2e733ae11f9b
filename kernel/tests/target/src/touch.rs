//! What a thread may do with an address: a puppet loads from it or stores to it, and either gets on or faults.

use libsel4::abi::UserContext;

use crate::objects::{Answer, Puppet};

#[unsafe(naked)]
extern "C" fn load() -> ! {
    core::arch::naked_asm!("ldr x1, [x0]", "udf #0")
}

#[unsafe(naked)]
extern "C" fn store() -> ! {
    core::arch::naked_asm!("str x1, [x0]", "udf #0")
}

/// Whether the puppet can load a word from an address.
pub fn can_load(puppet: &Puppet, vaddr: u64) -> bool {
    touches(puppet, load, vaddr)
}

/// Whether the puppet can store a word to an address. If so, it has stored 0x5ca1ab1e there.
pub fn can_store(puppet: &Puppet, vaddr: u64) -> bool {
    touches(puppet, store, vaddr)
}

fn touches(puppet: &Puppet, code: extern "C" fn() -> !, vaddr: u64) -> bool {
    let start = code as *const () as u64;
    let Answer { label, words } = puppet.run_to_fault(&UserContext {
        pc: start,
        x0: vaddr,
        x1: 0x5ca1_ab1e,
        ..UserContext::default()
    });
    match label {
        // The undefined instruction behind the access.
        3 if words[0] == start + 4 => true,
        6 if words[..2] == [start, vaddr] => false,
        _ => panic!("an access to {vaddr:#x} ended with fault {label}: {words:x?}"),
    }
}
