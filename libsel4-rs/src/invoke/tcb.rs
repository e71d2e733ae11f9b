//! Threads: registers, spaces, priorities, starting and stopping.

use sel4_abi::{Invocation, TCB_FLAG_FPU_DISABLED, USER_CONTEXT_WORDS, UserContext};

use super::{invoke, optional};
use crate::cap::{CNode, Cap, Endpoint, Notification, SchedContext, SmallPage, Tcb, VSpace};
use crate::error::Error;

/// What `copy_registers` copies and does besides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CopyRegisters {
    /// Suspend the source first.
    pub suspend_source: bool,
    /// Resume the target.
    pub resume_target: bool,
    /// Copy pc, sp, spsr, x0 to x8, x16 to x18, x29 and x30.
    pub frame: bool,
    /// Copy x9 to x15, x19 to x28, TPIDR_EL0 and TPIDRRO_EL0.
    pub integer: bool,
}

/// Flags of a thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcbFlags {
    /// Floating point and vector instructions raise a user exception.
    pub fpu_disabled: bool,
}

impl TcbFlags {
    const fn bits(self) -> u64 {
        if self.fpu_disabled {
            TCB_FLAG_FPU_DISABLED
        } else {
            0
        }
    }
}

impl Cap<Tcb> {
    /// `seL4_TCB_ReadRegisters`: all registers, after suspending the thread if `suspend` says so.
    ///
    /// # Errors
    /// `IllegalOperation` for the calling thread itself.
    pub fn read_registers(self, suspend: bool) -> Result<UserContext, Error> {
        let words = [u64::from(suspend), USER_CONTEXT_WORDS as u64];
        let reply = invoke(self.bits(), Invocation::TcbReadRegisters, &[], &words)?;
        let mut values = [0; USER_CONTEXT_WORDS];
        for (index, value) in values.iter_mut().enumerate() {
            *value = reply.get(index);
        }
        Ok(context_from_words(&values))
    }

    /// `seL4_TCB_WriteRegisters`: sets all registers, and resumes the thread if `resume` says so. Of `spsr` only the
    /// condition flags count.
    ///
    /// # Errors
    /// `IllegalOperation` for the calling thread itself.
    pub fn write_registers(self, resume: bool, context: &UserContext) -> Result<(), Error> {
        let mut words = [0; 2 + USER_CONTEXT_WORDS];
        words[0] = u64::from(resume);
        words[1] = USER_CONTEXT_WORDS as u64;
        words[2..].copy_from_slice(&context_to_words(context));
        invoke(self.bits(), Invocation::TcbWriteRegisters, &[], &words).map(drop)
    }

    /// `seL4_TCB_CopyRegisters` from another thread to this one.
    ///
    /// # Errors
    /// `InvalidCapability` 1 when `source` is not a thread.
    pub fn copy_registers(self, source: Cap<Tcb>, what: CopyRegisters) -> Result<(), Error> {
        let flags = u64::from(what.suspend_source)
            | u64::from(what.resume_target) << 1
            | u64::from(what.frame) << 2
            | u64::from(what.integer) << 3;
        invoke(
            self.bits(),
            Invocation::TcbCopyRegisters,
            &[source.bits()],
            &[flags],
        )
        .map(drop)
    }

    /// `seL4_TCB_Configure`: sets the capability space (with the guard in `cspace_data`, 0 for unchanged), the
    /// address space and the IPC buffer (address 0: none). Fault handlers stay as they are.
    ///
    /// # Errors
    /// `IllegalOperation` for a capability of the wrong kind, a device frame, or when the thread holds the last
    /// capability to its present spaces; `AlignmentError` for a buffer not aligned to 1024.
    pub fn configure(
        self,
        cspace: Cap<CNode>,
        cspace_data: u64,
        vspace: Cap<VSpace>,
        buffer: u64,
        buffer_frame: Option<Cap<SmallPage>>,
    ) -> Result<(), Error> {
        let caps = [cspace.bits(), vspace.bits(), optional(buffer_frame)];
        let words = [cspace_data, 0, buffer];
        invoke(self.bits(), Invocation::TcbConfigure, &caps, &words).map(drop)
    }

    /// `seL4_TCB_SetPriority`, not above the maximum controlled priority of `authority`.
    ///
    /// # Errors
    /// `InvalidCapability` 1 when `authority` is not a thread; `RangeError` above its maximum.
    pub fn set_priority(self, authority: Cap<Tcb>, priority: u8) -> Result<(), Error> {
        let words = [u64::from(priority)];
        invoke(
            self.bits(),
            Invocation::TcbSetPriority,
            &[authority.bits()],
            &words,
        )
        .map(drop)
    }

    /// `seL4_TCB_SetMCPriority`, not above the maximum controlled priority of `authority`.
    ///
    /// # Errors
    /// `InvalidCapability` 1 when `authority` is not a thread; `RangeError` above its maximum.
    pub fn set_mc_priority(self, authority: Cap<Tcb>, mcp: u8) -> Result<(), Error> {
        let words = [u64::from(mcp)];
        invoke(
            self.bits(),
            Invocation::TcbSetMcPriority,
            &[authority.bits()],
            &words,
        )
        .map(drop)
    }

    /// `seL4_TCB_SetSchedParams`: maximum controlled priority, priority, scheduling context and fault handler at
    /// once. `None` takes the scheduling context or the handler away.
    ///
    /// # Errors
    /// `InvalidCapability` 1, 2 or 3 for `authority`, the scheduling context or the handler (which needs write and
    /// grant or grant-reply); `RangeError` above the authority's maximum; `IllegalOperation` when either side is
    /// bound already, when the thread is blocked and the scheduling context not ready, or when the caller would lose
    /// its own.
    pub fn set_sched_params(
        self,
        authority: Cap<Tcb>,
        mcp: u8,
        priority: u8,
        sched_context: Option<Cap<SchedContext>>,
        fault_handler: Option<Cap<Endpoint>>,
    ) -> Result<(), Error> {
        let caps = [
            authority.bits(),
            optional(sched_context),
            optional(fault_handler),
        ];
        let words = [u64::from(mcp), u64::from(priority)];
        invoke(self.bits(), Invocation::TcbSetSchedParams, &caps, &words).map(drop)
    }

    /// `seL4_TCB_SetTimeoutEndpoint`: where Timeout faults go; `None` for nowhere (the thread waits for its next
    /// refill).
    ///
    /// # Errors
    /// `InvalidCapability` 1 when it is not an endpoint with write and grant or grant-reply.
    pub fn set_timeout_endpoint(self, handler: Option<Cap<Endpoint>>) -> Result<(), Error> {
        let caps = [optional(handler)];
        invoke(self.bits(), Invocation::TcbSetTimeoutEndpoint, &caps, &[]).map(drop)
    }

    /// `seL4_TCB_SetIPCBuffer`: address 0 for none.
    ///
    /// # Errors
    /// `IllegalOperation` for something else than a frame of ordinary memory; `AlignmentError`.
    pub fn set_ipc_buffer(self, buffer: u64, frame: Option<Cap<SmallPage>>) -> Result<(), Error> {
        let caps = [optional(frame)];
        invoke(self.bits(), Invocation::TcbSetIpcBuffer, &caps, &[buffer]).map(drop)
    }

    /// `seL4_TCB_SetSpace`: fault handler, capability space and address space. The IPC buffer stays.
    ///
    /// # Errors
    /// As [`Cap::<Tcb>::configure`]; `InvalidCapability` 1 for the handler.
    pub fn set_space(
        self,
        fault_handler: Option<Cap<Endpoint>>,
        cspace: Cap<CNode>,
        cspace_data: u64,
        vspace: Cap<VSpace>,
    ) -> Result<(), Error> {
        let caps = [optional(fault_handler), cspace.bits(), vspace.bits()];
        invoke(
            self.bits(),
            Invocation::TcbSetSpace,
            &caps,
            &[cspace_data, 0],
        )
        .map(drop)
    }

    /// `seL4_TCB_Suspend`: stops the thread and cancels what it waits for. A thread may suspend itself.
    ///
    /// # Errors
    /// None of its own.
    pub fn suspend(self) -> Result<(), Error> {
        invoke(self.bits(), Invocation::TcbSuspend, &[], &[]).map(drop)
    }

    /// `seL4_TCB_Resume`: lets a stopped or blocked thread run again; a system call that it was in starts again.
    ///
    /// # Errors
    /// None of its own.
    pub fn resume(self) -> Result<(), Error> {
        invoke(self.bits(), Invocation::TcbResume, &[], &[]).map(drop)
    }

    /// `seL4_TCB_BindNotification`: the thread also receives this notification while it waits on endpoints.
    ///
    /// # Errors
    /// `IllegalOperation` when either is bound, somebody waits, or the capability lacks read.
    pub fn bind_notification(self, notification: Cap<Notification>) -> Result<(), Error> {
        invoke(
            self.bits(),
            Invocation::TcbBindNotification,
            &[notification.bits()],
            &[],
        )
        .map(drop)
    }

    /// `seL4_TCB_UnbindNotification`.
    ///
    /// # Errors
    /// `IllegalOperation` when none is bound.
    pub fn unbind_notification(self) -> Result<(), Error> {
        invoke(self.bits(), Invocation::TcbUnbindNotification, &[], &[]).map(drop)
    }

    /// `seL4_TCB_SetTLSBase`: the thread's TPIDR_EL0.
    ///
    /// # Errors
    /// None of its own.
    pub fn set_tls_base(self, base: u64) -> Result<(), Error> {
        invoke(self.bits(), Invocation::TcbSetTlsBase, &[], &[base]).map(drop)
    }

    /// `seL4_TCB_SetFlags`: clears some flags, sets others, and returns what results.
    ///
    /// # Errors
    /// None of its own.
    pub fn set_flags(self, clear: TcbFlags, set: TcbFlags) -> Result<TcbFlags, Error> {
        let words = [clear.bits(), set.bits()];
        let reply = invoke(self.bits(), Invocation::TcbSetFlags, &[], &words)?;
        Ok(TcbFlags {
            fpu_disabled: reply.get(0) & TCB_FLAG_FPU_DISABLED != 0,
        })
    }
}

fn context_to_words(context: &UserContext) -> [u64; USER_CONTEXT_WORDS] {
    // SAFETY: a `UserContext` is `repr(C)` with exactly this many words and nothing else (asserted where it is
    // defined).
    unsafe { core::mem::transmute_copy(context) }
}

fn context_from_words(words: &[u64; USER_CONTEXT_WORDS]) -> UserContext {
    // SAFETY: a `UserContext` is `repr(C)` with exactly this many words and nothing else (asserted where it is
    // defined).
    unsafe { core::mem::transmute_copy(words) }
}
