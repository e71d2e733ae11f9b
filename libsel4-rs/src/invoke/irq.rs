//! Interrupt lines, and software-generated interrupts.

use sel4_abi::Invocation;

use super::invoke;
use crate::cap::{Cap, IrqControl, IrqHandler, Notification, SgiSignal, SlotPath};
use crate::error::Error;
use crate::syscall;

/// When a line interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// As long as it is high.
    Level,
    /// Each time it rises.
    Edge,
}

impl Trigger {
    const fn word(self) -> u64 {
        match self {
            Self::Level => 0,
            Self::Edge => 1,
        }
    }
}

impl Cap<IrqControl> {
    /// `seL4_IRQControl_Get`: a handler capability for a line goes to the slot. Lines below 32 are core 0's own.
    ///
    /// # Errors
    /// `RangeError` beyond the last line; `RevokeFirst` when it is taken (by somebody or by the kernel);
    /// `DeleteFirst` when the slot is occupied; `FailedLookup` for the slot.
    pub fn get(self, irq: u64, slot: &SlotPath) -> Result<(), Error> {
        let words = [irq, slot.index, slot.depth];
        invoke(
            self.bits(),
            Invocation::IrqIssueHandler,
            &[slot.root.bits()],
            &words,
        )
        .map(drop)
    }

    /// `seL4_IRQControl_GetTrigger`: as [`Cap::get`], and sets how the line triggers.
    ///
    /// # Errors
    /// As [`Cap::get`]; `IllegalOperation` for lines below 32.
    pub fn get_trigger(self, irq: u64, trigger: Trigger, slot: &SlotPath) -> Result<(), Error> {
        let words = [irq, trigger.word(), slot.index, slot.depth];
        let caps = [slot.root.bits()];
        invoke(
            self.bits(),
            Invocation::IrqIssueHandlerTrigger,
            &caps,
            &words,
        )
        .map(drop)
    }

    /// `seL4_IRQControl_GetTriggerCore`: as [`Cap::get_trigger`], for a core: a shared line is sent there, a line
    /// below 32 is that core's own.
    ///
    /// # Errors
    /// As [`Cap::get`]; `InvalidArgument` for a core that is not there.
    pub fn get_trigger_core(
        self,
        irq: u64,
        trigger: Trigger,
        core: u64,
        slot: &SlotPath,
    ) -> Result<(), Error> {
        let words = [irq, trigger.word(), slot.index, slot.depth, core];
        let caps = [slot.root.bits()];
        invoke(
            self.bits(),
            Invocation::IrqIssueHandlerTriggerCore,
            &caps,
            &words,
        )
        .map(drop)
    }

    /// `seL4_IRQControl_IssueSGISignal`: a capability goes to the slot that sends software-generated interrupt `sgi`
    /// (0 to 15) to a target processor.
    ///
    /// # Errors
    /// `RangeError` for the number; `InvalidArgument` 1 for the target; `DeleteFirst` when the slot is occupied;
    /// `FailedLookup`.
    pub fn issue_sgi_signal(self, sgi: u64, target: u64, slot: &SlotPath) -> Result<(), Error> {
        let words = [sgi, target, slot.index, slot.depth];
        let caps = [slot.root.bits()];
        invoke(self.bits(), Invocation::IrqIssueSgiSignal, &caps, &words).map(drop)
    }
}

impl Cap<IrqHandler> {
    /// `seL4_IRQHandler_Ack`: the line may interrupt again.
    ///
    /// # Errors
    /// None of its own.
    pub fn ack(self) -> Result<(), Error> {
        invoke(self.bits(), Invocation::IrqAck, &[], &[]).map(drop)
    }

    /// `seL4_IRQHandler_SetNotification`: each interrupt signals this.
    ///
    /// # Errors
    /// `InvalidCapability` 0 when it is not a notification with the write right.
    pub fn set_notification(self, notification: Cap<Notification>) -> Result<(), Error> {
        invoke(
            self.bits(),
            Invocation::IrqSetHandler,
            &[notification.bits()],
            &[],
        )
        .map(drop)
    }

    /// `seL4_IRQHandler_Clear`: interrupts signal nothing any more.
    ///
    /// # Errors
    /// None of its own.
    pub fn clear(self) -> Result<(), Error> {
        invoke(self.bits(), Invocation::IrqClearHandler, &[], &[]).map(drop)
    }
}

impl Cap<SgiSignal> {
    /// Sends the interrupt.
    pub fn signal(self) {
        syscall::signal(self.bits());
    }
}
