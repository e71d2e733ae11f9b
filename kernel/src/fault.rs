//! The two kinds of failure that user level sees: a [`SysError`] is the caller's mistake and is answered to it; a
//! [`Fault`] goes to the thread's handler. Kernel bugs are neither: they panic.

use sel4_abi::{ErrorCode, LookupFailureKind};

/// Why a capability address did not resolve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupFailure {
    InvalidRoot,
    MissingCapability {
        bits_left: u64,
    },
    DepthMismatch {
        bits_left: u64,
        bits_found: u64,
    },
    GuardMismatch {
        bits_left: u64,
        guard: u64,
        guard_size: u64,
    },
}

impl LookupFailure {
    /// Kind, then its words: how many, and which.
    pub fn words(self) -> (usize, [u64; 4]) {
        use LookupFailureKind as Kind;
        match self {
            Self::InvalidRoot => (1, [Kind::InvalidRoot as u64, 0, 0, 0]),
            Self::MissingCapability { bits_left } => {
                (2, [Kind::MissingCapability as u64, bits_left, 0, 0])
            }
            Self::DepthMismatch {
                bits_left,
                bits_found,
            } => (3, [Kind::DepthMismatch as u64, bits_left, bits_found, 0]),
            Self::GuardMismatch {
                bits_left,
                guard,
                guard_size,
            } => (
                4,
                [Kind::GuardMismatch as u64, bits_left, guard, guard_size],
            ),
        }
    }
}

/// The caller's mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SysError {
    InvalidArgument(u64),
    InvalidCapability(u64),
    IllegalOperation,
    RangeError {
        min: u64,
        max: u64,
    },
    AlignmentError,
    FailedLookup {
        source: bool,
        failure: LookupFailure,
    },
    TruncatedMessage,
    DeleteFirst,
    RevokeFirst,
    NotEnoughMemory {
        free: u64,
    },
}

impl SysError {
    pub fn code(self) -> ErrorCode {
        match self {
            Self::InvalidArgument(_) => ErrorCode::InvalidArgument,
            Self::InvalidCapability(_) => ErrorCode::InvalidCapability,
            Self::IllegalOperation => ErrorCode::IllegalOperation,
            Self::RangeError { .. } => ErrorCode::RangeError,
            Self::AlignmentError => ErrorCode::AlignmentError,
            Self::FailedLookup { .. } => ErrorCode::FailedLookup,
            Self::TruncatedMessage => ErrorCode::TruncatedMessage,
            Self::DeleteFirst => ErrorCode::DeleteFirst,
            Self::RevokeFirst => ErrorCode::RevokeFirst,
            Self::NotEnoughMemory { .. } => ErrorCode::NotEnoughMemory,
        }
    }

    /// The words that go with the code: how many, and which.
    pub fn words(self) -> (usize, [u64; 5]) {
        match self {
            Self::InvalidArgument(n) | Self::InvalidCapability(n) => (1, [n, 0, 0, 0, 0]),
            Self::RangeError { min, max } => (2, [min, max, 0, 0, 0]),
            Self::FailedLookup { source, failure } => {
                let (count, w) = failure.words();
                (1 + count, [u64::from(source), w[0], w[1], w[2], w[3]])
            }
            Self::NotEnoughMemory { free } => (1, [free, 0, 0, 0, 0]),
            Self::IllegalOperation
            | Self::AlignmentError
            | Self::TruncatedMessage
            | Self::DeleteFirst
            | Self::RevokeFirst => (0, [0; 5]),
        }
    }
}

/// Something that a thread's fault handler must deal with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    Cap {
        address: u64,
        in_receive: bool,
        failure: LookupFailure,
    },
    UnknownSyscall {
        number: u64,
    },
    UserException {
        syndrome: u32,
    },
    Timeout {
        badge: u64,
    },
    Vm {
        address: u64,
        instruction: bool,
        syndrome: u32,
    },
}
