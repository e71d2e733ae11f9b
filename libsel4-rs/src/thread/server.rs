//! Passive servers: threads without time of their own, which run on what their callers lend them.

use super::{Thread, ThreadBuilder};
use crate::cap::{Cap, Endpoint, Reply, Tcb};
use crate::error::Error;
use crate::message::{Message, Received};
use crate::system::{ResourceError, System};

/// A thread that answers calls to an endpoint and has no scheduling context: it runs on its caller's, on the caller's
/// core, and the caller's budget pays.
pub struct PassiveServer {
    thread: Thread<()>,
    endpoint: Cap<Endpoint>,
    reply: Cap<Reply>,
}

impl PassiveServer {
    /// Makes the thread, lets it come to its first receive, and takes its time away. (Its core and budget only matter
    /// until then.) The calling thread blocks meanwhile.
    ///
    /// # Errors
    /// No slots, memory or addresses.
    pub fn spawn<F>(
        builder: &ThreadBuilder,
        system: &mut System,
        mut answer: F,
    ) -> Result<Self, ResourceError>
    where
        F: FnMut(Received) -> Message + Send + 'static,
    {
        let endpoint = system.endpoint()?;
        let reply = system.reply()?;
        let ready = system.notification()?;
        let mut thread = builder.spawn(system, move || {
            // Signal and receive are one step: who sees the signal finds the thread waiting.
            let mut received = crate::syscall::nb_send_recv(
                ready.bits(),
                Message::new(0),
                endpoint.bits(),
                reply.bits(),
            );
            loop {
                received = endpoint.reply_recv(answer(received), reply);
            }
        })?;
        ready.wait();
        if let Some(first) = thread.rebind(None)? {
            first.destroy(system)?;
        }
        system.destroy(ready)?;
        Ok(Self {
            thread,
            endpoint,
            reply,
        })
    }

    /// Where it is called.
    pub fn endpoint(&self) -> Cap<Endpoint> {
        self.endpoint
    }

    /// Its control block.
    pub fn tcb(&self) -> Cap<Tcb> {
        self.thread.tcb()
    }

    /// The core it belongs to at the moment, as the kernel has it: needs a kernel with debug calls.
    pub fn affinity(&self) -> Option<usize> {
        self.thread.affinity()
    }

    /// `seL4_TCB_SetPriority`.
    ///
    /// # Errors
    /// None of its own.
    pub fn set_priority(&self, priority: u8) -> Result<(), Error> {
        self.thread.set_priority(priority)
    }

    /// Stops it and takes its memory back. A caller that waits for an answer never gets one.
    ///
    /// # Errors
    /// Of the kernel's revoke.
    pub fn destroy(self, system: &mut System) -> Result<(), ResourceError> {
        self.thread.destroy(system)?;
        system.destroy(self.reply)?;
        system.destroy(self.endpoint)
    }
}
