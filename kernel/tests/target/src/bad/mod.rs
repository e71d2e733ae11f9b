//! Bad input to invocations, by generation: from one good request of a method, every length, every wrong capability and
//! every odd word, each with the exact answer and with nothing changed.
//!
//! A test describes a [`Method`], with a model of its checks; [`Bench::probe`] does the rest, once as the root task and
//! once as a thread on the last core. Rows are `bad.NAME.` and what is wrong: `length`, `caps`, `words`, `buffer`,
//! `kind`, `silent` for calls without an answer, and `state` for what must not have changed.

mod kinds;
mod probe;
mod silent;
mod space;
mod victim;

extern crate alloc;

use alloc::format;
use alloc::vec::Vec;

use libsel4::abi::{Invocation, MAX_MESSAGE_LENGTH, MessageInfo, UserContext};
use libsel4::{
    Cap, CapRights, Message, Notification, SmallPage, System, VmAttributes, init, ipc_buffer,
    syscall,
};

pub use kinds::{Kind, Zoo};
pub use space::{Content, Found, Node, Space};
pub use victim::Victim;

use crate::objects::{Answer, Ended, Puppet, Window, buffer_cap, buffer_word};
use crate::objects::{call_registers, info};
use crate::rows::row;
use probe::Probe;

const CALL: i64 = -1;
/// The most capabilities that a message can name.
const CAPS: usize = 3;
/// What words hold that nobody should look at.
const JUNK: u64 = 0xbad0_bad0_bad0_bad0;
/// An address outside of the capability space, and what looking it up fails with.
pub const UNRESOLVABLE: u64 = 1 << 12;
pub const LOOKUP_FAILURE: [u64; 4] = [4, 64, 0, 52];
/// Where the thread's buffer is when its frame is not mapped there, or anywhere.
const ELSEWHERE: u64 = 0x6666_6666_6400;

/// What is asked of the kernel.
#[derive(Clone, Debug)]
pub struct Request {
    pub cap: u64,
    pub label: u64,
    pub caps: Vec<u64>,
    pub words: Vec<u64>,
}

/// A method, with a request that changes nothing, or that can be undone.
pub struct Method<'a> {
    /// The middle of the rows' names.
    pub name: &'a str,
    pub request: Request,
    /// Words and capabilities that have to be there.
    pub needs: (usize, usize),
    /// The kinds of capabilities that have the method.
    pub of: &'a [Kind],
    /// How many words, from the first, have to be tried.
    pub arguments: usize,
    /// Values that are limits of some kind. They and their neighbours are tried for every word, as are the request's own
    /// words, small numbers, and powers of two.
    pub edges: &'a [u64],
    /// What the kernel must say to these words, with the capabilities of the request. `None` if the words are not to be
    /// tried, because what they do cannot be undone.
    pub words: &'a dyn Fn(&[u64]) -> Option<Answer>,
    /// What it must say if a capability is replaced by one of another kind.
    pub caps: &'a dyn Fn(usize, Kind) -> Option<Answer>,
    /// Undoes the method, after it was successful with these words.
    pub undo: &'a dyn Fn(&[u64]),
    /// What must be the same after each call.
    pub state: &'a dyn Fn() -> Vec<u64>,
}

/// The method that needs no undoing.
pub fn no_undo(_: &[u64]) {}

/// For methods without capabilities.
pub fn no_caps(_: usize, _: Kind) -> Option<Answer> {
    None
}

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Root,
    Thread,
}

/// What there is of the thread's IPC buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Buffer {
    None,
    NoRights,
    ReadOnly,
    /// A frame at an address where it is not mapped.
    Unmapped,
}

/// What the tests of bad input share.
pub struct Bench {
    pub zoo: Zoo,
    /// On the last core.
    pub puppet: Puppet,
    /// Signalled before a combined call, and the same to receive from.
    signal: Cap<Notification>,
    source: Cap<Notification>,
    window: Window,
    read_only: Cap<SmallPage>,
    no_rights: Cap<SmallPage>,
    unmapped: Cap<SmallPage>,
}

impl Bench {
    pub fn new(system: &mut System) -> Self {
        let zoo = Zoo::new(system);
        let puppet = Puppet::new(system, system.cores() - 1, 100);
        let frame = puppet.buffer_frame();
        let copy = |system: &mut System, rights| system.copy(frame, rights).expect("a copy");
        let source = system.notification().expect("a notification");
        let signal = system.mint(source, CapRights::WRITE, 0x40);
        Self {
            zoo,
            signal: signal.expect("a badge"),
            source,
            window: puppet.buffer(),
            read_only: copy(system, CapRights::READ),
            no_rights: copy(system, CapRights::empty()),
            unmapped: copy(system, CapRights::READ_WRITE),
            puppet,
        }
    }

    /// Asks, and compares the answer and the state.
    pub fn probe(&self, method: &Method<'_>) {
        let Method { name, request, .. } = method;
        let identities = self.zoo.identities();
        let good = (method.words)(&request.words).expect("the good request can be tried");
        let probe = Probe::new(self, method, good);
        row(&format!("bad.{name}.length"));
        probe.lengths();
        row(&format!("bad.{name}.caps"));
        probe.caps();
        if method.arguments > 0 {
            row(&format!("bad.{name}.words"));
            probe.words();
        }
        row(&format!("bad.{name}.buffer"));
        probe.buffers();
        row(&format!("bad.{name}.kind"));
        probe.kinds();
        row(&format!("bad.{name}.silent"));
        probe.silent();
        row(&format!("bad.{name}.state"));
        probe.check_state("the end");
        assert_eq!(self.zoo.identities(), identities, "{name}: capabilities");
    }

    /// What the kernel says to a request, asked as the root task and as the thread.
    pub fn ask_as_both(&self, request: &Request) -> [Answer; 2] {
        let (length, caps) = (request.words.len(), request.caps.len());
        [Who::Root, Who::Thread].map(|who| self.ask(who, request, length, caps))
    }

    /// What the kernel says to a call with so many words and capabilities of a request, and others after those.
    fn ask(&self, who: Who, request: &Request, length: usize, caps: usize) -> Answer {
        match who {
            Who::Root => self.ask_as_root(request, length, caps),
            Who::Thread => match self.ask_as_thread(request, length, caps, 0) {
                Ok(answer) => answer,
                Err(fault) => panic!("{request:?}, {length} words, {caps} caps: {fault:?}"),
            },
        }
    }

    fn cap(&self, request: &Request, index: usize) -> u64 {
        let null = || self.zoo.of(Kind::Null);
        request.caps.get(index).copied().unwrap_or_else(null)
    }

    fn ask_as_root(&self, request: &Request, length: usize, caps: usize) -> Answer {
        for index in 4..MAX_MESSAGE_LENGTH.min(length.max(request.words.len())) {
            ipc_buffer::set_word(index, request.word(index));
        }
        for index in 0..CAPS {
            ipc_buffer::set_cap(index, self.cap(request, index));
        }
        let registers = core::array::from_fn(|index| request.word(index));
        let message = Message::from_parts(request.info(length, caps), registers);
        Answer::of(&syscall::call(request.cap, message))
    }

    /// Puts what a request needs beyond the registers into the thread's buffer, which starts at an offset in its frame.
    fn write_buffer(&self, request: &Request, length: usize, offset: usize) {
        for index in 4..MAX_MESSAGE_LENGTH.min(length.max(request.words.len())) {
            let at = offset + buffer_word(index);
            self.window.write(at, request.word(index));
        }
        for index in 0..CAPS {
            let at = offset + buffer_cap(index);
            self.window.write(at, self.cap(request, index));
        }
    }

    /// The answer, or else the fault. Checks also that no register changes that is not part of the answer.
    fn ask_as_thread(
        &self,
        request: &Request,
        length: usize,
        caps: usize,
        offset: usize,
    ) -> Result<Answer, Answer> {
        self.write_buffer(request, length, offset);
        let after = self.call_as_thread(request, length, caps)?;
        Ok(self.answer(request, &after, offset))
    }

    /// The registers after a call.
    fn call_as_thread(
        &self,
        request: &Request,
        length: usize,
        caps: usize,
    ) -> Result<UserContext, Answer> {
        let words = core::array::from_fn(|index| request.word(index));
        let info = request.info(length, caps).0;
        match self
            .puppet
            .syscall(&call_registers(CALL, request.cap, info, words, JUNK))
        {
            Ended::Returned(after) => Ok(after),
            Ended::Faulted(fault) => Err(fault),
        }
    }

    fn answer(&self, request: &Request, after: &UserContext, offset: usize) -> Answer {
        let info = MessageInfo(after.x1);
        assert_eq!(after.x0, 0, "the badge of an answer");
        assert_eq!(
            (info.extra_caps(), info.caps_unwrapped()),
            (0, 0),
            "the answer's capabilities"
        );
        assert_eq!((after.x6, after.x7), (JUNK, CALL as u64));
        let registers = [after.x2, after.x3, after.x4, after.x5];
        for (index, register) in registers.into_iter().enumerate().skip(info.length()) {
            assert_eq!(register, request.word(index), "register {index}");
        }
        let in_buffer = |index| self.window.read(offset + buffer_word(index));
        let words = (0..info.length()).map(|index| {
            registers
                .get(index)
                .copied()
                .unwrap_or_else(|| in_buffer(index))
        });
        Answer {
            label: info.label(),
            words: words.collect(),
        }
    }

    /// Changes the thread's buffer; says where in its frame it begins.
    pub fn set_buffer(&self, buffer: Buffer) -> usize {
        let tcb = self.puppet.tcb;
        let here = self.window.start() as u64;
        let (vaddr, frame) = match buffer {
            Buffer::None => (0, None),
            Buffer::NoRights => (here, Some(self.no_rights)),
            Buffer::ReadOnly => (here, Some(self.read_only)),
            Buffer::Unmapped => (ELSEWHERE, Some(self.unmapped)),
        };
        tcb.set_ipc_buffer(vaddr, frame).expect("a buffer");
        (vaddr & 0xfff) as usize
    }

    /// As [`Bench::call_as_thread`], while the buffer's frame is mapped nowhere.
    fn call_without_mapping(
        &self,
        request: &Request,
        length: usize,
        caps: usize,
    ) -> Result<UserContext, Answer> {
        let frame = self.puppet.buffer_frame();
        frame.unmap().expect("to unmap");
        let after = self.call_as_thread(request, length, caps);
        let attributes = VmAttributes::default() | VmAttributes::EXECUTE_NEVER;
        let start = self.window.start() as u64;
        frame
            .map(init::VSPACE, start, CapRights::READ_WRITE, attributes)
            .expect("to map");
        after
    }
}

impl Request {
    pub fn new(cap: u64, method: Invocation, caps: &[u64], words: &[u64]) -> Self {
        Self {
            cap,
            label: method.label(),
            caps: caps.to_vec(),
            words: words.to_vec(),
        }
    }

    fn word(&self, index: usize) -> u64 {
        self.words.get(index).copied().unwrap_or(JUNK)
    }

    fn info(&self, length: usize, caps: usize) -> MessageInfo {
        MessageInfo(info(self.label, caps as u64, length as u64))
    }
}
