//! Threads that move between cores, and what happens to their chains of calls meanwhile.

use tern_models::explicit::{
    Defect, Explored, Found, explore,
    migration::{Migration, Role},
    objects::{
        Op::{self, Call, DeleteContext, DeleteReply, DeleteThread, Move, ReplyRecv},
        Variant,
    },
    search,
};

/// A thread that runs on a core to the end of its program, whatever happens.
const fn active(core: usize, program: &[Op]) -> Role<'_> {
    Role {
        core: Some(core),
        program,
        repeats: false,
        must_finish: true,
    }
}

/// A thread that others stop, or whose chain they break.
const fn victim(core: usize, program: &[Op]) -> Role<'_> {
    Role {
        must_finish: false,
        ..active(core, program)
    }
}

const fn server(program: &[Op]) -> Role<'_> {
    Role {
        core: None,
        program,
        repeats: true,
        must_finish: false,
    }
}

/// Serves endpoint 0, with the help of the other one.
const FRONT: Role<'static> = server(&[
    ReplyRecv {
        endpoint: 0,
        reply: 0,
    },
    Call(1),
]);
/// Serves endpoint 1 by itself.
const BACK: Role<'static> = server(&[ReplyRecv {
    endpoint: 1,
    reply: 1,
}]);
/// Serves endpoint 0 by itself.
const ALONE: Role<'static> = server(&[ReplyRecv {
    endpoint: 0,
    reply: 0,
}]);

fn run(name: &str, variant: Variant, roles: &[Role<'_>]) -> Result<Explored, Found> {
    explore(name, &Migration { variant, roles })
}

fn real(name: &str, roles: &[Role<'_>]) {
    run(name, Variant::Real, roles).unwrap_or_else(|found| panic!("{found}"));
}

#[test]
fn servers_go_where_their_callers_are() {
    real(
        "two callers",
        &[active(0, &[Call(0), Call(0)]), active(1, &[Call(0)]), ALONE],
    );
    real(
        "chain",
        &[active(0, &[Call(0)]), active(1, &[Call(0)]), FRONT, BACK],
    );
    real(
        "chain from both ends",
        &[
            active(0, &[Call(0)]),
            active(2, &[Call(1), Call(1)]),
            FRONT,
            BACK,
        ],
    );
}

#[test]
fn a_chain_moves() {
    real(
        "chain moves",
        &[
            active(0, &[Call(0)]),
            active(2, &[Move { sc: 0, core: 1 }, Move { sc: 0, core: 2 }]),
            FRONT,
            BACK,
        ],
    );
    real(
        "chain moves among calls",
        &[
            active(0, &[Call(0)]),
            active(1, &[Call(0), Move { sc: 0, core: 2 }]),
            ALONE,
        ],
    );
}

#[test]
fn a_chain_is_broken() {
    real(
        "context goes",
        &[
            victim(0, &[Call(0)]),
            active(2, &[DeleteContext(0)]),
            FRONT,
            BACK,
        ],
    );
    real(
        "head goes",
        &[
            victim(0, &[Call(0)]),
            active(2, &[DeleteReply(1), DeleteReply(0)]),
            FRONT,
            BACK,
        ],
    );
    real(
        "middle goes",
        &[
            victim(0, &[Call(0)]),
            active(2, &[DeleteReply(0), DeleteReply(1)]),
            FRONT,
            BACK,
        ],
    );
    real(
        "caller goes",
        &[
            victim(0, &[Call(0)]),
            active(2, &[DeleteThread(0)]),
            FRONT,
            BACK,
        ],
    );
    real(
        "servers go",
        &[
            victim(0, &[Call(0)]),
            active(2, &[DeleteThread(2), DeleteThread(3)]),
            FRONT,
            BACK,
        ],
    );
    real(
        "moves, then goes",
        &[
            victim(0, &[Call(0)]),
            active(2, &[Move { sc: 0, core: 1 }, DeleteReply(1)]),
            FRONT,
            BACK,
        ],
    );
    real(
        "moves, then context goes",
        &[
            victim(0, &[Call(0)]),
            active(2, &[Move { sc: 0, core: 1 }, DeleteContext(0)]),
            FRONT,
            BACK,
        ],
    );
}

#[test]
fn threads_move_themselves_and_each_other() {
    real(
        "itself",
        &[
            active(
                0,
                &[
                    Move { sc: 0, core: 1 },
                    Move { sc: 0, core: 2 },
                    Move { sc: 0, core: 0 },
                ],
            ),
            active(1, &[Move { sc: 1, core: 0 }]),
        ],
    );
    real(
        "itself, and moved",
        &[
            active(0, &[Move { sc: 0, core: 1 }, Move { sc: 0, core: 0 }]),
            active(1, &[Move { sc: 0, core: 2 }]),
        ],
    );
    real(
        "each other",
        &[
            active(0, &[Move { sc: 1, core: 2 }]),
            active(1, &[Move { sc: 0, core: 2 }]),
        ],
    );
    real(
        "in a ring",
        &[
            active(0, &[Move { sc: 1, core: 2 }]),
            active(1, &[Move { sc: 2, core: 0 }]),
            active(2, &[Move { sc: 0, core: 1 }]),
        ],
    );
    real(
        "moved and deleted",
        &[
            victim(0, &[Move { sc: 0, core: 1 }]),
            victim(1, &[DeleteThread(0)]),
            active(2, &[Move { sc: 1, core: 2 }]),
        ],
    );
}

/// What threads 0 and 1 may do to themselves, each other, the two servers and their chain.
const OPS: [Op; 14] = [
    Call(0),
    Call(1),
    Move { sc: 0, core: 0 },
    Move { sc: 0, core: 1 },
    Move { sc: 0, core: 2 },
    Move { sc: 1, core: 0 },
    Move { sc: 1, core: 2 },
    DeleteContext(0),
    DeleteContext(1),
    DeleteReply(0),
    DeleteReply(1),
    DeleteThread(0),
    DeleteThread(1),
    DeleteThread(2),
];

fn sweep<'a>(name: &str, scenarios: impl Iterator<Item = Vec<Role<'a>>>) {
    let (mut models, mut states) = (0, 0);
    for roles in scenarios {
        let model = Migration {
            variant: Variant::Real,
            roles: &roles,
        };
        let explored = search(&model).unwrap_or_else(|found| panic!("{roles:?}: {found}"));
        models += 1;
        states += explored.states;
    }
    println!("{name}: {models} models, {states} states");
}

#[test]
fn any_two_operations_during_a_call_chain() {
    let programs = OPS.iter().flat_map(|&a| OPS.map(|b| [a, b]));
    let programs: Vec<[Op; 2]> = programs.collect();
    let scenarios = programs
        .iter()
        .map(|program| vec![victim(0, &[Call(0)]), victim(2, program), FRONT, BACK]);
    sweep("a chain and any two operations", scenarios);
}

#[test]
fn any_operations_of_two_threads() {
    let programs = OPS.iter().flat_map(|&a| OPS.map(|b| [a, b]));
    let programs: Vec<[Op; 2]> = programs.collect();
    let scenarios = OPS.iter().flat_map(|op| {
        programs.iter().map(|program| {
            let first = core::slice::from_ref(op);
            vec![victim(0, first), victim(1, program), FRONT, BACK]
        })
    });
    sweep("any operation against any two", scenarios);
}

#[test]
fn any_operation_of_each_of_three_threads() {
    let scenarios = OPS.iter().flat_map(|a| {
        OPS.iter().flat_map(move |b| {
            OPS.iter().map(move |c| {
                let program = core::slice::from_ref;
                let threads = [(0, a), (1, b), (2, c)];
                let roles = threads.map(|(core, op)| victim(core, program(op)));
                roles.into_iter().chain([ALONE]).collect()
            })
        })
    });
    sweep("any operation of three threads", scenarios);
}

/// What the explorer finds in a variant.
fn defect(name: &str, variant: Variant, roles: &[Role<'_>]) -> String {
    match run(name, variant, roles).unwrap_err().defect {
        Defect::Wrong(rule) => rule,
        other => panic!("{other:?}"),
    }
}

#[test]
fn live_threads_are_not_touched() {
    let rule = defect(
        "no stop",
        Variant::NoStop,
        &[active(0, &[]), active(1, &[Move { sc: 0, core: 2 }])],
    );
    assert_eq!(rule, "a thread was touched that is live on another core");
    let rule = defect(
        "no stop for replies",
        Variant::NoStopForReplies,
        &[
            victim(0, &[Call(0)]),
            active(2, &[DeleteReply(0)]),
            FRONT,
            BACK,
        ],
    );
    assert_eq!(rule, "a thread was touched that is live on another core");
}

#[test]
fn whoever_gets_work_is_rung() {
    let rule = defect(
        "no doorbell",
        Variant::NoDoorbell,
        &[active(0, &[Move { sc: 0, core: 1 }])],
    );
    assert_eq!(rule, "a core sleeps on work");
}

#[test]
fn a_moved_thread_changes_its_queue() {
    let rule = defect(
        "old queue",
        Variant::MoveLeavesQueue,
        &[
            active(0, &[]),
            active(0, &[]),
            active(1, &[Move { sc: 1, core: 2 }]),
        ],
    );
    assert_eq!(rule, "a schedulable thread is not in its core's queue");
}

#[test]
fn a_stack_is_cut() {
    let rule = defect(
        "no cut",
        Variant::NoCut,
        &[
            victim(0, &[Call(0)]),
            active(2, &[DeleteReply(0)]),
            FRONT,
            BACK,
        ],
    );
    assert_eq!(rule, "nobody waits on a reply object in a stack");
}

#[test]
fn a_parked_core_runs_nothing() {
    let rule = defect(
        "parks with its thread",
        Variant::ParkKeepsThread,
        &[active(0, &[]), active(1, &[Move { sc: 0, core: 2 }])],
    );
    assert_eq!(rule, "a parked core runs");
}
