//! The words of the interface: packed, taken apart, and packed again.

use sel4_abi::{
    CNodeCapData, CapRights, ErrorCode, FaultKind, Invocation, LookupFailureKind,
    MAX_MESSAGE_LENGTH, MessageInfo, ObjectType, Syscall, VmAttributes,
};

use crate::given::Given;

pub fn run(data: &[u8]) {
    let mut given = Given::new(data);
    message(
        given.any(),
        [given.any(), given.any(), given.any(), given.any()],
    );
    guard(given.any(), given.any(), given.any());
    flags(given.any());
    numbers(given.word());
}

fn message(word: u64, [label, unwrapped, caps, length]: [u64; 4]) {
    let info = MessageInfo(word);
    assert!(info.length() <= MAX_MESSAGE_LENGTH && info.extra_caps() <= 3);
    let rest = MessageInfo::new(
        info.label(),
        info.caps_unwrapped(),
        info.extra_caps() as u64,
        info.length() as u64,
    );
    assert_eq!(rest.label(), info.label());
    assert_eq!(rest.caps_unwrapped(), info.caps_unwrapped());
    assert_eq!(
        (rest.extra_caps(), rest.length()),
        (info.extra_caps(), info.length())
    );
    assert!(rest == info || word & 0x7f > MAX_MESSAGE_LENGTH as u64);
    let made = MessageInfo::new(label, unwrapped, caps, length);
    assert_eq!(made.label(), label & ((1 << 52) - 1));
    assert_eq!(made.caps_unwrapped(), unwrapped & 7);
    assert_eq!(made.extra_caps() as u64, caps & 3);
    assert_eq!(
        made.length() as u64,
        (length & 0x7f).min(MAX_MESSAGE_LENGTH as u64)
    );
}

fn guard(word: u64, guard: u64, size: u64) {
    let data = CNodeCapData(word);
    assert!(data.guard_size() < 64);
    assert_eq!(
        data.guard() >> data.guard_size(),
        0,
        "a guard fits its size"
    );
    let made = CNodeCapData::new(guard, size);
    assert_eq!(made.guard_size(), size & 0x3f);
    // Six bits of the word say the size, so the upper six of a guard have no place.
    let mask = (1 << made.guard_size()) - 1;
    assert_eq!(made.guard(), guard << 6 >> 6 & mask);
    let again = CNodeCapData::new(data.guard(), data.guard_size());
    assert_eq!(
        (again.guard(), again.guard_size()),
        (data.guard(), data.guard_size())
    );
}

fn flags(word: u64) {
    let rights = CapRights::from_bits_truncate(word);
    assert_eq!(rights.bits(), word & 0xf);
    let attributes = VmAttributes::from_bits_truncate(word);
    assert_eq!(attributes.bits(), word & 7);
}

/// What has a number is found by it.
fn numbers(word: u64) {
    if let Some(kind) = ObjectType::from_word(word) {
        assert_eq!(kind as u64, word);
        assert!(word < ObjectType::COUNT);
        let bits = kind.object_bits(9);
        assert!((4..=30).contains(&bits));
    } else {
        assert!(word >= ObjectType::COUNT);
    }
    if let Some(method) = Invocation::from_label(word) {
        assert_eq!(method.label(), word);
    }
    if let Some(call) = Syscall::from_number(word as i64) {
        assert_eq!(call as i64, word as i64);
    }
    if let Some(error) = ErrorCode::from_label(word) {
        assert_eq!(error as u64, word);
    }
    if let Some(kind) = LookupFailureKind::from_word(word) {
        assert_eq!(kind as u64, word);
    }
    if let Some(kind) = FaultKind::from_label(word) {
        assert_eq!(kind as u64, word);
    }
}
