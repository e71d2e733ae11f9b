//! `SchedControl_ConfigureFlags`: budget, period and core of a scheduling context.

use sel4_abi::{Invocation, SCHED_CONTEXT_SPORADIC};

use super::{Args, Failure, Outcome, Results};
use crate::{
    access::Kernel,
    cap::Cap,
    fault::SysError,
    object::ScRef,
    reach,
    sched::context::{self, Parameters},
    smp::stop,
};

/// Refills of a scheduling context beyond the extra ones.
const BASE_REFILLS: u64 = 2;

pub fn invoke(k: &mut Kernel<'_>, args: &Args, cap: Cap) -> Outcome {
    let (sc, parameters) = decode(k, args, cap)?;
    context::configure(k, sc, parameters);
    Ok(Results::none())
}

fn decode(k: &mut Kernel<'_>, args: &Args, cap: Cap) -> Result<(ScRef, Parameters), Failure> {
    let Cap::SchedControl { core } = cap else {
        unreachable!("dispatched by type")
    };
    if args.label != Invocation::SchedControlConfigureFlags.label() {
        return Err(SysError::IllegalOperation.into());
    }
    args.require(5, 1)?;
    let word = |index| args.word(k, index);
    let (budget_us, period_us, extra, badge, flags) = (word(0), word(1), word(2), word(3), word(4));
    let limits = &k.machine().limits;
    let (min, max) = (limits.min_budget_us(), limits.max_period_us());
    let range = |max| SysError::RangeError { min, max };
    if budget_us > max || period_us > max {
        return Err(range(max).into());
    }
    let (budget, period) = (limits.us_to_ticks(budget_us), limits.us_to_ticks(period_us));
    if budget < limits.min_budget || period < limits.min_budget {
        return Err(range(max).into());
    }
    if budget > period {
        return Err(range(period_us).into());
    }
    let Cap::SchedContext { sc, bits } = args.extra_cap(k, 0) else {
        return Err(SysError::InvalidCapability(1).into());
    };
    let max_extra = mcs::max_extra_refills(bits);
    if extra > max_extra {
        return Err(SysError::RangeError {
            min: 0,
            max: max_extra,
        }
        .into());
    }
    reach::hold(k, |k| reach::object::configure(k, sc, core))?;
    stop::ensure_idle_context(k, sc)?;
    let max_refills = (BASE_REFILLS + extra) as u32;
    let sporadic = flags & SCHED_CONTEXT_SPORADIC != 0;
    Ok((
        sc,
        Parameters {
            budget,
            period,
            max_refills,
            badge,
            sporadic,
            core,
        },
    ))
}
