//! The words of messages: how many arrive with and without buffers, which registers change, and which never do.

#![no_std]
#![no_main]

use libsel4::abi::{Invocation, UserContext};
use libsel4::{BootInfo, Cap, CapRights, Endpoint, Message, Reply, System, ipc_buffer, root_task};
use tern_target_tests::calls::{DISTINCT, RECV, SEND, returned};
use tern_target_tests::objects::{Answer, Puppet, Settler, buffer_word, call_registers, info};
use tern_target_tests::rows::{row, rows};

root_task!(main);

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let puppet = Puppet::new(&mut system, boot.cores() - 1, 100);
    let endpoint = system.endpoint().expect("an endpoint");
    let reply = system.reply().expect("a reply object");
    lengths(&mut system, &puppet, endpoint, reply);
    untouched(&mut system, &puppet, endpoint, reply);
    every_register(&mut system, &puppet, endpoint, reply);
    invocations(&mut system, &puppet);
    buffers_anywhere(&mut system, &puppet, endpoint, reply);
}

/// The word that a test message has in each place.
fn word(index: usize) -> u64 {
    0x1000_0000_0000_0000 + index as u64
}

fn lengths(system: &mut System, puppet: &Puppet, endpoint: Cap<Endpoint>, reply: Cap<Reply>) {
    let window = puppet.buffer();
    let send_labelled = |label: u64, length| {
        (0..120).for_each(|index| window.write(buffer_word(index), word(index) + 1));
        (4..120).for_each(|index| window.write(buffer_word(index), word(index)));
        let words = core::array::from_fn(word);
        puppet.begin_syscall(&call_registers(
            SEND,
            endpoint.bits(),
            info(label, 0, length),
            words,
            0,
        ));
        (0..120).for_each(|index| ipc_buffer::set_word(index, 99));
        let received = endpoint.recv(reply);
        assert_eq!(received.label(), label);
        let length = (received.message.info().0 & 0x7f) as usize;
        for index in 0..length {
            assert_eq!(received.get(index), word(index), "word {index} of {length}");
        }
        // What did not arrive is as it was; the first four never come through the buffer.
        for index in (0..4).chain(length.max(4)..120) {
            assert_eq!(ipc_buffer::word(index), 99, "word {index} of the buffer");
        }
        returned(puppet.end_of_syscall());
        length
    };
    let send = |length| send_labelled((1 << 52) - 1, length);
    rows(&[
        "message.info.length",
        "message.info.label",
        "message.truncate.length",
        "message.buffer.words",
        "message.buffer.first-four",
    ]);
    for length in [0, 1, 3, 4, 5, 8, 119, 120] {
        assert_eq!(send(length), length as usize);
    }
    for bit in 0..52 {
        assert_eq!(send_labelled(1 << bit, 1), 1);
    }
    send_labelled(0, 0);
    row("message.info.length-clamped");
    for length in 121..128 {
        assert_eq!(send(length), 120);
    }
    rows(&["message.truncate.sender", "message.truncate.length"]);
    puppet.remove_buffer();
    for (length, arrives) in [(0, 0), (3, 3), (4, 4), (5, 4), (127, 4)] {
        assert_eq!(send(length), arrives);
    }
    // To send, reading is enough.
    row("message.buffer.read-only");
    let read_only = system
        .copy(puppet.buffer_frame(), CapRights::READ)
        .expect("a copy");
    let none = system
        .copy(puppet.buffer_frame(), CapRights::empty())
        .expect("a copy");
    let vaddr = window.start() as u64;
    puppet
        .tcb
        .set_ipc_buffer(vaddr, Some(read_only))
        .expect("a buffer");
    assert_eq!(send(120), 120);
    row("message.buffer.no-right");
    puppet
        .tcb
        .set_ipc_buffer(vaddr, Some(none))
        .expect("a buffer");
    assert_eq!(send(120), 4);

    // The other direction.
    let receive = |length: u64| {
        (0..120).for_each(|index| window.write(buffer_word(index), 98));
        let registers = call_registers(RECV, endpoint.bits(), 0, [91, 92, 93, 94], reply.bits());
        puppet.begin_syscall(&registers);
        let words = core::array::from_fn::<_, 120, _>(word);
        endpoint.send(Message::new(6).words(&words[..length as usize]));
        let after = returned(puppet.end_of_syscall());
        assert_eq!(after.x1 >> 12, 6);
        let arrived = (after.x1 & 0x7f) as usize;
        for (index, register) in [after.x2, after.x3, after.x4, after.x5]
            .into_iter()
            .enumerate()
        {
            let expected = if index < arrived {
                word(index)
            } else {
                91 + index as u64
            };
            assert_eq!(register, expected, "register {index} of {length}");
        }
        for index in 0..120 {
            let in_buffer = (4..arrived).contains(&index);
            let expected = if in_buffer { word(index) } else { 98 };
            assert_eq!(
                window.read(buffer_word(index)),
                expected,
                "word {index} of {length}"
            );
        }
        arrived
    };
    rows(&[
        "message.buffer.no-right",
        "message.truncate.receiver",
        "message.truncate.registers",
        "message.truncate.length",
    ]);
    assert_eq!((receive(0), receive(2), receive(6)), (0, 2, 4));
    rows(&["message.buffer.read-only", "message.truncate.receiver"]);
    puppet
        .tcb
        .set_ipc_buffer(vaddr, Some(read_only))
        .expect("a buffer");
    assert_eq!((receive(4), receive(120)), (4, 4));
    row("message.truncate.registers");
    puppet.restore_buffer();
    assert_eq!((receive(1), receive(5), receive(120)), (1, 5, 120));
    assert_eq!(window.read(0), 0, "the kernel does not write the tag");
}

/// Notifications and empty polls change x0 only; sends change nothing.
fn untouched(system: &mut System, puppet: &Puppet, endpoint: Cap<Endpoint>, reply: Cap<Reply>) {
    let notification = system.notification().expect("a notification");
    let badged = system
        .mint(notification, CapRights::all(), 0x40)
        .expect("a badge");
    rows(&["syscall.result.notification", "syscall.result.nothing"]);
    let odd_info = 0xdead_beef_cafe_ffff;
    let ask = |number, x0: u64, x6: u64| {
        let before = call_registers(number, x0, odd_info, [11, 12, 13, 14], x6);
        let after = returned(puppet.syscall(&before));
        assert_eq!(
            [after.x1, after.x2, after.x3, after.x4, after.x5],
            [odd_info, 11, 12, 13, 14]
        );
        assert_eq!((after.x6, after.x7), (x6, number as u64));
        after.x0
    };
    for number in [-8, -10] {
        assert_eq!(ask(number, notification.bits(), reply.bits()), 0);
        assert_eq!(ask(number, endpoint.bits(), reply.bits()), 0);
    }
    for number in [-7, -8, -9, -10] {
        badged.signal();
        assert_eq!(
            ask(number, notification.bits(), reply.bits()),
            0x40,
            "{number}"
        );
    }
    // Signalled while it waits.
    let settler = Settler::new(system);
    let before = call_registers(-9, notification.bits(), odd_info, [1, 2, 3, 4], 0);
    puppet.begin_syscall(&before);
    settler.settle();
    badged.signal();
    let after = returned(puppet.end_of_syscall());
    assert_eq!(
        [after.x0, after.x1, after.x2, after.x5],
        [0x40, odd_info, 1, 4]
    );
    // Bound, and received in place of a message: at once, and while it waits.
    row("syscall.result.bound");
    puppet.tcb.bind_notification(notification).expect("to bind");
    badged.signal();
    for number in [-7, -8, -9] {
        badged.signal();
        assert_eq!(ask(number, endpoint.bits(), reply.bits()), 0x40, "{number}");
    }
    puppet.begin_syscall(&call_registers(
        -7,
        endpoint.bits(),
        odd_info,
        [1, 2, 3, 4],
        reply.bits(),
    ));
    settler.settle();
    badged.signal();
    let after = returned(puppet.end_of_syscall());
    assert_eq!(
        [after.x0, after.x1, after.x2, after.x5],
        [0x40, odd_info, 1, 4]
    );
    puppet.tcb.unbind_notification().expect("to unbind");

    rows(&["syscall.registers.send", "syscall.registers.nb-send"]);
    for number in [-5, -6] {
        assert_eq!(ask(number, badged.bits(), 5), badged.bits());
        assert_eq!(notification.poll(), 0x40);
        assert_eq!(ask(number, reply.bits(), 5), reply.bits());
    }
    assert_eq!(ask(-6, endpoint.bits(), 5), endpoint.bits());
    assert_eq!(ask(-11, 21, 5), 21, "a yield");
    rows(&["syscall.call.notification", "syscall.call.reply"]);
    // A call of a notification signals, and its answer is empty; so is that of a reply object nobody waits on.
    for cap in [badged.bits(), reply.bits()] {
        let after = returned(puppet.syscall(&call_registers(-1, cap, odd_info, [1, 2, 3, 4], 0)));
        assert_eq!([after.x0, after.x1, after.x2, after.x5], [0, 0, 1, 4]);
    }
    assert_eq!(notification.poll(), 0x40);
}

/// All registers but x0 to x5 survive every kind of system call.
fn every_register(
    system: &mut System,
    puppet: &Puppet,
    endpoint: Cap<Endpoint>,
    reply: Cap<Reply>,
) {
    row("syscall.registers.preserved");
    let notification = system.notification().expect("a notification");
    let check = |after: UserContext, before: UserContext| {
        let expected = UserContext {
            pc: Puppet::trap_address() + 4,
            spsr: 0x9000_0040,
            x0: after.x0,
            x1: after.x1,
            x2: after.x2,
            x3: after.x3,
            x4: after.x4,
            x5: after.x5,
            ..before
        };
        assert_eq!(after, expected);
    };
    let with = |number: i64, x0: u64, x1: u64, x6: u64, x8: u64| UserContext {
        x0,
        x1,
        x6,
        x7: number as u64,
        x8,
        ..DISTINCT
    };
    let (ep, note) = (endpoint.bits(), notification.bits());
    for before in [
        with(-1, note, 0, 6, 8),
        with(-2, note, 0, reply.bits(), 8),
        with(-3, note, 0, reply.bits(), note),
        with(-4, note, 0, note, 8),
        with(-5, note, 0, 6, 8),
        with(-6, ep, 0, 6, 8),
        with(-8, ep, 0, reply.bits(), 8),
        with(-10, ep, 0, 6, 8),
        with(-11, 1, 2, 6, 8),
        with(-15, ep, 0, 6, 8),
    ] {
        // There is a signal to receive.
        notification.signal();
        let after = returned(puppet.syscall(&before));
        check(after, before);
        notification.poll();
    }
    // A message from another thread, which it waits for.
    let before = with(-7, ep, 0, reply.bits(), 8);
    puppet.begin_syscall(&before);
    endpoint.send(Message::new(8).words(&[1, 2, 3, 4, 5]));
    let after = returned(puppet.end_of_syscall());
    assert_eq!(
        [after.x0, after.x1, after.x2, after.x5],
        [0, info(8, 0, 5), 1, 4]
    );
    check(after, before);
}

/// Kernel objects take four words of a thread without a buffer, and give it four.
fn invocations(system: &mut System, puppet: &Puppet) {
    let other = system.object::<libsel4::Tcb>().expect("a thread");
    let context = UserContext {
        pc: 70,
        sp: 71,
        x0: 73,
        x1: 74,
        ..UserContext::default()
    };
    other.write_registers(false, &context).expect("to write");
    let call = |cap: u64, method: Invocation, length, words| {
        let registers = call_registers(-1, cap, info(method.label(), 0, length), words, 0);
        let after = returned(puppet.syscall(&registers));
        (after.x0, after.x1, [after.x2, after.x3, after.x4, after.x5])
    };
    let window = puppet.buffer();
    let read = |count| {
        call(
            other.bits(),
            Invocation::TcbReadRegisters,
            2,
            [0, count, 8, 9],
        )
    };
    row("syscall.result.object-words");
    assert_eq!(read(6), (0, info(0, 0, 6), [70, 71, 0x40, 73]));
    assert_eq!(
        (window.read(buffer_word(4)), window.read(buffer_word(5))),
        (74, 0)
    );
    assert_eq!(read(2), (0, info(0, 0, 2), [70, 71, 8, 9]));
    // Errors with words, and without.
    row("syscall.result.object-error");
    assert_eq!(read(37), (0, info(4, 0, 2), [1, 36, 8, 9]));
    let short = call(other.bits(), Invocation::TcbReadRegisters, 1, [0, 1, 8, 9]);
    assert_eq!(short, (0, info(7, 0, 0), [0, 1, 8, 9]));
    row("message.truncate.result");
    puppet.remove_buffer();
    assert_eq!(read(36), (0, info(0, 0, 4), [70, 71, 0x40, 73]));
    row("message.truncate.object");
    // More than four words are not there: five registers to write need seven.
    let write = call(other.bits(), Invocation::TcbWriteRegisters, 7, [0, 5, 1, 2]);
    assert_eq!(write, (0, info(7, 0, 0), [0, 5, 1, 2]));
    let write = call(other.bits(), Invocation::TcbWriteRegisters, 7, [0, 2, 1, 2]);
    assert_eq!(write, (0, 0, [0, 2, 1, 2]));
    assert_eq!(read(2), (0, info(0, 0, 2), [1, 2, 8, 9]));
    // Capabilities are not there either.
    row("message.truncate.caps");
    let registers = call_registers(
        -1,
        other.bits(),
        info(Invocation::TcbSetPriority.label(), 1, 1),
        [0; 4],
        0,
    );
    assert_eq!(returned(puppet.syscall(&registers)).x1, info(7, 0, 0));
    puppet.restore_buffer();
}

/// The kernel uses the frame, at the offset of the address; whether anything is mapped there is not its affair.
fn buffers_anywhere(
    system: &mut System,
    puppet: &Puppet,
    endpoint: Cap<Endpoint>,
    reply: Cap<Reply>,
) {
    let window = puppet.buffer();
    rows(&["message.buffer.frame", "message.buffer.mapping"]);
    for offset in [0, 0x400, 0x800, 0xc00] {
        window.fill(0);
        let unmapped = 0x6666_6666_6000 + offset as u64;
        puppet
            .tcb
            .set_ipc_buffer(unmapped, Some(puppet.buffer_frame()))
            .expect("a buffer");
        puppet.begin_syscall(&call_registers(
            RECV,
            endpoint.bits(),
            0,
            [0; 4],
            reply.bits(),
        ));
        endpoint.send(Message::new(0).words(&[1, 2, 3, 4, 5]));
        assert_eq!(returned(puppet.end_of_syscall()).x1, 5);
        assert_eq!(window.read(offset + buffer_word(4)), 5);
        let others = (0..4096)
            .step_by(8)
            .filter(|&at| at != offset + buffer_word(4));
        assert!(others.map(|at| window.read(at)).all(|word| word == 0));
    }
    // A frame of 2 MiB, in its last kilobyte.
    rows(&["message.buffer.large", "message.buffer.frame"]);
    let large = system.object::<libsel4::LargePage>().expect("a frame");
    let attributes = libsel4::VmAttributes::default();
    let vaddr = system
        .map(large, CapRights::all(), attributes)
        .expect("to map");
    let buffer = vaddr as u64 + (1 << 21) - 1024;
    puppet
        .tcb
        .set_ipc_buffer(buffer, Some(large.cast()))
        .expect("a buffer");
    let words = [1, 2, 3, 4];
    // SAFETY: within the mapped frame, which is for nothing else.
    unsafe { ((buffer + 40) as *mut u64).write_volatile(55) };
    puppet.begin_syscall(&call_registers(
        SEND,
        endpoint.bits(),
        info(1, 0, 5),
        words,
        0,
    ));
    assert_eq!(
        Answer::of(&endpoint.recv(reply).message),
        Answer::new(1, &[1, 2, 3, 4, 55])
    );
}
