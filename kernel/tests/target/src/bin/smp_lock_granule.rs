//! The processor's exclusive-reservation granule is no larger than what locks are padded to (which the kernel asserts of its
//! locks when it is compiled), and no core is kept from the locks by others that take them all the time.
//!
//! cores: 2 4
//! cpu: cortex-a53 cortex-a72 max

#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use core::arch::asm;
use core::sync::atomic::Ordering;

use libsel4::{BootInfo, ThreadBuilder, root_task};
use tern_target_tests::rows::{row, rows};
use tern_target_tests::sched::{Bench, LONG_SLICE, counter};

root_task!(main);

/// What the kernel's locks are padded to.
const PADDING: u64 = 2048;

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    row("defect.871");
    let register: u64;
    // SAFETY: reading this register has no effects; user level may.
    unsafe { asm!("mrs {}, ctr_el0", out(reg) register, options(nomem, nostack)) };
    // ERG: log2 of the words of the granule; 0 says nothing, and the architecture's maximum is assumed.
    let granule = match register >> 20 & 0xf {
        0 => 2048,
        words => 4 << words,
    };
    assert!(granule <= PADDING, "a granule of {granule} bytes");
    rows(&["defect.871", "defect.184-1160-1333"]);
    everybody_gets_on(&mut bench);
}

/// System calls on all cores, without a pause: each core gets its thousands done, while all others go on.
fn everybody_gets_on(bench: &mut Bench) {
    const CALLS: u64 = 3_000;
    let nobody = bench.system.notification().unwrap();
    let counts: Vec<_> = (0..bench.cores()).map(|_| counter()).collect();
    let threads: Vec<_> = counts
        .iter()
        .enumerate()
        .map(|(core, &count)| {
            let builder = ThreadBuilder::new("busy").core(core).budget(LONG_SLICE);
            builder
                .spawn(&mut bench.system, move || {
                    loop {
                        nobody.poll();
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                })
                .unwrap()
        })
        .collect();
    bench.eventually("every core's calls", || {
        counts
            .iter()
            .all(|count| count.load(Ordering::Relaxed) >= CALLS)
    });
    for thread in threads {
        thread.destroy(&mut bench.system).unwrap();
    }
}
