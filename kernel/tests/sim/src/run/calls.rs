//! One core, and calls with arbitrary arguments, one after the other. After each of them everything is checked, the tree
//! too, and a call that was refused has changed nothing.
//!
//! What a caller may see of a refused call: its registers, its buffer, and that it was charged for it. Everything else
//! in the machine's memory has to be as before, byte for byte.

use sel4_abi::Syscall;
use tern_kernel::cap::{Cap, RawCap};
use tern_kernel::irq;
use tern_kernel::object::{REFILLS_OFFSET, TcbRef, TcbSlot, layout};

use super::{Driver, Step, stage};
use crate::machine::Stop;
use crate::op::{Call, Op};
use crate::world::{Ram, World};

const CORE: usize = 0;
const TCB_BYTES: u64 = 2048;
const BUFFER_BYTES: u64 = 1024;
const REFILL_BYTES: u64 = 16;
/// Steps until an entry is over, or a sleeping core has something to do.
const PATIENCE: u32 = 10_000;

/// What came of a list of calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub calls: u64,
    /// Calls that were answered with an error.
    pub refused: u64,
    /// Of these, those for which memory was compared.
    pub compared: u64,
}

/// Has the running thread do one thing after the other, until the list is over or nobody can run any more. Panics, with
/// words, if the kernel does something wrong.
pub fn run(ram: &Ram, list: impl FnOnce(&World) -> Vec<Op>) -> Counts {
    let (mut driver, world) = stage(ram, 1);
    // The root task makes most of the calls; somebody else does when it waits.
    let forever = world.configure(
        CORE,
        sel4_abi::slot::INIT_THREAD_SC,
        [1 << 30, 1 << 30, 0, 0, 0],
    );
    driver.must(&forever);
    driver.machine.set_interleaving(true);
    driver.compare_with_model();
    let mut counts = Counts::default();
    let mut scratch = Scratch::default();
    for op in list(&world) {
        if !ready(&mut driver) {
            break;
        }
        act(&mut driver, ram, &op, &mut scratch, &mut counts);
    }
    counts
}

/// Lets time pass until a thread runs. Tells whether one does.
fn ready(driver: &mut Driver) -> bool {
    for turn in 0..PATIENCE {
        if driver.machine.stop(CORE) == Stop::User {
            if !driver.take(&Step::Interrupt { core: CORE }) {
                return true;
            }
        } else if !driver.take(&Step::Go { core: CORE }) {
            let now = driver.machine.now();
            let next = driver
                .machine
                .next_deadline()
                .filter(|&deadline| deadline > now);
            match next {
                Some(deadline) => driver.take(&Step::Pass {
                    ticks: deadline - now,
                }),
                // A handler may wait for one of these lines.
                None if turn < 100 => driver.take(&Step::Raise {
                    line: 40 + turn % 2,
                }),
                None => return false,
            };
        }
    }
    panic!("no thread comes to run, and the core does not rest");
}

fn act(driver: &mut Driver, ram: &Ram, op: &Op, scratch: &mut Scratch, counts: &mut Counts) {
    let (caller, _) = driver.running(CORE);
    let again = driver.repeats(CORE);
    ram.read(&mut scratch.before);
    let before = Tables::of(driver);
    let due = driver.machine.deadline(CORE);
    driver.checker.thoroughly();
    driver.take(&Step::Do {
        core: CORE,
        op: op.clone(),
    });
    let mut steps = 0;
    while driver.machine.stop(CORE) != Stop::User && driver.take(&Step::Go { core: CORE }) {
        // The tree is looked at after the last release too.
        driver.checker.thoroughly();
        steps += 1;
        assert!(steps < PATIENCE, "a call that does not end: {op}");
    }
    let Op::Call(call) = op else { return };
    if again {
        // It was an interrupted call, and not this one.
        return;
    }
    counts.calls += 1;
    if !refused(driver, call, caller) {
        return;
    }
    counts.refused += 1;
    // Else the entry may also have let others run, or begun to do so.
    if driver.machine.now() >= due {
        return;
    }
    counts.compared += 1;
    assert_eq!(
        before,
        Tables::of(driver),
        "{call} was refused, but not all"
    );
    ram.read(&mut scratch.after);
    for (address, bytes) in callers_own(driver, caller) {
        let Some(from) = address.checked_sub(ram.start()) else {
            continue;
        };
        let range = from as usize..(from + bytes) as usize;
        for memory in [&mut scratch.before, &mut scratch.after] {
            if let Some(memory) = memory.get_mut(range.clone()) {
                memory.fill(0);
            }
        }
    }
    if scratch.before != scratch.after {
        let words = scratch.before.chunks(8).zip(scratch.after.chunks(8));
        let differs = words.enumerate().filter(|(_, (old, new))| old != new);
        let places: Vec<u64> = differs
            .map(|(index, _)| ram.start() + 8 * index as u64)
            .take(8)
            .collect();
        panic!("{call} was refused, and has changed memory at {places:x?}");
    }
}

/// Whether the call was answered, at once, with an error.
fn refused(driver: &Driver, call: &Call, caller: TcbRef) -> bool {
    call.number == Syscall::Call as i64
        && driver.machine.stop(CORE) == Stop::User
        && driver.running(CORE).0 == caller
        && driver.answer(CORE) != 0
}

/// The memory before and after a call, kept because it is large.
#[derive(Default)]
struct Scratch {
    before: Vec<u8>,
    after: Vec<u8>,
}

/// Addresses and lengths of what a refused call may write.
fn callers_own(driver: &Driver, caller: TcbRef) -> Vec<(u64, u64)> {
    let k = driver.inspect();
    // Its capabilities are not among it.
    let registers = layout::CONTEXT as u64;
    let mut own = vec![(caller.object() as u64 + registers, TCB_BYTES - registers)];
    if let Some(sc) = k.get(caller).sc {
        let ring = u64::from(k.refills_ref(sc).state.max) * REFILL_BYTES;
        own.push((sc.address() as u64, REFILLS_OFFSET as u64 + ring));
    }
    if let Cap::Frame { base, size, .. } = k.get(caller.slot(TcbSlot::IpcBuffer)).cap() {
        let offset = k.get(caller).buffer_address & (size.bytes() - 1);
        own.push((base.0 + offset, BUFFER_BYTES));
    }
    own
}

/// What the kernel keeps outside the machine's memory, as far as calls concern it.
#[derive(Debug, PartialEq, Eq)]
struct Tables {
    lines: Vec<RawCap>,
    pools: Vec<usize>,
}

impl Tables {
    fn of(driver: &Driver) -> Self {
        let k = driver.inspect();
        let pools = k.shared().asids.pools;
        Self {
            lines: irq::slots(&k).map(|slot| k.get(slot).raw()).collect(),
            pools: pools
                .iter()
                .map(|pool| pool.map_or(0, |pool| pool.address()))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sel4_abi::{Invocation as I, slot};

    /// Refused calls are found, and compared.
    #[test]
    fn what_is_refused_is_compared() {
        let counts = run(&Ram::new(), |world| {
            let tcb = world.tcbs.start;
            let calls = [
                Call::invoke(tcb, I::TcbSetPriority, &[], &[1]),
                Call::invoke(tcb, I::TcbSuspend, &[], &[]),
                Call::invoke(slot::INIT_THREAD_CNODE, I::CNodeDelete, &[], &[1]),
            ];
            calls.map(Op::Call).to_vec()
        });
        let expected = Counts {
            calls: 3,
            refused: 2,
            compared: 2,
        };
        assert_eq!(counts, expected);
    }
}
