//! Scheduling-context methods: bind, unbind, consumed, yield to.

use sel4_abi::Invocation;

use super::{Args, Failure, Outcome, Results};
use crate::{
    access::Kernel,
    cap::Cap,
    fault::SysError,
    object::{NotificationRef, ScRef, TcbRef},
    reach::{self, object},
    sched::context,
    smp::stop,
};

/// A checked method.
enum Plan {
    BindThread(TcbRef),
    BindNotification(NotificationRef),
    Unbind,
    UnbindThread,
    UnbindNotification,
    Consumed,
    YieldTo,
}

pub fn invoke(k: &mut Kernel<'_>, args: &Args, cap: Cap) -> Outcome {
    let Cap::SchedContext { sc, .. } = cap else {
        unreachable!("dispatched by type")
    };
    match decode(k, args, sc)? {
        Plan::BindThread(tcb) => context::bind(k, sc, tcb),
        Plan::BindNotification(notification) => context::bind_notification(k, sc, notification),
        Plan::Unbind => context::unbind_all(k, sc),
        Plan::UnbindThread => context::release_tcb(k, sc),
        Plan::UnbindNotification => context::unbind_notification(k, sc),
        Plan::Consumed => return Ok(Results::one(context::take_consumed(k, sc))),
        Plan::YieldTo => {
            if !context::yield_to(k, args.caller, sc) {
                return Ok(Results::one(context::take_consumed(k, sc)));
            }
        }
    }
    Ok(Results::none())
}

fn decode(k: &mut Kernel<'_>, args: &Args, sc: ScRef) -> Result<Plan, Failure> {
    match Invocation::from_label(args.label) {
        Some(Invocation::SchedContextBind) => decode_bind(k, args, sc),
        Some(Invocation::SchedContextUnbind) => {
            reach::hold(k, |k| object::unbind(k, sc))?;
            check_not_caller(k, args, sc)?;
            stop::ensure_idle_context(k, sc)?;
            Ok(Plan::Unbind)
        }
        Some(Invocation::SchedContextUnbindObject) => decode_unbind_object(k, args, sc),
        Some(Invocation::SchedContextConsumed) => {
            reach::hold(k, |k| object::context(k, sc))?;
            Ok(Plan::Consumed)
        }
        Some(Invocation::SchedContextYieldTo) => {
            reach::hold(k, |k| object::yield_to(k, sc))?;
            let tcb = k.get(sc).tcb.ok_or(SysError::IllegalOperation)?;
            if tcb == args.caller || k.get(tcb).priority > k.get(args.caller).mcp {
                return Err(SysError::IllegalOperation.into());
            }
            Ok(Plan::YieldTo)
        }
        _ => Err(SysError::IllegalOperation.into()),
    }
}

fn decode_bind(k: &mut Kernel<'_>, args: &Args, sc: ScRef) -> Result<Plan, Failure> {
    args.require(0, 1)?;
    match args.extra_cap(k, 0) {
        Cap::Thread { tcb } => {
            reach::hold(k, |k| object::bind(k, sc, tcb))?;
            check_bind(k, sc, tcb)?;
            Ok(Plan::BindThread(tcb))
        }
        Cap::Notification { notification, .. } => {
            reach::hold(k, |k| object::bind_notification(k, sc, notification))?;
            if k.get(sc).notification.is_some() || k.get(notification).sc.get().is_some() {
                return Err(SysError::IllegalOperation.into());
            }
            Ok(Plan::BindNotification(notification))
        }
        _ => Err(SysError::InvalidCapability(1).into()),
    }
}

/// A free context can be bound to a thread that has none; to a waiting thread only if it could run at once.
pub fn check_bind(k: &Kernel<'_>, sc: ScRef, tcb: TcbRef) -> Result<(), SysError> {
    if k.get(sc).tcb.is_some() || k.get(tcb).sc.is_some() {
        return Err(SysError::IllegalOperation);
    }
    check_released(k, sc, tcb)
}

/// The second half of [`check_bind`].
pub fn check_released(k: &Kernel<'_>, sc: ScRef, tcb: TcbRef) -> Result<(), SysError> {
    let released = k.get(sc).is_active() && k.refills_ref(sc).ready(k.this().now);
    if k.get(tcb).is_blocked() && !released {
        return Err(SysError::IllegalOperation);
    }
    Ok(())
}

fn decode_unbind_object(k: &mut Kernel<'_>, args: &Args, sc: ScRef) -> Result<Plan, Failure> {
    args.require(0, 1)?;
    match args.extra_cap(k, 0) {
        Cap::Thread { tcb } => {
            reach::hold(k, |k| object::release(k, sc))?;
            if k.get(sc).tcb != Some(tcb) {
                return Err(SysError::IllegalOperation.into());
            }
            check_not_caller(k, args, sc)?;
            stop::ensure_not_live(k, tcb)?;
            Ok(Plan::UnbindThread)
        }
        Cap::Notification { notification, .. } => {
            reach::hold(k, |k| object::bind_notification(k, sc, notification))?;
            if k.get(sc).notification != Some(notification) {
                return Err(SysError::IllegalOperation.into());
            }
            Ok(Plan::UnbindNotification)
        }
        _ => Err(SysError::InvalidCapability(1).into()),
    }
}

fn check_not_caller(k: &Kernel<'_>, args: &Args, sc: ScRef) -> Result<(), SysError> {
    if k.get(sc).tcb == Some(args.caller) {
        return Err(SysError::IllegalOperation);
    }
    Ok(())
}
