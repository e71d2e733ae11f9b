//! System calls with arbitrary arguments on one simulated core: any number, any capability, any message and any buffer.
//! After each, everything is checked, and a refused one has changed nothing.

use std::sync::LazyLock;

use sel4_abi::{MAX_MESSAGE_LENGTH, MessageInfo, Syscall, debug_syscall, slot};
use tern_sim::generate::Generator;
use tern_sim::op::{Access, Call, Op};
use tern_sim::run::calls;
use tern_sim::world::{CODE, DEPTH, Ram, World, buffer_address};

use crate::given::Given;

/// More in one run only takes longer.
const MOST: usize = 48;

static RAM: LazyLock<Ram> = LazyLock::new(Ram::new);

pub fn run(data: &[u8]) {
    calls::run(&RAM, |world| {
        let mut given = Given::new(data);
        let mut ops = Vec::new();
        while !given.is_over() && ops.len() < MOST {
            ops.push(op(&mut given, world));
        }
        if crate::tells() {
            ops.iter().for_each(|op| println!("  {op}"));
        }
        ops
    });
}

fn op(given: &mut Given<'_>, world: &World) -> Op {
    match given.below(16) {
        0 => Op::MemoryFault {
            address: given.word(),
            access: match given.below(4) {
                0 => Access::Read,
                1 => Access::Write,
                2 => Access::Fetch,
                _ => Access::Forbidden,
            },
        },
        1 => Op::Exception,
        2 => Op::Work(u32::from(given.any::<u16>())),
        3..8 => harmless(arbitrary_call(given, world)),
        8..12 => usual(given, world),
        _ => spoilt(given, world),
    }
}

/// Anything but the call that ends the machine.
fn harmless(mut call: Call) -> Op {
    if call.number == debug_syscall::HALT {
        call.number = 0;
    }
    Op::Call(call)
}

/// What the random runs do: arguments of the right kinds.
fn usual(given: &mut Given<'_>, world: &World) -> Op {
    let length = usize::from(8 + given.below(8));
    Generator::from_list(given.bytes(length)).any_op(world, 1)
}

/// The same with one thing changed.
fn spoilt(given: &mut Given<'_>, world: &World) -> Op {
    let Op::Call(mut call) = usual(given, world) else {
        return Op::Exception;
    };
    let place = usize::from(given.any::<u8>());
    let word = argument(given, world);
    match given.below(6) {
        0 => call.x[place % 9] = word,
        1 if !call.words.is_empty() => {
            let count = call.words.len();
            call.words[place % count] = word;
        }
        2 if !call.caps.is_empty() => {
            let count = call.caps.len();
            call.caps[place % count] = word;
        }
        3 => call.x[1] = info(given),
        4 => call.number = number(given),
        _ => call.x[2 + place % 4] = word,
    }
    harmless(call)
}

fn arbitrary_call(given: &mut Given<'_>, world: &World) -> Call {
    let mut call = Call {
        number: number(given),
        ..Call::default()
    };
    call.x[0] = argument(given, world);
    call.x[1] = info(given);
    let message = MessageInfo(call.x[1]);
    for register in 2..2 + message.length().min(4) {
        call.x[register] = argument(given, world);
    }
    if given.any() {
        call.x[6] = argument(given, world);
        call.x[8] = argument(given, world);
    }
    // Most long messages are long, and nothing else.
    let written = message.length().saturating_sub(4).min(12);
    call.words = (0..written).map(|_| argument(given, world)).collect();
    call.caps = (0..message.extra_caps())
        .map(|_| argument(given, world))
        .collect();
    if given.any() {
        call.receive = Some([
            argument(given, world),
            argument(given, world),
            argument(given, world),
        ]);
    }
    call
}

fn number(given: &mut Given<'_>) -> i64 {
    match given.below(8) {
        0..4 => Syscall::Call as i64,
        // All numbers that mean something, and some that do not.
        4..7 => -i64::from(given.below(40)),
        _ => given.any(),
    }
}

fn info(given: &mut Given<'_>) -> u64 {
    let label = u64::from(given.below(72));
    match given.below(8) {
        0 => given.any(),
        1 => MessageInfo::new(label, 7, 3, MAX_MESSAGE_LENGTH as u64).0,
        _ => {
            let caps = u64::from(given.below(4));
            MessageInfo::new(label, 0, caps, u64::from(given.below(14))).0
        }
    }
}

/// A word of a message: a slot of some kind of object most of the time, for these are what calls are about.
fn argument(given: &mut Given<'_>, w: &World) -> u64 {
    let ranges = [
        &w.tcbs,
        &w.contexts,
        &w.endpoints,
        &w.notifications,
        &w.replies,
        &w.frames,
        &w.tables,
        &w.vspaces,
        &w.cnodes,
        &w.untypeds,
        &w.handlers,
        &w.badged,
        &w.scratch,
        &w.controls,
    ];
    match given.below(24) {
        kind @ 0..14 => {
            let range = ranges[usize::from(kind)];
            range.start + u64::from(given.any::<u8>()) % (range.end - range.start)
        }
        14..16 => u64::from(given.below(16)),
        16 => slot::INIT_THREAD_CNODE,
        17 => DEPTH,
        18 => w.untyped,
        19 => buffer_address(usize::from(given.below(8))),
        20 => CODE + (u64::from(given.any::<u16>()) << 12),
        21 => u64::from(given.any::<u8>()),
        _ => given.word(),
    }
}
