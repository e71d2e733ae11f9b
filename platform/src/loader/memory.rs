//! The loader's own memory, physical memory as slices, and caches.
//!
//! Nothing is cached while the loader runs: the MMU is off, so loads and stores go to memory. What the kernel will use
//! through the caches must not be hidden by what they still hold, so every region that was written is invalidated once
//! the writing is done; instruction caches likewise.

use aarch64_cpu::asm::barrier;
use core::arch::asm;
use tern_platform::board::Region;

unsafe extern "C" {
    static __image_start: u8;
    static __image_end: u8;
    static __stack: u8;
    static __stack_top: u8;
}

/// The loader in memory, without the payload behind it.
pub(crate) fn loader() -> Region {
    let (start, end) = (&raw const __image_start, &raw const __image_end);
    Region::new(
        start.expose_provenance() as u64,
        end.expose_provenance() as u64,
    )
}

/// The stack that the boot core runs on.
pub(crate) fn stack() -> Region {
    let (start, end) = (&raw const __stack, &raw const __stack_top);
    Region::new(
        start.expose_provenance() as u64,
        end.expose_provenance() as u64,
    )
}

/// Memory as bytes.
///
/// # Safety
/// The region is memory which nobody writes as long as the slice lives.
pub(crate) unsafe fn bytes<'a>(region: Region) -> &'a [u8] {
    let start = core::ptr::with_exposed_provenance(region.start as usize);
    // SAFETY: the caller's promise. Physical addresses are addresses: the MMU is off.
    unsafe { core::slice::from_raw_parts(start, region.len() as usize) }
}

/// Memory as values of `T` to write.
///
/// # Safety
/// The region is memory, aligned for `T`, which nobody else uses as long as the slice lives. Any bytes make a `T`.
pub(crate) unsafe fn values_mut<'a, T>(region: Region) -> &'a mut [T] {
    let start = core::ptr::with_exposed_provenance_mut(region.start as usize);
    // SAFETY: the caller's promise. Physical addresses are addresses: the MMU is off.
    unsafe { core::slice::from_raw_parts_mut(start, region.len() as usize / size_of::<T>()) }
}

/// Drops what the caches hold of a region that was written past them. Whole cache lines: the region is whole pages.
pub(crate) fn drop_cached(region: Region) {
    barrier::dsb(barrier::SY);
    for line in (region.start..region.end).step_by(data_line()) {
        // SAFETY: the line lies in whole pages that were written with the cache off: memory has the newer bytes.
        unsafe { asm!("dc ivac, {}", in(reg) line, options(nostack, preserves_flags)) };
    }
    barrier::dsb(barrier::SY);
}

/// Writes one line of a region out to memory, where a core without caches sees it.
pub(crate) fn clean_line(address: u64) {
    barrier::dsb(barrier::SY);
    // SAFETY: changes no bytes as seen by anyone.
    unsafe { asm!("dc civac, {}", in(reg) address, options(nostack, preserves_flags)) };
    barrier::dsb(barrier::SY);
}

/// Makes all cores fetch instructions anew.
pub(crate) fn drop_fetched() {
    barrier::dsb(barrier::SY);
    // SAFETY: changes no bytes as seen by anyone.
    unsafe { asm!("ic ialluis", options(nostack, preserves_flags)) };
    barrier::dsb(barrier::SY);
    barrier::isb(barrier::SY);
}

/// The smallest data cache line of the system, in bytes.
fn data_line() -> usize {
    let ctr: u64;
    // SAFETY: reads an identification register.
    unsafe { asm!("mrs {}, ctr_el0", out(reg) ctr, options(nomem, nostack, preserves_flags)) };
    4 << (ctr >> 16 & 0xf)
}
