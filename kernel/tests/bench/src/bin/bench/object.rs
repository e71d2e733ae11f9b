//! Invocations of kernel objects on one core, as user level sees them, with the library's stub.

use libsel4::abi::ObjectType;
use libsel4::{CapRights, SlotPath, SmallPage, VmAttributes, init};

use tern_bench::meter::{self, SAMPLES, Samples, WARM_UP};
use tern_bench::stamp;
use tern_bench::worker::{Bench, Job};

pub(crate) fn run(bench: &mut Bench) {
    retype(bench);
    pages(bench);
    cnode(bench);
    if meter::wants(&["revoke_1000"]) {
        revoke(bench);
    }
    contexts(bench);
}

fn rounds() -> core::ops::Range<usize> {
    0..WARM_UP + SAMPLES
}

/// A page from an untyped of its size that has no children any more, but had: its memory is cleared anew.
fn retype(bench: &mut Bench) {
    let memory = bench.system.untyped(12).expect("memory");
    let slot = bench.system.slot().expect("a slot");
    let mut samples = Samples::empty();
    for _ in rounds() {
        meter::once(&mut samples, || {
            memory
                .retype_into(ObjectType::SmallPage, 0, init::CNODE, slot.index)
                .expect("a page");
        });
        slot.delete().expect("to delete");
    }
    samples.print("retype_page");
}

/// Maps a page where the tables exist, changes its rights, and unmaps it.
fn pages(bench: &mut Bench) {
    let page = bench.system.object::<SmallPage>().expect("a page");
    let attributes = VmAttributes::default() | VmAttributes::EXECUTE_NEVER;
    let rights = CapRights::READ_WRITE;
    let vaddr = bench.system.map(page, rights, attributes).expect("to map");
    page.unmap().expect("to unmap");
    let map = |rights| {
        page.map(init::VSPACE, vaddr as u64, rights, attributes)
            .expect("to map");
    };
    let [mut mapped, mut protected, mut unmapped] = [0; 3].map(|_| Samples::empty());
    for _ in rounds() {
        meter::once(&mut mapped, || map(rights));
        meter::once(&mut protected, || map(CapRights::READ));
        meter::once(&mut unmapped, || page.unmap().expect("to unmap"));
    }
    mapped.print("page_map");
    protected.print("page_protect");
    unmapped.print("page_unmap");
}

/// Copies a capability to an endpoint, and deletes the copy.
fn cnode(bench: &mut Bench) {
    let endpoint = bench.system.endpoint().expect("an endpoint");
    let slot = bench.system.slot().expect("a slot");
    let [mut copied, mut deleted] = [0; 2].map(|_| Samples::empty());
    for _ in rounds() {
        meter::once(&mut copied, || {
            slot.copy_from(&endpoint.slot(), CapRights::all())
                .expect("to copy");
        });
        meter::once(&mut deleted, || slot.delete().expect("to delete"));
    }
    copied.print("cnode_copy");
    deleted.print("cnode_delete");
}

/// Revokes a capability with a thousand children. The counters are those of the whole call.
fn revoke(bench: &mut Bench) {
    const CHILDREN: u64 = 1000;
    const RADIX: u8 = 10;
    let endpoint = bench.system.endpoint().expect("an endpoint");
    let node = bench.system.cnode(RADIX).expect("a CNode");
    let mut samples = Samples::empty();
    for _ in rounds() {
        for index in 0..CHILDREN {
            SlotPath::new(node, index, u64::from(RADIX))
                .mint_from(&endpoint.slot(), CapRights::all(), index + 1)
                .expect("a child");
        }
        meter::open();
        let before = stamp::cycles();
        endpoint.slot().revoke().expect("to revoke");
        let after = stamp::cycles();
        let counts = meter::close();
        samples.push_batch(after - before, counts, CHILDREN);
    }
    samples.print("revoke_1000");
}

/// Takes a blocked thread's scheduling context away and gives it back; gives it its budget anew, here and elsewhere.
fn contexts(bench: &mut Bench) {
    let job = Job::new(&mut bench.system);
    let sleeper = bench.worker(crate::remote::sleeper, job);
    let context = sleeper.sched.cap();
    let [mut bound, mut unbound, mut same] = [0; 3].map(|_| Samples::empty());
    for _ in rounds() {
        meter::once(&mut unbound, || context.unbind().expect("to unbind"));
        meter::once(&mut bound, || context.bind(sleeper.tcb).expect("to bind"));
        meter::once(&mut same, || bench.configure(context, 0));
    }
    bound.print("sc_bind");
    unbound.print("sc_unbind");
    same.print("configure_same");
    if bench.boot.cores() > 1 {
        let [mut remote, mut rebound] = [0; 2].map(|_| Samples::empty());
        for round in rounds() {
            meter::once(&mut remote, || bench.configure(context, 1));
            bench.configure(context, 0);
            let core = (round + 1) % 2;
            bench.configure(context, 1 - core);
            meter::once(&mut rebound, || {
                context.unbind().expect("to unbind");
                bench.configure(context, core);
                context.bind(sleeper.tcb).expect("to bind");
            });
        }
        remote.print("configure_remote");
        rebound.print("migrate_rebind");
    }
    sleeper.stop();
}
