//! Counters and the performance monitor trap where they are not exported, which is the default.
//!
//! config: EXPORT_PMU_USER=false
//! config: EXPORT_VCNT_USER=false
//! config: EXPORT_PCNT_USER=false

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
        let traps = |code| {
            let fault = execute(&puppet, code).expect_err("it traps");
            assert_eq!(fault.label, 3);
        };
        row("build.config.pmu");
        traps(instruction!("mrs x0, pmccntr_el0"));
        traps(instruction!("mrs x0, pmcr_el0"));
        traps(instruction!("msr pmcntenset_el0, x0"));
        row("build.config.vcnt");
        traps(instruction!("mrs x0, cntvct_el0"));
        row("build.config.pcnt");
        traps(instruction!("mrs x0, cntpct_el0"));
        row("build.config.vtmr");
        traps(instruction!("mrs x0, cntv_ctl_el0"));
        row("build.config.ptmr");
        traps(instruction!("mrs x0, cntp_ctl_el0"));
    }
}
