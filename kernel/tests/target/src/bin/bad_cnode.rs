//! Bad input to the CNode methods: lengths, capabilities, words and buffers, each with its exact answer; what succeeds is
//! undone, and everything is as it was.
//! timeout: 180

#![no_std]
#![no_main]

use libsel4::abi::Invocation;
use libsel4::{BootInfo, System, root_task};
use tern_target_tests::bad::{Bench, Found, Kind, Method, Node, Request, Space, no_caps, no_undo};
use tern_target_tests::objects::{Answer, answer, invoke};

root_task!(main);

/// Largest guard of the CNode in slot [`Space::INNER`]: its radix is 2.
const LARGEST_GUARD: u64 = 62;
const FREE: [u64; 2] = [Space::index(Space::EMPTY), Space::DEPTH];

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let bench = Bench::new(&mut system);
    let space = Space::new(&mut system, &bench.zoo);
    let identities = space.identities();
    in_place(&bench, &space);
    copies(&bench, &space);
    moves(&bench, &space);
    rotations(&bench, &space);
    assert_eq!(space.identities(), identities);
}

const fn place(slot: u64) -> [u64; 2] {
    [Space::index(slot), Space::DEPTH]
}

/// Revoke, Delete and CancelBadgedSends: one slot.
fn in_place(bench: &Bench, space: &Space) {
    let root = space.root.bits();
    let probe = |name, method, slot, found: &dyn Fn(Found<'_>) -> Option<Answer>| {
        bench.probe(&Method {
            name,
            request: Request::new(root, method, &[], &place(slot)),
            needs: (2, 0),
            of: &[Kind::CNode],
            arguments: 2,
            edges: &[],
            words: &|words| match space.model.find(words[0], words[1], false) {
                Ok(slot) => found(slot),
                Err(error) => Some(error),
            },
            caps: &no_caps,
            undo: &no_undo,
            state: &|| space.occupied(),
        });
    };
    // None of the capabilities has children.
    probe(
        "cnode-revoke",
        Invocation::CNodeRevoke,
        Space::OCCUPIED,
        &|_| Some(answer::ok()),
    );
    // Only what is not there is deleted.
    probe(
        "cnode-delete",
        Invocation::CNodeDelete,
        Space::EMPTY,
        &|slot| match slot.content() {
            None => Some(answer::ok()),
            Some(_) => None,
        },
    );
    for slot in [Space::ENDPOINT, Space::THREAD] {
        probe(
            "cnode-cancel-badged-sends",
            Invocation::CNodeCancelBadgedSends,
            slot,
            &|slot| match slot.kind() {
                Kind::Endpoint => Some(answer::ok()),
                _ => Some(answer::illegal_operation()),
            },
        );
    }
}

/// What the checks of a transfer find, if they all pass: the kind of what is at the source.
fn transfer(model: &Node, words: &[u64]) -> Result<Kind, Answer> {
    model.find_empty(words[0], words[1])?;
    let source = model.find(words[2], words[3], true)?;
    match source.kind() {
        Kind::Null => Err(answer::missing(true, words[3])),
        kind => Ok(kind),
    }
}

/// Whether a CNode takes this guard; other kinds take anything.
fn guard_fits(kind: Kind, data: u64) -> bool {
    kind != Kind::CNode || data & 63 <= LARGEST_GUARD
}

/// A source root that is none.
fn wrong_root(_: usize, kind: Kind) -> Option<Answer> {
    (kind != Kind::CNode).then(|| answer::invalid_root(true))
}

fn copies(bench: &Bench, space: &Space) {
    let root = space.root.bits();
    let probe = |name, method, words: &[u64], model: &dyn Fn(&[u64]) -> Option<Answer>| {
        bench.probe(&Method {
            name,
            request: Request::new(root, method, &[root], words),
            needs: (words.len(), 1),
            of: &[Kind::CNode],
            arguments: words.len(),
            edges: &[],
            words: model,
            caps: &wrong_root,
            undo: &|words| space.clear(words[0], words[1]),
            state: &|| space.occupied(),
        });
    };
    let copy = |words: &[u64]| match transfer(&space.model, words) {
        Ok(_) => Some(answer::ok()),
        Err(error) => Some(error),
    };
    let from = place(Space::ENDPOINT);
    let words = [FREE[0], FREE[1], from[0], from[1], 15];
    probe("cnode-copy", Invocation::CNodeCopy, &words, &copy);
    let mint = |words: &[u64]| match transfer(&space.model, words) {
        Ok(kind) if guard_fits(kind, words[5]) => Some(answer::ok()),
        Ok(_) => Some(answer::illegal_operation()),
        Err(error) => Some(error),
    };
    for slot in [Space::ENDPOINT, Space::INNER] {
        let from = place(slot);
        let words = [FREE[0], FREE[1], from[0], from[1], 15, 3];
        probe("cnode-mint", Invocation::CNodeMint, &words, &mint);
    }
}

fn moves(bench: &Bench, space: &Space) {
    let root = space.root.bits();
    let probe = |name, method, words: &[u64], model: &dyn Fn(&[u64]) -> Option<Answer>| {
        bench.probe(&Method {
            name,
            request: Request::new(root, method, &[root], words),
            needs: (words.len(), 1),
            of: &[Kind::CNode],
            arguments: words.len(),
            edges: &[],
            words: model,
            caps: &wrong_root,
            // Back, and without a guard.
            undo: &|words| {
                let back = [words[2], words[3], words[0], words[1], 0];
                let seen = match method {
                    Invocation::CNodeMove => invoke(root, method, &[root], &back[..4]),
                    _ => invoke(root, method, &[root], &back),
                };
                assert_eq!(seen, answer::ok(), "{name} back");
            },
            state: &|| space.occupied(),
        });
    };
    let from = place(Space::ENDPOINT);
    let words = [FREE[0], FREE[1], from[0], from[1]];
    probe("cnode-move", Invocation::CNodeMove, &words, &|words| {
        match transfer(&space.model, words) {
            // The way back would lead through what was moved.
            Ok(Kind::CNode) => None,
            Ok(_) => Some(answer::ok()),
            Err(error) => Some(error),
        }
    });
    let mutate = |words: &[u64]| match transfer(&space.model, words) {
        Ok(Kind::Endpoint | Kind::Notification) => Some(answer::illegal_operation()),
        Ok(kind) if guard_fits(kind, words[4]) => Some(answer::ok()),
        Ok(_) => Some(answer::illegal_operation()),
        Err(error) => Some(error),
    };
    for slot in [Space::THREAD, Space::INNER, Space::ENDPOINT] {
        let from = place(slot);
        let words = [FREE[0], FREE[1], from[0], from[1], 0];
        probe("cnode-mutate", Invocation::CNodeMutate, &words, &mutate);
    }
}

/// The checks of Rotate. Words: destination, its new data, pivot, its new data, source.
fn rotate(model: &Node, words: &[u64]) -> Result<(), Answer> {
    let dest = model.find(words[0], words[1], false)?;
    let source = model.find(words[6], words[7], true)?;
    let pivot = model.find(words[3], words[4], true)?;
    if pivot.is(&source) || pivot.is(&dest) {
        return Err(answer::illegal_operation());
    }
    if !source.is(&dest) && dest.content().is_some() {
        return Err(answer::delete_first());
    }
    if source.content().is_none() {
        return Err(answer::missing(true, words[7]));
    }
    if pivot.content().is_none() {
        return Err(answer::missing(false, words[4]));
    }
    for (kind, data) in [(source.kind(), words[5]), (pivot.kind(), words[2])] {
        let fixed = matches!(kind, Kind::Endpoint | Kind::Notification);
        if fixed || !guard_fits(kind, data) {
            return Err(answer::illegal_operation());
        }
    }
    Ok(())
}

fn rotations(bench: &Bench, space: &Space) {
    let root = space.root.bits();
    let (thread, context, inner) = (
        place(Space::THREAD),
        place(Space::CONTEXT),
        place(Space::INNER),
    );
    let words = |dest: [u64; 2], pivot: [u64; 2], source: [u64; 2]| {
        [
            dest[0], dest[1], 0, pivot[0], pivot[1], 0, source[0], source[1],
        ]
    };
    for words in [
        words(FREE, context, thread),
        // Two that swap places.
        words(thread, context, thread),
        words(thread, inner, thread),
    ] {
        bench.probe(&Method {
            name: "cnode-rotate",
            request: Request::new(root, Invocation::CNodeRotate, &[root, root], &words),
            needs: (8, 2),
            of: &[Kind::CNode],
            arguments: 8,
            edges: &[],
            words: &|words| match rotate(&space.model, words) {
                Ok(()) => Some(answer::ok()),
                Err(error) => Some(error),
            },
            caps: &wrong_root,
            // With destination and source changed over it goes back.
            undo: &|words| {
                let back = [
                    words[6], words[7], 0, words[3], words[4], 0, words[0], words[1],
                ];
                let seen = invoke(root, Invocation::CNodeRotate, &[root, root], &back);
                assert_eq!(seen, answer::ok(), "to rotate back");
            },
            state: &|| space.occupied(),
        });
    }
}
