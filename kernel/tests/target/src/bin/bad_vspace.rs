//! Bad input to translation tables, address spaces and their identifiers: each with its exact answer, what succeeds is undone,
//! and the mappings are as they were.
//! timeout: 180

#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;

use libsel4::abi::{Invocation, USER_TOP};
use libsel4::{
    BootInfo, Cap, CapRights, PageTable, SmallPage, System, VSpace, VmAttributes, init, root_task,
};
use tern_target_tests::bad::{Bench, Kind, Method, Request, Space, no_caps, no_undo};
use tern_target_tests::objects::{Answer, answer, invoke, object};

root_task!(main);

/// A page that can be written, and the one after it, which cannot.
const PAGE: u64 = 0x40_1234_5000;
const READ_ONLY: u64 = PAGE + 0x1000;
const MAINTENANCE: [(&str, Invocation); 4] = [
    ("vspace-clean-data", Invocation::VSpaceCleanData),
    ("vspace-invalidate-data", Invocation::VSpaceInvalidateData),
    (
        "vspace-clean-invalidate-data",
        Invocation::VSpaceCleanInvalidateData,
    ),
    (
        "vspace-unify-instruction",
        Invocation::VSpaceUnifyInstruction,
    ),
];

struct Tables {
    vspace: Cap<VSpace>,
    page: Cap<SmallPage>,
    read_only: Cap<SmallPage>,
    /// Mapped nowhere.
    free: Cap<PageTable>,
    /// Mapped as the first table of an address space without pages.
    mapped: Cap<PageTable>,
    copied: Cap<PageTable>,
}

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let bench = Bench::new(&mut system);
    let space = Space::new(&mut system, &bench.zoo);
    let tables = Tables::new(&mut system);
    tables.map(&bench);
    tables.unmap(&bench);
    for (name, method) in MAINTENANCE {
        tables.maintain(&bench, name, method);
    }
    make_pool(&mut system, &bench, &space);
    assign(&mut system, &bench);
}

impl Tables {
    fn new(system: &mut System) -> Self {
        let vspace = system.vspace().expect("an address space");
        let [page, read_only] = [0; 2].map(|_| object::<SmallPage>(system));
        for (frame, vaddr, rights) in [
            (page, PAGE, CapRights::READ_WRITE),
            (read_only, READ_ONLY, CapRights::READ),
        ] {
            let attributes = VmAttributes::default();
            system
                .map_at(vspace, frame, vaddr as usize, rights, attributes)
                .expect("to map");
        }
        let other = system.vspace().expect("an address space");
        let [free, mapped, copied] = [0; 3].map(|_| object::<PageTable>(system));
        for (table, vaddr) in [(mapped, PAGE), (copied, 0)] {
            table
                .map(other, vaddr, VmAttributes::default())
                .expect("to map");
        }
        system.copy(copied, CapRights::all()).expect("a copy");
        Self {
            vspace,
            page,
            read_only,
            free,
            mapped,
            copied,
        }
    }

    /// Whether the pages are mapped, and the tables: a mapped one cannot be mapped.
    fn state(&self) -> Vec<u64> {
        let clean = |frame: Cap<SmallPage>| {
            invoke(frame.bits(), Invocation::PageCleanData, &[], &[0, 64]).label
        };
        let map = |table: Cap<PageTable>| {
            let caps = [init::VSPACE.bits()];
            invoke(table.bits(), Invocation::PageTableMap, &caps, &[1 << 63, 0]).label
        };
        [
            clean(self.page),
            clean(self.read_only),
            map(self.free),
            map(self.mapped),
            map(self.copied),
        ]
        .into()
    }

    fn map(&self, bench: &Bench) {
        let vspace = [self.vspace.bits()];
        // All tables are there; and one that is mapped.
        let present = |words: &[u64]| {
            if words[0] > USER_TOP {
                answer::invalid_argument(0)
            } else if words[0] >> 21 == PAGE >> 21 {
                answer::delete_first()
            } else {
                answer::ok()
            }
        };
        for (table, is_mapped) in [(self.free, false), (self.mapped, true)] {
            bench.probe(&Method {
                name: "page-table-map",
                request: Request::new(table.bits(), Invocation::PageTableMap, &vspace, &[PAGE, 0]),
                needs: (2, 1),
                of: &[Kind::PageTable],
                arguments: 2,
                edges: &[PAGE & !0x1f_ffff, (PAGE | 0x1f_ffff) + 1],
                words: &|words| match is_mapped {
                    true => Some(answer::invalid_capability(0)),
                    false => Some(present(words)),
                },
                caps: &|_, kind| match kind {
                    _ if is_mapped => Some(answer::invalid_capability(0)),
                    Kind::VSpace => Some(answer::ok()),
                    _ => Some(answer::invalid_capability(1)),
                },
                undo: &|_| table.unmap().expect("to unmap"),
                state: &|| self.state(),
            });
        }
    }

    /// One that is not mapped, and one that has a copy.
    fn unmap(&self, bench: &Bench) {
        for (table, expected) in [
            (self.free, answer::ok()),
            (self.copied, answer::revoke_first()),
        ] {
            bench.probe(&Method {
                name: "page-table-unmap",
                request: Request::new(table.bits(), Invocation::PageTableUnmap, &[], &[]),
                needs: (0, 0),
                of: &[Kind::PageTable],
                arguments: 0,
                edges: &[],
                words: &|_| Some(expected.clone()),
                caps: &no_caps,
                undo: &no_undo,
                state: &|| self.state(),
            });
        }
    }

    fn maintain(&self, bench: &Bench, name: &str, method: Invocation) {
        let invalidates = method == Invocation::VSpaceInvalidateData;
        let range = |words: &[u64]| {
            let (start, end) = (words[0], words[1]);
            if end <= start {
                Some(answer::invalid_argument(1))
            } else if end > USER_TOP {
                Some(answer::illegal_operation())
            } else {
                None
            }
        };
        let mapped = |words: &[u64]| {
            let (start, end) = (words[0], words[1]);
            let page = start & !0xfff;
            if let Some(wrong) = range(words) {
                return wrong;
            }
            if page != PAGE && page != READ_ONLY {
                return answer::ok();
            }
            if end > page + 0x1000 {
                return answer::range(start, page + 0xfff);
            }
            if invalidates && page == READ_ONLY {
                return answer::illegal_operation();
            }
            answer::ok()
        };
        let free = bench.zoo.of(Kind::FreeVSpace);
        for (cap, start) in [
            (self.vspace.bits(), PAGE),
            (self.vspace.bits(), READ_ONLY),
            (free, PAGE),
        ] {
            bench.probe(&Method {
                name,
                request: Request::new(cap, method, &[], &[start + 64, start + 4096]),
                needs: (2, 0),
                of: &[Kind::VSpace, Kind::FreeVSpace],
                arguments: 2,
                edges: &[PAGE, READ_ONLY, READ_ONLY + 0x1000],
                words: &|words| match cap == free {
                    true => Some(range(words).unwrap_or(answer::invalid_capability(0))),
                    false => Some(mapped(words)),
                },
                caps: &no_caps,
                undo: &no_undo,
                state: &|| self.state(),
            });
        }
    }
}

fn make_pool(system: &mut System, bench: &Bench, space: &Space) {
    let untyped = system.untyped(12).expect("memory");
    let words = [Space::index(Space::EMPTY), Space::DEPTH];
    let caps = [untyped.bits(), space.root.bits()];
    bench.probe(&Method {
        name: "asid-control-make-pool",
        request: Request::new(
            bench.zoo.of(Kind::AsidControl),
            Invocation::AsidControlMakePool,
            &caps,
            &words,
        ),
        needs: (2, 2),
        of: &[Kind::AsidControl],
        arguments: 2,
        edges: &[],
        words: &|words| match space.model.find_empty(words[0], words[1]) {
            Ok(_) => Some(answer::ok()),
            Err(error) => Some(error),
        },
        caps: &|place, kind| match (place, kind) {
            (0, Kind::UsedUntyped) => Some(answer::revoke_first()),
            (0, _) => Some(answer::invalid_capability(1)),
            (_, Kind::CNode) => None,
            _ => Some(answer::invalid_root(false)),
        },
        undo: &|words| space.clear(words[0], words[1]),
        state: &|| space.occupied(),
    });
}

fn assign(system: &mut System, bench: &Bench) {
    let untyped = system.untyped(12).expect("memory");
    let pool = system.slot().expect("a slot");
    init::ASID_CONTROL
        .make_pool(untyped, &pool)
        .expect("a pool");
    let free = bench.zoo.of(Kind::FreeVSpace);
    bench.probe(&Method {
        name: "asid-pool-assign",
        request: Request::new(pool.index, Invocation::AsidPoolAssign, &[free], &[]),
        needs: (0, 1),
        of: &[Kind::AsidPool],
        arguments: 0,
        edges: &[],
        words: &|_| Some(answer::ok()),
        caps: &|_, kind| match kind {
            Kind::FreeVSpace => Some(answer::ok()),
            _ => Some(answer::invalid_capability(1)),
        },
        undo: &|_| bench.zoo.renew_free_vspace(),
        // Without an identifier it cannot be copied, and its caches cannot be maintained.
        state: &|| {
            let ask = |method| invoke(free, method, &[], &[0, 1]);
            let seen: Answer = ask(Invocation::VSpaceCleanData);
            [seen.label, seen.words[0]].into()
        },
    });
}
