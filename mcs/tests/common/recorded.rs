//! Recorded sequences of operations, played through the crate. Also part of a test on the target, so without a heap.

use mcs::{Limits, Refill, RefillState, Refills};

const VECTORS: &str = include_str!("../data/refill-vectors.txt");
/// How many there are.
pub(crate) const SEQUENCES: usize = 35;
pub(crate) const OPERATIONS: usize = 990;

/// Does every recorded operation and compares the refills that result. Returns the numbers of sequences and operations.
pub(crate) fn play() -> (usize, usize) {
    let limits = Limits::for_frequency(62_500_000, 1);
    let mut state = RefillState::default();
    let mut ring = [Refill::default(); 64];
    let (mut sequences, mut operations) = (0, 0);
    for (index, line) in VECTORS.lines().enumerate() {
        if line.starts_with('#') {
            continue;
        }
        if line == "sequence" {
            state = RefillState::default();
            sequences += 1;
            continue;
        }
        let (operation, queue) = line.split_once(" = ").expect("operation = queue");
        let (name, list) = operation.split_once(' ').expect("name and time");
        let mut args = [0; 4];
        let mut count = 0;
        for text in list.split(' ') {
            args[count] = number(text);
            count += 1;
        }
        let mut refills = Refills {
            state: &mut state,
            ring: &mut ring,
        };
        match (name, &args[..count]) {
            ("new", &[now, b, p, max]) => refills.new_budget(b, p, max as u32, now),
            ("upd", &[now, b, p, max]) => refills.update(b, p, max as u32, now, &limits),
            ("chg", &[_, usage]) => refills.charge_end_of_slice(usage, &limits),
            ("unb", &[now]) => {
                refills.unblock_check(now, &limits);
            }
            _ => panic!("line {}: unknown operation {operation}", index + 1),
        }
        assert!(
            refills.iter().eq(queue.split(' ').map(refill)),
            "line {}: {operation}",
            index + 1
        );
        assert!(refills.as_view().is_well_formed(&limits));
        operations += 1;
    }
    (sequences, operations)
}

fn number(text: &str) -> u64 {
    text.parse().expect("a number")
}

fn refill(text: &str) -> Refill {
    let (time, amount) = text.split_once(':').expect("time:amount");
    Refill {
        time: number(time),
        amount: number(amount),
    }
}
