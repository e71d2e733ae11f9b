//! Cores that are threads. Each waits for its input, and whoever drives waits for it: one goes on at a time, and each
//! sees all that was done before. A core ends by unwinding, when nobody is left to send it anything.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

use super::{Cores, Input, Pause, STACK, Stop, Work, run};

/// A thread's stack has to do for the standard library's way through a panic too.
const THREAD_STACK: usize = 8 * STACK;

type Problem = Box<dyn Any + Send>;

pub(super) struct Threads(Vec<Thread>);

struct Thread {
    /// None once the core is to end.
    inputs: Option<SyncSender<Input>>,
    stops: Receiver<Result<Stop, Problem>>,
    handle: Option<JoinHandle<()>>,
}

/// What a core unwinds with when its machine goes.
struct End;

/// A core's end of the channels.
struct Port {
    inputs: Receiver<Input>,
    stops: SyncSender<Result<Stop, Problem>>,
}

impl Port {
    fn input(&self) -> Input {
        match self.inputs.recv() {
            Ok(input) => input,
            Err(_) => panic::resume_unwind(Box::new(End)),
        }
    }
}

impl Pause for Port {
    fn pause(&self, stop: Stop) -> Input {
        // If nobody listens, nobody sends either.
        let _ = self.stops.send(Ok(stop));
        self.input()
    }
}

impl Threads {
    pub(super) fn new(count: usize, work: &Work) -> Self {
        Self((0..count).map(|core| Thread::new(core, work)).collect())
    }
}

impl Thread {
    fn new(core: usize, work: &Work) -> Self {
        let (inputs, port_inputs) = sync_channel(1);
        let (port_stops, stops) = sync_channel(1);
        let port = Port {
            inputs: port_inputs,
            stops: port_stops,
        };
        let work = Arc::clone(work);
        let handle = Builder::new()
            .name(format!("core {core}"))
            .stack_size(THREAD_STACK)
            .spawn(move || {
                let result = panic::catch_unwind(AssertUnwindSafe(|| {
                    port.input();
                    run(core, &port, &work);
                }));
                match result {
                    Err(problem) if !problem.is::<End>() => {
                        let _ = port.stops.send(Err(problem));
                    }
                    _ => {}
                }
            })
            .expect("a thread");
        Self {
            inputs: Some(inputs),
            stops,
            handle: Some(handle),
        }
    }
}

impl Cores for Threads {
    fn resume(&mut self, core: usize, input: Input) -> Stop {
        let thread = &self.0[core];
        let inputs = thread.inputs.as_ref().expect("the core has not ended");
        if inputs.send(input).is_err() {
            unreachable!("a core that has panicked does not go on");
        }
        match thread.stops.recv() {
            Ok(Ok(stop)) => stop,
            Ok(Err(problem)) => panic::resume_unwind(problem),
            Err(_) => unreachable!("a core never ends"),
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        for thread in &mut self.0 {
            thread.inputs = None;
            if let Some(handle) = thread.handle.take() {
                // Its panic has been handed over already.
                let _ = handle.join();
            }
        }
    }
}
