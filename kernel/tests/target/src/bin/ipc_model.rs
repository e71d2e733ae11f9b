//! Random system calls of five threads through two endpoints, two notifications and three reply objects, compared with a
//! model of the rules after every step: who waits, who has come back with which registers, who faulted, who is inactive,
//! who has whose scheduling context, and on which core that is. Now and then a thread that has none is given one.
//! timeout: 120

#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;

use libsel4::abi::UserContext;
use libsel4::{BootInfo, Cap, CapRights, Notification, Reply, System, root_task};
use tern_target_tests::calls::{
    CALL, NB_RECV, NB_SEND, NB_SEND_RECV, NB_SEND_WAIT, NB_WAIT, RECV, REPLY_RECV, SEND, WAIT,
};
use tern_target_tests::model::{BOUND, Model, Named, PRIORITIES, State, THREADS, home};
use tern_target_tests::objects::{Answer, Ended, Puppet, Settler, info};
use tern_target_tests::rows::row;
use tern_target_tests::sched::affinity;

root_task!(main);

const STEPS: usize = 2_500;
const NUMBERS: [i64; 12] = [
    CALL,
    CALL,
    CALL,
    REPLY_RECV,
    RECV,
    NB_SEND_RECV,
    NB_SEND_WAIT,
    SEND,
    NB_SEND,
    NB_RECV,
    WAIT,
    NB_WAIT,
];
/// The threads from this one on are servers, most of the time.
const FIRST_SERVER: usize = 2;
const UNRESOLVABLE: u64 = 1 << 12 | 9;

struct Random(u64);

impl Random {
    /// A number below `bound`.
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound
    }
}

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    row("ipc.model");
    let cores = boot.cores();
    let puppets: [Puppet; THREADS] = core::array::from_fn(|index| {
        Puppet::new(&mut system, home(index, cores), PRIORITIES[index])
    });
    let names = names(&mut system, &puppets[BOUND]);
    let mut model = Model::new(names, cores);
    let settler = Settler::new(&mut system);
    let mut random = Random(0x9e37_79b9_7f4a_7c15 + cores as u64);
    let (mut seen, mut depths) = ([0; 6], [0; 3]);
    let mut step = 0;
    while step < STEPS {
        let thread = random.below(THREADS);
        if random.below(16) == 0 && model.contexts[thread].is_none() {
            let context = random.below(THREADS);
            let cap = &puppets[context].sched;
            cap.unbind().expect("to unbind");
            cap.bind(puppets[thread].tcb).expect("to bind");
            model.stacks[context].clear();
            model.give(context, thread);
            settler.settle();
            if core::mem::take(&mut model.pending[thread]) {
                model.run(thread);
            }
            compare_all(&mut model, &puppets, step);
            continue;
        }
        // Rarely, one that waits for a message loses what it has, and is a passive server.
        if random.below(2) == 0
            && matches!(model.states[thread], State::Receives { reply: Some(_), .. })
            && let Some(context) = model.contexts[thread].take()
        {
            puppets[context].sched.unbind().expect("to unbind");
            model.stacks[context].clear();
            continue;
        }
        let waits = model.states[thread] != State::Ended;
        let patience = match model.states[thread] {
            State::Receives { .. } | State::Called { .. } => 24,
            _ => 4,
        };
        if waits && random.below(patience) != 0 {
            continue;
        }
        // What it waited for, if it did, is forgotten, and so is what it has not told yet.
        model.cancel(thread);
        model.states[thread] = State::Ended;
        model.ends[thread] = None;
        if waits && random.below(3) == 0 {
            // It does the same call again, from the start.
            puppets[thread].tcb.resume().expect("to resume");
        } else {
            let before = any_call(&mut random, &model, thread, step as u64);
            model.calls[thread] = before;
            puppets[thread].begin_syscall(&before);
        }
        step += 1;
        settler.settle();
        model.run(thread);
        compare_all(&mut model, &puppets, step);
        for stack in &model.stacks {
            depths[stack.len().min(2)] += 1;
        }
        for state in model.states {
            seen[match state {
                State::Ended => 0,
                State::Inactive => 1,
                State::Sends { .. } => 2,
                State::Receives { .. } => 3,
                State::Waits { .. } => 4,
                State::Called { .. } => 5,
            }] += 1;
        }
    }
    libsel4::println!("states {seen:?}, depths of call stacks {depths:?}");
    assert!(seen.iter().all(|&count| count > STEPS / 100));
    // Calls within calls are rare, and do happen.
    assert!(depths[1] > STEPS / 20 && depths[2] > STEPS / 250);
}

fn compare_all(model: &mut Model, puppets: &[Puppet; THREADS], step: usize) {
    for (thread, puppet) in puppets.iter().enumerate() {
        compare(model, thread, puppet, step);
    }
}

fn compare(model: &mut Model, thread: usize, puppet: &Puppet, step: usize) {
    let state = model.states[thread];
    let number = model.calls[thread].x7 as i64;
    let what = (step, thread, number, state);
    assert_eq!(affinity(puppet.tcb), model.cores[thread], "{what:?}");
    // A fault is told by the kernel; that a call has come back is told by the thread, which needs time for it.
    let is_told =
        model.contexts[thread].is_some() || matches!(model.ends[thread], Some(Ended::Faulted(_)));
    let expected = model.ends[thread].take_if(|_| is_told);
    let told = puppet.faults.nb_recv(puppet.reply);
    if told.badge == 0 {
        assert_eq!(None, expected, "{what:?}");
        return;
    }
    let answer = Answer::of(&told.message);
    let ended = if answer.label == 3 && answer.words[0] == Puppet::trap_address() + 4 {
        Ended::Returned(puppet.registers())
    } else {
        Ended::Faulted(answer)
    };
    assert_eq!(Some(ended), expected, "{what:?}");
}

/// Every address that is used, and what it names.
fn names(system: &mut System, bound: &Puppet) -> Vec<(u64, Named)> {
    let all = CapRights::all();
    let empty = system.slot().expect("a slot").index;
    let mut names = [(0, Named::Empty), (empty, Named::Empty)].to_vec();
    names.push((UNRESOLVABLE, Named::Nothing));
    for index in 0..2 {
        let endpoint = system.endpoint().expect("an endpoint");
        for (number, rights) in [
            all,
            all,
            all,
            CapRights::READ,
            CapRights::WRITE,
            CapRights::WRITE | CapRights::GRANT_REPLY,
        ]
        .into_iter()
        .enumerate()
        {
            let badge = (index * 16 + number) as u64;
            let cap = system.mint(endpoint, rights, badge).expect("a badge");
            names.push((cap.bits(), Named::Endpoint(index, rights, badge)));
        }
        let notification: Cap<Notification> = system.notification().expect("a notification");
        if index == 0 {
            bound.tcb.bind_notification(notification).expect("to bind");
        }
        for (number, rights) in [all, all, CapRights::READ, CapRights::WRITE]
            .into_iter()
            .enumerate()
        {
            let badge = (number as u64) << 8;
            let cap = system.mint(notification, rights, badge).expect("a badge");
            names.push((cap.bits(), Named::Notification(index, rights, badge)));
        }
    }
    for index in 0..3 {
        let reply: Cap<Reply> = system.reply().expect("a reply object");
        names.push((reply.bits(), Named::Reply(index)));
    }
    names
}

/// A call with arguments that make sense most of the time.
fn any_call(random: &mut Random, model: &Model, thread: usize, step: u64) -> UserContext {
    let names = &model.names;
    let is_server = thread >= FIRST_SERVER && random.below(4) != 0;
    let has_lent = model.contexts[thread].is_some_and(|context| context != thread);
    let number = match (is_server, has_lent) {
        (true, true) => [CALL, CALL, REPLY_RECV][random.below(3)],
        (true, false) => RECV,
        _ => NUMBERS[random.below(NUMBERS.len())],
    };
    let is_reply: fn(&Named) -> bool = |named| matches!(named, Named::Reply(_));
    let is_source: fn(&Named) -> bool = match random.below(4) {
        0 => |named| matches!(named, Named::Notification(..)),
        _ => |named| matches!(named, Named::Endpoint(..)),
    };
    let is_any: fn(&Named) -> bool = |named| !matches!(named, Named::Nothing | Named::Empty);
    let mut pick = |is_good: fn(&Named) -> bool| any_name(random, names, is_good);
    let x0 = pick(match number {
        CALL | SEND | NB_SEND => is_any,
        _ => is_source,
    });
    // Calls mostly go where a passive server waits.
    let x0 = match passive_server(model) {
        Some(address) if number == CALL && random.below(4) != 0 => address,
        _ => x0,
    };
    let mut pick = |is_good: fn(&Named) -> bool| any_name(random, names, is_good);
    let x6 = pick(match number {
        NB_SEND_WAIT => is_any,
        _ => is_reply,
    });
    let x8 = pick(is_any);
    // A server has its own reply object, most of the time.
    let own = is_server && number != CALL;
    let x6 = if own {
        names[names.len() - 1 - thread % 3].0
    } else {
        x6
    };
    let length = random.below(5) as u64;
    UserContext {
        x0,
        x1: info(step, 0, length),
        x2: step * 8 + 2,
        x3: step * 8 + 3,
        x4: step * 8 + 4,
        x5: step * 8 + 5,
        x6,
        x7: number as u64,
        x8,
        ..UserContext::default()
    }
}

/// An address that is good for something, or any.
fn any_name(random: &mut Random, names: &[(u64, Named)], is_good: fn(&Named) -> bool) -> u64 {
    let careless = random.below(8) == 0;
    loop {
        let (address, named) = &names[random.below(names.len())];
        if careless || is_good(named) {
            return *address;
        }
    }
}

/// Where a thread without a scheduling context waits for calls.
fn passive_server(model: &Model) -> Option<u64> {
    let waits = (0..THREADS).find_map(|thread| match model.states[thread] {
        State::Receives { endpoint, .. } if model.contexts[thread].is_none() => Some(endpoint),
        _ => None,
    })?;
    let is_there = |named: &Named| match named {
        Named::Endpoint(endpoint, rights, _) => *endpoint == waits && rights.is_all(),
        _ => false,
    };
    let found = model.names.iter().find(|(_, named)| is_there(named));
    found.map(|(address, _)| *address)
}
