//! Scheduling contexts: budgets, cores, who holds them.

use core::time::Duration;

use sel4_abi::{Invocation, SCHED_CONTEXT_SPORADIC};

use super::invoke;
use crate::cap::{Cap, Notification, SchedContext, SchedControl, Tcb};
use crate::error::Error;

impl Cap<SchedControl> {
    /// `seL4_SchedControl_ConfigureFlags`: gives a scheduling context a budget in each period on this capability's
    /// core, both in microseconds. Equal values mean round robin with that time slice. `badge` names it in Timeout
    /// faults; `extra_refills` is how many pieces beyond two the budget may fall into.
    ///
    /// On another core than before, the bound thread moves there. A move with the same budget and period keeps what
    /// is left of the budget and when the rest comes back; it never hands out a fresh one.
    ///
    /// # Errors
    /// `RangeError` for the budget, the period or the refills (with the least and the greatest that would do);
    /// `InvalidCapability` 1 when it is not a scheduling context.
    pub fn configure_flags(
        self,
        sched_context: Cap<SchedContext>,
        budget: u64,
        period: u64,
        extra_refills: u64,
        badge: u64,
        sporadic: bool,
    ) -> Result<(), Error> {
        let flags = if sporadic { SCHED_CONTEXT_SPORADIC } else { 0 };
        let words = [budget, period, extra_refills, badge, flags];
        let caps = [sched_context.bits()];
        invoke(
            self.bits(),
            Invocation::SchedControlConfigureFlags,
            &caps,
            &words,
        )
        .map(drop)
    }

    /// `seL4_SchedControl_Configure`: [`Cap::configure_flags`] with no flag.
    ///
    /// # Errors
    /// As there.
    pub fn configure(
        self,
        sched_context: Cap<SchedContext>,
        budget: u64,
        period: u64,
        extra_refills: u64,
        badge: u64,
    ) -> Result<(), Error> {
        self.configure_flags(sched_context, budget, period, extra_refills, badge, false)
    }
}

impl Cap<SchedContext> {
    /// `seL4_SchedContext_Bind` to a thread, which moves to the scheduling context's core.
    ///
    /// # Errors
    /// `IllegalOperation` when either is bound, or the thread is blocked and the budget not ready;
    /// `InvalidCapability` 1.
    pub fn bind(self, thread: Cap<Tcb>) -> Result<(), Error> {
        invoke(
            self.bits(),
            Invocation::SchedContextBind,
            &[thread.bits()],
            &[],
        )
        .map(drop)
    }

    /// `seL4_SchedContext_Bind` to a notification: a passive thread that it wakes runs on this.
    ///
    /// # Errors
    /// `IllegalOperation` when either is bound; `InvalidCapability` 1.
    pub fn bind_notification(self, notification: Cap<Notification>) -> Result<(), Error> {
        invoke(
            self.bits(),
            Invocation::SchedContextBind,
            &[notification.bits()],
            &[],
        )
        .map(drop)
    }

    /// `seL4_SchedContext_Unbind`: from everything: thread, notification, callers that lent it.
    ///
    /// # Errors
    /// `IllegalOperation` when the calling thread runs on it.
    pub fn unbind(self) -> Result<(), Error> {
        invoke(self.bits(), Invocation::SchedContextUnbind, &[], &[]).map(drop)
    }

    /// `seL4_SchedContext_UnbindObject` from this thread.
    ///
    /// # Errors
    /// `IllegalOperation` when it is not bound to it, or it is the caller; `InvalidCapability` 1.
    pub fn unbind_thread(self, thread: Cap<Tcb>) -> Result<(), Error> {
        invoke(
            self.bits(),
            Invocation::SchedContextUnbindObject,
            &[thread.bits()],
            &[],
        )
        .map(drop)
    }

    /// `seL4_SchedContext_UnbindObject` from this notification.
    ///
    /// # Errors
    /// `IllegalOperation` when it is not bound to it; `InvalidCapability` 1.
    pub fn unbind_notification(self, notification: Cap<Notification>) -> Result<(), Error> {
        let caps = [notification.bits()];
        invoke(
            self.bits(),
            Invocation::SchedContextUnbindObject,
            &caps,
            &[],
        )
        .map(drop)
    }

    /// `seL4_SchedContext_Consumed`: the time charged to it since this was last asked (in whole microseconds).
    ///
    /// # Errors
    /// None of its own.
    pub fn consumed(self) -> Result<Duration, Error> {
        let reply = invoke(self.bits(), Invocation::SchedContextConsumed, &[], &[])?;
        Ok(Duration::from_micros(reply.get(0)))
    }

    /// `seL4_SchedContext_YieldTo`: lets the thread on it go first, if its priority is not below the caller's;
    /// otherwise puts it first among its equals. Returns the time charged to it as [`Cap::consumed`] does. On another
    /// core than the caller's it only does the latter, and returns at once:
    /// [`crate::sched::SchedulingContext::yield_to`] refuses that.
    ///
    /// # Errors
    /// `IllegalOperation` when no thread is bound, it is the caller's own, or its thread's priority is above the
    /// caller's maximum controlled priority.
    pub fn yield_to(self) -> Result<Duration, Error> {
        let reply = invoke(self.bits(), Invocation::SchedContextYieldTo, &[], &[])?;
        Ok(Duration::from_micros(reply.get(0)))
    }
}
