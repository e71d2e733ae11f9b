//! Stopping other cores, where something that is live on them must change.
//!
//! Only the holder of the stop lock makes cores park, and nobody can make it park; a parked core waits for nobody. So
//! there is no cycle. No core lock is held while waiting, and nothing is marked that a preempted operation would leave
//! behind: an operation that needs cores stopped finds out again each time it starts.
//!
//! Waits here sleep in plain WFE and look at their flags again, unlike those for a lock, which sleep on the monitor of one
//! word: one of them looks at two words, and whoever changes a flag or passes the stop lock on does so rarely. It sends an
//! event after each such change, behind a DSB, so the change is visible before the event. An event that comes between the
//! look and the WFE is not lost: the core's event register keeps it, and the WFE returns at once.

use core::sync::atomic::Ordering;

use crate::{
    access::Kernel,
    arch,
    config::BENCH_COUNTERS,
    counters,
    invoke::Leave,
    object::{ReplyRef, ScRef, TcbRef, ThreadState},
    sched,
    system::{Action, System},
    types::{CoreId, CoreSet},
};

/// The other core on which a thread is live, if it is: then it is at home there. Its scheduling context does not tell,
/// since a thread may lose that and still be the one that its core works for.
pub fn live_elsewhere(k: &Kernel<'_>, tcb: TcbRef) -> Option<CoreId> {
    let home = k.get(tcb.home()).get();
    (home != k.me() && k.core(home).current == Some(tcb)).then_some(home)
}

/// The thread is not live on another core, or that core must be stopped.
pub fn ensure_not_live(k: &Kernel<'_>, tcb: TcbRef) -> Result<(), Leave> {
    live_elsewhere(k, tcb).map_or(Ok(()), |core| Err(Leave::Stop(CoreSet::one(core))))
}

/// The same for the thread that has a scheduling context.
pub fn ensure_idle_context(k: &Kernel<'_>, sc: ScRef) -> Result<(), Leave> {
    k.get(sc).tcb.map_or(Ok(()), |tcb| ensure_not_live(k, tcb))
}

/// The same for the thread from which using or deleting a reply object takes the scheduling context.
pub fn ensure_reply_usable(k: &Kernel<'_>, reply: ReplyRef) -> Result<(), Leave> {
    crate::ipc::reply::loser(k, reply).map_or(Ok(()), |tcb| ensure_not_live(k, tcb))
}

/// None of these cores (other than this one) runs anything, or they must be stopped.
pub fn ensure_parked(cores: CoreSet) -> Result<(), Leave> {
    if cores.is_empty() {
        Ok(())
    } else {
        Err(Leave::Stop(cores))
    }
}

/// What came of queueing for the stop lock.
pub enum Queued {
    Holder(Stopper),
    /// This core was made to park meanwhile: its thread is back in its queue, and everything starts again at user
    /// level.
    WasParked,
}

/// Holds the stop lock, and keeps cores parked.
pub struct Stopper {
    system: &'static System,
    held: CoreSet,
}

impl Stopper {
    /// Waits for the stop lock. No core lock is held. `park` is called, to park and come back, whenever another core
    /// wants this one to.
    pub fn queue(system: &'static System, me: CoreId, mut park: impl FnMut()) -> Queued {
        let hold = &system.flags[me.index()].hold;
        arch::interleave();
        let ticket = system.stop.enqueue();
        if BENCH_COUNTERS && !system.stop.is_served(ticket) {
            counters::lock_wait();
        }
        let mut parked = false;
        while !system.stop.is_served(ticket) {
            if hold.load(Ordering::Acquire) {
                park();
                parked = true;
            } else {
                arch::wait_for_event();
            }
        }
        let stopper = Self {
            system,
            held: CoreSet::EMPTY,
        };
        if parked {
            stopper.finish();
            return Queued::WasParked;
        }
        Queued::Holder(stopper)
    }

    /// Asks these cores to park. Under the locks.
    pub fn hold(&mut self, k: &mut Kernel<'_>, cores: CoreSet) {
        for core in cores.iter() {
            let flags = k.flags(core);
            flags.hold.store(true, Ordering::Release);
            k.core_mut(core).calm_until = 0;
            if !flags.will_look.load(Ordering::Relaxed) {
                k.ring_later(core);
            }
        }
        self.held = self.held.union(cores);
    }

    /// Waits, with no lock held, until all of them have parked.
    pub fn wait(&self) {
        // A core that queues for the stop lock sleeps until an event.
        arch::send_event();
        for core in self.held.iter() {
            let parked = &self.system.flags[core.index()].parked;
            while !parked.load(Ordering::Acquire) {
                arch::wait_for_event();
            }
        }
    }

    /// Lets the parked cores go, under the locks, so that they find everything done.
    pub fn free_cores(&mut self) {
        for core in core::mem::replace(&mut self.held, CoreSet::EMPTY).iter() {
            self.system.flags[core.index()]
                .hold
                .store(false, Ordering::Release);
        }
        arch::send_event();
    }

    /// Gives the stop lock back. After the core locks.
    pub fn finish(self) {
        debug_assert!(self.held.is_empty());
        self.system.stop.release();
        arch::interleave();
        arch::send_event();
    }
}

/// Parks this core: its thread goes back to its queue, nothing runs, and it waits until it may go on. Takes the locks
/// and gives back new ones.
pub fn park<'l>(mut k: Kernel<'l>) -> Kernel<'l> {
    let (system, me) = (k.system(), k.me());
    let flags = k.flags(me);
    sched::time::stamp(&mut k);
    sched::time::put_aside(&mut k);
    sched::set_idle(&mut k);
    flags.parked.store(true, Ordering::Release);
    k.release();
    arch::send_event();
    while flags.hold.load(Ordering::Acquire) {
        arch::wait_for_event();
    }
    let mut k = Kernel::lock_own(system, me);
    flags.parked.store(false, Ordering::Release);
    sched::time::stamp_unaccounted(&mut k);
    k.this_mut().action = Action::Choose;
    k.this_mut().reprogram = true;
    k
}

/// A thread that was interrupted in the middle of a system call does it again.
pub fn restart_current(k: &mut Kernel<'_>) {
    if let Some(tcb) = k.this().current
        && k.get(tcb).state == ThreadState::Running
    {
        k.get_mut(tcb).state = ThreadState::Restart;
    }
}
