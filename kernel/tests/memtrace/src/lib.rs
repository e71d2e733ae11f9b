//! A plugin for QEMU's translator: writes down every load and store of the kernel, while it is asked to.
//!
//! It is asked by the program that runs: a core's accesses count from where it executes the instruction at one address
//! until it executes that at another one. Arguments: `out=FILE,on=ADDRESS,off=ADDRESS`. The kernel is whatever is in the
//! upper half of the addresses.
//!
//! Each line is about one core and begins with its number, and how many instructions it has executed since it was asked,
//! at user level too: `0 17 w 40085a30 8 ffffffffc0085a30 ffffffffc0001234` is a store (`r` is a load) of 8 bytes with
//! the physical address, the virtual one, and that of the instruction. Capital letters are device registers. Two more
//! kinds of lines, `0 0 on` and `0 812 off`, are the begin and the end.
//!
//! Neither instruction fetches are seen, nor what the hardware reads of translation tables, nor cache maintenance.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// QEMU's objects, which only it looks into.
#[repr(C)]
struct Block(c_void);
#[repr(C)]
struct Instruction(c_void);
#[repr(C)]
struct PhysicalAddress(c_void);

// The functions that QEMU offers to plugins (QEMU documentation, *QEMU TCG Plugins*, API), as far as they are needed.
unsafe extern "C" {
    fn qemu_plugin_register_vcpu_tb_trans_cb(id: u64, callback: extern "C" fn(u64, *mut Block));
    fn qemu_plugin_register_atexit_cb(
        id: u64,
        callback: extern "C" fn(u64, *mut c_void),
        data: *mut c_void,
    );
    fn qemu_plugin_tb_n_insns(block: *const Block) -> usize;
    fn qemu_plugin_tb_get_insn(block: *const Block, index: usize) -> *mut Instruction;
    fn qemu_plugin_insn_vaddr(instruction: *const Instruction) -> u64;
    fn qemu_plugin_register_vcpu_insn_exec_cb(
        instruction: *mut Instruction,
        callback: extern "C" fn(c_uint, *mut c_void),
        flags: c_int,
        data: *mut c_void,
    );
    fn qemu_plugin_register_vcpu_mem_cb(
        instruction: *mut Instruction,
        callback: extern "C" fn(c_uint, u32, u64, *mut c_void),
        flags: c_int,
        kinds: c_int,
        data: *mut c_void,
    );
    fn qemu_plugin_mem_is_store(access: u32) -> bool;
    fn qemu_plugin_mem_size_shift(access: u32) -> c_uint;
    fn qemu_plugin_get_hwaddr(access: u32, address: u64) -> *mut PhysicalAddress;
    fn qemu_plugin_hwaddr_is_io(address: *const PhysicalAddress) -> bool;
    fn qemu_plugin_hwaddr_phys_addr(address: *const PhysicalAddress) -> u64;
}

/// The callbacks look at no register.
const NO_REGISTERS: c_int = 0;
/// Loads and stores.
const LOADS_AND_STORES: c_int = 3;

/// The version of the interface that this is written for: QEMU looks at it.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, reason = "QEMU's name")]
pub static qemu_plugin_version: c_int = 2;

const MAX_CORES: usize = 64;
/// Addresses from here on are the kernel's.
const UPPER_HALF: u64 = 1 << 63;

struct Settings {
    on: u64,
    off: u64,
    out: Mutex<BufWriter<File>>,
}

static SETTINGS: OnceLock<Settings> = OnceLock::new();
/// Whether a core's accesses are written down.
static ASKED: [AtomicBool; MAX_CORES] = [const { AtomicBool::new(false) }; MAX_CORES];
/// Instructions of each core meanwhile.
static EXECUTED: [AtomicU64; MAX_CORES] = [const { AtomicU64::new(0) }; MAX_CORES];

/// QEMU calls it once: 0 if the arguments are good.
///
/// # Safety
/// The arguments are `count` strings, as QEMU passes them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qemu_plugin_install(
    id: u64,
    _info: *const c_void,
    count: c_int,
    arguments: *const *const c_char,
) -> c_int {
    let arguments: Vec<String> = (0..usize::try_from(count).unwrap_or(0))
        .map(|index| {
            // SAFETY: there are so many.
            let argument = unsafe { *arguments.add(index) };
            // SAFETY: each is a string.
            let argument = unsafe { CStr::from_ptr(argument) };
            argument.to_string_lossy().into_owned()
        })
        .collect();
    let Some(settings) = settings(&arguments) else {
        eprintln!("memtrace: out=FILE,on=ADDRESS,off=ADDRESS, and not {arguments:?}");
        return 1;
    };
    if SETTINGS.set(settings).is_err() {
        return 1;
    }
    // SAFETY: the callback lives as long as the process.
    unsafe { qemu_plugin_register_vcpu_tb_trans_cb(id, translated) };
    // SAFETY: likewise.
    unsafe { qemu_plugin_register_atexit_cb(id, ended, std::ptr::null_mut()) };
    0
}

fn settings(arguments: &[String]) -> Option<Settings> {
    let value = |name: &str| {
        let mut arguments = arguments.iter();
        arguments.find_map(|argument| argument.strip_prefix(name)?.strip_prefix('='))
    };
    let address = |name| u64::from_str_radix(value(name)?.strip_prefix("0x")?, 16).ok();
    Some(Settings {
        on: address("on")?,
        off: address("off")?,
        out: Mutex::new(BufWriter::new(File::create(value("out")?).ok()?)),
    })
}

/// Code was translated: says which of it is to be watched.
extern "C" fn translated(_id: u64, block: *mut Block) {
    let Some(settings) = SETTINGS.get() else {
        return;
    };
    // SAFETY: the block is QEMU's.
    let count = unsafe { qemu_plugin_tb_n_insns(block) };
    for index in 0..count {
        // SAFETY: there are so many.
        let instruction = unsafe { qemu_plugin_tb_get_insn(block, index) };
        // SAFETY: the instruction is QEMU's.
        let address = unsafe { qemu_plugin_insn_vaddr(instruction) };
        let data = address as usize as *mut c_void;
        let callback = match address {
            _ if address == settings.on => begun,
            _ if address == settings.off => finished,
            _ => executed,
        };
        // SAFETY: the callback lives as long as the process, and takes the data for a number.
        unsafe {
            qemu_plugin_register_vcpu_insn_exec_cb(instruction, callback, NO_REGISTERS, data)
        };
        if address >= UPPER_HALF {
            // SAFETY: likewise.
            unsafe {
                qemu_plugin_register_vcpu_mem_cb(
                    instruction,
                    accessed,
                    NO_REGISTERS,
                    LOADS_AND_STORES,
                    data,
                )
            };
        }
    }
}

fn write(line: std::fmt::Arguments<'_>) {
    if let Some(settings) = SETTINGS.get() {
        let mut out = settings.out.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = writeln!(out, "{line}") {
            eprintln!("memtrace: {error}");
            std::process::abort();
        }
    }
}

extern "C" fn begun(core: c_uint, _address: *mut c_void) {
    let index = core as usize;
    EXECUTED[index].store(0, Ordering::Relaxed);
    ASKED[index].store(true, Ordering::Relaxed);
    write(format_args!("{core} 0 on"));
}

extern "C" fn finished(core: c_uint, _address: *mut c_void) {
    let index = core as usize;
    ASKED[index].store(false, Ordering::Relaxed);
    let executed = EXECUTED[index].load(Ordering::Relaxed);
    write(format_args!("{core} {executed} off"));
}

extern "C" fn executed(core: c_uint, _address: *mut c_void) {
    let index = core as usize;
    if ASKED[index].load(Ordering::Relaxed) {
        // Only this core's thread changes it.
        let executed = EXECUTED[index].load(Ordering::Relaxed);
        EXECUTED[index].store(executed + 1, Ordering::Relaxed);
    }
}

extern "C" fn accessed(core: c_uint, access: u32, address: u64, instruction: *mut c_void) {
    let index = core as usize;
    if !ASKED[index].load(Ordering::Relaxed) {
        return;
    }
    // SAFETY: QEMU passes what it knows of this access.
    let is_store = unsafe { qemu_plugin_mem_is_store(access) };
    // SAFETY: likewise.
    let size = 1_u64 << unsafe { qemu_plugin_mem_size_shift(access) };
    // SAFETY: likewise.
    let physical = unsafe { qemu_plugin_get_hwaddr(access, address) };
    if physical.is_null() {
        return;
    }
    // SAFETY: it is there until this callback returns.
    let is_device = unsafe { qemu_plugin_hwaddr_is_io(physical) };
    // SAFETY: likewise.
    let physical = unsafe { qemu_plugin_hwaddr_phys_addr(physical) };
    let kind = match (is_device, is_store) {
        (false, false) => 'r',
        (false, true) => 'w',
        (true, false) => 'R',
        (true, true) => 'W',
    };
    let executed = EXECUTED[index].load(Ordering::Relaxed);
    let instruction = instruction.addr();
    write(format_args!(
        "{core} {executed} {kind} {physical:x} {size} {address:x} {instruction:x}"
    ));
}

extern "C" fn ended(_id: u64, _data: *mut c_void) {
    if let Some(settings) = SETTINGS.get() {
        let mut out = settings.out.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = out.flush() {
            eprintln!("memtrace: {error}");
        }
    }
}
