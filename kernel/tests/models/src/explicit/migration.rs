//! Threads that move between three cores, by reconfiguration and by lending their contexts along chains of calls, while
//! others stop them and delete what the chains are made of.
//!
//! What a core does under all locks is one step (that the locks make it so is what `protocol.rs` shows); taking the
//! entry, ringing others, queueing to stop others, waiting for them and parking are steps of their own. What is done
//! is in `objects.rs`.

use super::{
    Model, Name,
    fifo::Fifo,
    objects::{
        Above, At, CONTEXTS, CORES, Context, Core, ENDPOINTS, Endpoint, Kernel, Op, REPLIES, Reply,
        State, Stop, THREADS, Thread, ThreadState, Variant,
    },
};

/// A thread of a scenario.
#[derive(Clone, Copy, Debug)]
pub struct Role<'a> {
    /// The core of its context, which has the thread's number. None: passive, and begins by waiting at the endpoint of
    /// the program's first operation, with its reply object.
    pub core: Option<usize>,
    pub program: &'a [Op],
    /// The program begins again after its last operation.
    pub repeats: bool,
    /// It has to come to the end of its program, in every order.
    pub must_finish: bool,
}

pub struct Migration<'a> {
    pub variant: Variant,
    pub roles: &'a [Role<'a>],
}

impl Model for Migration<'_> {
    type State = State;

    fn initial(&self) -> State {
        let mut state = State {
            threads: [Thread {
                state: ThreadState::Inactive,
                sc: None,
                reply: None,
                next: 0,
            }; THREADS],
            contexts: [Context::default(); CONTEXTS],
            replies: [Reply::default(); REPLIES],
            endpoints: [Endpoint::default(); ENDPOINTS],
            cores: [Core {
                at: At::Idle,
                current: None,
                payer: None,
                ready: Fifo::default(),
                pending: false,
                will_look: false,
                interrupt: false,
                hold: false,
                parked: false,
                was_parked: false,
                stopper: false,
                holds: 0,
                rings: 0,
            }; CORES],
            stop: Fifo::default(),
        };
        for (thread, role) in self.roles.iter().enumerate() {
            match (role.core, role.program.first()) {
                (Some(core), _) => start(&mut state, thread, core),
                (None, Some(&Op::ReplyRecv { endpoint, reply })) => {
                    let waiting = &mut state.threads[thread];
                    waiting.state = ThreadState::Receiving {
                        endpoint: endpoint as u8,
                    };
                    waiting.reply = Some(reply as u8);
                    waiting.next = (1 % role.program.len()) as u8;
                    state.replies[reply].tcb = Some(thread as u8);
                    state.endpoints[endpoint].receiving = true;
                    state.endpoints[endpoint].queue.push(thread);
                }
                (None, _) => panic!("a passive thread begins by receiving"),
            }
        }
        state
    }

    fn steps(&self, state: &State, take: &mut dyn FnMut(Name, Result<State, String>)) {
        for me in 0..CORES {
            let core = state.cores[me];
            let outside = matches!(core.at, At::User | At::Idle);
            if outside && core.interrupt {
                let mut next = *state;
                next.cores[me].interrupt = false;
                next.cores[me].will_look = true;
                next.cores[me].at = At::Entered { calls: false };
                take(Name(me, "is interrupted"), Ok(next));
            }
            if core.at == At::User {
                let mut next = *state;
                next.cores[me].will_look = true;
                next.cores[me].at = At::Entered { calls: true };
                take(Name(me, "calls"), Ok(next));
            }
            if !outside {
                let mut next = *state;
                let mut k = Kernel {
                    s: &mut next,
                    me,
                    variant: self.variant,
                    wrong: None,
                };
                let name = self.step(&mut k);
                let wrong = k.wrong;
                if let Some(name) = name {
                    take(
                        Name(me, name),
                        wrong.map_or(Ok(next), |rule| Err(rule.into())),
                    );
                }
            }
        }
    }

    fn check(&self, state: &State) -> Result<(), String> {
        cores(state)?;
        threads(state)?;
        stacks(state)
    }

    fn is_end(&self, state: &State) -> bool {
        let clean = state.cores.iter().all(|core| {
            core.at == At::Idle
                && core.ready.is_empty()
                && core.payer.is_none()
                && !(core.pending || core.will_look || core.hold || core.parked || core.stopper)
                && core.holds == 0
        });
        let finished = self.roles.iter().enumerate().all(|(thread, role)| {
            !role.must_finish || usize::from(state.threads[thread].next) > role.program.len()
        });
        clean && finished && state.stop.is_empty()
    }
}

fn start(state: &mut State, thread: usize, core: usize) {
    state.contexts[thread].core = core as u8;
    state.contexts[thread].tcb = Some(thread as u8);
    state.threads[thread].sc = Some(thread as u8);
    state.threads[thread].state = ThreadState::Running;
    let running = &mut state.cores[core];
    if running.current.is_none() {
        running.current = Some(thread as u8);
        running.payer = Some(thread as u8);
        running.at = At::User;
    } else {
        running.ready.push(thread);
    }
}

impl Migration<'_> {
    /// The next step of a core inside the kernel, unless it waits.
    fn step(&self, k: &mut Kernel<'_>) -> Option<&'static str> {
        let me = k.me;
        match k.s.cores[me].at {
            At::User | At::Idle => None,
            At::Entered { calls } => {
                match k.s.cores[me].current {
                    Some(caller) if calls => self.act(k, caller as usize),
                    _ => leave(k),
                }
                Some("acts and leaves")
            }
            At::Ringing => {
                ring(k);
                if core::mem::take(&mut k.s.cores[me].stopper) {
                    k.s.stop.pop();
                }
                let runs = k.s.cores[me].current.is_some();
                k.s.cores[me].at = if runs { At::User } else { At::Idle };
                Some("rings and goes out")
            }
            At::RingsThenStops => {
                ring(k);
                k.s.stop.push(me);
                k.s.cores[me].at = At::QueuesForStop;
                Some("queues to stop others")
            }
            At::RingsThenWaits => {
                ring(k);
                k.s.cores[me].at = At::WaitsForParked;
                Some("rings and waits")
            }
            At::QueuesForStop if k.s.stop.front() == Some(me) => {
                if core::mem::take(&mut k.s.cores[me].was_parked) {
                    k.s.stop.pop();
                    leave(k);
                    return Some("gives its turn back");
                }
                k.s.cores[me].stopper = true;
                k.s.cores[me].at = At::Entered { calls: true };
                Some("has its turn to stop others")
            }
            At::QueuesForStop if k.s.cores[me].hold => {
                k.s.cores[me].was_parked = true;
                park(k, true);
                Some("parks in the queue")
            }
            At::QueuesForStop => None,
            At::WaitsForParked => {
                let holds = k.s.cores[me].holds;
                let parked =
                    (0..CORES).all(|core| holds & (1 << core) == 0 || k.s.cores[core].parked);
                if !parked {
                    return None;
                }
                k.s.cores[me].at = At::Entered { calls: true };
                Some("sees them parked")
            }
            At::Parked { in_queue } => {
                // What parking left to be rung is rung before it waits.
                if k.s.cores[me].rings != 0 {
                    ring(k);
                    return Some("rings, parked");
                }
                if k.s.cores[me].hold {
                    return None;
                }
                k.s.cores[me].parked = false;
                if in_queue {
                    k.s.cores[me].at = At::QueuesForStop;
                } else {
                    leave(k);
                }
                Some("goes on")
            }
        }
    }

    fn act(&self, k: &mut Kernel<'_>, caller: usize) {
        let role = &self.roles[caller];
        let next = usize::from(k.s.threads[caller].next);
        let Some(&op) = role.program.get(next) else {
            // The end of the program: the thread stops for good.
            k.s.threads[caller].next = role.program.len() as u8 + 1;
            k.s.threads[caller].state = ThreadState::Inactive;
            return leave(k);
        };
        match k.perform(caller, op) {
            Ok(()) => {
                if role.repeats && next + 1 == role.program.len() {
                    k.s.threads[caller].next = 0;
                }
                leave(k);
            }
            Err(Stop(core)) => {
                let me = k.me;
                if k.s.cores[me].stopper {
                    k.s.cores[me].holds |= 1 << core;
                    k.s.cores[core].hold = true;
                    if !k.s.cores[core].will_look {
                        k.s.cores[me].rings |= 1 << core;
                    }
                    k.s.cores[me].at = At::RingsThenWaits;
                } else {
                    k.s.cores[me].at = At::RingsThenStops;
                }
            }
        }
    }
}

fn ring(k: &mut Kernel<'_>) {
    let rings = core::mem::take(&mut k.s.cores[k.me].rings);
    for core in (0..CORES).filter(|core| rings & (1 << core) != 0) {
        k.s.cores[core].interrupt = true;
    }
}

/// Mirrors `entry::leave`.
fn leave(k: &mut Kernel<'_>) {
    let me = k.me;
    let holds = core::mem::take(&mut k.s.cores[me].holds);
    for core in (0..CORES).filter(|core| holds & (1 << core) != 0) {
        k.s.cores[core].hold = false;
    }
    schedule(k);
    if k.s.cores[me].hold {
        return park(k, false);
    }
    k.s.cores[me].will_look = false;
    k.s.cores[me].at = At::Ringing;
}

/// Mirrors `sched::schedule`.
fn schedule(k: &mut Kernel<'_>) {
    let me = k.me;
    k.s.cores[me].pending = false;
    if let Some(current) = k.s.cores[me].current.map(usize::from) {
        let schedulable = k.is_schedulable(current);
        if !schedulable || k.core_of(current) != me {
            k.s.cores[me].current = None;
            if schedulable {
                k.enqueue(current);
            }
        }
    }
    if k.s.cores[me].current.is_none() {
        k.s.cores[me].current = k.s.cores[me].ready.pop().map(|thread| thread as u8);
    }
    let payer = k.s.cores[me].current;
    k.s.cores[me].payer = payer.and_then(|thread| k.s.threads[thread as usize].sc);
}

/// Mirrors `stop::park`.
fn park(k: &mut Kernel<'_>, in_queue: bool) {
    let me = k.me;
    if k.variant != Variant::ParkKeepsThread {
        k.s.cores[me].payer = None;
        if let Some(current) = k.s.cores[me].current.take().map(usize::from)
            && k.is_schedulable(current)
        {
            let core = k.core_of(current);
            if core == me {
                k.s.cores[me].ready.push_front(current);
            } else {
                k.enqueue(current);
            }
        }
    }
    k.s.cores[me].parked = true;
    k.s.cores[me].at = At::Parked { in_queue };
}

fn wrong(rule: &str) -> Result<(), String> {
    Err(rule.into())
}

/// What a core runs it may run; none sleeps on work.
fn cores(state: &State) -> Result<(), String> {
    for (me, core) in state.cores.iter().enumerate() {
        if core.at == At::User {
            let Some(thread) = core.current.map(usize::from) else {
                return wrong("nothing is live in user mode");
            };
            let Some(sc) = state.threads[thread].sc.map(usize::from) else {
                return wrong("a thread without a context runs");
            };
            if state.threads[thread].state != ThreadState::Running
                || usize::from(state.contexts[sc].core) != me
                || core.payer != Some(sc as u8)
            {
                return wrong("a core runs what it may not run");
            }
        }
        if core.at == At::Idle && !core.ready.is_empty() && !core.interrupt {
            let rung = state.cores.iter().any(|other| other.rings & (1 << me) != 0);
            if !rung {
                return wrong("a core sleeps on work");
            }
        }
        if matches!(core.at, At::User | At::Idle) && (core.parked || core.stopper || core.will_look)
        {
            return wrong("a core is outside with something left");
        }
        if core.parked && core.current.is_some() {
            return wrong("a parked core runs");
        }
        for other in &state.cores[..me] {
            if core.payer.is_some() && core.payer == other.payer {
                return wrong("a context pays on two cores");
            }
            if core.current.is_some() && core.current == other.current {
                return wrong("a thread is live on two cores");
            }
        }
    }
    Ok(())
}

/// Each schedulable thread is live or in its core's queue, once; links have their counterparts.
fn threads(state: &State) -> Result<(), String> {
    for (number, thread) in state.threads.iter().enumerate() {
        let id = Some(number as u8);
        let live = state.cores.iter().any(|core| core.current == id);
        let queued: Vec<usize> = (0..CORES)
            .filter(|&core| state.cores[core].ready.contains(number))
            .collect();
        let core = thread
            .sc
            .map(|sc| usize::from(state.contexts[usize::from(sc)].core))
            .filter(|_| thread.state == ThreadState::Running);
        match (core, live) {
            (Some(core), false) if queued != [core] => {
                return wrong("a schedulable thread is not in its core's queue");
            }
            (_, true) | (None, _) if !queued.is_empty() => {
                return wrong("a thread is queued that should not be");
            }
            _ => {}
        }
        if let Some(sc) = thread.sc
            && state.contexts[usize::from(sc)].tcb != id
        {
            return wrong("a thread has a context that is not its own");
        }
        let waits = |endpoint: u8| {
            state.endpoints[usize::from(endpoint)]
                .queue
                .contains(number)
        };
        let linked = match thread.state {
            ThreadState::Inactive | ThreadState::Running => true,
            ThreadState::Sending { endpoint } | ThreadState::Receiving { endpoint } => {
                waits(endpoint)
            }
            ThreadState::Replied { reply } => state.replies[usize::from(reply)].tcb == id,
        };
        if !linked {
            return wrong("a thread waits where nobody knows it");
        }
    }
    Ok(())
}

/// Call stacks are lists whose links agree.
fn stacks(state: &State) -> Result<(), String> {
    for (number, sc) in state.contexts.iter().enumerate() {
        let id = Some(number as u8);
        if let Some(thread) = sc.tcb
            && state.threads[usize::from(thread)].sc != id
        {
            return wrong("a context's thread has another");
        }
        if let Some(reply) = sc.reply
            && state.replies[usize::from(reply)].above != Above::Context(number as u8)
        {
            return wrong("a call stack's head does not know it");
        }
        if sc.deleted && (sc.tcb.is_some() || sc.reply.is_some()) {
            return wrong("a deleted context is in use");
        }
    }
    for (number, reply) in state.replies.iter().enumerate() {
        let id = number as u8;
        let known = match reply.above {
            Above::None => true,
            Above::Context(sc) => state.contexts[usize::from(sc)].reply == Some(id),
            Above::Reply(above) => state.replies[usize::from(above)].below == Some(id),
        };
        let below = reply
            .below
            .is_none_or(|below| state.replies[usize::from(below)].above == Above::Reply(id));
        if !(known && below) {
            return wrong("a call stack's links disagree");
        }
        if reply.deleted && reply.tcb.is_some() {
            return wrong("a deleted reply object is in use");
        }
        if reply.above != Above::None && reply.tcb.is_none() {
            return wrong("nobody waits on a reply object in a stack");
        }
    }
    Ok(())
}
