//! Cacheable memory has no alignment. Without that attribute a page is device memory, which has. (QEMU tells them apart
//! only where several cores run at the same time.)
//!
//! cores: 2 4
//! icount: no

#![no_std]
#![no_main]

use libsel4::{BootInfo, CapRights, SmallPage, System, UserContext, VmAttributes, init, root_task};
use tern_target_tests::objects::{Puppet, Window, object};
use tern_target_tests::rows::row;

root_task!(main);

const ALIGNMENT: u64 = 0x9200_0021;

#[unsafe(naked)]
extern "C" fn load() -> ! {
    core::arch::naked_asm!("ldr x1, [x0]", "udf #0")
}

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let page = object::<SmallPage>(&mut system);
    let window = Window::map(&mut system, page);
    let vaddr = window.start() as u64;
    window.write(0, 0x1122_3344_5566_7788);
    window.write(8, 0x99);
    page.clean_invalidate_data(0, 4096).expect("written back");
    for core in 0..boot.cores() {
        let puppet = Puppet::new(&mut system, core, 100);
        let read = |address| {
            let fault = puppet.run_to_fault(&UserContext {
                pc: load as *const () as u64,
                x0: address,
                ..UserContext::default()
            });
            match fault.label {
                3 => Ok(puppet.registers().x1),
                _ => Err(fault.words[3]),
            }
        };
        row("attributes.cacheable");
        let others = VmAttributes::PARITY_ENABLED | VmAttributes::EXECUTE_NEVER;
        for attributes in [VmAttributes::empty(), others] {
            let map = |attributes| {
                page.map(init::VSPACE, vaddr, CapRights::READ, attributes)
                    .expect("mapped");
            };
            map(attributes | VmAttributes::CACHEABLE);
            assert_eq!(read(vaddr + 8), Ok(0x99));
            assert_eq!(read(vaddr + 1), Ok(0x9911_2233_4455_6677));
            map(attributes);
            assert_eq!(read(vaddr + 8), Ok(0x99));
            assert_eq!(read(vaddr + 1), Err(ALIGNMENT));
        }
    }
}
