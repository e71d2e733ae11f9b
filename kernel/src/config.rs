//! The build configuration as constants: see `config.keys`.

#![allow(
    dead_code,
    reason = "a configuration key may matter to one target only"
)]

include!(concat!(env!("OUT_DIR"), "/config.rs"));

/// More than one core in the configuration. Some numbers of the interface depend on it.
pub(crate) const SMP: bool = MAX_NUM_NODES > 1;
const _: () = assert!(
    MAX_NUM_NODES >= 1 && MAX_NUM_NODES <= 64,
    "MAX_NUM_NODES: 1 to 64"
);
const _: () = assert!(
    ROOT_CNODE_SIZE_BITS >= 8 && ROOT_CNODE_SIZE_BITS <= 20,
    "ROOT_CNODE_SIZE_BITS: 8 to 20"
);
