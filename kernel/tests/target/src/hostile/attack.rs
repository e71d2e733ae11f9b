//! What a hostile thread does: system calls, instructions that fault, floating point, and wasting time, as dice say.
//!
//! It runs in an address space in which it can write its own pages only, so that nothing it does here, with whatever
//! registers somebody else gave it, can reach the test's memory.

use core::arch::asm;

use super::calls::{BUDGETS, Call, ENDPOINTS, NOTIFICATION, RADIX, REPLIES, SPARE, THREADS};

/// Numbers that look random and follow from a seed. A copy of the test's own generator would do, but this one has to
/// work from any state: others can write it.
pub(super) struct Dice(u64);

impl Dice {
    /// Different seeds give different numbers.
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub(super) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ x >> 31
    }

    /// A number below `limit`, which is not 0.
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        (self.number() >> 16) % limit
    }

    /// Mostly small numbers and slots, sometimes addresses and anything.
    pub(super) fn word(&mut self) -> u64 {
        match self.below(16) {
            0..=5 => self.below(1 << RADIX),
            6 => RADIX,
            7 => 64,
            8 => self.below(600),
            9..=11 => self.address(),
            12 => 1 << self.below(64),
            13 => (1 << self.below(64)) - 1,
            _ => self.number(),
        }
    }

    /// Of user pages, of the kernel, of nothing; with and without alignment.
    pub(super) fn address(&mut self) -> u64 {
        let page = self.below(64) << 12;
        let base = match self.below(16) {
            0..=5 => PLAYGROUND + page,
            6 => PLAYGROUND + (self.below(1024) << 21),
            7 => page,
            8 => USER_TOP - page,
            9 => USER_TOP + 1 + page,
            10 => 0xffff_ff80_4000_0000 + page,
            11 => 0xffff_ffff_c000_0000 + page,
            12 => 0xffff_ffff_e000_0000 + page,
            13 => 0x0900_0000 + page,
            14 => u64::MAX - self.below(64),
            _ => self.number(),
        };
        match self.below(8) {
            0 => base.wrapping_add(self.below(4096)),
            1 => base.wrapping_add(self.below(8) << 10),
            _ => base,
        }
    }

    /// A slot of their space; or anything.
    pub(super) fn slot(&mut self) -> u64 {
        match self.below(32) {
            0 => self.word(),
            _ => self.below(1 << RADIX),
        }
    }
}

/// Where they map what they have, in their own and in other address spaces.
pub(super) const PLAYGROUND: u64 = 0x5_0000_0000;
const USER_TOP: u64 = 0x0000_7fff_ffff_ffff;

/// What a hostile thread has to itself.
#[repr(C)]
pub(super) struct State {
    pub(super) dice: Dice,
    pub(super) buffer: *mut u64,
    /// How many calls it has made, or other attacks.
    pub(super) calls: u64,
}

impl State {
    fn set(&mut self, offset: u64, value: u64) {
        let word = self.buffer.wrapping_byte_add(offset as usize & 0xff8);
        // SAFETY: the buffer is a page of this thread's, and the offset is within it. If somebody has unmapped it, or
        // this thread has been sent here with another state, it faults, in an address space without the test's memory.
        unsafe { word.write_volatile(value) }
    }
}

/// Its first instruction; the registers are those that the test gave it.
pub(super) extern "C" fn attack(state: &mut State) -> ! {
    loop {
        state.calls = state.calls.wrapping_add(1);
        match state.dice.below(256) {
            0 => fault(&mut state.dice),
            1 | 2 => floating_point(&mut state.dice),
            3 => waste(state.dice.below(20_000)),
            4..=190 => meant(state),
            191..=222 => answer(state),
            _ => random(state),
        }
    }
}

/// An invocation that could be meant.
fn meant(state: &mut State) {
    let call = Call::draw(&mut state.dice, attack as *const () as u64);
    for (place, cap) in (976..).step_by(8).zip(call.caps) {
        state.set(place, cap);
    }
    for (place, word) in (40..).step_by(8).zip(call.words.iter().skip(4)) {
        state.set(place, *word);
    }
    let info = call.label << 12 | call.cap_count << 7 | call.word_count;
    let [w0, w1, w2, w3, ..] = call.words;
    let number: i64 = match state.dice.below(8) {
        0 => -5,
        1 => -6,
        _ => -1,
    };
    system_call(&[call.cap, info, w0, w1, w2, w3, 0, number as u64, 0]);
}

/// Takes a message or a fault, if there is one, and answers it with anything: who waits goes on, maybe with other
/// registers.
fn answer(state: &mut State) {
    let endpoint = ENDPOINTS.0 + state.dice.below(ENDPOINTS.1);
    let reply = REPLIES.0 + state.dice.below(REPLIES.1);
    system_call(&[endpoint, 0, 0, 0, 0, 0, reply, -8_i64 as u64, 0]);
    for place in (40..400).step_by(8) {
        let word = state.dice.word();
        state.set(place, word);
    }
    let dice = &mut state.dice;
    let info = dice.below(2) << 12 | dice.below(40);
    let [w0, w1, w2, w3] = [0; 4].map(|_| dice.word());
    let code = attack as *const () as u64;
    let w0 = if dice.below(2) == 0 { code } else { w0 };
    system_call(&[reply, info, w0, w1, w2, w3, 0, -6_i64 as u64, 0]);
}

/// A system call with anything in its registers and its buffer.
fn random(state: &mut State) {
    for _ in 0..4 {
        let (at, value) = (state.dice.below(128) * 8, state.dice.word());
        state.set(at, value);
    }
    for place in 0..3 {
        let slot = state.dice.slot();
        state.set(976 + place * 8, slot);
    }
    if state.dice.below(4) == 0 {
        let (node, index) = (state.dice.slot(), state.dice.slot());
        state.set(1000, node);
        state.set(1008, index);
        state.set(1016, RADIX);
    }
    let dice = &mut state.dice;
    let number = number(dice);
    let label = match dice.below(8) {
        0 => dice.number() & 0xffff_ffff,
        _ => dice.below(64),
    };
    let length = dice.below(if number == -1 { 12 } else { 128 });
    let mut registers = [0; 9];
    registers.fill_with(|| dice.word());
    registers[0] = match number {
        // To receive from anything else is a fault.
        -10..=-7 | -4..=-2 if dice.below(32) != 0 => NOTIFICATION.0 + dice.below(3),
        _ => target(dice),
    };
    registers[1] = label << 12 | dice.below(4) << 7 | length;
    registers[6] = match number {
        -8 | -7 | -3 if dice.below(32) != 0 => REPLIES.0 + dice.below(REPLIES.1),
        _ => target(dice),
    };
    registers[7] = number as u64;
    registers[8] = target(dice);
    system_call(&registers);
}

/// What a system call is made on: a slot that is likely to have something, so that not every other call is a fault.
fn target(dice: &mut Dice) -> u64 {
    match dice.below(8) {
        0 => dice.slot(),
        1 | 2 => ENDPOINTS.draw(dice),
        3 => NOTIFICATION.draw(dice),
        4 => REPLIES.draw(dice),
        5 => THREADS.draw(dice),
        6 => BUDGETS.draw(dice),
        _ => SPARE.draw(dice),
    }
}

/// The number of a system call; most do not block for long. DebugHalt (-14), which ends the run, is none of them.
fn number(dice: &mut Dice) -> i64 {
    match dice.below(64) {
        0..=23 => -1,
        24..=31 => -6,
        32..=39 => -8,
        40..=45 => -10,
        46..=61 => -1 - dice.below(11) as i64,
        // Their wrong arguments cost a line on the console, so they are rare.
        62 => match dice.below(128) {
            0 => [-12, -15, -17, -18, -19, -19, -19, -15][dice.below(8) as usize & 7],
            _ => [-20, -33, -1000, 5, 0, 1, -22, -23][dice.below(8) as usize & 7],
        },
        _ => dice.number() as i64 | 1 << 62,
    }
}

/// A system call with all of these.
fn system_call(registers: &[u64; 9]) {
    let x = registers;
    // SAFETY: the kernel changes x0 to x5 at most, and what the call does is done to the attackers' own objects and
    // memory: they have no capability to anything of the test's.
    unsafe {
        asm!(
            "svc #0",
            inlateout("x0") x[0] => _,
            inlateout("x1") x[1] => _,
            inlateout("x2") x[2] => _,
            inlateout("x3") x[3] => _,
            inlateout("x4") x[4] => _,
            inlateout("x5") x[5] => _,
            in("x6") x[6],
            in("x7") x[7],
            in("x8") x[8],
            options(nostack),
        );
    }
}

/// An instruction that its block defines to leave all but these registers alone, if it does not fault.
macro_rules! instructions {
    ($kind:expr, $address:expr, $value:expr; $($number:literal: $($line:literal),+;)*) => {
        match $kind {
            $($number => {
                // SAFETY: what this may write is memory of the attackers', in their address space; registers that it
                // changes are declared. Mostly it faults, and the thread is given other registers then.
                unsafe {
                    asm!(
                        $($line),+,
                        a = in(reg) $address,
                        v = inout(reg) $value => _,
                        out("x9") _,
                    );
                }
            })*
            _ => (),
        }
    };
}

/// One of the instructions that fault, or do with some addresses, or do not but could.
fn fault(dice: &mut Dice) {
    let (kind, address, value) = (dice.below(32), dice.address(), dice.number());
    instructions!(kind, address, value;
        0: "ldr {v}, [{a}]";
        1: "str {v}, [{a}]";
        2: "mov {v}, {v}", "br {a}";
        3: "ldxr {v}, [{a}]";
        4: "stlr {v}, [{a}]";
        5: "mov {v}, {a}", "udf #0";
        6: "mov {v}, {a}", "brk #7";
        7: "mov {v}, {a}", "hvc #0";
        8: "mov {v}, {a}", "smc #0";
        9: "mov {v}, {a}", "mrs {v}, ttbr0_el1";
        10: "mov {v}, {a}", "msr daifset, #15";
        11: "mov {v}, {a}", "wfi";
        12: "mov {v}, {a}", "dc civac, {a}";
        13: "mov {v}, {a}", "dc zva, {a}";
        14: "mov x9, sp", "mov sp, {a}", "ldr {v}, [sp]", "mov sp, x9";
        15: "mov {v}, {a}", "ic ivau, {a}";
        16: "mov {v}, {a}", "at s1e0r, {a}";
        17: "mov {v}, {a}", "eret";
        18: "mov {v}, {a}", "tlbi vmalle1";
        19: "mov {v}, {a}", "sevl", "wfe", "wfe";
        20: "msr nzcv, {v}", "mov {v}, {a}";
        21: "msr tpidr_el0, {v}", "mov {v}, {a}";
        22: "msr ttbr0_el1, {v}", "mov {v}, {a}";
        23: "mov {v}, {a}", "mrs {v}, cntpct_el0";
        24: "msr cntv_ctl_el0, {v}", "mov {v}, {a}";
        25: "mov {v}, {a}", "prfm pldl1keep, [{a}]";
        26: "ldp x9, {v}, [{a}]";
        27: "ldaxr {v}, [{a}]", "stlxr w9, {v}, [{a}]";
        28: "mov {v}, {a}", "svc #0xffff";
        29: "mov {v}, {a}", "dc isw, {a}";
        30: "mov {v}, {a}", "hlt #1";
        31: "mov {v}, {a}", "mrs {v}, midr_el1";
    );
}

/// Writes and computes in floating-point registers, and in both of their control registers.
fn floating_point(dice: &mut Dice) {
    let (value, mode) = (dice.number(), dice.below(16) << 22);
    // SAFETY: all registers that change are declared, but for the control registers, on which nothing else here depends.
    unsafe {
        asm!(
            "msr fpcr, {m}",
            "msr fpsr, {v}",
            "dup v0.2d, {v}",
            "dup v31.2d, {m}",
            "fadd v7.2d, v0.2d, v31.2d",
            "fdiv v15.2d, v0.2d, v7.2d",
            v = in(reg) value,
            m = in(reg) mode,
            out("v0") _,
            out("v31") _,
            out("v7") _,
            out("v15") _,
        );
    }
}

/// Uses up budget.
fn waste(turns: u64) {
    // SAFETY: one register.
    unsafe {
        asm!("2: subs {t}, {t}, #1", "b.pl 2b", t = inout(reg) turns => _);
    }
}
