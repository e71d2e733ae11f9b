//! The IPC buffer: 1024 bytes, aligned to 1024, within one frame.

use crate::message::{MAX_EXTRA_CAPS, MAX_MESSAGE_LENGTH};

/// What a thread and the kernel exchange beyond registers.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(1024))]
pub struct IpcBuffer {
    /// Not read or written by the kernel.
    pub tag: u64,
    /// Message words. The kernel neither reads nor writes the first four: those travel in registers.
    pub msg: [u64; MAX_MESSAGE_LENGTH],
    /// Never touched by the kernel.
    pub user_data: u64,
    /// Going out: addresses of the capabilities to send. Coming in: badges of unwrapped capabilities.
    pub caps_or_badges: [u64; MAX_EXTRA_CAPS],
    /// Where an arriving capability goes: root CNode, index and depth.
    pub receive_cnode: u64,
    pub receive_index: u64,
    pub receive_depth: u64,
}

const _: () = assert!(size_of::<IpcBuffer>() == 1024);
const _: () = assert!(core::mem::offset_of!(IpcBuffer, msg) == 8);
const _: () = assert!(core::mem::offset_of!(IpcBuffer, user_data) == 968);
const _: () = assert!(core::mem::offset_of!(IpcBuffer, caps_or_badges) == 976);
const _: () = assert!(core::mem::offset_of!(IpcBuffer, receive_cnode) == 1000);
const _: () = assert!(core::mem::offset_of!(IpcBuffer, receive_depth) == 1016);
