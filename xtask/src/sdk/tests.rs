//! The files against seL4's: its configuration files as its own build writes them, and its numbers as its generated
//! headers have them (`xtask/tests/data`). What differs is listed here, one by one; a difference that is not listed is
//! an error, and so is a listed one that has gone.

use super::platform::Platform;
use super::{abi, gen_config, packed};
use crate::boards::{Machine, Wanted, known};
use crate::config::KernelConfig;
use crate::sdk::json::{Json, object};
use crate::workspace::Workspace;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

type Members = Map<String, Value>;

fn parse(text: &str) -> Members {
    match serde_json::from_str(text).unwrap() {
        Value::Object(members) => members,
        other => panic!("not an object: {other}"),
    }
}

fn part<'a>(of: &'a Members, name: &str) -> &'a Members {
    of[name].as_object().unwrap_or_else(|| panic!("{name}"))
}

fn machine(board: &str, cpu: &str) -> Machine {
    let wanted = Wanted {
        cpu: Some(cpu.to_string()),
        ..Wanted::default()
    };
    known(board).unwrap().machine(&wanted).unwrap()
}

fn config(settings: &[&str]) -> KernelConfig {
    let settings: Vec<String> = settings.iter().map(|text| text.to_string()).collect();
    KernelConfig::read(&Workspace::find().root)
        .unwrap()
        .with(&settings)
        .unwrap()
}

/// One of seL4's configurations, and the settings with which Tern has the same.
struct Reference {
    file: &'static str,
    board: &'static str,
    cpu: &'static str,
    settings: &'static [&'static str],
}

const REFERENCES: [Reference; 5] = [
    Reference {
        file: include_str!("../../tests/data/config-virt-a53-smp4-debug.json"),
        board: "virt",
        cpu: "cortex-a53",
        settings: &["MAX_NUM_NODES=4"],
    },
    Reference {
        file: include_str!("../../tests/data/config-virt-a53-smp4-release.json"),
        board: "virt",
        cpu: "cortex-a53",
        settings: &["MAX_NUM_NODES=4", "DEBUG_BUILD=false", "PRINTING=false"],
    },
    Reference {
        file: include_str!("../../tests/data/config-virt-a53-uni-debug.json"),
        board: "virt",
        cpu: "cortex-a53",
        settings: &["MAX_NUM_NODES=1"],
    },
    Reference {
        file: include_str!("../../tests/data/config-virt-a57-smp4-debug.json"),
        board: "virt",
        cpu: "cortex-a57",
        settings: &["MAX_NUM_NODES=4"],
    },
    Reference {
        file: include_str!("../../tests/data/config-rpi4-smp4-debug.json"),
        board: "rpi4",
        cpu: "cortex-a72",
        settings: &["MAX_NUM_NODES=4"],
    },
];

/// Defaults that differ from seL4's four-core debug configuration of the same board.
const DIFFERENT_DEFAULTS: [&str; 1] = [
    // One kernel for machines of any size: the cores are counted at boot.
    "MAX_NUM_NODES",
];

fn differences(ours: &Members, theirs: &Members) -> BTreeSet<String> {
    let keys: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    keys.into_iter()
        .filter(|key| ours.get(*key) != theirs.get(*key))
        .cloned()
        .collect()
}

fn listed(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| name.to_string()).collect()
}

fn kernel_keys(board: &str, cpu: &str, settings: &[&str]) -> Members {
    let keys = gen_config::kernel(&machine(board, cpu), &config(settings));
    parse(&object(keys).to_string())
}

#[test]
fn the_configuration_is_that_of_sel4() {
    for reference in &REFERENCES {
        let ours = kernel_keys(reference.board, reference.cpu, reference.settings);
        let theirs = parse(reference.file);
        let words = format!(
            "{} {} {:?}",
            reference.board, reference.cpu, reference.settings
        );
        assert_eq!(ours.len(), 166, "{words}");
        assert_eq!(differences(&ours, &theirs), BTreeSet::new(), "{words}");
    }
    let library = parse(&object(gen_config::library()).to_string());
    let theirs = parse(include_str!("../../tests/data/config-libsel4.json"));
    assert_eq!(library, theirs);
}

#[test]
fn defaults_differ_only_as_listed() {
    let ours = kernel_keys("virt", "cortex-a53", &[]);
    let theirs = parse(REFERENCES[0].file);
    assert_eq!(differences(&ours, &theirs), listed(&DIFFERENT_DEFAULTS));
    assert_eq!(ours["MAX_NUM_NODES"], "8");
    assert_eq!(ours["ENABLE_SMP_SUPPORT"], true);
}

#[test]
fn every_key_of_terns_configuration_is_passed_on() {
    // Measurements and comparisons inside the kernel, which concern no program and which seL4 has no keys for.
    const OWN: [&str; 3] = ["TRACK_MASKED", "BENCH_COUNTERS", "ALL_LOCKS"];
    let text = include_str!("../../../kernel/config.keys");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let keys = lines.filter_map(|line| line.split_whitespace().next());
    for key in keys.filter(|key| !OWN.contains(key)) {
        assert!(gen_config::keys().any(|known| known == key), "{key}");
    }
    let changed = kernel_keys(
        "virt",
        "cortex-a72",
        &[
            "ROOT_CNODE_SIZE_BITS=13",
            "EXPORT_VCNT_USER=true",
            "PRINTING=false",
        ],
    );
    assert_eq!(changed["ROOT_CNODE_SIZE_BITS"], "13");
    assert_eq!(changed["EXPORT_VCNT_USER"], true);
    assert_eq!(changed["PRINTING"], false);
    assert_eq!(changed["IRQ_REPORTING"], false);
    assert_eq!(changed["DEBUG_BUILD"], true);
    assert_eq!(changed["ARM_CORTEX_A72"], true);
}

/// rust-sel4 merges both files and takes truth values and texts only.
#[test]
fn rust_sel4_can_read_the_configuration() {
    #[derive(Debug)]
    #[expect(dead_code, reason = "read only by its Debug implementation")]
    enum Taken {
        Bool(bool),
        Text(String),
    }
    let mut merged = BTreeMap::new();
    for keys in [
        gen_config::kernel(&machine("virt", "max"), &config(&[])),
        gen_config::library(),
    ] {
        for (key, value) in parse(&object(keys).to_string()) {
            let taken = match value {
                Value::Bool(value) => Taken::Bool(value),
                Value::String(text) => Taken::Text(text),
                other => panic!("{key}: {other}"),
            };
            assert!(merged.insert(key, taken).is_none());
        }
    }
    assert_eq!(merged.len(), 173);
}

#[test]
fn the_header_defines_what_is_on() {
    let header = gen_config::header(&gen_config::kernel(
        &machine("virt", "cortex-a53"),
        &config(&["MAX_NUM_NODES=4"]),
    ));
    for line in [
        "#define CONFIG_KERNEL_MCS  1",
        "#define CONFIG_MAX_NUM_NODES  4",
        "#define CONFIG_ARM_TLS_REG  tpidru",
        "/* disabled: CONFIG_ARM_HYPERVISOR_SUPPORT */",
    ] {
        assert!(header.lines().any(|other| other == line), "{line}");
    }
    let off = header
        .lines()
        .filter(|line| line.starts_with("/* disabled: "));
    let on = header
        .lines()
        .filter(|line| line.starts_with("#define CONFIG_"));
    assert_eq!(off.count() + on.count(), 166);
    let header = gen_config::header(&gen_config::library());
    assert!(header.contains("#define CONFIG_LIB_SEL4_FUNCTION_ATTRIBUTE  inline\n"));
}

#[test]
fn the_platform_is_that_of_sel4_but_for_the_interrupt_controller() {
    for (cpu, theirs) in [
        (
            "cortex-a53",
            include_str!("../../tests/data/platform-virt-a53.yaml"),
        ),
        (
            "cortex-a57",
            include_str!("../../tests/data/platform-virt-a57.yaml"),
        ),
    ] {
        let platform = Platform::of(&machine("virt", cpu)).unwrap();
        // seL4 keeps a page of each of its two blocks, Tern all of the registers that the device tree tells.
        let ours = platform.yaml().replace(
            "- end: 0x40000000\n  start: 0x8020000\n",
            "- end: 0x8010000\n  start: 0x8001000\n- end: 0x40000000\n  start: 0x8011000\n",
        );
        assert_eq!(ours, theirs, "{cpu}");
        let json = parse(&platform.json().to_string());
        let devices = json["devices"].as_array().unwrap();
        assert_eq!(devices.len(), 3);
        assert_eq!(json["memory"][0]["start"], 0x4000_0000);
        assert_eq!(json["memory"][0]["end"], 0x8000_0000_u64);
    }
}

/// The same regions as the root task is given on such a machine.
#[test]
fn gicv3_registers_are_kept_too() {
    let wanted = Wanted {
        gic: Some(3),
        ..Wanted::default()
    };
    let machine = known("virt").unwrap().machine(&wanted).unwrap();
    let yaml = Platform::of(&machine).unwrap().yaml();
    for region in [
        "- end: 0x8000000\n  start: 0x0\n",
        "- end: 0x80a0000\n  start: 0x8010000\n",
        "- end: 0x40000000\n  start: 0x9000000\n",
        "- end: 0x100000000000\n  start: 0x80000000\n",
    ] {
        assert!(yaml.contains(region), "{yaml}");
    }
}

fn reference_numbers() -> Members {
    parse(include_str!("../../tests/data/abi-numbers.json"))
}

fn numbers() -> Members {
    parse(&abi::json().to_string())
}

/// Compares a table of numbers; `absent` are those of seL4 that Tern does not have, `more` the other way round.
fn compare(what: &str, ours: &Members, theirs: &Members, absent: &[&str], more: &[&str]) {
    let without = |these: &Members, those: &Members| -> BTreeSet<String> {
        let left = these.keys().filter(|key| !those.contains_key(*key));
        left.cloned().collect()
    };
    assert_eq!(without(theirs, ours), listed(absent), "{what}");
    assert_eq!(without(ours, theirs), listed(more), "{what}");
    for (name, number) in ours {
        if let Some(theirs) = theirs.get(name) {
            assert_eq!(number, theirs, "{what}: {name}");
        }
    }
}

#[test]
fn the_numbers_are_those_of_sel4() {
    let (ours, theirs) = (numbers(), reference_numbers());
    let same = |what: &str, absent: &[&str], more: &[&str]| {
        compare(what, part(&ours, what), part(&theirs, what), absent, more);
    };
    same("errors", &[], &[]);
    same("lookup_failures", &[], &[]);
    same("initial_slots", &[], &[]);
    same("bootinfo_offsets", &[], &[]);
    same("ipc_buffer_offsets", &[], &[]);
    // Only with hardware debugging, and only with virtual machines.
    let absent = [
        "DebugException",
        "VGICMaintenance",
        "VCPUFault",
        "VPPIEvent",
    ];
    same("faults", &absent, &[]);
    same("objects", &["ARM_VCPU(hyp)"], &[]);
    same(
        "size_bits",
        &["VSpace_hyp_pa40", "VCPU"],
        &["SmallPage", "LargePage", "HugePage"],
    );
}

#[test]
fn system_calls_are_those_of_sel4() {
    let ours = numbers();
    let mut calls = part(&ours, "syscalls").clone();
    for (name, call) in part(&ours, "debug_syscalls") {
        calls.insert(name.clone(), call["number"].clone());
    }
    // Off in seL4's default configuration too, or not for this processor.
    let absent = [
        "DebugRun",
        "BenchmarkFlushCaches",
        "BenchmarkResetLog",
        "BenchmarkFinalizeLog",
        "BenchmarkSetLogBuffer",
        "BenchmarkNullSyscall",
        "BenchmarkGetThreadUtilisation",
        "BenchmarkResetThreadUtilisation",
        "BenchmarkDumpAllThreadsUtilisation",
        "BenchmarkResetAllThreadsUtilisation",
        "X86DangerousWRMSR",
        "X86DangerousRDMSR",
        "VMEnter",
        "SetTLSBase",
    ];
    compare(
        "syscalls",
        &calls,
        part(&reference_numbers(), "syscalls"),
        &absent,
        &[],
    );
}

#[test]
fn labels_are_those_of_sel4_and_one_more() {
    let (ours, theirs) = (numbers(), reference_numbers());
    let (ours, theirs) = (
        part(&ours, "invocation_labels"),
        part(&theirs, "invocation_labels"),
    );
    // The label of no invocation.
    let absent = ["InvalidInvocation"];
    // seL4 has this one for a single core only; Tern gives it the next free label where there are several.
    let more = ["ARMIRQIssueSGISignal"];
    compare(
        "smp",
        part(ours, "smp"),
        part(theirs, "smp_el1"),
        &absent,
        &more,
    );
    assert_eq!(part(ours, "smp")["ARMIRQIssueSGISignal"], 57);
    compare(
        "single",
        part(ours, "single_core"),
        part(theirs, "uni_el1"),
        &absent,
        &[],
    );
}

#[test]
fn layouts_add_up() {
    let ours = numbers();
    let context = part(&ours, "user_context");
    let registers = context["registers"].as_array().unwrap();
    assert_eq!(context["words"], registers.len());
    let first: Vec<&str> = registers[..20].iter().filter_map(Value::as_str).collect();
    let expected = "pc sp spsr x0 x1 x2 x3 x4 x5 x6 x7 x8 x16 x17 x18 x29 x30 x9 x10 x11";
    assert_eq!(first.join(" "), expected);
    let info = &ours["message"]["info"];
    assert_eq!(info["length"], serde_json::json!({"shift": 0, "bits": 7}));
    assert_eq!(
        info["extraCaps"],
        serde_json::json!({"shift": 7, "bits": 2})
    );
    assert_eq!(
        info["capsUnwrapped"],
        serde_json::json!({"shift": 9, "bits": 3})
    );
    assert_eq!(info["label"], serde_json::json!({"shift": 12, "bits": 52}));
    assert_eq!(
        ours["cnode_cap_data"]["guard"],
        serde_json::json!({"shift": 6, "bits": 58})
    );
    assert_eq!(
        ours["cap_rights"],
        serde_json::json!({"WRITE": 1, "READ": 2, "GRANT": 4, "GRANT_REPLY": 8})
    );
    assert_eq!(
        ours["vm_attributes"],
        serde_json::json!({"CACHEABLE": 1, "PARITY_ENABLED": 2, "EXECUTE_NEVER": 4})
    );
    assert_eq!(ours["limits"]["UserTop"], 0x7fff_ffff_ffff_u64);
    assert_eq!(ours["fault_words"]["Timeout"]["reply"], 34);
}

#[test]
fn a_device_tree_loses_its_unused_end() {
    let mut tree = vec![0; 100];
    for (at, word) in [
        (0, 0xd00d_feed_u32),
        (4, 100),
        (8, 56),
        (12, 60),
        (32, 7),
        (36, 4),
    ] {
        tree[at..at + 4].copy_from_slice(&word.to_be_bytes());
    }
    let packed_tree = packed(tree.clone()).unwrap();
    assert_eq!(packed_tree.len(), 67);
    assert_eq!(packed_tree[4..8], 67_u32.to_be_bytes());
    assert!(packed(tree[..50].to_vec()).is_none());
    tree[0] = 0;
    assert!(packed(tree).is_none());
    assert_eq!(Json::from(1_u64), Json::Number(1));
}
