//! Capability rights and the data word of CNode capabilities.

bitflags::bitflags! {
    /// The rights word of `CNode_Copy`, `CNode_Mint` and the page mappings. Bits above 3 are ignored.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct CapRights: u64 {
        const WRITE = 1 << 0;
        const READ = 1 << 1;
        const GRANT = 1 << 2;
        const GRANT_REPLY = 1 << 3;
    }
}

impl CapRights {
    pub const READ_WRITE: Self = Self::READ.union(Self::WRITE);
    pub const NO_WRITE: Self = Self::all().difference(Self::WRITE);
    pub const NO_READ: Self = Self::all().difference(Self::READ);
}

/// Guard of a CNode capability as `CNode_Mint`, `CNode_Mutate` and `TCB_Configure` take it: size in bits 5:0, value
/// above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct CNodeCapData(pub u64);

impl CNodeCapData {
    pub const fn new(guard: u64, guard_size: u64) -> Self {
        Self((guard << 6) | (guard_size & 0x3f))
    }

    pub const fn guard_size(self) -> u64 {
        self.0 & 0x3f
    }

    /// The guard, masked to its size.
    pub const fn guard(self) -> u64 {
        (self.0 >> 6) & ((1 << self.guard_size()) - 1)
    }
}
