//! The Tern kernel on a simulated machine: several cores that interleave at every lock operation, threads that do random
//! things, and checks after every step. A run follows from its seed alone.

pub mod check;
mod chips;
mod cores;
pub mod derivation;
pub mod generate;
pub mod machine;
pub mod model;
pub mod op;
pub mod random;
pub mod replay;
pub mod run;
pub mod witness;
pub mod world;
