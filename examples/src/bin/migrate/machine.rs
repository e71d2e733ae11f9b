//! Step 1: what the device tree said.

use libsel4::machine::Machine;
use libsel4::println;

use crate::Tour;

/// Prints board, processors, memory and interrupt controller.
pub(crate) fn step(tour: &mut Tour) {
    tour.report
        .begin("The machine, as its device tree describes it");
    let boot = tour.system.boot();
    let machine = boot.device_tree().and_then(Machine::from_device_tree);
    tour.report.check(
        machine.is_some(),
        "device tree",
        "a readable one",
        match machine {
            Some(_) => "one",
            None => "none",
        },
    );
    let Some(machine) = machine else {
        return;
    };
    println!("       board: {}", machine.model);
    println!(
        "       cores: {} x {}, {} came up",
        machine.processors,
        machine.processor,
        boot.cores()
    );
    for range in &machine.memory {
        let size = (range.end - range.start) >> 20;
        println!(
            "       memory: {:#x} to {:#x}, {size} MiB",
            range.start, range.end
        );
    }
    match &machine.interrupt_controller {
        Some(controller) => println!("       interrupt controller: {controller}"),
        None => println!("       interrupt controller: none"),
    }
    let cores = boot.cores();
    let listed = machine.processors;
    let good = (1..=listed).contains(&cores);
    tour.report.check(
        good,
        "cores that came up",
        format_args!("1 to {listed}"),
        cores,
    );
    let controls = boot.raw().sched_control.len();
    tour.report
        .check_equal("SchedControl capabilities", cores as u64, controls);
    let untyped: u64 = boot
        .untypeds()
        .filter(|it| !it.is_device)
        .map(|it| 1_u64 << it.size_bits)
        .sum();
    let memory = machine.memory_size();
    tour.report.check(
        untyped <= memory && untyped >= memory / 2,
        "memory given to this program, in MiB",
        format_args!("nearly {}", memory >> 20),
        untyped >> 20,
    );
}
