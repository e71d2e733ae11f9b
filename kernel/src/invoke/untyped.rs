//! `Untyped_Retype`: new objects from free memory.

use sel4_abi::{Invocation, ObjectType, size_bits};

use super::{Args, Leave, Outcome, Results};
use crate::{
    access::Kernel,
    arch,
    cap::{Cap, FrameRights, PageSize, RawCap},
    cdt,
    config::{MAX_NUM_WORK_UNITS_PER_PREEMPTION, RETYPE_FAN_OUT_LIMIT},
    cspace, debug,
    fault::{LookupFailure, SysError},
    object::{Endpoint, Home, Notification, ObjRef, Reply, SchedContext, SlotRef, Tcb, TcbRef},
    preempt,
    types::PhysAddr,
};

/// Memory is cleared, and the progress recorded, so many bytes at a time.
const CLEAR_CHUNK: u64 = 4096;
/// What clearing a chunk counts as, in units of preemptible work.
const CLEAR_UNITS: usize = 20;

/// A checked retype.
struct Plan {
    slot: SlotRef,
    base: PhysAddr,
    device: bool,
    /// Start again at the beginning: nothing is left of what was made before.
    reset: bool,
    /// How much was used before.
    used: u64,
    free: u64,
    object: ObjectType,
    object_bits: u64,
    count: u64,
    first_slot: SlotRef,
}

/// Whether so little of it has to be cleared that a retype does not look for something more urgent on the way.
#[inline]
pub fn is_short(k: &Kernel<'_>, slot: SlotRef) -> bool {
    let Cap::Untyped { free, .. } = k.get(slot).cap() else {
        return false;
    };
    let chunks = free.div_ceil(CLEAR_CHUNK) as usize;
    chunks * CLEAR_UNITS < MAX_NUM_WORK_UNITS_PER_PREEMPTION || cdt::first_child(k, slot).is_some()
}

pub fn invoke(k: &mut Kernel<'_>, args: &Args, cap: RawCap) -> Outcome {
    let plan = decode(k, args, cap)?;
    if plan.reset {
        reset(k, &plan)?;
    }
    perform(k, &plan);
    Ok(Results::none())
}

fn decode(k: &Kernel<'_>, args: &Args, cap: RawCap) -> Result<Plan, SysError> {
    let Cap::Untyped {
        base,
        bits,
        device,
        free,
    } = cap.decode()
    else {
        unreachable!("dispatched by type")
    };
    if args.label != Invocation::UntypedRetype.label() {
        return Err(SysError::IllegalOperation);
    }
    args.require(6, 1)?;
    let word = |index| args.word(k, index);
    let (size_arg, index, depth, offset, count) = (word(1), word(2), word(3), word(4), word(5));
    let object = ObjectType::from_word(word(0)).ok_or(SysError::InvalidArgument(0))?;
    let size_range = SysError::RangeError {
        min: 0,
        max: size_bits::MAX_UNTYPED,
    };
    if size_arg >= cspace::WORD_BITS {
        return Err(size_range);
    }
    let object_bits = object.object_bits(size_arg);
    if object_bits > size_bits::MAX_UNTYPED {
        return Err(size_range);
    }
    let too_small = match object {
        ObjectType::CNode => size_arg == 0,
        ObjectType::Untyped => size_arg < size_bits::MIN_UNTYPED,
        ObjectType::SchedContext => size_arg < size_bits::MIN_SCHED_CONTEXT,
        _ => false,
    };
    if too_small {
        return Err(SysError::InvalidArgument(1));
    }
    let root = args.extra_raw(k, 0);
    let node = if depth == 0 {
        root
    } else {
        let slot = cspace::lookup_target_slot(k, root, index, depth, false)?;
        k.get(slot).raw()
    };
    let Cap::CNode {
        base: node, radix, ..
    } = node.decode()
    else {
        let failure = LookupFailure::MissingCapability { bits_left: depth };
        return Err(SysError::FailedLookup {
            source: false,
            failure,
        });
    };
    let slots = 1u64 << radix;
    if offset >= slots {
        return Err(SysError::RangeError {
            min: 0,
            max: slots - 1,
        });
    }
    let limit = RETYPE_FAN_OUT_LIMIT as u64;
    if !(1..=limit).contains(&count) {
        return Err(SysError::RangeError { min: 1, max: limit });
    }
    if count > slots - offset {
        return Err(SysError::RangeError {
            min: 1,
            max: slots - offset,
        });
    }
    let first_slot = node.nth(offset as usize);
    for slot in 0..count as usize {
        cspace::ensure_empty(k, first_slot.nth(slot))?;
    }
    let reset = cdt::first_child(k, args.slot).is_none();
    let used = free;
    let free = if reset { 0 } else { free };
    let left = (1u64 << bits) - free;
    if (left >> object_bits) < count {
        return Err(SysError::NotEnoughMemory { free: left });
    }
    let device_type = matches!(
        object,
        ObjectType::Untyped | ObjectType::SmallPage | ObjectType::LargePage | ObjectType::HugePage
    );
    if device && !device_type {
        return Err(SysError::InvalidArgument(1));
    }
    Ok(Plan {
        slot: args.slot,
        base,
        device,
        reset,
        used,
        free,
        object,
        object_bits,
        count,
        first_slot,
    })
}

/// Clears what was used before, from the top, so that an interrupted call goes on where this one stopped.
fn reset(k: &mut Kernel<'_>, plan: &Plan) -> Result<(), Leave> {
    // What `perform` sets is all that there is to do for a device.
    let mut used = if plan.device { 0 } else { plan.used };
    while used != 0 {
        let from = (used - 1) & !(CLEAR_CHUNK - 1);
        k.clear(plan.base.offset(from), used - from);
        k.get_mut(plan.slot).raw_mut().set_free(from);
        used = from;
        preempt::units(k, CLEAR_UNITS)?;
    }
    Ok(())
}

fn perform(k: &mut Kernel<'_>, plan: &Plan) {
    let size = 1u64 << plan.object_bits;
    let start = plan.free.next_multiple_of(size);
    match plan.object {
        ObjectType::SmallPage => create_pages(k, plan, start, PageSize::Small),
        ObjectType::LargePage => create_pages(k, plan, start, PageSize::Large),
        ObjectType::HugePage => create_pages(k, plan, start, PageSize::Huge),
        _ => create_objects(k, plan, start),
    }
    let free = start + plan.count * size;
    k.get_mut(plan.slot).raw_mut().set_free(free);
}

/// The kernel keeps nothing in pages.
#[inline]
fn create_pages(k: &mut Kernel<'_>, plan: &Plan, start: u64, size: PageSize) {
    for number in 0..plan.count {
        let cap = RawCap::pack(Cap::Frame {
            base: plan.base.offset(start + number * size.bytes()),
            size,
            rights: FrameRights::ReadWrite,
            device: plan.device,
            mapping: None,
        });
        cdt::insert_new(k, cap, plan.slot, plan.first_slot.nth(number as usize));
    }
}

#[inline(never)]
fn create_objects(k: &mut Kernel<'_>, plan: &Plan, start: u64) {
    for number in 0..plan.count {
        let at = plan.base.offset(start + (number << plan.object_bits));
        let cap = create(k, plan, at);
        cdt::insert_new(k, cap, plan.slot, plan.first_slot.nth(number as usize));
    }
}

/// Puts an object into cleared memory: its capability.
fn create(k: &mut Kernel<'_>, plan: &Plan, at: PhysAddr) -> Cap {
    let home = k.me();
    // Only where the kernel keeps the object: a device may be beyond the window.
    let address = || arch::to_virtual(at);
    match plan.object {
        ObjectType::Untyped => Cap::Untyped {
            base: at,
            bits: plan.object_bits as u8,
            device: plan.device,
            free: 0,
        },
        ObjectType::Tcb => {
            let tcb = TcbRef::from_object(address());
            new_thread(k, tcb);
            Cap::Thread { tcb }
        }
        ObjectType::Endpoint => {
            let endpoint = ObjRef::from_address(address());
            k.place(endpoint, Endpoint::new(home));
            Cap::Endpoint {
                endpoint,
                badge: 0,
                rights: sel4_abi::CapRights::all(),
            }
        }
        ObjectType::Notification => {
            let notification = ObjRef::from_address(address());
            k.place(notification, Notification::new(home));
            let rights = sel4_abi::CapRights::READ_WRITE;
            Cap::Notification {
                notification,
                badge: 0,
                rights,
            }
        }
        ObjectType::CNode => Cap::CNode {
            base: ObjRef::from_address(address()),
            radix: (plan.object_bits - size_bits::SLOT) as u8,
            guard: 0,
            guard_size: 0,
        },
        ObjectType::SchedContext => {
            let sc = ObjRef::from_address(address());
            let bits = plan.object_bits as u8;
            k.place(sc, SchedContext::new(bits));
            Cap::SchedContext { sc, bits }
        }
        ObjectType::Reply => {
            let reply = ObjRef::from_address(address());
            k.place(reply, Reply::new(home));
            Cap::Reply {
                reply,
                can_grant: true,
            }
        }
        ObjectType::SmallPage | ObjectType::LargePage | ObjectType::HugePage => {
            unreachable!("pages are made elsewhere")
        }
        // The walker may read tables as soon as they are mapped; cleared memory is a table of nothing.
        ObjectType::VSpace => Cap::VSpace {
            root: ObjRef::from_address(address()),
            asid: None,
        },
        ObjectType::PageTable => Cap::PageTable {
            table: ObjRef::from_address(address()),
            mapping: None,
        },
    }
}

/// Makes a thread in cleared memory. Slots, registers, floating-point state and name are right as zeroes.
pub fn new_thread(k: &mut Kernel<'_>, tcb: TcbRef) {
    let home = k.me();
    k.get_mut(tcb.context()).spsr = arch::USER_SPSR;
    k.place(tcb, Tcb::new());
    k.place(tcb.home(), Home::new(home));
    debug::register_thread(k, tcb);
}
