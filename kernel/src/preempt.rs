//! Preemption points: where long work looks whether something more urgent waits.

use core::sync::atomic::Ordering;

use crate::{access::Kernel, arch, config, invoke::Leave, sched};

/// One unit of work is done. Every [`config::MAX_NUM_WORK_UNITS_PER_PREEMPTION`] units: leave, if an interrupt waits for
/// this core, somebody wants it to park, another core waits for a lock, or the budget is used up.
pub fn point(k: &mut Kernel<'_>) -> Result<(), Leave> {
    units(k, 1)
}

/// As [`point`], for work that counts as several units.
pub fn units(k: &mut Kernel<'_>, count: usize) -> Result<(), Leave> {
    let core = k.this_mut();
    core.work_units += count;
    if core.work_units < config::MAX_NUM_WORK_UNITS_PER_PREEMPTION {
        return Ok(());
    }
    core.work_units = 0;
    let me = k.me();
    let urgent =
        arch::interrupt_pending() || k.is_contended() || k.flags(me).hold.load(Ordering::Acquire);
    if urgent || !has_budget_left(k) {
        return Err(Leave::Preempted);
    }
    k.looked();
    Ok(())
}

fn has_budget_left(k: &mut Kernel<'_>) -> bool {
    sched::time::stamp(k);
    let Some(sc) = k.this().current_sc else {
        return true;
    };
    k.refills_ref(sc)
        .sufficient(k.this().consumed, &k.machine().limits)
}
