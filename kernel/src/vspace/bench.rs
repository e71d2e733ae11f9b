//! For tests: a kernel with its own memory, a caller, and slots, so that an invocation can be made as user level would
//! make it.

extern crate std;

use std::{boxed::Box, vec, vec::Vec};

use crate::{
    access::{Kernel, UserWords},
    arch::host,
    cap::{Asid, Cap, FrameRights, PageSize, Slot},
    cdt,
    fault::SysError,
    invoke::{Args, Failure, Outcome, Results},
    object::{AsidPool, ENTRIES, Notification, ObjRef, SlotRef, Table, TableRef, Tcb, TcbRef},
    system::System,
    types::{CoreId, PhysAddr},
    vspace,
};

type Handler = fn(&mut Kernel<'_>, &Args, Cap) -> Outcome;

const RADIX: u8 = 6;

pub(crate) struct Bench {
    pub(crate) k: Kernel<'static>,
    caller: TcbRef,
    buffer: UserWords,
    slots: SlotRef,
    used: usize,
}

/// A depth that ends in the CNode's slots.
pub(crate) const DEPTH: u64 = 64;

impl Bench {
    /// All locks are held by core 0, pool 0 is installed.
    pub(crate) fn new() -> Self {
        let system: &'static System = Box::leak(Box::new(System::new()));
        let mut k = Kernel::lock_all(system, CoreId::BOOT);
        let caller = TcbRef::from_object(host::memory(11).0 as usize);
        k.place(caller, Tcb::new());
        let buffer = UserWords::new(host::memory(12));
        let slots = SlotRef::from_address(host::memory(u32::from(RADIX) + 5).0 as usize);
        for index in 0..1 << RADIX {
            k.place(slots.nth(index), Slot::EMPTY);
        }
        let mut bench = Self {
            k,
            caller,
            buffer,
            slots,
            used: 1,
        };
        let pool = bench.pool();
        bench.k.shared_mut().asids.pools[0] = Some(pool);
        bench
    }

    /// A slot with a capability that is derived from nothing; its index too.
    pub(crate) fn slot(&mut self, cap: Cap) -> SlotRef {
        let slot = self.slots.nth(self.used);
        self.used += 1;
        cdt::insert_root(&mut self.k, cap, slot);
        slot
    }

    /// The index of a slot.
    pub(crate) fn index(&self, slot: SlotRef) -> u64 {
        ((slot.address() - self.slots.address()) / size_of::<Slot>()) as u64
    }

    /// The CNode of all slots.
    pub(crate) fn cnode(&mut self) -> SlotRef {
        let cap = Cap::CNode {
            base: self.slots,
            radix: RADIX,
            guard: 0,
            guard_size: 64 - RADIX,
        };
        self.slot(cap)
    }

    pub(crate) fn cap(&self, slot: SlotRef) -> Cap {
        self.k.get(slot).cap()
    }

    pub(crate) fn pool(&mut self) -> ObjRef<AsidPool> {
        let pool = ObjRef::from_address(host::memory(12).0 as usize);
        self.k.place(pool, AsidPool([None; ENTRIES]));
        pool
    }

    pub(crate) fn table(&mut self) -> TableRef {
        let table = TableRef::from_address(host::memory(12).0 as usize);
        self.k.place(table, Table([0; ENTRIES]));
        table
    }

    /// A VSpace capability with an ASID of pool 0.
    pub(crate) fn vspace(&mut self, asid: u16) -> SlotRef {
        let (root, asid) = (self.table(), Asid::new(asid).expect("not 0"));
        vspace::set_root(&mut self.k, asid, Some(root));
        self.slot(Cap::VSpace {
            root,
            asid: Some(asid),
        })
    }

    pub(crate) fn frame(&mut self, base: u64, size: PageSize) -> SlotRef {
        self.slot(Cap::Frame {
            base: PhysAddr(base),
            size,
            rights: FrameRights::ReadWrite,
            device: false,
            mapping: None,
        })
    }

    pub(crate) fn notification(&mut self) -> ObjRef<Notification> {
        let notification = ObjRef::from_address(host::memory(6).0 as usize);
        self.k.place(notification, Notification::new(CoreId::BOOT));
        notification
    }

    /// Makes an invocation, and gives back the result words.
    pub(crate) fn call(
        &mut self,
        handler: Handler,
        slot: SlotRef,
        label: u64,
        words: &[u64],
        extra: &[SlotRef],
    ) -> Result<Vec<u64>, SysError> {
        for (index, word) in words.iter().enumerate() {
            match index {
                0..4 => self.k.get_mut(self.caller.context()).x[2 + index] = *word,
                _ => self.k.write_user_word(self.buffer, 1 + index, *word),
            }
        }
        let mut slots = [None; 3];
        slots
            .iter_mut()
            .zip(extra)
            .for_each(|(to, from)| *to = Some(*from));
        let args = Args {
            caller: self.caller,
            slot,
            label,
            length: words.len(),
            buffer: Some(self.buffer),
            extra: slots,
            first_phase: false,
            progress: &crate::object::Progress::None,
        };
        let cap = self.cap(slot);
        match handler(&mut self.k, &args, cap) {
            Ok(Results::None) => Ok(Vec::new()),
            Ok(Results::One(word)) => Ok(vec![word]),
            Ok(Results::Registers { .. }) => unreachable!("of threads only"),
            Err(Failure::Error(error)) => Err(error),
            Err(Failure::Leave(leave)) => panic!("{leave:?}"),
        }
    }
}
