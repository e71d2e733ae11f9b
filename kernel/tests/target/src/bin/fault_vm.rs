//! Memory faults: reading, writing and fetching where nothing is mapped or where it is not allowed; the words of the
//! message; and that the thread goes on after the cause was removed.

#![no_std]
#![no_main]

use libsel4::{
    BootInfo, CapRights, Message, SmallPage, System, UserContext, VmAttributes, init, root_task,
};
use tern_target_tests::objects::{Answer, Puppet, Window, object};
use tern_target_tests::rows::{row, rows};

root_task!(main);

#[unsafe(naked)]
extern "C" fn load() -> ! {
    core::arch::naked_asm!("ldr x1, [x0]", "udf #0")
}

#[unsafe(naked)]
extern "C" fn store() -> ! {
    core::arch::naked_asm!("str x1, [x0]", "udf #0")
}

#[unsafe(naked)]
extern "C" fn load_exclusive() -> ! {
    core::arch::naked_asm!("ldxr x1, [x0]", "udf #0")
}

fn address_of(code: extern "C" fn() -> !) -> u64 {
    code as *const () as u64
}

const READ: u64 = 0x9200_0000;
const WRITE: u64 = 0x9200_0040;
const FETCH: u64 = 0x8200_0000;
const TRANSLATION: u64 = 0x4;
const ALIGNMENT: u64 = 0x21;
const PERMISSION: u64 = 0xc;

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let puppet = Puppet::new(&mut system, boot.cores() - 1, 100);
    let frame = object::<SmallPage>(&mut system);
    let window = Window::map(&mut system, frame);
    let vaddr = window.start() as u64;
    window.write(0x18, 0x1234);
    frame.unmap().expect("to unmap");
    let registers = |code, x0| UserContext {
        pc: address_of(code),
        x0,
        x1: 0x5678,
        ..UserContext::default()
    };

    rows(&["fault.vm.words", "fault.vm.instruction"]);
    // Nothing mapped, but tables on all levels; three levels fewer; and beyond every address of user level.
    let far = 0x7ff0_0000_0000;
    for (vaddr, level) in [
        (vaddr + 0x18, 3),
        (vaddr + 0xffe, 3),
        (far, 0),
        (1 << 48, 0),
    ] {
        let fault = puppet.run_to_fault(&registers(load, vaddr));
        let syndrome = READ | TRANSLATION | level;
        assert_eq!(
            fault,
            Answer::new(6, &[address_of(load), vaddr, 0, syndrome]),
            "{vaddr:#x}"
        );
        let fault = puppet.run_to_fault(&registers(store, vaddr));
        let syndrome = WRITE | TRANSLATION | level;
        assert_eq!(
            fault,
            Answer::new(6, &[address_of(store), vaddr, 0, syndrome]),
            "{vaddr:#x}"
        );
        // For a fetch the address is that of the instruction.
        let vaddr = vaddr & !3;
        let fault = puppet.run_to_fault(&UserContext {
            pc: vaddr,
            ..UserContext::default()
        });
        let syndrome = FETCH | TRANSLATION | level;
        assert_eq!(
            fault,
            Answer::new(6, &[vaddr, vaddr, 1, syndrome]),
            "{vaddr:#x}"
        );
    }
    row("fault.vm.kernel-half");
    // The kernel's half: which level says no is its affair.
    for vaddr in [0xffff_ffff_c000_0000, 0xffff_ff80_4000_0000, u64::MAX - 7] {
        let fault = puppet.run_to_fault(&registers(store, vaddr));
        assert_eq!(
            (fault.label, &fault.words[..3]),
            (6, &[address_of(store), vaddr, 0][..])
        );
        assert_eq!(fault.words[3] & !0x3f, WRITE, "{vaddr:#x}");
        let fault = puppet.run_to_fault(&UserContext {
            pc: vaddr & !3,
            ..UserContext::default()
        });
        assert_eq!(
            (fault.label, &fault.words[..3]),
            (6, &[vaddr & !3, vaddr & !3, 1][..])
        );
        assert_eq!(fault.words[3] & !0x3f, FETCH, "{vaddr:#x}");
    }

    row("fault.reply.vm");
    // A reply, whatever is in it, makes it try again; mapped meanwhile, the load goes through.
    let map = |rights, attributes| {
        frame
            .map(init::VSPACE, vaddr, rights, attributes)
            .expect("to map");
    };
    let expected = Answer::new(
        6,
        &[address_of(load), vaddr + 0x18, 0, READ | TRANSLATION | 3],
    );
    assert_eq!(
        puppet.run_to_fault(&registers(load, vaddr + 0x18)),
        expected
    );
    for label in [0, 3, 77] {
        puppet.reply.send(Message::new(label).words(&[0; 10]));
        assert_eq!(Answer::of(&puppet.fault().message), expected);
    }
    map(CapRights::READ, VmAttributes::default());
    puppet.reply.send(Message::new(1).words(&[0; 10]));
    assert_eq!(puppet.fault().label(), 3, "the instruction after it");
    let after = puppet.registers();
    assert_eq!(
        (after.pc, after.x0, after.x1),
        (address_of(load) + 4, vaddr + 0x18, 0x1234)
    );

    row("fault.vm.permission");
    // Reading only: no writing. Remapped for writing, it goes on.
    let fault = puppet.run_to_fault(&registers(store, vaddr));
    let syndrome = WRITE | PERMISSION | 3;
    assert_eq!(
        fault,
        Answer::new(6, &[address_of(store), vaddr, 0, syndrome])
    );
    map(
        CapRights::READ_WRITE,
        VmAttributes::default() | VmAttributes::EXECUTE_NEVER,
    );
    puppet.reply.send(Message::new(0));
    assert_eq!(puppet.fault().label(), 3);
    assert_eq!(window.read(0), 0x5678);

    // An exclusive access has to be aligned.
    row("fault.vm.alignment");
    let fault = puppet.run_to_fault(&registers(load_exclusive, vaddr + 4));
    assert_eq!(
        fault,
        Answer::new(
            6,
            &[address_of(load_exclusive), vaddr + 4, 0, READ | ALIGNMENT]
        )
    );

    row("fault.vm.permission");
    // Not for execution; then for it. The page has `udf #0` at 0x20.
    window.write(0x20, 0);
    frame.unify_instruction(0, 4096).expect("to unify");
    let at = UserContext {
        pc: vaddr + 0x20,
        ..UserContext::default()
    };
    let fault = puppet.run_to_fault(&at);
    assert_eq!(
        fault,
        Answer::new(6, &[vaddr + 0x20, vaddr + 0x20, 1, FETCH | PERMISSION | 3])
    );
    map(CapRights::READ_WRITE, VmAttributes::default());
    puppet.reply.send(Message::new(0));
    let fault = Answer::of(&puppet.fault().message);
    assert_eq!((fault.label, fault.words[0]), (3, vaddr + 0x20));

    // No rights: nothing at all.
    map(CapRights::empty(), VmAttributes::default());
    for (code, kind) in [(load as extern "C" fn() -> !, READ), (store, WRITE)] {
        let fault = puppet.run_to_fault(&registers(code, vaddr));
        assert_eq!(
            fault,
            Answer::new(6, &[address_of(code), vaddr, 0, kind | PERMISSION | 3])
        );
    }
    map(CapRights::WRITE, VmAttributes::default());
    let fault = puppet.run_to_fault(&registers(store, vaddr));
    assert_eq!(fault.label, 6, "the right to write alone is none");
}
