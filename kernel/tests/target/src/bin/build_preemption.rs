//! `MAX_NUM_WORK_UNITS_PER_PREEMPTION` decides how long a thread waits for a long deletion of a less important one.
//! `RETYPE_FAN_OUT_LIMIT` is the most objects of one retype.
//!
//! config: MAX_NUM_WORK_UNITS_PER_PREEMPTION=4
//! config: RETYPE_FAN_OUT_LIMIT=16

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;

use libsel4::{
    BootInfo, Budget, CapRights, Error, ObjectType, SlotPath, System, ThreadBuilder, root_task,
    syscall, time,
};
use tern_target_tests::rows::row;

root_task!(main);

const PERIOD: Duration = Duration::from_micros(200);
/// Capabilities in the CNode that is deleted.
const CAPS: u64 = 1 << 11;

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    row("build.config.work-units");
    let endpoint = system.endpoint().expect("an endpoint");
    let node = system.cnode(11).expect("a CNode");
    for index in 0..CAPS {
        let place = SlotPath::new(node, index, 11);
        place
            .copy_from(&endpoint.slot(), CapRights::all())
            .expect("a copy");
    }
    static DELETING: AtomicBool = AtomicBool::new(false);
    static DONE: AtomicBool = AtomicBool::new(false);
    let watcher = ThreadBuilder::new("watcher")
        .priority(200)
        .budget(Budget::periodic(PERIOD / 4, PERIOD))
        .spawn(&mut system, || {
            let (mut periods, mut longest) = (0, 0);
            let mut last = time::counter();
            while !DONE.load(Ordering::Relaxed) {
                syscall::yield_now();
                let now = time::counter();
                if DELETING.load(Ordering::Relaxed) {
                    longest = longest.max(now - last);
                    periods += 1;
                }
                last = now;
            }
            (periods, time::ticks_to_duration(longest))
        });
    let deleter = ThreadBuilder::new("deleter")
        .priority(50)
        .spawn(&mut system, move || {
            DELETING.store(true, Ordering::Relaxed);
            node.slot().delete().expect("deleted");
            DELETING.store(false, Ordering::Relaxed);
            DONE.store(true, Ordering::Relaxed);
        });
    deleter
        .expect("a thread")
        .join(&mut system)
        .expect("joined");
    let (periods, longest) = watcher
        .expect("a thread")
        .join(&mut system)
        .expect("joined");
    assert!(periods >= 3, "{periods}: the deletion takes long enough");
    assert!(longest < PERIOD + Duration::from_micros(10), "{longest:?}");

    row("build.config.fan-out");
    let memory = system.untyped(12).expect("memory");
    let node = system.cnode(8).expect("a CNode");
    let path = SlotPath::new(node, 0, 0);
    let make = |count| memory.retype(ObjectType::Endpoint, 0, path, 0, count);
    assert_eq!(make(17), Err(Error::RangeError { min: 1, max: 16 }));
    assert_eq!(make(16), Ok(()));
}
