//! The steps of a path through the kernel, by the functions that do them.

use super::frames::Frame;

/// The step of instructions of the root task.
pub(super) const USER: &str = "user level";
/// The step of instructions that no function gives one.
pub(super) const ELSE: &str = "elsewhere";

/// The steps, in the order of the tables, and the beginnings of their functions' paths. The longest one that fits
/// decides. Functions that only reach for something, such as `access::get`, are missing on purpose: they belong to what
/// calls them.
const STEPS: [(&str, &[&str]); 30] = [
    (USER, &[]),
    (
        "trap: entry",
        &[
            "trap_vectors",
            "trap_synchronous",
            "trap_interrupt",
            "trap_exception",
            "arch::aarch64::trap::",
        ],
    ),
    (
        "trap: exit",
        &["trap_return", "arch::aarch64::trap::return_to_user"],
    ),
    (
        "entry: course of it",
        &[
            "entry::",
            "fast::enter",
            "fast::syscall",
            "fast::exception",
            "fast::interrupt",
            "preempt::has_progress",
            "masked::",
            "counters::",
        ],
    ),
    (
        "entry: system call",
        &[
            "fast::attempt",
            "fast::is_call",
            "entry::number",
            "entry::act",
            "syscall::",
            "abi::syscall::",
        ],
    ),
    (
        "locks: taken, released",
        &[
            "smp::lock::",
            "system::core_locks",
            "access::try_lock_own",
            "access::lock",
            "access::widen",
            "access::try_widen",
            "access::extend",
            "access::retake",
            "access::secure",
            "access::release",
            "access::unlock",
        ],
    ),
    ("locks: which are needed", &["reach::", "fast::reach"]),
    (
        "time: clock, calm, charge",
        &[
            "sched::time::",
            "arch::aarch64::cpu::counter",
            "fast::undisturbed",
            "mcs::refill::charge",
            "mcs::refill::commit",
            "mcs::refill::consume",
            "mcs::refill::restart_slice",
            "mcs::refill::unblock_check",
            "mcs::refill::yield_head",
        ],
    ),
    (
        "time: timer",
        &[
            "sched::time::program_timer",
            "arch::aarch64::cpu::set_timer",
        ],
    ),
    (
        "capability: found, decoded",
        &["cspace::", "fast::lookup", "fast::send_cap", "cap::"],
    ),
    (
        "path: checks and states",
        &[
            "fast::message::",
            "fast::notification::",
            "fast::plain::",
            "ipc::",
        ],
    ),
    (
        "queue of the object",
        &[
            "fast::message::dequeue",
            "fast::message::wait",
            "ipc::wait_queue::",
            "object::endpoint::",
            "object::notification::",
        ],
    ),
    (
        "message",
        &[
            "fast::message::deliver",
            "ipc::transfer::",
            "ipc::fault::",
            "fault::",
            "abi::message::",
            "access::read_user_word",
            "access::write_user_word",
        ],
    ),
    (
        "reply and context",
        &[
            "fast::message::push",
            "fast::message::pop",
            "fast::message::lend",
            "ipc::reply::",
            "object::reply::",
            "sched::context::",
        ],
    ),
    (
        "budget: may it run",
        &[
            "fast::switch::wakeable",
            "sched::context::has_budget",
            "sched::time::is_funded",
            "sched::is_schedulable",
        ],
    ),
    (
        "scheduler: who runs",
        &["fast::switch::", "sched::", "mcs::ready::"],
    ),
    (
        "scheduler: release queue",
        &[
            "mcs::release::",
            "sched::time::awaken",
            "sched::time::take_due",
        ],
    ),
    (
        "switch: thread",
        &[
            "fast::switch::lend_core",
            "sched::dispatch::switch_to",
            "sched::dispatch::leave",
            "sched::dispatch::turn_to_context",
            "arch::aarch64::trap::set_current_context",
            "arch::aarch64::cpu::completion_barrier",
        ],
    ),
    (
        "address space: found, loaded",
        &[
            "vspace::asid::",
            "sched::dispatch::load_root",
            "arch::aarch64::mmu::load_user_root",
            "arch::aarch64::mmu::asid",
            "arch::aarch64::mmu::eq",
            "arch::aarch64::mmu::new",
        ],
    ),
    (
        "switch: floating point",
        &[
            "sched::dispatch::load_fpu",
            "sched::dispatch::unload_fpu",
            "arch::aarch64::fpu::",
            "fpu_save",
            "fpu_load",
        ],
    ),
    (
        "invocation: decoded",
        &[
            "invoke::",
            "fast::method::",
            "syscall::arguments",
            "syscall::invoke_object",
            "syscall::dispatch",
        ],
    ),
    (
        "invocation: done",
        &[
            "invoke::untyped::perform",
            "invoke::untyped::reset",
            "invoke::untyped::create",
            "invoke::untyped::new_thread",
            "mcs::refill::reconfigure::",
            "sched::context::bind",
            "sched::context::unbind",
            "sched::context::release_tcb",
            "sched::context::configure",
            "delete::",
        ],
    ),
    ("capabilities: tree, copies", &["cdt::", "derive::"]),
    ("translation tables", &["vspace::"]),
    (
        "barriers, TLB, caches",
        &[
            "arch::aarch64::mmu::table_barrier",
            "arch::aarch64::mmu::invalid",
            "arch::aarch64::cache::",
            "arch::aarch64::cpu::device_barrier",
        ],
    ),
    (
        "answer",
        &[
            "syscall::answer",
            "syscall::answer_registers",
            "syscall::finish",
            "syscall::fail",
            "invoke::none",
            "invoke::one",
        ],
    ),
    (
        "interrupt controller",
        &["irq::", "platform::gic::", "arm_gic::"],
    ),
    (
        "other cores: rung, stopped",
        &["smp::", "arch::aarch64::cpu::ring", "preempt::"],
    ),
    (
        "memory copied or filled",
        &[
            "compiler_builtins::",
            "memcpy",
            "memset",
            "memmove",
            "memcmp",
        ],
    ),
    (ELSE, &[]),
];

/// All steps, in the order of the tables.
pub(super) fn all() -> impl Iterator<Item = &'static str> {
    STEPS.iter().map(|(step, _)| *step)
}

/// The step of an instruction, and the function that makes it one: the innermost that belongs to a step.
pub(super) fn step_of(frames: &[Frame]) -> (&'static str, &str) {
    frames
        .iter()
        .find_map(|frame| Some((of_function(&frame.function)?, frame.function.as_str())))
        .unwrap_or_else(|| {
            let outermost = frames.last().map_or("?", |frame| frame.function.as_str());
            (ELSE, outermost)
        })
}

fn of_function(function: &str) -> Option<&'static str> {
    let length = |beginnings: &[&str]| {
        let fitting = beginnings
            .iter()
            .filter(|each| function.starts_with(**each));
        fitting.map(|each| each.len()).max()
    };
    STEPS
        .iter()
        .filter_map(|(step, beginnings)| Some((length(beginnings)?, *step)))
        .max_by_key(|(length, _)| *length)
        .map(|(_, step)| step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(functions: &[&str]) -> Vec<Frame> {
        let frame = |function: &&str| Frame {
            function: function.to_string(),
            place: String::new(),
        };
        functions.iter().map(frame).collect()
    }

    fn step(functions: &[&str]) -> &'static str {
        step_of(&frames(functions)).0
    }

    #[test]
    fn the_innermost_function_with_a_step_decides() {
        let call = "fast::message::call";
        let push = "fast::message::push";
        assert_eq!(step(&[call]), "path: checks and states");
        assert_eq!(step(&[push, call]), "reply and context");
        assert_eq!(step(&["mcs::ready::push", call]), "scheduler: who runs");
    }

    #[test]
    fn what_only_reaches_for_something_belongs_to_its_caller() {
        let get = "access::get";
        let read = "core::ptr::read";
        let lookup = "cspace::lookup_slot";
        let outer = "fast::attempt";
        let frames = frames(&[read, get, lookup, outer]);
        assert_eq!(step_of(&frames), ("capability: found, decoded", lookup));
    }

    #[test]
    fn the_longest_beginning_decides() {
        assert_eq!(step(&["sched::time::stamp"]), "time: clock, calm, charge");
        assert_eq!(step(&["sched::time::program_timer"]), "time: timer");
        assert_eq!(step(&["smp::lock::acquire"]), "locks: taken, released");
        assert_eq!(step(&["smp::poke"]), "other cores: rung, stopped");
    }

    #[test]
    fn assembly_and_strangers_have_their_places() {
        assert_eq!(step(&["trap_return"]), "trap: exit");
        assert_eq!(step(&["memcpy"]), "memory copied or filled");
        assert_eq!(step_of(&frames(&["core::a", "core::b"])), (ELSE, "core::b"));
        assert_eq!(step_of(&[]), (ELSE, "?"));
    }

    #[test]
    fn no_beginning_has_two_steps() {
        let all: Vec<&str> = STEPS
            .iter()
            .flat_map(|(_, each)| each.iter().copied())
            .collect();
        for (index, each) in all.iter().enumerate() {
            assert!(!all[..index].contains(each), "{each}");
        }
    }
}
