//! Configuring a scheduling context: from nothing, in place, and while it moves to another core.
//!
//! A budget equal to its period means round robin, in every function here.

use super::{Refill, RefillState, Refills};
use crate::{Limits, Ticks};

/// Length of the ring of a round-robin context.
const ROUND_ROBIN_REFILLS: u32 = 2;

impl Refills<'_> {
    /// A full budget from `now` on, whatever was before.
    ///
    /// `max_refills` is the number of refills that may be used, at least 2. The ring has as many elements.
    pub fn new_budget(&mut self, budget: Ticks, period: Ticks, max_refills: u32, now: Ticks) {
        if budget == period {
            return self.round_robin(budget, max_refills, now);
        }
        debug_assert!(budget < period && max_refills >= 2);
        let head = Refill {
            time: now,
            amount: budget,
        };
        self.reset(period, max_refills, head);
    }

    /// A full round-robin time slice from `now` on, whatever was before. The ring has two elements, whatever
    /// maximum was asked for.
    pub fn round_robin(&mut self, budget: Ticks, _max_refills: u32, now: Ticks) {
        self.set_slice(now, budget, budget);
    }

    /// Changes the parameters in place, on the same core.
    ///
    /// What is in the head stays usable as it is, up to the new budget; what is missing follows a period
    /// later. For round robin a full time slice begins. The usage so far has been committed. A context that
    /// was not configured gets a full budget.
    pub fn update(
        &mut self,
        budget: Ticks,
        period: Ticks,
        max_refills: u32,
        now: Ticks,
        limits: &Limits,
    ) {
        if !self.state.is_active() || budget == period {
            self.new_budget(budget, period, max_refills, now);
        } else {
            self.keep_head(budget, period, max_refills, now);
        }
        debug_assert!(self.as_view().is_well_formed(limits));
    }

    /// Changes the parameters, or none of them, while the context moves to another core.
    ///
    /// Moving must not create time: otherwise whoever may move a context has as many budgets as moves. The
    /// usage on the old core has been committed. Then:
    ///
    /// | was | becomes | |
    /// |---|---|---|
    /// | any | the same budget and period | the refills move as they are; if the ring becomes too short, the last ones are united at the latest time |
    /// | periodic or round robin | periodic | the rule of [`Refills::update`]: the head, up to the new budget, and the rest a period later |
    /// | round robin | round robin | what is left of the time slice, up to the new one |
    /// | periodic | round robin | the head, up to the new slice, is what is left of the slice; if it is not ready, the slice does not begin before its time |
    /// | not configured | any | a full budget |
    ///
    /// In all cases the amounts add up to the new budget and the head holds at least the smallest budget. In a
    /// window as long as the shorter of the old and the new period, no more is handed out than the larger of
    /// the old and the new budget: the head could have been used without the move as well, never earlier, and
    /// what is not in it comes no earlier than before (same parameters) or a full new period after it.
    ///
    /// Periodic to round robin is the one case in which a round-robin context may not be ready: the caller's
    /// test for readiness after a configuration covers it, and it is ready for good from that time on.
    ///
    /// The ring must hold the old and the new maximum.
    pub fn migrate(
        &mut self,
        budget: Ticks,
        period: Ticks,
        max_refills: u32,
        now: Ticks,
        limits: &Limits,
    ) {
        let stored_period = if budget == period { 0 } else { period };
        if !self.state.is_active() {
            self.new_budget(budget, period, max_refills, now);
        } else if self.state.period == stored_period && self.total() == budget {
            if !self.state.is_round_robin() {
                self.resize(max_refills);
            }
        } else if stored_period != 0 {
            self.keep_head(budget, period, max_refills, now);
        } else {
            let head = self.head();
            self.set_slice(head.time.max(now), budget, head.amount.min(budget));
        }
        debug_assert!(self.as_view().is_well_formed(limits));
    }

    /// Keeps the head, up to `budget`, and has the rest of the budget follow a period later.
    fn keep_head(&mut self, budget: Ticks, period: Ticks, max_refills: u32, now: Ticks) {
        debug_assert!(budget < period && max_refills >= 2);
        let old = self.head();
        let head = Refill {
            time: old.time.max(now),
            amount: old.amount.min(budget),
        };
        self.reset(period, max_refills, head);
        if head.amount < budget {
            self.append(Refill {
                time: head.time.saturating_add(period),
                amount: budget - head.amount,
            });
        }
    }

    /// A round-robin slice of `budget` of which `left` is left, usable from `time` on.
    fn set_slice(&mut self, time: Ticks, budget: Ticks, left: Ticks) {
        self.reset(0, ROUND_ROBIN_REFILLS, Refill { time, amount: left });
        self.state.count = ROUND_ROBIN_REFILLS;
        self.put(
            1,
            Refill {
                time,
                amount: budget - left,
            },
        );
    }

    /// Makes the ring `max_refills` long without changing what it means: if it becomes too short, the last
    /// refills are united, each time at the latest time that they allow.
    fn resize(&mut self, max_refills: u32) {
        debug_assert!(max_refills >= 2);
        if max_refills == self.state.max {
            return;
        }
        let (head, count) = (self.state.head as usize, self.state.count as usize);
        let max = self.state.max as usize;
        if head + count <= max {
            self.ring.copy_within(head..head + count, 0);
        } else {
            self.ring[..max].rotate_left(head);
        }
        self.state.head = 0;
        while self.state.count > max_refills {
            let last = self.at(self.state.count - 1);
            let before = self.at(self.state.count - 2);
            self.state.count -= 1;
            self.put(
                self.state.count - 1,
                Refill {
                    time: last.time - before.amount,
                    amount: before.amount + last.amount,
                },
            );
        }
        self.state.max = max_refills;
    }

    /// Forgets everything and starts with one refill.
    fn reset(&mut self, period: Ticks, max_refills: u32, head: Refill) {
        *self.state = RefillState {
            period,
            max: max_refills,
            count: 1,
            ..RefillState::default()
        };
        self.put(0, head);
    }
}
