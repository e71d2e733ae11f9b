//! No system call changes a floating-point register, whether it comes back at once or others use those registers meanwhile.
//!
//! cores: 1 2 4
//! icount: both

#![no_std]
#![no_main]

use core::arch::{asm, naked_asm};
use core::mem::offset_of;

use libsel4::{BootInfo, CapRights, Message, root_task};
use tern_target_tests::calls::{
    CALL, NB_RECV, NB_SEND, NB_SEND_RECV, NB_SEND_WAIT, NB_WAIT, RECV, REPLY_RECV, SEND, WAIT,
    YIELD,
};
use tern_target_tests::rows::row;
use tern_target_tests::sched::{Bench, fpu_keeps};

root_task!(main);

/// What goes in, and what is there after the call.
#[repr(C, align(16))]
#[derive(Clone, PartialEq, Debug)]
struct Vectors {
    registers: [u128; 32],
    control: u64,
    status: u64,
}

#[repr(C, align(16))]
struct Frame {
    before: Vectors,
    after: Vectors,
    x0: u64,
    x1: u64,
    x6: u64,
    x7: u64,
    x8: u64,
}

/// Loads all vector registers, makes a system call, and stores them.
#[unsafe(naked)]
unsafe extern "C" fn call_with_vectors(frame: *mut Frame) {
    naked_asm!(
        "stp x19, x30, [sp, #-80]!",
        "stp d8, d9, [sp, #16]",
        "stp d10, d11, [sp, #32]",
        "stp d12, d13, [sp, #48]",
        "stp d14, d15, [sp, #64]",
        "mov x19, x0",
        "add x9, x19, #{before}",
        "ldp q0, q1, [x9], #32",
        "ldp q2, q3, [x9], #32",
        "ldp q4, q5, [x9], #32",
        "ldp q6, q7, [x9], #32",
        "ldp q8, q9, [x9], #32",
        "ldp q10, q11, [x9], #32",
        "ldp q12, q13, [x9], #32",
        "ldp q14, q15, [x9], #32",
        "ldp q16, q17, [x9], #32",
        "ldp q18, q19, [x9], #32",
        "ldp q20, q21, [x9], #32",
        "ldp q22, q23, [x9], #32",
        "ldp q24, q25, [x9], #32",
        "ldp q26, q27, [x9], #32",
        "ldp q28, q29, [x9], #32",
        "ldp q30, q31, [x9], #32",
        "ldp x10, x11, [x9]",
        "msr fpcr, x10",
        "msr fpsr, x11",
        "add x9, x19, #{x0}",
        "ldp x0, x1, [x9]",
        "ldp x6, x7, [x9, #16]",
        "ldr x8, [x9, #32]",
        "svc #0",
        "add x9, x19, #{after}",
        "stp q0, q1, [x9], #32",
        "stp q2, q3, [x9], #32",
        "stp q4, q5, [x9], #32",
        "stp q6, q7, [x9], #32",
        "stp q8, q9, [x9], #32",
        "stp q10, q11, [x9], #32",
        "stp q12, q13, [x9], #32",
        "stp q14, q15, [x9], #32",
        "stp q16, q17, [x9], #32",
        "stp q18, q19, [x9], #32",
        "stp q20, q21, [x9], #32",
        "stp q22, q23, [x9], #32",
        "stp q24, q25, [x9], #32",
        "stp q26, q27, [x9], #32",
        "stp q28, q29, [x9], #32",
        "stp q30, q31, [x9], #32",
        "mrs x10, fpcr",
        "mrs x11, fpsr",
        "stp x10, x11, [x9]",
        "msr fpcr, xzr",
        "msr fpsr, xzr",
        "ldp d8, d9, [sp, #16]",
        "ldp d10, d11, [sp, #32]",
        "ldp d12, d13, [sp, #48]",
        "ldp d14, d15, [sp, #64]",
        "ldp x19, x30, [sp], #80",
        "ret",
        before = const offset_of!(Frame, before),
        after = const offset_of!(Frame, after),
        x0 = const offset_of!(Frame, x0),
    )
}

/// A system call, after which all vector registers must be as before.
#[track_caller]
fn keeps(number: i64, x0: u64, x6: u64, x8: u64) {
    let registers = core::array::from_fn(|index| {
        (0x0123_4567_89ab_cdef_0011_2233_4455_6677_u128 ^ number as u128)
            .rotate_left(index as u32 * 4)
    });
    let before = Vectors {
        registers,
        // Round to zero, flush to zero, default NaN.
        control: 0b11 << 22 | 1 << 24 | 1 << 25,
        // Every cumulative flag, and saturation.
        status: 0x0800_009f,
    };
    let mut frame = Frame {
        after: Vectors {
            registers: [0; 32],
            control: 0,
            status: 0,
        },
        before,
        x0,
        x1: 0,
        x6,
        x7: number as u64,
        x8,
    };
    // SAFETY: the function keeps what its callers may expect of it, and the frame is ours. The call is one that leaves
    // memory alone: its messages have no words beyond the registers.
    unsafe { call_with_vectors(&mut frame) };
    assert_eq!(frame.after, frame.before, "call {number}");
}

/// Uses the registers for something else.
fn use_vectors(pattern: u64) {
    // SAFETY: the flags of a thread that looks at none.
    unsafe { asm!("msr fpsr, xzr", options(nomem, nostack)) };
    assert!(fpu_keeps(pattern, 3));
}

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    row("syscall.registers.vectors");
    let all = CapRights::all();
    let endpoint = bench.system.endpoint().unwrap();
    let plain = bench.system.notification().unwrap();
    let signal = bench.system.mint(plain, all, 4).unwrap();
    let reply = bench.system.reply().unwrap();
    let (ep, note, reply) = (endpoint.bits(), signal.bits(), reply.bits());
    // At once.
    for (number, x0, x6, x8) in [
        (CALL, note, 0, 0),
        (SEND, note, 0, 0),
        (NB_SEND, note, 0, 0),
        (RECV, note, reply, 0),
        (NB_RECV, ep, reply, 0),
        (NB_RECV, note, reply, 0),
        (NB_WAIT, ep, 0, 0),
        (REPLY_RECV, note, note, 0),
        (NB_SEND_RECV, note, reply, note),
        (NB_SEND_WAIT, note, note, 0),
        (YIELD, 0, 0, 0),
    ] {
        keeps(number, x0, x6, x8);
    }
    // While another thread has used them, on this core and on each other, in the midst of the call.
    for core in 0..bench.cores() {
        let server = bench.active_server("server", core, 100, |received| {
            use_vectors(received.label() ^ 0x5555);
            Message::new(1)
        });
        keeps(CALL, server.endpoint.bits(), 0, 0);
        server.thread.destroy(&mut bench.system).unwrap();
        for (number, x6, x8) in [
            (RECV, reply, 0),
            (WAIT, 0, 0),
            (REPLY_RECV, reply, 0),
            (NB_SEND_RECV, reply, note),
            (NB_SEND_WAIT, note, 0),
        ] {
            let sender = bench.thread("sender", core, 100, move || {
                use_vectors(0x7777_1234);
                endpoint.send(Message::new(2));
            });
            keeps(number, ep, x6, x8);
            sender.join(&mut bench.system).unwrap();
        }
        let receiver = bench.thread("receiver", core, 100, move || {
            use_vectors(0x7777_1234);
            endpoint.wait().label()
        });
        keeps(SEND, ep, 0, 0);
        receiver.join(&mut bench.system).unwrap();
        let spinner = bench.fpu_spinner(core, 255);
        for _ in 0..4 {
            keeps(YIELD, 0, 0, 0);
        }
        spinner.thread.destroy(&mut bench.system).unwrap();
    }
}
