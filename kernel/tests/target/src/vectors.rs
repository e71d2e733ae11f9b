//! Programs for puppets that use every vector register.

macro_rules! for_each_vector {
    ($before:literal, $after:literal; $($n:literal)*) => {
        concat!($($before, $n, $after, "\n"),*)
    };
}

macro_rules! vectors {
    ($before:literal, $after:literal) => {
        for_each_vector!(
            $before, $after;
            "0" "1" "2" "3" "4" "5" "6" "7" "8" "9" "10" "11" "12" "13" "14" "15"
            "16" "17" "18" "19" "20" "21" "22" "23" "24" "25" "26" "27" "28" "29" "30" "31"
        )
    };
}

/// Compares all registers with what x20 and x10, x21 say, and branches to label 4 where they differ. Clobbers x9, x11.
macro_rules! check {
    () => {
        concat!(
            "mov x9, x20\n",
            vectors!(
                "add x9, x9, #1\n umov x11, v",
                ".d[0]\n cmp x11, x9\n b.ne 4f"
            ),
            "mov x9, x20\n",
            vectors!(
                "add x9, x9, #1\n umov x11, v",
                ".d[1]\n cmp x11, x9\n b.ne 4f"
            ),
            "mrs x11, fpcr\n",
            "cmp x11, x10\n",
            "b.ne 4f\n",
            "mrs x11, fpsr\n",
            "cmp x11, x21\n",
            "b.ne 4f\n",
        )
    };
}

/// Puts x20, x20 + 1, ... into the two halves of the vector registers and x21 into control and status; then yields x22
/// times, each time checking all of it. Ends with `udf #0` and x22 = 0 if all was well.
#[unsafe(naked)]
pub extern "C" fn keep() -> ! {
    core::arch::naked_asm!(
        "mov x9, x20",
        vectors!("add x9, x9, #1\n dup v", ".2d, x9"),
        "lsl x10, x21, #22", // rounding mode
        "msr fpcr, x10",
        "msr fpsr, x21",
        "3: mov x7, #-11",
        "svc #0",
        check!(),
        "subs x22, x22, #1",
        "b.ne 3b",
        "4: udf #0",
    )
}

/// Puts x20, x20 + 1, ... into the two halves of the vector registers and x21 into control and status; then a first user
/// exception. When it goes on at the next instruction, it checks all of it, and ends with a second one; x22 is 0 then if
/// all was well.
#[unsafe(naked)]
pub extern "C" fn fill() -> ! {
    core::arch::naked_asm!(
        "mov x9, x20",
        vectors!("add x9, x9, #1\n dup v", ".2d, x9"),
        "lsl x10, x21, #22", // rounding mode
        "msr fpcr, x10",
        "msr fpsr, x21",
        "mov x22, #1",
        "udf #1",
        check!(),
        "mov x22, #0",
        "4: udf #0",
    )
}

/// Leaves in x0 the union of all bits of all registers.
#[unsafe(naked)]
pub extern "C" fn collect() -> ! {
    core::arch::naked_asm!(
        "mrs x0, fpcr",
        "mrs x1, fpsr",
        "orr x0, x0, x1",
        vectors!("umov x1, v", ".d[0]\n orr x0, x0, x1"),
        vectors!("umov x1, v", ".d[1]\n orr x0, x0, x1"),
        "udf #0",
    )
}
