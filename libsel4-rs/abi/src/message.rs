//! The message information word.

/// The most words in a message.
pub const MAX_MESSAGE_LENGTH: usize = 120;
/// The most capabilities sent with a message.
pub const MAX_EXTRA_CAPS: usize = 3;
/// How many message words travel in registers (x2 to x5).
pub const MESSAGE_REGISTERS: usize = 4;

/// Label, length and capability counts of a message, packed as in x1: length in bits 6:0, extra caps 8:7, caps
/// unwrapped 11:9, label 63:12.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct MessageInfo(pub u64);

impl MessageInfo {
    pub const fn new(label: u64, caps_unwrapped: u64, extra_caps: u64, length: u64) -> Self {
        Self(
            (label << 12) | ((caps_unwrapped & 7) << 9) | ((extra_caps & 3) << 7) | (length & 0x7f),
        )
    }

    /// 52 bits.
    pub const fn label(self) -> u64 {
        self.0 >> 12
    }

    /// One bit for each extra capability that arrived as a badge.
    pub const fn caps_unwrapped(self) -> u64 {
        (self.0 >> 9) & 7
    }

    pub const fn extra_caps(self) -> usize {
        ((self.0 >> 7) & 3) as usize
    }

    /// The raw length field; values over [`MAX_MESSAGE_LENGTH`] count as that.
    pub const fn length(self) -> usize {
        let length = (self.0 & 0x7f) as usize;
        if length > MAX_MESSAGE_LENGTH {
            MAX_MESSAGE_LENGTH
        } else {
            length
        }
    }
}
