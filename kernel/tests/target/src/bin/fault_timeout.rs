//! Timeout faults in detail: words, registers in the reply, when the thread goes on after it, and threads whose answer comes
//! when their budget is used up. (When they are raised: `time_timeout`. What they lend: `fault_donation`.)
//!
//! cores: 1 2 4

#![no_std]
#![no_main]

use core::arch::{asm, naked_asm};
use core::time::Duration;

use libsel4::{
    BootInfo, Cap, CapRights, Endpoint, Message, SchedContext, ThreadBuilder, UserContext, init,
    root_task, time,
};
use tern_target_tests::objects::{Answer, Puppet};
use tern_target_tests::rows::{row, rows};
use tern_target_tests::sched::{Bench, affinity, ticks};

root_task!(main);

const BUDGET_US: u64 = 2_000;
const PERIOD_US: u64 = 50_000;
const BADGE: u64 = 0x1234_5678_9abc;
/// Longest time between the end of a budget and what is seen of it.
const SLACK_US: u64 = 100;

#[unsafe(naked)]
extern "C" fn for_ever() -> ! {
    naked_asm!("1: b 1b")
}

/// A register file with a value of its own in every word.
fn context(pc: u64) -> UserContext {
    let words: [u64; 36] = core::array::from_fn(|index| 0x1000 + index as u64);
    // SAFETY: the register file is 36 words, all of which may have any value.
    let context: UserContext = unsafe { core::mem::transmute(words) };
    UserContext {
        pc,
        spsr: 0x40,
        ..context
    }
}

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    for core in 0..bench.cores() {
        message_and_reply(&mut bench, core);
        late_after_fault(&mut bench, core);
        late_after_call(&mut bench, core);
    }
}

fn configure(bench: &Bench, core: usize, sc: Cap<SchedContext>) {
    bench
        .boot
        .sched_control(core)
        .configure_flags(sc, BUDGET_US, PERIOD_US, 0, BADGE, false)
        .unwrap();
}

fn message_and_reply(bench: &mut Bench, core: usize) {
    let puppet = Puppet::new(&mut bench.system, core, 100);
    let timeouts = bench.system.endpoint().unwrap();
    let handler = bench.system.mint(timeouts, CapRights::all(), 9).unwrap();
    let reply = bench.system.reply().unwrap();
    let sc = puppet.sched.cap();
    let code = for_ever as *const () as u64;

    // Without a handler it waits for its refills in silence.
    rows(&["fault.handler.slots", "sched.charge.release"]);
    puppet.tcb.set_timeout_endpoint(Some(handler)).unwrap();
    puppet.tcb.set_timeout_endpoint(None).unwrap();
    configure(bench, core, sc);
    puppet.start(&context(code));
    bench.sleep(2 * PERIOD_US);
    assert_eq!(timeouts.nb_recv(reply).badge, 0);

    rows(&[
        "fault.timeout.words",
        "fault.timeout.resets",
        "consumed.timeout",
    ]);
    puppet.tcb.suspend().unwrap();
    puppet.tcb.set_timeout_endpoint(Some(handler)).unwrap();
    configure(bench, core, sc);
    sc.consumed().unwrap();
    puppet.start(&context(code));
    let received = timeouts.recv(reply);
    assert_eq!(received.badge, 9);
    let fault = Answer::of(&received.message);
    assert_eq!(
        (fault.label, fault.words.len(), fault.words[0]),
        (5, 2, BADGE)
    );
    let used = fault.words[1];
    assert!(
        (BUDGET_US - 30..BUDGET_US + 30).contains(&used),
        "{used} us"
    );
    assert_eq!(sc.consumed(), Ok(Duration::ZERO));
    assert_eq!(puppet.registers(), context(code));

    // With another label the registers are set, and it stays where it is.
    rows(&[
        "fault.reply.timeout",
        "fault.timeout.registers",
        "fault.reply.label",
    ]);
    let words: [u64; 36] = core::array::from_fn(|index| 0x2000 + index as u64);
    reply.send(Message::new(1).words(&words));
    let after = puppet.registers();
    let set = [
        after.pc, after.sp, after.spsr, after.x0, after.x1, after.x2, after.x3, after.x4, after.x5,
        after.x6, after.x7, after.x8, after.x16, after.x17, after.x18, after.x29, after.x30,
        after.x9, after.x10, after.x11, after.x12, after.x13, after.x14, after.x15, after.x19,
        after.x20, after.x21, after.x22, after.x23, after.x24, after.x25, after.x26, after.x27,
        after.x28,
    ];
    for (index, &word) in set.iter().enumerate() {
        // Of the status register the condition flags are taken.
        let expected = if index == 2 { 0x40 } else { words[index] };
        assert_eq!(word, expected, "word {index}");
    }
    rows(&["fault.reply.longer"]);
    assert_eq!((after.tpidr_el0, after.tpidrro_el0), (0x1022, 0x1023));
    bench.sleep(2 * PERIOD_US);
    assert_eq!(puppet.registers(), after);
    assert_eq!(timeouts.nb_recv(reply).badge, 0);

    // Fewer words, label 0: the others keep their values; it goes on when its refill is due, and not before.
    rows(&[
        "fault.reply.timeout",
        "fault.reply.fewer",
        "fault.reply.restart",
        "fault.reply.timeout-release",
    ]);
    configure(bench, core, sc);
    let begin = time::counter();
    puppet.start(&context(code));
    assert_eq!(timeouts.recv(reply).label(), 5);
    reply.send(Message::new(0).words(&[code, 0x7777]));
    let received = timeouts.recv(reply);
    let passed = time::counter() - begin;
    let due = ticks(PERIOD_US + BUDGET_US);
    assert!(
        (due - ticks(SLACK_US)..due + ticks(SLACK_US)).contains(&passed),
        "{passed} ticks"
    );
    assert_eq!(received.label(), 5);
    let expected = UserContext {
        sp: 0x7777,
        ..context(code)
    };
    assert_eq!(puppet.registers(), expected);

    // Queued, and the scheduling context is taken away before somebody asks.
    row("fault.timeout.no-sc");
    reply.send(Message::new(0));
    bench.sleep(2 * PERIOD_US);
    sc.unbind().unwrap();
    let fault = Answer::of(&timeouts.recv(reply).message);
    assert_eq!(fault, Answer::new(5, &[BADGE]));
    puppet.tcb.suspend().unwrap();
    bench.system.destroy(puppet.tcb).unwrap();
}

/// A breakpoint instruction that the handler steps over.
fn fault() {
    // SAFETY: it changes nothing but the program counter, which the handler sets.
    unsafe { asm!("brk #1", options(nomem, nostack)) };
}

/// A passive server works on the lent budget until that is used up; then somebody else answers for it.
struct Late {
    thread: libsel4::Thread<()>,
    server: tern_target_tests::sched::Server,
    timeouts: Cap<Endpoint>,
    begin: u64,
}

/// The thread faults, or calls, and has a Timeout handler or not.
fn late(bench: &mut Bench, core: usize, faults: bool, handles: bool) -> Late {
    let server = bench.passive_server("server", 0, 110, |_| {
        loop {
            core::hint::spin_loop();
        }
    });
    let timeouts = bench.system.endpoint().unwrap();
    let endpoint = server.endpoint;
    let mut builder = ThreadBuilder::new("late").core(core);
    if faults {
        builder = builder.fault_handler(endpoint);
    }
    if handles {
        builder = builder.timeout_handler(timeouts);
    }
    let (thread, gate) = bench.gated(builder, move || {
        if faults {
            fault();
        } else {
            assert_eq!(endpoint.call(Message::new(1)).label(), 0);
        }
    });
    configure(bench, core, thread.sched().unwrap().cap());
    let begin = time::counter();
    gate.signal();
    bench.sleep(4 * BUDGET_US);
    assert_eq!(affinity(server.thread.tcb()), core);
    let answer = if faults {
        // The address behind the breakpoint, as the fault had it.
        let at = thread.tcb().read_registers(false).unwrap().pc;
        Message::new(0).word(at + 4)
    } else {
        Message::new(0)
    };
    server.reply.send(answer);
    Late {
        thread,
        server,
        timeouts,
        begin,
    }
}

impl Late {
    /// It goes on one period after it began.
    fn waits_for_refill(self, bench: &mut Bench) {
        assert!(!self.thread.is_finished());
        self.thread.wait().unwrap();
        let passed = time::counter() - self.begin;
        let due = ticks(PERIOD_US);
        assert!(
            (due - ticks(SLACK_US)..due + ticks(SLACK_US)).contains(&passed),
            "{passed} ticks"
        );
        self.thread.destroy(&mut bench.system).unwrap();
        self.server.thread.destroy(&mut bench.system).unwrap();
    }

    /// It tells its handler first.
    fn faults_again(&self, bench: &mut Bench) {
        let reply = bench.system.reply().unwrap();
        let received = self.timeouts.recv(reply);
        assert!(
            time::counter() - self.begin < ticks(PERIOD_US / 2),
            "at once"
        );
        let words = Answer::of(&received.message);
        assert_eq!((words.label, words.words[0]), (5, BADGE));
        assert!(
            words.words[1] >= BUDGET_US - 30,
            "all of it was used by the server"
        );
        bench.sleep(PERIOD_US / 4);
        assert!(!self.thread.is_finished());
        reply.send(Message::new(0));
    }
}

fn late_after_fault(bench: &mut Bench, core: usize) {
    row("fault.reply.late-release");
    late(bench, core, true, false).waits_for_refill(bench);
    row("fault.reply.late-timeout");
    let late = late(bench, core, true, true);
    late.faults_again(bench);
    row("fault.reply.timeout-release");
    late.waits_for_refill(bench);
}

fn late_after_call(bench: &mut Bench, core: usize) {
    row("reply-chain.reply.late");
    late(bench, core, false, false).waits_for_refill(bench);
    row("reply-chain.reply.late-fault");
    let late = late(bench, core, false, true);
    late.faults_again(bench);
    late.waits_for_refill(bench);
    assert_eq!(affinity(init::TCB), 0);
}
