//! Entries that take fewer locks than all, in every order of their steps.

use tern_models::explicit::{
    Defect, Explored, Found, explore,
    narrow::{
        Entry::{self, Move, Use},
        Narrow, Variant,
    },
    search,
};

/// What one core may do in one entry.
const ENTRIES: [Entry; 9] = [
    Use(&[0]),
    Use(&[1]),
    Use(&[0, 1]),
    Move { object: 0, to: 0 },
    Move { object: 0, to: 1 },
    Move { object: 0, to: 2 },
    Move { object: 1, to: 0 },
    Move { object: 1, to: 1 },
    Move { object: 1, to: 2 },
];

fn run(name: &str, variant: Variant, programs: &[&[Entry]]) -> Result<Explored, Found> {
    explore(name, &Narrow { variant, programs })
}

#[test]
fn any_entry_of_each_of_three_cores() {
    let (mut models, mut states) = (0, 0);
    for first in ENTRIES {
        for second in ENTRIES {
            for third in ENTRIES {
                let model = Narrow {
                    variant: Variant::Real,
                    programs: &[&[first], &[second], &[third]],
                };
                let explored = search(&model)
                    .unwrap_or_else(|found| panic!("{first:?} {second:?} {third:?}: {found}"));
                models += 1;
                states += explored.states;
            }
        }
    }
    println!("one entry each: {models} models, {states} states");
}

#[test]
fn homes_that_change_again_and_again() {
    let there = Move { object: 0, to: 2 };
    let back = Move { object: 0, to: 0 };
    let both = Use(&[0, 1]);
    run(
        "to and fro",
        Variant::Real,
        &[&[there, back], &[both, both], &[back, there]],
    )
    .unwrap();
    let swap = Move { object: 1, to: 0 };
    run(
        "both move",
        Variant::Real,
        &[&[there, swap], &[swap, both], &[both, back]],
    )
    .unwrap();
}

#[test]
fn waiting_for_a_lower_lock_deadlocks() {
    let programs: &[&[Entry]] = &[&[Use(&[1])], &[Use(&[0])]];
    let found = run("waits below", Variant::WaitsBelow, programs).unwrap_err();
    assert_eq!(found.defect, Defect::Deadlock);
}

#[test]
fn homes_have_to_be_looked_at_again() {
    let programs: &[&[Entry]] = &[&[Use(&[1])], &[Move { object: 1, to: 2 }]];
    let found = run("no second look", Variant::NoSecondLook, programs).unwrap_err();
    let rule = "an object is written without its home's lock";
    assert_eq!(found.defect, Defect::Wrong(rule.into()));
}

#[test]
fn a_home_changes_under_both_locks() {
    let programs: &[&[Entry]] = &[&[Move { object: 0, to: 1 }], &[Use(&[0])]];
    let found = run("moves under one lock", Variant::MovesUnderOneLock, programs).unwrap_err();
    assert_eq!(
        found.defect,
        Defect::Wrong("two cores write an object".into())
    );
}

#[test]
fn who_does_not_take_more_may_try_for_ever() {
    let programs: &[&[Entry]] = &[&[Use(&[0])], &[Use(&[0])]];
    let found = run("no escalation", Variant::NoEscalation, programs).unwrap_err();
    assert!(matches!(found.defect, Defect::Livelock { .. }));
}
