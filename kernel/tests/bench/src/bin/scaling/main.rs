//! The same work on several cores at once, each with threads and objects of its own: the root task of
//! `cargo xtask bench --scaling`, which reads its lines.
//!
//! Two loads are done on 1, 2, 4 and 8 cores: calls to a passive server in another address space; and a mixture of
//! calls, signals, turns and timer interrupts. What is done with them depends on the kernel, and on how this program was
//! built:
//!
//! - On a kernel that counts, each core does so much of it, and a line has what the kernel counted meanwhile: doorbells,
//!   waits for locks, entries with all locks. All are to be 0.
//! - With `TERN_BENCH_TRACE` in the environment of the build, each core does a little, between two points at which
//!   `kernel/tests/memtrace` begins and ends to write down the kernel's accesses to memory.
//! - Otherwise each core does what it can of the calls for some time, and a line has how much that was in a second.
//!
//! cores: 2 8
//! cpu: cortex-a53
//! config: BENCH_COUNTERS=true
//! expect: scaling: done

#![no_std]
#![no_main]

extern crate alloc;

mod meeting;
mod seat;

use alloc::vec::Vec;

use libsel4::{BootInfo, println, root_task};
use tern_bench::worker::Bench;
use tern_bench::{meter, probe};

use seat::{Kind, Load, Seat};

root_task!(main, heap = 1 << 20);

/// The numbers of cores at once.
const CORES: [usize; 4] = [1, 2, 4, 8];
/// How often speeds are measured, alternately, so that all have the same share of whatever the host does.
const ROUNDS: usize = 7;
/// Whether the accesses are written down.
const TRACE: bool = option_env!("TERN_BENCH_TRACE").is_some();

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    let counting = probe::has_counters(&mut bench);
    meter::prepare(counting);
    let kind = match (counting, TRACE) {
        (true, _) => Kind::Count,
        (false, true) => Kind::Trace,
        (false, false) => Kind::Time,
    };
    println!("scaling: {} cores, {kind:?}", boot.cores());
    let seats: Vec<Seat> = (0..boot.cores())
        .map(|core| Seat::new(&mut bench, core))
        .collect();
    // Every timer that the kernel sets is the business of one thread of the emulator's, whichever core it is for: what
    // the mixture does in a second says more about that.
    let (rounds, loads): (usize, &[Load]) = match kind {
        Kind::Time => (ROUNDS, &[Load::Call]),
        Kind::Count | Kind::Trace => (1, &[Load::Call, Load::Mixed]),
    };
    for &load in loads {
        for _ in 0..rounds {
            for count in CORES {
                if count <= seats.len() {
                    run(&bench, &seats[..count], load, kind);
                }
            }
        }
    }
    println!("scaling: done");
}

/// One load on the cores of these seats at once.
fn run(bench: &Bench, seats: &[Seat], load: Load, kind: Kind) {
    let count = seats.len();
    let name = load.name();
    // Whoever watches the host knows that it begins.
    println!("begin {name} {count}");
    let results = seat::work(bench, seats, load, kind);
    match kind {
        Kind::Count => {
            let meter::Counts {
                sgi,
                lock_waits,
                all_entries,
                held,
            } = results.counts;
            println!("count scale_{name}_{count} {sgi} {lock_waits} {all_entries} {held}");
        }
        Kind::Trace => println!("traced {name} {count} {}", results.operations),
        Kind::Time => println!("rate {name} {count} {}", results.operations),
    }
}
