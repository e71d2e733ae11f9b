//! Where two states differ, in words.

use std::fmt::Debug;

use crate::model::{Context, Core, Endpoint, Notification, Reply, State, Table, Thread, Word};

/// The first difference between the model's state and the kernel's, if there is one. Objects that only one of them has
/// are outside the model.
pub(super) fn states(model: &State, kernel: &State) -> Option<String> {
    let mut found = Differences::default();
    for (index, (model, kernel)) in model.cores.iter().zip(&kernel.cores).enumerate() {
        found.object = ("core", index);
        found.cores(model, kernel);
    }
    found.each(
        "thread",
        &model.threads,
        &kernel.threads,
        Differences::threads,
    );
    found.each(
        "endpoint",
        &model.endpoints,
        &kernel.endpoints,
        Differences::endpoints,
    );
    found.each(
        "notification",
        &model.notifications,
        &kernel.notifications,
        Differences::notifications,
    );
    found.each(
        "reply",
        &model.replies,
        &kernel.replies,
        Differences::replies,
    );
    found.each(
        "context",
        &model.contexts,
        &kernel.contexts,
        Differences::contexts,
    );
    (!found.all.is_empty()).then(|| found.all.join("; "))
}

#[derive(Default)]
struct Differences {
    object: (&'static str, usize),
    all: Vec<String>,
}

impl Differences {
    fn each<T>(
        &mut self,
        kind: &'static str,
        model: &Table<T>,
        kernel: &Table<T>,
        compare: fn(&mut Self, &T, &T),
    ) {
        for (id, model) in model.iter() {
            if let Some(kernel) = kernel.get(id) {
                self.object = (kind, id);
                compare(self, model, kernel);
            }
        }
    }

    fn field<T: PartialEq + Debug>(&mut self, name: &str, model: &T, kernel: &T) {
        if model != kernel {
            self.note(name, model, kernel);
        }
    }

    fn word(&mut self, name: &str, model: Word, kernel: Word) {
        if !model.agrees(kernel) {
            self.note(name, &model, &kernel);
        }
    }

    fn note(&mut self, name: &str, model: &dyn Debug, kernel: &dyn Debug) {
        let (kind, id) = self.object;
        self.all.push(format!(
            "{kind} {id:#x}: {name} is {kernel:x?}, the model says {model:x?}"
        ));
    }

    fn cores(&mut self, model: &Core, kernel: &Core) {
        self.field("the running thread", &model.current, &kernel.current);
        self.field("the payer", &model.payer, &kernel.payer);
        self.field("the ready queue", &model.ready, &kernel.ready);
        // In the order of their refills, which others check.
        let sorted = |queue: &[usize]| {
            let mut queue = queue.to_vec();
            queue.sort_unstable();
            queue
        };
        self.field(
            "the release queue",
            &sorted(&model.release),
            &sorted(&kernel.release),
        );
    }

    fn threads(&mut self, model: &Thread, kernel: &Thread) {
        self.field("what it does", &model.doing, &kernel.doing);
        self.field("priority", &model.priority, &kernel.priority);
        self.field("greatest priority", &model.mcp, &kernel.mcp);
        self.field("affinity", &model.affinity, &kernel.affinity);
        self.field("context", &model.context, &kernel.context);
        self.field("bound notification", &model.bound, &kernel.bound);
        self.field("reply object", &model.reply, &kernel.reply);
        self.field("yielded to", &model.yield_to, &kernel.yield_to);
        self.field("fault", &model.fault, &kernel.fault);
        for (index, (model, kernel)) in model.x.iter().zip(&kernel.x).enumerate() {
            self.word(&format!("x{index}"), *model, *kernel);
        }
        self.word("fault IP", model.fault_ip, kernel.fault_ip);
        self.word("next IP", model.next_ip, kernel.next_ip);
        self.word("SP", model.sp, kernel.sp);
        self.word("status", model.spsr, kernel.spsr);
        let handlers = |thread: &Thread| {
            [thread.handler, thread.timeout].map(|handler| {
                handler.map(|handler| (handler.endpoint, handler.badge, handler.rights))
            })
        };
        self.field("handlers", &handlers(model), &handlers(kernel));
    }

    fn endpoints(&mut self, model: &Endpoint, kernel: &Endpoint) {
        self.field("queue", &model.queue, &kernel.queue);
        if !model.queue.is_empty() {
            self.field("direction", &model.receiving, &kernel.receiving);
        }
    }

    fn notifications(&mut self, model: &Notification, kernel: &Notification) {
        self.field("word", &model.word, &kernel.word);
        self.field("queue", &model.queue, &kernel.queue);
        self.field("bound thread", &model.bound, &kernel.bound);
        self.field("context", &model.context, &kernel.context);
    }

    fn replies(&mut self, model: &Reply, kernel: &Reply) {
        self.field("thread", &model.thread, &kernel.thread);
        self.field("below", &model.below, &kernel.below);
        self.field("above", &model.above, &kernel.above);
    }

    fn contexts(&mut self, model: &Context, kernel: &Context) {
        self.field("active", &model.active, &kernel.active);
        self.field("round robin", &model.round_robin, &kernel.round_robin);
        self.field("core", &model.core, &kernel.core);
        self.field("badge", &model.badge, &kernel.badge);
        self.field("thread", &model.thread, &kernel.thread);
        self.field("notification", &model.notification, &kernel.notification);
        self.field("newest call", &model.stack, &kernel.stack);
        self.field("who yielded", &model.yield_from, &kernel.yield_from);
    }
}
