//! Timers that are exported can be used, and export no counter.
//!
//! config: EXPORT_PMU_USER=false
//! config: EXPORT_VCNT_USER=false
//! config: EXPORT_PCNT_USER=false
//! config: EXPORT_VTMR_USER=true
//! config: EXPORT_PTMR_USER=true

#![no_std]
#![no_main]

use libsel4::{BootInfo, System, root_task};
use tern_target_tests::builds::execute;
use tern_target_tests::instruction;
use tern_target_tests::objects::Puppet;
use tern_target_tests::rows::row;

root_task!(main);

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    for core in 0..boot.cores() {
        let puppet = Puppet::new(&mut system, core, 100);
        let runs = |code| execute(&puppet, code).expect("it may be executed");
        let traps = |code| {
            execute(&puppet, code).expect_err("it traps");
        };
        row("build.config.vtmr");
        // The kernel's own timer is on.
        assert_eq!(runs(instruction!("mrs x0, cntv_ctl_el0")).x0 & 1, 1);
        row("build.config.ptmr");
        let set = runs(instruction!("msr cntp_cval_el0, x0")).x0;
        assert_eq!(runs(instruction!("mrs x0, cntp_cval_el0")).x0, set);
        row("build.config.vcnt");
        traps(instruction!("mrs x0, cntvct_el0"));
        row("build.config.pcnt");
        traps(instruction!("mrs x0, cntpct_el0"));
    }
}
