//! Threads, scheduling contexts, reply objects and endpoints of the migration model, and what is done to them under the
//! locks.
//!
//! A restatement of `ipc/endpoint.rs`, `ipc/reply.rs`, `sched/context.rs` and `sched/mod.rs` without priorities, time,
//! faults and messages: who waits where, who has which context, and on which core that counts.

use super::fifo::Fifo;

pub const CORES: usize = 3;
pub const THREADS: usize = 4;
pub const CONTEXTS: usize = 3;
pub const REPLIES: usize = 2;
pub const ENDPOINTS: usize = 2;

/// The kernel as it is, or a variant that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    Real,
    /// No core is stopped for anything.
    NoStop,
    /// No core is stopped when a reply, or the deletion of a reply object, takes a context from a live thread.
    NoStopForReplies,
    /// Nobody is rung for a thread that joins another core's queue.
    NoDoorbell,
    /// A move changes the context's core only: who waits in the old core's queue stays there.
    MoveLeavesQueue,
    /// A reply object that goes is not taken out of the middle of its stack.
    NoCut,
    /// A core that parks keeps its thread.
    ParkKeepsThread,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ThreadState {
    Inactive,
    Running,
    Sending { endpoint: u8 },
    Receiving { endpoint: u8 },
    Replied { reply: u8 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Thread {
    pub state: ThreadState,
    pub sc: Option<u8>,
    /// With which it receives.
    pub reply: Option<u8>,
    /// The next operation of its program.
    pub next: u8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Context {
    pub core: u8,
    pub tcb: Option<u8>,
    pub reply: Option<u8>,
    pub deleted: bool,
}

/// What a reply object lies below in a stack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Above {
    #[default]
    None,
    Context(u8),
    Reply(u8),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Reply {
    pub tcb: Option<u8>,
    pub above: Above,
    pub below: Option<u8>,
    pub deleted: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Endpoint {
    pub queue: Fifo,
    pub receiving: bool,
}

/// Where a core is; see `migration.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum At {
    User,
    Idle,
    Entered {
        calls: bool,
    },
    /// Rings others, and goes out.
    Ringing,
    RingsThenStops,
    RingsThenWaits,
    QueuesForStop,
    WaitsForParked,
    Parked {
        in_queue: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Core {
    pub at: At,
    pub current: Option<u8>,
    /// The context that pays.
    pub payer: Option<u8>,
    pub ready: Fifo,
    pub pending: bool,
    pub will_look: bool,
    pub interrupt: bool,
    pub hold: bool,
    pub parked: bool,
    pub was_parked: bool,
    pub stopper: bool,
    pub holds: u8,
    pub rings: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub threads: [Thread; THREADS],
    pub contexts: [Context; CONTEXTS],
    pub replies: [Reply; REPLIES],
    pub endpoints: [Endpoint; ENDPOINTS],
    pub cores: [Core; CORES],
    pub stop: Fifo,
}

/// What a thread does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// A call to an endpoint. A passive server takes the context along.
    Call(usize),
    /// Answers whoever waits on the reply object, and receives with it.
    ReplyRecv {
        endpoint: usize,
        reply: usize,
    },
    /// Moves a context to a core.
    Move {
        sc: usize,
        core: usize,
    },
    DeleteContext(usize),
    DeleteReply(usize),
    /// Suspends, and takes the context away, as the deletion of a thread does.
    DeleteThread(usize),
}

/// The core that has to be stopped first.
pub struct Stop(pub usize);

/// Core `me` holds all locks.
pub struct Kernel<'a> {
    pub s: &'a mut State,
    pub me: usize,
    pub variant: Variant,
    /// The first rule that was broken.
    pub wrong: Option<&'static str>,
}

impl Kernel<'_> {
    pub fn perform(&mut self, caller: usize, op: Op) -> Result<(), Stop> {
        match op {
            Op::Call(endpoint) => self.call(caller, endpoint),
            Op::ReplyRecv { endpoint, reply } => {
                if !self.s.replies[reply].deleted {
                    self.ensure_reply_usable(reply)?;
                    self.answer(caller, reply);
                }
                self.receive(caller, endpoint, reply);
            }
            Op::Move { sc, core } => {
                if !self.s.contexts[sc].deleted {
                    self.ensure_idle_context(sc)?;
                    self.move_to(sc, core);
                }
            }
            Op::DeleteContext(sc) => {
                self.ensure_idle_context(sc)?;
                self.release(sc);
                if let Some(reply) = self.s.contexts[sc].reply.take() {
                    self.s.replies[reply as usize].above = Above::None;
                }
                self.s.contexts[sc].deleted = true;
            }
            Op::DeleteReply(reply) => {
                self.ensure_reply_usable(reply)?;
                self.delete_reply(reply);
            }
            Op::DeleteThread(thread) => {
                self.ensure_not_live(thread)?;
                self.delete_thread(thread);
            }
        }
        self.s.threads[caller].next += 1;
        Ok(())
    }

    fn live_elsewhere(&self, thread: usize) -> Option<usize> {
        (0..CORES)
            .filter(|&core| core != self.me)
            .find(|&core| self.s.cores[core].current == Some(thread as u8))
    }

    fn ensure_not_live(&self, thread: usize) -> Result<(), Stop> {
        if self.variant == Variant::NoStop {
            return Ok(());
        }
        self.live_elsewhere(thread)
            .map_or(Ok(()), |core| Err(Stop(core)))
    }

    fn ensure_idle_context(&self, sc: usize) -> Result<(), Stop> {
        self.s.contexts[sc]
            .tcb
            .map_or(Ok(()), |thread| self.ensure_not_live(thread as usize))
    }

    fn ensure_reply_usable(&self, reply: usize) -> Result<(), Stop> {
        if self.variant == Variant::NoStopForReplies {
            return Ok(());
        }
        let Reply {
            tcb: Some(caller),
            above: Above::Context(sc),
            ..
        } = self.s.replies[reply]
        else {
            return Ok(());
        };
        if self.s.threads[caller as usize].sc.is_some() {
            return Ok(());
        }
        self.ensure_idle_context(sc as usize)
    }

    /// Writes a thread's registers, or takes something from it that its core relies on.
    fn touch(&mut self, thread: usize) {
        if self.live_elsewhere(thread).is_some() {
            self.wrong
                .get_or_insert("a thread was touched that is live on another core");
        }
    }

    pub fn is_schedulable(&self, thread: usize) -> bool {
        let Thread { state, sc, .. } = self.s.threads[thread];
        state == ThreadState::Running && sc.is_some()
    }

    /// The core of a schedulable thread.
    pub fn core_of(&self, thread: usize) -> usize {
        let sc = self.s.threads[thread].sc.expect("schedulable");
        self.s.contexts[sc as usize].core as usize
    }

    /// Puts a schedulable thread into its core's queue, once, unless it is live here: then scheduling decides.
    fn wake(&mut self, thread: usize) {
        if self.is_schedulable(thread) && self.s.cores[self.me].current != Some(thread as u8) {
            self.enqueue(thread);
        }
    }

    pub fn enqueue(&mut self, thread: usize) {
        let core = self.core_of(thread);
        if self.s.cores[core].ready.contains(thread) {
            return;
        }
        self.s.cores[core].ready.push(thread);
        let idles = self.s.cores[core].current.is_none();
        if core != self.me && idles && self.variant != Variant::NoDoorbell {
            self.poke(core);
        }
    }

    fn poke(&mut self, core: usize) {
        let already = core::mem::replace(&mut self.s.cores[core].pending, true);
        if !already && !self.s.cores[core].will_look {
            self.s.cores[self.me].rings |= 1 << core;
        }
    }

    fn dequeue(&mut self, thread: usize) {
        for core in &mut self.s.cores {
            if core.ready.contains(thread) {
                core.ready.remove(thread);
            }
        }
    }

    fn release(&mut self, sc: usize) {
        if let Some(thread) = self.s.contexts[sc].tcb.take() {
            self.touch(thread as usize);
            self.dequeue(thread as usize);
            self.s.threads[thread as usize].sc = None;
        }
    }

    fn donate(&mut self, sc: usize, to: usize) {
        self.release(sc);
        self.s.contexts[sc].tcb = Some(to as u8);
        self.s.threads[to].sc = Some(sc as u8);
    }

    fn move_to(&mut self, sc: usize, core: usize) {
        let thread = self.s.contexts[sc].tcb.map(usize::from);
        if let Some(thread) = thread {
            self.touch(thread);
            if self.variant != Variant::MoveLeavesQueue {
                self.dequeue(thread);
            }
        }
        self.s.contexts[sc].core = core as u8;
        if let Some(thread) = thread
            && self.variant != Variant::MoveLeavesQueue
        {
            self.wake(thread);
        }
    }

    fn call(&mut self, caller: usize, endpoint: usize) {
        let to = &mut self.s.endpoints[endpoint];
        if !to.receiving || to.queue.is_empty() {
            to.receiving = false;
            to.queue.push(caller);
            self.s.threads[caller].state = ThreadState::Sending {
                endpoint: endpoint as u8,
            };
            return;
        }
        let receiver = to.queue.pop().expect("a receiving endpoint has a receiver");
        self.touch(receiver);
        let reply = self.s.threads[receiver].reply.take();
        match reply {
            Some(reply) => {
                self.s.replies[reply as usize].tcb = None;
                self.push(caller, receiver, reply as usize);
            }
            None => self.s.threads[caller].state = ThreadState::Inactive,
        }
        self.s.threads[receiver].state = ThreadState::Running;
        self.wake(receiver);
    }

    fn receive(&mut self, receiver: usize, endpoint: usize, reply: usize) {
        let usable = !self.s.replies[reply].deleted;
        if let Some(other) = self.s.replies[reply].tcb
            && usable
        {
            self.cancel(other as usize);
        }
        let from = &mut self.s.endpoints[endpoint];
        if from.receiving || from.queue.is_empty() {
            from.receiving = true;
            from.queue.push(receiver);
            self.s.threads[receiver].state = ThreadState::Receiving {
                endpoint: endpoint as u8,
            };
            if usable {
                self.s.threads[receiver].reply = Some(reply as u8);
                self.s.replies[reply].tcb = Some(receiver as u8);
            }
            return;
        }
        let sender = from.queue.pop().expect("a sending endpoint has a sender");
        self.touch(sender);
        if usable {
            self.push(sender, receiver, reply);
        } else {
            self.s.threads[sender].state = ThreadState::Inactive;
        }
    }

    /// `caller` waits on `reply`, and lends its context if `callee` has none.
    fn push(&mut self, caller: usize, callee: usize, reply: usize) {
        self.s.threads[caller].state = ThreadState::Replied { reply: reply as u8 };
        self.s.replies[reply] = Reply {
            tcb: Some(caller as u8),
            ..Reply::default()
        };
        let Some(sc) = self.s.threads[caller].sc else {
            return;
        };
        if self.s.threads[callee].sc.is_some() {
            return;
        }
        let below = self.s.contexts[sc as usize].reply;
        if let Some(below) = below {
            self.s.replies[below as usize].above = Above::Reply(reply as u8);
        }
        self.s.replies[reply].below = below;
        self.s.replies[reply].above = Above::Context(sc);
        self.s.contexts[sc as usize].reply = Some(reply as u8);
        self.donate(sc as usize, callee);
    }

    fn cut(&mut self, reply: usize) {
        if self.variant == Variant::NoCut {
            return;
        }
        let Reply { above, below, .. } = self.s.replies[reply];
        match above {
            Above::None => {}
            Above::Context(sc) => self.s.contexts[sc as usize].reply = None,
            Above::Reply(above) => self.s.replies[above as usize].below = None,
        }
        if let Some(below) = below {
            self.s.replies[below as usize].above = Above::None;
        }
        self.s.replies[reply].above = Above::None;
        self.s.replies[reply].below = None;
    }

    /// Takes a reply object out of its stack. At the head the context goes back.
    fn remove(&mut self, reply: usize, caller: usize) {
        let Reply { above, below, .. } = self.s.replies[reply];
        if let Above::Context(sc) = above {
            self.s.contexts[sc as usize].reply = below;
            if let Some(below) = below {
                self.s.replies[below as usize].above = above;
            }
            self.s.replies[reply].above = Above::None;
            self.s.replies[reply].below = None;
            if self.s.threads[caller].sc.is_none() {
                self.donate(sc as usize, caller);
            }
        } else {
            self.cut(reply);
        }
        self.s.replies[reply].tcb = None;
        self.s.threads[caller].state = ThreadState::Inactive;
    }

    fn answer(&mut self, _sender: usize, reply: usize) {
        let Some(caller) = self.s.replies[reply].tcb.map(usize::from) else {
            return;
        };
        if !matches!(self.s.threads[caller].state, ThreadState::Replied { .. }) {
            return;
        }
        self.remove(reply, caller);
        self.touch(caller);
        self.s.threads[caller].state = ThreadState::Running;
        self.wake(caller);
    }

    fn delete_reply(&mut self, reply: usize) {
        if let Some(thread) = self.s.replies[reply].tcb.map(usize::from) {
            if matches!(self.s.threads[thread].state, ThreadState::Replied { .. }) {
                self.remove(reply, thread);
            } else {
                self.cancel(thread);
            }
        }
        self.s.replies[reply].deleted = true;
    }

    /// Ends a thread's wait.
    fn cancel(&mut self, thread: usize) {
        self.touch(thread);
        match self.s.threads[thread].state {
            ThreadState::Inactive | ThreadState::Running => return,
            ThreadState::Sending { endpoint } | ThreadState::Receiving { endpoint } => {
                self.s.endpoints[endpoint as usize].queue.remove(thread);
                if let Some(reply) = self.s.threads[thread].reply.take() {
                    self.s.replies[reply as usize].tcb = None;
                }
            }
            ThreadState::Replied { reply } => {
                self.cut(reply as usize);
                self.s.replies[reply as usize].tcb = None;
            }
        }
        self.s.threads[thread].state = ThreadState::Inactive;
    }

    fn delete_thread(&mut self, thread: usize) {
        if let Some(sc) = self.s.threads[thread].sc {
            self.release(sc as usize);
        }
        self.cancel(thread);
        self.dequeue(thread);
        self.s.threads[thread].state = ThreadState::Inactive;
    }
}
