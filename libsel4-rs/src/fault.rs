//! Faults, as their handlers receive them.
//!
//! A fault of a thread is a message to the endpoint in its control block, with the badge of that capability and the
//! kind of fault as its label. Answering it through the reply object lets the thread go on; what the answer's words
//! mean depends on the fault.

use core::fmt;

use sel4_abi::{FaultKind, fault_length};

use crate::error::LookupFailure;
use crate::message::{Message, Received};

/// Why a thread stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A system call named a capability that does not resolve, or that cannot be received on. Any answer lets the
    /// thread try again.
    CapFault {
        /// Where the system call is.
        ip: u64,
        /// The capability address.
        cptr: u64,
        /// Whether it was to be received on.
        in_receive: bool,
        /// What is wrong with it.
        failure: LookupFailure,
    },
    /// A system call that the kernel does not have. An answer with label 0 sets x0 to x7, instruction pointer, stack
    /// pointer, next instruction pointer and flags from its words and lets the thread go on.
    UnknownSyscall {
        /// x0 to x7.
        registers: [u64; 8],
        /// Where the system call is: to skip it, answer with this plus 4 as word 8.
        ip: u64,
        /// The stack pointer.
        sp: u64,
        /// The instruction after the system call.
        next_ip: u64,
        /// The processor state.
        spsr: u64,
        /// The number in x7.
        number: i64,
    },
    /// An instruction that the processor refuses. An answer with label 0 sets instruction pointer, stack pointer and
    /// flags from its words and lets the thread go on.
    UserException {
        /// Where it is.
        ip: u64,
        /// The stack pointer.
        sp: u64,
        /// The processor state.
        spsr: u64,
        /// ESR, bits 31 to 0.
        syndrome: u64,
    },
    /// The budget is used up. An answer with label 0 lets the thread go on when the budget is there again.
    Timeout {
        /// The badge of the scheduling context.
        badge: u64,
        /// Microseconds charged to it since that was last asked.
        consumed: u64,
    },
    /// An address that is not mapped, or not for this. Any answer lets the thread try again.
    VmFault {
        /// The instruction.
        ip: u64,
        /// The address.
        address: u64,
        /// Whether the address was fetched from.
        is_instruction: bool,
        /// ESR, bits 31 to 0.
        syndrome: u64,
    },
}

impl Fault {
    /// The fault that a message tells of; `None` when its label or length is not that of a fault. An endpoint that
    /// gets faults should only get faults, or tell them by badge: any sender can choose these labels.
    pub fn from_message(message: &Message) -> Option<Self> {
        let word = |index| message.get(index);
        let has = |length| message.length() >= length;
        Some(match FaultKind::from_label(message.label())? {
            FaultKind::CapFault if has(4) => Self::CapFault {
                ip: word(0),
                cptr: word(1),
                in_receive: word(2) != 0,
                failure: LookupFailure::decode(word(3), |index| word(4 + index)),
            },
            FaultKind::UnknownSyscall if has(fault_length::UNKNOWN_SYSCALL) => {
                Self::UnknownSyscall {
                    registers: core::array::from_fn(word),
                    ip: word(8),
                    sp: word(9),
                    next_ip: word(10),
                    spsr: word(11),
                    number: word(12) as i64,
                }
            }
            FaultKind::UserException if has(fault_length::USER_EXCEPTION - 1) => {
                Self::UserException {
                    ip: word(0),
                    sp: word(1),
                    spsr: word(2),
                    syndrome: word(3),
                }
            }
            FaultKind::Timeout if has(1) => Self::Timeout {
                badge: word(0),
                consumed: word(1),
            },
            FaultKind::VmFault if has(fault_length::VM_FAULT) => Self::VmFault {
                ip: word(0),
                address: word(1),
                is_instruction: word(2) != 0,
                syndrome: word(3),
            },
            _ => return None,
        })
    }

    /// [`Fault::from_message`] of what was received.
    pub fn from_received(received: &Received) -> Option<Self> {
        Self::from_message(&received.message)
    }

    /// The answer that makes the thread skip the faulting instruction, for the faults whose answer can.
    ///
    /// For an unknown system call it has nine words, so it goes through the running thread's IPC buffer.
    pub fn skip(&self) -> Option<Message> {
        match *self {
            Self::UnknownSyscall { registers, ip, .. } => {
                Some(Message::new(0).words(&registers).word(ip + 4))
            }
            Self::UserException { ip, .. } => Some(Message::new(0).word(ip + 4)),
            Self::CapFault { .. } | Self::Timeout { .. } | Self::VmFault { .. } => None,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::CapFault {
                ip, cptr, failure, ..
            } => {
                write!(f, "capability fault at {ip:#x}: {cptr:#x}: {failure}")
            }
            Self::UnknownSyscall { ip, number, .. } => {
                write!(f, "unknown system call {number} at {ip:#x}")
            }
            Self::UserException { ip, syndrome, .. } => {
                write!(f, "user exception at {ip:#x}, syndrome {syndrome:#x}")
            }
            Self::Timeout { badge, consumed } => {
                write!(
                    f,
                    "time-out of scheduling context {badge} after {consumed} us"
                )
            }
            Self::VmFault {
                ip,
                address,
                is_instruction,
                syndrome,
            } => {
                let what = if is_instruction { "fetch" } else { "access" };
                write!(
                    f,
                    "memory fault at {ip:#x}: {what} of {address:#x}, syndrome {syndrome:#x}"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Fault;
    use crate::error::LookupFailure;
    use crate::message::Message;
    use crate::thread_block::with_test_thread;

    #[test]
    fn a_memory_fault_is_read() {
        let message = Message::new(6).words(&[0x200000, 0xdead, 0, 0x92000046]);
        let fault = Fault::VmFault {
            ip: 0x200000,
            address: 0xdead,
            is_instruction: false,
            syndrome: 0x9200_0046,
        };
        assert_eq!(Fault::from_message(&message), Some(fault));
        assert_eq!(fault.skip(), None);
    }

    #[test]
    fn a_capability_fault_is_read() {
        with_test_thread(|| {
            let message = Message::new(1).words(&[0x200000, 99, 1, 2, 52]);
            let failure = LookupFailure::MissingCapability { bits_left: 52 };
            let fault = Fault::CapFault {
                ip: 0x200000,
                cptr: 99,
                in_receive: true,
                failure,
            };
            assert_eq!(Fault::from_message(&message), Some(fault));
        });
    }

    #[test]
    fn an_unknown_system_call_is_read_and_skipped() {
        with_test_thread(|| {
            let words = [
                0,
                1,
                2,
                3,
                4,
                5,
                6,
                -12_i64 as u64,
                0x200000,
                0x8000,
                0x200004,
                0x40,
            ];
            let message = Message::new(2).words(&words).word(-12_i64 as u64);
            let fault = Fault::from_message(&message).unwrap();
            assert!(matches!(
                fault,
                Fault::UnknownSyscall {
                    number: -12,
                    next_ip: 0x200004,
                    ..
                }
            ));
            let answer = fault.skip().unwrap();
            assert_eq!(
                (answer.label(), answer.length(), answer.get(8)),
                (0, 9, 0x200004)
            );
        });
    }

    #[test]
    fn other_messages_are_no_faults() {
        for message in [
            Message::new(0),
            Message::new(4),
            Message::new(6).word(1),
            Message::new(77),
        ] {
            assert_eq!(Fault::from_message(&message), None);
        }
    }

    #[test]
    fn a_timeout_may_lack_its_second_word() {
        let fault = Fault::from_message(&Message::new(5).word(7));
        assert_eq!(
            fault,
            Some(Fault::Timeout {
                badge: 7,
                consumed: 0
            })
        );
    }
}
