//! Mirrors the kernel's `entry` (`enter`, `enter_once`, `park_in_queue`, `leave`), without accounting and interrupts
//! other than the doorbell, for threads that make the calls of a short program.

use core::sync::atomic::Ordering;

use crate::{
    access::{self, Kernel},
    arch,
    invoke::Leave,
    object::{TcbRef, ThreadState},
    sched,
    smp::{
        self,
        stop::{self, Queued, Stopper},
    },
    system::{Action, System, Variant, setup, system},
    types::{CoreId, CoreSet},
};

/// A system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Sleeps until it is woken, if it was not yet.
    Wait,
    Wake(usize),
    /// Writes registers of another thread, which goes on.
    Change(usize),
    Suspend(usize),
    /// The thread's last call.
    Finish,
}

/// What a thread finds added to its registers by [`Call::Change`]. It adds less itself.
pub const CHANGE: u32 = 1000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    Call(Call),
    Interrupt,
}

/// What a core does after an entry.
enum After {
    /// User mode: the thread has made so many calls.
    Runs(usize),
    Idles,
    /// All threads have finished.
    Over,
}

/// Runs thread c's program on core c until all programs are over.
pub fn run_core(me: CoreId, program: &[Call]) {
    arch::become_core(me);
    let mut done = 0;
    loop {
        // User mode: registers change without a lock. What is in memory of them is written as traps do.
        access::add(&system().contexts[me.index()], 1);
        sched::use_fpu();
        let cause = if arch::interrupt_pending() {
            Cause::Interrupt
        } else {
            Cause::Call(program[done])
        };
        match enter(me, cause) {
            Some(calls) => done = calls,
            None => return,
        }
    }
}

fn enter(me: CoreId, cause: Cause) -> Option<usize> {
    let mut cause = cause;
    loop {
        match enter_once(me, cause) {
            After::Runs(done) => return Some(done),
            After::Over => return None,
            After::Idles => {
                arch::wait_for_interrupt();
                cause = Cause::Interrupt;
            }
        }
    }
}

fn enter_once(me: CoreId, cause: Cause) -> After {
    if cause == Cause::Interrupt {
        arch::acknowledge();
    }
    system().flags[me.index()]
        .will_look
        .store(true, Ordering::SeqCst);
    let mut k = Kernel::lock_all(system(), me);
    let (Some(caller), Cause::Call(call)) = (k.this().current, cause) else {
        return leave(k, None);
    };
    let mut stopper: Option<Stopper> = None;
    loop {
        match act(&mut k, caller, call) {
            Ok(()) => return leave(k, stopper),
            Err(Leave::Stop(cores)) => match &mut stopper {
                _ if setup().variant == Variant::NoStopLock => {
                    return stop_without_lock(k, caller, call, cores);
                }
                _ if k.this().current != Some(caller) => return leave(k, stopper),
                Some(holder) => {
                    holder.hold(&mut k, cores);
                    k.release();
                    holder.wait();
                }
                None => {
                    k.release();
                    match Stopper::queue(system(), me, || park_in_queue(me)) {
                        Queued::Holder(holder) => stopper = Some(holder),
                        Queued::WasParked => return leave(Kernel::lock_all(system(), me), None),
                    }
                }
            },
        }
        k = Kernel::lock_all(system(), me);
    }
}

fn park_in_queue(me: CoreId) {
    let mut k = Kernel::lock_all(system(), me);
    stop::restart_current(&mut k);
    let k = park(k);
    k.release();
}

fn leave(mut k: Kernel<'_>, stopper: Option<Stopper>) -> After {
    let me = k.me();
    let mut stopper = stopper;
    if let Some(holder) = &mut stopper {
        holder.free_cores();
    }
    loop {
        sched::schedule(&mut k);
        if !k.flags(me).hold.load(Ordering::Acquire) {
            break;
        }
        k = park(k);
    }
    let over = k.shared_mut().finished == system().cores.len();
    let after = match k.this().current {
        _ if over => After::Over,
        Some(tcb) => After::Runs(k.get(tcb).done),
        None => After::Idles,
    };
    let look_ends = || {
        system().flags[me.index()]
            .will_look
            .store(false, Ordering::Relaxed);
    };
    if setup().variant == Variant::LookEndsAfterRelease {
        k.release();
        look_ends();
    } else {
        look_ends();
        k.release();
    }
    if let Some(holder) = stopper {
        holder.finish();
    }
    after
}

/// Decode, check, perform.
fn act(k: &mut Kernel<'_>, caller: TcbRef, call: Call) -> Result<(), Leave> {
    match call {
        Call::Wait => {
            let thread = k.get_mut(caller);
            match thread.woken.checked_sub(1) {
                Some(fewer) => thread.woken = fewer,
                None => thread.state = ThreadState::Inactive,
            }
        }
        Call::Wake(other) => {
            let other = TcbRef::nth(other);
            if k.get(other).finished || k.get(other).state != ThreadState::Inactive {
                k.get_mut(other).woken += 1;
            } else {
                k.get_mut(other).state = ThreadState::Running;
                let core = CoreId(other.index() as u16);
                k.core_mut(core).ready = true;
                smp::poke(k, core);
            }
        }
        Call::Change(other) => {
            let other = TcbRef::nth(other);
            ensure_not_live(k, other)?;
            access::add(&k.system().contexts[other.index()], CHANGE);
            access::add(&k.system().fpu[other.index()], CHANGE);
        }
        Call::Suspend(other) => {
            let other = TcbRef::nth(other);
            ensure_not_live(k, other)?;
            access::add(&k.system().contexts[other.index()], CHANGE);
            finish(k, other);
        }
        Call::Finish => finish(k, caller),
    }
    k.get_mut(caller).done += 1;
    Ok(())
}

fn ensure_not_live(k: &Kernel<'_>, tcb: TcbRef) -> Result<(), Leave> {
    if setup().variant == Variant::NoStop {
        Ok(())
    } else {
        stop::ensure_not_live(k, tcb)
    }
}

/// The thread will not run again. When that is so of all, every core is told.
fn finish(k: &mut Kernel<'_>, tcb: TcbRef) {
    if core::mem::replace(&mut k.get_mut(tcb).finished, true) {
        return;
    }
    k.get_mut(tcb).state = ThreadState::Inactive;
    k.shared_mut().finished += 1;
    if k.shared_mut().finished == k.system().cores.len() {
        let me = k.me();
        for core in k.cores().filter(|&core| core != me) {
            smp::poke(k, core);
        }
    }
}

fn park(k: Kernel<'_>) -> Kernel<'_> {
    if setup().variant == Variant::SaveAfterParking {
        park_and_save_late(k)
    } else {
        stop::park(k)
    }
}

/// [`stop::park`], but the floating-point state is saved when others may use it already.
fn park_and_save_late(mut k: Kernel<'_>) -> Kernel<'_> {
    let (system, me) = (k.system(), k.me());
    let live = k.this().current;
    sched::time::put_aside(&mut k);
    sched::set_idle(&mut k);
    system.flags[me.index()]
        .parked
        .store(true, Ordering::Release);
    k.release();
    if let Some(tcb) = live {
        sched::save_fpu(system, tcb);
    }
    arch::send_event();
    while system.flags[me.index()].hold.load(Ordering::Acquire) {
        arch::wait_for_event();
    }
    let mut k = Kernel::lock_all(system, me);
    system.flags[me.index()]
        .parked
        .store(false, Ordering::Release);
    k.this_mut().action = Action::Choose;
    k
}

/// [`Stopper`], but nobody queues: whoever wants cores to park tells them so.
fn stop_without_lock(mut k: Kernel<'_>, caller: TcbRef, call: Call, cores: CoreSet) -> After {
    let (system, me) = (k.system(), k.me());
    for core in cores.iter() {
        let flags = k.flags(core);
        flags.hold.store(true, Ordering::Release);
        if !flags.will_look.load(Ordering::Relaxed) {
            k.ring_later(core);
        }
    }
    k.release();
    arch::send_event();
    wait_until_parked(system, cores);
    let mut k = Kernel::lock_all(system, me);
    let performed = act(&mut k, caller, call);
    assert!(performed.is_ok(), "the cores have parked");
    for core in cores.iter() {
        k.flags(core).hold.store(false, Ordering::Release);
    }
    arch::send_event();
    leave(k, None)
}

fn wait_until_parked(system: &System, cores: CoreSet) {
    for core in cores.iter() {
        while !system.flags[core.index()].parked.load(Ordering::Acquire) {
            arch::wait_for_event();
        }
    }
}
