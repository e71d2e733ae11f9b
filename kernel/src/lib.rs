//! The Tern microkernel: capabilities, threads, IPC and scheduling contexts for many cores.
//!
//! Where things are:
//!
//! | modules | what |
//! |---|---|
//! | [`entry`], [`syscall`], [`invoke`] | from a trap to the method that it calls |
//! | [`cap`], [`cdt`], [`cspace`], [`derive`], [`delete`] | capabilities: bits, tree, look-up, copies, end |
//! | [`object`] | the objects behind them |
//! | [`ipc`], [`sched`] | messages, signals and faults; who runs, and who pays |
//! | [`vspace`], [`irq`] | address spaces and interrupt lines |
//! | [`access`], [`system`], [`smp`], [`sync`], [`preempt`] | the lock token, what it guards, other cores, bounded work |
//! | [`arch`], [`boot`], [`machine`], [`print`], [`debug`], [`masked`], [`counters`] | processor, start, facts, console, measurement |
//!
//! The library also builds on the development machine, where [`arch`] is a stand-in, for its tests.

#![no_std]
#![deny(unsafe_code)]
// Names are public within the crate so that modules can use each other; the crate is linked by its own binary only.
#![allow(
    unreachable_pub,
    reason = "one crate, one binary: module boundaries are drawn by the lock token"
)]

#[cfg(not(target_os = "none"))]
extern crate std;

pub mod access;
pub mod arch;
pub mod boot;
pub mod cap;
pub mod cdt;
pub mod config;
pub mod counters;
pub mod cspace;
pub mod debug;
pub mod delete;
pub mod derive;
pub mod entry;
pub mod fast;
pub mod fault;
pub mod invoke;
pub mod ipc;
pub mod irq;
pub mod machine;
pub mod masked;
pub mod object;
pub mod panic;
pub mod preempt;
pub mod print;
pub mod reach;
pub mod registers;
pub mod sched;
pub mod smp;
pub mod sync;
pub mod syscall;
pub mod system;
pub mod types;
pub mod vspace;
