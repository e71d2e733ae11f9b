//! Cores that are coroutines on one thread.

use std::sync::Arc;

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};

use super::{Cores, Input, Pause, STACK, Stop, Work, run};

type Task = Coroutine<Input, Stop, (), DefaultStack>;

pub(super) struct Coroutines(Vec<Task>);

impl Coroutines {
    pub(super) fn new(count: usize, work: &Work) -> Self {
        let task = |core: usize| {
            let stack = DefaultStack::new(STACK).expect("memory for a stack");
            let work = Arc::clone(work);
            Coroutine::with_stack(stack, move |yielder: &Yielder<Input, Stop>, _| {
                run(core, yielder, &work);
            })
        };
        Self((0..count).map(task).collect())
    }
}

impl Pause for Yielder<Input, Stop> {
    fn pause(&self, stop: Stop) -> Input {
        self.suspend(stop)
    }
}

impl Cores for Coroutines {
    fn resume(&mut self, core: usize, input: Input) -> Stop {
        match self.0[core].resume(input) {
            CoroutineResult::Yield(stop) => stop,
            CoroutineResult::Return(()) => unreachable!("a core never ends"),
        }
    }
}

impl Drop for Coroutines {
    fn drop(&mut self) {
        for task in &mut self.0 {
            if task.started() && !task.done() {
                // SAFETY: what the frames on the stack own is not missed: the kernel's nothing, and the outermost a
                // reference to `work`.
                unsafe { task.force_reset() };
            }
        }
    }
}
