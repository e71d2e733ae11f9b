//! Bad input to frames: map, unmap, cache maintenance, address. Each has its exact answer, and the mapping is as it was.
//! timeout: 180

#![no_std]
#![no_main]

extern crate alloc;

use libsel4::abi::{Invocation, USER_TOP};
use libsel4::{BootInfo, Cap, CapRights, SmallPage, System, VSpace, VmAttributes, init, root_task};
use tern_target_tests::bad::{Bench, Kind, Method, Request, no_caps, no_undo};
use tern_target_tests::objects::{Answer, Window, answer, invoke, object};

root_task!(main);

const OF: &[Kind] = &[Kind::Frame, Kind::SilentFrame, Kind::DeviceFrame];
const SIZE: u64 = 4096;
const READ_WRITE: u64 = 3;
const READ: u64 = 2;
/// Cacheable, never executed.
const ATTRIBUTES: u64 = 5;
const PATTERN: u64 = 0x1234_5678_9abc_def0;
const MAINTENANCE: [(&str, Invocation); 4] = [
    ("page-clean-data", Invocation::PageCleanData),
    ("page-invalidate-data", Invocation::PageInvalidateData),
    (
        "page-clean-invalidate-data",
        Invocation::PageCleanInvalidateData,
    ),
    ("page-unify-instruction", Invocation::PageUnifyInstruction),
];

/// What is to be said to some words.
type Model<'a> = dyn Fn(&[u64]) -> Option<Answer> + 'a;

/// A frame that is mapped in the test's address space, one copy that is mapped elsewhere for reading, and one that is not
/// mapped.
struct Frames {
    mapped: Cap<SmallPage>,
    vaddr: u64,
    window: Window,
    read_only: Cap<SmallPage>,
    unmapped: Cap<SmallPage>,
    /// Where the copy is mapped for reading; it has tables for that only.
    other: Cap<VSpace>,
    other_vaddr: u64,
}

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let bench = Bench::new(&mut system);
    let frames = Frames::new(&mut system);
    frames.map(&bench);
    frames.unmap(&bench);
    for (name, method) in MAINTENANCE {
        frames.maintain(&bench, name, method);
    }
    bench.probe(&Method {
        name: "page-get-address",
        request: Request::new(frames.mapped.bits(), Invocation::PageGetAddress, &[], &[]),
        needs: (0, 0),
        of: OF,
        arguments: 0,
        edges: &[],
        words: &|_| Some(Answer::new(0, &[frames.address(frames.read_only)])),
        caps: &no_caps,
        undo: &no_undo,
        state: &|| frames.state(),
    });
}

impl Frames {
    fn new(system: &mut System) -> Self {
        let mapped = object::<SmallPage>(system);
        let window = Window::map(system, mapped);
        window.write(0, PATTERN);
        let copy = |system: &mut System| system.copy(mapped, CapRights::all()).expect("a copy");
        let (read_only, unmapped) = (copy(system), copy(system));
        let other = system.vspace().expect("an address space");
        let other_vaddr = 0x40_1234_5000;
        let attributes = VmAttributes::from_bits_truncate(ATTRIBUTES);
        system
            .map_at(
                other,
                read_only,
                other_vaddr as usize,
                CapRights::READ,
                attributes,
            )
            .expect("to map");
        Self {
            vaddr: window.start() as u64,
            mapped,
            window,
            read_only,
            unmapped,
            other,
            other_vaddr,
        }
    }

    fn address(&self, frame: Cap<SmallPage>) -> u64 {
        frame.get_address().expect("an address")
    }

    /// The memory, where it is mapped writable, and whether each mapping is what it was: cache maintenance says so.
    fn state(&self) -> alloc::vec::Vec<u64> {
        self.window.write(8, self.window.read(0));
        let invalidate = |frame: Cap<SmallPage>| {
            let method = Invocation::PageInvalidateData;
            invoke(frame.bits(), method, &[], &[4088, 4096]).label
        };
        let clean = |frame: Cap<SmallPage>| {
            invoke(frame.bits(), Invocation::PageCleanData, &[], &[0, 8]).label
        };
        let seen = [
            self.window.read(0),
            self.window.read(8),
            clean(self.mapped),
            clean(self.read_only),
            clean(self.unmapped),
            invalidate(self.read_only),
        ];
        assert_eq!(seen[0], PATTERN);
        seen.into()
    }

    fn map(&self, bench: &Bench) {
        // Mapped already: only there again.
        let here = [self.vaddr, READ_WRITE, ATTRIBUTES];
        let cap = self.mapped.bits();
        let space = [init::VSPACE.bits()];
        bench.probe(&Method {
            name: "page-map",
            request: Request::new(cap, Invocation::PageMap, &space, &here),
            needs: (3, 1),
            of: OF,
            arguments: 3,
            edges: &[],
            words: &|words| match words[0] {
                vaddr if !vaddr.is_multiple_of(SIZE) => Some(answer::alignment()),
                vaddr if vaddr != self.vaddr => Some(answer::invalid_argument(0)),
                _ => Some(answer::ok()),
            },
            // An address space it is not mapped in is as wrong as anything else.
            caps: &|_, _| Some(answer::invalid_capability(1)),
            undo: &|_| {
                let seen = invoke(cap, Invocation::PageMap, &space, &here);
                assert_eq!(seen, answer::ok());
            },
            state: &|| self.state(),
        });
        // Not mapped: wherever there are tables, but not over another page.
        let free = self.other_vaddr + 0x3000;
        bench.probe(&Method {
            name: "page-map",
            request: Request::new(
                self.unmapped.bits(),
                Invocation::PageMap,
                &[self.other.bits()],
                &[free, READ, ATTRIBUTES],
            ),
            needs: (3, 1),
            of: OF,
            arguments: 3,
            edges: &[self.other_vaddr & !0x1f_ffff, USER_TOP & !0xfff],
            words: &|words| self.place(words[0]),
            caps: &|_, kind| match kind {
                // It has no tables.
                Kind::VSpace => Some(answer::missing(false, 39)),
                _ => Some(answer::invalid_capability(1)),
            },
            undo: &|_| self.unmapped.unmap().expect("to unmap"),
            state: &|| self.state(),
        });
    }

    /// What happens to a page that is to be mapped in the other address space.
    fn place(&self, vaddr: u64) -> Option<Answer> {
        let answer = if !vaddr.is_multiple_of(SIZE) {
            answer::alignment()
        } else if vaddr > USER_TOP {
            answer::invalid_argument(0)
        } else if vaddr == self.other_vaddr {
            return None;
        } else {
            let differs = |bits: &u32| vaddr >> bits != self.other_vaddr >> bits;
            match [39, 30, 21].iter().find(|bits| differs(bits)) {
                Some(&bits) => answer::missing(false, bits.into()),
                None => answer::ok(),
            }
        };
        Some(answer)
    }

    fn unmap(&self, bench: &Bench) {
        bench.probe(&Method {
            name: "page-unmap",
            request: Request::new(self.unmapped.bits(), Invocation::PageUnmap, &[], &[]),
            needs: (0, 0),
            of: OF,
            arguments: 0,
            edges: &[],
            words: &|_| Some(answer::ok()),
            caps: &no_caps,
            undo: &no_undo,
            state: &|| self.state(),
        });
    }

    fn maintain(&self, bench: &Bench, name: &str, method: Invocation) {
        let invalidates = method == Invocation::PageInvalidateData;
        let range = |words: &[u64]| {
            if words[1] <= words[0] {
                Some(answer::invalid_argument(1))
            } else if words[0] >= SIZE || words[1] > SIZE {
                Some(answer::invalid_argument(0))
            } else {
                None
            }
        };
        let writable = |words: &[u64]| Some(range(words).unwrap_or_else(answer::ok));
        let read_only = |words: &[u64]| {
            let late = if invalidates {
                answer::illegal_operation()
            } else {
                answer::ok()
            };
            Some(range(words).unwrap_or(late))
        };
        let unmapped = |_: &[u64]| Some(answer::illegal_operation());
        let models: [(_, &Model<'_>); 3] = [
            (self.mapped, &writable),
            (self.read_only, &read_only),
            (self.unmapped, &unmapped),
        ];
        for (frame, model) in models {
            bench.probe(&Method {
                name,
                request: Request::new(frame.bits(), method, &[], &[64, 4096]),
                needs: (2, 0),
                of: OF,
                arguments: 2,
                edges: &[],
                words: model,
                caps: &no_caps,
                undo: &|_| self.window.write(0, PATTERN),
                state: &|| self.state(),
            });
        }
    }
}
