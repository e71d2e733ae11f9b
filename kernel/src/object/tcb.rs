//! Threads. A TCB object is 2 KiB and holds five things with different owners, each reached by its own reference:
//! capability slots (structure), the saved registers and the FPU state (the core on which the thread is live), the
//! scheduling and IPC state [`Tcb`] (the thread's home core), and the debug name.

use sel4_abi::{MAX_THREAD_NAME, size_bits};

use super::{
    EndpointRef, Exclusive, Home, NotificationRef, ObjRef, Object, ReplyRef, ScRef, SlotRef,
    TableRef, TcbRef,
};
use crate::{
    cap::Slot,
    fault::Fault,
    preempt::Since,
    types::{CoreId, PhysAddr},
};

/// Where the parts of a TCB object are. References to [`Tcb`] hold the address of the object, which is aligned to its
/// size.
pub mod layout {
    use super::{Context, FpuState, Home, Slot, TCB_SLOTS, Tcb, ThreadName};

    pub const SLOTS: usize = 0;
    pub const CONTEXT: usize = TCB_SLOTS * size_of::<Slot>();
    pub const HOME: usize = CONTEXT + size_of::<Context>();
    pub const FPU: usize = (HOME + size_of::<Home>()).next_multiple_of(16);
    pub const TCB: usize = FPU + size_of::<FpuState>();
    pub const NAME: usize = TCB + size_of::<Tcb>();
    pub const END: usize = NAME + size_of::<ThreadName>();
}
const _: () = assert!(layout::END <= 1 << size_bits::TCB);

/// How many capability slots a TCB has.
pub const TCB_SLOTS: usize = 5;

/// The capabilities that a thread holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcbSlot {
    CSpace = 0,
    VSpace = 1,
    IpcBuffer = 2,
    FaultHandler = 3,
    TimeoutHandler = 4,
}

/// Saved user registers. The trap entry and exit know its layout.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Context {
    /// x0 to x30.
    pub x: [u64; 31],
    pub sp: u64,
    /// Where the thread goes on: ELR at the trap.
    pub next_ip: u64,
    pub spsr: u64,
    pub tpidr: u64,
    pub tpidrro: u64,
    /// The instruction that trapped: where the thread goes on when it is restarted.
    pub fault_ip: u64,
}

/// Floating-point and vector registers.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
pub struct FpuState {
    pub v: [u128; 32],
    pub fpsr: u64,
    pub fpcr: u64,
}

/// What a thread does. Blocked states carry what IPC must remember.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreadState {
    Inactive,
    Running,
    /// Runnable, and goes on at the fault IP.
    Restart,
    BlockedOnReceive {
        endpoint: EndpointRef,
    },
    BlockedOnSend {
        endpoint: EndpointRef,
        badge: u64,
        can_grant: bool,
        can_grant_reply: bool,
        is_call: bool,
        /// How many searches among senders had been interrupted when it joined the queue.
        round: u32,
    },
    BlockedOnReply {
        reply: ReplyRef,
    },
    BlockedOnNotification {
        notification: NotificationRef,
    },
}

/// Links of the one queue that a thread is in.
///
/// | queue | `prev`, `next` | `up` | `down` |
/// |---|---|---|---|
/// | ready | neighbours | | |
/// | release (a tree) | left and right child | parent | |
/// | endpoint, notification | neighbours | first thread of the next higher priority | of the next lower one |
#[derive(Clone, Copy, Debug)]
pub struct Links {
    pub prev: Option<TcbRef>,
    pub next: Option<TcbRef>,
    pub up: Option<TcbRef>,
    pub down: Option<TcbRef>,
}

impl Links {
    pub const NONE: Self = Self {
        prev: None,
        next: None,
        up: None,
        down: None,
    };
}

/// How far a call has got that was left for something more urgent. It belongs to the call that the thread does again
/// next, and to nothing else: any other call, and whoever writes the thread's registers, drops it ([`crate::preempt`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    None,
    /// Cache maintenance of this page, in this address space, is done up to this address.
    Maintained {
        root: TableRef,
        page: PhysAddr,
        next: u64,
    },
    /// The senders before this one (none: nobody who still waits) have been looked at, for those with this badge.
    Searched {
        badge: u64,
        next: Option<TcbRef>,
        since: Since,
    },
    /// The other way round: this thread waits to send, and the search of that one goes on here.
    SearchStop {
        by: TcbRef,
    },
}

/// Scheduling and IPC state of a thread.
pub struct Tcb {
    pub state: ThreadState,
    pub links: Links,
    pub progress: Progress,
    pub fault: Fault,
    pub sc: Option<ScRef>,
    /// The reply object given to the receive in which this thread blocks.
    pub reply: Option<ReplyRef>,
    /// The scheduling context that this thread yielded to.
    pub yield_to: Option<ScRef>,
    pub bound_notification: Option<NotificationRef>,
    /// Virtual address of the IPC buffer; 0 for none.
    pub buffer_address: u64,
    /// All threads, for the debug calls.
    pub debug_prev: Option<TcbRef>,
    pub debug_next: Option<TcbRef>,
    /// The core of the scheduling context last held: what the interface calls affinity.
    pub affinity: CoreId,
    /// Of a node of the release tree.
    pub balance: i8,
    pub priority: u8,
    pub mcp: u8,
    pub flags: u8,
    /// Has used floating point, so its state is switched with it.
    pub fpu_used: bool,
    pub in_ready_queue: bool,
    pub in_release_queue: bool,
}

/// The name given by `DebugNameThread`, with its terminator.
#[repr(C)]
pub struct ThreadName(pub [u8; MAX_THREAD_NAME + 1]);

impl Object for Tcb {
    const OFFSET: usize = layout::TCB;

    fn home(tcb: TcbRef) -> Option<ObjRef<Home>> {
        Some(tcb.home())
    }
}
impl Exclusive for Tcb {
    const STRUCTURE: bool = false;
}
impl Object for Context {
    fn home(context: ObjRef<Self>) -> Option<ObjRef<Home>> {
        Some(TcbRef::from_object(context.address() - layout::CONTEXT).home())
    }
}
impl Exclusive for Context {
    const STRUCTURE: bool = false;
}
impl Object for FpuState {
    fn home(state: ObjRef<Self>) -> Option<ObjRef<Home>> {
        Some(TcbRef::from_object(state.address() - layout::FPU).home())
    }
}
impl Exclusive for FpuState {
    const STRUCTURE: bool = false;
}
impl Object for ThreadName {}
impl Exclusive for ThreadName {}

impl Tcb {
    #[allow(
        clippy::new_without_default,
        reason = "an object is made in its place, on purpose"
    )]
    /// A new thread: inactive, priority 0.
    pub fn new() -> Self {
        Self {
            state: ThreadState::Inactive,
            links: Links::NONE,
            progress: Progress::None,
            fault: Fault::None,
            sc: None,
            reply: None,
            yield_to: None,
            bound_notification: None,
            buffer_address: 0,
            debug_prev: None,
            debug_next: None,
            affinity: CoreId::BOOT,
            balance: 0,
            priority: 0,
            mcp: 0,
            flags: 0,
            fpu_used: false,
            in_ready_queue: false,
            in_release_queue: false,
        }
    }

    pub fn is_runnable(&self) -> bool {
        matches!(self.state, ThreadState::Running | ThreadState::Restart)
    }

    /// Whether its floating-point state is loaded when it is dispatched.
    pub fn wants_fpu(&self) -> bool {
        self.fpu_used && !self.is_fpu_disabled()
    }

    pub fn is_fpu_disabled(&self) -> bool {
        u64::from(self.flags) & sel4_abi::TCB_FLAG_FPU_DISABLED != 0
    }

    pub fn is_blocked(&self) -> bool {
        match self.state {
            ThreadState::BlockedOnReceive { .. }
            | ThreadState::BlockedOnSend { .. }
            | ThreadState::BlockedOnReply { .. }
            | ThreadState::BlockedOnNotification { .. } => true,
            ThreadState::Inactive | ThreadState::Running | ThreadState::Restart => false,
        }
    }
}

impl TcbRef {
    /// The thread whose TCB object starts at this address.
    pub fn from_object(base: usize) -> Self {
        debug_assert!(base.is_multiple_of(1 << size_bits::TCB));
        Self::from_address(base)
    }

    /// Where the TCB object starts.
    pub fn object(self) -> usize {
        self.address()
    }

    pub fn slot(self, slot: TcbSlot) -> SlotRef {
        self.part(layout::SLOTS + slot as usize * size_of::<Slot>())
    }

    pub fn context(self) -> ObjRef<Context> {
        self.part(layout::CONTEXT)
    }

    pub fn fpu(self) -> ObjRef<FpuState> {
        self.part(layout::FPU)
    }

    /// Whose lock guards this thread while it is not live.
    pub fn home(self) -> ObjRef<Home> {
        self.part(layout::HOME)
    }

    pub fn name(self) -> ObjRef<ThreadName> {
        self.part(layout::NAME)
    }
}
