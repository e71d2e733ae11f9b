//! A plugin for QEMU's translator: writes down every load and store of the kernel, while it is asked to.
//!
//! It is asked by the program that runs: a core's accesses count from where it executes the instruction at one address
//! until it executes that at another one. Arguments: `out=FILE,on=ADDRESS,off=ADDRESS`. The kernel is whatever is in the
//! upper half of the addresses.
//!
//! Each line is about one core. It begins with the core's TPIDR_EL1, where the kernel keeps the address of the core's own
//! block, and how many instructions it has executed since it was asked, at user level too:
//! `ffffffffc001d000 17 w 40085a30 8 ffffffffc0085a30 ffffffffc0001234` is a store (`r` is a load) of 8 bytes with the
//! physical address, the virtual one, and that of the instruction. Capital letters are device registers. Two more kinds of
//! lines, `ffffffffc001d000 0 on` and `ffffffffc001d000 812 off`, are the begin and the end.
//!
//! A register tells the core, and not the number that QEMU gives to callbacks: where emulated cores run in turn, that is
//! the number of the core for which the code was translated, while all cores execute it.
//!
//! Neither instruction fetches are seen, nor what the hardware reads of translation tables, nor cache maintenance.

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// QEMU's objects, which only it looks into.
#[repr(C)]
struct Block(c_void);
#[repr(C)]
struct Instruction(c_void);
#[repr(C)]
struct PhysicalAddress(c_void);
#[repr(C)]
struct Register(c_void);

/// What QEMU says about a register.
#[repr(C)]
struct Description {
    register: *mut Register,
    name: *const c_char,
    feature: *const c_char,
}

/// GLib's arrays, of whatever it is (GLib reference, *GArray* and *GByteArray*): what is to be seen of them.
#[repr(C)]
struct Array<T> {
    data: *mut T,
    length: c_uint,
}

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
    fn qemu_plugin_register_vcpu_init_cb(id: u64, callback: extern "C" fn(u64, c_uint));
    fn qemu_plugin_get_registers() -> *mut Array<Description>;
    fn qemu_plugin_read_register(register: *mut Register, buffer: *mut Array<u8>) -> c_int;
    fn g_byte_array_new() -> *mut Array<u8>;
    fn g_byte_array_set_size(array: *mut Array<u8>, length: c_uint) -> *mut Array<u8>;
}

/// The callbacks read registers.
const READ_REGISTERS: c_int = 1;
/// Loads and stores.
const LOADS_AND_STORES: c_int = 3;

/// The version of the interface that this is written for: QEMU looks at it.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, reason = "QEMU's name")]
pub static qemu_plugin_version: c_int = 2;

/// Addresses from here on are the kernel's.
const UPPER_HALF: u64 = 1 << 63;
/// The register that tells a core.
const WHO: &CStr = c"TPIDR_EL1";

struct Settings {
    on: u64,
    off: u64,
}

static SETTINGS: OnceLock<Settings> = OnceLock::new();
static STATE: Mutex<Option<State>> = Mutex::new(None);
/// How many cores are being watched: if none is, nothing else is looked at.
static WATCHED: AtomicUsize = AtomicUsize::new(0);

struct State {
    out: BufWriter<File>,
    who: Option<Who>,
    /// Instructions of each core that is being watched.
    executed: BTreeMap<u64, u64>,
}

/// QEMU's handle of the register, the same for all cores, and room for its value.
struct Who {
    register: *mut Register,
    buffer: *mut Array<u8>,
}

// SAFETY: both are used under the lock of the state only.
unsafe impl Send for Who {}

impl State {
    /// The value by which the core that runs this is told.
    fn core(&self) -> u64 {
        let Some(Who { register, buffer }) = self.who else {
            return 0;
        };
        // SAFETY: GLib's own array.
        unsafe { g_byte_array_set_size(buffer, 0) };
        // SAFETY: QEMU's own handle, in a callback of a core.
        let length = unsafe { qemu_plugin_read_register(register, buffer) };
        if length != 8 {
            fail("the register has not 8 bytes");
        }
        // SAFETY: it has been filled.
        let data = unsafe { (*buffer).data }.cast::<[u8; 8]>();
        // SAFETY: with so many bytes.
        u64::from_ne_bytes(unsafe { *data })
    }

    fn write(&mut self, line: std::fmt::Arguments<'_>) {
        if let Err(error) = writeln!(self.out, "{line}") {
            fail(&error.to_string());
        }
    }
}

/// What was written is not what it should be, so that nobody may use it.
fn fail(why: &str) -> ! {
    eprintln!("memtrace: {why}");
    std::process::abort()
}

fn state() -> MutexGuard<'static, Option<State>> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

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
            let argument = unsafe { arguments.add(index) };
            // SAFETY: and each is there.
            let argument = unsafe { *argument };
            // SAFETY: each is a string.
            let argument = unsafe { CStr::from_ptr(argument) };
            argument.to_string_lossy().into_owned()
        })
        .collect();
    let Some((settings, out)) = settings(&arguments) else {
        eprintln!("memtrace: out=FILE,on=ADDRESS,off=ADDRESS, and not {arguments:?}");
        return 1;
    };
    if SETTINGS.set(settings).is_err() {
        return 1;
    }
    *state() = Some(State {
        out: BufWriter::new(out),
        who: None,
        executed: BTreeMap::new(),
    });
    // SAFETY: the callback lives as long as the process.
    unsafe { qemu_plugin_register_vcpu_init_cb(id, initialised) };
    // SAFETY: likewise.
    unsafe { qemu_plugin_register_vcpu_tb_trans_cb(id, translated) };
    // SAFETY: likewise.
    unsafe { qemu_plugin_register_atexit_cb(id, ended, std::ptr::null_mut()) };
    0
}

fn settings(arguments: &[String]) -> Option<(Settings, File)> {
    let value = |name: &str| {
        let mut arguments = arguments.iter();
        arguments.find_map(|argument| argument.strip_prefix(name)?.strip_prefix('='))
    };
    let address = |name| u64::from_str_radix(value(name)?.strip_prefix("0x")?, 16).ok();
    let settings = Settings {
        on: address("on")?,
        off: address("off")?,
    };
    Some((settings, File::create(value("out")?).ok()?))
}

/// A core is there: finds the register, once.
extern "C" fn initialised(_id: u64, _core: c_uint) {
    let mut state = state();
    let Some(state) = state.as_mut().filter(|state| state.who.is_none()) else {
        return;
    };
    // SAFETY: in the callback in which QEMU offers it.
    let array = unsafe { qemu_plugin_get_registers() };
    // SAFETY: GLib's array, which is ours now and is kept.
    let Array { data, length } = unsafe { array.read() };
    // SAFETY: it has so many.
    let all = unsafe { std::slice::from_raw_parts(data, length as usize) };
    let register = all.iter().find(|description| {
        // SAFETY: a string of QEMU's.
        unsafe { CStr::from_ptr(description.name) == WHO }
    });
    let Some(register) = register else {
        fail("this QEMU does not show TPIDR_EL1");
    };
    state.who = Some(Who {
        register: register.register,
        // SAFETY: makes an array.
        buffer: unsafe { g_byte_array_new() },
    });
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
            qemu_plugin_register_vcpu_insn_exec_cb(instruction, callback, READ_REGISTERS, data)
        };
        if address >= UPPER_HALF {
            // SAFETY: likewise.
            unsafe {
                qemu_plugin_register_vcpu_mem_cb(
                    instruction,
                    accessed,
                    READ_REGISTERS,
                    LOADS_AND_STORES,
                    data,
                )
            };
        }
    }
}

extern "C" fn begun(_core: c_uint, _address: *mut c_void) {
    let mut state = state();
    let Some(state) = state.as_mut() else { return };
    let core = state.core();
    state.executed.insert(core, 0);
    WATCHED.store(state.executed.len(), Ordering::Relaxed);
    state.write(format_args!("{core:x} 0 on"));
}

extern "C" fn finished(_core: c_uint, _address: *mut c_void) {
    let mut state = state();
    let Some(state) = state.as_mut() else { return };
    let core = state.core();
    if let Some(executed) = state.executed.remove(&core) {
        WATCHED.store(state.executed.len(), Ordering::Relaxed);
        state.write(format_args!("{core:x} {executed} off"));
    }
}

extern "C" fn executed(_core: c_uint, _address: *mut c_void) {
    if WATCHED.load(Ordering::Relaxed) == 0 {
        return;
    }
    let mut state = state();
    let Some(state) = state.as_mut() else { return };
    let core = state.core();
    if let Some(executed) = state.executed.get_mut(&core) {
        *executed += 1;
    }
}

extern "C" fn accessed(_core: c_uint, access: u32, address: u64, instruction: *mut c_void) {
    if WATCHED.load(Ordering::Relaxed) == 0 {
        return;
    }
    let mut state = state();
    let Some(state) = state.as_mut() else { return };
    let core = state.core();
    let Some(&executed) = state.executed.get(&core) else {
        return;
    };
    // SAFETY: QEMU passes what it knows of this access.
    let is_store = unsafe { qemu_plugin_mem_is_store(access) };
    // SAFETY: likewise.
    let size = 1_u64 << unsafe { qemu_plugin_mem_size_shift(access) };
    // SAFETY: likewise.
    let physical = unsafe { qemu_plugin_get_hwaddr(access, address) };
    if physical.is_null() {
        fail("an access without a physical address");
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
    let instruction = instruction.addr();
    state.write(format_args!(
        "{core:x} {executed} {kind} {physical:x} {size} {address:x} {instruction:x}"
    ));
}

extern "C" fn ended(_id: u64, _data: *mut c_void) {
    if let Some(state) = state().as_mut()
        && let Err(error) = state.out.flush()
    {
        fail(&error.to_string());
    }
}
