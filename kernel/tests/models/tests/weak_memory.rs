//! The kernel's locks, doorbell, idle loop and stop protocol under weak memory.

use tern_models::{
    check::{Order, locks, run},
    entry::Call::{Change, Finish, Suspend, Wait, Wake},
    sync::{
        Ordering::{Acquire, Release},
        relax_flags,
    },
    system::Variant,
};

#[test]
fn locks_exclude_and_order() {
    use Order::Ascending;
    locks("lock, 2 cores", None, None, &[Ascending, Ascending]).unwrap();
    locks(
        "lock, 3 cores",
        None,
        Some(2),
        &[Ascending, Ascending, Ascending],
    )
    .unwrap();
}

#[test]
fn a_lock_that_is_tried_is_ordered_after_its_last_holder() {
    use Order::{Ascending, Tried};
    locks("tried, 2 cores", None, None, &[Ascending, Tried]).unwrap();
    locks("both try", None, None, &[Tried, Tried]).unwrap();
}

#[test]
fn a_release_that_is_relaxed_is_a_race() {
    use Order::Ascending;
    let wrong = locks(
        "relaxed release",
        Some(Release),
        None,
        &[Ascending, Ascending],
    )
    .unwrap_err();
    assert!(wrong.contains("Causality violation"), "{wrong}");
}

#[test]
fn an_acquisition_that_is_relaxed_is_a_race() {
    use Order::Ascending;
    let wrong = locks(
        "relaxed acquire",
        Some(Acquire),
        None,
        &[Ascending, Ascending],
    )
    .unwrap_err();
    assert!(wrong.contains("Causality violation"), "{wrong}");
}

#[test]
fn locks_in_descending_order_deadlock() {
    use Order::{Ascending, Descending};
    let wrong = locks("descending", None, None, &[Ascending, Descending]).unwrap_err();
    assert!(wrong.contains("deadlock"), "{wrong}");
}

#[test]
fn a_core_with_work_does_not_sleep() {
    let real = Variant::Real;
    run(
        "wake",
        real,
        Some(3),
        &[&[Wake(1), Finish], &[Wait, Finish]],
    )
    .unwrap();
    run(
        "wake twice",
        real,
        Some(2),
        &[&[Wake(1), Wake(1), Finish], &[Wait, Wait, Finish]],
    )
    .unwrap();
    run(
        "wake each other",
        real,
        Some(2),
        &[&[Wake(1), Wait, Finish], &[Wait, Wake(0), Finish]],
    )
    .unwrap();
    run(
        "wake, 3 cores",
        real,
        Some(0),
        &[
            &[Wake(2), Finish],
            &[Wake(2), Finish],
            &[Wait, Wait, Finish],
        ],
    )
    .unwrap();
}

#[test]
fn a_look_that_ends_after_the_release_loses_a_doorbell() {
    let variant = Variant::LookEndsAfterRelease;
    let wrong = run(
        "late look",
        variant,
        Some(3),
        &[&[Wake(1), Finish], &[Wait, Finish]],
    )
    .unwrap_err();
    assert!(wrong.contains("deadlock"), "{wrong}");
}

#[test]
fn stopping() {
    let real = Variant::Real;
    run("change", real, Some(2), &[&[Change(1), Finish], &[Finish]]).unwrap();
    run(
        "suspend",
        real,
        Some(2),
        &[&[Suspend(1), Finish], &[Wake(0), Finish]],
    )
    .unwrap();
    run(
        "change each other",
        real,
        Some(1),
        &[&[Change(1), Finish], &[Change(0), Finish]],
    )
    .unwrap();
    run(
        "suspend each other",
        real,
        Some(2),
        &[&[Suspend(1), Finish], &[Suspend(0), Finish]],
    )
    .unwrap();
    run(
        "change in a ring",
        real,
        Some(0),
        &[
            &[Change(1), Finish],
            &[Change(2), Finish],
            &[Change(0), Finish],
        ],
    )
    .unwrap();
    run(
        "change and wake",
        real,
        Some(2),
        &[&[Change(1), Wake(1), Finish], &[Wait, Finish]],
    )
    .unwrap();
}

/// So nothing here depends on what loom does not model of sequentially consistent accesses.
#[test]
fn flags_need_no_order_of_their_own() {
    let real = Variant::Real;
    relax_flags(true);
    let wakes = run(
        "wake, relaxed flags",
        real,
        Some(3),
        &[&[Wake(1), Finish], &[Wait, Finish]],
    );
    let stops = run(
        "change, relaxed flags",
        real,
        Some(2),
        &[&[Change(1), Finish], &[Finish]],
    );
    let both = run(
        "change each other, relaxed flags",
        real,
        Some(1),
        &[&[Change(1), Finish], &[Change(0), Finish]],
    );
    relax_flags(false);
    assert!(wakes.is_ok() && stops.is_ok() && both.is_ok());
}

#[test]
fn stopping_without_the_stop_lock_deadlocks() {
    let variant = Variant::NoStopLock;
    let wrong = run(
        "no stop lock",
        variant,
        Some(1),
        &[&[Change(1), Finish], &[Change(0), Finish]],
    )
    .unwrap_err();
    assert!(wrong.contains("deadlock"), "{wrong}");
}

#[test]
fn saving_after_parking_is_a_race() {
    let variant = Variant::SaveAfterParking;
    let wrong = run(
        "late save",
        variant,
        Some(2),
        &[&[Change(1), Finish], &[Finish]],
    )
    .unwrap_err();
    assert!(wrong.contains("Causality violation"), "{wrong}");
}

#[test]
fn changing_a_live_thread_is_a_race() {
    let variant = Variant::NoStop;
    let wrong = run(
        "no stop",
        variant,
        Some(2),
        &[&[Change(1), Finish], &[Finish]],
    )
    .unwrap_err();
    assert!(wrong.contains("Causality violation"), "{wrong}");
}

#[test]
fn a_stop_without_events_sleeps_for_ever() {
    let variant = Variant::NoEvents;
    let wrong = run(
        "no events",
        variant,
        Some(2),
        &[&[Change(1), Finish], &[Finish]],
    )
    .unwrap_err();
    assert!(wrong.contains("deadlock"), "{wrong}");
}
