//! Debug calls, and what the kernel tells people on the console. Nothing here changes what a program sees, and a bad
//! argument costs a line and nothing else.

use core::fmt;

use sel4_abi::{MAX_MESSAGE_LENGTH, MAX_THREAD_NAME, debug_syscall};

use crate::{
    access::Kernel,
    arch,
    cap::Cap,
    config, counters, cspace,
    fault::Fault,
    ipc::transfer,
    masked::{self, Mode},
    object::{TcbRef, ThreadName, ThreadState},
    print::kprintln,
    types::CoreId,
};

/// Highest software-generated interrupt number.
const MAX_SGI: u64 = 15;
/// What `DebugGetThreadAffinity` answers for something that is no thread.
const NO_AFFINITY: u64 = u64::MAX;

/// Whether a debug call is about counters only, which no lock guards: it neither waits for other cores nor makes them
/// wait, and is not counted.
pub fn is_count(number: i64) -> bool {
    matches!(
        number,
        debug_syscall::BENCHMARK_RESET_LOG
            | debug_syscall::BENCHMARK_FINALIZE_LOG
            | debug_syscall::BENCHMARK_COUNTERS
            | debug_syscall::BENCHMARK_MODES
    )
}

/// A debug call of `caller`. The number is one of this configuration.
pub fn call(k: &mut Kernel<'_>, caller: TcbRef, number: i64) {
    let x = k.get(caller.context()).x;
    match number {
        debug_syscall::PUT_CHAR => crate::print::put_char(x[0] as u8),
        debug_syscall::DUMP_SCHEDULER => dump(k),
        debug_syscall::SNAPSHOT => snapshot(k),
        debug_syscall::HALT => {
            kprintln!(
                "halted by thread '{}' on core {}",
                Name(k, caller),
                k.me().0
            );
            arch::halt();
        }
        debug_syscall::CAP_IDENTIFY => {
            let slot = cspace::lookup_slot(k, caller, x[0]);
            let number = slot.map_or(0, |slot| k.get(slot).raw().type_number());
            k.get_mut(caller.context()).x[0] = number;
        }
        debug_syscall::NAME_THREAD => name_thread(k, caller, x[0]),
        debug_syscall::SEND_IPI => send_ipi(k, x[0], x[1]),
        debug_syscall::GET_THREAD_AFFINITY => {
            let affinity =
                thread(k, caller, x[0]).map_or(NO_AFFINITY, |tcb| u64::from(k.get(tcb).affinity.0));
            k.get_mut(caller.context()).x[0] = affinity;
        }
        debug_syscall::BENCHMARK_RESET_LOG => {
            masked::reset();
            counters::reset();
        }
        debug_syscall::BENCHMARK_FINALIZE_LOG => finalize_log(k, caller, x[0]),
        debug_syscall::BENCHMARK_COUNTERS => read_counters(k, caller),
        debug_syscall::BENCHMARK_MODES => read_modes(k, caller),
        _ => unreachable!("not a debug call"),
    }
}

/// The thread that a debug call names, or a line that says that it names none.
fn thread(k: &Kernel<'_>, caller: TcbRef, cptr: u64) -> Option<TcbRef> {
    match cspace::lookup_slot(k, caller, cptr).map(|slot| k.get(slot).cap()) {
        Ok(Cap::Thread { tcb }) => Some(tcb),
        _ => {
            kprintln!("debug call of '{}': {cptr:#x} is no TCB", Name(k, caller));
            None
        }
    }
}

/// The name is in the caller's IPC buffer, from the first message word on.
fn name_thread(k: &mut Kernel<'_>, caller: TcbRef, cptr: u64) {
    let Some(tcb) = thread(k, caller, cptr) else {
        return;
    };
    let Some(buffer) = transfer::ipc_buffer(k, caller, false) else {
        kprintln!(
            "debug call of '{}': no IPC buffer for the name",
            Name(k, caller)
        );
        return;
    };
    // It may be as long as the message words; what there is no room for is cut off.
    let words = (0..MAX_MESSAGE_LENGTH).map(|index| k.read_user_word(buffer, 1 + index));
    let mut name = ThreadName([0; MAX_THREAD_NAME + 1]);
    for (index, byte) in words.flat_map(u64::to_le_bytes).enumerate() {
        if byte == 0 {
            *k.get_mut(tcb.name()) = name;
            return;
        }
        if index < MAX_THREAD_NAME {
            name.0[index] = byte;
        }
    }
    kprintln!("debug call of '{}': the name does not end", Name(k, caller));
}

fn send_ipi(k: &Kernel<'_>, core: u64, sgi: u64) {
    if core >= k.num_cores() as u64 || sgi > MAX_SGI {
        kprintln!("debug call: no core {core} or no interrupt {sgi}");
        return;
    }
    k.machine().gic.send_sgi(sgi as u32, core as usize);
}

/// The longest stretches of a core with interrupts masked, in registers.
fn finalize_log(k: &mut Kernel<'_>, caller: TcbRef, core: u64) {
    let Some(core) = k.cores().find(|each| u64::from(each.0) == core) else {
        kprintln!("debug call: no core {core}");
        return;
    };
    let longest = masked::longest(core);
    let x = &mut k.get_mut(caller.context()).x;
    (x[0], x[1]) = (longest.whole, longest.whole_reason);
    (x[2], x[3]) = (longest.held, longest.held_reason);
}

/// What the benchmark counts, in registers; with the longest time that locks were held, where that is measured.
fn read_counters(k: &mut Kernel<'_>, caller: TcbRef) {
    let counts = counters::read();
    let held = k.cores().map(|core| masked::longest(core).held).max();
    let x = &mut k.get_mut(caller.context()).x;
    (x[0], x[1]) = (counts.doorbells, counts.lock_waits);
    (x[2], x[3]) = (counts.entries_all, held.unwrap_or(0));
}

/// The longest stretches with interrupts masked and with locks held, by the locks.
fn read_modes(k: &mut Kernel<'_>, caller: TcbRef) {
    let longest = [Mode::Local, Mode::Set, Mode::All].map(masked::longest_by_mode);
    k.get_mut(caller.context()).x[..6].copy_from_slice(longest.as_flattened());
}

/// A thread's name, for messages.
struct Name<'a, 'l>(&'a Kernel<'l>, TcbRef);

impl fmt::Display for Name<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.0.get(self.1.name()).0;
        let end = name
            .iter()
            .position(|&byte| byte == 0)
            .unwrap_or(name.len());
        match core::str::from_utf8(&name[..end]) {
            Ok("") | Err(_) => {
                let width = f.width().unwrap_or(0);
                write!(f, "{:<#width$x}", self.1.address())
            }
            Ok(name) => f.pad(name),
        }
    }
}

/// What a thread does, in a word.
struct State<'a, 'l>(&'a Kernel<'l>, TcbRef);

impl fmt::Display for State<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(k, tcb) = *self;
        let running = k.cores().any(|core| k.core(core).current == Some(tcb));
        f.pad(match k.get(tcb).state {
            _ if running => "live",
            ThreadState::Inactive => "inactive",
            ThreadState::Running => "running",
            ThreadState::Restart => "restart",
            ThreadState::BlockedOnReceive { .. } => "blocked on recv",
            ThreadState::BlockedOnSend { .. } => "blocked on send",
            ThreadState::BlockedOnReply { .. } => "blocked on reply",
            ThreadState::BlockedOnNotification { .. } => "blocked on ntfn",
        })
    }
}

/// Every thread: name, state, where it is, priority, core, and in which queue.
fn dump(k: &Kernel<'_>) {
    if !config::DEBUG_BUILD {
        return;
    }
    kprintln!(
        "{:<24} {:<16} {:>16} {:>4} {:>4}  queue",
        "thread",
        "state",
        "pc",
        "prio",
        "core"
    );
    let mut next = k.shared().debug_threads;
    while let Some(tcb) = next {
        let thread = k.get(tcb);
        let queue = match (thread.in_ready_queue, thread.in_release_queue, thread.sc) {
            (true, _, _) => "ready",
            (_, true, _) => "release",
            (_, _, None) => "no sched context",
            _ => "-",
        };
        kprintln!(
            "{:<24} {:<16} {:>#16x} {:>4} {:>4}  {queue}",
            Name(k, tcb),
            State(k, tcb),
            k.get(tcb.context()).fault_ip,
            thread.priority,
            thread.affinity.0,
        );
        next = thread.debug_next;
    }
}

/// Every core and every thread with what it holds.
fn snapshot(k: &Kernel<'_>) {
    for core in k.cores() {
        let CoreId(number) = core;
        match k.core(core).current {
            Some(tcb) => kprintln!("core {number}: {}", Name(k, tcb)),
            None => kprintln!("core {number}: idle"),
        }
        if let Some(bytes) = arch::stack_peak(core) {
            kprintln!("  kernel stack: at most {bytes} bytes used");
        }
        if config::TRACK_MASKED {
            let longest = masked::longest(core);
            let (kind, number, label) = masked::describe(longest.whole_reason);
            kprintln!(
                "  interrupts masked: at most {} cycles ({kind} {number}, label {label})",
                longest.whole
            );
            let (kind, number, label) = masked::describe(longest.held_reason);
            kprintln!(
                "  locks held: at most {} cycles ({kind} {number}, label {label})",
                longest.held
            );
        }
    }
    dump(k);
}

/// All threads, where the configuration keeps a list of them.
pub fn threads(k: &Kernel<'_>) -> impl Iterator<Item = TcbRef> {
    core::iter::successors(k.shared().debug_threads, |&tcb| k.get(tcb).debug_next)
}

/// A new thread joins the list of all.
pub fn register_thread(k: &mut Kernel<'_>, tcb: TcbRef) {
    if !config::DEBUG_BUILD {
        return;
    }
    let first = k.shared_mut().debug_threads.replace(tcb);
    k.get_mut(tcb).debug_next = first;
    if let Some(first) = first {
        k.get_mut(first).debug_prev = Some(tcb);
    }
}

/// A thread that goes leaves the list of all.
pub fn forget_thread(k: &mut Kernel<'_>, tcb: TcbRef) {
    if !config::DEBUG_BUILD {
        return;
    }
    let (prev, next) = (k.get(tcb).debug_prev, k.get(tcb).debug_next);
    match prev {
        Some(prev) => k.get_mut(prev).debug_next = next,
        None => k.shared_mut().debug_threads = next,
    }
    if let Some(next) = next {
        k.get_mut(next).debug_prev = prev;
    }
}

/// A thread faulted and has nobody to tell.
pub fn unhandled_fault(k: &Kernel<'_>, tcb: TcbRef, fault: Fault) {
    let pc = k.get(tcb.context()).fault_ip;
    kprintln!(
        "thread '{}' stops at {pc:#x} on core {}: {fault:x?}",
        Name(k, tcb),
        k.me().0
    );
}
