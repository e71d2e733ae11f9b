//! Cache maintenance by address, and zeroing of memory.
//!
//! Addresses are in the kernel's physical window or, for what user level asks for, in the user mapping that it named,
//! whose translation is then the loaded one. Line sizes come from the processor. Each function ends
//! with the barrier that makes it complete.

use core::arch::asm;

/// CTR_EL0: what the caches of all cores have in common.
fn cache_type() -> u64 {
    let value;
    // SAFETY: reads an identification register.
    unsafe {
        asm!("mrs {}, ctr_el0", out(reg) value, options(pure, nomem, nostack, preserves_flags))
    };
    value
}

/// Bytes of the smallest data cache line of any core.
fn data_line() -> usize {
    4 << (cache_type() >> 16 & 0xf)
}

/// Calls `each` with the first address of every data cache line that the range touches.
#[inline(always)]
fn for_each_line(va: usize, bytes: usize, each: impl Fn(usize)) {
    let line = data_line();
    let mut at = va & !(line - 1);
    while at < va + bytes {
        each(at);
        at += line;
    }
}

fn barrier_system() {
    // SAFETY: a barrier.
    unsafe { asm!("dsb sy", options(nostack, preserves_flags)) };
}

fn barrier_inner() {
    // SAFETY: a barrier.
    unsafe { asm!("dsb ish", options(nostack, preserves_flags)) };
}

/// Writes cached data of the range back to memory.
pub fn clean_to_poc(va: usize, bytes: usize) {
    for_each_line(va, bytes, |line| {
        // SAFETY: changes no value that any core reads.
        unsafe { asm!("dc cvac, {}", in(reg) line, options(nostack, preserves_flags)) };
    });
    barrier_system();
}

/// Writes cached data of the range back to where instruction fetches find it.
pub fn clean_to_pou(va: usize, bytes: usize) {
    for_each_line(va, bytes, |line| {
        // SAFETY: changes no value that any core reads.
        unsafe { asm!("dc cvau, {}", in(reg) line, options(nostack, preserves_flags)) };
    });
    barrier_inner();
}

/// Drops cached data of the range, so that memory's own content shows. The owner of the memory asked for it: what was
/// written and not yet cleaned is lost. Lines that the range covers in part are cleaned first.
pub fn invalidate_to_poc(va: usize, bytes: usize) {
    let size = data_line();
    for_each_line(va, bytes, |line| {
        if line < va || line + size > va + bytes {
            // SAFETY: changes no value that any core reads.
            unsafe { asm!("dc civac, {}", in(reg) line, options(nostack, preserves_flags)) };
        } else {
            // SAFETY: the range belongs to one frame, which user level may write as it likes.
            unsafe { asm!("dc ivac, {}", in(reg) line, options(nostack, preserves_flags)) };
        }
    });
    barrier_system();
}

/// Both: nothing of the range stays in a cache, and nothing is lost.
pub fn clean_invalidate_to_poc(va: usize, bytes: usize) {
    for_each_line(va, bytes, |line| {
        // SAFETY: changes no value that any core reads.
        unsafe { asm!("dc civac, {}", in(reg) line, options(nostack, preserves_flags)) };
    });
    barrier_system();
}

/// Instruction fetches see what was written to the range; or, with some processors, do so only once this has been done
/// for the last part (`last`) of what belongs together.
pub fn unify_instruction(va: usize, bytes: usize, last: bool) {
    const PHYSICAL_TAGS_AND_INDEX: u64 = 3;
    clean_to_pou(va, bytes);
    if cache_type() >> 14 & 3 == PHYSICAL_TAGS_AND_INDEX {
        let line = 4usize << (cache_type() & 0xf);
        let mut at = va & !(line - 1);
        while at < va + bytes {
            // SAFETY: forgets copies of instructions.
            unsafe { asm!("ic ivau, {}", in(reg) at, options(nostack, preserves_flags)) };
            at += line;
        }
    } else if last {
        // The cache is indexed by virtual address, and user level runs the code at another one than ours.
        // SAFETY: forgets copies of instructions.
        unsafe { asm!("ic ialluis", options(nostack, preserves_flags)) };
    }
    // SAFETY: barriers.
    unsafe { asm!("dsb ish", "isb", options(nostack, preserves_flags)) };
}

/// The block that DC ZVA zeroes, or 0 where it must not be used.
fn zeroing_block() -> usize {
    const PROHIBITED: u64 = 1 << 4;
    let value: u64;
    // SAFETY: reads an identification register.
    unsafe {
        asm!("mrs {}, dczid_el0", out(reg) value, options(pure, nomem, nostack, preserves_flags))
    };
    if value & PROHIBITED != 0 {
        0
    } else {
        4 << (value & 0xf)
    }
}

/// Zeroes memory in the physical window.
///
/// # Safety
/// The range is ordinary memory that nothing refers to; address and length are multiples of 16.
unsafe fn clear_memory(va: usize, bytes: usize) {
    debug_assert!((va | bytes).is_multiple_of(16));
    let end = va + bytes;
    let block = zeroing_block();
    let (first, last) = if block == 0 {
        (end, end)
    } else {
        (va.next_multiple_of(block).min(end), end & !(block - 1))
    };
    // SAFETY: the part before the first whole block.
    unsafe { clear_pairs(va, first) };
    if first < last {
        // SAFETY: whole blocks inside the caller's range.
        unsafe {
            asm!(
                "2:",
                "dc     zva, {at}",
                "add    {at}, {at}, {block}",
                "cmp    {at}, {last}",
                "b.lo   2b",
                at = inout(reg) first => _,
                block = in(reg) block,
                last = in(reg) last,
                options(nostack),
            );
        }
    }
    // SAFETY: the part behind the last whole block.
    unsafe { clear_pairs(last.max(first), end) };
}

/// Zeroes memory in the physical window, and writes the zeroes back to memory itself.
///
/// # Safety
/// As [`clear_memory`].
pub unsafe fn clear_to_poc(va: usize, bytes: usize) {
    /// Lines that are done in a turn of the loop.
    const LINES: usize = 8;
    let line = data_line();
    if zeroing_block() != line || bytes == 0 || !(va | bytes).is_multiple_of(LINES * line) {
        // SAFETY: the caller's promise.
        unsafe { clear_memory(va, bytes) };
        return clean_to_poc(va, bytes);
    }
    // What is done to one line happens in program order.
    // SAFETY: the caller's range, in whole lines, each of which is a block.
    unsafe {
        asm!(
            "2:",
            ".rept  {lines}",
            "dc     zva, {at}",
            "dc     cvac, {at}",
            "add    {at}, {at}, {line}",
            ".endr",
            "cmp    {at}, {end}",
            "b.lo   2b",
            at = inout(reg) va => _,
            line = in(reg) line,
            end = in(reg) va + bytes,
            lines = const LINES,
            options(nostack),
        );
    }
    barrier_system();
}

/// # Safety
/// As [`clear_memory`], from `at` to `end`.
unsafe fn clear_pairs(at: usize, end: usize) {
    if at < end {
        // SAFETY: the caller's range, 16 bytes at a time.
        unsafe {
            asm!(
                "2:",
                "stp    xzr, xzr, [{at}], #16",
                "cmp    {at}, {end}",
                "b.lo   2b",
                at = inout(reg) at => _,
                end = in(reg) end,
                options(nostack),
            );
        }
    }
}

/// Copies memory: 64 bytes a step, because the boot information takes a megabyte of device tree along.
///
/// # Safety
/// Both ranges are ordinary memory and apart; nobody writes the first, and nothing refers to the second.
pub unsafe fn copy_memory(from: usize, to: usize, bytes: usize) {
    let whole = bytes & !63;
    if whole != 0 {
        // SAFETY: the caller's promise; the loads and stores stay in the first `whole` bytes.
        unsafe {
            asm!(
                "2:",
                "ldp    {a}, {b}, [{from}]",
                "ldp    {c}, {d}, [{from}, #16]",
                "stp    {a}, {b}, [{to}]",
                "stp    {c}, {d}, [{to}, #16]",
                "ldp    {a}, {b}, [{from}, #32]",
                "ldp    {c}, {d}, [{from}, #48]",
                "stp    {a}, {b}, [{to}, #32]",
                "stp    {c}, {d}, [{to}, #48]",
                "add    {from}, {from}, #64",
                "add    {to}, {to}, #64",
                "cmp    {from}, {end}",
                "b.lo   2b",
                from = inout(reg) from => _,
                to = inout(reg) to => _,
                end = in(reg) from + whole,
                a = out(reg) _,
                b = out(reg) _,
                c = out(reg) _,
                d = out(reg) _,
                options(nostack),
            );
        }
    }
    let (rest, target) = ((from + whole) as *const u8, (to + whole) as *mut u8);
    // SAFETY: the caller's promise, for what is left.
    unsafe { core::ptr::copy_nonoverlapping(rest, target, bytes - whole) };
}
