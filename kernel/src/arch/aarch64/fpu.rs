//! Floating-point and vector registers. The kernel is compiled without them, so the user's values stay where they are
//! until they are switched here.

use core::{
    arch::{asm, global_asm},
    mem::offset_of,
};

use crate::object::FpuState;

// In: x0 the FpuState. Clobbers x1, x2. EL1 may always use these registers; CPACR_EL1 only ever traps EL0.
global_asm!(
    "   .section .text.fpu, \"ax\"",
    "   .arch_extension fp",
    "   .arch_extension simd",
    "   .balign 16",
    "fpu_save:",
    "   stp     q0, q1, [x0, #32 * 0]",
    "   stp     q2, q3, [x0, #32 * 1]",
    "   stp     q4, q5, [x0, #32 * 2]",
    "   stp     q6, q7, [x0, #32 * 3]",
    "   stp     q8, q9, [x0, #32 * 4]",
    "   stp     q10, q11, [x0, #32 * 5]",
    "   stp     q12, q13, [x0, #32 * 6]",
    "   stp     q14, q15, [x0, #32 * 7]",
    "   stp     q16, q17, [x0, #32 * 8]",
    "   stp     q18, q19, [x0, #32 * 9]",
    "   stp     q20, q21, [x0, #32 * 10]",
    "   stp     q22, q23, [x0, #32 * 11]",
    "   stp     q24, q25, [x0, #32 * 12]",
    "   stp     q26, q27, [x0, #32 * 13]",
    "   stp     q28, q29, [x0, #32 * 14]",
    "   stp     q30, q31, [x0, #32 * 15]",
    "   mrs     x1, fpsr",
    "   mrs     x2, fpcr",
    "   str     x1, [x0, #{fpsr}]",
    "   str     x2, [x0, #{fpcr}]",
    "   ret",
    "   .balign 16",
    "fpu_load:",
    "   ldr     x1, [x0, #{fpsr}]",
    "   ldr     x2, [x0, #{fpcr}]",
    "   msr     fpsr, x1",
    "   msr     fpcr, x2",
    "   ldp     q0, q1, [x0, #32 * 0]",
    "   ldp     q2, q3, [x0, #32 * 1]",
    "   ldp     q4, q5, [x0, #32 * 2]",
    "   ldp     q6, q7, [x0, #32 * 3]",
    "   ldp     q8, q9, [x0, #32 * 4]",
    "   ldp     q10, q11, [x0, #32 * 5]",
    "   ldp     q12, q13, [x0, #32 * 6]",
    "   ldp     q14, q15, [x0, #32 * 7]",
    "   ldp     q16, q17, [x0, #32 * 8]",
    "   ldp     q18, q19, [x0, #32 * 9]",
    "   ldp     q20, q21, [x0, #32 * 10]",
    "   ldp     q22, q23, [x0, #32 * 11]",
    "   ldp     q24, q25, [x0, #32 * 12]",
    "   ldp     q26, q27, [x0, #32 * 13]",
    "   ldp     q28, q29, [x0, #32 * 14]",
    "   ldp     q30, q31, [x0, #32 * 15]",
    "   ret",
    fpsr = const offset_of!(FpuState, fpsr),
    fpcr = const offset_of!(FpuState, fpcr),
);

const _: () = assert!(offset_of!(FpuState, v) == 0);

unsafe extern "C" {
    fn fpu_save(state: *mut FpuState);
    fn fpu_load(state: *const FpuState);
}

/// Stores the registers.
pub fn save_fpu(state: &mut FpuState) {
    // SAFETY: writes exactly one `FpuState`.
    unsafe { fpu_save(state) }
}

/// Loads the registers.
pub fn load_fpu(state: &FpuState) {
    // SAFETY: reads exactly one `FpuState`; Rust code does not use the registers.
    unsafe { fpu_load(state) }
}

/// CPACR_EL1.FPEN: EL0 traps or not; EL1 never does.
const TRAP_USER: u64 = 0b01 << 20;
const TRAP_NOBODY: u64 = 0b11 << 20;

/// Whether user level may use the registers from its next instruction on.
pub fn allow_user_fpu(allow: bool) {
    let value = if allow { TRAP_NOBODY } else { TRAP_USER };
    // SAFETY: concerns EL0 only, and takes effect at the latest with the return to it. Everything else that the
    // register enables (SVE, SME, trace) stays off.
    unsafe { asm!("msr cpacr_el1, {}", in(reg) value, options(nostack, preserves_flags)) };
}
