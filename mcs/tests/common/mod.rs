//! The reference model of the refill rules: a plain list, one step at a time, no ring and no shortcuts.
//!
//! Written from the rules and not from the implementation, so that a mistake has to be made twice.

/// A scheduling context.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Model {
    pub(crate) budget: u64,
    pub(crate) period: u64,
    pub(crate) round_robin: bool,
    pub(crate) max: usize,
    /// (time, amount), head first.
    pub(crate) queue: Vec<(u64, u64)>,
    pub(crate) min: u64,
    pub(crate) max_release: u64,
}

impl Model {
    pub(crate) fn new(
        budget: u64,
        period: u64,
        max: usize,
        now: u64,
        min: u64,
        max_release: u64,
    ) -> Model {
        let mut model = Model {
            budget,
            period,
            round_robin: false,
            max,
            queue: Vec::new(),
            min,
            max_release,
        };
        model.fresh(budget, period, max, now);
        model
    }

    pub(crate) fn ready(&self, now: u64) -> bool {
        self.queue[0].0 <= now
    }

    pub(crate) fn sufficient(&self, usage: u64) -> bool {
        let head = self.queue[0].1;
        head >= usage && head - usage >= self.min
    }

    pub(crate) fn fresh(&mut self, budget: u64, period: u64, max: usize, now: u64) {
        self.parameters(budget, period, max);
        self.queue = vec![(now, budget)];
        if self.round_robin {
            self.queue.push((now, 0));
        }
    }

    pub(crate) fn update(&mut self, budget: u64, period: u64, max: usize, now: u64) {
        if budget == period {
            return self.fresh(budget, period, max, now);
        }
        self.parameters(budget, period, max);
        self.queue.truncate(1);
        if self.ready(now) {
            self.queue[0].0 = now;
        }
        let (time, amount) = self.queue[0];
        if amount >= budget {
            self.queue[0].1 = budget;
        } else {
            self.queue.push((time + period, budget - amount));
        }
    }

    pub(crate) fn migrate(&mut self, budget: u64, period: u64, max: usize, now: u64) {
        let same = budget == self.budget && period == self.period;
        if same && self.round_robin {
            return;
        }
        if same {
            self.max = max;
            while self.queue.len() > max {
                let last = self.queue.pop().unwrap();
                let before = self.queue.last_mut().unwrap();
                *before = (last.0 - before.1, before.1 + last.1);
            }
        } else if budget < period {
            self.update(budget, period, max, now);
        } else {
            let start = if self.ready(now) {
                now
            } else {
                self.queue[0].0
            };
            let left = self.queue[0].1.min(budget);
            self.parameters(budget, period, max);
            self.queue = vec![(start, left), (start, budget - left)];
        }
    }

    pub(crate) fn charge(&mut self, mut usage: u64) {
        if self.round_robin {
            self.queue[0].1 += self.queue[1].1;
            self.queue[1].1 = 0;
            return;
        }
        while self.queue[0].1 <= usage && self.queue[0].0 < self.max_release {
            usage -= self.queue[0].1;
            if self.queue.len() == 1 {
                self.queue[0].0 += self.period;
            } else {
                let (time, amount) = self.queue.remove(0);
                self.schedule_used(time + self.period, amount);
            }
        }
        if usage > 0 && self.queue[0].0 < self.max_release {
            let again = self.queue[0].0 + self.period;
            self.queue[0].1 -= usage;
            self.queue[0].0 += usage;
            self.schedule_used(again, usage);
        }
        while self.queue[0].1 < self.min {
            let small = self.queue.remove(0);
            self.queue[0].1 += small.1;
            self.queue[0].0 -= small.1;
        }
    }

    pub(crate) fn commit(&mut self, usage: u64) -> bool {
        if !self.round_robin {
            if usage > 0 {
                self.charge(usage);
            }
            false
        } else if self.sufficient(usage) {
            self.queue[0].1 -= usage;
            self.queue[1].1 += usage;
            false
        } else {
            self.charge(usage);
            true
        }
    }

    pub(crate) fn yield_head(&mut self, consumed: u64) {
        self.charge(consumed.max(self.queue[0].1));
    }

    pub(crate) fn unblock(&mut self, now: u64) -> bool {
        if self.round_robin || !self.ready(now) {
            return false;
        }
        let before = self.queue[0];
        self.queue[0].0 = now;
        while self.queue.len() > 1 && self.queue[1].0 <= self.queue[0].0 + self.queue[0].1 {
            let head = self.queue.remove(0);
            self.queue[0] = (head.0, self.queue[0].1 + head.1);
        }
        before != self.queue[0]
    }

    /// Panics unless what must always hold does.
    pub(crate) fn check(&self) {
        let sum: u64 = self.queue.iter().map(|r| r.1).sum();
        assert_eq!(sum, self.budget, "sum of {:?}", self.queue);
        assert!(self.queue[0].1 >= self.min, "head of {:?}", self.queue);
        assert!(self.queue.len() <= self.max, "length of {:?}", self.queue);
        if self.round_robin {
            assert_eq!(self.queue.len(), 2);
        } else {
            for pair in self.queue.windows(2) {
                assert!(
                    pair[0].0 + pair[0].1 <= pair[1].0,
                    "overlap in {:?}",
                    self.queue
                );
            }
        }
    }

    fn parameters(&mut self, budget: u64, period: u64, max: usize) {
        self.budget = budget;
        self.period = period;
        self.round_robin = budget == period;
        self.max = if self.round_robin { 2 } else { max };
    }

    fn schedule_used(&mut self, time: u64, amount: u64) {
        let room = self.queue.len() < self.max;
        let tail = self.queue.last_mut().unwrap();
        if tail.0 + tail.1 >= time {
            tail.1 += amount;
        } else if room {
            self.queue.push((time, amount));
        } else {
            *tail = (time - tail.1, tail.1 + amount);
        }
    }
}
