//! The interface as one JSON file. Every number comes from `sel4-abi`, the crate that the kernel is built with; only
//! names are given here, and they are seL4's.

use crate::sdk::json::{Json, object};
use core::mem::{offset_of, size_of};
use sel4_abi::{
    BootInfo, BootInfoHeader, CNodeCapData, CapRights, ErrorCode, FaultKind, Invocation, IpcBuffer,
    LookupFailureKind, MessageInfo, ObjectType, Syscall, UntypedDesc, UserContext, VmAttributes,
    boot_info_id, cap_type, debug_syscall, fault_length, size_bits, slot,
};

/// Labels are small; beyond this there are none.
const LABELS: u64 = 256;

pub(crate) fn json() -> Json {
    object([
        (
            "interface",
            Json::from("seL4 16.0.0-dev, AArch64, MCS, EL1"),
        ),
        ("syscalls", syscalls()),
        ("debug_syscalls", debug_syscalls()),
        ("invocation_labels", labels()),
        ("objects", objects()),
        ("size_bits", sizes()),
        ("cap_types", cap_types()),
        ("errors", named(ErrorCode::from_label)),
        ("lookup_failures", named(LookupFailureKind::from_word)),
        ("faults", faults()),
        ("fault_words", fault_words()),
        ("message", message()),
        ("cap_rights", flags(CapRights::all().iter_names())),
        ("cnode_cap_data", cnode_cap_data()),
        ("vm_attributes", flags(VmAttributes::all().iter_names())),
        (
            "tcb_flags",
            object([("fpuDisabled", sel4_abi::TCB_FLAG_FPU_DISABLED)]),
        ),
        (
            "sched_context_flags",
            object([("Sporadic", sel4_abi::SCHED_CONTEXT_SPORADIC)]),
        ),
        ("ipc_buffer_offsets", ipc_buffer()),
        ("bootinfo_offsets", boot_info()),
        ("untyped_desc_offsets", untyped_desc()),
        ("extra_bootinfo", extra_boot_info()),
        ("initial_slots", initial_slots()),
        ("user_context", user_context()),
        ("limits", limits()),
    ])
}

/// The values of an enumeration by the names of its variants. All are small.
fn named<T: std::fmt::Debug>(value: impl Fn(u64) -> Option<T>) -> Json {
    object((0..LABELS).filter_map(|number| Some((format!("{:?}", value(number)?), number))))
}

fn syscalls() -> Json {
    let calls = (1..=64).filter_map(|number| Some((Syscall::from_number(-number)?, -number)));
    object(calls.map(|(call, number)| (format!("{call:?}"), number)))
}

/// Each with the configuration key that it takes.
fn debug_syscalls() -> Json {
    let calls = [
        ("DebugPutChar", debug_syscall::PUT_CHAR, "PRINTING"),
        (
            "DebugDumpScheduler",
            debug_syscall::DUMP_SCHEDULER,
            "PRINTING",
        ),
        ("DebugHalt", debug_syscall::HALT, "DEBUG_BUILD"),
        (
            "DebugCapIdentify",
            debug_syscall::CAP_IDENTIFY,
            "DEBUG_BUILD",
        ),
        ("DebugSnapshot", debug_syscall::SNAPSHOT, "DEBUG_BUILD"),
        ("DebugNameThread", debug_syscall::NAME_THREAD, "DEBUG_BUILD"),
        (
            "DebugSendIPI",
            debug_syscall::SEND_IPI,
            "DEBUG_BUILD ENABLE_SMP_SUPPORT",
        ),
        (
            "DebugGetThreadAffinity",
            debug_syscall::GET_THREAD_AFFINITY,
            "DEBUG_BUILD ENABLE_SMP_SUPPORT",
        ),
    ];
    object(calls.map(|(name, number, needs)| {
        (
            name,
            object([("number", Json::from(number)), ("needs", Json::from(needs))]),
        )
    }))
}

fn labels() -> Json {
    let list = |find: fn(u64) -> Option<Invocation>| {
        object((0..LABELS).filter_map(|label| Some((invocation(find(label)?), label))))
    };
    object([
        ("smp", list(Invocation::from_label)),
        ("single_core", list(Invocation::from_label_single_core)),
    ])
}

/// seL4's name of a label.
fn invocation(invocation: Invocation) -> &'static str {
    use Invocation as I;
    match invocation {
        I::UntypedRetype => "UntypedRetype",
        I::TcbReadRegisters => "TCBReadRegisters",
        I::TcbWriteRegisters => "TCBWriteRegisters",
        I::TcbCopyRegisters => "TCBCopyRegisters",
        I::TcbConfigure => "TCBConfigure",
        I::TcbSetPriority => "TCBSetPriority",
        I::TcbSetMcPriority => "TCBSetMCPriority",
        I::TcbSetSchedParams => "TCBSetSchedParams",
        I::TcbSetTimeoutEndpoint => "TCBSetTimeoutEndpoint",
        I::TcbSetIpcBuffer => "TCBSetIPCBuffer",
        I::TcbSetSpace => "TCBSetSpace",
        I::TcbSuspend => "TCBSuspend",
        I::TcbResume => "TCBResume",
        I::TcbBindNotification => "TCBBindNotification",
        I::TcbUnbindNotification => "TCBUnbindNotification",
        I::TcbSetTlsBase => "TCBSetTLSBase",
        I::TcbSetFlags => "TCBSetFlags",
        I::CNodeRevoke => "CNodeRevoke",
        I::CNodeDelete => "CNodeDelete",
        I::CNodeCancelBadgedSends => "CNodeCancelBadgedSends",
        I::CNodeCopy => "CNodeCopy",
        I::CNodeMint => "CNodeMint",
        I::CNodeMove => "CNodeMove",
        I::CNodeMutate => "CNodeMutate",
        I::CNodeRotate => "CNodeRotate",
        I::IrqIssueHandler => "IRQIssueIRQHandler",
        I::IrqAck => "IRQAckIRQ",
        I::IrqSetHandler => "IRQSetIRQHandler",
        I::IrqClearHandler => "IRQClearIRQHandler",
        I::DomainSetSet => "DomainSetSet",
        I::DomainScheduleConfigure => "DomainScheduleConfigure",
        I::DomainScheduleSetStart => "DomainScheduleSetStart",
        I::SchedControlConfigureFlags => "SchedControlConfigureFlags",
        I::SchedContextBind => "SchedContextBind",
        I::SchedContextUnbind => "SchedContextUnbind",
        I::SchedContextUnbindObject => "SchedContextUnbindObject",
        I::SchedContextConsumed => "SchedContextConsumed",
        I::SchedContextYieldTo => "SchedContextYieldTo",
        I::VSpaceCleanData => "ARMVSpaceClean_Data",
        I::VSpaceInvalidateData => "ARMVSpaceInvalidate_Data",
        I::VSpaceCleanInvalidateData => "ARMVSpaceCleanInvalidate_Data",
        I::VSpaceUnifyInstruction => "ARMVSpaceUnify_Instruction",
        I::SmcCall => "ARMSMCCall",
        I::PageTableMap => "ARMPageTableMap",
        I::PageTableUnmap => "ARMPageTableUnmap",
        I::PageMap => "ARMPageMap",
        I::PageUnmap => "ARMPageUnmap",
        I::PageCleanData => "ARMPageClean_Data",
        I::PageInvalidateData => "ARMPageInvalidate_Data",
        I::PageCleanInvalidateData => "ARMPageCleanInvalidate_Data",
        I::PageUnifyInstruction => "ARMPageUnify_Instruction",
        I::PageGetAddress => "ARMPageGetAddress",
        I::AsidControlMakePool => "ARMASIDControlMakePool",
        I::AsidPoolAssign => "ARMASIDPoolAssign",
        I::IrqIssueHandlerTrigger => "ARMIRQIssueIRQHandlerTrigger",
        I::IrqIssueHandlerTriggerCore => "ARMIRQIssueIRQHandlerTriggerCore",
        I::IrqIssueSgiSignal => "ARMIRQIssueSGISignal",
    }
}

fn objects() -> Json {
    let name = |kind| match kind {
        ObjectType::Untyped => "Untyped",
        ObjectType::Tcb => "TCB",
        ObjectType::Endpoint => "Endpoint",
        ObjectType::Notification => "Notification",
        ObjectType::CNode => "CapTable",
        ObjectType::SchedContext => "SchedContext",
        ObjectType::Reply => "Reply",
        ObjectType::HugePage => "ARM_HugePage",
        ObjectType::VSpace => "ARM_VSpace",
        ObjectType::SmallPage => "ARM_SmallPage",
        ObjectType::LargePage => "ARM_LargePage",
        ObjectType::PageTable => "ARM_PageTable",
    };
    let types = (0..ObjectType::COUNT).filter_map(ObjectType::from_word);
    object(types.map(|kind| (name(kind), kind as u64)))
}

fn sizes() -> Json {
    object([
        ("Slot", size_bits::SLOT),
        ("TCB", size_bits::TCB),
        ("Endpoint", size_bits::ENDPOINT),
        ("Notification", size_bits::NOTIFICATION),
        ("Reply", size_bits::REPLY),
        ("MinSchedContext", size_bits::MIN_SCHED_CONTEXT),
        ("SmallPage", size_bits::SMALL_PAGE),
        ("LargePage", size_bits::LARGE_PAGE),
        ("HugePage", size_bits::HUGE_PAGE),
        ("PageTable", size_bits::PAGE_TABLE),
        ("VSpace", size_bits::VSPACE),
        ("ASIDPool", size_bits::ASID_POOL),
        ("MinUntyped", size_bits::MIN_UNTYPED),
        ("MaxUntyped", size_bits::MAX_UNTYPED),
        ("IPCBuffer", size_bits::IPC_BUFFER),
    ])
}

fn cap_types() -> Json {
    object([
        ("Null", cap_type::NULL),
        ("Frame", cap_type::FRAME),
        ("Untyped", cap_type::UNTYPED),
        ("PageTable", cap_type::PAGE_TABLE),
        ("Endpoint", cap_type::ENDPOINT),
        ("Notification", cap_type::NOTIFICATION),
        ("Reply", cap_type::REPLY),
        ("VSpace", cap_type::VSPACE),
        ("CNode", cap_type::CNODE),
        ("ASIDControl", cap_type::ASID_CONTROL),
        ("Thread", cap_type::THREAD),
        ("ASIDPool", cap_type::ASID_POOL),
        ("IRQControl", cap_type::IRQ_CONTROL),
        ("IRQHandler", cap_type::IRQ_HANDLER),
        ("Zombie", cap_type::ZOMBIE),
        ("Domain", cap_type::DOMAIN),
        ("SchedContext", cap_type::SCHED_CONTEXT),
        ("SchedControl", cap_type::SCHED_CONTROL),
        ("SGISignal", cap_type::SGI_SIGNAL),
    ])
}

fn faults() -> Json {
    let name = |kind: FaultKind| match kind {
        FaultKind::VmFault => "VMFault".to_string(),
        other => format!("{other:?}"),
    };
    object((0..LABELS).filter_map(|label| Some((name(FaultKind::from_label(label)?), label))))
}

/// Words of the message, and how many words of the reply are taken back. A capability fault's length depends on its
/// cause, and its reply has no words, as that of a fault of the address space.
fn fault_words() -> Json {
    let words = |message: usize, reply: usize| object([("message", message), ("reply", reply)]);
    object([
        (
            "UnknownSyscall",
            words(
                fault_length::UNKNOWN_SYSCALL,
                fault_length::UNKNOWN_SYSCALL_REPLY,
            ),
        ),
        (
            "UserException",
            words(
                fault_length::USER_EXCEPTION,
                fault_length::USER_EXCEPTION_REPLY,
            ),
        ),
        (
            "Timeout",
            words(fault_length::TIMEOUT, sel4_abi::TIMEOUT_REPLY_WORDS),
        ),
        ("VMFault", words(fault_length::VM_FAULT, 0)),
    ])
}

fn message() -> Json {
    let all = u64::MAX;
    let info = [
        ("length", MessageInfo::new(0, 0, 0, all)),
        ("extraCaps", MessageInfo::new(0, 0, all, 0)),
        ("capsUnwrapped", MessageInfo::new(0, all, 0, 0)),
        ("label", MessageInfo::new(all, 0, 0, 0)),
    ];
    object([
        ("max_words", Json::from(sel4_abi::MAX_MESSAGE_LENGTH)),
        ("max_extra_caps", Json::from(sel4_abi::MAX_EXTRA_CAPS)),
        ("register_words", Json::from(sel4_abi::MESSAGE_REGISTERS)),
        (
            "info",
            object(info.map(|(name, field)| (name, bits(field.0)))),
        ),
    ])
}

/// Where a field of a word is, from a word in which all of its bits are set and no other.
fn bits(mask: u64) -> Json {
    object([
        ("shift", mask.trailing_zeros()),
        ("bits", mask.count_ones()),
    ])
}

fn cnode_cap_data() -> Json {
    let guard = CNodeCapData::new(u64::MAX, 0).0;
    let size = CNodeCapData::new(0, u64::MAX).0;
    object([("guardSize", bits(size)), ("guard", bits(guard))])
}

fn flags<'a, T: Into<Flag>>(all: impl Iterator<Item = (&'a str, T)>) -> Json {
    object(all.map(|(name, flag)| (name, flag.into().0)))
}

/// The bits of any set of flags.
struct Flag(u64);

impl From<CapRights> for Flag {
    fn from(rights: CapRights) -> Self {
        Self(rights.bits())
    }
}

impl From<VmAttributes> for Flag {
    fn from(attributes: VmAttributes) -> Self {
        Self(attributes.bits())
    }
}

fn ipc_buffer() -> Json {
    object([
        ("tag", offset_of!(IpcBuffer, tag)),
        ("msg", offset_of!(IpcBuffer, msg)),
        ("userData", offset_of!(IpcBuffer, user_data)),
        ("caps_or_badges", offset_of!(IpcBuffer, caps_or_badges)),
        ("receiveCNode", offset_of!(IpcBuffer, receive_cnode)),
        ("receiveIndex", offset_of!(IpcBuffer, receive_index)),
        ("receiveDepth", offset_of!(IpcBuffer, receive_depth)),
        ("sizeof", size_of::<IpcBuffer>()),
    ])
}

/// Where a region of slots is, its `start` is; its `end` is the next word.
fn boot_info() -> Json {
    object([
        ("extraLen", offset_of!(BootInfo, extra_len)),
        ("nodeID", offset_of!(BootInfo, node_id)),
        ("numNodes", offset_of!(BootInfo, num_nodes)),
        ("numIOPTLevels", offset_of!(BootInfo, num_iopt_levels)),
        ("ipcBuffer", offset_of!(BootInfo, ipc_buffer)),
        ("empty", offset_of!(BootInfo, empty)),
        ("sharedFrames", offset_of!(BootInfo, shared_frames)),
        ("userImageFrames", offset_of!(BootInfo, user_image_frames)),
        ("userImagePaging", offset_of!(BootInfo, user_image_paging)),
        ("ioSpaceCaps", offset_of!(BootInfo, io_space_caps)),
        ("extraBIPages", offset_of!(BootInfo, extra_bi_pages)),
        (
            "initThreadCNodeSizeBits",
            offset_of!(BootInfo, init_thread_cnode_size_bits),
        ),
        ("initThreadDomain", offset_of!(BootInfo, init_thread_domain)),
        ("schedcontrol", offset_of!(BootInfo, sched_control)),
        ("untyped", offset_of!(BootInfo, untyped)),
        ("untypedList", offset_of!(BootInfo, untyped_list)),
        ("sizeof", size_of::<BootInfo>()),
    ])
}

fn untyped_desc() -> Json {
    object([
        ("paddr", offset_of!(UntypedDesc, paddr)),
        ("sizeBits", offset_of!(UntypedDesc, size_bits)),
        ("isDevice", offset_of!(UntypedDesc, is_device)),
        ("sizeof", size_of::<UntypedDesc>()),
    ])
}

fn extra_boot_info() -> Json {
    object([
        (
            "ids",
            object([
                ("Padding", boot_info_id::PADDING),
                ("FDT", boot_info_id::FDT),
            ]),
        ),
        (
            "header_offsets",
            object([
                ("id", offset_of!(BootInfoHeader, id)),
                ("len", offset_of!(BootInfoHeader, len)),
                ("sizeof", size_of::<BootInfoHeader>()),
            ]),
        ),
    ])
}

fn initial_slots() -> Json {
    object([
        ("Null", slot::NULL),
        ("InitThreadTCB", slot::INIT_THREAD_TCB),
        ("InitThreadCNode", slot::INIT_THREAD_CNODE),
        ("InitThreadVSpace", slot::INIT_THREAD_VSPACE),
        ("IRQControl", slot::IRQ_CONTROL),
        ("ASIDControl", slot::ASID_CONTROL),
        ("InitThreadASIDPool", slot::INIT_THREAD_ASID_POOL),
        ("IOPortControl", slot::IO_PORT_CONTROL),
        ("IOSpace", slot::IO_SPACE),
        ("BootInfoFrame", slot::BOOT_INFO_FRAME),
        ("InitThreadIPCBuffer", slot::INIT_THREAD_IPC_BUFFER),
        ("Domain", slot::DOMAIN),
        ("SMMUSIDControl", slot::SMMU_SID_CONTROL),
        ("SMMUCBControl", slot::SMMU_CB_CONTROL),
        ("InitThreadSC", slot::INIT_THREAD_SC),
        ("SMC", slot::SMC),
        ("NumInitialCaps", sel4_abi::INITIAL_SLOTS),
    ])
}

/// The registers in the order of the words, and the prefixes of that order which have a meaning.
fn user_context() -> Json {
    macro_rules! registers {
        ($($name:ident)*) => { [$((offset_of!(UserContext, $name), stringify!($name))),*] };
    }
    let mut registers = registers!(
        pc sp spsr x0 x1 x2 x3 x4 x5 x6 x7 x8 x9 x10 x11 x12 x13 x14 x15 x16 x17 x18 x19 x20 x21 x22 x23 x24 x25 x26
        x27 x28 x29 x30 tpidr_el0 tpidrro_el0
    );
    registers.sort();
    object([
        (
            "registers",
            Json::List(
                registers
                    .iter()
                    .map(|(_, name)| Json::from(*name))
                    .collect(),
            ),
        ),
        ("words", Json::from(sel4_abi::USER_CONTEXT_WORDS)),
        (
            "frame_registers",
            Json::from(sel4_abi::COPY_FRAME_REGISTERS),
        ),
    ])
}

fn limits() -> Json {
    object([
        ("UserTop", sel4_abi::USER_TOP),
        ("MaxPrio", u64::from(sel4_abi::MAX_PRIORITY)),
        ("UntypedRetypeMaxObjects", sel4_abi::RETYPE_FAN_OUT_LIMIT),
        (
            "MaxBootInfoUntypeds",
            sel4_abi::MAX_BOOT_INFO_UNTYPEDS as u64,
        ),
        ("MaxThreadName", sel4_abi::MAX_THREAD_NAME as u64),
        ("CoreSchedContextBytes", sel4_abi::SCHED_CONTEXT_CORE_BYTES),
        ("RefillSizeBytes", sel4_abi::REFILL_BYTES),
    ])
}
