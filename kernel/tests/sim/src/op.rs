//! What a thread does next: everything it needs is in the value, so that it can be printed, and done again.

use std::fmt;

use sel4_abi::{Invocation, MessageInfo, Syscall};

/// A system call, with all that the thread puts into registers and its buffer first.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Call {
    pub number: i64,
    /// x0 to x8, without x7.
    pub x: [u64; 9],
    /// Words of the message behind the registers.
    pub words: Vec<u64>,
    pub caps: Vec<u64>,
    /// Where a capability that arrives should go: CNode, index, depth.
    pub receive: Option<[u64; 3]>,
}

/// One thing that a thread does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    Call(Call),
    /// Touches memory, and the processor says that it cannot: mostly because nothing is mapped there.
    MemoryFault {
        address: u64,
        access: Access,
    },
    /// Executes what is no instruction.
    Exception,
    /// Uses a floating-point register: finds what it left there, and leaves this.
    Fpu(u64),
    /// Works, for so many ticks.
    Work(u32),
}

/// How memory is touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
    Fetch,
    /// A write to what may only be read.
    Forbidden,
}

impl Call {
    /// An invocation: label, capabilities and words of the message.
    pub fn invoke(cap: u64, method: Invocation, caps: &[u64], words: &[u64]) -> Self {
        Self::message(Syscall::Call as i64, cap, method.label(), caps, words)
    }

    pub fn message(number: i64, cap: u64, label: u64, caps: &[u64], words: &[u64]) -> Self {
        let mut x = [0; 9];
        x[0] = cap;
        x[1] = MessageInfo::new(label, 0, caps.len() as u64, words.len() as u64).0;
        for (register, word) in x[2..6].iter_mut().zip(words) {
            *register = *word;
        }
        Self {
            number,
            x,
            words: words.get(4..).unwrap_or_default().to_vec(),
            caps: caps.to_vec(),
            receive: None,
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(call) => call.fmt(f),
            Self::MemoryFault { address, access } => {
                let what = match access {
                    Access::Read => "reads",
                    Access::Write => "writes to",
                    Access::Fetch => "jumps to",
                    Access::Forbidden => "is forbidden to write to",
                };
                write!(f, "{what} {address:#x}, and faults")
            }
            Self::Exception => f.write_str("executes what is no instruction"),
            Self::Fpu(value) => write!(f, "puts {value} into a vector register"),
            Self::Work(ticks) => write!(f, "works for {ticks} ticks"),
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let info = MessageInfo(self.x[1]);
        match Syscall::from_number(self.number) {
            Some(call) => write!(f, "{call:?}")?,
            None => write!(f, "system call {}", self.number)?,
        }
        write!(f, "({}", self.x[0])?;
        if let Some(method) = Invocation::from_label(info.label()) {
            write!(f, ", {method:?}")?;
        } else {
            write!(f, ", label {}", info.label())?;
        }
        let in_registers = info.length().min(4);
        write!(f, ", words {:?}", &self.x[2..2 + in_registers])?;
        if !self.words.is_empty() {
            write!(f, " and {:?}", self.words)?;
        }
        if !self.caps.is_empty() {
            write!(f, ", caps {:?}", self.caps)?;
        }
        if self.x[6] != 0 || self.x[8] != 0 {
            write!(f, ", x6 {}, x8 {}", self.x[6], self.x[8])?;
        }
        if let Some(slot) = self.receive {
            write!(f, ", receives at {slot:?}")?;
        }
        f.write_str(")")
    }
}
