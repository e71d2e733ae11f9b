//! Reading the properties of a node.
//!
//! Only the crate's node and property look-up is used; values are taken apart here, where a short or odd value is
//! nothing special: it reads as absent.

use super::DtbError;

pub(super) type Node<'a> = fdt::helpers::UnalignedFallibleNode<'a>;

/// The bytes of a property.
pub(super) fn value<'a>(node: Node<'a>, name: &str) -> Result<Option<&'a [u8]>, DtbError> {
    Ok(node.raw_property(name)?.map(|property| property.value))
}

/// All texts of a property.
pub(super) fn texts(value: &[u8]) -> impl Iterator<Item = &str> {
    value
        .split(|byte| *byte == 0)
        .filter_map(|text| core::str::from_utf8(text).ok())
        .filter(|text| !text.is_empty())
}

/// The first text of a property.
pub(super) fn text<'a>(node: Node<'a>, name: &str) -> Result<Option<&'a str>, DtbError> {
    Ok(value(node, name)?.and_then(|value| texts(value).next()))
}

/// A property that is one number.
pub(super) fn cell(node: Node<'_>, name: &str) -> Result<Option<u32>, DtbError> {
    Ok(value(node, name)?
        .and_then(|mut value| take(&mut value, 1))
        .map(|cell| cell as u32))
}

/// Whether the node is compatible with one of `names`.
pub(super) fn compatible(node: Node<'_>, names: &[&str]) -> Result<bool, DtbError> {
    let value = value(node, "compatible")?.unwrap_or(&[]);
    Ok(texts(value).any(|text| names.contains(&text)))
}

/// Whether the node may be used by a system in the non-secure state.
pub(super) fn enabled(node: Node<'_>) -> Result<bool, DtbError> {
    Ok(matches!(
        text(node, "status")?,
        None | Some("okay") | Some("ok")
    ))
}

/// Takes a number of `cells` 32-bit cells off the front. Nothing is taken if the value is too short or the number
/// would not fit in 64 bits.
pub(super) fn take(value: &mut &[u8], cells: u32) -> Option<u64> {
    if cells > 2 {
        return None;
    }
    let (number, rest) = value.split_at_checked(cells as usize * 4)?;
    *value = rest;
    Some(number.iter().fold(0, |n, byte| n << 8 | u64::from(*byte)))
}
