//! What ConfigureFlags does to the time of a thread: when it runs after it, and for how long, seen from the thread itself.
//!
//! cores: 1 2

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use libsel4::{
    BootInfo, Budget, Cap, Error, Notification, SchedContext, Thread, ThreadBuilder, root_task,
    time,
};
use tern_target_tests::rows::{row, rows};
use tern_target_tests::sched::{Bench, ticks};
use tern_target_tests::timeline::{Timeline, assert_pieces};

root_task!(main, heap = 4 << 20);

const BUDGET: u64 = 2_000;
const PERIOD: u64 = 50_000;
/// How exactly the kernel keeps to times, in microseconds: a budget may end by the smallest budget early.
const SLACK: u64 = 60;
/// Others' short work on the core.
const GAP: u64 = 200;

type Line = Timeline<2048>;

/// A thread that notes when it runs, on the last core.
struct Subject {
    thread: Thread<()>,
    gate: Cap<Notification>,
    line: &'static Line,
    core: usize,
    /// When it began with a whole budget.
    origin: u64,
}

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    refused(&mut bench);
    fresh(&mut bench);
    same_core(&mut bench);
    own(&mut bench);
    number_of_refills(&mut bench);
    no_admission(&mut bench);
}

fn configure(bench: &Bench, core: usize, sc: Cap<SchedContext>, budget: u64, period: u64) {
    let control = bench.boot.sched_control(core);
    control.configure(sc, budget, period, 4, 0).unwrap();
}

impl Subject {
    fn new(bench: &mut Bench) -> Self {
        let (line, core) = (Line::new(), bench.cores() - 1);
        let budget = Budget::Periodic {
            budget: Duration::from_micros(BUDGET),
            period: Duration::from_micros(PERIOD),
            extra_refills: 4,
        };
        let builder = ThreadBuilder::new("subject").core(core).budget(budget);
        let (thread, gate) = bench.gated(builder, || line.record());
        Self {
            thread,
            gate,
            line,
            core,
            origin: 0,
        }
    }

    fn sc(&self) -> Cap<SchedContext> {
        self.thread.sched().unwrap().cap()
    }

    /// It begins now, with a whole budget, and has used it up some time later.
    fn begin(&mut self, bench: &Bench) {
        configure(bench, self.core, self.sc(), BUDGET, PERIOD);
        self.origin = time::counter();
        self.gate.signal();
        bench.sleep(10_000);
    }

    fn now(&self) -> u64 {
        (time::counter() - self.origin) * 1_000_000 / time::counter_frequency()
    }

    /// It ran like this since it began.
    #[track_caller]
    fn ran(self, bench: &mut Bench, expected: &[(u64, u64)]) {
        let last = expected.last().unwrap();
        let until = last.0 + last.1 + 2_000;
        bench.sleep(until.saturating_sub(self.now()));
        self.thread.suspend().unwrap();
        // The last piece is noted at the beginning of the next.
        configure(bench, self.core, self.sc(), BUDGET, PERIOD);
        self.thread.resume().unwrap();
        bench.sleep(5_000);
        self.thread.suspend().unwrap();
        assert_pieces(&self.line.since(self.origin, GAP), expected, SLACK);
        self.thread.destroy(&mut bench.system).unwrap();
    }
}

/// Round robin takes no extra refills, but asks for no more than fit.
fn refused(bench: &mut Bench) {
    row("refill.configure.round-robin");
    let control = bench.boot.sched_control(0);
    let sc = bench.system.sched_context(0).unwrap();
    assert_eq!(
        control.configure(sc, 1_000, 1_000, 1, 0),
        Err(Error::RangeError { min: 0, max: 0 })
    );
    assert_eq!(control.configure(sc, 1_000, 1_000, 0, 0), Ok(()));
}

/// A whole budget: from nothing, for a thread that does not run, and without a thread.
fn fresh(bench: &mut Bench) {
    row("refill.configure.new");
    let mut subject = Subject::new(bench);
    subject.begin(bench);
    subject.ran(
        bench,
        &[(0, BUDGET), (PERIOD, BUDGET), (2 * PERIOD, BUDGET)],
    );

    let mut subject = Subject::new(bench);
    subject.begin(bench);
    subject.thread.suspend().unwrap();
    configure(bench, subject.core, subject.sc(), 3_000, PERIOD);
    let again = subject.now();
    subject.thread.resume().unwrap();
    subject.ran(
        bench,
        &[(0, BUDGET), (again, 3_000), (again + PERIOD, 3_000)],
    );

    let mut subject = Subject::new(bench);
    subject.begin(bench);
    let (sc, tcb) = (subject.sc(), subject.thread.tcb());
    sc.unbind().unwrap();
    configure(bench, subject.core, sc, 3_000, PERIOD);
    let again = subject.now();
    sc.bind(tcb).unwrap();
    subject.ran(
        bench,
        &[(0, BUDGET), (again, 3_000), (again + PERIOD, 3_000)],
    );

    row("tern.move.same-core");
    // Round robin, also while it runs: a whole slice, and at once.
    let mut subject = Subject::new(bench);
    subject.begin(bench);
    let again = subject.now();
    configure(bench, subject.core, subject.sc(), 30_000, 30_000);
    bench.sleep(60_000);
    subject.thread.suspend().unwrap();
    subject.thread.resume().unwrap();
    bench.sleep(1_000);
    let found = subject.line.since(subject.origin, GAP);
    assert_pieces(&found[..1], &[(0, BUDGET)], SLACK);
    assert!(
        found[1].0.abs_diff(again) < SLACK && found[1].1 > 59_000,
        "{found:?}"
    );
    subject.thread.destroy(&mut bench.system).unwrap();
}

/// The head of a runnable thread stays as it is, and the thread waits for it.
fn same_core(bench: &mut Bench) {
    rows(&[
        "refill.configure.update",
        "refill.configure.postpones",
        "tern.move.same-core",
    ]);
    for (budget, expected) in [
        (BUDGET, [BUDGET, BUDGET]),
        (1_000, [1_000, 1_000]),
        // What is more comes a period later.
        (3_000, [BUDGET, 3_000]),
    ] {
        let mut subject = Subject::new(bench);
        subject.begin(bench);
        configure(bench, subject.core, subject.sc(), budget, PERIOD);
        let [second, third] = expected;
        subject.ran(bench, &[(0, BUDGET), (PERIOD, second), (2 * PERIOD, third)]);
    }
    // With another period too.
    let mut subject = Subject::new(bench);
    subject.begin(bench);
    configure(bench, subject.core, subject.sc(), BUDGET, 20_000);
    subject.ran(
        bench,
        &[(0, BUDGET), (PERIOD, BUDGET), (PERIOD + 20_000, BUDGET)],
    );
}

/// A thread that configures itself in the middle of its budget has only the rest of it, and the new one a period later.
fn own(bench: &mut Bench) {
    rows(&[
        "refill.configure.current",
        "refill.configure.self",
        "consumed.at-charge",
    ]);
    static BEFORE: AtomicU64 = AtomicU64::new(0);
    static CHARGED: AtomicU64 = AtomicU64::new(0);
    let (line, core) = (Line::new(), bench.cores() - 1);
    let control = bench.boot.sched_control(core);
    let sc = bench.system.sched_context(1).unwrap();
    let (thread, gate) = bench.parked("own", core, 100, move || {
        let begin = time::counter();
        line.record_while(|| time::counter() - begin < ticks(BUDGET));
        // Nothing of it is in the sum yet, since the core has not turned to anything else.
        let before = sc.consumed().unwrap().as_micros() as u64;
        BEFORE.store(before, Ordering::Relaxed);
        control.configure(sc, BUDGET + 1_000, PERIOD, 0, 0).unwrap();
        let charged = sc.consumed().unwrap().as_micros() as u64;
        CHARGED.store(charged, Ordering::Relaxed);
        line.record();
    });
    control.configure(sc, 2 * BUDGET, PERIOD, 0, 0).unwrap();
    let origin = time::counter();
    gate.signal();
    sc.bind(thread.tcb()).unwrap();
    bench.sleep(3 * PERIOD);
    // Half of the first budget was left, which is less than the second; the rest of that comes a period later.
    let expected = [(0, 2 * BUDGET), (PERIOD + BUDGET, BUDGET + 1_000)];
    assert_pieces(&line.since(origin, GAP), &expected, SLACK);
    let (before, charged) = (
        BEFORE.load(Ordering::Relaxed),
        CHARGED.load(Ordering::Relaxed),
    );
    assert!(before < 100, "{before} us were counted already");
    assert!(
        (BUDGET - SLACK..BUDGET + SLACK).contains(&charged),
        "{charged} us"
    );
    thread.destroy(&mut bench.system).unwrap();
}

/// Four bits of a budget, and the rest: with many refills each comes back after a period, with two they are delayed.
fn number_of_refills(bench: &mut Bench) {
    const PART: u64 = 400;
    row("refill.configure.max");
    for extra in [8, 0] {
        let (line, core) = (Line::new(), bench.cores() - 1);
        let go = bench.system.notification().unwrap();
        let builder = ThreadBuilder::new("parts").core(core);
        let (thread, gate) = bench.gated(builder, move || {
            for _ in 0..4 {
                let begin = time::counter();
                line.record_while(|| time::counter() - begin < ticks(PART));
                go.wait();
            }
            line.record();
        });
        let made_with = thread.sched().unwrap().cap();
        made_with.unbind().unwrap();
        let sc = bench.system.sched_context(8).unwrap();
        let control = bench.boot.sched_control(core);
        control.configure(sc, 5 * PART, PERIOD, extra, 0).unwrap();
        sc.bind(thread.tcb()).unwrap();
        let origin = time::counter();
        gate.signal();
        for _ in 0..4 {
            bench.sleep(5_000);
            go.signal();
        }
        bench.sleep(2 * PERIOD);
        let found = line.since(origin, GAP);
        let mut expected = [(0, PART); 6];
        for (part, found) in expected.iter_mut().zip(&found).take(5) {
            part.0 = found.0;
        }
        assert!((15_000..25_000).contains(&found[4].0), "{found:?}");
        expected[5] = if extra > 0 {
            (found[0].0 + PERIOD, PART)
        } else {
            // Delayed by each that came after it, by what it had until then.
            (found[3].0 + PERIOD - 3 * PART, 4 * PART)
        };
        assert_pieces(&found, &expected, SLACK);
        sc.unbind().unwrap();
        made_with.bind(thread.tcb()).unwrap();
        thread.destroy(&mut bench.system).unwrap();
        bench.system.destroy(sc).unwrap();
    }
}

/// Ten times the core.
fn no_admission(bench: &mut Bench) {
    row("refill.no-admission");
    for _ in 0..10 {
        let sc = bench.system.sched_context(0).unwrap();
        let control = bench.boot.sched_control(bench.cores() - 1);
        assert_eq!(control.configure(sc, 9_999, 10_000, 0, 0), Ok(()));
    }
}
