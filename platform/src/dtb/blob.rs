//! The outside of a device tree blob: header, reservation map, and the order of its tokens.
//!
//! Everything that the `fdt` crate relies on without looking is checked here first: offsets inside the blob, balanced
//! nodes, terminated names, properties inside the structure block, an END token exactly at the end.

use super::DtbError;
use super::node::Node;
use crate::board::Region;

const MAGIC: u32 = 0xd00d_feed;
const HEADER: usize = 40;
/// Deeper trees are refused: the walk over the tree recurses.
pub(super) const MAX_DEPTH: usize = 32;

const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROP: u32 = 3;
const NOP: u32 = 4;
const END: u32 = 9;

/// A blob whose structure has been checked.
pub(super) struct Blob<'a> {
    bytes: &'a [u8],
}

/// The size of the blob that starts with `bytes`, of which at least the first 40 are there.
pub fn size(bytes: &[u8]) -> Result<usize, DtbError> {
    if bytes.len() < HEADER {
        return Err(DtbError::Truncated);
    }
    let word = |index: usize| word(bytes, index * 4).ok_or(DtbError::Truncated);
    if word(0)? != MAGIC {
        return Err(DtbError::NotADeviceTree);
    }
    // Compatible with 17, and no older: 16 does not say how long the structure is.
    if word(5)? < 17 || word(6)? > 17 {
        return Err(DtbError::Version(word(5)?));
    }
    usize::try_from(word(1)?).map_err(|_| DtbError::Malformed)
}

/// The blob at the start of `bytes`, if its structure is sound: the `fdt` crate then reads it without a panic.
pub fn check(bytes: &[u8]) -> Result<&[u8], DtbError> {
    Ok(Blob::check(bytes)?.bytes)
}

/// How many bytes of a blob carry something. Some producers leave room for changes behind that: QEMU nearly 1 MiB.
pub fn used_size(bytes: &[u8]) -> Result<usize, DtbError> {
    let blob = Blob::check(bytes)?;
    let offset = |index: usize| word(blob.bytes, index * 4).map_or(0, |w| w as usize);
    let reservations = offset(4) + (blob.reservations().count() + 1) * 16;
    let structure = offset(2) + offset(9);
    let strings = offset(3) + offset(8);
    let end = reservations.max(structure).max(strings);
    Ok(end.next_multiple_of(8).min(blob.bytes.len()))
}

/// Makes a copy of a blob, as long as `used_size` says, state that length.
pub fn set_size(copy: &mut [u8]) {
    if let (Ok(size), Some(place)) = (u32::try_from(copy.len()), copy.get_mut(4..8)) {
        place.copy_from_slice(&size.to_be_bytes());
    }
}

impl<'a> Blob<'a> {
    pub(super) fn check(bytes: &'a [u8]) -> Result<Blob<'a>, DtbError> {
        let bytes = bytes.get(..size(bytes)?).ok_or(DtbError::Truncated)?;
        let offset = |index: usize| word(bytes, index * 4).map(|w| w as usize);
        let block = |start: Option<usize>, len: Option<usize>| {
            let start = start?;
            bytes.get(start..start.checked_add(len?)?)
        };
        let structure = block(offset(2), offset(9)).ok_or(DtbError::Malformed)?;
        let strings = block(offset(3), offset(8)).ok_or(DtbError::Malformed)?;
        if offset(2).is_none_or(|at| at % 4 != 0) {
            return Err(DtbError::Malformed);
        }
        check_tokens(structure, strings).ok_or(DtbError::Malformed)?;
        Ok(Blob { bytes })
    }

    pub(super) fn root(&self) -> Result<Node<'a>, DtbError> {
        let fdt = fdt::Fdt::new_unaligned_fallible(self.bytes)?;
        let root = fdt.root()?;
        Ok(fdt::nodes::AsNode::as_node(&root))
    }

    /// The memory reservation map. Entries that wrap around are left out; so is what follows a missing end mark.
    pub(super) fn reservations(&self) -> impl Iterator<Item = Region> + 'a {
        let bytes = self.bytes;
        let start = word(bytes, 16).map_or(bytes.len(), |w| w as usize);
        let entries = bytes.get(start..).unwrap_or(&[]).chunks_exact(16);
        entries
            .map_while(|mut entry| {
                let start = super::node::take(&mut entry, 2)?;
                let size = super::node::take(&mut entry, 2)?;
                (start != 0 || size != 0).then_some((start, size))
            })
            .filter_map(|(start, size)| Region::sized(start, size))
    }
}

/// The big-endian word at a byte offset.
fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(bytes.iter().fold(0, |word, b| word << 8 | u32::from(*b)))
}

/// The length of a zero-terminated UTF-8 text with its terminator.
fn text_len(bytes: &[u8]) -> Option<usize> {
    let text = core::ffi::CStr::from_bytes_until_nul(bytes).ok()?;
    text.to_str().ok()?;
    Some(text.to_bytes_with_nul().len())
}

/// Walks over all tokens. `None` if they do not form exactly one tree.
fn check_tokens(structure: &[u8], strings: &[u8]) -> Option<()> {
    let (mut at, mut depth, mut done) = (0usize, 0usize, false);
    // Properties come before the nodes inside.
    let mut properties_allowed = false;
    loop {
        let token = word(structure, at)?;
        at += 4;
        match token {
            NOP => {}
            BEGIN_NODE => {
                if depth == MAX_DEPTH || done {
                    return None;
                }
                at += text_len(structure.get(at..)?)?.next_multiple_of(4);
                depth += 1;
                properties_allowed = true;
            }
            END_NODE => {
                depth = depth.checked_sub(1)?;
                done = depth == 0;
                properties_allowed = false;
            }
            PROP => {
                let (len, name) = (word(structure, at)?, word(structure, at + 4)?);
                text_len(strings.get(name as usize..)?)?;
                at += 8;
                structure.get(at..at.checked_add(len as usize)?)?;
                at += (len as usize).next_multiple_of(4);
                if !properties_allowed {
                    return None;
                }
            }
            END => return (done && at == structure.len()).then_some(()),
            _ => return None,
        }
    }
}
