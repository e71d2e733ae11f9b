//! A capability of every kind, to be used where another one belongs.

extern crate alloc;

use alloc::vec::Vec;

use libsel4::abi::{CapRights, ObjectType};
use libsel4::{
    Budget, Cap, Null, PageTable, SchedulingContext, SmallPage, System, Tcb, Untyped, VSpace,
    debug, init,
};

use crate::objects::{Answer, answer, object};

/// Kinds of capabilities, as far as invocations tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An empty slot.
    Null,
    /// 8 KiB without children.
    Untyped,
    /// 4 KiB with a child.
    UsedUntyped,
    DeviceUntyped,
    /// Inactive, without anything, of priorities 0.
    Thread,
    Endpoint,
    /// Without rights.
    SilentEndpoint,
    Notification,
    /// Without rights.
    SilentNotification,
    Reply,
    CNode,
    /// Configured, and bound to nothing.
    SchedContext,
    SchedControl,
    Frame,
    /// Without rights.
    SilentFrame,
    DeviceFrame,
    /// Not mapped.
    PageTable,
    /// With an address space identifier.
    VSpace,
    /// Without one.
    FreeVSpace,
    AsidControl,
    AsidPool,
    IrqControl,
    IrqHandler,
    SgiSignal,
    Domain,
}

impl Kind {
    /// Whether its invocations are messages or signals, whatever the label.
    pub fn takes_any_label(self) -> bool {
        matches!(
            self,
            Self::Endpoint
                | Self::SilentEndpoint
                | Self::Notification
                | Self::SilentNotification
                | Self::Reply
                | Self::SgiSignal
        )
    }

    /// Why it cannot be copied, for the kinds of which that is an error of its own.
    pub fn not_derived(self) -> Option<Answer> {
        match self {
            Self::UsedUntyped => Some(answer::revoke_first()),
            Self::PageTable | Self::FreeVSpace => Some(answer::illegal_operation()),
            _ => None,
        }
    }
}

/// Where the serial port is: memory of a device.
const DEVICE: u64 = 0x900_0000;

/// One of each, in the root CNode.
pub struct Zoo {
    caps: Vec<(Kind, u64)>,
    pub thread: Cap<Tcb>,
    pub sched: SchedulingContext,
    /// What the address space without an identifier is made of.
    of_free_vspace: Cap<Untyped>,
    free_vspace: Cap<VSpace>,
}

impl Zoo {
    /// The interrupt line of its handler. It never comes.
    pub const LINE: u64 = 47;

    pub fn new(system: &mut System) -> Self {
        let boot = system.boot();
        let thread = object::<Tcb>(system);
        let sched = SchedulingContext::new(system, 0, Budget::DEFAULT, 0).expect("a budget");
        let used = system.untyped(12).expect("memory");
        let child = system.slot().expect("a slot");
        used.retype_into(ObjectType::Endpoint, 0, init::CNODE, child.index)
            .expect("a child");
        let device = boot
            .untypeds()
            .find(|piece| piece.is_device && !(piece.paddr..piece.end()).contains(&DEVICE))
            .expect("device memory");
        let device_frame = system
            .device_frame::<SmallPage>(DEVICE)
            .expect("memory of a device");
        let endpoint = system.endpoint().expect("an endpoint");
        let notification = system.notification().expect("a notification");
        let frame = object::<SmallPage>(system);
        let none = CapRights::empty();
        let [handler, sgi, free] = [0; 3].map(|_| system.slot().expect("a slot"));
        init::IRQ_CONTROL
            .get(Self::LINE, &handler)
            .expect("a handler");
        init::IRQ_CONTROL
            .issue_sgi_signal(7, 0, &sgi)
            .expect("a signal");
        let of_free_vspace = system.untyped(12).expect("memory");
        let empty = system.slot().expect("a slot");
        let caps = [
            (Kind::Null, empty.index),
            (Kind::Untyped, system.untyped(13).expect("memory").bits()),
            (Kind::UsedUntyped, used.bits()),
            (Kind::DeviceUntyped, device.cap.bits()),
            (Kind::Thread, thread.bits()),
            (Kind::Endpoint, endpoint.bits()),
            (
                Kind::SilentEndpoint,
                system.copy(endpoint, none).expect("a copy").bits(),
            ),
            (Kind::Notification, notification.bits()),
            (
                Kind::SilentNotification,
                system.copy(notification, none).expect("a copy").bits(),
            ),
            (Kind::Reply, system.reply().expect("a reply object").bits()),
            (Kind::CNode, system.cnode(4).expect("a CNode").bits()),
            (Kind::SchedContext, sched.cap().bits()),
            (Kind::SchedControl, boot.sched_control(0).bits()),
            (Kind::Frame, frame.bits()),
            (
                Kind::SilentFrame,
                system.copy(frame, none).expect("a copy").bits(),
            ),
            (Kind::DeviceFrame, device_frame.bits()),
            (Kind::PageTable, object::<PageTable>(system).bits()),
            (
                Kind::VSpace,
                system.vspace().expect("an address space").bits(),
            ),
            (Kind::FreeVSpace, free.index),
            (Kind::AsidControl, init::ASID_CONTROL.bits()),
            (Kind::AsidPool, init::ASID_POOL.bits()),
            (Kind::IrqControl, init::IRQ_CONTROL.bits()),
            (Kind::IrqHandler, handler.index),
            (Kind::SgiSignal, sgi.index),
            (Kind::Domain, init::DOMAIN_SET.bits()),
        ];
        let zoo = Self {
            caps: caps.to_vec(),
            thread,
            sched,
            of_free_vspace,
            free_vspace: Cap::from_bits(free.index),
        };
        zoo.renew_free_vspace();
        zoo
    }

    /// The one of a kind.
    pub fn of(&self, wanted: Kind) -> u64 {
        let found = self.caps.iter().find(|(kind, _)| *kind == wanted);
        found.expect("there is one of each kind").1
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = (Kind, u64)> + '_ {
        self.caps.iter().copied()
    }

    /// Makes the address space without an identifier anew, after it got one.
    pub fn renew_free_vspace(&self) {
        self.of_free_vspace.slot().revoke().expect("to revoke");
        self.of_free_vspace
            .retype_into(ObjectType::VSpace, 0, init::CNODE, self.free_vspace.bits())
            .expect("an address space");
    }

    /// What the kernel says of each of them.
    pub fn identities(&self) -> Vec<u64> {
        let caps = self.caps.iter();
        caps.map(|&(_, cap)| debug::cap_identify(Cap::<Null>::from_bits(cap)))
            .collect()
    }
}
