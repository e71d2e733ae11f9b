//! Which kernel objects the send phase of a combined call invokes, and which it leaves alone. NBSend, which is no combined
//! call, invokes all of them. What was done is seen in the object itself, since no answer says it.

#![no_std]
#![no_main]

use libsel4::abi::{Invocation, ObjectType, UserContext, cap_type};
use libsel4::{
    BootInfo, Cap, CapRights, IrqHandler, Notification, PageTable, Reply, SchedContext, SlotPath,
    SmallPage, System, Tcb, Untyped, VSpace, VmAttributes, init, root_task,
};
use tern_target_tests::calls::{COMBINED, NB_SEND, RECV, combined_with, returned};
use tern_target_tests::objects::{
    Puppet, Settler, answer, buffer_cap, buffer_word, call_registers, info, invoke, kind, object,
};
use tern_target_tests::rows::row;

root_task!(main);

/// An invocation whose effect can be seen, and the row that says whether a combined call makes it.
struct Case<'a> {
    row: &'static str,
    cap: u64,
    method: Invocation,
    caps: &'a [u64],
    words: &'a [u64],
    barred: bool,
}

struct Bench {
    puppet: Puppet,
    source: Cap<Notification>,
    wake: Cap<Notification>,
    reply: Cap<Reply>,
}

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let source = system.notification().expect("a notification");
    let bench = Bench {
        puppet: Puppet::new(&mut system, boot.cores() - 1, 100),
        source,
        wake: system
            .mint(source, CapRights::all(), 0x40)
            .expect("a badge"),
        reply: system.reply().expect("a reply object"),
    };
    bench.barred(&mut system);
    bench.memory(&mut system);
    bench.address_spaces(&mut system);
    bench.interrupts(&mut system);
}

impl Bench {
    /// Makes the invocation by NBSend and by the three combined calls, and asks each time whether it has had an effect.
    fn check(&self, case: Case<'_>, mut was_made: impl FnMut() -> bool) {
        row("syscall.first-phase.nb-send");
        self.one(&case, NB_SEND);
        assert!(was_made(), "{}: NBSend", case.row);
        row(case.row);
        for number in COMBINED {
            self.one(&case, number);
            assert_eq!(was_made(), !case.barred, "{}: {number}", case.row);
        }
    }

    /// Makes the invocation by one of these calls. A combined one goes on, and receives a signal.
    fn one(&self, case: &Case<'_>, number: i64) {
        let buffer = self.puppet.buffer();
        for (place, &cap) in case.caps.iter().enumerate() {
            buffer.write(buffer_cap(place), cap);
        }
        let mut registers = [0; 4];
        for (index, &word) in case.words.iter().enumerate() {
            match registers.get_mut(index) {
                Some(register) => *register = word,
                None => buffer.write(buffer_word(index), word),
            }
        }
        let label = case.method.label();
        let info = info(label, case.caps.len() as u64, case.words.len() as u64);
        let mut before = call_registers(number, case.cap, info, registers, 0);
        let mut x0 = case.cap;
        if COMBINED.contains(&number) {
            let (source, reply) = (self.source.bits(), self.reply.bits());
            before = combined_with(number, case.cap, source, reply, info, registers);
            self.wake.signal();
            x0 = 0x40;
        }
        let expected = UserContext {
            pc: Puppet::trap_address() + 4,
            spsr: 0x40,
            x0,
            ..before
        };
        let after = returned(self.puppet.syscall(&before));
        assert_eq!(after, expected, "{}: {number}", case.row);
    }

    fn barred(&self, system: &mut System) {
        let target = object::<Tcb>(system);
        let tcb = Case {
            row: "syscall.first-phase.tcb",
            cap: target.bits(),
            method: Invocation::TcbSetTlsBase,
            caps: &[],
            words: &[0x7000],
            barred: true,
        };
        self.check(tcb, || {
            let registers = target.read_registers(false).expect("registers");
            target.set_tls_base(0).expect("set back");
            registers.tpidr_el0 == 0x7000
        });

        let slot = system.slot().expect("a slot");
        let words = [slot.index, 64, init::TCB.bits(), 64, 0xf];
        let cnode = Case {
            row: "syscall.first-phase.cnode",
            cap: init::CNODE.bits(),
            method: Invocation::CNodeCopy,
            caps: &[init::CNODE.bits()],
            words: &words,
            barred: true,
        };
        self.check(cnode, || found(slot, cap_type::THREAD));

        // Only a configured scheduling context can be bound to a thread that waits.
        let waiting = Puppet::new(system, 0, 90);
        let nobody = system.endpoint().expect("an endpoint");
        waiting.sched.unbind().expect("to unbind");
        let reply = waiting.reply.bits();
        waiting.begin_syscall(&call_registers(RECV, nobody.bits(), 0, [0; 4], reply));
        waiting.sched.bind(waiting.tcb).expect("to bind");
        let settler = Settler::new(system);
        settler.settle();
        waiting.sched.unbind().expect("to unbind");
        let control = system.boot().sched_control(0).bits();
        let contexts: [Cap<SchedContext>; 4] =
            core::array::from_fn(|_| system.sched_context(0).expect("a scheduling context"));
        for (turn, context) in contexts.into_iter().enumerate() {
            let is_configured = || {
                let bound = context.bind(waiting.tcb).is_ok();
                if bound {
                    context.unbind().expect("to unbind");
                }
                bound
            };
            assert!(!is_configured());
            // One turn each: it stays configured.
            let case = Case {
                row: "syscall.first-phase.sched-control",
                cap: control,
                method: Invocation::SchedControlConfigureFlags,
                caps: &[context.bits()],
                words: &[1_000, 1_000, 0, 0, 0],
                barred: true,
            };
            self.one(
                &case,
                [NB_SEND, COMBINED[0], COMBINED[1], COMBINED[2]][turn],
            );
            assert_eq!(is_configured(), turn == 0, "turn {turn}");
        }

        let context = system.sched_context(0).expect("a scheduling context");
        let bind = Case {
            row: "syscall.first-phase.sched-context",
            cap: context.bits(),
            method: Invocation::SchedContextBind,
            caps: &[target.bits()],
            words: &[],
            barred: true,
        };
        self.check(bind, || context.unbind_thread(target).is_ok());

        // Its methods have no effect that could be seen.
        let domain = Case {
            row: "syscall.first-phase.domain",
            cap: init::DOMAIN_SET.bits(),
            method: Invocation::DomainSetSet,
            caps: &[target.bits()],
            words: &[0],
            barred: true,
        };
        row(domain.row);
        for number in COMBINED {
            self.one(&domain, number);
        }
    }

    fn memory(&self, system: &mut System) {
        let slot = system.slot().expect("a slot");
        let memory = system.untyped(12).expect("memory");
        let words = [ObjectType::Endpoint as u64, 0, 0, 0, slot.index, 1];
        let untyped = Case {
            row: "syscall.first-phase.untyped",
            cap: memory.bits(),
            method: Invocation::UntypedRetype,
            caps: &[init::CNODE.bits()],
            words: &words,
            barred: false,
        };
        self.check(untyped, || found(slot, cap_type::ENDPOINT));
        let pool = Case {
            row: "syscall.first-phase.asid-control",
            cap: init::ASID_CONTROL.bits(),
            method: Invocation::AsidControlMakePool,
            caps: &[memory.bits(), init::CNODE.bits()],
            words: &[slot.index, 64],
            barred: false,
        };
        self.check(pool, || found(slot, cap_type::ASID_POOL));
    }

    fn address_spaces(&self, system: &mut System) {
        let frame = object::<SmallPage>(system);
        let vaddr = system.addresses(4096, 4096).expect("addresses").start as u64;
        let attributes = VmAttributes::default();
        // The tables for it.
        system
            .map_at(
                init::VSPACE,
                frame,
                vaddr as usize,
                CapRights::all(),
                attributes,
            )
            .expect("to map");
        frame.unmap().expect("to unmap");
        let page = Case {
            row: "syscall.first-phase.frame",
            cap: frame.bits(),
            method: Invocation::PageMap,
            caps: &[init::VSPACE.bits()],
            words: &[vaddr, 3, 3],
            barred: false,
        };
        self.check(page, || {
            let is_mapped = frame.clean_data(0, 8).is_ok();
            frame.unmap().expect("to unmap");
            is_mapped
        });

        let table = object::<PageTable>(system);
        let far = 0x7000_0000_0000;
        let map = Case {
            row: "syscall.first-phase.page-table",
            cap: table.bits(),
            method: Invocation::PageTableMap,
            caps: &[init::VSPACE.bits()],
            words: &[far, 3],
            barred: false,
        };
        self.check(map, || {
            let again = invoke(
                table.bits(),
                Invocation::PageTableMap,
                &[init::VSPACE.bits()],
                &[far, 3],
            );
            table.unmap().expect("to unmap");
            again == answer::invalid_capability(0)
        });

        row("syscall.first-phase.vspace");
        for words in [[vaddr, vaddr + 8], [8, 0]] {
            let clean = Case {
                row: "syscall.first-phase.vspace",
                cap: init::VSPACE.bits(),
                method: Invocation::VSpaceCleanData,
                caps: &[],
                words: &words,
                barred: false,
            };
            for number in COMBINED {
                self.one(&clean, number);
            }
        }

        let spaces: [Cap<VSpace>; 4] = core::array::from_fn(|_| object::<VSpace>(system));
        for (space, number) in
            spaces
                .into_iter()
                .zip([NB_SEND, COMBINED[0], COMBINED[1], COMBINED[2]])
        {
            let assign = Case {
                row: "syscall.first-phase.asid-pool",
                cap: init::ASID_POOL.bits(),
                method: Invocation::AsidPoolAssign,
                caps: &[space.bits()],
                words: &[],
                barred: false,
            };
            row(assign.row);
            self.one(&assign, number);
            // It has one now.
            assert_eq!(
                invoke(assign.cap, assign.method, assign.caps, &[]),
                answer::invalid_capability(1),
                "{number}"
            );
        }
    }

    fn interrupts(&self, system: &mut System) {
        const LINE: u64 = 100;
        let slot = system.slot().expect("a slot");
        let get = Case {
            row: "syscall.first-phase.irq-control",
            cap: init::IRQ_CONTROL.bits(),
            method: Invocation::IrqIssueHandler,
            caps: &[init::CNODE.bits()],
            words: &[LINE, slot.index, 64],
            barred: false,
        };
        self.check(get, || found(slot, cap_type::IRQ_HANDLER));

        init::IRQ_CONTROL.get(LINE, &slot).expect("a handler");
        let handler = Cap::<IrqHandler>::from_bits(slot.index);
        // A notification whose only capability is deleted is still there if the handler has it.
        let memory = system.untyped(6).expect("memory");
        let place = system.slot().expect("a slot");
        let renew = || {
            memory
                .retype_into(ObjectType::Notification, 0, init::CNODE, place.index)
                .expect("a notification");
        };
        renew();
        let set = Case {
            row: "syscall.first-phase.irq-handler",
            cap: handler.bits(),
            method: Invocation::IrqSetHandler,
            caps: &[place.index],
            words: &[],
            barred: false,
        };
        self.check(set, || {
            place.delete().expect("to delete");
            let is_kept = !is_free(memory);
            handler.clear().expect("to clear");
            assert!(is_free(memory));
            renew();
            is_kept
        });
    }
}

/// Whether such a capability is in a slot, which is emptied.
fn found(slot: SlotPath, expected: u64) -> bool {
    let is_there = kind(slot) == expected;
    slot.delete().expect("to delete");
    is_there
}

/// Whether no object is in memory that one object fills: asked by a request that is too large for what is left.
fn is_free(memory: Cap<Untyped>) -> bool {
    let words = [ObjectType::Untyped as u64, 47, 0, 0, 0, 1];
    let root = init::CNODE.bits();
    let seen = invoke(memory.bits(), Invocation::UntypedRetype, &[root], &words);
    assert_eq!(seen.label, 10, "too large");
    seen.words[0] > 0
}
