//! TCB methods: registers, priorities, spaces, handlers, suspend and resume.

use sel4_abi::{Invocation, TCB_FLAG_FPU_DISABLED, USER_CONTEXT_WORDS, size_bits};

use super::{Args, Failure, Leave, Outcome, Results};
use crate::{
    access::Kernel,
    cap::Cap,
    cdt,
    delete::delete,
    derive,
    fault::SysError,
    ipc,
    object::{NotificationRef, NotificationState, ScRef, SlotRef, TcbRef, TcbSlot},
    preempt,
    reach::{self, object},
    registers, sched,
    sched::context,
    smp::stop,
};

/// A capability to be installed in a thread, and where it was found.
#[derive(Clone, Copy)]
struct Install {
    cap: Cap,
    source: SlotRef,
}

/// What `SetSchedParams` does about the scheduling context.
enum ContextChange {
    Keep,
    Bind(ScRef),
    Unbind(ScRef),
}

pub fn invoke(k: &mut Kernel<'_>, args: &Args, cap: Cap) -> Outcome {
    let Cap::Thread { tcb } = cap else {
        unreachable!("dispatched by type")
    };
    let method = Invocation::from_label(args.label).ok_or(SysError::IllegalOperation)?;
    match method {
        Invocation::TcbReadRegisters => return read_registers(k, args, tcb),
        Invocation::TcbWriteRegisters => write_registers(k, args, tcb)?,
        Invocation::TcbCopyRegisters => copy_registers(k, args, tcb)?,
        Invocation::TcbConfigure => configure(k, args, tcb)?,
        Invocation::TcbSetPriority => {
            let priority = decode_priority(k, args)?;
            reach::hold(k, |k| object::set_priority(k, tcb, priority))?;
            sched::set_priority(k, tcb, priority);
        }
        Invocation::TcbSetMcPriority => {
            let mcp = decode_priority(k, args)?;
            reach::hold(k, |k| object::thread_alone(k, tcb))?;
            k.get_mut(tcb).mcp = mcp;
        }
        Invocation::TcbSetSchedParams => set_sched_params(k, args, tcb)?,
        Invocation::TcbSetTimeoutEndpoint => {
            args.require(0, 1)?;
            reach::hold_all(k)?;
            let handler = decode_handler(k, args, 0, 1)?;
            install(k, tcb, TcbSlot::TimeoutHandler, handler)?;
        }
        Invocation::TcbSetIpcBuffer => {
            args.require(1, 1)?;
            reach::hold_all(k)?;
            let buffer = decode_buffer(k, args, args.word(k, 0), 0)?;
            install_buffer(k, tcb, args.word(k, 0), buffer)?;
        }
        Invocation::TcbSetSpace => set_space(k, args, tcb)?,
        Invocation::TcbSuspend => {
            reach::hold(k, |k| object::suspend(k, tcb))?;
            stop::ensure_not_live(k, tcb)?;
            sched::suspend(k, tcb);
        }
        Invocation::TcbResume => {
            reach::hold(k, |k| object::resume(k, tcb))?;
            sched::resume_thread(k, tcb);
        }
        Invocation::TcbBindNotification => {
            let notification = decode_bind_notification(k, args, tcb)?;
            ipc::notification::bind(k, tcb, notification);
        }
        Invocation::TcbUnbindNotification => {
            reach::hold(k, |k| object::unbind_waits(k, tcb))?;
            if k.get(tcb).bound_notification.is_none() {
                return Err(SysError::IllegalOperation.into());
            }
            ipc::notification::unbind(k, tcb);
        }
        Invocation::TcbSetTlsBase => {
            args.require(1, 0)?;
            reach::hold(k, |k| object::thread_alone(k, tcb))?;
            stop::ensure_not_live(k, tcb)?;
            k.get_mut(tcb.context()).tpidr = args.word(k, 0);
        }
        Invocation::TcbSetFlags => return set_flags(k, args, tcb),
        _ => return Err(SysError::IllegalOperation.into()),
    }
    Ok(Results::none())
}

fn read_registers(k: &mut Kernel<'_>, args: &Args, tcb: TcbRef) -> Outcome {
    const SUSPEND_SOURCE: u64 = 1;
    args.require(2, 0)?;
    let (flags, count) = (args.word(k, 0), args.word(k, 1));
    let max = USER_CONTEXT_WORDS as u64;
    if !(1..=max).contains(&count) {
        return Err(SysError::RangeError { min: 1, max }.into());
    }
    if tcb == args.caller {
        return Err(SysError::IllegalOperation.into());
    }
    let suspends = flags & SUSPEND_SOURCE != 0;
    reach::hold(k, |k| {
        if suspends {
            object::suspend(k, tcb)
        } else {
            object::thread_alone(k, tcb)
        }
    })?;
    stop::ensure_not_live(k, tcb)?;
    if suspends {
        sched::suspend(k, tcb);
    }
    Ok(Results::Registers {
        of: tcb,
        count: count as usize,
    })
}

fn write_registers(k: &mut Kernel<'_>, args: &Args, tcb: TcbRef) -> Result<(), Failure> {
    const RESUME_TARGET: u64 = 1;
    const HEADER: usize = 2;
    args.require(HEADER, 0)?;
    let (flags, count) = (args.word(k, 0), args.word(k, 1));
    if count > (args.length - HEADER) as u64 {
        return Err(SysError::TruncatedMessage.into());
    }
    if tcb == args.caller {
        return Err(SysError::IllegalOperation.into());
    }
    let resumes = flags & RESUME_TARGET != 0;
    reach::hold(k, |k| {
        object::registers(k, tcb)?;
        if resumes {
            object::resume(k, tcb)?;
        }
        Ok(())
    })?;
    stop::ensure_not_live(k, tcb)?;
    preempt::take_progress(k, tcb);
    for index in 0..USER_CONTEXT_WORDS.min(count as usize) {
        let word = args.word(k, HEADER + index);
        registers::write(k.get_mut(tcb.context()), index, word);
    }
    let context = k.get_mut(tcb.context());
    context.next_ip = context.fault_ip;
    if resumes {
        sched::resume_thread(k, tcb);
    }
    Ok(())
}

fn copy_registers(k: &mut Kernel<'_>, args: &Args, tcb: TcbRef) -> Result<(), Failure> {
    const SUSPEND_SOURCE: u64 = 1 << 0;
    const RESUME_TARGET: u64 = 1 << 1;
    const TRANSFER_FRAME: u64 = 1 << 2;
    const TRANSFER_INTEGER: u64 = 1 << 3;
    args.require(1, 1)?;
    let flags = args.word(k, 0);
    let Cap::Thread { tcb: source } = args.extra_cap(k, 0) else {
        return Err(SysError::InvalidCapability(1).into());
    };
    let (suspends, resumes) = (flags & SUSPEND_SOURCE != 0, flags & RESUME_TARGET != 0);
    reach::hold(k, |k| {
        object::registers(k, tcb)?;
        object::thread_alone(k, source)?;
        if suspends {
            object::suspend(k, source)?;
        }
        if resumes {
            // What it is by then: the source may be this very thread.
            object::restart(k, tcb)?;
        }
        Ok(())
    })?;
    stop::ensure_not_live(k, tcb)?;
    stop::ensure_not_live(k, source)?;
    if suspends {
        sched::suspend(k, source);
    }
    if resumes {
        sched::resume_thread(k, tcb);
    }
    preempt::take_progress(k, tcb);
    let frame = flags & TRANSFER_FRAME != 0;
    let from = *k.get(source.context());
    let to = k.get_mut(tcb.context());
    registers::copy(&from, to, frame, flags & TRANSFER_INTEGER != 0);
    if frame {
        to.next_ip = to.fault_ip;
    }
    Ok(())
}

fn configure(k: &mut Kernel<'_>, args: &Args, tcb: TcbRef) -> Result<(), Failure> {
    args.require(3, 3)?;
    reach::hold_all(k)?;
    let address = args.word(k, 2);
    let buffer = decode_buffer(k, args, address, 2)?;
    let cspace = decode_spaces(k, args, tcb, 0)?;
    let vspace = decode_vspace(k, args, 1)?;
    stop::ensure_not_live(k, tcb)?;
    install(k, tcb, TcbSlot::CSpace, Some(cspace))?;
    install(k, tcb, TcbSlot::VSpace, Some(vspace))?;
    install_buffer(k, tcb, address, buffer)?;
    Ok(())
}

fn set_space(k: &mut Kernel<'_>, args: &Args, tcb: TcbRef) -> Result<(), Failure> {
    args.require(2, 3)?;
    reach::hold_all(k)?;
    let cspace = decode_spaces(k, args, tcb, 1)?;
    let vspace = decode_vspace(k, args, 2)?;
    let handler = decode_handler(k, args, 0, 1)?;
    stop::ensure_not_live(k, tcb)?;
    install(k, tcb, TcbSlot::FaultHandler, handler)?;
    install(k, tcb, TcbSlot::CSpace, Some(cspace))?;
    install(k, tcb, TcbSlot::VSpace, Some(vspace))?;
    Ok(())
}

/// The CSpace root, extra capability `index` with the guard in word 0; and whether the present roots may be replaced,
/// which must not start a long deletion.
fn decode_spaces(
    k: &Kernel<'_>,
    args: &Args,
    tcb: TcbRef,
    index: usize,
) -> Result<Install, SysError> {
    for slot in [tcb.slot(TcbSlot::CSpace), tcb.slot(TcbSlot::VSpace)] {
        let long = match k.get(slot).cap() {
            Cap::Zombie { .. } => true,
            Cap::CNode { .. } | Cap::Thread { .. } => cdt::is_final(k, slot),
            _ => false,
        };
        if long {
            return Err(SysError::IllegalOperation);
        }
    }
    let source = args.extra_slot(index)?;
    let mut cap = k.get(source).raw();
    let data = args.word(k, 0);
    if data != 0 {
        cap = derive::set_guard(cap, data);
    }
    match derive::derive(k, source, cap)?.decode() {
        cap @ Cap::CNode { .. } => Ok(Install { cap, source }),
        _ => Err(SysError::IllegalOperation),
    }
}

fn decode_vspace(k: &Kernel<'_>, args: &Args, index: usize) -> Result<Install, SysError> {
    let source = args.extra_slot(index)?;
    match derive::derive(k, source, k.get(source).raw())?.decode() {
        cap @ Cap::VSpace { asid: Some(_), .. } => Ok(Install { cap, source }),
        _ => Err(SysError::IllegalOperation),
    }
}

/// A fault or timeout handler: null for none. `number` is what an error calls it.
fn decode_handler(
    k: &Kernel<'_>,
    args: &Args,
    index: usize,
    number: u64,
) -> Result<Option<Install>, SysError> {
    let source = args.extra_slot(index)?;
    match k.get(source).cap() {
        Cap::Null => Ok(None),
        cap if ipc::fault::is_handler(cap) => Ok(Some(Install { cap, source })),
        _ => Err(SysError::InvalidCapability(number)),
    }
}

/// The frame of an IPC buffer at `address`; none for address 0.
fn decode_buffer(
    k: &Kernel<'_>,
    args: &Args,
    address: u64,
    index: usize,
) -> Result<Option<Install>, SysError> {
    if address == 0 {
        return Ok(None);
    }
    let source = args.extra_slot(index)?;
    match derive::derive(k, source, k.get(source).raw())?.decode() {
        cap @ Cap::Frame { device: false, .. } => {
            if !address.is_multiple_of(1 << size_bits::IPC_BUFFER) {
                return Err(SysError::AlignmentError);
            }
            Ok(Some(Install { cap, source }))
        }
        _ => Err(SysError::IllegalOperation),
    }
}

fn install_buffer(
    k: &mut Kernel<'_>,
    tcb: TcbRef,
    address: u64,
    buffer: Option<Install>,
) -> Result<(), Leave> {
    install(k, tcb, TcbSlot::IpcBuffer, buffer)?;
    k.get_mut(tcb).buffer_address = address;
    Ok(())
}

/// Replaces a capability that the thread holds. What was there is deleted first, which may take several attempts: the
/// call is checked again before each.
fn install(
    k: &mut Kernel<'_>,
    tcb: TcbRef,
    slot: TcbSlot,
    new: Option<Install>,
) -> Result<(), Leave> {
    let slot = tcb.slot(slot);
    delete(k, slot)?;
    if let Some(Install { cap, source }) = new {
        cdt::insert(k, cap, source, slot);
    }
    Ok(())
}

/// A priority (word 0) within the authority of the thread in extra capability 0.
fn decode_priority(k: &mut Kernel<'_>, args: &Args) -> Result<u8, Failure> {
    args.require(1, 1)?;
    let authority = decode_authority(k, args)?;
    Ok(check_priority(k, args.word(k, 0), authority)?)
}

fn decode_authority(k: &mut Kernel<'_>, args: &Args) -> Result<TcbRef, Failure> {
    match args.extra_cap(k, 0) {
        Cap::Thread { tcb } => {
            reach::hold(k, |k| object::thread_alone(k, tcb))?;
            Ok(tcb)
        }
        _ => Err(SysError::InvalidCapability(1).into()),
    }
}

fn check_priority(k: &Kernel<'_>, value: u64, authority: TcbRef) -> Result<u8, SysError> {
    let max = k.get(authority).mcp;
    match u8::try_from(value) {
        Ok(priority) if priority <= max => Ok(priority),
        _ => Err(SysError::RangeError {
            min: 0,
            max: max.into(),
        }),
    }
}

fn set_sched_params(k: &mut Kernel<'_>, args: &Args, tcb: TcbRef) -> Result<(), Failure> {
    args.require(2, 3)?;
    let authority = decode_authority(k, args)?;
    let mcp = check_priority(k, args.word(k, 0), authority)?;
    let priority = check_priority(k, args.word(k, 1), authority)?;
    reach::hold(k, |k| object::set_priority(k, tcb, priority))?;
    let change = decode_context(k, args, tcb)?;
    let handler = decode_handler(k, args, 2, 3)?;
    if handler.is_some() || !k.get(tcb.slot(TcbSlot::FaultHandler)).is_empty() {
        reach::hold_all(k)?;
    }
    if let ContextChange::Unbind(_) = change {
        stop::ensure_not_live(k, tcb)?;
    }
    install(k, tcb, TcbSlot::FaultHandler, handler)?;
    k.get_mut(tcb).mcp = mcp;
    sched::set_priority(k, tcb, priority);
    match change {
        ContextChange::Keep => {}
        ContextChange::Bind(sc) => context::bind(k, sc, tcb),
        ContextChange::Unbind(sc) => context::release_tcb(k, sc),
    }
    Ok(())
}

fn decode_context(k: &mut Kernel<'_>, args: &Args, tcb: TcbRef) -> Result<ContextChange, Failure> {
    match args.extra_cap(k, 1) {
        Cap::SchedContext { sc, .. } => {
            reach::hold(k, |k| object::bind(k, sc, tcb))?;
            if k.get(tcb).sc == Some(sc) {
                super::sched_context::check_released(k, sc, tcb)?;
                return Ok(ContextChange::Keep);
            }
            super::sched_context::check_bind(k, sc, tcb)?;
            Ok(ContextChange::Bind(sc))
        }
        Cap::Null if tcb == args.caller => Err(SysError::IllegalOperation.into()),
        Cap::Null => {
            reach::hold(k, |k| object::leave_context(k, tcb))?;
            let sc = k.get(tcb).sc;
            Ok(sc.map_or(ContextChange::Keep, ContextChange::Unbind))
        }
        _ => Err(SysError::InvalidCapability(2).into()),
    }
}

fn decode_bind_notification(
    k: &mut Kernel<'_>,
    args: &Args,
    tcb: TcbRef,
) -> Result<NotificationRef, Failure> {
    args.require(0, 1)?;
    let Cap::Notification {
        notification,
        rights,
        ..
    } = args.extra_cap(k, 0)
    else {
        return Err(SysError::IllegalOperation.into());
    };
    reach::hold(k, |k| object::bind_waits(k, tcb, notification))?;
    if k.get(tcb).bound_notification.is_none()
        && rights.contains(sel4_abi::CapRights::READ)
        && k.get(notification).bound_tcb.get().is_none()
        && k.get(notification).state() != NotificationState::Waiting
    {
        Ok(notification)
    } else {
        Err(SysError::IllegalOperation.into())
    }
}

fn set_flags(k: &mut Kernel<'_>, args: &Args, tcb: TcbRef) -> Outcome {
    args.require(2, 0)?;
    let (clear, set) = (args.word(k, 0), args.word(k, 1));
    reach::hold(k, |k| object::thread_alone(k, tcb))?;
    stop::ensure_not_live(k, tcb)?;
    let flags = (u64::from(k.get(tcb).flags) & !clear) | (set & TCB_FLAG_FPU_DISABLED);
    k.get_mut(tcb).flags = flags as u8;
    if flags & TCB_FLAG_FPU_DISABLED != 0 {
        sched::unload_fpu(k, tcb);
    }
    Ok(Results::one(flags))
}
