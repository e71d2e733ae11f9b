//! Virtual memory: the user address range and mapping attributes.

/// The last address of user space (inclusive).
pub const USER_TOP: u64 = 0x0000_7fff_ffff_ffff;

bitflags::bitflags! {
    /// Attributes of a page mapping.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct VmAttributes: u64 {
        /// Normal write-back memory; without it Device-nGnRnE.
        const CACHEABLE = 1 << 0;
        /// Accepted and ignored.
        const PARITY_ENABLED = 1 << 1;
        const EXECUTE_NEVER = 1 << 2;
    }
}

impl Default for VmAttributes {
    fn default() -> Self {
        Self::CACHEABLE | Self::PARITY_ENABLED
    }
}
