//! Error codes of invocations, and why a capability look-up failed.

/// The label of the reply to an invocation: 0 is success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum ErrorCode {
    NoError = 0,
    /// Word 0: which argument.
    InvalidArgument = 1,
    /// Word 0: which capability; 0 is the invoked one.
    InvalidCapability = 2,
    IllegalOperation = 3,
    /// Words 0 and 1: the least and the greatest value allowed.
    RangeError = 4,
    AlignmentError = 5,
    /// Word 0: 1 for a source slot; word 1: a [`LookupFailureKind`]; then its words.
    FailedLookup = 6,
    TruncatedMessage = 7,
    DeleteFirst = 8,
    RevokeFirst = 9,
    /// Word 0: bytes that are free.
    NotEnoughMemory = 10,
}

impl ErrorCode {
    pub const fn from_label(label: u64) -> Option<Self> {
        Some(match label {
            0 => Self::NoError,
            1 => Self::InvalidArgument,
            2 => Self::InvalidCapability,
            3 => Self::IllegalOperation,
            4 => Self::RangeError,
            5 => Self::AlignmentError,
            6 => Self::FailedLookup,
            7 => Self::TruncatedMessage,
            8 => Self::DeleteFirst,
            9 => Self::RevokeFirst,
            10 => Self::NotEnoughMemory,
            _ => return None,
        })
    }
}

/// Why a capability address did not resolve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum LookupFailureKind {
    InvalidRoot = 1,
    /// One word: bits left.
    MissingCapability = 2,
    /// Two words: bits left, bits found.
    DepthMismatch = 3,
    /// Three words: bits left, guard, guard size.
    GuardMismatch = 4,
}

impl LookupFailureKind {
    pub const fn from_word(word: u64) -> Option<Self> {
        Some(match word {
            1 => Self::InvalidRoot,
            2 => Self::MissingCapability,
            3 => Self::DepthMismatch,
            4 => Self::GuardMismatch,
            _ => return None,
        })
    }
}
