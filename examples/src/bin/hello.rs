//! The smallest root task: says hello, says what it was given, and ends.

#![no_std]
#![no_main]

use libsel4::{BootInfo, println, root_task};

root_task!(main);

fn main(boot: &'static BootInfo) {
    println!("Hello from a root task on {} cores.", boot.cores());
    let (mut memory, mut devices) = (0, 0);
    for untyped in boot.untypeds() {
        if untyped.is_device {
            devices += 1;
        } else {
            memory += 1_u64 << untyped.size_bits;
        }
    }
    println!(
        "It may use {} KiB of memory and {devices} pieces of device memory.",
        memory / 1024
    );
    println!(
        "Its {} empty slots are {:?}.",
        boot.empty_slots().len(),
        boot.empty_slots()
    );
}
