//! What a message carries from one thread to another: words, then capabilities.

use sel4_abi::{MAX_EXTRA_CAPS, MESSAGE_REGISTERS, MessageInfo};

use super::fault;
use crate::{
    access::{Kernel, UserWords},
    cap::{Cap, FrameRights},
    cdt, cspace, derive,
    fault::{Fault, LookupFailure},
    object::{EndpointRef, SlotRef, TcbRef, TcbSlot},
    types::PhysAddr,
};

/// Word offsets in an IPC buffer.
const MESSAGE: usize = 1;
const CAPS_OR_BADGES: usize = 122;
const RECEIVE_CNODE: usize = 125;
const _: () = assert!(core::mem::offset_of!(sel4_abi::IpcBuffer, msg) == MESSAGE * 8);
const _: () =
    assert!(core::mem::offset_of!(sel4_abi::IpcBuffer, caps_or_badges) == CAPS_OR_BADGES * 8);
const _: () =
    assert!(core::mem::offset_of!(sel4_abi::IpcBuffer, receive_cnode) == RECEIVE_CNODE * 8);

/// The slots that the extra capability addresses of a message resolved to.
pub type ExtraCaps = [Option<SlotRef>; MAX_EXTRA_CAPS];

/// The IPC buffer of a thread, if it has one that may be read, and written if `write`.
#[inline]
pub fn ipc_buffer(k: &Kernel<'_>, tcb: TcbRef, write: bool) -> Option<UserWords> {
    let Cap::Frame {
        base,
        size,
        rights,
        device: false,
        ..
    } = k.get(tcb.slot(TcbSlot::IpcBuffer)).cap()
    else {
        return None;
    };
    let allowed = match rights {
        FrameRights::ReadWrite => true,
        FrameRights::ReadOnly => !write,
        FrameRights::KernelOnly => false,
    };
    let offset = k.get(tcb).buffer_address & (size.bytes() - 1);
    allowed.then(|| UserWords::new(PhysAddr(base.0 + offset)))
}

/// Whether something of a message is not in registers.
#[inline]
pub fn needs_buffer(info: MessageInfo) -> bool {
    info.length() > MESSAGE_REGISTERS || info.extra_caps() > 0
}

/// Resolves the extra capabilities that `info` announces. On failure: the address that did not resolve.
#[inline(always)]
pub fn lookup_extra_caps(
    k: &Kernel<'_>,
    sender: TcbRef,
    buffer: Option<UserWords>,
    info: MessageInfo,
) -> Result<ExtraCaps, (u64, LookupFailure)> {
    let mut caps = [None; MAX_EXTRA_CAPS];
    let Some(buffer) = buffer else {
        return Ok(caps);
    };
    for (index, slot) in caps.iter_mut().enumerate().take(info.extra_caps()) {
        let cptr = k.read_user_word(buffer, CAPS_OR_BADGES + index);
        *slot = Some(cspace::lookup_slot(k, sender, cptr).map_err(|failure| (cptr, failure))?);
    }
    Ok(caps)
}

/// Delivers the message of `sender`, or its fault, and sets what the receiver finds in x0 and x1.
pub fn message(
    k: &mut Kernel<'_>,
    sender: TcbRef,
    endpoint: Option<EndpointRef>,
    badge: u64,
    can_grant: bool,
    receiver: TcbRef,
) {
    let info = if k.get(sender).fault == Fault::None {
        words_and_caps(k, sender, endpoint, can_grant, receiver)
    } else {
        fault::write_message(k, sender, receiver)
    };
    let context = k.get_mut(receiver.context());
    context.x[0] = badge;
    context.x[1] = info.0;
}

fn words_and_caps(
    k: &mut Kernel<'_>,
    sender: TcbRef,
    endpoint: Option<EndpointRef>,
    can_grant: bool,
    receiver: TcbRef,
) -> MessageInfo {
    let info = MessageInfo(k.get(sender.context()).x[1]);
    if !needs_buffer(info) {
        let length = words(k, sender, receiver, info.length());
        return MessageInfo::new(info.label(), 0, 0, length as u64);
    }
    rest_of_message(k, sender, endpoint, can_grant, receiver, info)
}

/// A message of which a part goes through the IPC buffers.
#[inline(never)]
fn rest_of_message(
    k: &mut Kernel<'_>,
    sender: TcbRef,
    endpoint: Option<EndpointRef>,
    can_grant: bool,
    receiver: TcbRef,
    info: MessageInfo,
) -> MessageInfo {
    let length = words(k, sender, receiver, info.length());
    let (mut unwrapped, mut extra) = (0, 0);
    if can_grant
        && info.extra_caps() > 0
        && let from = ipc_buffer(k, sender, false)
        && let Ok(caps) = lookup_extra_caps(k, sender, from, info)
        && let Some(to) = ipc_buffer(k, receiver, true)
    {
        (unwrapped, extra) = transfer_caps(k, &caps, endpoint, receiver, to);
    }
    MessageInfo::new(info.label(), unwrapped, extra, length as u64)
}

/// Copies the first `length` words of a message, as far as there are buffers for them: how many arrived.
pub fn words(k: &mut Kernel<'_>, sender: TcbRef, receiver: TcbRef, length: usize) -> usize {
    let in_registers = length.min(MESSAGE_REGISTERS);
    for register in 2..2 + in_registers {
        k.get_mut(receiver.context()).x[register] = k.get(sender.context()).x[register];
    }
    if length == in_registers {
        return length;
    }
    let (from, to) = (ipc_buffer(k, sender, false), ipc_buffer(k, receiver, true));
    let (Some(from), Some(to)) = (from, to) else {
        return in_registers;
    };
    for index in in_registers..length {
        let word = k.read_user_word(from, MESSAGE + index);
        k.write_user_word(to, MESSAGE + index, word);
    }
    length
}

/// Hands over capabilities in order until one cannot be: which were unwrapped (bits), and how many were done.
fn transfer_caps(
    k: &mut Kernel<'_>,
    caps: &ExtraCaps,
    endpoint: Option<EndpointRef>,
    receiver: TcbRef,
    buffer: UserWords,
) -> (u64, u64) {
    let mut free_slot = receive_slot(k, receiver, buffer);
    let mut unwrapped = 0;
    let mut done = 0;
    for (index, &source) in caps.iter().flatten().enumerate() {
        let cap = k.get(source).raw();
        match cap.decode() {
            Cap::Endpoint {
                endpoint: sent,
                badge,
                ..
            } if Some(sent) == endpoint => {
                k.write_user_word(buffer, CAPS_OR_BADGES + index, badge);
                unwrapped |= 1 << index;
            }
            _ => {
                let Some(slot) = free_slot.take() else { break };
                match derive::derive(k, source, cap) {
                    Err(_) => break,
                    Ok(copy) if copy.is_null() => break,
                    Ok(copy) => cdt::insert(k, copy, source, slot),
                }
            }
        }
        done += 1;
    }
    (unwrapped, done)
}

/// Where the receiver wants an arriving capability: an empty slot, or nowhere.
fn receive_slot(k: &Kernel<'_>, receiver: TcbRef, buffer: UserWords) -> Option<SlotRef> {
    let word = |index| k.read_user_word(buffer, RECEIVE_CNODE + index);
    let root = cspace::lookup_slot(k, receiver, word(0)).ok()?;
    let root = k.get(root).raw();
    let slot = cspace::lookup_target_slot(k, root, word(1), word(2), false).ok()?;
    k.get(slot).is_empty().then_some(slot)
}

/// Writes words made by the kernel as a message: how many arrived.
#[inline]
pub fn write_words(k: &mut Kernel<'_>, receiver: TcbRef, words: &[u64]) -> usize {
    let in_registers = words.len().min(MESSAGE_REGISTERS);
    let (first, rest) = words.split_at(in_registers);
    k.get_mut(receiver.context()).x[2..][..in_registers].copy_from_slice(first);
    if rest.is_empty() {
        return in_registers;
    }
    let Some(buffer) = ipc_buffer(k, receiver, true) else {
        return in_registers;
    };
    for (index, &word) in rest.iter().enumerate() {
        k.write_user_word(buffer, MESSAGE + MESSAGE_REGISTERS + index, word);
    }
    words.len()
}

/// Word `index` of the message that `sender` sends, given its readable buffer.
#[inline]
pub fn read_word(
    k: &Kernel<'_>,
    sender: TcbRef,
    buffer: Option<UserWords>,
    index: usize,
) -> Option<u64> {
    if index < MESSAGE_REGISTERS {
        Some(k.get(sender.context()).x[2 + index])
    } else {
        buffer.map(|buffer| k.read_user_word(buffer, MESSAGE + index))
    }
}
