//! The refill rules against recorded sequences of operations and the refills that must result.

#[path = "common/recorded.rs"]
mod recorded;

#[test]
fn every_recorded_operation_gives_the_recorded_refills() {
    assert_eq!(
        recorded::play(),
        (recorded::SEQUENCES, recorded::OPERATIONS)
    );
}
