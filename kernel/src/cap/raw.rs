//! Packed capabilities. This is the one place that knows the bits.
//!
//! The type number in bits 63:59 of the second word is the one that `DebugCapIdentify` reports. Object addresses are
//! 48 bits; above them the kernel's half of the address space is all ones. Only [`RawCap::from`] and the changes here
//! write packed words.
//!
//! What is done for every call works on the words: decoding is for those that need to know what a capability is.

use sel4_abi::{CapRights, cap_type as t};

use super::{Asid, Cap, FrameRights, IrqLine, Mapping, PageSize, ZombieKind};
use crate::{
    arch,
    object::{EndpointRef, NotificationRef, ObjRef, Object, ReplyRef, SlotRef, TableRef},
    types::{CoreId, PhysAddr},
};

/// A packed capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct RawCap(u64, u64);

/// What a walk through a capability space needs of a CNode.
#[derive(Clone, Copy)]
pub struct Node {
    pub base: SlotRef,
    pub radix: u64,
    pub guard: u64,
    pub guard_size: u64,
}

const ADDRESS: u64 = (1 << 48) - 1;
const TYPE_SHIFT: u32 = 59;
const TYPE: u64 = u64::MAX << TYPE_SHIFT;
/// Where rights and sizes stand, above an address.
const ABOVE: u32 = 48;
const SIZE: u64 = 0x3f << ABOVE;
const CAN_GRANT: u64 = 1 << ABOVE;
const FRAME_SIZE: u64 = 3 << ABOVE;
const FRAME_DEVICE: u64 = 1 << (ABOVE + 4);
/// Low address bits that are free because CNodes of at least two slots are aligned to 64 bytes.
const GUARD_SIZE_MASK: u64 = 0x3f;
const ZOMBIE_TCB: u64 = 1 << 54;
const ZOMBIE_ENDPOINT: u64 = 2 << 54;
const ZOMBIE_NOTIFICATION: u64 = 3 << 54;
const ZOMBIE_KIND: u64 = 3 << 54;

fn tag(number: u64) -> u64 {
    number << TYPE_SHIFT
}

fn address<T>(object: ObjRef<T>) -> u64 {
    object.address() as u64 & ADDRESS
}

#[inline(always)]
fn object<T: Object>(word: u64) -> ObjRef<T> {
    ObjRef::from_address(((word & ADDRESS) | arch::OBJECTS_ABOVE) as usize)
}

fn pack_mapping(mapping: Option<Mapping>) -> u64 {
    mapping.map_or(0, |m| (u64::from(m.asid.number()) << 48) | m.vaddr)
}

fn unpack_mapping(word: u64) -> Option<Mapping> {
    let asid = Asid::new((word >> 48) as u16)?;
    Some(Mapping {
        asid,
        vaddr: word & ADDRESS,
    })
}

fn rights(word: u64) -> CapRights {
    CapRights::from_bits_truncate(word >> 48)
}

impl From<Cap> for RawCap {
    fn from(cap: Cap) -> Self {
        Self::pack(cap)
    }
}

impl RawCap {
    /// As [`RawCap::from`], for those who know the type: they have that type's fields left of it.
    #[inline(always)]
    pub fn pack(cap: Cap) -> Self {
        let [w0, w1] = match cap {
            Cap::Null => [0, 0],
            Cap::Untyped {
                base,
                bits,
                device,
                free,
            } => [
                free,
                tag(t::UNTYPED) | base.0 | (u64::from(bits) << 48) | (u64::from(device) << 54),
            ],
            Cap::Endpoint {
                endpoint,
                badge,
                rights,
            } => [
                badge,
                tag(t::ENDPOINT) | address(endpoint) | (rights.bits() << 48),
            ],
            Cap::Notification {
                notification,
                badge,
                rights,
            } => [
                badge,
                tag(t::NOTIFICATION) | address(notification) | (rights.bits() << 48),
            ],
            Cap::Reply { reply, can_grant } => [
                0,
                tag(t::REPLY) | address(reply) | (u64::from(can_grant) << 48),
            ],
            Cap::CNode {
                base,
                radix,
                guard,
                guard_size,
            } => {
                let low = address(base) | u64::from(guard_size);
                [guard, tag(t::CNODE) | low | (u64::from(radix) << 48)]
            }
            Cap::Thread { tcb } => [0, tag(t::THREAD) | address(tcb)],
            Cap::SchedContext { sc, bits } => [
                0,
                tag(t::SCHED_CONTEXT) | address(sc) | (u64::from(bits) << 48),
            ],
            Cap::SchedControl { core } => [u64::from(core.0), tag(t::SCHED_CONTROL)],
            Cap::Frame {
                base,
                size,
                rights,
                device,
                mapping,
            } => {
                let flags = size as u64 | ((rights as u64) << 2) | (u64::from(device) << 4);
                [
                    pack_mapping(mapping),
                    tag(t::FRAME) | base.0 | (flags << 48),
                ]
            }
            Cap::PageTable { table, mapping } => {
                [pack_mapping(mapping), tag(t::PAGE_TABLE) | address(table)]
            }
            Cap::VSpace { root, asid } => [
                asid.map_or(0, |asid| u64::from(asid.number())),
                tag(t::VSPACE) | address(root),
            ],
            Cap::AsidControl => [0, tag(t::ASID_CONTROL)],
            Cap::AsidPool { pool, index } => [u64::from(index), tag(t::ASID_POOL) | address(pool)],
            Cap::IrqControl => [0, tag(t::IRQ_CONTROL)],
            Cap::IrqHandler { line } => [
                u64::from(line.intid) | (u64::from(line.core.0) << 32),
                tag(t::IRQ_HANDLER),
            ],
            Cap::SgiSignal { sgi, target } => [
                u64::from(sgi) | (u64::from(target.0) << 32),
                tag(t::SGI_SIGNAL),
            ],
            Cap::Domain => [0, tag(t::DOMAIN)],
            Cap::Zombie {
                base,
                kind,
                remaining,
            } => {
                let kind = match kind {
                    ZombieKind::Tcb => ZOMBIE_TCB,
                    ZombieKind::CNode { radix } => u64::from(radix) << 48,
                    ZombieKind::Endpoint => ZOMBIE_ENDPOINT,
                    ZombieKind::Notification => ZOMBIE_NOTIFICATION,
                };
                [remaining, tag(t::ZOMBIE) | address(base) | kind]
            }
        };
        Self(w0, w1)
    }
}

impl RawCap {
    pub const NULL: Self = Self(0, 0);

    /// Inlined everywhere: whoever asks for one type has a comparison and the fields of that type left of it.
    #[inline(always)]
    pub fn decode(self) -> Cap {
        let Self(w0, w1) = self;
        match w1 >> TYPE_SHIFT {
            t::NULL => Cap::Null,
            t::UNTYPED => Cap::Untyped {
                base: PhysAddr(w1 & ADDRESS),
                bits: (w1 >> 48 & 0x3f) as u8,
                device: w1 >> 54 & 1 == 1,
                free: w0,
            },
            t::ENDPOINT => Cap::Endpoint {
                endpoint: object(w1),
                badge: w0,
                rights: rights(w1),
            },
            t::NOTIFICATION => Cap::Notification {
                notification: object(w1),
                badge: w0,
                rights: rights(w1),
            },
            t::REPLY => Cap::Reply {
                reply: object(w1),
                can_grant: w1 >> 48 & 1 == 1,
            },
            t::CNODE => Cap::CNode {
                base: object(w1 & !GUARD_SIZE_MASK),
                radix: (w1 >> 48 & 0x3f) as u8,
                guard: w0,
                guard_size: (w1 & GUARD_SIZE_MASK) as u8,
            },
            t::THREAD => Cap::Thread { tcb: object(w1) },
            t::SCHED_CONTEXT => Cap::SchedContext {
                sc: object(w1),
                bits: (w1 >> 48 & 0x3f) as u8,
            },
            t::SCHED_CONTROL => Cap::SchedControl {
                core: CoreId(w0 as u16),
            },
            t::FRAME => Cap::Frame {
                base: PhysAddr(w1 & ADDRESS),
                size: match w1 >> 48 & 3 {
                    0 => PageSize::Small,
                    1 => PageSize::Large,
                    _ => PageSize::Huge,
                },
                rights: match w1 >> 50 & 3 {
                    0 => FrameRights::KernelOnly,
                    1 => FrameRights::ReadOnly,
                    _ => FrameRights::ReadWrite,
                },
                device: w1 >> 52 & 1 == 1,
                mapping: unpack_mapping(w0),
            },
            t::PAGE_TABLE => Cap::PageTable {
                table: object(w1),
                mapping: unpack_mapping(w0),
            },
            t::VSPACE => Cap::VSpace {
                root: object(w1),
                asid: Asid::new(w0 as u16),
            },
            t::ASID_CONTROL => Cap::AsidControl,
            t::ASID_POOL => Cap::AsidPool {
                pool: object(w1),
                index: w0 as u8,
            },
            t::IRQ_CONTROL => Cap::IrqControl,
            t::IRQ_HANDLER => Cap::IrqHandler {
                line: IrqLine {
                    intid: w0 as u32,
                    core: CoreId((w0 >> 32) as u16),
                },
            },
            t::SGI_SIGNAL => Cap::SgiSignal {
                sgi: w0 as u8,
                target: CoreId((w0 >> 32) as u16),
            },
            t::DOMAIN => Cap::Domain,
            t::ZOMBIE => Cap::Zombie {
                base: object(w1),
                kind: match w1 & ZOMBIE_KIND {
                    ZOMBIE_TCB => ZombieKind::Tcb,
                    ZOMBIE_ENDPOINT => ZombieKind::Endpoint,
                    ZOMBIE_NOTIFICATION => ZombieKind::Notification,
                    _ => ZombieKind::CNode {
                        radix: (w1 >> 48 & 0x3f) as u8,
                    },
                },
                remaining: w0,
            },
            other => {
                // Nobody writes another one. A panic here would be in everything that decodes.
                debug_assert!(false, "capability type {other}");
                Cap::Null
            }
        }
    }

    /// The parts of a capability to an endpoint.
    #[inline(always)]
    pub fn as_endpoint(self) -> Option<(EndpointRef, u64, CapRights)> {
        let Self(badge, w1) = self;
        (w1 >> TYPE_SHIFT == t::ENDPOINT).then(|| (object(w1), badge, rights(w1)))
    }

    /// The parts of a capability to a notification.
    #[inline(always)]
    pub fn as_notification(self) -> Option<(NotificationRef, u64, CapRights)> {
        let Self(badge, w1) = self;
        (w1 >> TYPE_SHIFT == t::NOTIFICATION).then(|| (object(w1), badge, rights(w1)))
    }

    /// The root and the identifier of a capability to a VSpace that has one.
    #[inline(always)]
    pub fn as_vspace(self) -> Option<(TableRef, Asid)> {
        let Self(w0, w1) = self;
        let asid = Asid::new(w0 as u16)?;
        (w1 >> TYPE_SHIFT == t::VSPACE).then(|| (object(w1), asid))
    }

    /// The object of a capability to a reply object.
    #[inline(always)]
    pub fn as_reply(self) -> Option<ReplyRef> {
        let Self(_, w1) = self;
        (w1 >> TYPE_SHIFT == t::REPLY).then(|| object(w1))
    }

    /// Of a frame or table: changes where it is mapped, and nothing else.
    #[inline]
    pub fn set_mapping(&mut self, mapping: Option<Mapping>) {
        self.0 = pack_mapping(mapping);
    }

    /// Of an untyped: changes where its free memory begins, and nothing else.
    #[inline]
    pub fn set_free(&mut self, free: u64) {
        self.0 = free;
    }

    /// The type number, as `DebugCapIdentify` reports it.
    #[inline]
    pub fn type_number(self) -> u64 {
        self.1 >> TYPE_SHIFT
    }

    #[inline]
    pub fn is_null(self) -> bool {
        // All types but this one have a number.
        self.1 == 0
    }

    /// The CNode that this names, if it names one.
    #[inline(always)]
    pub fn node(self) -> Option<Node> {
        let Self(guard, w1) = self;
        (self.type_number() == t::CNODE).then(|| Node {
            base: object(w1 & !GUARD_SIZE_MASK),
            radix: w1 >> ABOVE & 0x3f,
            guard,
            guard_size: w1 & GUARD_SIZE_MASK,
        })
    }

    /// The badge of an endpoint or notification.
    #[inline]
    pub fn badge(self) -> u64 {
        debug_assert!(matches!(self.type_number(), t::ENDPOINT | t::NOTIFICATION));
        self.0
    }

    /// An endpoint or notification with this badge.
    #[inline]
    pub fn with_badge(self, badge: u64) -> Self {
        debug_assert!(self.badge() == 0);
        Self(badge, self.1)
    }

    /// An endpoint or notification with no more than these rights.
    #[inline]
    pub fn with_rights_in(self, mask: CapRights) -> Self {
        let Self(badge, w1) = self;
        let lost = CapRights::all().difference(mask);
        Self(badge, w1 & !(lost.bits() << ABOVE))
    }

    /// A reply object through which no capabilities can be sent back.
    #[inline]
    pub fn without_grant(self) -> Self {
        Self(self.0, self.1 & !CAN_GRANT)
    }

    /// A frame with no more than these rights.
    pub fn with_frame_rights_in(self, mask: CapRights) -> Self {
        match self.decode() {
            Cap::Frame {
                base,
                size,
                rights,
                device,
                mapping,
            } => Self::from(Cap::Frame {
                base,
                size,
                rights: rights.mask(mask),
                device,
                mapping,
            }),
            _ => self,
        }
    }

    /// Whether a frame, translation table or VSpace is mapped, or has an identifier.
    #[inline]
    pub fn is_mapped(self) -> bool {
        debug_assert!(matches!(
            self.type_number(),
            t::FRAME | t::PAGE_TABLE | t::VSPACE
        ));
        self.0 != 0
    }

    /// A frame that is mapped nowhere.
    #[inline]
    pub fn unmapped(self) -> Self {
        debug_assert!(self.type_number() == t::FRAME);
        Self(0, self.1)
    }

    /// Whether the two name the very same object, so that neither is the last to do so. Untyped capabilities never do:
    /// each stands for its own piece of bookkeeping; nor does what is no object.
    #[inline]
    pub fn is_same_object(self, other: Self) -> bool {
        let [m0, m1] = IDENTITY[self.type_number() as usize];
        let [x, y] = [self.0 ^ other.0, self.1 ^ other.1];
        m1 != 0 && (x & m0) | (y & m1) == 0
    }

    /// Whether it may just be dropped while others name the same object: there is nothing that would have to be undone.
    #[inline]
    pub fn leaves_nothing(self) -> bool {
        match self.type_number() {
            t::FRAME => !self.is_mapped(),
            t::VSPACE | t::ZOMBIE => false,
            _ => true,
        }
    }
}

/// By type: the bits in which two capabilities to one object are the same, and any others differ. None where there is no such
/// thing.
const IDENTITY: [[u64; 2]; 1 << (u64::BITS - TYPE_SHIFT)] = {
    let mut masks = [[0; 2]; 1 << (u64::BITS - TYPE_SHIFT)];
    let mut number = 0;
    while number < masks.len() {
        masks[number] = match number as u64 {
            t::FRAME => [0, TYPE | ADDRESS | FRAME_SIZE | FRAME_DEVICE],
            t::CNODE => [0, TYPE | (ADDRESS & !GUARD_SIZE_MASK) | SIZE],
            t::SCHED_CONTEXT => [0, TYPE | ADDRESS | SIZE],
            t::ENDPOINT
            | t::NOTIFICATION
            | t::REPLY
            | t::THREAD
            | t::PAGE_TABLE
            | t::VSPACE
            | t::ASID_POOL => [0, TYPE | ADDRESS],
            t::SCHED_CONTROL | t::ASID_CONTROL | t::DOMAIN => [0, TYPE],
            t::IRQ_HANDLER | t::SGI_SIGNAL => [u64::MAX, TYPE],
            _ => [0, 0],
        };
        number += 1;
    }
    masks
};
