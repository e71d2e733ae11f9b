//! The families of mistakes, generated from one method.

extern crate alloc;

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::fmt::Arguments;

use super::{Bench, Buffer, CAPS, Kind, LOOKUP_FAILURE, Method, Request, UNRESOLVABLE, Who};
use crate::objects::{Answer, Puppet, answer};

/// One more than the most words that the length field of a message can ask for.
const LENGTHS: usize = 128;
const BOTH: [Who; 2] = [Who::Root, Who::Thread];
/// For two words at once. 5 and 20 are places, 3 and 5 bits deep, behind the guard of a [`super::Space`].
pub(super) const PAIR_VALUES: [u64; 10] = [0, 1, 3, 5, 20, 64, 65, 1 << 32, 1 << 63, u64::MAX];

/// How many small numbers are tried.
const SMALL: u64 = 66;

/// A method that is being tried.
pub(super) struct Probe<'a> {
    pub(super) bench: &'a Bench,
    pub(super) method: &'a Method<'a>,
    before: Vec<u64>,
    /// The answer to the method's own request.
    good: Answer,
}

impl<'a> Probe<'a> {
    pub(super) fn new(bench: &'a Bench, method: &'a Method<'a>, good: Answer) -> Self {
        let before = (method.state)();
        Self {
            bench,
            method,
            before,
            good,
        }
    }

    pub(super) fn check_state(&self, when: &str) {
        let name = self.method.name;
        assert_eq!((self.method.state)(), self.before, "{name}: state, {when}");
    }

    /// Compares an answer, undoes what was done, and compares the state.
    fn check(&self, request: &Request, seen: &Answer, expected: &Answer, what: Arguments<'_>) {
        let name = self.method.name;
        if seen != expected {
            panic!("{name}, {what}: {seen:?} instead of {expected:?}, {request:?}");
        }
        if seen.label == 0 {
            (self.method.undo)(&request.words);
        }
        let after = (self.method.state)();
        if after != self.before {
            let before = &self.before;
            panic!("{name}, {what}: state {before:x?} became {after:x?}, {request:x?}");
        }
    }

    /// What has to be said to a message with less or more than the request has.
    fn expected(&self, length: usize, caps: usize) -> Answer {
        let (words, needed_caps) = self.method.needs;
        if length < words || caps < needed_caps {
            answer::truncated()
        } else {
            self.good.clone()
        }
    }

    /// Every length of message with every number of capabilities.
    pub(super) fn lengths(&self) {
        let request = &self.method.request;
        for who in BOTH {
            for (caps, length) in (0..=CAPS).flat_map(|caps| (0..LENGTHS).map(move |l| (caps, l))) {
                let seen = self.bench.ask(who, request, length, caps);
                let what = format_args!("{who:?}, {length} words, {caps} caps");
                self.check(request, &seen, &self.expected(length, caps), what);
            }
        }
    }

    /// Each capability replaced by each kind, and by an address that leads nowhere.
    pub(super) fn caps(&self) {
        let good = &self.method.request;
        let length = good.words.len();
        for who in BOTH {
            for place in 0..good.caps.len() {
                for (kind, cap) in self.bench.zoo.all() {
                    let Some(expected) = (self.method.caps)(place, kind) else {
                        continue;
                    };
                    let mut request = good.clone();
                    request.caps[place] = cap;
                    let seen = self.bench.ask(who, &request, length, request.caps.len());
                    let what = format_args!("{who:?}, cap {place} is {kind:?}");
                    self.check(&request, &seen, &expected, what);
                }
            }
        }
        for place in 0..CAPS {
            let mut request = good.clone();
            request.caps.resize(CAPS, self.bench.zoo.of(Kind::Null));
            request.caps[place..].fill(UNRESOLVABLE + place as u64);
            self.check_fault(&request, UNRESOLVABLE + place as u64);
        }
        // The capability that is invoked comes before the others.
        let mut request = good.clone();
        request.caps = [UNRESOLVABLE; CAPS].to_vec();
        request.cap = u64::MAX;
        self.check_fault(&request, u64::MAX);
    }

    /// The thread's call is a fault about an address.
    fn check_fault(&self, request: &Request, address: u64) {
        let length = request.words.len();
        let mut words = [Puppet::trap_address(), address, 0].to_vec();
        words.extend(LOOKUP_FAILURE);
        match self.bench.ask_as_thread(request, length, CAPS, 0) {
            Ok(answer) => panic!("{address:#x}: {answer:?} instead of a fault"),
            Err(fault) => assert_eq!(fault, Answer::new(1, &words), "{request:x?}"),
        }
        self.check_state("after a fault");
    }

    /// Each word replaced by many values, and each two words by some.
    pub(super) fn words(&self) {
        let values = self.values();
        for who in BOTH {
            for place in 0..self.method.arguments {
                for &value in &values {
                    self.with_words(who, &[(place, value)]);
                }
            }
        }
        // These are many: by one caller only.
        for (first, second) in pairs(self.method.arguments) {
            for one in PAIR_VALUES {
                for other in PAIR_VALUES {
                    self.with_words(Who::Root, &[(first, one), (second, other)]);
                }
            }
        }
    }

    /// What is tried for each word.
    fn values(&self) -> BTreeSet<u64> {
        let powers = (0..64).map(|bit| 1 << bit);
        let given = self.method.edges.iter().chain(&self.method.request.words);
        let around = |value: u64| [value.wrapping_sub(1), value, value.wrapping_add(1)];
        let edges = powers.chain(given.copied()).flat_map(around);
        edges.chain(0..SMALL).chain([u64::MAX - 1]).collect()
    }

    fn with_words(&self, who: Who, changes: &[(usize, u64)]) {
        let mut request = self.method.request.clone();
        for &(place, value) in changes {
            request.words[place] = value;
        }
        let Some(expected) = (self.method.words)(&request.words) else {
            return;
        };
        let (length, caps) = (request.words.len(), request.caps.len());
        let seen = self.bench.ask(who, &request, length, caps);
        self.check(
            &request,
            &seen,
            &expected,
            format_args!("{who:?}, {changes:x?}"),
        );
    }

    /// Without an IPC buffer, with one that cannot be read or written, and with one that is mapped nowhere.
    pub(super) fn buffers(&self) {
        let lengths = (0..10).chain([36, 37, 38, 39, 119, 120, 121, 127]);
        for buffer in [Buffer::None, Buffer::NoRights, Buffer::ReadOnly] {
            self.bench.set_buffer(buffer);
            for (length, caps) in lengths
                .clone()
                .flat_map(|l| (0..=CAPS).map(move |c| (l, c)))
            {
                self.with_buffer(buffer, length, caps);
            }
        }
        let offset = self.bench.set_buffer(Buffer::Unmapped);
        let request = &self.method.request;
        for length in [
            0,
            self.method.needs.0.saturating_sub(1),
            request.words.len(),
            127,
        ] {
            self.bench.write_buffer(request, length, offset);
            match self.bench.call_without_mapping(request, length, CAPS) {
                Ok(after) => {
                    let seen = self.bench.answer(request, &after, offset);
                    let what = format_args!("buffer unmapped, {length} words");
                    self.check(request, &seen, &self.expected(length, CAPS), what);
                }
                Err(fault) => panic!("{request:x?}: {fault:x?}"),
            }
        }
        self.bench.puppet.restore_buffer();
    }

    fn with_buffer(&self, buffer: Buffer, length: usize, caps: usize) {
        let request = &self.method.request;
        let mut expected = if buffer == Buffer::ReadOnly {
            self.expected(length, caps)
        } else {
            self.expected(length.min(4), 0)
        };
        // Only registers can take the answer.
        expected.words.truncate(4);
        match self.bench.ask_as_thread(request, length, caps, 0) {
            Ok(seen) => {
                let what = format_args!("buffer {buffer:?}, {length} words, {caps} caps");
                self.check(request, &seen, &expected, what);
            }
            Err(fault) => panic!("{buffer:?}, {request:x?}: {fault:x?}"),
        }
    }

    /// The label on capabilities of all kinds that do not have the method.
    pub(super) fn kinds(&self) {
        let others = self
            .bench
            .zoo
            .all()
            .filter(|(kind, _)| !kind.takes_any_label() && !self.method.of.contains(kind));
        for (kind, cap) in others {
            let mut request = self.method.request.clone();
            request.cap = cap;
            let expected = match kind {
                Kind::Null => answer::invalid_capability(0),
                _ => answer::illegal_operation(),
            };
            for who in BOTH {
                for (length, caps) in [
                    (request.words.len(), request.caps.len()),
                    (0, 0),
                    (127, CAPS),
                ] {
                    let seen = self.bench.ask(who, &request, length, caps);
                    let what = format_args!("{who:?}, invoking {kind:?}, {length} words");
                    self.check(&request, &seen, &expected, what);
                }
            }
        }
    }
}

/// All pairs of different numbers below a limit, the smaller one first.
fn pairs(limit: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..limit).flat_map(move |first| (first + 1..limit).map(move |second| (first, second)))
}
