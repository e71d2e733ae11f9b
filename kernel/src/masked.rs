//! How long interrupts stay masked: the longest stretches of each core, for builds with `TRACK_MASKED`. Others pay
//! nothing.
//!
//! A stretch begins at an entry, and again wherever long work has looked and found nothing more urgent
//! ([`crate::preempt`]): an interrupt that comes later waits from then on at most. It is *whole* until the next such
//! look, the return to user level or the sleep of an idle core; waiting for locks and for other cores is in it. The
//! part in which the core has the locks is *held*: what it costs the others. The unit is that of the cycle counter; an
//! emulator that counts instructions counts those of all cores, so what others do meanwhile is in the figures.
//!
//! The longest stretches are also kept by [`Mode`], for the benchmark: by the locks that were held, of a whole stretch by
//! the most that it held at a time. Of those, waiting for locks and for other cores is left out: with emulated cores that
//! take turns it would be as long as somebody else's turn.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::{
    access::Kernel,
    arch,
    config::{MAX_NUM_NODES, TRACK_MASKED},
    entry::Cause,
    object::TcbRef,
    types::CoreId,
};

/// Instructions outside the two readings: the vector, saving and restoring the registers (`trap.s`), and the calls in
/// between. Counted from the source, rounded up.
const TRAP: u64 = 100;

/// What a core was in the kernel for, as one number: see [`describe`].
const INTERRUPT: u64 = 1 << 32;
const EXCEPTION: u64 = 2 << 32;
const SYSCALL: u64 = 3 << 32;

/// Which locks a core had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Its own only, or none; whatever it is where there is one core.
    Local,
    /// Several.
    Set,
    /// Those of all cores.
    All,
}

impl Mode {
    fn of(k: &Kernel<'_>) -> Self {
        match k.held() {
            held if held <= 1 => Self::Local,
            held if held < k.num_cores() => Self::Set,
            _ => Self::All,
        }
    }
}

/// Written by its core only, but for the reset.
#[repr(align(128))]
struct Stretches {
    entered: AtomicU64,
    reason: AtomicU64,
    whole: AtomicU64,
    whole_reason: AtomicU64,
    held: AtomicU64,
    held_reason: AtomicU64,
    /// The most locks of this stretch so far, as a number of [`Mode`].
    mode: AtomicU64,
    /// Since when the core has had no lock after having had some, or waits for one; 0 if neither. And how long that was in
    /// this stretch before.
    waits_since: AtomicU64,
    waited: AtomicU64,
    /// The longest whole one and the longest with locks held, by mode, since the core came up.
    by_mode: [[AtomicU64; 2]; 3],
}

static CORES: [Stretches; MAX_NUM_NODES] = [const {
    Stretches {
        entered: AtomicU64::new(0),
        reason: AtomicU64::new(0),
        whole: AtomicU64::new(0),
        whole_reason: AtomicU64::new(0),
        held: AtomicU64::new(0),
        held_reason: AtomicU64::new(0),
        mode: AtomicU64::new(0),
        waits_since: AtomicU64::new(0),
        waited: AtomicU64::new(0),
        by_mode: [const { [const { AtomicU64::new(0) }; 2] }; 3],
    }
}; MAX_NUM_NODES];

/// The longest stretches of a core since the last [`reset`], and what the core was in the kernel for.
#[derive(Clone, Copy, Debug)]
pub struct Longest {
    pub whole: u64,
    pub whole_reason: u64,
    pub held: u64,
    pub held_reason: u64,
}

/// The core entered the kernel.
pub fn begin(me: CoreId) {
    if TRACK_MASKED {
        let core = &CORES[me.index()];
        core.mode.store(Mode::Local as u64, Ordering::Relaxed);
        core.waits_since.store(0, Ordering::Relaxed);
        core.waited.store(0, Ordering::Relaxed);
        core.entered.store(arch::cycles(), Ordering::Relaxed);
    }
}

/// The core is about to leave the kernel, or to sleep until an interrupt.
pub fn end(me: CoreId) {
    if TRACK_MASKED {
        let core = &CORES[me.index()];
        let length = TRAP + arch::cycles() - core.entered.load(Ordering::Relaxed);
        let reason = core.reason.load(Ordering::Relaxed);
        note(&core.whole, &core.whole_reason, length, reason);
        let mode = core.mode.load(Ordering::Relaxed) as usize;
        let waited = core.waited.load(Ordering::Relaxed);
        raise(&core.by_mode[mode][0], length - waited);
    }
}

/// From here on the core waits, until [`waited`].
pub fn waits(me: CoreId) {
    if TRACK_MASKED {
        let since = &CORES[me.index()].waits_since;
        if since.load(Ordering::Relaxed) == 0 {
            since.store(arch::cycles(), Ordering::Relaxed);
        }
    }
}

/// The core has the lock that it waited for.
pub fn waited(me: CoreId) {
    if TRACK_MASKED {
        let core = &CORES[me.index()];
        let waited = arch::cycles() - core.waits_since.swap(0, Ordering::Relaxed);
        core.waited.fetch_add(waited, Ordering::Relaxed);
    }
}

/// The time at which the locks were taken, for [`released`].
pub fn locked() -> u64 {
    if TRACK_MASKED { arch::cycles() } else { 0 }
}

/// The locks that were taken at `since` are about to be released.
pub fn released(k: &Kernel<'_>, since: u64) {
    if TRACK_MASKED {
        let core = &CORES[k.me().index()];
        if core.entered.load(Ordering::Relaxed) == 0 {
            // The start, which nobody waits for.
            return;
        }
        let reason = core.reason.load(Ordering::Relaxed);
        let length = arch::cycles() - since;
        note(&core.held, &core.held_reason, length, reason);
        let mode = Mode::of(k);
        raise(&core.mode, mode as u64);
        raise(&core.by_mode[mode as usize][1], length);
        // If locks are taken again in this stretch, the core will have waited from here on.
        waits(k.me());
    }
}

/// Remembers what the entry is for.
pub fn set_reason(k: &Kernel<'_>, caller: Option<TcbRef>, cause: Cause) {
    if TRACK_MASKED {
        let reason = match (cause, caller) {
            (Cause::Interrupt, _) | (_, None) => INTERRUPT,
            (Cause::Syscall, Some(caller)) => {
                let x = &k.get(caller.context()).x;
                let label = sel4_abi::MessageInfo(x[1]).label();
                SYSCALL | x[7].wrapping_neg() << 16 & 0xffff_0000 | label & 0xffff
            }
            _ => EXCEPTION,
        };
        CORES[k.me().index()]
            .reason
            .store(reason, Ordering::Relaxed);
    }
}

/// What a core measured.
pub fn longest(core: CoreId) -> Longest {
    let core = &CORES[core.index()];
    let read = |word: &AtomicU64| word.load(Ordering::Relaxed);
    Longest {
        whole: read(&core.whole),
        whole_reason: read(&core.whole_reason),
        held: read(&core.held),
        held_reason: read(&core.held_reason),
    }
}

/// The longest stretches of all cores by mode, whole ones and with locks held, since the start: no reset ends it.
pub fn longest_by_mode(mode: Mode) -> [u64; 2] {
    [0, 1].map(|kind| {
        let of_core = |core: &Stretches| core.by_mode[mode as usize][kind].load(Ordering::Relaxed);
        CORES.iter().map(of_core).max().unwrap_or(0)
    })
}

/// Measures anew on all cores. The entries that are under way count.
pub fn reset() {
    for core in &CORES {
        for word in [
            &core.whole,
            &core.whole_reason,
            &core.held,
            &core.held_reason,
        ] {
            word.store(0, Ordering::Relaxed);
        }
    }
}

/// A reason in words: kind, number of the system call without its sign, label of its message.
pub fn describe(reason: u64) -> (&'static str, u64, u64) {
    let kind = match reason >> 32 << 32 {
        SYSCALL => "system call",
        INTERRUPT => "interrupt",
        EXCEPTION => "exception",
        _ => "nothing",
    };
    (kind, reason >> 16 & 0xffff, reason & 0xffff)
}

fn note(longest: &AtomicU64, its_reason: &AtomicU64, length: u64, reason: u64) {
    if raise(longest, length) {
        its_reason.store(reason, Ordering::Relaxed);
    }
}

/// Whether the value is now another one.
fn raise(value: &AtomicU64, to: u64) -> bool {
    let more = to > value.load(Ordering::Relaxed);
    if more {
        value.store(to, Ordering::Relaxed);
    }
    more
}
