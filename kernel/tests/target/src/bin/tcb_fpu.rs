//! Vector registers belong to threads: they survive every switch and every move, and a new thread finds zeros.

#![no_std]
#![no_main]

use libsel4::abi::UserContext;
use libsel4::{BootInfo, System, root_task};
use tern_target_tests::code::address_of;
use tern_target_tests::objects::{Answer, Puppet};
use tern_target_tests::rows::rows;
use tern_target_tests::vectors::{collect, keep};

root_task!(main);

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let cores = boot.cores();
    for round in 0..3 {
        rows(&["fpu.zero", "fpu.own"]);
        // Three for each core, at the same priority: each yield is a switch.
        let count = 3 * cores;
        let puppets: [Option<Puppet>; 12] = core::array::from_fn(|index| {
            (index < count).then(|| Puppet::new(&mut system, index % cores, 100))
        });
        let puppets = || puppets.iter().flatten().zip(0_u64..);
        // New ones find zeros, whatever was in the memory and in the registers of their core.
        for (puppet, index) in puppets() {
            let pc = address_of(collect);
            puppet.start(&UserContext {
                pc,
                ..UserContext::default()
            });
            assert_eq!(puppet.fault().label(), 3);
            assert_eq!(puppet.registers().x0, 0, "puppet {index} of round {round}");
        }
        for (puppet, index) in puppets() {
            puppet.start(&UserContext {
                pc: address_of(keep),
                x20: (index + 1) << 32 | round << 56 | 0x1_0000,
                x21: index % 4,
                x22: 200,
                ..UserContext::default()
            });
        }
        // Meanwhile they move: to the next core, and back.
        for step in 0..10 {
            for (puppet, index) in puppets() {
                let core = (index as usize + step) % cores;
                if index % 3 == 0 {
                    puppet.sched.move_to(core).expect("to move");
                }
            }
        }
        for (puppet, index) in puppets() {
            let fault = Answer::of(&puppet.fault().message);
            assert_eq!(fault.label, 3);
            let left = puppet.registers().x22;
            assert_eq!(
                left, 0,
                "puppet {index} of round {round} lost its registers"
            );
        }
        // The last one's registers, after all the others ran: still its own, when it goes on.
        for (puppet, index) in puppets() {
            let stopped = puppet.registers();
            let pc = address_of(collect);
            puppet.start(&UserContext { pc, ..stopped });
            assert_eq!(puppet.fault().label(), 3);
            let high = puppet.registers().x0 >> 32 & 0xff_ffff;
            assert_eq!(high, index + 1);
        }
        for (puppet, _) in puppets() {
            system.destroy(puppet.tcb).expect("to destroy");
        }
    }
}
