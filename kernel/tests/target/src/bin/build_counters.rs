//! What user level may do with system registers and with instructions that firmware could have left either way. The
//! counters are exported here, the timers are not.
//!
//! cpu: cortex-a53 cortex-a72 max

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
        let runs = |code| execute(&puppet, code).expect("it may be executed").x0;
        let traps = |code| {
            let fault = execute(&puppet, code).expect_err("it traps");
            assert_eq!(fault.label, 3);
        };
        row("build.config.pmu");
        let first = runs(instruction!("mrs x0, pmccntr_el0"));
        assert!(
            runs(instruction!("mrs x0, pmccntr_el0")) > first,
            "it counts"
        );
        row("build.config.vcnt");
        let first = runs(instruction!("mrs x0, cntvct_el0"));
        assert!(
            runs(instruction!("mrs x0, cntvct_el0")) > first,
            "it counts"
        );
        assert!(runs(instruction!("mrs x0, cntfrq_el0")) >= 1_000_000);
        row("build.config.pcnt");
        let first = runs(instruction!("mrs x0, cntpct_el0"));
        assert!(
            runs(instruction!("mrs x0, cntpct_el0")) > first,
            "it counts"
        );
        row("build.config.vtmr");
        traps(instruction!("mrs x0, cntv_ctl_el0"));
        traps(instruction!("msr cntv_cval_el0, x0"));
        row("build.config.ptmr");
        traps(instruction!("mrs x0, cntp_ctl_el0"));
        row("build.el0.wait");
        runs(instruction!("wfi"));
        runs(instruction!("wfe"));
        row("build.el0.zero");
        puppet.buffer().write(2048, 7);
        runs(instruction!("dc zva, x0"));
        assert_eq!(puppet.buffer().read(2048), 0);
        row("build.el0.cache");
        assert_ne!(runs(instruction!("mrs x0, ctr_el0")), 0);
        runs(instruction!("dc cvac, x0"));
        runs(instruction!("dc cvau, x0"));
        runs(instruction!("dc civac, x0"));
        runs(instruction!("ic ivau, x0"));
        row("build.el0.traps");
        traps(instruction!("msr daifset, #2"));
        traps(instruction!("mrs x0, daif"));
        traps(instruction!("mrs x0, sctlr_el1"));
        traps(instruction!("dc ivac, x0"));
        traps(instruction!("tlbi vmalle1is"));
        traps(instruction!("hvc #0"));
        traps(instruction!("smc #0"));
        row("build.el0.thread-pointers");
        assert_eq!(runs(instruction!("mrs x0, tpidrro_el0")), 0);
        runs(instruction!("msr tpidr_el0, x0"));
        traps(instruction!("msr tpidrro_el0, x0"));
    }
}
