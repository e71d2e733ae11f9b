//! The root of an address space is deleted while threads on other cores run in it, and its memory becomes another's. The
//! threads find nothing mapped and fault; the rest of the system does not notice.
//!
//! cores: 2 4
//! icount: both
//! timeout: 240

#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;

use libsel4::abi::UserContext;
use libsel4::{
    BootInfo, Cap, CapRights, Fault, ObjectType, SmallPage, Tcb, VmAttributes, init, root_task,
};
use tern_target_tests::rows::row;
use tern_target_tests::sched::Bench;

root_task!(main);

/// Where the code is in the other address space.
const CODE: usize = 0x40_0000;
/// `1: add x0, x0, #1; str x0, [x1]; b 1b`
const PROGRAM: [u32; 3] = [0x9100_0400, 0xf900_0020, 0x17ff_fffe];
/// Where it counts, in the code's page.
const COUNT: usize = 0x800;
const ROUNDS: usize = 40;

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    let others = bench.cores() - 1;
    // Memory that is first the root and then, at once, something else.
    let memory = bench.system.untyped(12).unwrap();
    let root_slot = bench.system.slot().unwrap();
    let vspace = libsel4::VSpace::at(root_slot.index);
    let faults = bench.system.endpoint().unwrap();
    let reply = bench.system.reply().unwrap();
    let page: Cap<SmallPage> = bench.system.object().unwrap();
    let here = bench
        .system
        .map(page, CapRights::READ_WRITE, VmAttributes::default())
        .unwrap();
    let copy = bench.system.copy(page, CapRights::all()).unwrap();
    // SAFETY: the page is mapped here, and the program writes behind these words only.
    unsafe { (here as *mut [u32; 3]).write_volatile(PROGRAM) };
    page.unify_instruction(0, 4096).unwrap();
    let threads: Vec<Cap<Tcb>> = (0..others)
        .map(|_| bench.system.object().unwrap())
        .collect();
    let contexts: Vec<_> = (0..others)
        .map(|index| bench.sched_context(index + 1))
        .collect();
    let count = || {
        // SAFETY: mapped; the threads write it meanwhile.
        unsafe { ((here + COUNT) as *const u64).read_volatile() }
    };
    row("vspace.delete.running");
    row("tern.tlb.loaded-root");
    for round in 0..ROUNDS {
        memory
            .retype_into(ObjectType::VSpace, 0, init::CNODE, root_slot.index)
            .unwrap();
        init::ASID_POOL.assign(vspace).unwrap();
        bench
            .system
            .map_at(
                vspace,
                copy,
                CODE,
                CapRights::READ_WRITE,
                VmAttributes::default(),
            )
            .unwrap();
        for (&tcb, &sc) in threads.iter().zip(&contexts) {
            tcb.configure(init::CNODE, 0, vspace, 0, None).unwrap();
            let sc = (round == 0).then_some(sc);
            if let Some(sc) = sc {
                tcb.set_sched_params(init::TCB, 0, 100, Some(sc), Some(faults))
                    .unwrap();
            }
            let context = UserContext {
                pc: CODE as u64,
                x1: (CODE + COUNT) as u64,
                ..UserContext::default()
            };
            tcb.write_registers(true, &context).unwrap();
        }
        let before = count();
        bench.eventually("threads in the other address space", || count() != before);
        if round % 2 == 0 {
            // The last capabilities are in the threads; the memory's revoke takes those too.
            memory.slot().revoke().unwrap();
        } else {
            root_slot.delete().unwrap();
            memory.slot().revoke().unwrap();
        }
        memory
            .retype_into(ObjectType::SmallPage, 0, init::CNODE, root_slot.index)
            .unwrap();
        for _ in &threads {
            let received = faults.recv(reply);
            assert!(
                matches!(Fault::from_received(&received), Some(Fault::VmFault { .. })),
                "{received:?}"
            );
        }
        let stopped = count();
        bench.sleep(500);
        assert_eq!(count(), stopped);
        for &tcb in &threads {
            tcb.suspend().unwrap();
        }
        memory.slot().revoke().unwrap();
        copy.unmap().unwrap();
    }
}
