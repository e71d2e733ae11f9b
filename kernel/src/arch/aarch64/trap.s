// Exception vectors, kernel entry from user level and return to it.
//
// While user code runs, SP_EL1 points at the Context of the current thread, so that entry needs no scratch register;
// in the kernel it is the core's stack, which is empty again at each return. TPIDR_EL1 is the per-core block.
// Exceptions taken from EL1 are kernel bugs and never return: there SP_EL0 and TPIDRRO_EL0 are free, since the user's
// values are in the Context (TPIDRRO_EL0 cannot be written at EL0 and has always been there).

    .section .text.trap, "ax"

// One vector is 0x80 bytes.
    .macro trap_vector target
    .balign 0x80
    b       \target
    .endm

// Clobbers SP_EL0, TPIDRRO_EL0. Ends with x0 and x1 saved there and x1 the number of the vector.
    .macro trap_fatal_vector number
    .balign 0x80
    msr     sp_el0, x0
    msr     tpidrro_el0, x1
    mov     x1, #\number
    b       trap_fatal
    .endm

    .balign 0x800
trap_vectors:
    trap_fatal_vector 0
    trap_fatal_vector 1
    trap_fatal_vector 2
    trap_fatal_vector 3
    trap_fatal_vector 4
    trap_fatal_vector 5
    trap_fatal_vector 6
    trap_fatal_vector 7
    // From EL0, AArch64: synchronous, IRQ, FIQ, SError.
    trap_vector trap_synchronous
    trap_vector trap_interrupt
    trap_vector trap_fiq
    trap_vector trap_serror
    // From EL0, AArch32. SPSR never selects it; if the processor did all the same, the thread gets an exception.
    trap_vector trap_synchronous
    trap_vector trap_interrupt
    trap_vector trap_fiq
    trap_vector trap_serror

// Saves the user's registers in the Context at SP and switches to the core's stack.
// Out: x1 ELR (saved as next_ip), x2 SPSR, x4 block, x6 the Context; SP the empty stack; x29, x30 zero.
    .macro trap_save
    stp     x0, x1, [sp, #{x} + 0 * 16]
    stp     x2, x3, [sp, #{x} + 1 * 16]
    stp     x4, x5, [sp, #{x} + 2 * 16]
    stp     x6, x7, [sp, #{x} + 3 * 16]
    stp     x8, x9, [sp, #{x} + 4 * 16]
    stp     x10, x11, [sp, #{x} + 5 * 16]
    stp     x12, x13, [sp, #{x} + 6 * 16]
    stp     x14, x15, [sp, #{x} + 7 * 16]
    stp     x16, x17, [sp, #{x} + 8 * 16]
    stp     x18, x19, [sp, #{x} + 9 * 16]
    stp     x20, x21, [sp, #{x} + 10 * 16]
    stp     x22, x23, [sp, #{x} + 11 * 16]
    stp     x24, x25, [sp, #{x} + 12 * 16]
    stp     x26, x27, [sp, #{x} + 13 * 16]
    stp     x28, x29, [sp, #{x} + 14 * 16]
    mrs     x0, sp_el0
    mrs     x1, elr_el1
    mrs     x2, spsr_el1
    mrs     x3, tpidr_el0
    mrs     x4, tpidr_el1
    stp     x30, x0, [sp, #{x30}]
    stp     x1, x2, [sp, #{next_ip}]
    str     x3, [sp, #{tpidr}]
    ldr     x5, [x4, #{block_stack}]
    mov     x6, sp
    mov     sp, x5
    mov     x29, xzr
    mov     x30, xzr
    .endm

    .balign 64
trap_synchronous:
    trap_save
    mrs     x0, esr_el1
    lsr     x8, x0, #26
    cmp     x8, #{class_svc}
    b.ne    trap_exception
    // ELR is behind the SVC, which is what a restart needs.
    sub     x7, x1, #4
    str     x7, [x6, #{fault_ip}]
    bl      {syscall}
    cbz     x0, trap_return

// Goes back to the same thread: what compiled code keeps is as it was, and so are the system registers.
trap_return_same:
    mrs     x0, tpidr_el1
    ldr     x0, [x0, #{block_context}]
    mov     sp, x0
    ldp     x28, x29, [sp, #{x} + 14 * 16]
    ldr     x30, [sp, #{x30}]
    ldp     x18, x19, [sp, #{x} + 9 * 16]
    ldp     x16, x17, [sp, #{x} + 8 * 16]
    ldp     x14, x15, [sp, #{x} + 7 * 16]
    ldp     x12, x13, [sp, #{x} + 6 * 16]
    ldp     x10, x11, [sp, #{x} + 5 * 16]
    ldp     x8, x9, [sp, #{x} + 4 * 16]
    ldp     x6, x7, [sp, #{x} + 3 * 16]
    ldp     x4, x5, [sp, #{x} + 2 * 16]
    ldp     x2, x3, [sp, #{x} + 1 * 16]
    ldp     x0, x1, [sp, #{x} + 0 * 16]
    eret
    dsb     nsh
    isb

trap_exception:
    str     x1, [x6, #{fault_ip}]
    mrs     x1, far_el1
    bl      {exception}
    b       trap_return

    .balign 64
trap_interrupt:
    trap_save
    str     x1, [x6, #{fault_ip}]
    bl      {interrupt}

// Enters user mode with the Context in the per-core block. The stack is abandoned: nothing on it is needed again.
    .global trap_return
trap_return:
    mrs     x0, tpidr_el1
    ldr     x0, [x0, #{block_context}]
    mov     sp, x0
    ldp     x1, x2, [sp, #{next_ip}]
    ldp     x3, x4, [sp, #{tpidr}]
    ldp     x30, x5, [sp, #{x30}]
    msr     elr_el1, x1
    msr     spsr_el1, x2
    msr     tpidr_el0, x3
    msr     tpidrro_el0, x4
    msr     sp_el0, x5
    ldp     x28, x29, [sp, #{x} + 14 * 16]
    ldp     x26, x27, [sp, #{x} + 13 * 16]
    ldp     x24, x25, [sp, #{x} + 12 * 16]
    ldp     x22, x23, [sp, #{x} + 11 * 16]
    ldp     x20, x21, [sp, #{x} + 10 * 16]
    ldp     x18, x19, [sp, #{x} + 9 * 16]
    ldp     x16, x17, [sp, #{x} + 8 * 16]
    ldp     x14, x15, [sp, #{x} + 7 * 16]
    ldp     x12, x13, [sp, #{x} + 6 * 16]
    ldp     x10, x11, [sp, #{x} + 5 * 16]
    ldp     x8, x9, [sp, #{x} + 4 * 16]
    ldp     x6, x7, [sp, #{x} + 3 * 16]
    ldp     x4, x5, [sp, #{x} + 2 * 16]
    ldp     x2, x3, [sp, #{x} + 1 * 16]
    ldp     x0, x1, [sp, #{x} + 0 * 16]
    eret
    // No speculation past the return.
    dsb     nsh
    isb

    .balign 64
trap_serror:
    trap_save
    str     x1, [x6, #{fault_ip}]
    mrs     x0, esr_el1
    bl      {serror}
    b       trap_return

// FIQ is masked at EL0 and nothing is in a group that signals it.
trap_fiq:
    msr     sp_el0, x0
    msr     tpidrro_el0, x1
    mov     x1, #10
    b       trap_fatal

// An exception that must not be. In: x1 number of the vector, the interrupted x0 in SP_EL0 and x1 in TPIDRRO_EL0.
// Always on the emergency stack: the core's own may be what failed. Stores an exception::Registers there. No return.
trap_fatal:
    mrs     x0, tpidr_el1
    ldr     x0, [x0, #{block_emergency}]
    sub     x0, x0, #{registers_size}
    stp     x2, x3, [x0, #1 * 16]
    stp     x4, x5, [x0, #2 * 16]
    stp     x6, x7, [x0, #3 * 16]
    stp     x8, x9, [x0, #4 * 16]
    stp     x10, x11, [x0, #5 * 16]
    stp     x12, x13, [x0, #6 * 16]
    stp     x14, x15, [x0, #7 * 16]
    stp     x16, x17, [x0, #8 * 16]
    stp     x18, x19, [x0, #9 * 16]
    stp     x20, x21, [x0, #10 * 16]
    stp     x22, x23, [x0, #11 * 16]
    stp     x24, x25, [x0, #12 * 16]
    stp     x26, x27, [x0, #13 * 16]
    stp     x28, x29, [x0, #14 * 16]
    mov     x2, sp
    stp     x30, x2, [x0, #15 * 16]
    mrs     x2, sp_el0
    mrs     x3, tpidrro_el0
    stp     x2, x3, [x0, #0 * 16]
    mrs     x2, elr_el1
    mrs     x3, spsr_el1
    stp     x2, x3, [x0, #{elr}]
    mrs     x2, esr_el1
    mrs     x3, far_el1
    stp     x2, x3, [x0, #{esr}]
    mov     sp, x0
    mov     x29, xzr
    mov     x30, xzr
    bl      {fatal}
    brk     #1
