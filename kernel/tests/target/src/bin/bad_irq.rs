//! Bad input to interrupt control and interrupt handlers: each with its exact answer, what succeeds is undone, and everything
//! is as it was.
//! gic: 2 3
//! timeout: 180

#![no_std]
#![no_main]

use libsel4::abi::Invocation;
use libsel4::{BootInfo, Cap, System, init, root_task};
use tern_target_tests::bad::{Bench, Kind, Method, Request, Space, Zoo, no_undo};
use tern_target_tests::objects::{Answer, answer, invoke};

root_task!(main);

const CONTROL: u64 = init::IRQ_CONTROL.bits();
/// A line that never comes.
const LINE: u64 = 50;
/// Lines below are private to each core.
const PRIVATE: u64 = 32;
/// The kernel's own: two software-generated interrupts and the timer.
const KERNELS: [u64; 3] = [0, 1, 27];
const FREE: [u64; 2] = [Space::index(Space::EMPTY), Space::DEPTH];

struct Lines<'a> {
    bench: &'a Bench,
    space: &'a Space,
    cores: u64,
    /// The highest line.
    max: u64,
    /// The line of the handler of [`Kind::IrqHandler`].
    taken: u64,
}

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let bench = Bench::new(&mut system);
    let space = Space::new(&mut system, &bench.zoo);
    let wild = invoke(
        CONTROL,
        Invocation::IrqIssueHandler,
        &[0],
        &[u64::MAX, 0, 0],
    );
    let lines = Lines {
        bench: &bench,
        space: &space,
        cores: boot.cores() as u64,
        max: wild.words[1],
        taken: Zoo::LINE,
    };
    let identities = space.identities();
    lines.get();
    lines.get_trigger();
    lines.get_trigger_core();
    lines.sgi();
    lines.handlers();
    assert_eq!(space.identities(), identities);
    let handler = system.slot().expect("a slot");
    init::IRQ_CONTROL
        .get(LINE, &handler)
        .expect("the line can still be had");
}

impl Lines<'_> {
    fn probe(
        &self,
        name: &str,
        method: Invocation,
        words: &[u64],
        to: usize,
        model: &dyn Fn(&[u64]) -> Result<(), Answer>,
    ) {
        self.bench.probe(&Method {
            name,
            request: Request::new(CONTROL, method, &[self.space.root.bits()], words),
            needs: (words.len(), 1),
            of: &[Kind::IrqControl],
            arguments: words.len(),
            edges: &[self.max, self.taken, self.cores],
            words: &|words| match model(words) {
                Ok(()) => Some(answer::ok()),
                Err(error) => Some(error),
            },
            caps: &|_, kind| (kind != Kind::CNode).then(|| answer::invalid_root(false)),
            undo: &|words| self.space.clear(words[to], words[to + 1] & 0xff),
            state: &|| {
                let mut state = self.space.occupied();
                // Whether the line can be had.
                let free = invoke(CONTROL, Invocation::IrqIssueHandler, &[0], &[LINE, 0, 0]);
                state.push(free.label);
                state
            },
        });
    }

    fn check_number(&self, line: u64) -> Result<(), Answer> {
        if line > self.max {
            return Err(answer::range(0, self.max));
        }
        Ok(())
    }

    fn check_free(&self, line: u64) -> Result<(), Answer> {
        if KERNELS.contains(&line) || line == self.taken {
            return Err(answer::revoke_first());
        }
        Ok(())
    }

    fn check_slot(&self, index: u64, depth: u64) -> Result<(), Answer> {
        self.space.model.find_empty(index, depth).map(|_| ())
    }

    fn get(&self) {
        let words = [LINE, FREE[0], FREE[1]];
        self.probe(
            "irq-get",
            Invocation::IrqIssueHandler,
            &words,
            1,
            &|words| {
                self.check_number(words[0])?;
                self.check_free(words[0])?;
                self.check_slot(words[1], words[2])
            },
        );
    }

    fn get_trigger(&self) {
        let words = [LINE, 0, FREE[0], FREE[1]];
        let method = Invocation::IrqIssueHandlerTrigger;
        self.probe("irq-get-trigger", method, &words, 2, &|words| {
            self.check_number(words[0])?;
            if words[0] < PRIVATE {
                return Err(answer::illegal_operation());
            }
            self.check_free(words[0])?;
            self.check_slot(words[2], words[3])
        });
    }

    fn get_trigger_core(&self) {
        let words = [LINE, 0, FREE[0], FREE[1], 0];
        let method = Invocation::IrqIssueHandlerTriggerCore;
        self.probe("irq-get-trigger-core", method, &words, 2, &|words| {
            self.check_number(words[0])?;
            if words[4] >= self.cores {
                return Err(answer::invalid_argument(4));
            }
            self.check_free(words[0])?;
            // Eight bits of the depth count.
            self.check_slot(words[2], words[3] & 0xff)
        });
    }

    fn sgi(&self) {
        let words = [5, 0, FREE[0], FREE[1]];
        let targets = self.cores.max(8);
        let method = Invocation::IrqIssueSgiSignal;
        self.probe("irq-issue-sgi-signal", method, &words, 2, &|words| {
            if words[0] > 15 {
                return Err(answer::range(0, 15));
            }
            if words[1] >= targets {
                return Err(answer::invalid_argument(1));
            }
            if words[0] <= 1 {
                return Err(answer::revoke_first());
            }
            self.check_slot(words[2], words[3])
        });
    }

    /// Ack, SetNotification and Clear.
    fn handlers(&self) {
        let zoo = &self.bench.zoo;
        let handler = zoo.of(Kind::IrqHandler);
        let notification = [zoo.of(Kind::Notification)];
        let typed = Cap::<libsel4::Notification>::from_bits(notification[0]);
        for (name, method, caps) in [
            ("irq-ack", Invocation::IrqAck, &[][..]),
            (
                "irq-set-notification",
                Invocation::IrqSetHandler,
                &notification,
            ),
            ("irq-clear", Invocation::IrqClearHandler, &[]),
        ] {
            self.bench.probe(&Method {
                name,
                request: Request::new(handler, method, caps, &[]),
                needs: (0, caps.len()),
                of: &[Kind::IrqHandler],
                arguments: 0,
                edges: &[],
                words: &|_| Some(answer::ok()),
                caps: &|_, kind| match kind {
                    Kind::Notification => Some(answer::ok()),
                    _ => Some(answer::invalid_capability(0)),
                },
                undo: &no_undo,
                // Nothing is signalled.
                state: &|| [typed.poll()].into(),
            });
        }
    }
}
