//! What `DebugDumpScheduler` and `DebugSnapshot` print: a line for every thread, with its name, what it does, where it
//! goes on, its priority, its core, and the queue that it is in. (The console is compared with the lines here; the
//! threads are made so that every column is known beforehand.)
//!
//! expect: thread                   state                          pc prio core  queue
//! expect: d-inactive               inactive           0x5ead00000000  101    {last}  -
//! expect: d-send                   blocked on send    0x5ead00000000  102    {last}  -
//! expect: d-recv                   blocked on recv    0x5ead00000000  103    {last}  -
//! expect: d-reply                  blocked on reply   0x5ead00000000  104    {last}  -
//! expect: d-ntfn                   blocked on ntfn    0x5ead00000000  105    {last}  -
//! expect: d-passive                blocked on recv    0x5ead00000000  106    {last}  no sched context
//! expect: d-release                running            0x5ead00000008  107    {last}  release
//! expect: d-ready                  restart            0x5ead00000000  108    0  ready
//! expect: d-caller                 live               0x5ead00000000  109    {last}  -
//! expect: rootserver               live
//! expect: rootserver               blocked on recv
//! expect: core {last}: d-caller
//! expect: core 0:

#![no_std]
#![no_main]

use libsel4::abi::{UserContext, debug_syscall};
use libsel4::{BootInfo, CapRights, SmallPage, VmAttributes, debug, init, root_task};
use tern_target_tests::objects::{Puppet, Window, call_registers, info, object};
use tern_target_tests::rows::rows;
use tern_target_tests::sched::Bench;

root_task!(main);

/// Where the threads' code is: a system call, then a fault, then a loop.
const TRAP: u64 = 0x5ead_0000_0000;
const LOOP: u64 = TRAP + 8;
const SVC_UDF: u64 = 0xd400_0001;
const BRANCH_TO_ITSELF: u64 = 0x1400_0000;

const SEND: i64 = -5;
const CALL: i64 = -1;
const RECV: i64 = -7;
const WAIT: i64 = -9;

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    let last = boot.cores() - 1;
    code(&mut bench);
    let endpoint = bench.system.endpoint().expect("an endpoint");
    let called = bench.system.endpoint().expect("an endpoint");
    let silent = bench.system.endpoint().expect("an endpoint");
    let notification = bench.system.notification().expect("a notification");
    let replies = [0; 3].map(|_| bench.system.reply().expect("a reply object"));
    let mut puppet = |name, core, priority| {
        let puppet = Puppet::new(&mut bench.system, core, priority);
        debug::name_thread(puppet.tcb, name);
        puppet
    };
    let start = |puppet: &Puppet, number, x0, x6| {
        puppet.start(&UserContext {
            pc: TRAP,
            ..call_registers(number, x0, info(5, 0, 0), [0; 4], x6)
        });
    };
    let inactive = puppet("d-inactive", last, 101);
    let at_trap = UserContext {
        pc: TRAP,
        ..UserContext::default()
    };
    inactive.tcb.write_registers(false, &at_trap).expect("set");
    start(&puppet("d-send", last, 102), SEND, endpoint.bits(), 0);
    start(
        &puppet("d-recv", last, 103),
        RECV,
        silent.bits(),
        replies[0].bits(),
    );
    start(&puppet("d-reply", last, 104), CALL, called.bits(), 0);
    start(&puppet("d-ntfn", last, 105), WAIT, notification.bits(), 0);
    let passive = puppet("d-passive", last, 106);
    start(&passive, RECV, silent.bits(), replies[1].bits());
    let release = puppet("d-release", last, 107);
    boot.sched_control(last)
        .configure(release.sched.cap(), 100, 100_000_000, 0, 0)
        .expect("a small budget");
    release.start(&UserContext {
        pc: LOOP,
        ..UserContext::default()
    });
    let ready = puppet("d-ready", 0, 108);
    let caller = puppet("d-caller", last, 109);
    called.recv(replies[2]);
    bench.settle(5_000);
    passive.sched.unbind().expect("unbound");
    start(&ready, CALL, called.bits(), 0);

    rows(&[
        "debug.dump.threads",
        "debug.dump.states",
        "debug.dump.pc",
        "debug.dump.priority",
        "debug.dump.cores",
        "debug.dump.queues",
    ]);
    debug::dump_scheduler();
    rows(&[
        "debug.dump.cores",
        "debug.snapshot.threads",
        "debug.snapshot.cores",
    ]);
    start(&caller, debug_syscall::SNAPSHOT, 0, 0);
    caller.fault();
}

/// Code at an address that is the same in every build.
fn code(bench: &mut Bench) {
    let page = object::<SmallPage>(&mut bench.system);
    let copy = bench.system.copy(page, CapRights::all()).expect("a copy");
    let window = Window::map(&mut bench.system, page);
    window.write(0, SVC_UDF);
    window.write(8, BRANCH_TO_ITSELF);
    bench
        .system
        .map_at(
            init::VSPACE,
            copy,
            TRAP as usize,
            CapRights::all(),
            VmAttributes::default(),
        )
        .expect("mapped");
    copy.unify_instruction(0, 16).expect("unified");
}
