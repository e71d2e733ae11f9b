//! What `cargo xtask help` says.

use crate::cli::Topic;

pub(crate) fn text(topic: Topic) -> &'static str {
    match topic {
        Topic::Overview => OVERVIEW,
        Topic::Run => RUN,
        Topic::Build => BUILD,
        Topic::Image => IMAGE,
        Topic::Sdk => SDK,
        Topic::Test => TEST,
        Topic::Conformance => CONFORMANCE,
        Topic::Bench => BENCH,
        Topic::Matrix => MATRIX,
        Topic::Sim => SIM,
        Topic::Hostile => HOSTILE,
        Topic::Coverage => COVERAGE,
        Topic::Mutants => MUTANTS,
        Topic::Fuzz => FUZZ,
        Topic::Miri => MIRI,
        Topic::Setup => SETUP,
    }
}

const OVERVIEW: &str = "\
cargo xtask builds Tern, runs it in QEMU, and tests it.

    cargo xtask run [EXAMPLE]   boot an example and show its console
    cargo xtask test            run all tests, on this machine and on the target
    cargo xtask build           build everything; --release prints the kernel's size
    cargo xtask image           write a bootable image file
    cargo xtask sdk             write what programs that are built elsewhere need to know
    cargo xtask conformance     run the tests of the target and write docs/conformance.md
    cargo xtask bench           measure what operations of the kernel cost, in instructions
    cargo xtask matrix          boot one example on every kind of machine, many times
    cargo xtask sim             run the kernel on a simulated machine, at random, and check every step
    cargo xtask hostile         let threads do anything they can, on all cores, for long
    cargo xtask coverage        say which lines of the kernel the simulation reaches
    cargo xtask mutants         put deliberate defects into the kernel and see whether `sim` catches them
    cargo xtask fuzz            look for inputs that break what reads them, guided by coverage
    cargo xtask miri            look for undefined behaviour and data races in tests of this machine
    cargo xtask setup           install what is missing, and nothing else
    cargo xtask help COMMAND    options of a command

What a command needs (Rust targets, QEMU 9 or newer, dtc, a C compiler for some tests) is installed when it is missing;
this is said first.";

const RUN: &str = "\
cargo xtask run [EXAMPLE | --elf FILE] [OPTIONS]

Boots a root task in QEMU and shows its console. EXAMPLE is a program of examples/ (default: migrate).
The exit status is the guest's. It is a failure when the kernel panics, and 124 after a time-out.

    --elf FILE           boot this AArch64 ELF file, made for the seL4 MCS interface, instead of an example.
                         Such a file rarely ends the run itself: --until and --timeout decide.
    --board virt|rpi4    the machine (default: virt; rpi4 is not supported yet)
    --cores N            number of cores (default: 4)
    --gic 2|3            version of the interrupt controller (default: 2)
    --cpu MODEL          model of the cores (default: cortex-a72)
    --memory SIZE        such as 512M or 2G (default: 1G)
    --release            build optimised. The kernel configuration stays the same.
    --config KEY=VALUE   set a key of kernel/config.keys; may be repeated. Debug calls, printing and the counters
                         that user programs read are on unless set otherwise.
    --icount             one instruction is one nanosecond: runs repeat exactly, and instructions can be counted
    --until TEXT         succeed as soon as a line contains TEXT
    --timeout SECONDS    give up after this time (default: 300; none for --elf without --until; 0 is none)
    --gdb                wait for a debugger and say how to attach it";

const BUILD: &str = "\
cargo xtask build [--release] [--config KEY=VALUE]...

Builds the kernel, the boot loader, the examples and the tests for the target, and prints the size of the kernel's code.
With --release it does so for the smallest configuration too (no debug calls, no printing).";

const IMAGE: &str = "\
cargo xtask image [EXAMPLE | --elf FILE] [--board virt|rpi4] [--release] [--config KEY=VALUE]... [-o FILE]

Writes one raw image with the arm64 header: boot loader, kernel, and root task (default: the example migrate).
It boots wherever a Linux Image does. Unlike the images of `run` it never asks an emulator to end the run.

    -o, --output FILE    where to write it (default: target/tern-BOARD.img)";

const SDK: &str = "\
cargo xtask sdk DIR [--board virt|rpi4] [--release] [--config KEY=VALUE]... [OPTIONS]

Writes into DIR what a build of user-level programs outside this workspace needs to know, in the layout of an installed
seL4. docs/sdk.md says how libsel4 and rust-sel4 use it.

    bin/kernel.elf                              the kernel
    libsel4/include/kernel/gen_config.{json,h}  its configuration
    libsel4/include/sel4/gen_config.{json,h}    the configuration of libsel4
    libsel4/include/autoconf.h                  includes both headers
    support/abi.json                            every number and layout of the interface
    support/platform_gen.{yaml,json}            memory and devices of the machine
    support/kernel.dtb                          its device tree, if QEMU is there to make it

    --board virt|rpi4    the machine (default: virt; rpi4 is not supported yet)
    --cores N            number of its cores (default: 4); the kernel's limit is the key MAX_NUM_NODES
    --gic 2|3            version of its interrupt controller (default: 2)
    --cpu MODEL          model of its cores (default: cortex-a72)
    --memory SIZE        its memory (default: 1G)
    --release            build the kernel optimised
    --config KEY=VALUE   set a key of kernel/config.keys; may be repeated";

const TEST: &str = "\
cargo xtask test [host | target | all] [FILTER] [OPTIONS]

Runs the tests of this machine (cargo test), those of the target (one small root task each, in QEMU, and the examples,
and boots that have to fail), or all (default). FILTER is a part of the names of the tests to run.
The last line is `N passed, N failed`, with `, N skipped` behind it where a C compiler for AArch64 is missing and cannot
be installed.
Those of the target run twice: on a kernel with short cuts for the most frequent calls, and on one without (the name ends
with FASTPATH=false). `--config FASTPATH=true` or `=false` makes it one of these.

    --jobs N             QEMUs at the same time (default: 2, or 1 on a machine with one core)
    --release            build optimised
    --config KEY=VALUE   set a key of kernel/config.keys for the tests of the target; may be repeated
    --list               list the tests of the target instead of running them

The first lines of a test's source say how it is run:

    //! cores: 1 2 4            once with each of these numbers of cores (the default)
    //! gic: 2 3                with each of these interrupt controllers (default: 2)
    //! icount: yes|no|both     counting instructions or in real time (default: yes)
    //! cpu: cortex-a53 max     with each of these CPU models (default: cortex-a72)
    //! memory: 256M
    //! config: KEY=VALUE       may be repeated
    //! timeout: 60             seconds
    //! expect: TEXT            a line of the console contains TEXT; may be repeated. {last} is the last core's number.
    //! forbid: TEXT            no line of the console contains TEXT; may be repeated
    //! expect-exit: N          the exit status (default: 0)
    //! spoil: FUNCTION         boots a copy of the kernel that panics where it enters this function";

const CONFORMANCE: &str = "\
cargo xtask conformance [--jobs N]

Runs all tests of the target, as `cargo xtask test target` does, and writes docs/conformance.md: every row of the
interface (kernel/tests/conformance), the tests that check it, and the result. `test` compares that page instead.

    --jobs N             QEMUs at the same time (default: 2, or 1 on a machine with one core)";

const BENCH: &str = "\
cargo xtask bench [FILTER] [OPTIONS]

Measures what operations of the kernel cost, in instructions, on a machine with 1 core and on one with 4, and prints the
figures beside the project's aims and seL4's. Everything is measured each time, twice, and the two runs have to agree;
FILTER is a part of the names of the figures to print. docs/performance.md says what each means.

    --cores N            measure on one machine, with this number of cores
    --locks all          a kernel whose entries take all locks, as under one big lock; default: the ordinary one
    --json FILE          write the figures into a file too, all of them
    --compare FILE       print what has changed against a file that --json wrote
    --check              fail if a figure is above its aim; else that is only said
    --doc                write the tables of docs/performance.md
    --profile            where the instructions of one figure go, by function; FILTER is its whole name
    --budget             where the instructions of each figure above its aim go, by steps of its path; in this form too
                         the figures are those of FILTER. The instructions one by one, with the step, function and line
                         of each, go into files under target/. With --doc: write docs/performance-budget.md
    --scaling            the same work on 1, 2, 4 and 8 cores at once, for both ways to lock: what they wait for, which
                         cache lines travel, what follows for more cores; and what 2 cores do in the time of one, for
                         which the host has to be quiet. Fails if something waits or travels, or if that is too little";

const MATRIX: &str = "\
cargo xtask matrix [EXAMPLE] [--smoke] [--restart] [--jobs N] [--timeout SECONDS]

Boots an example (default: migrate) with 1, 2, 4 and 8 cores, GICv2 and GICv3, three CPU models, both profiles, with and
without instruction counting: 3 times on each of these 96 machines, and 20 times on eight of them.
It remembers what has passed under target/ and goes on from there when it is started again; a build that differs starts
anew, as does --restart. Failed runs are repeated when it goes on.

    --smoke              once on 24 machines that cover every pair of these choices, for automatic checks
    --jobs N             QEMUs at the same time (default: 2, or 1 on a machine with one core)
    --timeout SECONDS    for each run (default: 300)";

const SIM: &str = "\
cargo xtask sim [OPTIONS]

Runs the kernel's own code on a simulated machine with 1 to 8 cores, which interleave at every lock operation, with threads
that do random things, and checks the kernel's state each time that a core releases its locks. A run follows from its
seed. When one goes wrong, the command that repeats it is printed, and the decisions that it takes, as few as can be.

    --seed N       the first seed (default: 1)
    --seeds N      how many (default: 1, or as many as there is time for with --seconds)
    --cores N      number of cores (default: by the seed: 2, 3, 4, 1 or 8)
    --steps N      decisions in a run (default: 2000, and 20000 for every seventh seed)
    --seconds S    begin no further run after this time
    --trace        print every decision
    --no-model     do not compare with the sequential model: twice as fast
    --config K=V   configure the kernel, as FASTPATH=false: without short cuts

    --total N      work through a fixed series, all kinds of runs on all numbers of cores, until N steps are done (such
                   as 1e9). Progress is saved all the time in target/tern/sim-long, and a run that was interrupted
                   goes on there; sources that differ start anew.
    --resume       go on even if the sources differ
    --restart      start anew in any case";

const COVERAGE: &str = "\
cargo xtask coverage [FILTER] [OPTIONS]

Says which lines of the kernel's portable part, and of mcs, the simulation reaches: a line for each file, and the total.
It is measured by LLVM, in a build of its own (target/coverage), with the tools of rustup's component llvm-tools, which
is installed if it is missing. Test modules are not counted, nor is what exists on the target only. FILTER is a part of
the paths of the files to show.

    --seconds S    how long the simulation runs (default: 60)
    --seeds N      this many runs instead, which is the same on every machine
    --tests        and the tests of the kernel, of mcs and of the simulation on this machine
    --lines        print the lines that were not reached
    --html DIR     write all files as pages, with counts
    --lcov FILE    write counts in lcov's format
    --least N      fail if less than N % are reached";

const HOSTILE: &str = "\
cargo xtask hostile [--soak] [OPTIONS]

Boots the test obj_hostile in QEMU for longer than `test` does: threads on all cores make random system calls, invoke
everything, fault, and break each other, and the kernel has to survive, to serve the others, and to give all memory back.
With --soak it boots the test soak instead: objects of all kinds are made, used, moved between cores, revoked and
destroyed. A run follows from its seed. When it goes wrong, the command that repeats it is printed.

    --soak               many objects in place of hostile threads
    --seed N             where the random numbers begin (default: 1)
    --calls N            how many calls, or operations with --soak (default: 1000000, unless there is --seconds)
    --seconds S          end after this time of the machine
    --cores N            number of cores (default: 4)
    --gic 2|3            version of the interrupt controller (default: 2)
    --cpu MODEL          model of the cores (default: cortex-a72)
    --memory SIZE        such as 512M or 2G (default: 1G)
    --real-time          do not count instructions: cores run at once, and runs do not repeat exactly
    --release            build optimised, without the kernel's assertions
    --config KEY=VALUE   set a key of kernel/config.keys; may be repeated
    --timeout SECONDS    give up after this time (default: 3600; 0 is none)";

const MUTANTS: &str = "\
cargo xtask mutants [NAME] [--some N] [--seconds S]

Puts each of the deliberate defects of kernel/tests/sim/mutants.txt into a copy of the sources, runs the simulation on it,
and says what caught it. The last line is `N of N caught`; the exit status is 0 only if all were.

    --some N       only so many of them, others whenever the kernel's sources change
    --seconds S    how long to look for each (default: 60)";

const FUZZ: &str = "\
cargo xtask fuzz [TARGET] [OPTIONS]

Runs every fuzz target (fuzz/targets), or one of them, with inputs that libFuzzer makes from those that are kept in
fuzz/corpus. When one goes wrong, its input is left in fuzz/crashes, where `cargo test` runs it too, and the command that
repeats it is printed. cargo-fuzz and a nightly Rust are installed when they are missing.

    --list           list the targets
    --seconds S      how long each is run (default: 60)
    --repeat FILE    run one input, without the fuzzer, and tell in words what it does
    --minimise       take up what was found, and keep few and short inputs in fuzz/corpus";

const MIRI: &str = "\
cargo xtask miri [FILTER] [--quick]

Has Miri interpret the tests of this machine and a few runs of the simulation, whose cores are threads then. It reports
undefined behaviour: data races between cores, references that overlap, memory that was never written, and the like.
FILTER is a part of the names of the tests to run. Rust nightly with Miri is installed with rustup where it is missing.
MIRIFLAGS of the environment are added to its flags.

    --quick        the kernel's own tests, the interface's, and the shortest runs of the simulation";

const SETUP: &str = "\
cargo xtask setup

Installs what the other commands need and this machine lacks: the Rust targets with rustup; QEMU 9 or newer, dtc and a C
compiler for AArch64 with Debian's apt-get, as root or with sudo. Where Debian's own QEMU is older, its backports suite is added beside the
machine's sources. What cannot be done here is printed as commands to run.";
