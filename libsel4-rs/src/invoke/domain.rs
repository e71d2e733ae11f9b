//! Domains. A kernel for several cores has exactly one.

use sel4_abi::Invocation;

use super::invoke;
use crate::cap::{Cap, DomainSet, Tcb};
use crate::error::Error;

impl Cap<DomainSet> {
    /// `seL4_DomainSet_Set`: moves a thread to a domain.
    ///
    /// # Errors
    /// `InvalidArgument` 0 for the domain, 1 when it is not a thread.
    pub fn set(self, domain: u64, thread: Cap<Tcb>) -> Result<(), Error> {
        invoke(
            self.bits(),
            Invocation::DomainSetSet,
            &[thread.bits()],
            &[domain],
        )
        .map(drop)
    }

    /// `seL4_DomainSet_ScheduleConfigure`: entry `index` of the schedule: a domain, for so many timer ticks. An entry
    /// of domain 0 and duration 0 ends the schedule.
    ///
    /// # Errors
    /// `RangeError` for the index or the domain; `InvalidArgument` 1 or 2 for the duration.
    pub fn schedule_configure(self, index: u64, domain: u64, duration: u64) -> Result<(), Error> {
        let words = [index, domain, duration];
        invoke(
            self.bits(),
            Invocation::DomainScheduleConfigure,
            &[],
            &words,
        )
        .map(drop)
    }

    /// `seL4_DomainSet_ScheduleSetStart`: goes on with the schedule at entry `index`, and begins there after its end.
    ///
    /// # Errors
    /// `RangeError` for the index; `InvalidArgument` 0 when the entry is an end.
    pub fn schedule_set_start(self, index: u64) -> Result<(), Error> {
        invoke(
            self.bits(),
            Invocation::DomainScheduleSetStart,
            &[],
            &[index],
        )
        .map(drop)
    }
}
