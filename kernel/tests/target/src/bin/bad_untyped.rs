//! Bad input to retype: lengths, capabilities, words and buffers, each with its exact answer and with nothing changed.
//! timeout: 180

#![no_std]
#![no_main]

use libsel4::abi::{Invocation, ObjectType};
use libsel4::{BootInfo, System, init, root_task};
use tern_target_tests::bad::{Bench, Content, Kind, Method, Node, Request, Space, no_undo};
use tern_target_tests::objects::{Answer, answer, invoke};

root_task!(main);

/// What is left of the untyped: too little for anything but an endpoint or 16 bytes.
const ROOM: u64 = 16;
const LIMIT: u64 = 47;

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let bench = Bench::new(&mut system);
    let space = Space::new(&mut system, &bench.zoo);
    let untyped = system.untyped(5).expect("memory");
    let child = system.slot().expect("a slot").index;
    untyped
        .retype_into(ObjectType::Endpoint, 0, init::CNODE, child)
        .expect("a child");

    // An object that there is no room for, into an empty slot.
    let page = ObjectType::LargePage as u64;
    let outer = [page, 0, 0, 0, Space::EMPTY, 1];
    let inner = [page, 0, Space::index(Space::INNER), Space::DEPTH, 2, 1];
    let sized = |object: ObjectType, size| {
        let mut words = outer;
        (words[0], words[1]) = (object as u64, size);
        words
    };
    let requests = [
        outer,
        inner,
        sized(ObjectType::Untyped, 6),
        sized(ObjectType::CNode, 2),
        sized(ObjectType::SchedContext, 8),
    ];
    let state = || {
        let mut state = space.occupied();
        let room = [page, 0, 0, 0, Space::EMPTY, 1];
        let caps = [space.root.bits()];
        state.extend(invoke(untyped.bits(), Invocation::UntypedRetype, &caps, &room).words);
        state
    };
    let identities = space.identities();
    for words in requests {
        let by_depth = words[3] != 0;
        bench.probe(&Method {
            name: "untyped-retype",
            request: Request::new(
                untyped.bits(),
                Invocation::UntypedRetype,
                &[space.root.bits()],
                &words,
            ),
            needs: (6, 1),
            of: &[Kind::Untyped, Kind::UsedUntyped, Kind::DeviceUntyped],
            arguments: 6,
            edges: &[],
            words: &|words| model(&space.model, words),
            caps: &|_, kind| match kind {
                Kind::CNode => None,
                _ if by_depth => Some(answer::invalid_root(false)),
                _ => Some(answer::missing(false, 0)),
            },
            undo: &no_undo,
            state: &state,
        });
    }
    assert_eq!(space.identities(), identities);
    // What was there is there: an endpoint fits, and nothing more.
    let fill = |slot| [ObjectType::Endpoint as u64, 0, 0, 0, slot, 1];
    let make = |slot| {
        let caps = [space.root.bits()];
        invoke(
            untyped.bits(),
            Invocation::UntypedRetype,
            &caps,
            &fill(slot),
        )
    };
    assert_eq!(make(Space::EMPTY), answer::ok());
    assert_eq!(make(0), answer::not_enough_memory(0));
}

/// The checks of retype from an untyped that has [`ROOM`] left. `None` for what fits.
fn model(space: &Node, words: &[u64]) -> Option<Answer> {
    let answer = match check(space, words) {
        Ok(bits) if bits <= 4 => return None,
        Ok(_) => answer::not_enough_memory(ROOM),
        Err(answer) => answer,
    };
    Some(answer)
}

/// How large an object would be, if all checks but that for room are passed.
fn check(space: &Node, words: &[u64]) -> Result<u64, Answer> {
    let &[object, size, index, depth, offset, count] = words else {
        panic!("six words")
    };
    // Logarithm of the size, and the least size that can be asked for.
    let kinds: [(u64, u64); 12] = [
        (size, 4),
        (11, 0),
        (4, 0),
        (6, 0),
        (size.saturating_add(5), 1),
        (size, 7),
        (5, 0),
        (30, 0),
        (12, 0),
        (12, 0),
        (21, 0),
        (12, 0),
    ];
    let kind = usize::try_from(object).ok().and_then(|at| kinds.get(at));
    let &(bits, least) = kind.ok_or(answer::invalid_argument(0))?;
    if size >= 64 || bits > LIMIT {
        return Err(answer::range(0, LIMIT));
    }
    if size < least {
        return Err(answer::invalid_argument(1));
    }
    let node = if depth == 0 {
        space
    } else {
        match space.find(index, depth, false)?.content() {
            Some(Content::Node(node)) => node,
            _ => return Err(answer::missing(false, depth)),
        }
    };
    let slots = 1 << node.radix;
    if offset >= slots {
        return Err(answer::range(0, slots - 1));
    }
    if !(1..=256).contains(&count) {
        return Err(answer::range(1, 256));
    }
    if count > slots - offset {
        return Err(answer::range(1, slots - offset));
    }
    if (offset..offset + count).any(|slot| node.content(slot).is_some()) {
        return Err(answer::delete_first());
    }
    Ok(bits)
}
