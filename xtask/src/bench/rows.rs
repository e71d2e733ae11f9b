//! What is measured, with the figures to compare with.
//!
//! The reference is seL4 16.0.0-dev with MCS, built for release, on the same machine of QEMU with the same way of
//! counting; for one core and for four. The one-way figures are from seL4's own benchmark suite, the others from a root
//! task like ours. docs/performance.md says what each row means; the bars are the project's aims for both builds.

/// One benchmark.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// seL4's instructions on one core and on four.
    pub(crate) sel4: [Option<u64>; 2],
    pub(crate) bar: Bar,
    /// Doorbells at most, where that is an aim too.
    pub(crate) doorbells: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// From the instruction that enters the kernel to user level, wherever that goes on. No stubs.
    OneWay,
    /// As user level sees it, with the library's stub, and the loop where it can be repeated at once.
    Whole,
    /// The same, and it takes several cores.
    Across,
}

/// What a figure may be at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bar {
    Instructions(u64),
    /// In hundredths of the figure of `call` on as many cores.
    PercentOfCall(u64),
    None,
}

const fn row(
    name: &'static str,
    kind: Kind,
    sel4_one: u64,
    sel4_four: u64,
    bar: u64,
    doorbells: Option<u64>,
) -> Row {
    const fn known(figure: u64) -> Option<u64> {
        if figure == 0 { None } else { Some(figure) }
    }
    Row {
        name,
        kind,
        sel4: [known(sel4_one), known(sel4_four)],
        bar: match bar {
            0 => Bar::None,
            bar => Bar::Instructions(bar),
        },
        doorbells,
    }
}

use Kind::{Across, OneWay, Whole};

/// Every row, in the order of the tables. A figure of 0 is one that there is not.
pub(crate) const ROWS: [Row; 41] = [
    row("call", OneWay, 209, 278, 200, Some(0)),
    row("reply_recv", OneWay, 266, 345, 240, Some(0)),
    row("call_fpu", OneWay, 261, 355, 270, Some(0)),
    row("reply_recv_fpu", OneWay, 318, 419, 310, Some(0)),
    row("call_10", OneWay, 932, 1514, 300, Some(0)),
    row("reply_recv_10", OneWay, 1017, 1623, 340, Some(0)),
    row("send", OneWay, 780, 1336, 320, Some(0)),
    row("signal_high", OneWay, 699, 1244, 320, Some(0)),
    row("signal_low", OneWay, 452, 727, 140, Some(0)),
    row("wake_high", OneWay, 842, 1613, 400, Some(0)),
    row("yield", OneWay, 502, 1108, 280, Some(0)),
    row("fault", OneWay, 673, 1099, 330, Some(0)),
    row("fault_reply", OneWay, 1081, 1648, 380, Some(0)),
    row("irq_to_user", OneWay, 527, 1118, 350, Some(0)),
    row("call_rtt", Whole, 616, 827, 560, Some(0)),
    row("call_rtt_10", Whole, 2170, 3203, 800, Some(0)),
    row("call_rtt_active", Whole, 2131, 3391, 800, Some(0)),
    row("null_syscall", Whole, 343, 588, 160, Some(0)),
    row("call_error", Whole, 432, 690, 260, Some(0)),
    row("poll_empty", Whole, 278, 524, 175, Some(0)),
    row("signal_idle", Whole, 408, 683, 190, Some(0)),
    row("yield_alone", Whole, 476, 1042, 240, Some(0)),
    row("retype_page", Whole, 1210, 1563, 1000, Some(0)),
    row("page_map", Whole, 626, 968, 520, Some(0)),
    row("page_protect", Whole, 635, 1913, 560, Some(0)),
    row("page_unmap", Whole, 580, 2041, 520, Some(0)),
    row("cnode_copy", Whole, 742, 1101, 420, Some(0)),
    row("cnode_delete", Whole, 706, 1034, 400, Some(0)),
    row("revoke_1000", Whole, 231, 238, 150, Some(0)),
    row("sc_bind", Whole, 563, 879, 330, Some(0)),
    row("sc_unbind", Whole, 504, 813, 330, Some(0)),
    row("configure_same", Whole, 594, 1014, 420, Some(0)),
    row("cap_transfer", Whole, 0, 0, 0, Some(0)),
    row("configure_remote", Across, 0, 1029, 450, Some(1)),
    row("migrate_rebind", Across, 0, 2655, 1150, Some(1)),
    row("migrate_self", Across, 0, 4919, 1600, Some(2)),
    row("call_active_remote", Across, 0, 4719, 1900, Some(2)),
    row("signal_pingpong_remote", Across, 0, 5114, 2000, Some(2)),
    Row {
        bar: Bar::PercentOfCall(140),
        ..row("call_passive_remote", Across, 0, 0, 0, Some(0))
    },
    row("migrate_running", Across, 0, 0, 0, Some(1)),
    row("cap_transfer_remote", Across, 0, 0, 0, Some(2)),
];

/// The rows that a machine with so many cores has.
pub(crate) fn on(cores: u32) -> impl Iterator<Item = &'static Row> {
    ROWS.iter()
        .filter(move |row| cores > 1 || row.kind != Kind::Across)
}

impl Row {
    /// Instructions at most. `call` gives the figure of `call` on as many cores, if it is known.
    pub(crate) fn at_most(&self, call: impl FnOnce() -> Option<u64>) -> Option<u64> {
        match self.bar {
            Bar::Instructions(bar) => Some(bar),
            Bar::PercentOfCall(percent) => call().map(|call| call * percent / 100),
            Bar::None => None,
        }
    }

    /// seL4's figure: that for four cores stands for all machines with several.
    pub(crate) fn reference(&self, cores: u32) -> Option<u64> {
        self.sel4[usize::from(cores > 1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_a_name_of_its_own() {
        for (index, row) in ROWS.iter().enumerate() {
            assert!(ROWS[..index].iter().all(|other| other.name != row.name));
        }
    }

    #[test]
    fn one_core_does_nothing_across_cores() {
        assert!(on(1).all(|row| row.kind != Kind::Across && row.doorbells == Some(0)));
        assert_eq!(on(4).count(), ROWS.len());
    }

    #[test]
    fn the_program_measures_every_row() {
        let sources = [
            include_str!("../../../kernel/tests/bench/src/bin/bench/ipc.rs"),
            include_str!("../../../kernel/tests/bench/src/bin/bench/signal.rs"),
            include_str!("../../../kernel/tests/bench/src/bin/bench/event.rs"),
            include_str!("../../../kernel/tests/bench/src/bin/bench/object.rs"),
            include_str!("../../../kernel/tests/bench/src/bin/bench/remote.rs"),
        ];
        for row in &ROWS {
            let name = format!("\"{}\"", row.name);
            assert!(
                sources.iter().any(|source| source.contains(&name)),
                "{name}"
            );
        }
    }
}
