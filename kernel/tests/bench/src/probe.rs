//! Whether this kernel counts for benchmarks: a thread makes the call, and it faults where there is none.

use core::arch::naked_asm;

use libsel4::abi::debug_syscall::BENCHMARK_COUNTERS;
use libsel4::{Message, init};

use crate::worker::{Bench, Job};

/// Makes the call, and then sends a message to the same endpoint as its fault would go to.
#[unsafe(naked)]
extern "C" fn probe(job: &'static Job) -> ! {
    naked_asm!(
        "mov x19, x0",
        "mov x7, #{counters}",
        "svc #0",
        "mov x0, x19",
        "b {arrive}",
        counters = const BENCHMARK_COUNTERS,
        arrive = sym arrive,
    )
}

const ARRIVED: u64 = 99;

extern "C" fn arrive(job: &'static Job) -> ! {
    job.endpoint.call(Message::new(ARRIVED));
    unreachable!("nobody answers")
}

/// Whether the call exists.
pub fn has_counters(bench: &mut Bench) -> bool {
    let job = Job::new(&mut bench.system);
    let thread = bench.spawn(probe, job, 0, init::VSPACE, Some(job.endpoint));
    let label = job.endpoint.recv(job.reply).label();
    thread.stop();
    label == ARRIVED
}
