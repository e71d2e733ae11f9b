//! The refill rules against recorded sequences of operations and the refills that must result.

use mcs::{Limits, Refill, RefillState, Refills};

const VECTORS: &str = include_str!("data/refill-vectors.txt");
const SEQUENCES: usize = 35;
const OPERATIONS: usize = 990;

#[test]
fn every_recorded_operation_gives_the_recorded_refills() {
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
        let (name, args) = operation.split_once(' ').expect("name and time");
        let args: Vec<u64> = args.split(' ').map(number).collect();
        let mut refills = Refills {
            state: &mut state,
            ring: &mut ring,
        };
        match (name, args.as_slice()) {
            ("new", &[now, b, p, max]) => refills.new_budget(b, p, max as u32, now),
            ("upd", &[now, b, p, max]) => refills.update(b, p, max as u32, now, &limits),
            ("chg", &[_, usage]) => refills.charge_end_of_slice(usage, &limits),
            ("unb", &[now]) => {
                refills.unblock_check(now, &limits);
            }
            _ => panic!("line {}: unknown operation {operation}", index + 1),
        }
        let expected: Vec<Refill> = queue.split(' ').map(refill).collect();
        let got: Vec<Refill> = refills.iter().collect();
        assert_eq!(got, expected, "line {}: {operation}", index + 1);
        assert!(refills.as_view().is_well_formed(&limits));
        operations += 1;
    }
    assert_eq!((sequences, operations), (SEQUENCES, OPERATIONS));
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
