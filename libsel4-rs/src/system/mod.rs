//! The root task's property: slots, memory, devices and addresses, handed out on demand.
//!
//! There is one [`System`]; it starts with everything the boot information lists. It makes objects of any type from
//! untyped memory, finds addresses for frames and the page tables they need, and takes it all back. It belongs to
//! whoever holds it, usually the first thread: threads that need objects get them as capabilities, which are plain
//! numbers.
//!
//! It does not know of objects made behind its back, so a program uses either this or its own book-keeping.

mod devices;
mod mapping;
mod objects;

use alloc::collections::BTreeMap;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

use sel4_abi::{CPtr, ObjectType, USER_TOP};

use crate::boot::BootInfo;
use crate::cap::{Cap, Notification, PageTable, Untyped, init};
use crate::error::Error;
use crate::pools::{AddressAllocator, Block, BuddyAllocator, SlotAllocator, Splitter};
use crate::sync;

pub use mapping::{Guard, Region};

use devices::DeviceMemory;

/// Why something could not be handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResourceError {
    /// All slots of the root CNode are in use.
    NoSlots,
    /// There is no free untyped memory of 2^`bits` bytes.
    NoMemory {
        /// Logarithm of the size.
        bits: u64,
    },
    /// There are no `size` free virtual addresses.
    NoAddresses {
        /// How many.
        size: usize,
    },
    /// No device memory lies at this physical address, or somebody has it.
    NoDevice {
        /// The address.
        paddr: u64,
    },
    /// The kernel refused an operation.
    Kernel(Error),
}

impl From<Error> for ResourceError {
    fn from(error: Error) -> Self {
        Self::Kernel(error)
    }
}

impl fmt::Display for ResourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NoSlots => f.write_str("no slots left"),
            Self::NoMemory { bits } => write!(f, "no piece of 2^{bits} bytes of memory left"),
            Self::NoAddresses { size } => write!(f, "no {size} bytes of addresses left"),
            Self::NoDevice { paddr } => write!(f, "no device memory at {paddr:#x}"),
            Self::Kernel(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ResourceError {}

/// Everything that the root task was given and has not handed out.
pub struct System {
    boot: &'static BootInfo,
    slots: SlotAllocator,
    memory: BuddyAllocator,
    devices: DeviceMemory,
    addresses: AddressAllocator,
    /// The memory of each object that was made here, by the object's slot.
    blocks: BTreeMap<CPtr, Block>,
    /// The page tables that were put into the program's address space: by their first address, and the logarithm of the
    /// number of addresses they are for.
    tables: BTreeMap<(usize, u32), Cap<PageTable>>,
}

/// Whether there is a [`System`] already.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// A `System` that the console needed before the program asked for one.
static MADE_EARLY: sync::Mutex<Option<System>> = sync::Mutex::new(None);

impl System {
    /// Takes possession of what the boot information lists.
    ///
    /// # Panics
    /// When it was taken already.
    pub fn new(boot: &'static BootInfo) -> Self {
        assert!(
            !TAKEN.swap(true, Ordering::Relaxed),
            "there is only one System"
        );
        if let Some(made) = MADE_EARLY.lock().take() {
            return made;
        }
        let mut system = Self::with_everything(boot);
        system.make_lock_notifications();
        system
    }

    #[cfg(feature = "console-fallback")]
    /// Keeps a `System` for the program to take with [`System::new`].
    pub(crate) fn keep_for_program(mut self) {
        self.make_lock_notifications();
        *MADE_EARLY.lock() = Some(self);
    }

    pub(crate) fn with_everything(boot: &'static BootInfo) -> Self {
        let empty = boot.empty_slots();
        let mut memory = BuddyAllocator::new();
        let mut devices = DeviceMemory::new();
        for untyped in boot.untypeds() {
            if untyped.is_device {
                devices.add(untyped.cap, untyped.paddr, untyped.size_bits);
            } else {
                memory.add(untyped.cap, untyped.size_bits);
            }
        }
        // A gap of 2 MiB after the initial layout, so that running over its end is noticed.
        let first_address = (boot.layout_end() + (2 << 20)).next_multiple_of(2 << 20);
        Self {
            boot,
            slots: SlotAllocator::new(empty.start..empty.end),
            memory,
            devices,
            addresses: AddressAllocator::new(first_address..USER_TOP as usize + 1),
            blocks: BTreeMap::new(),
            tables: BTreeMap::new(),
        }
    }

    /// Lets the waiters of the library's locks block. Without memory for that they yield instead.
    fn make_lock_notifications(&mut self) {
        if let (Ok(console), Ok(heap)) =
            (self.object::<Notification>(), self.object::<Notification>())
        {
            sync::set_library_notifications(console, heap);
        }
    }

    /// The boot information.
    pub fn boot(&self) -> &'static BootInfo {
        self.boot
    }

    /// How many cores came up.
    pub fn cores(&self) -> usize {
        self.boot.cores()
    }

    /// How many bytes of memory are free.
    pub fn available_memory(&self) -> u64 {
        self.memory.available()
    }

    /// How many slots are free.
    pub fn available_slots(&self) -> u64 {
        self.slots.available()
    }
}

/// The kernel's way to split untyped memory.
struct KernelSplitter<'a> {
    slots: &'a mut SlotAllocator,
}

impl KernelSplitter<'_> {
    fn child(&mut self, parent: Cap<Untyped>, bits: u8) -> Result<Cap<Untyped>, ResourceError> {
        let slot = self.slots.alloc().ok_or(ResourceError::NoSlots)?;
        let made = parent.retype_into(ObjectType::Untyped, u64::from(bits), init::CNODE, slot);
        match made {
            Ok(()) => Ok(Cap::from_bits(slot)),
            Err(error) => {
                self.slots.free(slot);
                Err(error.into())
            }
        }
    }

    fn delete(&mut self, child: Cap<Untyped>) -> Result<(), ResourceError> {
        child.slot().delete()?;
        self.slots.free(child.bits());
        Ok(())
    }
}

impl Splitter for KernelSplitter<'_> {
    type Error = ResourceError;

    fn split(
        &mut self,
        parent: Cap<Untyped>,
        child_bits: u8,
    ) -> Result<[Cap<Untyped>; 2], ResourceError> {
        let first = self.child(parent, child_bits)?;
        match self.child(parent, child_bits) {
            Ok(second) => Ok([first, second]),
            Err(error) => {
                self.delete(first)?;
                Err(error)
            }
        }
    }

    fn join(&mut self, children: [Cap<Untyped>; 2]) -> Result<(), ResourceError> {
        for child in children {
            self.delete(child)?;
        }
        Ok(())
    }
}
