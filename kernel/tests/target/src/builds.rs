//! Helpers of the tests about kernel configurations: which calls a kernel has, and which registers it lets user level use.
//! They need no debug call themselves.

extern crate alloc;

use alloc::{sync::Arc, vec::Vec};
use core::ops::RangeInclusive;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use libsel4::abi::{MAX_PRIORITY, UserContext, debug_syscall};
use libsel4::machine::Machine;
use libsel4::{BootInfo, System, ThreadBuilder, syscall, time};

use crate::objects::{Answer, Ended, Puppet, call_registers};

/// The numbers that are debug calls in some configuration.
const DEBUG_CALLS: RangeInclusive<i64> =
    debug_syscall::GET_THREAD_AFFINITY..=debug_syscall::PUT_CHAR;

/// Checks that these debug calls exist, and that all others are unknown system calls with all their words. `DebugHalt`
/// is not tried where it is to exist.
pub fn check_debug_calls(puppet: &Puppet, existing: &[i64]) {
    for number in DEBUG_CALLS {
        let exists = existing.contains(&number);
        if exists && number == debug_syscall::HALT {
            continue;
        }
        // x0 is a line feed to print, and no capability.
        let registers = call_registers(number, 10, 0, [12, 13, 14, 15], 16);
        match puppet.syscall(&registers) {
            Ended::Returned(_) => assert!(exists, "call {number} should not exist"),
            Ended::Faulted(Answer { label, words }) => {
                assert!(!exists, "call {number} should exist");
                assert_eq!((label, words.len(), words[12]), (2, 13, number as u64));
                assert_eq!(words[8], Puppet::trap_address());
            }
        }
    }
}

/// Lets a puppet execute one instruction, which is followed by an undefined one. The fault that stopped it at the first
/// one, or else its registers.
pub fn execute(puppet: &Puppet, code: extern "C" fn() -> !) -> Result<UserContext, Answer> {
    let start = code as *const () as u64;
    let fault = puppet.run_to_fault(&UserContext {
        pc: start,
        // A valid address, for instructions that take one.
        x0: puppet.buffer().start() as u64 + 2048,
        ..UserContext::default()
    });
    let after = fault.label == 3 && fault.words[0] == start + 4;
    if after {
        Ok(puppet.registers())
    } else {
        assert_eq!(
            (fault.label, fault.words[0]),
            (3, start),
            "a fault of the instruction"
        );
        Err(fault)
    }
}

/// How many cores the machine has, whatever the kernel makes of them.
pub fn processors(boot: &'static BootInfo) -> u64 {
    let tree = boot.device_tree().expect("a device tree");
    Machine::from_device_tree(tree)
        .expect("a readable one")
        .processors as u64
}

/// How long the root task runs, in microseconds, until an equal thread of its core has its turn: its time slice. To be
/// called while its scheduling context is as the kernel made it, in exact time.
pub fn root_slice(system: &mut System) -> u64 {
    const TURNS: usize = 5;
    struct Seen {
        count: AtomicUsize,
        starts: [AtomicU64; TURNS],
    }
    let seen = Arc::new(Seen {
        count: AtomicUsize::new(0),
        starts: [const { AtomicU64::new(0) }; TURNS],
    });
    let notes = seen.clone();
    ThreadBuilder::new("equal")
        .priority(MAX_PRIORITY)
        .spawn(system, move || {
            for (turn, start) in notes.starts.iter().enumerate() {
                start.store(time::counter(), Ordering::Relaxed);
                notes.count.store(turn + 1, Ordering::Release);
                syscall::yield_now();
            }
        })
        .expect("a thread");
    while seen.count.load(Ordering::Acquire) < TURNS {}
    let starts: Vec<u64> = seen
        .starts
        .iter()
        .map(|it| it.load(Ordering::Relaxed))
        .collect();
    let slices: Vec<u64> = starts
        .windows(2)
        .map(|pair| time::ticks_to_duration(pair[1] - pair[0]).as_micros() as u64)
        .collect();
    let spread = slices.iter().max().zip(slices.iter().min());
    assert!(
        spread.is_some_and(|(most, least)| most - least < 50),
        "{slices:?}"
    );
    slices[0]
}

/// One instruction for [`execute`].
#[macro_export]
macro_rules! instruction {
    ($text:literal) => {{
        #[unsafe(naked)]
        extern "C" fn code() -> ! {
            core::arch::naked_asm!($text, "udf #0")
        }
        code as extern "C" fn() -> !
    }};
}
