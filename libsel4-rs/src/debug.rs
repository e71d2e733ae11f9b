//! Debug calls. They exist only in kernels built to offer them (`PRINTING`, `DEBUG_BUILD`); elsewhere each of them is
//! an unknown system call, which is a fault of the calling thread.

use sel4_abi::{MAX_MESSAGE_LENGTH, debug_syscall};

use crate::arch::{self, Registers};
use crate::cap::{Cap, CapType, Tcb};
use crate::ipc_buffer;

/// `seL4_DebugPutChar`: one byte to the kernel's console. Needs `PRINTING`.
pub fn put_char(byte: u8) {
    let input = Registers {
        x0: u64::from(byte),
        ..Registers::default()
    };
    arch::exchange(debug_syscall::PUT_CHAR, input, 0, 0);
}

/// `seL4_DebugDumpScheduler`: the kernel prints a line for each thread. Needs `PRINTING`.
pub fn dump_scheduler() {
    arch::exchange(debug_syscall::DUMP_SCHEDULER, Registers::default(), 0, 0);
}

/// `seL4_DebugHalt`: stops the machine, with a failing status. Needs `DEBUG_BUILD`.
pub fn halt() {
    arch::trap_number_only(debug_syscall::HALT);
}

/// `seL4_DebugSnapshot`. Needs `DEBUG_BUILD`.
pub fn snapshot() {
    arch::trap_number_only(debug_syscall::SNAPSHOT);
}

/// `seL4_DebugCapIdentify`: the type of the capability at this address ([`crate::abi::cap_type`]); 0 for none. Needs
/// `DEBUG_BUILD`.
pub fn cap_identify<T: CapType>(cap: Cap<T>) -> u64 {
    let input = Registers {
        x0: cap.bits(),
        ..Registers::default()
    };
    arch::exchange(debug_syscall::CAP_IDENTIFY, input, 0, 0).x0
}

/// `seL4_DebugSendIPI`: software-generated interrupt `sgi` to a core. Needs `DEBUG_BUILD`.
pub fn send_ipi(core: u64, sgi: u64) {
    let input = Registers {
        x0: core,
        info: sgi,
        ..Registers::default()
    };
    arch::exchange(debug_syscall::SEND_IPI, input, 0, 0);
}

/// `seL4_DebugNameThread`: the name that the kernel's own messages use, cut to what fits into the message words.
/// Needs `DEBUG_BUILD`, and an IPC buffer.
pub fn name_thread(thread: Cap<Tcb>, name: &str) {
    for (index, word) in name_words(name).enumerate() {
        ipc_buffer::set_word(index, word);
    }
    let input = Registers {
        x0: thread.bits(),
        ..Registers::default()
    };
    arch::exchange(debug_syscall::NAME_THREAD, input, 0, 0);
}

/// `seL4_DebugGetThreadAffinity`: the core that a thread belongs to, as the kernel has it; `None` when it is not a
/// thread. Needs `DEBUG_BUILD`.
pub fn thread_affinity(thread: Cap<Tcb>) -> Option<usize> {
    let input = Registers {
        x0: thread.bits(),
        ..Registers::default()
    };
    match arch::exchange(debug_syscall::GET_THREAD_AFFINITY, input, 0, 0).x0 {
        u64::MAX => None,
        core => Some(core as usize),
    }
}

/// The bytes of a name with at least one zero after them, packed into words.
fn name_words(name: &str) -> impl Iterator<Item = u64> {
    let bytes = name.as_bytes();
    let bytes = &bytes[..bytes.len().min(MAX_MESSAGE_LENGTH * 8 - 1)];
    (0..=bytes.len() / 8).map(move |word| {
        let mut packed = [0; 8];
        for (place, &byte) in packed.iter_mut().zip(&bytes[word * 8..]) {
            *place = byte;
        }
        u64::from_le_bytes(packed)
    })
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::name_words;

    fn unpacked(name: &str) -> Vec<u8> {
        name_words(name).flat_map(u64::to_le_bytes).collect()
    }

    #[test]
    fn names_end_with_a_zero() {
        for name in ["", "a", "1234567", "12345678", "123456789"] {
            let bytes = unpacked(name);
            assert_eq!(&bytes[..name.len()], name.as_bytes());
            assert!(bytes[name.len()..].iter().all(|&byte| byte == 0));
            assert!(bytes.len() > name.len());
        }
        assert_eq!(unpacked(&"x".repeat(2000)).len(), 960);
    }
}
