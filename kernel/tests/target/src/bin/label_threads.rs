//! What each label of threads and of time asks for, told by what happens. The numbers are written out here, not taken
//! from the library. `label_objects` has the others.

#![no_std]
#![no_main]

use libsel4::{
    BootInfo, Cap, CapRights, Endpoint, Message, SmallPage, System, Tcb, UserContext, init,
    root_task,
};
use tern_target_tests::objects::{
    Answer, Ended, PUPPET_BADGE, Puppet, Settler, answer, call_registers, info, invoke_label,
    object,
};
use tern_target_tests::rows::row;

root_task!(main);

const ROOT: u64 = init::TCB.bits();
const CSPACE: u64 = init::CNODE.bits();
const VSPACE: u64 = init::VSPACE.bits();

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let settler = Settler::new(&mut system);
    made_by_hand(&mut system, &settler);
    registers(&mut system);
    priorities(&mut system, &settler);
    spaces(&mut system);
    stop_and_go(&mut system, &settler);
    bound_notification(&mut system);
    scheduling_contexts(&mut system);
}

#[unsafe(naked)]
extern "C" fn undefined() -> ! {
    core::arch::naked_asm!("udf #0")
}

#[unsafe(naked)]
extern "C" fn spin() -> ! {
    core::arch::naked_asm!("b .")
}

fn at(code: extern "C" fn() -> !) -> u64 {
    code as *const () as u64
}

/// A thread with everything that it needs to run, given by label.
fn made_by_hand(system: &mut System, settler: &Settler) {
    let tcb = object::<Tcb>(system).bits();
    let frame = object::<SmallPage>(system).bits();
    let sched = system
        .sched_context(0)
        .expect("a scheduling context")
        .bits();
    let endpoint = system.endpoint().expect("an endpoint");
    let handler = |system: &mut System, badge| {
        let badged = system.mint(endpoint, CapRights::all(), badge);
        badged.expect("a badge").bits()
    };
    let (faults, timeouts) = (handler(system, 1), handler(system, 2));
    row("label.5");
    let configure = |vaddr| invoke_label(tcb, 5, &[CSPACE, VSPACE, frame], &[0, 0, vaddr]);
    assert_eq!(configure(8), answer::alignment());
    assert_eq!(configure(0x1000), answer::ok());
    row("label.33");
    let control = system.boot().sched_control(0).bits();
    let set_budget =
        |budget, period| invoke_label(control, 33, &[sched], &[budget, period, 0, 0x77, 0]);
    assert_eq!(set_budget(1001, 1000).label, 4);
    assert_eq!(set_budget(1000, 1000), answer::ok());
    row("label.8");
    let params = |authority| invoke_label(tcb, 8, &[authority, sched, faults], &[0, 50]);
    assert_eq!(params(CSPACE), answer::invalid_capability(1));
    assert_eq!(params(ROOT), answer::ok());
    row("label.3");
    let run = |code| invoke_label(tcb, 3, &[], &[1, 1, at(code)]);
    assert_eq!(run(undefined), answer::ok());
    settler.settle();
    let received = endpoint.poll();
    assert_eq!((received.badge, received.label()), (1, 3));
    assert_eq!(received.message.get(0), at(undefined), "it ran");
    row("label.9");
    assert_eq!(
        invoke_label(tcb, 9, &[frame], &[]),
        answer::invalid_capability(1)
    );
    assert_eq!(invoke_label(tcb, 9, &[timeouts], &[]), answer::ok());
    assert_eq!(set_budget(500, 1_000_000), answer::ok());
    assert_eq!(run(spin), answer::ok());
    let received = endpoint.wait();
    assert_eq!((received.badge, received.label()), (2, 5));
    assert_eq!(received.message.get(0), 0x77);
    row("label.12");
    assert_eq!(invoke_label(tcb, 12, &[], &[]), answer::ok());
}

fn registers(system: &mut System) {
    let [one, two] = [0; 2].map(|_| object::<Tcb>(system).bits());
    let words: [u64; 38] = core::array::from_fn(|index| match index {
        0 => 0,
        1 => 36,
        // The processor's state register takes few values.
        4 => 0x8000_0000,
        index => 0x1000 + index as u64,
    });
    row("label.3");
    assert_eq!(invoke_label(one, 3, &[], &words), answer::ok());
    row("label.2");
    let read = |tcb| {
        let answer = invoke_label(tcb, 2, &[], &[0, 36]);
        assert_eq!((answer.label, answer.words.len()), (0, 36));
        answer.words
    };
    let written = read(one);
    for index in (0..36).filter(|&index| index != 2) {
        assert_eq!(written[index], words[index + 2], "word {index}");
    }
    row("label.4");
    assert_eq!(read(two)[0], 0);
    assert_eq!(invoke_label(two, 4, &[one], &[1 << 2]), answer::ok());
    let copied = read(two);
    assert_eq!(copied[..17], written[..17], "those of the frame");
    assert_eq!(copied[17..], [0; 19], "no others");
    row("label.16");
    assert_eq!(invoke_label(two, 16, &[], &[0x1234_5678]), answer::ok());
    let (before, after) = (copied, read(two));
    assert_eq!(after[34], 0x1234_5678);
    assert_eq!(after[..34], before[..34]);
    row("label.17");
    let flags = |clear, set| invoke_label(two, 17, &[], &[clear, set]);
    assert_eq!(flags(0, 1), Answer::new(0, &[1]));
    assert_eq!(flags(1, 0), Answer::new(0, &[0]));
}

fn receive(puppet: &Puppet, endpoint: Cap<Endpoint>) {
    puppet.begin_syscall(&call_registers(-9, endpoint.bits(), 0, [0; 4], 0));
}

fn priorities(system: &mut System, settler: &Settler) {
    row("label.7");
    let tcb = object::<Tcb>(system).bits();
    let other = object::<Tcb>(system).bits();
    assert_eq!(invoke_label(tcb, 7, &[ROOT], &[9]), answer::ok());
    let by_tcb = |label, value| invoke_label(other, label, &[tcb], &[value]);
    assert_eq!(by_tcb(7, 10), answer::range(0, 9));
    assert_eq!(by_tcb(6, 10), answer::range(0, 9));
    row("label.6");
    assert_eq!(invoke_label(tcb, 6, &[ROOT], &[200]), answer::ok());
    assert_eq!(by_tcb(6, 10), answer::range(0, 9), "another number");
    // Who came later is served first once it is more important.
    let endpoint = system.endpoint().expect("an endpoint");
    let puppets = [0; 2].map(|_| Puppet::new(system, 0, 100));
    for puppet in &puppets {
        receive(puppet, endpoint);
        settler.settle();
    }
    let raise = invoke_label(puppets[1].tcb.bits(), 6, &[ROOT], &[101]);
    assert_eq!(raise, answer::ok());
    endpoint.nb_send(Message::new(1));
    assert!(matches!(puppets[1].end_of_syscall(), Ended::Returned(_)));
    endpoint.nb_send(Message::new(1));
    assert!(matches!(puppets[0].end_of_syscall(), Ended::Returned(_)));
}

fn spaces(system: &mut System) {
    let puppet = Puppet::new(system, 0, 100);
    let tcb = puppet.tcb.bits();
    row("label.11");
    let handler = puppet.faults.bits();
    let guard = |data| invoke_label(tcb, 11, &[handler, CSPACE, VSPACE], &[data, 0]);
    assert_eq!(guard(5 << 6 | 3), answer::ok());
    puppet.begin_syscall(&call_registers(-1, 1, 0, [0; 4], 0));
    let fault = Answer::of(&puppet.faults.recv(puppet.reply).message);
    let expected = [Puppet::trap_address(), 1, 0, 4, 64, 5, 3];
    assert_eq!(fault, Answer::new(1, &expected));
    assert_eq!(guard(0), answer::ok());

    row("label.10");
    let endpoint = system.endpoint().expect("an endpoint");
    let length = || {
        receive(&puppet, endpoint);
        endpoint.send(Message::new(9).words(&[1, 2, 3, 4, 5, 6]));
        puppet.faults.recv(puppet.reply);
        puppet.registers().x1 & 0x7f
    };
    let frame = puppet.buffer_frame().bits();
    let set = |vaddr| invoke_label(tcb, 10, &[frame], &[vaddr]);
    assert_eq!(length(), 6);
    assert_eq!(set(0), answer::ok());
    assert_eq!(length(), 4, "without a buffer");
    assert_eq!(set(puppet.buffer().start() as u64), answer::ok());
    assert_eq!(length(), 6);
}

fn stop_and_go(system: &mut System, settler: &Settler) {
    let puppet = Puppet::new(system, 0, 100);
    let endpoint = system.endpoint().expect("an endpoint");
    let reply = system.reply().expect("a reply object");
    let tcb = puppet.tcb.bits();
    puppet.begin_syscall(&call_registers(
        -5,
        endpoint.bits(),
        info(7, 0, 0),
        [0; 4],
        0,
    ));
    settler.settle();
    row("label.12");
    assert_eq!(invoke_label(tcb, 12, &[], &[]), answer::ok());
    settler.settle();
    assert_eq!(endpoint.nb_recv(reply).label(), 0, "it no longer sends");
    row("label.13");
    assert_eq!(invoke_label(tcb, 13, &[], &[]), answer::ok());
    settler.settle();
    assert_eq!(endpoint.nb_recv(reply).label(), 7, "it sends again");
}

fn bound_notification(system: &mut System) {
    let tcb = object::<Tcb>(system).bits();
    let notification = system.notification().expect("a notification").bits();
    let bind = || invoke_label(tcb, 14, &[notification], &[]);
    let unbind = || invoke_label(tcb, 15, &[], &[]);
    row("label.14");
    assert_eq!(bind(), answer::ok());
    assert_eq!(bind(), answer::illegal_operation());
    row("label.15");
    assert_eq!(unbind(), answer::ok());
    assert_eq!(unbind(), answer::illegal_operation());
    assert_eq!(bind(), answer::ok());
}

fn scheduling_contexts(system: &mut System) {
    let puppet = Puppet::new(system, 0, 100);
    let (tcb, sched) = (puppet.tcb.bits(), puppet.sched.cap().bits());
    let ask = |label, caps: &[u64]| invoke_label(sched, label, caps, &[]);
    row("label.36");
    assert_eq!(ask(36, &[CSPACE]), answer::invalid_capability(1));
    assert_eq!(ask(36, &[tcb]), answer::ok());
    assert_eq!(ask(36, &[tcb]), answer::illegal_operation());
    row("label.34");
    assert_eq!(ask(34, &[tcb]), answer::ok());
    assert_eq!(ask(34, &[tcb]), answer::illegal_operation(), "bound");
    row("label.35");
    assert_eq!(ask(35, &[]), answer::ok());
    assert_eq!(ask(35, &[]), answer::ok(), "nothing is bound");
    assert_eq!(ask(36, &[tcb]), answer::illegal_operation());
    assert_eq!(ask(34, &[tcb]), answer::ok());
    row("label.37");
    puppet.run_to_fault(&UserContext {
        pc: at(undefined),
        ..UserContext::default()
    });
    ask(37, &[]);
    assert_eq!(ask(37, &[]), Answer::new(0, &[0]), "read before");
    row("label.38");
    // The caller gives way to its equal, which runs until its fault.
    puppet.tcb.set_priority(init::TCB, 255).expect("a priority");
    puppet.start(&UserContext {
        pc: at(undefined),
        ..UserContext::default()
    });
    let yielded = ask(38, &[]);
    assert_eq!((yielded.label, yielded.words.len()), (0, 1));
    let fault = puppet.faults.poll();
    assert_eq!((fault.badge, fault.label()), (PUPPET_BADGE, 3), "it ran");
    assert_eq!(ask(35, &[]), answer::ok());
    assert_eq!(ask(38, &[]), answer::illegal_operation(), "no thread");
}
