// Where every core enters the kernel, with MMU and caches on, at EL1.
//
// In:  x0-x6 the boot protocol (boot/start.rs), TPIDR_EL1 logical core number, SP top of this core's stack.
// Out: user mode, with the context that the scheduler chose.
// Sets what must be right before any Rust runs: DAIF all masked, TPIDR_EL1 the per-core block, VBAR_EL1, TTBR0_EL1 an
// empty table (what the loader had there is gone from the TLB too). The rest is registers.rs.

    .section .text.start, "ax"
    .balign 4
    .global _start
_start:
    msr     daifset, #0xf
    isb
    mrs     x8, cntvct_el0

    mrs     x7, tpidr_el1
    cmp     x7, #{max_cores}
    b.hs    start_park
    adrp    x9, {blocks}
    add     x9, x9, :lo12:{blocks}
    mov     x10, #{block_size}
    madd    x9, x7, x10, x9
    msr     tpidr_el1, x9
    str     x8, [x9, #{block_started}]

    adrp    x10, {emergency}
    add     x10, x10, :lo12:{emergency}
    add     x11, x7, #1
    add     x10, x10, x11, lsl #{emergency_shift}
    str     x10, [x9, #{block_emergency}]

    adrp    x9, trap_vectors
    add     x9, x9, :lo12:trap_vectors
    msr     vbar_el1, x9

    // The physical address of the empty table, by the translation of its own address (PAR_EL1 bits 51:12).
    adrp    x9, {empty_table}
    add     x9, x9, :lo12:{empty_table}
    at      s1e1r, x9
    isb
    mrs     x9, par_el1
    ubfx    x9, x9, #12, #36
    lsl     x9, x9, #12
    adrp    x10, {empty_root}
    str     x9, [x10, :lo12:{empty_root}]
    msr     ttbr0_el1, x9
    isb
    tlbi    vmalle1
    dsb     nsh
    isb

    // A debug build paints the stack, to measure how much of it is ever used.
    .if {paint_stack}
    ldr     x9, ={paint}
    sub     x10, sp, #{stack_size}
2:  stp     x9, x9, [x10], #16
    cmp     sp, x10
    b.hi    2b
    .endif

    mov     x29, xzr
    mov     x30, xzr
    bl      {boot}
    b       trap_return

    // More cores than this kernel was built for: the loader does not start them.
start_park:
    wfe
    b       start_park
