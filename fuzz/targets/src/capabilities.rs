//! Capabilities in two words: what is stored is what is read, and any two words of a known kind mean something that can be
//! stored.

#![allow(
    unsafe_code,
    reason = "packed words that the kernel's own code would not make"
)]

use sel4_abi::{CapRights, cap_type};
use tern_kernel::cap::{
    Asid, Cap, FrameRights, IrqLine, Mapping, PageSize, RawCap, Slot, ZombieKind,
};
use tern_kernel::derive;
use tern_kernel::object::{ObjRef, Object};
use tern_kernel::types::{CoreId, PhysAddr};

use crate::given::Given;

pub fn run(data: &[u8]) {
    let mut given = Given::new(data);
    if given.any::<u8>() & 1 == 0 {
        words([given.any(), given.any()]);
    } else {
        let cap = cap(&mut given);
        stored(cap);
        derived(&mut given, cap);
    }
}

fn stored(cap: Cap) {
    let mut slot = Slot::EMPTY;
    slot.set_cap(cap);
    assert_eq!(slot.cap(), cap);
    assert_eq!(slot.is_empty(), cap.is_null());
    assert_eq!(RawCap::from(slot.cap()), slot.raw());
}

/// Two words with an object address and fields that the kernel could have stored.
fn words(words: [u64; 2]) {
    let kind = words[1] >> 59;
    let address = words[1] & ((1 << 48) - 1);
    let named = match kind {
        cap_type::NULL
        | cap_type::UNTYPED
        | cap_type::SCHED_CONTROL
        | cap_type::ASID_CONTROL
        | cap_type::IRQ_CONTROL
        | cap_type::IRQ_HANDLER
        | cap_type::DOMAIN
        | cap_type::SGI_SIGNAL => true,
        cap_type::FRAME => words[1] >> 48 & 3 != 3 && words[1] >> 50 & 3 != 3,
        // The low bits are the size of the guard.
        cap_type::CNODE => address >> 6 != 0,
        cap_type::PAGE_TABLE
        | cap_type::ENDPOINT
        | cap_type::NOTIFICATION
        | cap_type::REPLY
        | cap_type::VSPACE
        | cap_type::THREAD
        | cap_type::ASID_POOL
        | cap_type::ZOMBIE
        | cap_type::SCHED_CONTEXT => address != 0,
        _ => false,
    };
    if !named {
        return;
    }
    // SAFETY: two words without invalid values; it is decoded and encoded only.
    let raw = unsafe { std::mem::transmute::<[u64; 2], RawCap>(words) };
    let cap = raw.decode();
    let again = RawCap::from(cap);
    assert_eq!(again.decode(), cap);
    assert_eq!(RawCap::from(again.decode()), again);
    assert_eq!(again.type_number(), raw.type_number());
    stored(cap);
}

/// A copy has no more rights, and the kind and object of what it is a copy of; so has one with a badge or a guard.
fn derived(given: &mut Given<'_>, cap: Cap) {
    let kind = RawCap::from(cap).type_number();
    let masked = derive::mask_rights(cap.into(), CapRights::from_bits_truncate(given.any()));
    assert_eq!(masked.type_number(), kind);
    stored(masked.decode());
    for new in [
        derive::mint(cap.into(), given.any()),
        derive::mutate(cap.into(), given.any()),
    ] {
        let new = new.decode();
        let number = RawCap::from(new).type_number();
        assert!(number == kind || new.is_null(), "{cap:?} became {new:?}");
        stored(new);
        if let Cap::CNode {
            radix,
            guard,
            guard_size,
            ..
        } = new
        {
            assert!(u32::from(radix) + u32::from(guard_size) <= 64);
            assert!(guard_size == 0 || guard >> (guard_size - 1) <= 1);
        }
    }
}

fn object<T: Object>(given: &mut Given<'_>, bits: u32) -> ObjRef<T> {
    // Objects are in one half of the address space, here in the lower one: 48 bits.
    let address = given.any::<u64>() & ((1 << 48) - 1);
    let address = address as usize >> bits << bits;
    ObjRef::from_address(if address == 0 { 1 << bits } else { address })
}

fn mapping(given: &mut Given<'_>) -> Option<Mapping> {
    Some(Mapping {
        asid: Asid::new(given.any())?,
        vaddr: given.any::<u64>() & ((1 << 48) - 1),
    })
}

fn cap(given: &mut Given<'_>) -> Cap {
    let address = |given: &mut Given<'_>| PhysAddr(given.any::<u64>() & ((1 << 48) - 1));
    let rights = |given: &mut Given<'_>| CapRights::from_bits_truncate(given.any());
    match given.below(19) {
        0 => Cap::Null,
        1 => Cap::Untyped {
            base: address(given),
            bits: given.below(64),
            device: given.any(),
            free: given.any(),
        },
        2 => Cap::Endpoint {
            endpoint: object(given, 4),
            badge: given.any(),
            rights: rights(given),
        },
        3 => Cap::Notification {
            notification: object(given, 6),
            badge: given.any(),
            rights: rights(given),
        },
        4 => Cap::Reply {
            reply: object(given, 5),
            can_grant: given.any(),
        },
        5 => {
            // As much guard as there is room for: nothing else is ever stored.
            let radix = 1 + given.below(47);
            let guard_size = given.below(64 - radix);
            Cap::CNode {
                base: object(given, 6),
                radix,
                guard: given.any::<u64>() & ((1 << guard_size) - 1),
                guard_size,
            }
        }
        6 => Cap::Thread {
            tcb: object(given, 4),
        },
        7 => Cap::SchedContext {
            sc: object(given, 7),
            bits: given.below(64),
        },
        8 => Cap::SchedControl {
            core: CoreId(given.any()),
        },
        9 => Cap::Frame {
            base: address(given),
            size: given.of(&[PageSize::Small, PageSize::Large, PageSize::Huge]),
            rights: given.of(&[
                FrameRights::KernelOnly,
                FrameRights::ReadOnly,
                FrameRights::ReadWrite,
            ]),
            device: given.any(),
            mapping: mapping(given),
        },
        10 => Cap::PageTable {
            table: object(given, 12),
            mapping: mapping(given),
        },
        11 => Cap::VSpace {
            root: object(given, 12),
            asid: Asid::new(given.any()),
        },
        12 => Cap::AsidControl,
        13 => Cap::AsidPool {
            pool: object(given, 12),
            index: given.any(),
        },
        14 => Cap::IrqControl,
        15 => Cap::IrqHandler {
            line: IrqLine {
                intid: given.any(),
                core: CoreId(given.any()),
            },
        },
        16 => Cap::SgiSignal {
            sgi: given.any(),
            target: CoreId(given.any()),
        },
        17 => Cap::Domain,
        _ => Cap::Zombie {
            base: object(given, 5),
            kind: match given.below(4) {
                0 => ZombieKind::Tcb,
                1 => ZombieKind::Endpoint,
                2 => ZombieKind::Notification,
                _ => ZombieKind::CNode {
                    radix: given.below(48),
                },
            },
            remaining: given.any(),
        },
    }
}
