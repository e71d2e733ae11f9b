//! Labels that a capability does not know, for every kind of capability and every form of message: refused in one way, or of no
//! account where labels mean nothing.
//! timeout: 180

#![no_std]
#![no_main]

extern crate alloc;

use alloc::collections::BTreeSet;
use alloc::format;
use core::ops::RangeInclusive;

use libsel4::abi::Invocation;
use libsel4::{BootInfo, Cap, Notification, System, init, root_task};
use tern_target_tests::bad::{Bench, Kind, Request, Victim};
use tern_target_tests::objects::{Answer, answer, invoke};
use tern_target_tests::rows::row;

root_task!(main);

/// Labels are this wide.
const BITS: u32 = 52;

/// An object's name in the rows, the kinds of capabilities to it, and its labels.
type Labels = (
    &'static str,
    &'static [Kind],
    &'static [RangeInclusive<u64>],
);

/// The objects that have methods.
const KINDS: [Labels; 12] = [
    (
        "untyped",
        &[Kind::Untyped, Kind::UsedUntyped, Kind::DeviceUntyped],
        &[1..=1],
    ),
    ("tcb", &[Kind::Thread], &[2..=17]),
    ("cnode", &[Kind::CNode], &[18..=25]),
    ("irq-control", &[Kind::IrqControl], &[26..=26, 55..=57]),
    ("irq-handler", &[Kind::IrqHandler], &[27..=29]),
    ("domain-set", &[Kind::Domain], &[30..=32]),
    ("sched-control", &[Kind::SchedControl], &[33..=33]),
    ("sched-context", &[Kind::SchedContext], &[34..=38]),
    ("vspace", &[Kind::VSpace, Kind::FreeVSpace], &[39..=42]),
    ("page-table", &[Kind::PageTable], &[44..=45]),
    (
        "page",
        &[Kind::Frame, Kind::SilentFrame, Kind::DeviceFrame],
        &[46..=52],
    ),
    ("asid", &[Kind::AsidControl, Kind::AsidPool], &[]),
];

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let bench = Bench::new(&mut system);
    let victim = Victim::new(&mut system, boot.cores() / 2);
    let state = || {
        let thread = bench.zoo.of(Kind::Thread);
        let mut state = bench.zoo.identities();
        state.extend(invoke(thread, Invocation::TcbReadRegisters, &[], &[0, 36]).words);
        state.extend(victim.state());
        state
    };
    let before = state();
    let good_caps = [
        init::CNODE.bits(),
        init::VSPACE.bits(),
        bench.zoo.of(Kind::Thread),
    ];
    let ask = |cap, label, expected: Answer, what: Kind| {
        for words in [&[][..], &[0; 8], &[u64::MAX; 120]] {
            for caps in [&[][..], &good_caps] {
                let request = Request {
                    cap,
                    label,
                    caps: caps.into(),
                    words: words.into(),
                };
                for seen in bench.ask_as_both(&request) {
                    assert_eq!(seen, expected, "{what:?}, {request:x?}");
                }
            }
        }
    };
    for (name, kinds, own) in KINDS {
        row(&format!("bad.label.{name}"));
        for &kind in kinds {
            for label in labels() {
                let own = match kind {
                    Kind::AsidControl => label == 53,
                    Kind::AsidPool => label == 54,
                    _ => own.iter().any(|labels| labels.contains(&label)),
                };
                if !own {
                    ask(bench.zoo.of(kind), label, answer::illegal_operation(), kind);
                }
            }
            assert_eq!(state(), before, "{kind:?}");
        }
    }
    row("bad.label.null");
    for label in labels() {
        let cap = bench.zoo.of(Kind::Null);
        ask(cap, label, answer::invalid_capability(0), Kind::Null);
    }
    row("bad.label.no-rights");
    for kind in [Kind::SilentEndpoint, Kind::SilentNotification] {
        for label in labels() {
            ask(
                bench.zoo.of(kind),
                label,
                answer::invalid_capability(0),
                kind,
            );
        }
    }
    row("bad.label.ignored");
    let notification = Cap::<Notification>::from_bits(bench.zoo.of(Kind::Notification));
    for kind in [Kind::Notification, Kind::Reply] {
        for label in labels() {
            ask(bench.zoo.of(kind), label, answer::ok(), kind);
        }
    }
    assert_eq!(notification.poll(), 0, "the capability has no badge");
    assert_eq!(state(), before);
    victim.check_alive(&bench.zoo);
}

/// All that are known, their neighbours, powers of two, and what is a known label if only its low bits count.
fn labels() -> BTreeSet<u64> {
    let around = |bit: u32| [(1u64 << bit) - 1, 1 << bit, (1 << bit) + 1];
    let mask = (1 << BITS) - 1;
    let powers = (0..=BITS).flat_map(around).map(|label| label & mask);
    let wide = [16, 32, BITS - 1];
    let known = wide
        .into_iter()
        .flat_map(|bit| (1..=57).map(move |label| 1 << bit | label));
    powers.chain(0..=80).chain(known).collect()
}
