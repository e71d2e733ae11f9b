//! The numbers of the interface, written down a second time: a change of one of them is a change of the interface.

use sel4_abi::{
    CNodeCapData, CapRights, ErrorCode, Invocation, LookupFailureKind, ObjectType, size_bits,
};

#[test]
fn labels() {
    let expected = [
        (1, "UntypedRetype"),
        (2, "TcbReadRegisters"),
        (3, "TcbWriteRegisters"),
        (4, "TcbCopyRegisters"),
        (5, "TcbConfigure"),
        (6, "TcbSetPriority"),
        (7, "TcbSetMcPriority"),
        (8, "TcbSetSchedParams"),
        (9, "TcbSetTimeoutEndpoint"),
        (10, "TcbSetIpcBuffer"),
        (11, "TcbSetSpace"),
        (12, "TcbSuspend"),
        (13, "TcbResume"),
        (14, "TcbBindNotification"),
        (15, "TcbUnbindNotification"),
        (16, "TcbSetTlsBase"),
        (17, "TcbSetFlags"),
        (18, "CNodeRevoke"),
        (19, "CNodeDelete"),
        (20, "CNodeCancelBadgedSends"),
        (21, "CNodeCopy"),
        (22, "CNodeMint"),
        (23, "CNodeMove"),
        (24, "CNodeMutate"),
        (25, "CNodeRotate"),
        (26, "IrqIssueHandler"),
        (27, "IrqAck"),
        (28, "IrqSetHandler"),
        (29, "IrqClearHandler"),
        (30, "DomainSetSet"),
        (31, "DomainScheduleConfigure"),
        (32, "DomainScheduleSetStart"),
        (33, "SchedControlConfigureFlags"),
        (34, "SchedContextBind"),
        (35, "SchedContextUnbind"),
        (36, "SchedContextUnbindObject"),
        (37, "SchedContextConsumed"),
        (38, "SchedContextYieldTo"),
        (39, "VSpaceCleanData"),
        (40, "VSpaceInvalidateData"),
        (41, "VSpaceCleanInvalidateData"),
        (42, "VSpaceUnifyInstruction"),
        (43, "SmcCall"),
        (44, "PageTableMap"),
        (45, "PageTableUnmap"),
        (46, "PageMap"),
        (47, "PageUnmap"),
        (48, "PageCleanData"),
        (49, "PageInvalidateData"),
        (50, "PageCleanInvalidateData"),
        (51, "PageUnifyInstruction"),
        (52, "PageGetAddress"),
        (53, "AsidControlMakePool"),
        (54, "AsidPoolAssign"),
        (55, "IrqIssueHandlerTrigger"),
        (56, "IrqIssueHandlerTriggerCore"),
        (57, "IrqIssueSgiSignal"),
    ];
    let all = Invocation::ALL.iter().map(|&(name, i)| (i.label(), name));
    assert!(all.eq(expected));
    for &(_, invocation) in Invocation::ALL {
        assert_eq!(Invocation::from_label(invocation.label()), Some(invocation));
    }
    for label in [0, 58, 100, 1 << 32 | 1, u64::MAX] {
        assert_eq!(Invocation::from_label(label), None);
    }
}

#[test]
fn errors_and_failed_look_ups() {
    for number in 0..=10 {
        let code = ErrorCode::from_label(number).expect("an error");
        assert_eq!(code as u64, number);
    }
    assert_eq!(ErrorCode::from_label(11), None);
    for number in 1..=4 {
        let kind = LookupFailureKind::from_word(number).expect("a kind");
        assert_eq!(kind as u64, number);
    }
    assert_eq!(LookupFailureKind::from_word(0), None);
    assert_eq!(LookupFailureKind::from_word(5), None);
}

#[test]
fn object_sizes() {
    // With a size argument of 9: 2^9 bytes or slots for those that have one.
    let bits = [9, 11, 4, 6, 14, 9, 5, 30, 12, 12, 21, 12];
    for (number, bits) in (0..).zip(bits) {
        let object = ObjectType::from_word(number).expect("a type");
        assert_eq!(object as u64, number);
        assert_eq!(object.object_bits(9), bits, "{object:?}");
    }
    assert_eq!(ObjectType::from_word(ObjectType::COUNT), None);
    assert_eq!(size_bits::MIN_UNTYPED..=size_bits::MAX_UNTYPED, 4..=47);
    assert_eq!(size_bits::MIN_SCHED_CONTEXT, 7);
    assert_eq!((size_bits::ASID_POOL, size_bits::IPC_BUFFER), (12, 10));
}

#[test]
fn rights_and_guards() {
    let rights = [
        (CapRights::WRITE, 0x1),
        (CapRights::READ, 0x2),
        (CapRights::GRANT, 0x4),
        (CapRights::GRANT_REPLY, 0x8),
        (CapRights::READ_WRITE, 0x3),
        (CapRights::NO_WRITE, 0xe),
        (CapRights::NO_READ, 0xd),
        (CapRights::all(), 0xf),
    ];
    for (rights, bits) in rights {
        assert_eq!(rights.bits(), bits);
    }
    let data = CNodeCapData::new(0x2a5, 10);
    assert_eq!(data.0, 0x2a5 << 6 | 10);
    assert_eq!((data.guard(), data.guard_size()), (0x2a5, 10));
    // Only as many bits of the guard count as it is long.
    let cut = CNodeCapData(u64::MAX << 6 | 3);
    assert_eq!((cut.guard(), cut.guard_size()), (7, 3));
    assert_eq!(CNodeCapData(64).guard_size(), 0);
    assert_eq!(CNodeCapData(u64::MAX).guard(), (1 << 58) - 1);
}
