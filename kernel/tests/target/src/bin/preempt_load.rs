//! While a thread on core 0 does what takes the kernel longest, a thread with a period of 1 ms on every core, also on
//! that one, runs in each of its periods; and no core keeps interrupts masked for long.
//!
//! In real time both depend on the host, and are printed only, for all the work together.
//!
//! cores: 1 2 4
//! icount: both
//! config: TRACK_MASKED=true
//! config: ROOT_CNODE_SIZE_BITS=15
//! timeout: 240

#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use core::time::Duration;

use libsel4::abi::{ObjectType, UserContext};
use libsel4::{BootInfo, Cap, CapRights, SlotPath, System, Tcb, init, println, root_task};
use tern_target_tests::crowd::{Crowd, Funds, sender};
use tern_target_tests::periodic::Periodic;
use tern_target_tests::rows::row;
use tern_target_tests::{masked, sched};

root_task!(main, heap = 4 << 20);

struct Bench {
    system: System,
    periodic: Vec<Periodic>,
}

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    init::TCB.set_priority(init::TCB, 100).expect("lower");
    let period = Duration::from_millis(1);
    let periodic = (0..system.cores())
        .map(|core| Periodic::start(&mut system, core, period))
        .collect();
    let mut bench = Bench { system, periodic };
    if sched::exact_time() {
        row("preempt.release.revoke");
        bench.revoke();
        row("preempt.release.retype");
        bench.retype();
        row("preempt.release.endpoint");
        bench.endpoint();
        if boot.cores() > 1 {
            row("preempt.release.stop");
            bench.stop(boot);
        }
    }
    row("preempt.release.all");
    bench.all();
    let Bench {
        mut system,
        periodic,
    } = bench;
    periodic.into_iter().for_each(|one| one.end(&mut system));
}

/// Runs without a stack.
extern "C" fn for_ever() -> ! {
    loop {
        core::hint::spin_loop();
    }
}

impl Bench {
    /// Does the work, and judges the periodic threads and the kernel.
    fn during(&mut self, what: &str, work: impl FnOnce()) {
        self.periodic.iter().for_each(Periodic::restart);
        // The best case, which lateness is counted from, is among them.
        self.wait_runs(if sched::exact_time() { 5 } else { 1 });
        masked::reset();
        work();
        let longest: Vec<_> = (0..self.periodic.len()).map(masked::longest).collect();
        if sched::exact_time() {
            let runs = self.periodic.iter().map(Periodic::runs).max();
            self.wait_runs(runs.expect("a core") + 2);
        }
        println!("{what}:");
        for (core, (one, longest)) in self.periodic.iter().zip(&longest).enumerate() {
            let kept = one.kept();
            let late = libsel4::time::ticks_to_duration(kept.late).as_nanos();
            println!(
                "  core {core}: {} runs in {} periods, at most {late} ns late",
                kept.runs, kept.releases
            );
            println!("          {longest}");
        }
        if !sched::exact_time() {
            return;
        }
        // Several emulated cores take turns in the midst of each other's work, and the count is that of all of them.
        let limit = match self.periodic.len() {
            1 => masked::LIMIT,
            _ => 5 * masked::LIMIT,
        };
        for (one, longest) in self.periodic.iter().zip(&longest) {
            let kept = one.kept();
            assert!(kept.late < one.period(), "a release was missed: {kept:?}");
            assert_eq!(kept.runs, kept.releases, "one run in each period");
            assert!(longest.whole < limit, "interrupts were masked: {longest}");
        }
    }

    fn wait_runs(&self, runs: u64) {
        for one in &self.periodic {
            while one.runs() < runs {
                core::hint::spin_loop();
            }
        }
    }

    fn revoke(&mut self) {
        let (endpoint, copies) = self.many_capabilities();
        self.during("revoke of 10,000 capabilities", || {
            endpoint.revoke().expect("revoked");
        });
        copies
            .into_iter()
            .for_each(|slot| self.system.free_slot(slot));
    }

    fn many_capabilities(&mut self) -> (SlotPath, Vec<SlotPath>) {
        let endpoint = self.system.endpoint().expect("an endpoint").slot();
        let mut copy = |number| {
            let slot = self.system.slot().expect("a slot");
            let minted = slot.mint_from(&endpoint, CapRights::all(), number);
            minted.expect("minted");
            slot
        };
        (endpoint, (0..10_000).map(&mut copy).collect())
    }

    /// Memory that was used, made into something else: cleared before.
    fn retype(&mut self) {
        let memory = self.system.untyped(26).expect("memory");
        let node = self.system.cnode(5).expect("a CNode");
        let make = |kind, size, count| {
            memory
                .retype(kind, size, SlotPath::new(node, 0, 0), 0, count)
                .expect("objects");
        };
        make(ObjectType::Untyped, 26, 1);
        memory.slot().revoke().expect("revoked");
        self.during("retype of 64 MiB to 32 large pages", || {
            make(ObjectType::LargePage, 0, 32);
        });
        self.system.destroy(memory).expect("destroyed");
        self.system.destroy(node).expect("destroyed");
    }

    fn endpoint(&mut self) {
        let handler = self.system.endpoint().expect("an endpoint");
        let crowd = Crowd::new(&mut self.system, 1_000, Funds::Own, handler);
        let endpoint = self.system.endpoint().expect("an endpoint");
        crowd.queue(|number| sender(endpoint, number as u64));
        self.during("delete of an endpoint with 1,000 waiters", || {
            endpoint.slot().delete().expect("deleted");
        });
        crowd.destroy(&mut self.system);
    }

    /// A revoke that begins with a thread which runs on the last core at that moment. That core is stopped for it, and only
    /// for it.
    fn stop(&mut self, boot: &'static BootInfo) {
        const ENDPOINTS: u64 = 8_192;
        let memory = self.system.untyped(18).expect("memory");
        let node = self.system.cnode(13).expect("a CNode");
        let root = SlotPath::new(node, 0, 0);
        for first in (0..ENDPOINTS).step_by(256) {
            let made = memory.retype(ObjectType::Endpoint, 0, root, first, 256);
            made.expect("endpoints");
        }
        let slot = self.system.slot().expect("a slot");
        memory
            .retype_into(ObjectType::Tcb, 0, init::CNODE, slot.index)
            .expect("a thread");
        let tcb = Cap::<Tcb>::from_bits(slot.index);
        tcb.configure(init::CNODE, 0, init::VSPACE, 0, None)
            .expect("configured");
        let sc = self.system.sched_context(0).expect("a scheduling context");
        boot.sched_control(boot.cores() - 1)
            .configure(sc, 1 << 30, 1 << 30, 0, 0)
            .expect("a slice");
        tcb.set_sched_params(init::TCB, 0, 50, Some(sc), None)
            .expect("a priority");
        let registers = UserContext {
            pc: for_ever as *const () as u64,
            ..UserContext::default()
        };
        tcb.write_registers(true, &registers).expect("started");
        // Nothing interrupts the work itself before the end of its slice.
        let first = self.periodic.remove(0);
        first.end(&mut self.system);
        masked::reset();
        memory.slot().revoke().expect("revoked");
        let longest = masked::longest(boot.cores() - 1);
        println!("the core of a revoked thread: {longest}");
        // Stopping and going on takes turns of the emulator, whose instructions are counted with it. The whole revoke takes
        // millions.
        assert!(
            longest.whole < 10 * masked::LIMIT,
            "stopped too long: {longest}"
        );
        let first = Periodic::start(&mut self.system, 0, Duration::from_millis(1));
        self.periodic.insert(0, first);
        self.system.free_slot(slot);
        for object in [memory.slot(), node.slot(), sc.slot()] {
            object.delete().expect("deleted");
        }
    }

    /// All three, one after the other, with the periods running on.
    fn all(&mut self) {
        let (capability, copies) = self.many_capabilities();
        let handler = self.system.endpoint().expect("an endpoint");
        let crowd = Crowd::new(&mut self.system, 1_000, Funds::Own, handler);
        let endpoint = self.system.endpoint().expect("an endpoint");
        crowd.queue(|number| sender(endpoint, number as u64));
        let memory = self.system.untyped(26).expect("memory");
        let slot = self.system.slot().expect("a slot");
        let make = || {
            memory
                .retype_into(ObjectType::Untyped, 26, init::CNODE, slot.index)
                .expect("memory");
        };
        make();
        slot.delete().expect("deleted");
        self.during("all of it", || {
            capability.revoke().expect("revoked");
            make();
            endpoint.slot().delete().expect("deleted");
        });
        copies
            .into_iter()
            .for_each(|slot| self.system.free_slot(slot));
        crowd.destroy(&mut self.system);
    }
}
