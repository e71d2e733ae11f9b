//! Fault messages: the label says which fault, the words are listed with each.

/// The label of a fault message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum FaultKind {
    NullFault = 0,
    /// Words: fault IP, capability address, 1 in a receive phase, look-up failure kind and its words.
    CapFault = 1,
    /// Words: x0 to x7, fault IP, SP, next PC, SPSR, system call number.
    UnknownSyscall = 2,
    /// Words: fault IP, SP, SPSR, syndrome (ESR bits 31:0), 0.
    UserException = 3,
    /// Words: badge of the scheduling context, microseconds consumed.
    Timeout = 5,
    /// Words: fault IP, address, 1 for an instruction fetch, syndrome (ESR bits 31:0).
    VmFault = 6,
}

impl FaultKind {
    pub const fn from_label(label: u64) -> Option<Self> {
        Some(match label {
            0 => Self::NullFault,
            1 => Self::CapFault,
            2 => Self::UnknownSyscall,
            3 => Self::UserException,
            5 => Self::Timeout,
            6 => Self::VmFault,
            _ => return None,
        })
    }
}

/// Message lengths, and how many reply words are taken back.
pub mod fault_length {
    pub const UNKNOWN_SYSCALL: usize = 13;
    pub const UNKNOWN_SYSCALL_REPLY: usize = 12;
    pub const USER_EXCEPTION: usize = 5;
    pub const USER_EXCEPTION_REPLY: usize = 3;
    pub const TIMEOUT: usize = 2;
    pub const VM_FAULT: usize = 4;
}
