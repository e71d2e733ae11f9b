//! The few AArch64 instructions that matter there (Arm ARM, *Loads and stores*, *Hints*, *Branches*).

use std::fmt::{self, Display};

/// Instructions that are not like all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Load or store exclusive, CLREX, or an atomic read-modify-write instruction.
    Exclusive,
    /// A load that acquires, unless it is [`Kind::OnceLoad`].
    Acquire,
    /// The look whether what `spin::Once` keeps is there: one byte, compared with 2, which it is ever since the boot. The
    /// description of the machine is kept so. It is no lock: nobody waits, and nothing is written.
    OnceLoad,
    /// A store that releases.
    Release,
    /// SEV, SEVL or WFE.
    CoreEvent,
    /// A load of 16 bits, but from the stack.
    HalfLoad,
    /// BLR.
    IndirectCall,
}

impl Kind {
    pub(super) const ALL: [Self; 7] = [
        Self::Exclusive,
        Self::Acquire,
        Self::OnceLoad,
        Self::Release,
        Self::CoreEvent,
        Self::HalfLoad,
        Self::IndirectCall,
    ];
}

impl Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exclusive => "an exclusive or atomic instruction",
            Self::Acquire => "a load-acquire",
            Self::OnceLoad => "a look at what is set once",
            Self::Release => "a store-release",
            Self::CoreEvent => "an event between cores",
            Self::HalfLoad => "a load of 16 bits",
            Self::IndirectCall => "an indirect call",
        })
    }
}

/// What kind of instruction a word is, before another.
pub(super) fn kind(word: u32, next: Option<u32>) -> Option<Kind> {
    let is = |mask: u32, value: u32| word & mask == value;
    // Load and store exclusive, LDAR and STLR, compare and swap.
    if is(0x3f00_0000, 0x0800_0000) {
        return Some(match (is(0x80_0000, 0x80_0000), is(0x20_0000, 0x20_0000)) {
            (true, false) if is(0x40_0000, 0) => Kind::Release,
            (true, false) if is_once(word, next) => Kind::OnceLoad,
            (true, false) => Kind::Acquire,
            _ => Kind::Exclusive,
        });
    }
    // LDAPR, then the other atomic memory operations, among which it is encoded.
    if is(0x3fff_fc00, 0x38bf_c000) {
        return Some(Kind::Acquire);
    }
    if is(0x3f20_0c00, 0x3820_0000) {
        return Some(Kind::Exclusive);
    }
    // STLUR, LDAPUR.
    if is(0x3f20_0c00, 0x1900_0000) {
        return Some(if is(0xc0_0000, 0) {
            Kind::Release
        } else {
            Kind::Acquire
        });
    }
    if is(0xffff_f0ff, 0xd503_305f) {
        return Some(Kind::Exclusive);
    }
    if matches!(word, 0xd503_205f | 0xd503_209f | 0xd503_20bf) {
        return Some(Kind::CoreEvent);
    }
    if is(0xffff_fc1f, 0xd63f_0000) {
        return Some(Kind::IndirectCall);
    }
    // LDRH and LDRSH: with an offset, unsigned or not, and with a register. Offset from the stack pointer: kept there by
    // the compiler.
    let half = is(0xff40_0000, 0x7940_0000)
        || is(0xff80_0000, 0x7980_0000)
        || is(0xff20_0000, 0x7800_0000) && !is(0xc0_0000, 0)
        || is(0xff20_0c00, 0x7820_0800) && !is(0xc0_0000, 0);
    (half && word >> 5 & 31 != 31).then_some(Kind::HalfLoad)
}

/// Whether a load-acquire is of one byte that the next instruction compares with 2.
fn is_once(word: u32, next: Option<u32>) -> bool {
    const COMPARE_WITH_2: u32 = 0x7100_081f;
    word >> 30 == 0 && next == Some(COMPARE_WITH_2 | (word & 31) << 5)
}

/// Where a branch or a call goes, but for one that takes the address from a register.
pub(super) fn branch(word: u32, address: u64) -> Option<u64> {
    // In words, in bits from `shift` on.
    let offset =
        |shift: u32, bits: u32| i64::from(word as i32) << (64 - shift - bits) >> (64 - bits);
    let words = if word >> 26 & 0x1f == 0x05 {
        offset(0, 26)
    } else if word & 0xff00_0010 == 0x5400_0000 || word & 0x7e00_0000 == 0x3400_0000 {
        offset(5, 19)
    } else if word & 0x7e00_0000 == 0x3600_0000 {
        offset(5, 14)
    } else {
        return None;
    };
    Some(address.wrapping_add_signed(4 * words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_told_apart() {
        for (word, expected) in [
            (0x885f_7d09, Some(Kind::Exclusive)),    // ldxr w9, [x8]
            (0x880a_7d09, Some(Kind::Exclusive)),    // stxr w10, w9, [x8]
            (0xc85f_fd09, Some(Kind::Exclusive)),    // ldaxr x9, [x8]
            (0x085f_fd09, Some(Kind::Exclusive)),    // ldaxrb w9, [x8]
            (0xc80a_fd09, Some(Kind::Exclusive)),    // stlxr w10, x9, [x8]
            (0xc87f_2109, Some(Kind::Exclusive)),    // ldxp x9, x8, [x8]
            (0x88e9_fd0a, Some(Kind::Exclusive)),    // casal w9, w10, [x8]
            (0x4820_7c82, Some(Kind::Exclusive)),    // casp x0, x1, x2, x3, [x4]
            (0xb829_010a, Some(Kind::Exclusive)),    // ldadd w9, w10, [x8]
            (0xb869_810a, Some(Kind::Exclusive)),    // swpl w9, w10, [x8]
            (0xd503_3f5f, Some(Kind::Exclusive)),    // clrex
            (0x88df_fd09, Some(Kind::Acquire)),      // ldar w9, [x8]
            (0xb8bf_c109, Some(Kind::Acquire)),      // ldapr w9, [x8]
            (0x889f_fd09, Some(Kind::Release)),      // stlr w9, [x8]
            (0x089f_fd1f, Some(Kind::Release)),      // stlrb wzr, [x8]
            (0xd503_209f, Some(Kind::CoreEvent)),    // sev
            (0xd503_20bf, Some(Kind::CoreEvent)),    // sevl
            (0xd503_205f, Some(Kind::CoreEvent)),    // wfe
            (0x7940_4354, Some(Kind::HalfLoad)),     // ldrh w20, [x26, #32]
            (0x7860_6909, Some(Kind::HalfLoad)),     // ldrh w9, [x8, x0]
            (0x785f_e109, Some(Kind::HalfLoad)),     // ldurh w9, [x8, #-2]
            (0xd63f_0100, Some(Kind::IndirectCall)), // blr x8
            (0xd503_207f, None),                     // wfi
            (0x7940_83e0, None),                     // ldrh w0, [sp, #64]
            (0x7900_0109, None),                     // strh w9, [x8]
            (0x7828_6909, None),                     // strh w9, [x8, x8]
            (0xf940_254a, None),                     // ldr x10, [x10, #72]
            (0xf868_6909, None),                     // ldr x9, [x8, x8]
            (0xd503_3fdf, None),                     // isb
            (0xd503_3f9f, None),                     // dsb sy
            (0xd61f_0100, None),                     // br x8
        ] {
            assert_eq!(kind(word, None), expected, "{word:#010x}");
        }
    }

    #[test]
    fn a_look_at_what_is_set_once_is_known() {
        const LDARB_W8: u32 = 0x08df_fee8;
        const LDAR_W8: u32 = 0x88df_fee8;
        // cmp w8, #2; cmp w8, #1; cmp w9, #2
        assert_eq!(kind(LDARB_W8, Some(0x7100_091f)), Some(Kind::OnceLoad));
        assert_eq!(kind(LDARB_W8, Some(0x7100_051f)), Some(Kind::Acquire));
        assert_eq!(kind(LDARB_W8, Some(0x7100_093f)), Some(Kind::Acquire));
        assert_eq!(kind(LDAR_W8, Some(0x7100_091f)), Some(Kind::Acquire));
    }

    #[test]
    fn branches_lead_where_they_lead() {
        assert_eq!(branch(0x9400_0002, 0x1000), Some(0x1008)); // bl
        assert_eq!(branch(0x17ff_ffff, 0x1000), Some(0xffc)); // b
        assert_eq!(branch(0x5400_6721, 0xc000_1d3c), Some(0xc000_2a20)); // b.ne
        assert_eq!(branch(0xb4ff_ffe8, 0x1000), Some(0xffc)); // cbz
        assert_eq!(branch(0x3707_fff0, 0x1000), Some(0xffc)); // tbnz w16, #0
        assert_eq!(branch(0xd61f_0100, 0x1000), None); // br
        assert_eq!(branch(0xd503_201f, 0x1000), None); // nop
    }
}
