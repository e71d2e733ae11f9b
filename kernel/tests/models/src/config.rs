//! Stands for the kernel's `config`.

/// As many as loom has threads for, beside the one that starts them.
pub const MAX_NUM_NODES: usize = 4;

/// No counting.
pub const BENCH_COUNTERS: bool = false;
