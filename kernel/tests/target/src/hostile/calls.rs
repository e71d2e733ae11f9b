//! Invocations that could be meant: a label, the kinds of capabilities and words that belong to it, and now and then
//! something else in place of each.
//!
//! Words drawn at random hardly ever pass the first check. These do, about half of the time, and so get at what is behind.

use super::attack::Dice;

/// Logarithm of the slots in the attackers' capability space.
pub(super) const RADIX: u64 = 7;
/// Most threads of a gang.
pub(super) const MOST_THREADS: u64 = 20;

/// What a slot of their capability space has at first: first slot and how many.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Slots(pub(super) u64, pub(super) u64);

pub(super) const SPACE_GUARDED: u64 = 1;
/// Their space; slot numbers are addresses in it.
pub(super) const SPACE: Slots = Slots(2, 1);
pub(super) const NOTIFICATION: Slots = Slots(3, 1);
pub(super) const ENDPOINTS: Slots = Slots(4, 2);
pub(super) const MEMORY: Slots = Slots(6, 2);
pub(super) const CONTROLS: Slots = Slots(8, 8);
pub(super) const THREADS: Slots = Slots(16, MOST_THREADS);
pub(super) const BUDGETS: Slots = Slots(36, MOST_THREADS);
pub(super) const ASID_CONTROL: Slots = Slots(56, 1);
pub(super) const DOMAIN: Slots = Slots(57, 1);
pub(super) const LINES: Slots = Slots(58, 2);
pub(super) const POOL: Slots = Slots(60, 1);
pub(super) const SGI: Slots = Slots(61, 1);
pub(super) const DEVICE: Slots = Slots(62, 1);
/// Empty, but for gangs that may take their own memory away.
pub(super) const OWN_VSPACE: Slots = Slots(63, 1);
pub(super) const REPLIES: Slots = Slots(64, 4);
pub(super) const VSPACES: Slots = Slots(68, 2);
/// Made in the space itself: there is no way to get these back.
pub(super) const SPARE: Slots = Slots(70, 26);
pub(super) const TABLES: Slots = Slots(86, 4);
pub(super) const FRAMES: Slots = Slots(90, 6);
/// Empty at first.
pub(super) const EMPTY: Slots = Slots(96, 32);

/// What a word of a message may be.
#[derive(Clone, Copy)]
enum Word {
    Zero,
    Slot,
    Depth,
    Type,
    Size,
    Count,
    Small,
    Address,
    Rights,
    Priority,
    Micros,
    Registers,
    Code,
    Guard,
    Any,
}

/// A method: label, what is invoked, capabilities, words.
struct Method(u64, Slots, &'static [Slots], &'static [Word]);

use Word::{
    Address, Any, Code, Count, Depth, Guard, Micros, Priority, Registers, Rights, Size, Slot,
    Small, Type, Zero,
};

/// The guard that their space's root has in a thread.
pub(super) const GUARD: u64 = libsel4::CNodeCapData::new(0, 64 - RADIX).0;

const METHODS: &[Method] = &[
    Method(1, MEMORY, &[SPACE], &[Type, Size, Zero, Zero, Slot, Count]),
    Method(1, MEMORY, &[SPACE], &[Type, Size, Zero, Zero, Slot, Count]),
    Method(2, THREADS, &[], &[Small, Registers]),
    Method(3, THREADS, &[], &[Small, Registers, Code, Address, Any]),
    Method(4, THREADS, &[THREADS], &[Small]),
    Method(
        5,
        THREADS,
        &[SPACE, OWN_VSPACE, FRAMES],
        &[Guard, Zero, Address],
    ),
    Method(6, THREADS, &[THREADS], &[Priority]),
    Method(7, THREADS, &[THREADS], &[Priority]),
    Method(
        8,
        THREADS,
        &[THREADS, BUDGETS, ENDPOINTS],
        &[Priority, Priority],
    ),
    Method(9, THREADS, &[ENDPOINTS], &[]),
    Method(10, THREADS, &[FRAMES], &[Address]),
    Method(10, THREADS, &[DEVICE], &[Address]),
    Method(11, THREADS, &[ENDPOINTS, SPACE, VSPACES], &[Guard, Zero]),
    Method(12, THREADS, &[], &[]),
    Method(13, THREADS, &[], &[]),
    Method(13, THREADS, &[], &[]),
    Method(14, THREADS, &[NOTIFICATION], &[]),
    Method(15, THREADS, &[], &[]),
    Method(16, THREADS, &[], &[Any]),
    Method(17, THREADS, &[], &[Small, Small]),
    Method(18, SPACE, &[], &[Slot, Depth]),
    Method(19, SPACE, &[], &[Slot, Depth]),
    Method(20, SPACE, &[], &[Slot, Depth]),
    Method(21, SPACE, &[SPACE], &[Slot, Depth, Slot, Depth, Rights]),
    Method(21, SPACE, &[SPACE], &[Slot, Depth, Slot, Depth, Rights]),
    Method(
        22,
        SPACE,
        &[SPACE],
        &[Slot, Depth, Slot, Depth, Rights, Any],
    ),
    Method(23, SPACE, &[SPACE], &[Slot, Depth, Slot, Depth]),
    Method(24, SPACE, &[SPACE], &[Slot, Depth, Slot, Depth, Any]),
    Method(
        25,
        SPACE,
        &[SPACE, SPACE],
        &[Slot, Depth, Any, Slot, Depth, Any, Slot, Depth],
    ),
    Method(27, LINES, &[], &[]),
    Method(28, LINES, &[NOTIFICATION], &[]),
    Method(29, LINES, &[], &[]),
    Method(30, DOMAIN, &[THREADS], &[Zero]),
    Method(31, DOMAIN, &[], &[Zero, Zero, Any]),
    Method(32, DOMAIN, &[], &[Zero]),
    Method(
        33,
        CONTROLS,
        &[BUDGETS],
        &[Micros, Micros, Small, Any, Small],
    ),
    Method(
        33,
        CONTROLS,
        &[BUDGETS],
        &[Micros, Micros, Small, Any, Small],
    ),
    Method(34, BUDGETS, &[THREADS], &[]),
    Method(34, BUDGETS, &[NOTIFICATION], &[]),
    Method(35, BUDGETS, &[], &[]),
    Method(36, BUDGETS, &[THREADS], &[]),
    Method(36, BUDGETS, &[NOTIFICATION], &[]),
    Method(37, BUDGETS, &[], &[]),
    Method(38, BUDGETS, &[], &[]),
    Method(39, VSPACES, &[], &[Address, Address]),
    Method(40, VSPACES, &[], &[Address, Address]),
    Method(41, OWN_VSPACE, &[], &[Address, Address]),
    Method(42, VSPACES, &[], &[Address, Address]),
    Method(44, TABLES, &[VSPACES], &[Address, Small]),
    Method(44, TABLES, &[VSPACES], &[Address, Small]),
    Method(45, TABLES, &[], &[]),
    Method(46, FRAMES, &[VSPACES], &[Address, Rights, Small]),
    Method(46, FRAMES, &[OWN_VSPACE], &[Address, Rights, Small]),
    Method(46, DEVICE, &[VSPACES], &[Address, Rights, Small]),
    Method(47, FRAMES, &[], &[]),
    Method(48, FRAMES, &[], &[Size, Size]),
    Method(49, FRAMES, &[], &[Size, Size]),
    Method(50, DEVICE, &[], &[Size, Size]),
    Method(51, FRAMES, &[], &[Size, Size]),
    Method(52, FRAMES, &[], &[]),
    Method(53, ASID_CONTROL, &[MEMORY, SPACE], &[Slot, Depth]),
    Method(54, POOL, &[VSPACES], &[]),
    // It takes any label.
    Method(57, SGI, &[], &[]),
];

/// An invocation.
pub(super) struct Call {
    pub(super) cap: u64,
    pub(super) label: u64,
    pub(super) caps: [u64; 3],
    pub(super) cap_count: u64,
    pub(super) words: [u64; 40],
    pub(super) word_count: u64,
}

impl Call {
    /// One that could be meant. `code` is where a thread may be sent to.
    pub(super) fn draw(dice: &mut Dice, code: u64) -> Self {
        let Method(label, invoked, caps, words) =
            &METHODS[dice.below(METHODS.len() as u64) as usize];
        let mut call = Self {
            cap: invoked.draw(dice),
            label: *label,
            caps: [0; 3],
            cap_count: caps.len() as u64,
            words: [0; 40],
            word_count: words.len() as u64,
        };
        for (place, kind) in call.caps.iter_mut().zip(*caps) {
            *place = kind.draw(dice);
        }
        for (place, kind) in call.words.iter_mut().zip(*words) {
            *place = kind.draw(dice, code);
        }
        if *label == 3 {
            // The registers behind those that the method names.
            call.word_count = 38;
            for place in &mut call.words[5..38] {
                *place = dice.word();
            }
        }
        call
    }
}

impl Slots {
    /// One of these slots; or any.
    pub(super) fn draw(self, dice: &mut Dice) -> u64 {
        match dice.below(16) {
            0 => dice.slot(),
            1 => EMPTY.0 + dice.below(EMPTY.1),
            _ => self.0 + dice.below(self.1),
        }
    }
}

impl Word {
    fn draw(self, dice: &mut Dice, code: u64) -> u64 {
        if dice.below(24) == 0 {
            return dice.word();
        }
        match self {
            Zero => 0,
            // Mostly where nothing is that they need.
            Slot => match dice.below(8) {
                0 => dice.slot(),
                1 | 2 => SPARE.0 + dice.below(SPARE.1),
                _ => EMPTY.0 + dice.below(EMPTY.1),
            },
            Depth => RADIX,
            Type => dice.below(12),
            Size => [4, 5, 7, 9, 12, 3, 0, 13][dice.below(8) as usize & 7],
            Count => 1 + dice.below(4),
            Small => dice.below(8),
            Address => dice.address(),
            Rights => dice.below(16),
            Priority => dice.below(70),
            Micros => [20, 50, 100, 300, 1000, 1000, 5000, 100_000][dice.below(8) as usize & 7],
            Registers => 36,
            Code => match dice.below(4) {
                0 => dice.address(),
                _ => code,
            },
            Guard => GUARD,
            Any => dice.word(),
        }
    }
}
