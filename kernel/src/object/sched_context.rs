//! Scheduling contexts: a 96-byte header, then the refill ring up to the object's end.

use mcs::RefillState;

use super::{Exclusive, Home, NotificationRef, ObjRef, Object, ReplyRef, ScRef, TcbRef};

/// The right to run on one core for a budget in each period.
#[repr(C)]
pub struct SchedContext {
    pub refills: RefillState,
    /// Ticks used since the last read.
    pub consumed: u64,
    pub tcb: Option<TcbRef>,
    pub notification: Option<NotificationRef>,
    /// Given by the holder of SchedControl; goes with timeout faults.
    pub badge: u64,
    /// Head of the call stack: the reply object through which this context goes back.
    pub reply: Option<ReplyRef>,
    /// The thread that yielded to this context and waits for the result.
    pub yield_from: Option<TcbRef>,
    pub sporadic: bool,
    pub size_bits: u8,
}

/// Where the refill ring starts: part of the interface, since the number of refills follows from it.
pub const REFILLS_OFFSET: usize = 96;
/// Where the core is on which the context is valid: its home, always.
const CORE_OFFSET: usize = REFILLS_OFFSET - size_of::<u64>();
const _: () = assert!(size_of::<SchedContext>() <= CORE_OFFSET);
const _: () = assert!(mcs::REFILL_BYTES == sel4_abi::REFILL_BYTES);
const _: () =
    assert!(REFILLS_OFFSET as u64 + 2 * mcs::REFILL_BYTES == sel4_abi::SCHED_CONTEXT_CORE_BYTES);

impl Object for SchedContext {
    fn home(sc: ScRef) -> Option<ObjRef<Home>> {
        Some(sc.core())
    }
}
impl Exclusive for SchedContext {
    const STRUCTURE: bool = false;
}

impl ScRef {
    /// The core on which the context is valid.
    pub fn core(self) -> ObjRef<Home> {
        ObjRef::from_address(self.address() + CORE_OFFSET)
    }
}

impl SchedContext {
    /// Not configured: threads bound to it do not run.
    pub fn new(size_bits: u8) -> Self {
        Self {
            refills: RefillState::default(),
            consumed: 0,
            tcb: None,
            notification: None,
            badge: 0,
            reply: None,
            yield_from: None,
            sporadic: false,
            size_bits,
        }
    }

    pub fn is_active(&self) -> bool {
        self.refills.is_active()
    }
}
