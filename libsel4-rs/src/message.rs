//! Messages: what a system call sends and receives.
//!
//! A message is a label, up to 120 words and up to three capabilities. The first four words are in registers, so they
//! are part of the value; further words and all capabilities go through the IPC buffer of the running thread. A
//! [`Message`] with more than four words is therefore only complete together with that buffer: build it, send it,
//! then build the next one.

use sel4_abi::{MESSAGE_REGISTERS, MessageInfo};

use crate::arch::Registers;
use crate::cap::{Cap, CapType};
use crate::ipc_buffer;

/// A message to send, or one that arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Message {
    info: MessageInfo,
    words: [u64; MESSAGE_REGISTERS],
}

impl Message {
    /// An empty message with a label (52 bits).
    pub const fn new(label: u64) -> Self {
        Self {
            info: MessageInfo::new(label, 0, 0, 0),
            words: [0; MESSAGE_REGISTERS],
        }
    }

    /// The message information word and the four register words as they are.
    pub const fn from_parts(info: MessageInfo, words: [u64; MESSAGE_REGISTERS]) -> Self {
        Self { info, words }
    }

    /// Appends a word. The fifth and later ones are written to the running thread's IPC buffer at once.
    ///
    /// # Panics
    /// When the message has 120 words already.
    #[must_use]
    pub fn word(mut self, word: u64) -> Self {
        let length = self.length();
        match self.words.get_mut(length) {
            Some(register) => *register = word,
            None => ipc_buffer::set_word(length, word),
        }
        self.info = MessageInfo::new(self.label(), 0, self.extra_caps() as u64, length as u64 + 1);
        self
    }

    /// Appends words, in order.
    #[must_use]
    pub fn words(self, words: &[u64]) -> Self {
        words.iter().fold(self, |message, &word| message.word(word))
    }

    /// Appends a capability to send, through the running thread's IPC buffer. Sending capabilities needs the grant
    /// right on the endpoint or reply capability used; without it the message arrives without them.
    ///
    /// # Panics
    /// When the message has three capabilities already.
    #[must_use]
    pub fn cap<T: CapType>(mut self, cap: Cap<T>) -> Self {
        let count = self.extra_caps();
        ipc_buffer::set_cap(count, cap.bits());
        self.info = MessageInfo::new(self.label(), 0, count as u64 + 1, self.length() as u64);
        self
    }

    /// The message information word.
    pub const fn info(&self) -> MessageInfo {
        self.info
    }

    /// What the sender, or the kernel, called the message.
    pub const fn label(&self) -> u64 {
        self.info.label()
    }

    /// How many words it has.
    pub const fn length(&self) -> usize {
        self.info.length()
    }

    /// How many capabilities are sent, or arrived (as capabilities or as badges).
    pub const fn extra_caps(&self) -> usize {
        self.info.extra_caps()
    }

    /// Whether capability `index` arrived as its badge ([`ipc_buffer::badge`]), because it was for the endpoint the
    /// message came through.
    pub const fn is_unwrapped(&self, index: usize) -> bool {
        self.info.caps_unwrapped() & (1 << index) != 0
    }

    /// Word `index`; from the fifth on it is read from the running thread's IPC buffer. Zero beyond the length.
    pub fn get(&self, index: usize) -> u64 {
        if index >= self.length() {
            return 0;
        }
        match self.words.get(index) {
            Some(&word) => word,
            None => ipc_buffer::word(index),
        }
    }

    /// The four register words, whatever the length.
    pub const fn registers(&self) -> [u64; MESSAGE_REGISTERS] {
        self.words
    }

    #[inline(always)]
    pub(crate) const fn to_registers(self, x0: u64) -> Registers {
        Registers {
            x0,
            info: self.info.0,
            words: self.words,
        }
    }

    #[inline(always)]
    pub(crate) const fn from_registers(registers: &Registers) -> Self {
        Self {
            info: MessageInfo(registers.info),
            words: registers.words,
        }
    }
}

/// What a receiving system call came back with.
///
/// When a notification was received, or when a poll found nothing, only the badge means anything: the kernel leaves
/// the message registers as they were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Badge of the sender's capability; for a notification its word; for a reply 0.
    pub badge: u64,
    /// What arrived.
    pub message: Message,
}

impl Received {
    #[inline(always)]
    pub(crate) const fn from_registers(registers: &Registers) -> Self {
        Self {
            badge: registers.x0,
            message: Message::from_registers(registers),
        }
    }

    /// The label of the message.
    pub const fn label(&self) -> u64 {
        self.message.label()
    }

    /// Word `index` of the message.
    pub fn get(&self, index: usize) -> u64 {
        self.message.get(index)
    }
}

#[cfg(test)]
mod tests {
    use super::Message;
    use crate::ipc_buffer;

    #[test]
    fn words_and_caps_are_counted() {
        crate::thread_block::with_test_thread(|| {
            let message = Message::new(77)
                .words(&[1, 2, 3, 4, 5, 6])
                .cap(crate::cap::Null::at(9));
            assert_eq!(
                (message.label(), message.length(), message.extra_caps()),
                (77, 6, 1)
            );
            assert_eq!(message.registers(), [1, 2, 3, 4]);
            assert_eq!(
                (
                    message.get(3),
                    message.get(4),
                    message.get(5),
                    message.get(6)
                ),
                (4, 5, 6, 0)
            );
            assert_eq!(ipc_buffer::cap(0), 9);
        });
    }

    #[test]
    fn label_keeps_its_52_bits() {
        let message = Message::new((1 << 52) - 1).word(1);
        assert_eq!(message.label(), (1 << 52) - 1);
        assert_eq!(message.length(), 1);
    }
}
