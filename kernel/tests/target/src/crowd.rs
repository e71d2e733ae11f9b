//! Many threads, each of which makes one system call: queues of a length that only a test has.

extern crate alloc;

use alloc::vec::Vec;
use core::arch::naked_asm;

use libsel4::abi::{MessageInfo, ObjectType, Syscall, UserContext};
use libsel4::{Cap, Endpoint, Notification, SchedContext, SlotPath, System, Tcb, Untyped, init};

/// What the threads of a crowd run on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Funds {
    /// Each has a scheduling context, so that all can run again.
    Own,
    /// One serves all, one after the other: they stay where they are.
    Shared,
}

/// Threads on core 0, above the priority of the thread that makes them.
pub struct Crowd {
    pub threads: Vec<Cap<Tcb>>,
    scs: Vec<Cap<SchedContext>>,
    memory: [Cap<Untyped>; 2],
}

/// One system call with the registers as they are, and then a fault.
#[unsafe(naked)]
extern "C" fn system_call() {
    naked_asm!("svc #0", "udf #0")
}

/// The same call for ever.
#[unsafe(naked)]
extern "C" fn system_calls() {
    naked_asm!("1: svc #0", "b 1b")
}

/// The registers of a thread that sends to an endpoint.
pub fn sender(endpoint: Cap<Endpoint>, label: u64) -> UserContext {
    UserContext {
        pc: system_call as *const () as u64,
        x0: endpoint.bits(),
        x1: MessageInfo::new(label, 0, 0, 0).0,
        x7: Syscall::Send as u64,
        ..UserContext::default()
    }
}

/// The registers of a thread that waits for a notification.
pub fn waiter(notification: Cap<Notification>) -> UserContext {
    UserContext {
        pc: system_call as *const () as u64,
        x0: notification.bits(),
        x7: Syscall::Wait as u64,
        ..UserContext::default()
    }
}

/// The registers of a thread that gives up its budget for ever.
pub fn yielder() -> UserContext {
    UserContext {
        pc: system_calls as *const () as u64,
        x7: Syscall::Yield as u64,
        ..UserContext::default()
    }
}

impl Crowd {
    /// So many threads, of priority 101 to 110 in turn. They do not run yet.
    pub fn new(system: &mut System, count: usize, funds: Funds, handler: Cap<Endpoint>) -> Self {
        const SC_BITS: u64 = 7;
        const TCB_BITS: u32 = 11;
        let doublings = count.next_power_of_two().ilog2();
        let scs = if funds == Funds::Own { count } else { 1 };
        let memory = [TCB_BITS, SC_BITS as u32]
            .map(|bits| system.untyped((bits + doublings) as u8).expect("memory"));
        let mut make = |from: Cap<Untyped>, kind, bits| {
            let slot = system.slot().expect("a slot");
            from.retype_into(kind, bits, init::CNODE, slot.index)
                .expect("an object");
            slot
        };
        let scs: Vec<Cap<SchedContext>> = (0..scs)
            .map(|_| Cap::from_bits(make(memory[1], ObjectType::SchedContext, SC_BITS).index))
            .collect();
        let threads: Vec<Cap<Tcb>> = (0..count)
            .map(|_| Cap::from_bits(make(memory[0], ObjectType::Tcb, 0).index))
            .collect();
        for sc in &scs {
            let control = system.boot().sched_control(0);
            control.configure(*sc, 5_000, 5_000, 0, 0).expect("a slice");
        }
        for (number, tcb) in threads.iter().enumerate() {
            tcb.configure(init::CNODE, 0, init::VSPACE, 0, None)
                .expect("configured");
            let sc = scs.get(number).copied().filter(|_| funds == Funds::Own);
            let priority = 101 + (number % 10) as u8;
            tcb.set_sched_params(init::TCB, 0, priority, sc, Some(handler))
                .expect("scheduled");
        }
        Self {
            threads,
            scs,
            memory,
        }
    }

    /// Their scheduling contexts.
    pub fn scheds(&self) -> &[Cap<SchedContext>] {
        &self.scs
    }

    /// Each makes its system call and blocks in it, before this returns.
    pub fn queue(&self, registers: impl Fn(usize) -> UserContext) {
        (0..self.threads.len()).for_each(|number| self.queue_one(number, &registers(number)));
    }

    /// The same for one of them.
    pub fn queue_one(&self, number: usize, registers: &UserContext) {
        let tcb = self.threads[number];
        tcb.write_registers(true, registers).expect("started");
        if self.scs.len() < self.threads.len() {
            self.run_one(number);
        }
    }

    /// Gives one the shared scheduling context until it blocks.
    pub fn run_one(&self, number: usize) {
        self.scs[0].bind(self.threads[number]).expect("bound");
        self.scs[0].unbind().expect("unbound");
    }

    /// Destroys all of them.
    pub fn destroy(self, system: &mut System) {
        for memory in self.memory {
            memory.slot().revoke().expect("revoked");
        }
        let slots = self.threads.iter().map(|tcb| tcb.slot());
        let slots: Vec<SlotPath> = slots.chain(self.scs.iter().map(|sc| sc.slot())).collect();
        slots.into_iter().for_each(|slot| system.free_slot(slot));
        for memory in self.memory {
            system.destroy(memory).expect("destroyed");
        }
    }
}
