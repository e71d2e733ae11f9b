// First instructions of the loader, on every core; way into the kernel.
//
// All of it runs with the MMU off, up to the last instructions of tern_enter. Code is position-independent.

.section .text.head, "ax"

// The arm64 image header. The size is that of the loader; xtask puts in that of the whole image.
.global _start
_start:
    b       tern_entry
    nop
    .quad   {text_offset}
    .quad   __image_end - . + 16
    .quad   {flags}
    .quad   0
    .quad   0
    .quad   0
    .long   {magic}
    .long   0

// Start of the boot core. In: x0 device tree or anything, EL1 to EL3, MMU off. Does not return.
tern_entry:
    msr     daifset, #0xf
    mov     x19, x0
    mrs     x20, CurrentEL
    lsr     x20, x20, #2
    // At EL3 no firmware has run, and all cores come here at once: the first one says so, the rest sleep.
    cmp     x20, #3
    b.ne    1f
    mrs     x1, mpidr_el1
    tst     x1, #0xffffff
    b.ne    tern_sleep
1:  bl      tern_leave_el2

    adrp    x0, __stack_top
    add     x0, x0, :lo12:__stack_top
    mov     sp, x0
    mov     x29, xzr
    mov     x30, xzr

    // Pointers in data hold addresses as linked at 0: add where we are. 24 bytes each: where, kind, value.
    adrp    x21, __image_start
    add     x21, x21, :lo12:__image_start
    adrp    x1, __relocations
    add     x1, x1, :lo12:__relocations
    adrp    x2, __relocations_end
    add     x2, x2, :lo12:__relocations_end
2:  cmp     x1, x2
    b.hs    3f
    ldp     x3, x4, [x1], #16
    ldr     x5, [x1], #8
    cmp     w4, #{relative}
    b.ne    2b
    add     x5, x5, x21
    str     x5, [x21, x3]
    b       2b

3:  adrp    x0, tern_vectors
    add     x0, x0, :lo12:tern_vectors
    cmp     x20, #3
    b.ne    4f
    msr     vbar_el3, x0
4:  msr     vbar_el1, x0
    isb
    mov     x0, x19
    mov     x1, x21
    mov     x2, x20
    bl      {boot}

// Sleeps for good.
.global tern_sleep
tern_sleep:
    wfi
    b       tern_sleep

// Goes from EL2 to EL1 with everything allowed that EL2 could forbid. At EL1 and EL3 it only returns; at EL1 it makes
// sure that the MMU is off. In: x30. Out: SP_EL1 selected, DAIF masked. Clobbers x9, x10, flags, SP.
tern_leave_el2:
    mov     x9, #{sctlr_off} & 0xffff
    movk    x9, #{sctlr_off} >> 16, lsl #16
    mrs     x10, CurrentEL
    cmp     x10, #8
    b.hi    1f
    msr     sctlr_el1, x9
    isb
    b.eq    2f
1:  ret

2:  mov     x9, #1 << 31                    // HCR_EL2.RW: EL1 is AArch64
    msr     hcr_el2, x9
    isb
    mrs     x9, hcr_el2                     // E2H stays 1 on cores that have nothing else
    tst     x9, #1 << 34
    mov     x9, #0x33ff                     // CPTR_EL2: no traps of floating point
    mov     x10, #3 << 20
    csel    x9, x10, x9, ne
    msr     cptr_el2, x9
    mov     x9, #0xc03                      // CNTHCTL_EL2: counters and timers, in both formats
    msr     cnthctl_el2, x9
    msr     cntvoff_el2, xzr
    msr     hstr_el2, xzr
    msr     vttbr_el2, xzr
    mrs     x9, midr_el1
    msr     vpidr_el2, x9
    mrs     x9, mpidr_el1
    msr     vmpidr_el2, x9

    mrs     x9, id_aa64dfr0_el1             // all event counters, if there are any
    ubfx    x9, x9, #8, #4
    cbz     x9, 3f
    cmp     x9, #15
    b.eq    3f
    mrs     x9, pmcr_el0
    ubfx    x9, x9, #11, #5
    msr     mdcr_el2, x9

3:  mrs     x9, id_aa64pfr0_el1             // GICv3: registers instead of memory, for EL1 too
    ubfx    x9, x9, #24, #4
    cbz     x9, 4f
    mrs     x9, S3_4_C12_C9_5               // ICC_SRE_EL2
    orr     x9, x9, #0xf
    msr     S3_4_C12_C9_5, x9
    isb
    mrs     x9, S3_4_C12_C9_5
    tbz     x9, #0, 4f
    msr     S3_4_C12_C11_0, xzr             // ICH_HCR_EL2

4:  mrs     x9, id_aa64mmfr0_el1            // fine-grained traps: none
    ubfx    x9, x9, #56, #4
    cbz     x9, 5f
    msr     S3_4_C1_C1_4, xzr               // HFGRTR_EL2
    msr     S3_4_C1_C1_5, xzr               // HFGWTR_EL2
    msr     S3_4_C1_C1_6, xzr               // HFGITR_EL2
    msr     S3_4_C3_C1_4, xzr               // HDFGRTR_EL2
    msr     S3_4_C3_C1_5, xzr               // HDFGWTR_EL2

5:  mrs     x9, id_aa64mmfr1_el1
    ubfx    x9, x9, #40, #4
    cbz     x9, 6f
    msr     S3_4_C1_C2_2, xzr               // HCRX_EL2

6:  mov     x9, #0x3c5                      // EL1 with its own stack pointer, DAIF masked
    msr     spsr_el2, x9
    msr     elr_el2, x30
    eret

// Start of every other core. In: nothing that matters. Waits for the number that the boot core gives it, and then
// enters the kernel. Only loads and stores to single words: exclusives need the MMU.
.global tern_secondary
tern_secondary:
    msr     daifset, #0xf
    bl      tern_leave_el2
    mrs     x0, mpidr_el1
    mov     x1, #0xffffff
    movk    x1, #0xff, lsl #32
    and     x0, x0, x1
    adrp    x1, {slots}
    add     x1, x1, :lo12:{slots}
    mov     x2, #{slot_count}
1:  ldr     x3, [x1, #{slot_mpidr}]
    cmp     x3, x0
    b.eq    2f
    add     x1, x1, #{slot_size}
    subs    x2, x2, #1
    b.ne    1b
    b       tern_sleep
2:  mov     x3, #1
    str     x3, [x1, #{slot_arrived}]
    dsb     sy
    sev
3:  ldr     x0, [x1, #{slot_number}]
    cbnz    x0, 4f
    wfe
    b       3b
4:  dmb     sy
    sub     x0, x0, #1
    // fall through

// Into the kernel. In: x0 logical core number. The block of registers lies in a page that is mapped at its physical
// address; everything is read from it before the MMU is on. Does not return.
.global tern_enter
tern_enter:
    adrp    x1, {entry}
    add     x1, x1, :lo12:{entry}
    ldp     x2, x3, [x1, #{entry_mair}]     // MAIR, TCR
    ldp     x4, x5, [x1, #{entry_ttbr0}]    // TTBR0, TTBR1
    ldp     x6, x7, [x1, #{entry_sctlr}]    // SCTLR, kernel entry
    ldp     x8, x9, [x1, #{entry_stacks}]   // stack base, stride
    msr     mair_el1, x2
    msr     tcr_el1, x3
    msr     ttbr0_el1, x4
    msr     ttbr1_el1, x5
    msr     tpidr_el1, x0
    madd    x8, x9, x0, x8
    add     x8, x8, x9
    mov     sp, x8
    mov     x16, x6
    mov     x17, x7
    ldp     x2, x3, [x1, #{entry_arguments} + 16]
    ldp     x4, x5, [x1, #{entry_arguments} + 32]
    ldr     x6, [x1, #{entry_arguments} + 48]
    ldp     x0, x1, [x1, #{entry_arguments}]
    mov     x29, xzr
    mov     x30, xzr
    dsb     sy
    tlbi    vmalle1
    ic      iallu
    dsb     nsh
    isb
    msr     sctlr_el1, x16
    isb
    br      x17

// An exception in the loader is a bug or a bad device tree: report it. Boot core only.
.balign 2048
tern_vectors:
.rept 16
    b       tern_exception
    .balign 128
.endr

tern_exception:
    adrp    x3, __stack_top
    add     x3, x3, :lo12:__stack_top
    // The old stack may be what went wrong. Its lower half is not used by then.
    sub     sp, x3, #0x8000
    mrs     x0, esr_el1
    mrs     x1, elr_el1
    mrs     x2, far_el1
    mrs     x3, CurrentEL
    cmp     x3, #12
    b.ne    1f
    mrs     x0, esr_el3
    mrs     x1, elr_el3
    mrs     x2, far_el3
1:  bl      {exception}
    b       tern_sleep
