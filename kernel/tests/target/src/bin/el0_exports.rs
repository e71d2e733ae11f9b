//! Counters and timers that are exported to user level, one of each kind, and the others, which are not.
//!
//! cpu: cortex-a53 cortex-a72 max
//! config: EXPORT_VCNT_USER=false
//! config: EXPORT_PCNT_USER=true
//! config: EXPORT_VTMR_USER=true
//! config: EXPORT_PTMR_USER=false
//! config: EXPORT_PMU_USER=true

#![no_std]
#![no_main]

use libsel4::abi::UserContext;
use libsel4::{BootInfo, System, root_task};
use tern_target_tests::code::{SystemRegister, address_of, instruction};
use tern_target_tests::objects::Puppet;
use tern_target_tests::rows::row;
use tern_target_tests::snippets;

root_task!(main);

snippets! {
    open: "mrs x0, cntfrq_el0", "mrs x1, cntpct_el0", "mrs x2, cntpct_el0", "mrs x3, cntv_ctl_el0",
        "mrs x4, cntv_cval_el0", "mrs x5, pmccntr_el0", "mrs x6, pmccntr_el0";
    virtual_count: "mrs x0, cntvct_el0";
    physical_timer: "mrs x0, cntp_ctl_el0";
}

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    row("el0.exported");
    for core in 0..boot.cores() {
        let puppet = Puppet::new(&mut system, core, 100);
        let at = |code| UserContext {
            pc: address_of(code),
            ..UserContext::default()
        };
        let fault = puppet.run_to_fault(&at(open));
        assert_eq!(
            (fault.words[0], fault.words[3]),
            (instruction(open, 7), 0x0200_0000)
        );
        let seen = puppet.registers();
        assert!(seen.x0 >= 1_000_000, "the frequency");
        assert!(seen.x2 >= seen.x1 && seen.x1 > 0, "the counter");
        assert_eq!(seen.x3 & 1, 1, "the kernel's timer is on");
        assert!(seen.x4 > seen.x1, "and has not fired");
        assert!(seen.x6 >= seen.x5 && seen.x5 > 0, "cycles");
        for (code, m, op2) in [
            (virtual_count as extern "C" fn() -> !, 0, 2),
            (physical_timer, 2, 1),
        ] {
            let fault = puppet.run_to_fault(&at(code));
            let register = SystemRegister::new(3, 3, 14, m, op2);
            assert_eq!(
                (fault.label, fault.words[0], fault.words[3]),
                (3, address_of(code), register.read_into(0))
            );
        }
    }
}
