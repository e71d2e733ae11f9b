//! Endpoints, notifications and reply objects: the system calls as methods.

use crate::cap::{Cap, Endpoint, Notification, Reply};
use crate::message::{Message, Received};
use crate::syscall;

impl Cap<Endpoint> {
    /// [`syscall::call`]: sends and waits for the answer.
    #[inline(always)]
    pub fn call(self, message: Message) -> Message {
        syscall::call(self.bits(), message)
    }

    /// [`syscall::send`]: sends; blocks until somebody receives.
    #[inline(always)]
    pub fn send(self, message: Message) {
        syscall::send(self.bits(), message);
    }

    /// [`syscall::nb_send`]: sends if somebody waits.
    #[inline(always)]
    pub fn nb_send(self, message: Message) {
        syscall::nb_send(self.bits(), message);
    }

    /// [`syscall::recv`]: waits for a message.
    #[inline(always)]
    pub fn recv(self, reply: Cap<Reply>) -> Received {
        syscall::recv(self.bits(), reply.bits())
    }

    /// [`syscall::nb_recv`]: takes a message if one waits.
    #[inline(always)]
    pub fn nb_recv(self, reply: Cap<Reply>) -> Received {
        syscall::nb_recv(self.bits(), reply.bits())
    }

    /// [`syscall::wait`]: waits for a message that needs no answer.
    #[inline(always)]
    pub fn wait(self) -> Received {
        syscall::wait(self.bits())
    }

    /// [`syscall::nb_wait`]: takes a message that needs no answer, if one waits.
    #[inline(always)]
    pub fn poll(self) -> Received {
        syscall::nb_wait(self.bits())
    }

    /// [`syscall::reply_recv`]: answers the caller in `reply`, then waits here.
    #[inline(always)]
    pub fn reply_recv(self, message: Message, reply: Cap<Reply>) -> Received {
        syscall::reply_recv(self.bits(), message, reply.bits())
    }
}

impl Cap<Notification> {
    /// [`syscall::signal`].
    #[inline(always)]
    pub fn signal(self) {
        syscall::signal(self.bits());
    }

    /// [`syscall::wait`]: waits for a signal; returns and clears the word.
    #[inline(always)]
    pub fn wait(self) -> u64 {
        syscall::wait(self.bits()).badge
    }

    /// [`syscall::nb_wait`]: the word, which is cleared; 0 when there was no signal.
    #[inline(always)]
    pub fn poll(self) -> u64 {
        syscall::nb_wait(self.bits()).badge
    }
}

impl Cap<Reply> {
    /// Answers the thread that the object holds; nothing if it holds none.
    #[inline(always)]
    pub fn send(self, message: Message) {
        syscall::send(self.bits(), message);
    }
}
