//! One untyped with everything that is to go at once, and the check that it has gone.

use libsel4::abi::ObjectType;
use libsel4::{
    Cap, CapRights, CapType, Error, FixedObject, LargePage, SlotPath, System, Untyped,
    VmAttributes, init,
};

use crate::objects::Window;

/// Logarithm of the memory of a store: a large page, so that one mapping shows all of it.
pub const STORE_BITS: u8 = 21;

/// Objects made from one untyped, in slots of the root CNode that are used again after each [`Store::clear`].
pub struct Store {
    memory: Cap<Untyped>,
    slots: alloc::vec::Vec<SlotPath>,
    used: usize,
    /// Free addresses at which a large page can be mapped.
    window: usize,
}

impl Store {
    /// With room for so many capabilities.
    pub fn new(system: &mut System, slots: usize) -> Self {
        let memory = system.untyped(STORE_BITS).expect("a large piece of memory");
        let slots = (0..slots).map(|_| system.slot().expect("a slot")).collect();
        let size = 1 << STORE_BITS;
        let window = system.addresses(size, size).expect("addresses").start;
        let mut store = Self {
            memory,
            slots,
            used: 0,
            window,
        };
        // With the mapping tables that it takes, from other memory, so that later checks change nothing.
        store.look_at_all_of_it(|frame| {
            let rights = CapRights::READ_WRITE;
            let mapped =
                system.map_at(init::VSPACE, frame, window, rights, VmAttributes::default());
            mapped.expect("to map the window");
        });
        store
    }

    /// A slot that is empty and will be emptied.
    pub fn slot(&mut self) -> SlotPath {
        self.used += 1;
        self.slots[self.used - 1]
    }

    /// An object of this type.
    pub fn make<T: CapType>(&mut self, object: ObjectType, size: u64) -> Cap<T> {
        let slot = self.slot();
        self.memory
            .retype_into(object, size, init::CNODE, slot.index)
            .expect("an object of the store");
        Cap::from_bits(slot.index)
    }

    /// An object whose type says its size.
    pub fn object<T: FixedObject>(&mut self) -> Cap<T> {
        self.make(T::OBJECT, 0)
    }

    /// Objects in somebody else's slots.
    pub fn make_in(&self, node: SlotPath, object: ObjectType, size: u64, first: u64, count: u64) {
        self.memory
            .retype(object, size, node, first, count)
            .expect("objects of the store");
    }

    /// A copy, which goes with everything else.
    pub fn copy<T: CapType>(&mut self, cap: Cap<T>, rights: CapRights) -> Cap<T> {
        let slot = self.slot();
        slot.copy_from(&cap.slot(), rights).expect("a copy");
        Cap::from_bits(slot.index)
    }

    /// Destroys everything, and makes sure that all the memory is there again, and empty.
    pub fn clear(&mut self) {
        self.memory.slot().revoke().expect("to revoke the memory");
        for slot in &self.slots[..self.used] {
            slot.delete().expect("to empty a slot");
        }
        self.used = 0;
        // Two objects of the whole size do not fit: the error says how much is free.
        let free = self.memory.retype(
            ObjectType::Untyped,
            u64::from(STORE_BITS),
            SlotPath::new(init::CNODE, 0, 0),
            self.slots[0].index,
            2,
        );
        let all = Error::NotEnoughMemory {
            available: 1 << STORE_BITS,
        };
        assert_eq!(free, Err(all), "the memory that is free after all has gone");
        let window = self.window as u64;
        // Twice: what the first look leaves everywhere has to be cleared too.
        for _ in 0..2 {
            self.look_at_all_of_it(|frame| {
                let rights = CapRights::READ_WRITE;
                frame
                    .map(init::VSPACE, window, rights, VmAttributes::default())
                    .expect("to map all of the memory");
            });
        }
    }

    /// Makes one object of the whole memory, looks at every word of it, writes to it, and gives it back.
    fn look_at_all_of_it(&mut self, map: impl FnOnce(Cap<LargePage>)) {
        let frame = self.object::<LargePage>();
        map(frame);
        for page in (self.window..self.window + (1 << STORE_BITS)).step_by(4096) {
            let page = Window::of_page(page);
            assert!(page.is_all(0), "memory that is not empty");
            page.fill(u64::MAX);
        }
        frame.slot().delete().expect("to give the memory back");
        self.used -= 1;
    }
}
