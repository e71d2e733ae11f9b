//! What user level may do by itself and what it may not: cache maintenance, unaligned accesses, waiting; counters, timers and
//! the performance monitor, none of which is exported here; interrupt masks, instructions of higher levels, and addresses
//! that are not its own.
//!
//! cpu: cortex-a53 cortex-a72 max
//! config: EXPORT_PMU_USER=false
//! config: EXPORT_PCNT_USER=false
//! config: EXPORT_VCNT_USER=false

#![no_std]
#![no_main]

use libsel4::abi::UserContext;
use libsel4::{BootInfo, System, root_task};
use tern_target_tests::code::{SystemRegister, address_of, instruction};
use tern_target_tests::objects::{Answer, Puppet};
use tern_target_tests::rows::row;
use tern_target_tests::snippets;

root_task!(main);

type Code = extern "C" fn() -> !;

snippets! {
    caches: "mrs x1, ctr_el0", "mrs x2, dczid_el0", "dc cvac, x0", "dc cvau, x0", "dc civac, x0", "ic ivau, x0",
        "dsb ish", "isb";
    zero: "mrs x1, dczid_el0", "dc zva, x0";
    unaligned: "ldr x1, [x0, #1]", "str x1, [x0, #9]", "ldrh w2, [x0, #3]", "add x8, x0, #5", "ldp x3, x4, [x8]", "ldr q0, [x0, #7]",
        "mov x5, sp", "sub sp, sp, #3", "ldr x6, [sp]", "str x6, [sp, #-8]!", "mov sp, x5";
    bytes: "movz x1, #0x0201", "movk x1, #0x0403, lsl #16", "str w1, [x0]", "ldrb w2, [x0]", "ldrb w3, [x0, #3]";
    wait: "wfe", "sevl", "wfe", "wfi", "wfi";

    frequency: "mrs x0, cntfrq_el0";
    virtual_count: "mrs x3, cntvct_el0";
    physical_count: "mrs x30, cntpct_el0";
    virtual_control: "mrs x0, cntv_ctl_el0";
    virtual_compare: "msr cntv_cval_el0, x1";
    virtual_time: "mrs x2, cntv_tval_el0";
    physical_control: "msr cntp_ctl_el0, x4";
    physical_compare: "mrs x0, cntp_cval_el0";
    physical_time: "msr cntp_tval_el0, x5";
    cycles: "mrs x0, pmccntr_el0";
    monitor: "msr pmcr_el0, x7";
    read_masks: "mrs x0, daif";
    write_masks: "msr daif, x9";
    mask: "msr daifset, #2";
    unmask: "msr daifclr, #15";

    undefined: "udf #77";
    unallocated: ".inst 0x00ff00ff";
    hypervisor: "hvc #0";
    monitor_call: "smc #0";
    exception_return: "eret";
    identification: "mrs x0, midr_el1";
    translation: "msr ttbr0_el1, x0";
    kernel_pointer: "mrs x0, tpidr_el1";
    thread_pointer: "msr tpidrro_el0, x0";
    invalidate: "tlbi vmalle1";
    set_way: "dc isw, x0";
    invalidate_line: "dc ivac, x0";
    all_instructions: "ic iallu";
    vectors: "msr vbar_el1, x0";

    scalable: ".inst 0x04bf5020"; // rdvl x0, #1
    streaming: ".inst 0xd503477f"; // smstart

    break_0: "brk #0";
    break_5: "brk #5";
    break_most: "brk #0xffff";
    // (Not `br`, after which processors with FEAT_BTI have more than flags in the status register.)
    jump: "ret x0";
    call_5: "svc #5";
    call_most: "svc #0xffff";
    load: "ldr x1, [x0]";
    store: "str x1, [x0]";
}

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let puppet = Puppet::new(&mut system, boot.cores() - 1, 100);
    allowed(&puppet);
    trapped(&puppet);
    undefined_instructions(&puppet);
    addresses(&puppet);
}

fn at(code: Code) -> UserContext {
    UserContext {
        pc: address_of(code),
        sp: 0x7770,
        spsr: 0x6000_0000,
        ..UserContext::default()
    }
}

/// Runs all of it: the exception is that of its end, instruction number `count`.
fn runs(puppet: &Puppet, code: Code, count: u64, context: UserContext) -> UserContext {
    let fault = puppet.run_to_fault(&context);
    let seen = (fault.label, fault.words[0], fault.words[3]);
    assert_eq!(seen, (3, instruction(code, count), 0x0200_0000));
    puppet.registers()
}

fn allowed(puppet: &Puppet) {
    let memory = puppet.buffer();
    let start = memory.start() as u64;
    let on_memory = |code, offset| UserContext {
        x0: start + offset,
        sp: start + 0x800,
        ..at(code)
    };
    row("el0.cache");
    let after = runs(puppet, caches, 8, on_memory(caches, 0x400));
    assert!(after.x1 != 0);
    row("el0.zero");
    memory.fill(0x1111);
    let after = runs(puppet, zero, 2, on_memory(zero, 0x808));
    assert_eq!(after.x1 >> 4, 0, "it is not prohibited");
    let block = 4_usize << (after.x1 & 0xf);
    let first = 0x808 & !(block - 1);
    for offset in (0..4096).step_by(8) {
        let inside = (first..first + block).contains(&offset);
        assert_eq!(memory.read(offset) == 0, inside, "{offset:#x}");
    }
    row("el0.unaligned");
    for index in 0..32_u64 {
        let word = u64::from_ne_bytes(core::array::from_fn(|byte| index as u8 * 8 + byte as u8));
        memory.write(0x400 + index as usize * 8, word);
    }
    memory.write(0x7f8, 0x0706_0504_0302_0100);
    let after = runs(puppet, unaligned, 11, on_memory(unaligned, 0x400));
    assert_eq!(after.x1, 0x0807_0605_0403_0201);
    assert_eq!(memory.read(0x408), 0x0706_0504_0302_0108);
    assert_eq!(after.x2, 0x0403);
    assert_eq!(
        after.x6 & 0xff_ffff,
        0x07_0605,
        "by way of the stack pointer"
    );
    row("el0.little-endian");
    let after = runs(puppet, bytes, 5, on_memory(bytes, 0x400));
    assert_eq!((after.x2, after.x3), (1, 4));
    row("el0.wait");
    runs(puppet, wait, 5, at(wait));
}

/// One instruction that is a user exception with this syndrome.
#[track_caller]
fn traps(puppet: &Puppet, code: Code, syndrome: u64) {
    let pc = address_of(code);
    let fault = puppet.run_to_fault(&at(code));
    let words = [pc, 0x7770, 0x6000_0040, syndrome, 0];
    assert_eq!(fault, Answer::new(3, &words));
}

fn trapped(puppet: &Puppet) {
    const COUNTER: SystemRegister = SystemRegister::new(3, 3, 14, 0, 0);
    row("el0.counters");
    traps(puppet, frequency, COUNTER.read_into(0));
    traps(puppet, physical_count, COUNTER.number(0, 1).read_into(30));
    traps(puppet, virtual_count, COUNTER.number(0, 2).read_into(3));
    row("el0.timers");
    traps(puppet, physical_time, COUNTER.number(2, 0).written_from(5));
    traps(
        puppet,
        physical_control,
        COUNTER.number(2, 1).written_from(4),
    );
    traps(puppet, physical_compare, COUNTER.number(2, 2).read_into(0));
    traps(puppet, virtual_time, COUNTER.number(3, 0).read_into(2));
    traps(puppet, virtual_control, COUNTER.number(3, 1).read_into(0));
    traps(
        puppet,
        virtual_compare,
        COUNTER.number(3, 2).written_from(1),
    );
    row("el0.pmu");
    const MONITOR: SystemRegister = SystemRegister::new(3, 3, 9, 12, 0);
    traps(puppet, cycles, MONITOR.number(13, 0).read_into(0));
    traps(puppet, monitor, MONITOR.written_from(7));
    row("el0.daif");
    const MASKS: SystemRegister = SystemRegister::new(3, 3, 4, 2, 1);
    traps(puppet, read_masks, MASKS.read_into(0));
    traps(puppet, write_masks, MASKS.written_from(9));
    // The immediate forms, whose four bits stand where a register has CRm. (QEMU 10 exchanges op1 and op2 in these.)
    for (code, m, op2) in [(mask as Code, 2, 6), (unmask, 15, 7)] {
        let fault = puppet.run_to_fault(&at(code));
        assert_eq!((fault.label, fault.words[0]), (3, address_of(code)));
        let named = [(3, op2), (op2, 3)]
            .map(|(op1, op2)| SystemRegister::new(0, op1, 4, m, op2).written_from(31));
        assert!(named.contains(&fault.words[3]), "{fault:x?}");
    }
}

fn undefined_instructions(puppet: &Puppet) {
    row("el0.undefined");
    for code in [
        undefined as Code,
        unallocated,
        hypervisor,
        monitor_call,
        exception_return,
        translation,
        kernel_pointer,
        thread_pointer,
        invalidate,
        set_way,
        invalidate_line,
        all_instructions,
        vectors,
    ] {
        traps(puppet, code, 0x0200_0000);
    }
    // Processors with FEAT_IDST name the identification register.
    let fault = puppet.run_to_fault(&at(identification));
    let named = SystemRegister::new(3, 0, 0, 0, 0).read_into(0);
    assert!([0x0200_0000, named].contains(&fault.words[3]), "{fault:x?}");
    // Vector extensions: undefined, or the exception class of their trap, on a processor that has them.
    row("el0.scalable");
    for (code, class) in [(scalable as Code, 0x19), (streaming, 0x1d)] {
        let fault = puppet.run_to_fault(&at(code));
        assert_eq!((fault.label, fault.words[0]), (3, address_of(code)));
        assert!([0, class].contains(&(fault.words[3] >> 26)), "{fault:x?}");
    }
    row("el0.breakpoint");
    traps(puppet, break_0, 0xf200_0000);
    traps(puppet, break_5, 0xf200_0005);
    traps(puppet, break_most, 0xf200_ffff);
    row("el0.svc-immediate");
    let context = UserContext {
        x7: 12345,
        ..at(call_5)
    };
    let fault = puppet.run_to_fault(&context);
    assert_eq!(
        (fault.label, fault.words[8], fault.words[12]),
        (2, address_of(call_5), 12345)
    );
    // Yield.
    let context = UserContext {
        x7: -11_i64 as u64,
        ..at(call_most)
    };
    runs(puppet, call_most, 1, context);
}

fn addresses(puppet: &Puppet) {
    row("el0.pc-aligned");
    for offset in 1..4 {
        // In a page that is mapped, so that there is one cause only.
        let target = address_of(undefined) + offset;
        for context in [
            UserContext {
                x0: target,
                ..at(jump)
            },
            UserContext {
                pc: target,
                ..at(jump)
            },
        ] {
            let fault = puppet.run_to_fault(&context);
            let words = [target, 0x7770, 0x6000_0040, 0x8a00_0000, 0];
            assert_eq!(fault, Answer::new(3, &words));
        }
    }
    row("el0.unmapped");
    let unmapped = [
        0,
        0x7fff_ffff_fff8,
        0x8000_0000_0000,
        0x1_0000_0000_0000,
        0x8000_0000_0000_0000,
        0xff00_0000_0000_1000,
        0xffff_0000_0000_0000,
        0xffff_ffff_c000_0000,
        0xffff_ffff_ffff_fff8,
    ];
    for (code, write) in [(load as Code, 0), (store, 0x40)] {
        for address in unmapped {
            let context = UserContext {
                x0: address,
                ..at(code)
            };
            let fault = puppet.run_to_fault(&context);
            assert_eq!(
                (fault.label, &fault.words[..3]),
                (6, &[address_of(code), address, 0][..])
            );
            // Class, length and direction; a translation fault at some level, or a permission fault, as it is for all of
            // the kernel's half that is mapped.
            let (status, rest) = (fault.words[3] & 0x3f, fault.words[3] & !0x3f);
            assert_eq!(rest, 0x9200_0000 | write, "{address:#x}");
            let kernel = address >> 48 == 0xffff;
            let expected = status >> 2 == 1 || kernel && status >> 2 == 3;
            assert!(expected, "{address:#x}: {status:#x}");
        }
    }
}
