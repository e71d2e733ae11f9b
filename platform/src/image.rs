//! The 64-byte header that makes a raw image bootable by firmware, U-Boot and QEMU: the arm64 Linux `Image` header.
//!
//! The loader carries the header in its first bytes, written in assembly with the numbers of this module. Only the
//! total size is not known when the loader is linked: xtask fills it in with `set_size` after adding the payload.

use core::fmt;

/// Length of the header.
pub const HEADER_LEN: usize = 64;
/// Where the image is loaded, counted from a 2 MiB boundary at or near the start of RAM.
pub const TEXT_OFFSET: u64 = 0x20_0000;
/// Little endian, 4 KiB pages, and "anywhere in memory will do".
pub const FLAGS: u64 = 0b1010;
/// "ARM\x64", little endian.
pub const MAGIC: u32 = u32::from_le_bytes(*b"ARM\x64");

const TEXT_OFFSET_AT: usize = 8;
const SIZE_AT: usize = 16;
const MAGIC_AT: usize = 56;

/// The bytes do not start with the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoHeader;

impl fmt::Display for NoHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the image does not start with an arm64 image header")
    }
}

/// Writes the size of the whole image, payload included, into its header.
pub fn set_size(image: &mut [u8], size: u64) -> Result<(), NoHeader> {
    check(image)?;
    image[SIZE_AT..SIZE_AT + 8].copy_from_slice(&size.to_le_bytes());
    Ok(())
}

/// The size in the header of an image.
pub fn size(image: &[u8]) -> Result<u64, NoHeader> {
    check(image)?;
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&image[SIZE_AT..SIZE_AT + 8]);
    Ok(u64::from_le_bytes(bytes))
}

fn check(image: &[u8]) -> Result<(), NoHeader> {
    let at = |offset: usize, want: &[u8]| image.get(offset..offset + want.len()) == Some(want);
    let good = image.len() >= HEADER_LEN
        && at(TEXT_OFFSET_AT, &TEXT_OFFSET.to_le_bytes())
        && at(MAGIC_AT, &MAGIC.to_le_bytes());
    if good { Ok(()) } else { Err(NoHeader) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_is_patched_in_place() {
        let mut image = [0u8; 100];
        assert_eq!(set_size(&mut image, 5), Err(NoHeader));
        image[TEXT_OFFSET_AT..16].copy_from_slice(&TEXT_OFFSET.to_le_bytes());
        image[MAGIC_AT..60].copy_from_slice(b"ARM\x64");
        assert_eq!(set_size(&mut image, 0x1234_5678_9abc), Ok(()));
        assert_eq!(size(&image), Ok(0x1234_5678_9abc));
        assert_eq!(image[16..18], [0xbc, 0x9a]);
        assert_eq!(set_size(&mut image[..63], 5), Err(NoHeader));
    }
}
