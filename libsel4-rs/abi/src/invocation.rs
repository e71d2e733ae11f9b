//! Invocation labels: the label of the message that invokes a kernel object.

macro_rules! invocations {
    ($($(#[$doc:meta])* $name:ident = $number:literal,)*) => {
        /// What an invocation asks of a kernel object. The configuration is EL1, MCS.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u64)]
        pub enum Invocation { $($(#[$doc])* $name = $number,)* }

        impl Invocation {
            /// Every label with its name.
            pub const ALL: &'static [(&'static str, Invocation)] = &[$((stringify!($name), Self::$name),)*];

            /// The invocation with this label. 56 and 57 mean different things with one core and with several:
            /// see [`Invocation::from_label_single_core`].
            pub const fn from_label(label: u64) -> Option<Self> {
                match label { $($number => Some(Self::$name),)* _ => None }
            }
        }
    };
}

invocations! {
    UntypedRetype = 1,
    TcbReadRegisters = 2,
    TcbWriteRegisters = 3,
    TcbCopyRegisters = 4,
    TcbConfigure = 5,
    TcbSetPriority = 6,
    TcbSetMcPriority = 7,
    TcbSetSchedParams = 8,
    TcbSetTimeoutEndpoint = 9,
    TcbSetIpcBuffer = 10,
    TcbSetSpace = 11,
    TcbSuspend = 12,
    TcbResume = 13,
    TcbBindNotification = 14,
    TcbUnbindNotification = 15,
    TcbSetTlsBase = 16,
    TcbSetFlags = 17,
    CNodeRevoke = 18,
    CNodeDelete = 19,
    CNodeCancelBadgedSends = 20,
    CNodeCopy = 21,
    CNodeMint = 22,
    CNodeMove = 23,
    CNodeMutate = 24,
    CNodeRotate = 25,
    IrqIssueHandler = 26,
    IrqAck = 27,
    IrqSetHandler = 28,
    IrqClearHandler = 29,
    DomainSetSet = 30,
    DomainScheduleConfigure = 31,
    DomainScheduleSetStart = 32,
    SchedControlConfigureFlags = 33,
    SchedContextBind = 34,
    SchedContextUnbind = 35,
    SchedContextUnbindObject = 36,
    SchedContextConsumed = 37,
    SchedContextYieldTo = 38,
    VSpaceCleanData = 39,
    VSpaceInvalidateData = 40,
    VSpaceCleanInvalidateData = 41,
    VSpaceUnifyInstruction = 42,
    /// Reserved: secure monitor calls are not offered.
    SmcCall = 43,
    PageTableMap = 44,
    PageTableUnmap = 45,
    PageMap = 46,
    PageUnmap = 47,
    PageCleanData = 48,
    PageInvalidateData = 49,
    PageCleanInvalidateData = 50,
    PageUnifyInstruction = 51,
    PageGetAddress = 52,
    AsidControlMakePool = 53,
    AsidPoolAssign = 54,
    IrqIssueHandlerTrigger = 55,
    /// Configurations for more than one core.
    IrqIssueHandlerTriggerCore = 56,
    /// Configurations for more than one core: the next free label of the interrupt control's arch methods. (Its
    /// number in a configuration for one core is 56.)
    IrqIssueSgiSignal = 57,
}

impl Invocation {
    /// As [`Invocation::from_label`], in a configuration for one core.
    pub const fn from_label_single_core(label: u64) -> Option<Self> {
        match label {
            56 => Some(Self::IrqIssueSgiSignal),
            57 => None,
            other => Self::from_label(other),
        }
    }

    /// The label in a configuration for several cores.
    pub const fn label(self) -> u64 {
        self as u64
    }
}
