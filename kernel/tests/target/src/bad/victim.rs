//! A thread that methods are tried on, and everything about it that can be seen.

extern crate alloc;

use alloc::vec::Vec;

use libsel4::abi::{Invocation, MessageInfo, UserContext};
use libsel4::{Cap, System, Tcb, debug, init};

use super::Zoo;
use crate::objects::{Puppet, answer, call_registers, invoke, object};

/// An inactive thread that can run at any time.
pub struct Victim {
    pub puppet: Puppet,
    /// May set priorities up to [`Victim::LIMIT`].
    pub boss: Cap<Tcb>,
    /// May set any.
    authority: Cap<Tcb>,
    /// Its registers, as [`Invocation::TcbReadRegisters`] gives them.
    pub registers: Vec<u64>,
}

impl Victim {
    pub const PRIORITY: u8 = 50;
    pub const MCP: u8 = 60;
    pub const LIMIT: u8 = 77;

    /// A thread on some core.
    pub fn new(system: &mut System, core: usize) -> Self {
        let puppet = Puppet::new(system, core, 100);
        let [boss, authority] = [Self::LIMIT, 255].map(|mcp| {
            let tcb = object::<Tcb>(system);
            tcb.set_mc_priority(init::TCB, mcp).expect("authority");
            tcb
        });
        let mut victim = Self {
            puppet,
            boss,
            authority,
            registers: Vec::new(),
        };
        victim.stop();
        victim.set_priorities();
        let context = UserContext {
            pc: 0x1000,
            sp: 0x2000,
            spsr: 0x9000_0000,
            x0: 3,
            x17: 17,
            x28: 28,
            tpidr_el0: 0x3333,
            tpidrro_el0: 0x4444,
            ..UserContext::default()
        };
        let tcb = victim.puppet.tcb;
        tcb.write_registers(false, &context).expect("registers");
        victim.registers = victim.read();
        victim
    }

    pub fn cap(&self) -> u64 {
        self.puppet.tcb.bits()
    }

    fn read(&self) -> Vec<u64> {
        invoke(self.cap(), Invocation::TcbReadRegisters, &[], &[0, 36]).words
    }

    pub fn stop(&self) {
        self.puppet.tcb.suspend().expect("to suspend");
    }

    /// Gives it its registers back.
    pub fn write(&self) {
        let mut words = [0, 36].to_vec();
        words.extend(&self.registers);
        let seen = invoke(self.cap(), Invocation::TcbWriteRegisters, &[], &words);
        assert_eq!(seen, answer::ok(), "to restore the registers");
    }

    /// Gives it its priorities, scheduling context and fault handler back. The handler is not badged then.
    pub fn set_priorities(&self) {
        let puppet = &self.puppet;
        let (sched, faults) = (Some(puppet.sched.cap()), Some(puppet.faults));
        puppet
            .tcb
            .set_sched_params(init::TCB, Self::MCP, Self::PRIORITY, sched, faults)
            .expect("to restore the priorities");
    }

    /// Whether its priority is not above a limit: only then may a thread with that limit yield to it.
    fn is_at_most(&self, limit: u8) -> u64 {
        let set = |mcp| init::TCB.set_mc_priority(self.authority, mcp).expect("to");
        set(limit);
        let sched = self.puppet.sched.cap().bits();
        let label = invoke(sched, Invocation::SchedContextYieldTo, &[], &[]).label;
        set(255);
        label
    }

    /// Registers, core, flags, priorities, and whether a notification is bound.
    pub fn state(&self) -> Vec<u64> {
        let ask = |method, caps: &[u64], words: &[u64]| invoke(self.cap(), method, caps, words);
        let mut state = self.read();
        state.push(debug::thread_affinity(self.puppet.tcb).map_or(u64::MAX, |core| core as u64));
        state.extend(ask(Invocation::TcbSetFlags, &[], &[0, 0]).words);
        // More than anybody may set: the answer says how much is allowed.
        state.extend(ask(Invocation::TcbSetPriority, &[self.cap()], &[256]).words);
        state.push(ask(Invocation::TcbUnbindNotification, &[], &[]).label);
        state.extend([Self::PRIORITY - 1, Self::PRIORITY].map(|limit| self.is_at_most(limit)));
        state
    }

    /// It runs: its capability space, address space, buffer, handler and scheduling context work. It reads the registers
    /// of another thread, which takes the buffer.
    pub fn check_alive(&self, zoo: &Zoo) {
        let label = Invocation::TcbReadRegisters.label();
        let info = MessageInfo::new(label, 0, 0, 2).0;
        let registers = call_registers(-1, zoo.of(super::Kind::Thread), info, [0, 6, 0, 0], 0);
        self.puppet.begin_syscall(&registers);
        let received = self.puppet.faults.recv(self.puppet.reply);
        assert_eq!((received.badge, received.message.label()), (0, 3));
        assert_eq!(self.puppet.registers().x1, 6, "the length of the answer");
        self.stop();
        self.write();
    }
}
