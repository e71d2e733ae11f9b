//! System call numbers, passed in x7 and compared as full 64-bit two's-complement values.

/// The system calls of the MCS interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i64)]
pub enum Syscall {
    Call = -1,
    ReplyRecv = -2,
    NBSendRecv = -3,
    NBSendWait = -4,
    Send = -5,
    NBSend = -6,
    Recv = -7,
    NBRecv = -8,
    Wait = -9,
    NBWait = -10,
    Yield = -11,
}

impl Syscall {
    /// The system call with this number, if it is one.
    pub const fn from_number(number: i64) -> Option<Self> {
        Some(match number {
            -1 => Self::Call,
            -2 => Self::ReplyRecv,
            -3 => Self::NBSendRecv,
            -4 => Self::NBSendWait,
            -5 => Self::Send,
            -6 => Self::NBSend,
            -7 => Self::Recv,
            -8 => Self::NBRecv,
            -9 => Self::Wait,
            -10 => Self::NBWait,
            -11 => Self::Yield,
            _ => return None,
        })
    }
}

/// Calls that exist in some kernel configurations only; elsewhere they are unknown system calls.
pub mod debug_syscall {
    /// x0: the character. Needs `PRINTING`.
    pub const PUT_CHAR: i64 = -12;
    /// Needs `PRINTING`; prints in `DEBUG_BUILD` only.
    pub const DUMP_SCHEDULER: i64 = -13;
    /// Needs `DEBUG_BUILD`, like all below.
    pub const HALT: i64 = -14;
    pub const CAP_IDENTIFY: i64 = -15;
    pub const SNAPSHOT: i64 = -16;
    pub const NAME_THREAD: i64 = -17;
    /// Also needs more than one core in the configuration.
    pub const SEND_IPI: i64 = -18;
    /// Also needs more than one core in the configuration.
    pub const GET_THREAD_AFFINITY: i64 = -19;
    /// Measures and counts anew. Needs `TRACK_MASKED` or `BENCH_COUNTERS`.
    pub const BENCHMARK_RESET_LOG: i64 = -22;
    /// Needs `TRACK_MASKED`. x0: a core. Its longest stretches with interrupts masked: x0 and x1 whole and why, x2 and x3 with the locks held
    /// and why.
    pub const BENCHMARK_FINALIZE_LOG: i64 = -23;
    /// Needs `BENCH_COUNTERS`. Of all cores since the last reset: x0 interrupts that the kernel sent to other cores, x1
    /// acquisitions of locks that waited, x2 entries with all locks, x3 the longest time that locks were held (0
    /// without `TRACK_MASKED`).
    pub const BENCHMARK_COUNTERS: i64 = -24;
    /// Needs `TRACK_MASKED`. The longest stretches of all cores since the start: x0 with interrupts masked and x1 with
    /// locks held, of those that had no more than the own core's lock; x2 and x3, with several; x4 and x5, with all.
    pub const BENCHMARK_MODES: i64 = -25;
}
