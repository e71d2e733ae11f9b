//! Domains. There is one, as the interface requires of kernels for several cores: setting it is checked and changes
//! nothing but the thread's place in its queue, and the schedule is checked and has no effect.

use sel4_abi::Invocation;

use super::{Args, Outcome, Results};
use crate::{access::Kernel, cap::Cap, fault::SysError, object::TcbRef, sched};

const DOMAINS: u64 = 1;
/// Entries of the domain schedule, with its end marker.
const SCHEDULE_ENTRIES: u64 = 2;
/// Durations are 56 bits wide.
const DURATION_LIMIT: u64 = 1 << 56;

pub fn invoke(k: &mut Kernel<'_>, args: &Args) -> Outcome {
    match Invocation::from_label(args.label) {
        Some(Invocation::DomainSetSet) => {
            let tcb = decode_set(k, args)?;
            let priority = k.get(tcb).priority;
            if k.get(tcb).in_ready_queue || k.this().current == Some(tcb) {
                sched::set_priority(k, tcb, priority);
            }
        }
        Some(Invocation::DomainScheduleConfigure) => check_configure(k, args)?,
        Some(Invocation::DomainScheduleSetStart) => check_start(k, args)?,
        _ => return Err(SysError::IllegalOperation.into()),
    }
    Ok(Results::none())
}

fn decode_set(k: &Kernel<'_>, args: &Args) -> Result<TcbRef, SysError> {
    args.require(1, 0)?;
    if args.word(k, 0) >= DOMAINS {
        return Err(SysError::InvalidArgument(0));
    }
    args.require(1, 1)?;
    match args.extra_cap(k, 0) {
        Cap::Thread { tcb } => Ok(tcb),
        _ => Err(SysError::InvalidArgument(1)),
    }
}

fn check_configure(k: &Kernel<'_>, args: &Args) -> Result<(), SysError> {
    args.require(3, 0)?;
    let (index, domain, duration) = (args.word(k, 0), args.word(k, 1), args.word(k, 2));
    if index >= SCHEDULE_ENTRIES - 1 {
        return Err(SysError::RangeError {
            min: 0,
            max: SCHEDULE_ENTRIES - 2,
        });
    }
    if domain >= DOMAINS {
        return Err(SysError::RangeError {
            min: 0,
            max: DOMAINS - 1,
        });
    }
    if duration >= DURATION_LIMIT {
        return Err(SysError::InvalidArgument(2));
    }
    // Entry 0 is where the schedule starts, so it cannot become the end marker.
    if duration == 0 {
        return Err(SysError::InvalidArgument(2));
    }
    Ok(())
}

fn check_start(k: &Kernel<'_>, args: &Args) -> Result<(), SysError> {
    args.require(1, 0)?;
    let index = args.word(k, 0);
    if index >= SCHEDULE_ENTRIES {
        return Err(SysError::RangeError {
            min: 0,
            max: SCHEDULE_ENTRIES - 1,
        });
    }
    if index == SCHEDULE_ENTRIES - 1 {
        return Err(SysError::InvalidArgument(0));
    }
    Ok(())
}
