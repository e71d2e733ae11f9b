// Where the program and its threads begin. The kernel gives the first thread no stack, and the boot information in x0.

        .section .text
        .global _start
_start:
        adrp    x1, root_stack_top
        add     x1, x1, :lo12:root_stack_top
        mov     sp, x1
        mov     x29, xzr
        mov     x30, xzr
        bl      root_main
        b       finish

// A thread: x0 is its IPC buffer, x1 what it does, x2 the argument for that. The stack is set already.
        .global thread_start
thread_start:
        msr     tpidr_el0, x0
        mov     x29, xzr
        mov     x30, xzr
        mov     x0, x2
        blr     x1
        udf     #0

        .section .bss
        .balign 4096
        .skip   16384
root_stack_top:

        .section .note.GNU-stack, "", %progbits
