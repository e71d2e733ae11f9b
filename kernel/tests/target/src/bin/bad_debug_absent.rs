//! In a kernel without debug calls their numbers are unknown system calls, whatever they are given.
//! config: DEBUG_BUILD=false
//! config: PRINTING=false

#![no_std]
#![no_main]

use libsel4::{BootInfo, System, root_task};
use tern_target_tests::objects::{Answer, Ended, Puppet, call_registers};
use tern_target_tests::rows::row;

root_task!(main);

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let puppet = Puppet::new(&mut system, boot.cores() - 1, 100);
    let pc = Puppet::trap_address();
    row("bad.debug.absent");
    for number in -34..=-12 {
        for x0 in [0, 1, puppet.tcb.bits(), 1 << 63, u64::MAX] {
            let before = call_registers(number, x0, x0, [3; 4], 6);
            let number = number as u64;
            let words = [x0, x0, 3, 3, 3, 3, 6, number, pc, 0, pc + 4, 0x140, number];
            let fault = Ended::Faulted(Answer::new(2, &words));
            assert_eq!(puppet.syscall(&before), fault);
        }
    }
}
