//! From the first instruction to `main`, and out again.
//!
//! [`root_task!`](crate::root_task) makes the entry point. The kernel starts the program with no stack and with the
//! address of the boot information in x0; the entry point sets up stack, thread block and heap, and calls `main`.
//! When `main` returns, the run ends: the status goes to the host by semihosting (0 is good). A panic prints where it
//! happened and ends the run with [`PANIC_STATUS`]. On a machine without a semihosting host the program's thread
//! stops instead.

use core::cell::UnsafeCell;
use core::fmt::Debug;
use core::mem::MaybeUninit;

use crate::boot::BootInfo;
use crate::cap::init;
use crate::sched::{Note, SchedulingContext};
use crate::thread_block::{self, ThreadBlock};
use crate::{arch, console, heap};

/// The root task's stack unless `root_task!` says otherwise.
pub const DEFAULT_STACK: usize = 64 * 1024;
/// The heap unless `root_task!` says otherwise.
pub const DEFAULT_HEAP: usize = 256 * 1024;
/// The status of a run that a panic ended.
pub const PANIC_STATUS: u32 = 101;

/// The root task's stack: `SIZE` bytes above a guard page.
#[repr(C, align(4096))]
pub struct Stack<const SIZE: usize> {
    guard: [UnsafeCell<MaybeUninit<u8>>; 4096],
    bytes: [UnsafeCell<MaybeUninit<u8>>; SIZE],
}

/// The heap's memory.
#[repr(C, align(4096))]
pub struct HeapMemory<const SIZE: usize> {
    bytes: [UnsafeCell<MaybeUninit<u8>>; SIZE],
}

// SAFETY: the entry point alone uses it, as the stack of one thread.
unsafe impl<const SIZE: usize> Sync for Stack<SIZE> {}
// SAFETY: the entry point alone uses it, and gives it to the allocator.
unsafe impl<const SIZE: usize> Sync for HeapMemory<SIZE> {}

impl<const SIZE: usize> Stack<SIZE> {
    /// Memory for a stack.
    #[expect(clippy::new_without_default, reason = "made in statics only")]
    pub const fn new() -> Self {
        const {
            assert!(SIZE.is_multiple_of(16), "a stack is a multiple of 16 bytes");
            Self {
                guard: [const { UnsafeCell::new(MaybeUninit::uninit()) }; 4096],
                bytes: [const { UnsafeCell::new(MaybeUninit::uninit()) }; SIZE],
            }
        }
    }
}

impl<const SIZE: usize> HeapMemory<SIZE> {
    /// Memory for the heap.
    #[expect(clippy::new_without_default, reason = "made in statics only")]
    pub const fn new() -> Self {
        Self {
            bytes: [const { UnsafeCell::new(MaybeUninit::uninit()) }; SIZE],
        }
    }
}

/// What `main` may return: it decides the status of the run.
pub trait Termination {
    /// The status: 0 is good. Prints what went wrong.
    fn report(self) -> u32;
}

impl Termination for () {
    fn report(self) -> u32 {
        0
    }
}

impl Termination for u32 {
    fn report(self) -> u32 {
        self
    }
}

impl Termination for bool {
    /// `true` is good.
    fn report(self) -> u32 {
        u32::from(!self)
    }
}

impl Termination for core::convert::Infallible {
    fn report(self) -> u32 {
        match self {}
    }
}

impl<T: Termination, E: Debug> Termination for Result<T, E> {
    fn report(self) -> u32 {
        match self {
            Ok(value) => value.report(),
            Err(error) => {
                crate::println!("Error: {error:?}");
                1
            }
        }
    }
}

/// Ends the run with a status; 0 is good.
pub fn exit(status: u32) -> ! {
    console::close();
    arch::exit(status)
}

/// Something of the first thread's, written once by [`start`].
struct Once<T>(UnsafeCell<MaybeUninit<T>>);

// SAFETY: written once, by the first thread before there is a second; after that it is a `T`, which is `Sync`.
unsafe impl<T: Sync> Sync for Once<T> {}

static ROOT_BLOCK: Once<ThreadBlock> = Once(UnsafeCell::new(MaybeUninit::uninit()));
static ROOT_SCHED: Once<Note> = Once(UnsafeCell::new(MaybeUninit::uninit()));

/// Sets up the library and runs `main`. The entry point calls this, on its new stack.
///
/// # Safety
/// To be called once, by the first thread, with the address that the kernel passed in x0 and with memory that nothing
/// else uses.
#[doc(hidden)]
pub unsafe fn start<const STACK: usize, const HEAP: usize>(
    boot: *const sel4_abi::BootInfo,
    stack: &'static Stack<STACK>,
    heap: &'static HeapMemory<HEAP>,
    main: impl FnOnce(&'static BootInfo) -> u32,
) -> ! {
    // SAFETY: the kernel mapped the boot information for good.
    let boot = unsafe { BootInfo::from_address(boot) };
    let buffer = boot.raw().ipc_buffer as *mut sel4_abi::IpcBuffer;
    let block = ROOT_BLOCK.0.get();
    // SAFETY: this is the only write, and nobody has a reference yet.
    let block = unsafe { (*block).write(ThreadBlock::new(init::TCB, "root", buffer)) };
    let sched = ROOT_SCHED.0.get();
    // SAFETY: this is the only write, and nobody has a reference yet.
    let sched: &'static Note = unsafe { (*sched).write(Note::of_root(boot)) };
    block.set_sched(Some(SchedulingContext::from_note(sched)));
    // SAFETY: the kernel mapped the IPC buffer at this address, and the block is the root task's own.
    unsafe { thread_block::install(block) };
    let heap_start = heap.bytes.as_ptr() as usize;
    // SAFETY: the caller gives this memory away for good.
    unsafe { heap::HEAP.add(heap_start, heap_start + HEAP) };
    // A stack that overflows then faults instead of overwriting what lies below it.
    if let Some(frame) = boot.user_image_frame(stack.guard.as_ptr() as usize) {
        let _ = frame.unmap();
    }
    #[cfg(feature = "console-fallback")]
    console::init(boot);
    exit(main(boot))
}

#[cfg(target_os = "none")]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let name = thread_block::current().map_or("?", ThreadBlock::name);
    console::flush();
    match info.location() {
        Some(location) => {
            crate::println!("thread '{name}' panicked at {location}: {}", info.message());
        }
        None => crate::println!("thread '{name}' panicked: {}", info.message()),
    }
    exit(PANIC_STATUS)
}

/// Makes `main` the program: `root_task!(main)`, or `root_task!(main, stack = 128 * 1024, heap = 1 << 20)`.
///
/// `main` takes the boot information and returns `()`, a status, or a `Result` of these.
///
/// ```ignore
/// #![no_std]
/// #![no_main]
///
/// use libsel4::{BootInfo, println, root_task};
///
/// root_task!(main);
///
/// fn main(boot: &'static BootInfo) {
///     println!("{} cores", boot.cores());
/// }
/// ```
#[macro_export]
macro_rules! root_task {
    ($main:path $(, stack = $stack:expr)? $(, heap = $heap:expr)? $(,)?) => {
        const _: () = {
            const STACK_SIZE: usize =
                $crate::__or_default!([$($stack)?] $crate::runtime::DEFAULT_STACK);
            const HEAP_SIZE: usize =
                $crate::__or_default!([$($heap)?] $crate::runtime::DEFAULT_HEAP);
            static STACK: $crate::runtime::Stack<STACK_SIZE> = $crate::runtime::Stack::new();
            static HEAP: $crate::runtime::HeapMemory<HEAP_SIZE> = $crate::runtime::HeapMemory::new();

            extern "C" fn start(boot: *const $crate::abi::BootInfo) -> ! {
                // SAFETY: the entry point calls this once with what the kernel passed; the statics are private.
                unsafe {
                    $crate::runtime::start(boot, &STACK, &HEAP, |boot| {
                        $crate::runtime::Termination::report($main(boot))
                    })
                }
            }

            /// The kernel starts the program here: boot information in x0, all other registers zero, no stack.
            #[unsafe(naked)]
            #[unsafe(no_mangle)]
            extern "C" fn _start() -> ! {
                ::core::arch::naked_asm!(
                    "adrp x1, {stack}",
                    "add x1, x1, :lo12:{stack}",
                    "ldr x2, ={size}",
                    "add sp, x1, x2",
                    "mov x29, xzr",
                    "mov x30, xzr",
                    "b {start}",
                    ".ltorg",
                    stack = sym STACK,
                    size = const STACK_SIZE + 4096,
                    start = sym start,
                )
            }
        };
    };
}

/// The expression in brackets, or else the other one.
#[doc(hidden)]
#[macro_export]
macro_rules! __or_default {
    ([] $default:expr) => {
        $default
    };
    ([$given:expr] $default:expr) => {
        $given
    };
}
