//! The budget of a scheduling context: what may be consumed, and from when.
//!
//! A budget is split into *refills*, each an amount with the time from which it may be used. They form a ring,
//! ordered by time; the head is in use. What is consumed from a refill at time t is appended for t + period,
//! so that no more than the budget is handed out within one period.
//!
//! Invariants of a configured context that is not round robin:
//! - the amounts add up to the budget;
//! - refills are ordered and do not overlap: each ends (time + amount) before the next begins or just then;
//! - the head holds at least [`Limits::min_budget`].
//!
//! A *round-robin* context (budget = period, stored as period 0) has two refills: the head is what is left of
//! the time slice, the tail what has been used of it. Only the amounts matter; the first and the last
//! invariant hold, and the time says from when it may run at all.
//!
//! Storage: the ring is the caller's, in the scheduling-context object behind its header. Only its first
//! [`RefillState::max`] elements are in use, so an operation on a configured context may be given a ring that
//! ends there; an operation that configures needs as many elements as the larger of the old and the new
//! maximum. This module does not know threads, queues of threads or cores.

mod reconfigure;

use crate::{Limits, Ticks};

/// Bytes of a scheduling-context object before its refills.
pub const HEADER_BYTES: u64 = 96;
/// Bytes of one refill.
pub const REFILL_BYTES: u64 = 16;

/// Refills that fit in a scheduling context of 2^`size_bits` bytes. 0 when not even the header does.
pub const fn max_refills(size_bits: u8) -> u64 {
    let bytes = match 1_u64.checked_shl(size_bits as u32) {
        Some(bytes) => bytes,
        None => u64::MAX,
    };
    let fit = bytes.saturating_sub(HEADER_BYTES) / REFILL_BYTES;
    // The ring's indices are 32 bits wide. This matters from 64 GiB on.
    if fit > u32::MAX as u64 {
        u32::MAX as u64
    } else {
        fit
    }
}

/// Refills beyond the two that every context has, in a scheduling context of 2^`size_bits` bytes.
pub const fn max_extra_refills(size_bits: u8) -> u64 {
    max_refills(size_bits).saturating_sub(2)
}

/// An amount of time, and when it becomes available.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Refill {
    /// From when the amount may be used.
    pub time: Ticks,
    /// How much may be used.
    pub amount: Ticks,
}

impl Refill {
    /// The earliest end of its use.
    const fn end(self) -> Ticks {
        self.time.saturating_add(self.amount)
    }
}

const _: () = assert!(size_of::<Refill>() as u64 == REFILL_BYTES);

/// What is to be known of a ring of refills besides its elements. All zero: not configured.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct RefillState {
    /// The period in ticks; 0 for round robin.
    pub period: Ticks,
    /// Length of the ring; 0 when not configured, else at least 2.
    pub max: u32,
    /// Index of the head in the ring.
    pub head: u32,
    /// Refills in use, counted from the head.
    pub count: u32,
    /// Always 0.
    pub reserved: u32,
}

const _: () = assert!(size_of::<RefillState>() == 24);

impl RefillState {
    /// Whether the context is configured.
    pub const fn is_active(&self) -> bool {
        self.max > 0
    }

    /// Whether the context is configured as round robin.
    pub const fn is_round_robin(&self) -> bool {
        self.is_active() && self.period == 0
    }

    /// Ring index of the `position`th refill from the head.
    #[inline]
    const fn index(&self, position: u32) -> usize {
        // Both are below max, which is at most u32::MAX; the sum is taken in 64 bits.
        let index = self.head as u64 + position as u64;
        let max = self.max as u64;
        (if index < max { index } else { index - max }) as usize
    }
}

/// Read-only view of a ring of refills.
#[derive(Clone, Copy, Debug)]
pub struct RefillsRef<'a> {
    /// The ring's metadata.
    pub state: &'a RefillState,
    /// The ring.
    pub ring: &'a [Refill],
}

impl<'a> RefillsRef<'a> {
    /// The refill in use, or next to be used. A zero refill when not configured.
    pub fn head(&self) -> Refill {
        if self.state.count == 0 {
            Refill::default()
        } else {
            self.ring[self.state.head as usize]
        }
    }

    /// Whether the head may be used at `now`. Never when not configured.
    pub fn ready(&self, now: Ticks) -> bool {
        self.state.is_active() && self.head().time <= now
    }

    /// Whether enough is left in the head after `usage` for another entry of the kernel.
    pub fn sufficient(&self, usage: Ticks, limits: &Limits) -> bool {
        self.head()
            .amount
            .checked_sub(usage)
            .is_some_and(|left| left >= limits.min_budget)
    }

    /// Number of refills.
    pub fn len(&self) -> usize {
        self.state.count as usize
    }

    /// Whether there are none, that is, the context is not configured.
    pub fn is_empty(&self) -> bool {
        self.state.count == 0
    }

    /// The refills, head first.
    pub fn iter(&self) -> impl Iterator<Item = Refill> + use<'a> {
        let RefillsRef { state, ring } = *self;
        (0..state.count).map(move |position| ring[state.index(position)])
    }

    /// The sum of all amounts: the budget.
    pub fn total(&self) -> Ticks {
        self.iter()
            .fold(0, |sum: Ticks, r| sum.saturating_add(r.amount))
    }

    /// Whether the invariants at the head of this module hold. For assertions and tests; walks the ring.
    pub fn is_well_formed(&self, limits: &Limits) -> bool {
        let state = self.state;
        if !state.is_active() {
            return state.count == 0;
        }
        let shape = state.max >= 2
            && state.head < state.max
            && (1..=state.max).contains(&state.count)
            && state.max as usize <= self.ring.len();
        let ordered = state.is_round_robin()
            || self
                .iter()
                .zip(self.iter().skip(1))
                .all(|(earlier, later)| earlier.end() <= later.time);
        shape && ordered && self.head().amount >= limits.min_budget
    }
}

/// Mutable view of a ring of refills.
#[derive(Debug)]
pub struct Refills<'a> {
    /// The ring's metadata.
    pub state: &'a mut RefillState,
    /// The ring.
    pub ring: &'a mut [Refill],
}

impl Refills<'_> {
    /// The same, read-only.
    pub fn as_view(&self) -> RefillsRef<'_> {
        RefillsRef {
            state: self.state,
            ring: self.ring,
        }
    }

    /// See [`RefillsRef::head`].
    pub fn head(&self) -> Refill {
        self.as_view().head()
    }

    /// See [`RefillsRef::ready`].
    pub fn ready(&self, now: Ticks) -> bool {
        self.as_view().ready(now)
    }

    /// See [`RefillsRef::sufficient`].
    pub fn sufficient(&self, usage: Ticks, limits: &Limits) -> bool {
        self.as_view().sufficient(usage, limits)
    }

    /// See [`RefillsRef::len`].
    pub fn len(&self) -> usize {
        self.as_view().len()
    }

    /// See [`RefillsRef::is_empty`].
    pub fn is_empty(&self) -> bool {
        self.as_view().is_empty()
    }

    /// See [`RefillsRef::iter`].
    pub fn iter(&self) -> impl Iterator<Item = Refill> + '_ {
        self.as_view().iter()
    }

    /// See [`RefillsRef::total`].
    pub fn total(&self) -> Ticks {
        self.as_view().total()
    }

    /// Charges `usage` at the end of a time slice: the entry check found the head no longer sufficient.
    ///
    /// Round robin: a new slice begins, whatever was used. Otherwise `usage` is taken from the head (and from
    /// its successors, should it be more) and becomes available again a period later.
    pub fn charge_end_of_slice(&mut self, usage: Ticks, limits: &Limits) {
        if self.state.is_round_robin() {
            self.restart_slice();
        } else if self.state.is_active() {
            self.consume(usage, limits);
        }
        debug_assert!(self.as_view().is_well_formed(limits));
    }

    /// Charges `usage` in the middle of a time slice: the core turns to another context, or this one is about
    /// to be reconfigured or moved. Tells whether that ended the time slice of a round-robin context.
    ///
    /// A kernel entry checks that the head is sufficient before anything is committed. A core that is made to
    /// park has no such check, and the slice of a round-robin context may be over by then: the head would
    /// keep less than the smallest budget, or less than nothing. The slice then ends here, as it would have
    /// at the check, and a new one begins; the thread belongs at the tail of its ready queue.
    pub fn commit(&mut self, usage: Ticks, limits: &Limits) -> bool {
        if !self.state.is_round_robin() {
            if usage > 0 {
                self.charge_end_of_slice(usage, limits);
            }
            return false;
        }
        let ended = !self.sufficient(usage, limits);
        if ended {
            self.restart_slice();
        } else {
            let (mut head, mut tail) = (self.at(0), self.at(1));
            head.amount -= usage;
            tail.amount += usage;
            self.put(0, head);
            self.put(1, tail);
        }
        debug_assert!(self.as_view().is_well_formed(limits));
        ended
    }

    /// Gives up the whole head refill, of which `consumed` has been used: it counts as used completely.
    pub fn yield_head(&mut self, consumed: Ticks, limits: &Limits) {
        self.charge_end_of_slice(self.head().amount.max(consumed), limits);
    }

    /// Moves the head of a context that has not run to `now`, for it cannot be used any earlier, and unites it
    /// with the refills that would become available during its use. Tells whether that changed the head, so
    /// that the timer must be programmed again. Nothing happens when the head is not ready, or to round robin.
    ///
    /// The bound on what is consumed in a window of one period needs this call each time that a core turns to
    /// the context: what is used from a head that begins earlier is also replenished earlier. A context for
    /// which it is called at wake-ups only (a sporadic one) behaves like a periodic task instead: preempted
    /// late in one period, it can use the end of that budget and all of the next back to back.
    pub fn unblock_check(&mut self, now: Ticks, limits: &Limits) -> bool {
        if self.state.is_round_robin() || !self.ready(now) {
            return false;
        }
        let before = self.head();
        let mut head = Refill {
            time: now,
            ..before
        };
        while self.state.count > 1 {
            let next = self.at(1);
            if next.time > head.end() {
                break;
            }
            head.amount += next.amount;
            self.drop_head();
        }
        self.put(0, head);
        debug_assert!(self.as_view().is_well_formed(limits));
        self.head() != before
    }

    /// Takes `usage` from the head on and makes it available a period later.
    ///
    /// Usage beyond the head falls on the refills after it. Usage of the whole budget several times over, which
    /// only a machine that was stopped for a while can report, moves all refills by whole periods at once: the
    /// work is bounded by the number of refills, not by the usage.
    fn consume(&mut self, mut usage: Ticks, limits: &Limits) {
        // Refills moved to the back since two of them were last united.
        let mut turned = 0;
        let mut may_skip = true;
        while self.at(0).amount <= usage && self.at(0).time < limits.max_release {
            if may_skip && turned == self.state.count {
                // A full turn changed nothing but the times, and so will every further turn.
                usage = self.skip_turns(usage, limits);
                may_skip = false;
                continue;
            }
            usage -= self.at(0).amount;
            turned = if self.move_head_back() { turned + 1 } else { 0 };
        }
        let mut head = self.at(0);
        if usage > 0 && head.time < limits.max_release {
            let used = Refill {
                time: head.time + self.state.period,
                amount: usage,
            };
            head.amount -= usage;
            head.time += usage;
            self.put(0, head);
            self.append(used);
        }
        while self.at(0).amount < limits.min_budget && self.state.count > 1 {
            let time = self.at(1).time - self.at(0).amount;
            self.unite_head(time);
        }
    }

    /// Takes as many whole budgets from `usage` as it holds, as far as times may grow, and moves all refills
    /// by as many periods. Returns the rest.
    fn skip_turns(&mut self, usage: Ticks, limits: &Limits) -> Ticks {
        let period = self.state.period;
        let budget = self.total();
        let last = self.at(self.state.count - 1).time;
        let room = (limits.max_release - 1).saturating_sub(last) / period;
        let turns = room.min(usage / budget);
        for position in 0..self.state.count {
            let mut refill = self.at(position);
            refill.time += turns * period;
            self.put(position, refill);
        }
        usage - turns * budget
    }

    /// Makes the head, completely used, available again a period later. Tells whether it stayed a refill of
    /// its own.
    fn move_head_back(&mut self) -> bool {
        let mut refill = self.at(0);
        refill.time += self.state.period;
        if self.state.count == 1 {
            self.put(0, refill);
            return true;
        }
        self.drop_head();
        self.append(refill)
    }

    /// Adds a refill that is not earlier than the last one's use allows: as a refill of its own if there is a
    /// gap before it and room in the ring, which it tells. Else it is united with the last, at the later of
    /// the two possible times, so that nothing becomes available too early.
    fn append(&mut self, refill: Refill) -> bool {
        let mut tail = self.at(self.state.count - 1);
        if tail.end() < refill.time {
            if self.state.count < self.state.max {
                self.state.count += 1;
                self.put(self.state.count - 1, refill);
                return true;
            }
            tail.time = refill.time - tail.amount;
        }
        tail.amount += refill.amount;
        self.put(self.state.count - 1, tail);
        false
    }

    /// Adds the head to the refill after it, which begins at `time` from now on.
    fn unite_head(&mut self, time: Ticks) {
        let amount = self.at(0).amount + self.at(1).amount;
        self.drop_head();
        self.put(0, Refill { time, amount });
    }

    /// Begins a new round-robin time slice.
    fn restart_slice(&mut self) {
        let (mut head, mut tail) = (self.at(0), self.at(1));
        head.amount += tail.amount;
        tail.amount = 0;
        self.put(0, head);
        self.put(1, tail);
    }

    fn drop_head(&mut self) {
        self.state.head = self.state.index(1) as u32;
        self.state.count -= 1;
    }

    fn at(&self, position: u32) -> Refill {
        self.ring[self.state.index(position)]
    }

    fn put(&mut self, position: u32, refill: Refill) {
        self.ring[self.state.index(position)] = refill;
    }
}
