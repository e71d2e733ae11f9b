//! Vector registers belong to threads: they survive every switch and every move, and a new thread finds zeros.

#![no_std]
#![no_main]

use libsel4::abi::UserContext;
use libsel4::{BootInfo, System, root_task};
use tern_target_tests::objects::{Answer, Puppet};
use tern_target_tests::rows::rows;

root_task!(main);

macro_rules! for_each_vector {
    ($before:literal, $after:literal; $($n:literal)*) => {
        concat!($($before, $n, $after, "\n"),*)
    };
}

macro_rules! vectors {
    ($before:literal, $after:literal) => {
        for_each_vector!(
            $before, $after;
            "0" "1" "2" "3" "4" "5" "6" "7" "8" "9" "10" "11" "12" "13" "14" "15"
            "16" "17" "18" "19" "20" "21" "22" "23" "24" "25" "26" "27" "28" "29" "30" "31"
        )
    };
}

/// Puts x20, x20 + 1, ... into the two halves of the vector registers and x21 into control and status; then yields x22
/// times, each time checking all of it. Ends with `udf #0` and x22 = 0 if all was well.
#[unsafe(naked)]
extern "C" fn keep() -> ! {
    core::arch::naked_asm!(
        "mov x9, x20",
        vectors!("add x9, x9, #1\n dup v", ".2d, x9"),
        "lsl x10, x21, #22", // rounding mode
        "msr fpcr, x10",
        "msr fpsr, x21",
        "3: mov x7, #-11",
        "svc #0",
        "mov x9, x20",
        vectors!(
            "add x9, x9, #1\n umov x11, v",
            ".d[0]\n cmp x11, x9\n b.ne 4f"
        ),
        "mov x9, x20",
        vectors!(
            "add x9, x9, #1\n umov x11, v",
            ".d[1]\n cmp x11, x9\n b.ne 4f"
        ),
        "mrs x11, fpcr",
        "cmp x11, x10",
        "b.ne 4f",
        "mrs x11, fpsr",
        "cmp x11, x21",
        "b.ne 4f",
        "subs x22, x22, #1",
        "b.ne 3b",
        "4: udf #0",
    )
}

/// Leaves in x0 the union of all bits of all registers.
#[unsafe(naked)]
extern "C" fn collect() -> ! {
    core::arch::naked_asm!(
        "mrs x0, fpcr",
        "mrs x1, fpsr",
        "orr x0, x0, x1",
        vectors!("umov x1, v", ".d[0]\n orr x0, x0, x1"),
        vectors!("umov x1, v", ".d[1]\n orr x0, x0, x1"),
        "udf #0",
    )
}

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let cores = boot.cores();
    for round in 0..3 {
        rows(&["fpu.zero", "fpu.own"]);
        // Three for each core, at the same priority: each yield is a switch.
        let count = 3 * cores;
        let puppets: [Option<Puppet>; 12] = core::array::from_fn(|index| {
            (index < count).then(|| Puppet::new(&mut system, index % cores, 100))
        });
        let puppets = || puppets.iter().flatten().zip(0_u64..);
        // New ones find zeros, whatever was in the memory and in the registers of their core.
        for (puppet, index) in puppets() {
            let pc = collect as *const () as u64;
            puppet.start(&UserContext {
                pc,
                ..UserContext::default()
            });
            assert_eq!(puppet.fault().label(), 3);
            assert_eq!(puppet.registers().x0, 0, "puppet {index} of round {round}");
        }
        for (puppet, index) in puppets() {
            puppet.start(&UserContext {
                pc: keep as *const () as u64,
                x20: (index + 1) << 32 | round << 56 | 0x1_0000,
                x21: index % 4,
                x22: 200,
                ..UserContext::default()
            });
        }
        // Meanwhile they move: to the next core, and back.
        for step in 0..10 {
            for (puppet, index) in puppets() {
                let core = (index as usize + step) % cores;
                if index % 3 == 0 {
                    puppet.sched.move_to(core).expect("to move");
                }
            }
        }
        for (puppet, index) in puppets() {
            let fault = Answer::of(&puppet.fault().message);
            assert_eq!(fault.label, 3);
            let left = puppet.registers().x22;
            assert_eq!(
                left, 0,
                "puppet {index} of round {round} lost its registers"
            );
        }
        // The last one's registers, after all the others ran: still its own, when it goes on.
        for (puppet, index) in puppets() {
            let stopped = puppet.registers();
            let pc = collect as *const () as u64;
            puppet.start(&UserContext { pc, ..stopped });
            assert_eq!(puppet.fault().label(), 3);
            let high = puppet.registers().x0 >> 32 & 0xff_ffff;
            assert_eq!(high, index + 1);
        }
        for (puppet, _) in puppets() {
            system.destroy(puppet.tcb).expect("to destroy");
        }
    }
}
