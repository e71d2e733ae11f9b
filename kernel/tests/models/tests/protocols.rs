//! Locks, doorbell, idle loop and stop protocol, each order of their steps.

use tern_models::{
    entry::Call::{self, Change, Finish, Suspend, Wait, Wake},
    explicit::{
        Defect, Explored, Found, explore,
        protocol::{Protocol, Variant},
    },
};

fn run(
    name: &str,
    variant: Variant,
    programs: &'static [&'static [Call]],
) -> Result<Explored, Found> {
    // With three cores, one lock for all of them.
    let locks = if programs.len() == 2 { 2 } else { 1 };
    let model = Protocol {
        variant,
        locks,
        programs,
    };
    explore(name, &model)
}

fn real(name: &str, programs: &'static [&'static [Call]]) {
    run(name, Variant::Real, programs).unwrap_or_else(|found| panic!("{found}"));
}

#[test]
fn two_cores() {
    real(
        "wake",
        &[&[Wake(1), Wake(1), Finish], &[Wait, Wait, Finish]],
    );
    real(
        "wake each other",
        &[&[Wake(1), Wait, Finish], &[Wait, Wake(0), Finish]],
    );
    real(
        "change each other",
        &[
            &[Change(1), Change(1), Finish],
            &[Change(0), Change(0), Finish],
        ],
    );
    real(
        "suspend each other",
        &[&[Suspend(1), Finish], &[Suspend(0), Finish]],
    );
    real(
        "change and wake",
        &[&[Change(1), Wake(1), Finish], &[Wait, Change(0), Finish]],
    );
}

#[test]
fn three_cores() {
    real(
        "wake, 3 cores",
        &[
            &[Wake(2), Finish],
            &[Wake(2), Finish],
            &[Wait, Wait, Finish],
        ],
    );
    real(
        "wake in a ring",
        &[
            &[Wake(1), Wait, Finish],
            &[Wait, Wake(2), Finish],
            &[Wait, Wake(0), Finish],
        ],
    );
    real(
        "change in a ring",
        &[
            &[Change(1), Finish],
            &[Change(2), Finish],
            &[Change(0), Finish],
        ],
    );
    real(
        "suspend in a ring",
        &[
            &[Suspend(1), Finish],
            &[Suspend(2), Finish],
            &[Suspend(0), Finish],
        ],
    );
    real(
        "change and suspend one",
        &[
            &[Change(2), Finish],
            &[Suspend(2), Finish],
            &[Change(0), Finish],
        ],
    );
    real(
        "wake and stop",
        &[
            &[Wake(1), Change(2), Finish],
            &[Wait, Wake(2), Finish],
            &[Wait, Change(0), Finish],
        ],
    );
}

#[test]
fn a_look_that_ends_after_the_release_loses_a_doorbell() {
    let found = run(
        "late look",
        Variant::LookEndsAfterRelease,
        &[&[Wake(1), Finish], &[Wait, Finish]],
    )
    .unwrap_err();
    assert_eq!(found.defect, Defect::Wrong("a core sleeps on work".into()));
}

#[test]
fn stopping_without_the_stop_lock_deadlocks() {
    let programs = &[&[Change(1), Finish] as &[_], &[Change(0), Finish]];
    let found = run("no stop lock", Variant::NoStopLock, programs).unwrap_err();
    assert_eq!(found.defect, Defect::Deadlock);
}

#[test]
fn whoever_queues_to_stop_others_must_be_ready_to_park() {
    let programs = &[&[Change(1), Finish] as &[_], &[Change(0), Finish]];
    let found = run("deaf in the queue", Variant::NoParkingInQueue, programs).unwrap_err();
    assert_eq!(found.defect, Defect::Deadlock);
}

#[test]
fn marking_and_starting_again_goes_on_for_ever() {
    // Each takes off the next one, which gives up what it had begun.
    let programs = &[
        &[Change(1), Finish] as &[_],
        &[Change(2), Finish],
        &[Change(0), Finish],
    ];
    let found = run("mark and restart", Variant::MarkAndRestart, programs).unwrap_err();
    assert_eq!(found.defect, Defect::Livelock { actors: 3 });
}

#[test]
fn locks_in_descending_order_deadlock() {
    let programs = &[&[Wake(1), Finish] as &[_], &[Wait, Finish]];
    let found = run("descending", Variant::DescendingLocks, programs).unwrap_err();
    assert_eq!(found.defect, Defect::Deadlock);
}
