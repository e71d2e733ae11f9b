//! `MAX_NUM_NODES` is the most cores that come up, and `ROOT_CNODE_SIZE_BITS` the size of the root CNode, all of whose
//! slots can be used.
//!
//! config: MAX_NUM_NODES=2
//! config: ROOT_CNODE_SIZE_BITS=13
//! cores: 1 2 4

#![no_std]
#![no_main]

use libsel4::{
    BootInfo, Cap, CapRights, Endpoint, Error, SlotPath, System, debug, init, root_task,
};
use tern_target_tests::builds::processors;
use tern_target_tests::objects::{Puppet, answer, invoke_label, kind};
use tern_target_tests::rows::row;

root_task!(main);

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let raw = boot.raw();
    row("build.config.max-nodes");
    let cores = raw.num_nodes;
    assert_eq!(cores, processors(boot).min(2));
    assert_eq!(raw.sched_control.len(), cores);
    let puppet = Puppet::new(&mut system, boot.cores() - 1, 100);
    assert_eq!(debug::thread_affinity(puppet.tcb), Some(boot.cores() - 1));
    let slot = system.slot().expect("a slot").index;
    let words = [60, 0, slot, 64, cores];
    let seen = invoke_label(init::IRQ_CONTROL.bits(), 56, &[init::CNODE.bits()], &words);
    assert_eq!(seen, answer::invalid_argument(4));

    row("build.config.root-cnode");
    assert_eq!(raw.init_thread_cnode_size_bits, 13);
    assert_eq!(raw.empty.end, 1 << 13);
    let endpoint = system.endpoint().expect("an endpoint");
    let last = SlotPath::in_root((1 << 13) - 1);
    last.copy_from(&endpoint.slot(), CapRights::all())
        .expect("a copy");
    assert_eq!(kind(last), 4);
    Cap::<Endpoint>::from_bits(last.index).nb_send(libsel4::Message::new(1));
    let beyond = SlotPath::in_root(1 << 13);
    let copied = beyond.copy_from(&endpoint.slot(), CapRights::all());
    assert!(
        matches!(copied, Err(Error::FailedLookup { .. })),
        "{copied:?}"
    );
}
