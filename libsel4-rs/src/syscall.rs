//! The system calls of the MCS interface.
//!
//! Sends fail silently where the interface says so: only [`call`] on a kernel object reports an error (use the typed
//! methods of [`crate::Cap`] for those). A capability address that does not resolve, or that cannot be received on,
//! raises a fault of the calling thread.

use sel4_abi::{CPtr, Syscall};

use crate::arch::{self, Registers};
use crate::message::{Message, Received};

const fn receive_registers(source: CPtr) -> Registers {
    Registers {
        x0: source,
        info: 0,
        words: [0; 4],
    }
}

/// `seL4_Call`: sends and waits for the reply (or invokes a kernel object). Needs the write right, and grant or
/// grant-reply for an answer to be possible.
#[inline(always)]
pub fn call(destination: CPtr, message: Message) -> Message {
    let input = message.to_registers(destination);
    Message::from_registers(&arch::exchange(Syscall::Call as i64, input, 0, 0))
}

/// `seL4_Send`: sends, and blocks until somebody receives.
#[inline(always)]
pub fn send(destination: CPtr, message: Message) {
    arch::send_only(Syscall::Send as i64, message.to_registers(destination));
}

/// `seL4_NBSend`: sends if somebody waits for it; otherwise the message is lost.
#[inline(always)]
pub fn nb_send(destination: CPtr, message: Message) {
    arch::send_only(Syscall::NBSend as i64, message.to_registers(destination));
}

/// `seL4_Signal`: adds the badge of the capability to the notification's word and wakes a waiter.
#[inline(always)]
pub fn signal(notification: CPtr) {
    arch::send_only(Syscall::Send as i64, receive_registers(notification));
}

/// `seL4_Recv`: waits for a message on an endpoint (or for a notification); `reply` will hold the caller.
#[inline(always)]
pub fn recv(source: CPtr, reply: CPtr) -> Received {
    let output = arch::exchange(Syscall::Recv as i64, receive_registers(source), reply, 0);
    Received::from_registers(&output)
}

/// `seL4_NBRecv`: as [`recv`] if something is there; otherwise badge 0 and an empty message.
#[inline(always)]
pub fn nb_recv(source: CPtr, reply: CPtr) -> Received {
    let output = arch::exchange(Syscall::NBRecv as i64, receive_registers(source), reply, 0);
    Received::from_registers(&output)
}

/// `seL4_Wait`: waits for a notification, or for a message that needs no answer (a caller would become inactive).
#[inline(always)]
pub fn wait(source: CPtr) -> Received {
    let output = arch::exchange(Syscall::Wait as i64, receive_registers(source), 0, 0);
    Received::from_registers(&output)
}

/// `seL4_NBWait`, also called `seL4_Poll`: as [`wait`] if something is there; otherwise badge 0 and an empty message.
#[inline(always)]
pub fn nb_wait(source: CPtr) -> Received {
    let output = arch::exchange(Syscall::NBWait as i64, receive_registers(source), 0, 0);
    Received::from_registers(&output)
}

/// `seL4_ReplyRecv`: answers the caller that `reply` holds, then waits on `source` with the same reply object, in one
/// step.
#[inline(always)]
pub fn reply_recv(source: CPtr, message: Message, reply: CPtr) -> Received {
    let input = message.to_registers(source);
    Received::from_registers(&arch::exchange(Syscall::ReplyRecv as i64, input, reply, 0))
}

/// `seL4_NBSendRecv`: sends to `destination` if it can be taken at once, then waits on `source`, in one step.
#[inline(always)]
pub fn nb_send_recv(destination: CPtr, message: Message, source: CPtr, reply: CPtr) -> Received {
    let input = message.to_registers(source);
    let output = arch::exchange(Syscall::NBSendRecv as i64, input, reply, destination);
    Received::from_registers(&output)
}

/// `seL4_NBSendWait`: as [`nb_send_recv`], but waits without a reply object.
#[inline(always)]
pub fn nb_send_wait(destination: CPtr, message: Message, source: CPtr) -> Received {
    let input = message.to_registers(source);
    Received::from_registers(&arch::exchange(
        Syscall::NBSendWait as i64,
        input,
        destination,
        0,
    ))
}

/// `seL4_Yield`: gives up what is left of the current refill. A round-robin thread goes to the end of its priority's
/// queue; a thread with a smaller budget than period waits for its next refill.
#[inline(always)]
pub fn yield_now() {
    arch::trap_number_only(Syscall::Yield as i64);
}

#[cfg(test)]
mod tests {
    use super::{nb_send_recv, nb_send_wait, reply_recv, signal};
    use crate::arch::{Registers, with_kernel};
    use crate::message::Message;

    #[test]
    fn combined_calls_put_their_capabilities_in_the_right_registers() {
        let echo = |number: i64, input: Registers, x6: u64, x8: u64| Registers {
            x0: number as u64,
            info: input.x0,
            words: [x6, x8, input.info, input.words[0]],
        };
        let message = Message::new(3).word(42);
        let info = message.info().0;
        with_kernel(echo, || {
            let seen = reply_recv(10, message, 11);
            assert_eq!(seen.badge as i64, -2);
            assert_eq!(seen.message.info().0, 10);
            assert_eq!(seen.message.registers(), [11, 0, info, 42]);
            let seen = nb_send_recv(12, message, 10, 11);
            assert_eq!(seen.badge as i64, -3);
            assert_eq!(seen.message.info().0, 10);
            assert_eq!(seen.message.registers(), [11, 12, info, 42]);
            let seen = nb_send_wait(12, message, 10);
            assert_eq!(seen.badge as i64, -4);
            assert_eq!(seen.message.registers(), [12, 0, info, 42]);
        });
    }

    #[test]
    fn a_signal_is_a_send_of_nothing() {
        let check = |number: i64, input: Registers, _: u64, _: u64| {
            assert_eq!((number, input.x0, input.info), (-5, 7, 0));
            input
        };
        with_kernel(check, || signal(7));
    }
}
