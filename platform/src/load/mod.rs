//! The loader's decisions, apart from its actions: what the ELF files ask for, where things go, how they are mapped.
//!
//! Everything here computes on plain values and slices and is tested on the host. The code that copies, writes system
//! registers and starts cores is the `tern-loader` binary.

pub mod elf;
pub mod place;
pub mod tables;
