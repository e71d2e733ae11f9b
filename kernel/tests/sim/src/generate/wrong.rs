//! What a correct program does not do: calls with mistakes, anything at all, and debug calls.

use sel4_abi::{Invocation as I, MessageInfo, Syscall, debug_syscall, slot};

use super::Generator;
use crate::op::Call;
use crate::random::Random;
use crate::world::{DEPTH, World};

impl Generator {
    /// Any label on any capability with any words.
    pub(super) fn anything(&mut self, w: &World) -> Call {
        let r = &mut self.random;
        let caps: Vec<u64> = (0..r.below(4)).map(|_| r.slot(&w.slots())).collect();
        let words: Vec<u64> = (0..r.below(10))
            .map(|_| match r.below(4) {
                0 => r.slot(&w.slots()),
                1 => DEPTH,
                2 => r.below(1 << 13),
                _ => u64::MAX >> r.below(64),
            })
            .collect();
        let number = r.of(&[Syscall::Call, Syscall::Send, Syscall::NBSend]) as i64;
        Call::message(number, r.slot(&w.slots()), r.below(60), &caps, &words)
    }

    /// A call that would be good but for one thing.
    pub(super) fn mistake(&mut self, w: &World, cores: usize) -> Call {
        let call = match self.random.below(6) {
            0 => self.context(w, cores),
            1 => self.thread(w),
            2 => self.slots(w),
            3 => self.memory(w),
            4 => self.mapping(w),
            _ => self.interrupts(w),
        };
        self.spoil(w, call)
    }

    fn spoil(&mut self, w: &World, mut call: Call) -> Call {
        let r = &mut self.random;
        let info = MessageInfo(call.x[1]);
        let (mut label, mut length) = (info.label(), info.length());
        let mut caps = call.caps.len() as u64;
        match r.below(8) {
            0 => length = r.below(length.max(1) as u64) as usize,
            1 => caps = r.below(caps.max(1)),
            2..4 if length > 0 => {
                let value = extreme(r, w);
                let index = r.below(length as u64) as usize;
                match index.checked_sub(4) {
                    None => call.x[2 + index] = value,
                    Some(index) => call.words[index] = value,
                }
            }
            4..6 if caps > 0 => {
                let index = r.below(caps) as usize;
                call.caps[index] = {
                    let list = [0, r.slot(&w.slots()), r.slot(&w.slots()), 1 << 40];
                    r.of(&list)
                };
            }
            6 => label = r.of(I::ALL).1.label(),
            _ => {
                call.x[0] = {
                    let list = [r.slot(&w.slots()), slot::DOMAIN, slot::IRQ_CONTROL];
                    r.of(&list)
                }
            }
        }
        call.x[1] = MessageInfo::new(label, 0, caps, length as u64).0;
        call
    }

    /// Calls for whoever looks for errors in programs, but for the one that halts the machine.
    pub(super) fn debug(&mut self, w: &World) -> Call {
        let r = &mut self.random;
        let number = r.of(&[
            debug_syscall::PUT_CHAR,
            debug_syscall::DUMP_SCHEDULER,
            debug_syscall::CAP_IDENTIFY,
            debug_syscall::SNAPSHOT,
            debug_syscall::NAME_THREAD,
            debug_syscall::SEND_IPI,
            debug_syscall::GET_THREAD_AFFINITY,
            debug_syscall::BENCHMARK_RESET_LOG,
            debug_syscall::BENCHMARK_FINALIZE_LOG,
        ]);
        let mut call = Call::message(number, r.slot(&w.tcbs), 0, &[], &[0, 0, 0, 0, 0x6d61_6e61]);
        match number {
            debug_syscall::CAP_IDENTIFY => call.x[0] = r.slot(&w.slots()),
            debug_syscall::BENCHMARK_FINALIZE_LOG => call.x[0] = r.below(9),
            debug_syscall::SEND_IPI => (call.x[0], call.x[1]) = (r.below(9), r.below(17)),
            debug_syscall::PUT_CHAR => call.x[0] = r.of(&[u64::from(b'a'), u64::from(b'\n')]),
            _ if r.once_in(8) => call.x[0] = r.slot(&w.slots()),
            _ => {}
        }
        call
    }
}

/// A word at the edge of something. None names a slot of what the root task needs.
fn extreme(r: &mut Random, w: &World) -> u64 {
    match r.below(4) {
        0 => r.slot(&w.slots()),
        1 => r.of(&[0, 257, 4095, 4097, 1 << 47, (1 << 48) - 4096, 1 << 56]),
        2 => 1 << r.rand_range(9u32..64),
        _ => u64::MAX >> r.below(54),
    }
}
