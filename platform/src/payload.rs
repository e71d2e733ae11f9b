//! The payload of a boot image: a header, the kernel ELF and the root task's ELF.
//!
//! xtask writes it behind the loader and the loader reads it, both with this module. All values are little-endian u64;
//! offsets count from the start of the payload, and the parts start on 4 KiB boundaries. The ELF files are bytes here:
//! nothing looks inside.

use core::fmt;
use core::ops::Range;

/// "TERNPAY1", little endian.
pub const MAGIC: u64 = u64::from_le_bytes(*b"TERNPAY1");
/// The payload and each ELF file in it start at a multiple of this.
pub const ALIGN: u64 = 4096;
/// Bytes of the header that carry meaning; the rest up to `ALIGN` is zero.
pub const HEADER_LEN: usize = 7 * 8;

/// Where things are in a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The loader starts at most this many cores.
    pub max_cores: u64,
    pub kernel_offset: u64,
    pub kernel_len: u64,
    pub root_offset: u64,
    pub root_len: u64,
    /// From the header to the end of the last part, a multiple of `ALIGN`.
    pub total_len: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadError {
    /// Shorter than a header, or than the header says.
    Truncated,
    /// No payload here.
    BadMagic,
    /// The number of cores is 0.
    NoCores,
    /// A part is empty, misaligned, outside the payload, or overlaps the header or another part.
    BadLayout,
}

impl fmt::Display for PayloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PayloadError::Truncated => "the payload is cut short",
            PayloadError::BadMagic => "no payload behind the loader",
            PayloadError::NoCores => "the payload allows no core",
            PayloadError::BadLayout => "the parts of the payload are misplaced",
        })
    }
}

impl Header {
    /// Lays out a payload for two files of the given sizes. `None` if a size is absurd.
    pub fn layout(max_cores: u64, kernel_len: u64, root_len: u64) -> Option<Header> {
        let kernel_offset = ALIGN;
        let root_offset = kernel_offset
            .checked_add(kernel_len)?
            .checked_next_multiple_of(ALIGN)?;
        let total_len = root_offset
            .checked_add(root_len)?
            .checked_next_multiple_of(ALIGN)?;
        Some(Header {
            max_cores,
            kernel_offset,
            kernel_len,
            root_offset,
            root_len,
            total_len,
        })
    }

    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let words = [
            MAGIC,
            self.max_cores,
            self.kernel_offset,
            self.kernel_len,
            self.root_offset,
            self.root_len,
            self.total_len,
        ];
        let mut bytes = [0; HEADER_LEN];
        for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Reads and checks a header. `payload` needs to hold the header only.
    pub fn parse(payload: &[u8]) -> Result<Header, PayloadError> {
        let bytes = payload.get(..HEADER_LEN).ok_or(PayloadError::Truncated)?;
        let mut words = [0u64; HEADER_LEN / 8];
        for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = chunk
                .iter()
                .rev()
                .fold(0, |value, byte| value << 8 | u64::from(*byte));
        }
        let [
            magic,
            max_cores,
            kernel_offset,
            kernel_len,
            root_offset,
            root_len,
            total_len,
        ] = words;
        if magic != MAGIC {
            return Err(PayloadError::BadMagic);
        }
        if max_cores == 0 {
            return Err(PayloadError::NoCores);
        }
        let header = Header {
            max_cores,
            kernel_offset,
            kernel_len,
            root_offset,
            root_len,
            total_len,
        };
        let aligned = [kernel_offset, root_offset, total_len]
            .iter()
            .all(|v| v.is_multiple_of(ALIGN));
        let part = |offset: u64, len: u64| match offset.checked_add(len) {
            Some(end) if len > 0 && offset >= ALIGN && end <= total_len => Ok(offset..end),
            _ => Err(PayloadError::BadLayout),
        };
        let kernel = part(kernel_offset, kernel_len)?;
        let root = part(root_offset, root_len)?;
        if !aligned || (kernel.start < root.end && root.start < kernel.end) {
            return Err(PayloadError::BadLayout);
        }
        Ok(header)
    }

    /// The kernel's ELF file in `payload`.
    pub fn kernel<'a>(&self, payload: &'a [u8]) -> Result<&'a [u8], PayloadError> {
        part(payload, self.kernel_offset, self.kernel_len)
    }

    /// The root task's ELF file in `payload`.
    pub fn root<'a>(&self, payload: &'a [u8]) -> Result<&'a [u8], PayloadError> {
        part(payload, self.root_offset, self.root_len)
    }
}

fn part(payload: &[u8], offset: u64, len: u64) -> Result<&[u8], PayloadError> {
    let start = usize::try_from(offset).map_err(|_| PayloadError::Truncated)?;
    let len = usize::try_from(len).map_err(|_| PayloadError::Truncated)?;
    let end = start.checked_add(len).ok_or(PayloadError::Truncated)?;
    payload
        .get(Range { start, end })
        .ok_or(PayloadError::Truncated)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let header = Header::layout(4, 10_000, 5).unwrap();
        assert_eq!((header.root_offset, header.total_len), (16384, 20480));
        assert_eq!(Header::parse(&header.encode()), Ok(header));
        let payload = [7u8; 20480];
        assert_eq!(header.kernel(&payload).unwrap().len(), 10_000);
        assert_eq!(header.root(&payload).unwrap().len(), 5);
        assert_eq!(header.root(&payload[..16386]), Err(PayloadError::Truncated));
        assert_eq!(Header::layout(1, u64::MAX, 1), None);
    }

    #[test]
    fn bad_headers_are_named() {
        let good = Header::layout(1, 1, 1).unwrap();
        let parse = |header: Header| Header::parse(&header.encode());
        let bad = |change: fn(&mut Header)| {
            let mut header = good;
            change(&mut header);
            parse(header)
        };
        for len in 0..HEADER_LEN {
            assert_eq!(
                Header::parse(&good.encode()[..len]),
                Err(PayloadError::Truncated)
            );
        }
        assert_eq!(Header::parse(&[0; 64]), Err(PayloadError::BadMagic));
        assert_eq!(bad(|h| h.max_cores = 0), Err(PayloadError::NoCores));
        for change in [
            (|h| h.kernel_offset = 0) as fn(&mut Header),
            |h| h.kernel_offset += 1,
            |h| h.kernel_len = 0,
            |h| h.kernel_len = u64::MAX,
            |h| h.root_offset = h.kernel_offset,
            |h| h.root_len = 4097,
            |h| h.total_len -= 4096,
            |h| h.total_len += 1,
        ] {
            assert_eq!(bad(change), Err(PayloadError::BadLayout));
        }
    }
}
