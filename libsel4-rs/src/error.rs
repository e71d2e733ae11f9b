//! Errors of invocations, with their operands.

use core::fmt;

use sel4_abi::{ErrorCode, LookupFailureKind};

use crate::message::Message;

/// Why the kernel refused an invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Argument `index` (the methods say which is which) is not one the kernel accepts.
    InvalidArgument {
        /// Which one.
        index: u64,
    },
    /// Capability `index` is not of the right kind: 0 is the invoked one, 1 the first capability argument.
    InvalidCapability {
        /// Which one.
        index: u64,
    },
    /// The operation is not possible in the object's state, or not known to this kind of object.
    IllegalOperation,
    /// A value lies outside `min` to `max`.
    RangeError {
        /// The least that is allowed.
        min: u64,
        /// The greatest that is allowed.
        max: u64,
    },
    /// An address is not aligned as it must be.
    AlignmentError,
    /// A capability address could not be resolved: the source's or, if not `source`, the other one.
    FailedLookup {
        /// Whether it was the source's.
        source: bool,
        /// Why.
        failure: LookupFailure,
    },
    /// The message has too few words or capabilities.
    TruncatedMessage,
    /// Something is where the new thing should go, or a table is full.
    DeleteFirst,
    /// Something is derived from the capability.
    RevokeFirst,
    /// The untyped memory has only `available` bytes left.
    NotEnoughMemory {
        /// Bytes that are free.
        available: u64,
    },
    /// An error code that the interface does not define.
    Unknown {
        /// The code.
        label: u64,
    },
}

impl Error {
    /// Reads an error reply: `Ok` when its label says success.
    pub(crate) fn check(reply: Message) -> Result<Message, Self> {
        match ErrorCode::from_label(reply.label()) {
            Some(ErrorCode::NoError) => Ok(reply),
            code => Err(Self::decode(code, &reply)),
        }
    }

    #[cold]
    fn decode(code: Option<ErrorCode>, reply: &Message) -> Self {
        match code {
            Some(ErrorCode::InvalidArgument) => Self::InvalidArgument {
                index: reply.get(0),
            },
            Some(ErrorCode::InvalidCapability) => Self::InvalidCapability {
                index: reply.get(0),
            },
            Some(ErrorCode::IllegalOperation) => Self::IllegalOperation,
            Some(ErrorCode::RangeError) => Self::RangeError {
                min: reply.get(0),
                max: reply.get(1),
            },
            Some(ErrorCode::AlignmentError) => Self::AlignmentError,
            Some(ErrorCode::FailedLookup) => Self::FailedLookup {
                source: reply.get(0) != 0,
                failure: LookupFailure::decode(reply.get(1), |i| reply.get(2 + i)),
            },
            Some(ErrorCode::TruncatedMessage) => Self::TruncatedMessage,
            Some(ErrorCode::DeleteFirst) => Self::DeleteFirst,
            Some(ErrorCode::RevokeFirst) => Self::RevokeFirst,
            Some(ErrorCode::NotEnoughMemory) => Self::NotEnoughMemory {
                available: reply.get(0),
            },
            Some(ErrorCode::NoError) | None => Self::Unknown {
                label: reply.label(),
            },
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::InvalidArgument { index } => write!(f, "invalid argument {index}"),
            Self::InvalidCapability { index } => write!(f, "invalid capability {index}"),
            Self::IllegalOperation => f.write_str("illegal operation"),
            Self::RangeError { min, max } => write!(f, "out of range {min} to {max}"),
            Self::AlignmentError => f.write_str("not aligned"),
            Self::FailedLookup { source, failure } => {
                let which = if source { "source " } else { "" };
                write!(f, "{which}look-up failed: {failure}")
            }
            Self::TruncatedMessage => f.write_str("truncated message"),
            Self::DeleteFirst => f.write_str("delete first"),
            Self::RevokeFirst => f.write_str("revoke first"),
            Self::NotEnoughMemory { available } => {
                write!(f, "not enough memory: {available} bytes free")
            }
            Self::Unknown { label } => write!(f, "unknown error {label}"),
        }
    }
}

impl core::error::Error for Error {}

/// Why a capability address does not resolve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupFailure {
    /// What should be the root of the look-up is not a CNode (or not a translation root).
    InvalidRoot,
    /// There is no capability, with `bits_left` of the address still to resolve.
    MissingCapability {
        /// How many bits of the address are not resolved.
        bits_left: u64,
    },
    /// A CNode resolves `bits_found` bits, but `bits_left` are left.
    DepthMismatch {
        /// How many bits of the address are not resolved.
        bits_left: u64,
        /// How many bits the CNode resolves.
        bits_found: u64,
    },
    /// The address does not have the guard of the CNode capability.
    GuardMismatch {
        /// How many bits of the address are not resolved.
        bits_left: u64,
        /// The guard of the CNode capability.
        guard: u64,
        /// How many bits it has.
        guard_size: u64,
    },
    /// A kind that the interface does not define.
    Unknown {
        /// The kind.
        kind: u64,
    },
}

impl LookupFailure {
    /// From the kind and the words that follow it.
    pub(crate) fn decode(kind: u64, word: impl Fn(usize) -> u64) -> Self {
        match LookupFailureKind::from_word(kind) {
            Some(LookupFailureKind::InvalidRoot) => Self::InvalidRoot,
            Some(LookupFailureKind::MissingCapability) => {
                Self::MissingCapability { bits_left: word(0) }
            }
            Some(LookupFailureKind::DepthMismatch) => Self::DepthMismatch {
                bits_left: word(0),
                bits_found: word(1),
            },
            Some(LookupFailureKind::GuardMismatch) => Self::GuardMismatch {
                bits_left: word(0),
                guard: word(1),
                guard_size: word(2),
            },
            None => Self::Unknown { kind },
        }
    }
}

impl fmt::Display for LookupFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::InvalidRoot => f.write_str("invalid root"),
            Self::MissingCapability { bits_left } => {
                write!(f, "missing capability ({bits_left} bits left)")
            }
            Self::DepthMismatch {
                bits_left,
                bits_found,
            } => {
                write!(
                    f,
                    "depth mismatch ({bits_left} bits left, {bits_found} found)"
                )
            }
            Self::GuardMismatch {
                bits_left,
                guard,
                guard_size,
            } => {
                write!(
                    f,
                    "guard mismatch ({bits_left} bits left, guard {guard:#x}/{guard_size})"
                )
            }
            Self::Unknown { kind } => write!(f, "unknown failure {kind}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Error, LookupFailure};
    use crate::message::Message;

    #[test]
    fn operands_come_from_the_words() {
        let reply = Message::new(4).words(&[20, 77]);
        assert_eq!(
            Error::check(reply),
            Err(Error::RangeError { min: 20, max: 77 })
        );
        assert_eq!(
            Error::check(Message::new(10).word(5)),
            Err(Error::NotEnoughMemory { available: 5 })
        );
        assert_eq!(Error::check(Message::new(0)), Ok(Message::new(0)));
        assert_eq!(
            Error::check(Message::new(11)),
            Err(Error::Unknown { label: 11 })
        );
    }

    #[test]
    fn a_guard_mismatch_has_its_last_word_in_the_buffer() {
        crate::thread_block::with_test_thread(|| {
            let reply = Message::new(6).words(&[1, 4, 64, 3, 52]);
            let failure = LookupFailure::GuardMismatch {
                bits_left: 64,
                guard: 3,
                guard_size: 52,
            };
            assert_eq!(
                Error::check(reply),
                Err(Error::FailedLookup {
                    source: true,
                    failure
                })
            );
        });
    }
}
