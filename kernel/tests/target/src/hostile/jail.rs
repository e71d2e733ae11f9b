//! Where hostile threads run: the program's code, which they can only execute, and pages of each thread's own.

use alloc::vec::Vec;

use libsel4::abi::UserContext;
use libsel4::system::{Guard, Region};
use libsel4::{
    BootInfo, Cap, CapRights, Error, PageTable, SmallPage, System, VSpace, VmAttributes, init,
};

use super::attack::{Dice, State, attack};
use super::store::Store;

const PAGE: usize = 4096;
/// The instruction that asks the emulator to do something, such as to end the run.
const SEMIHOSTING: u32 = 0xd45e_0000;

unsafe extern "C" {
    // The linker's names for the first byte of the program and the first behind its code.
    static __executable_start: u8;
    static etext: u8;
}

/// What is the same for all gangs. Mapped into the test's address space too.
pub(super) struct Jail {
    /// Pages of code: address and frame.
    code: Vec<(usize, Cap<SmallPage>)>,
    /// Each thread's state, IPC buffer, and two pages of stack.
    pages: Vec<Region>,
}

impl Jail {
    /// For so many threads.
    pub(super) fn new(system: &mut System, threads: usize) -> Self {
        let start = (&raw const __executable_start) as usize / PAGE * PAGE;
        let end = (&raw const etext) as usize;
        let code = (start..end).step_by(PAGE);
        Self {
            code: code.map(|page| (page, harmless(system, page))).collect(),
            pages: (0..threads)
                .map(|_| system.region(4 * PAGE, Guard::Page).expect("pages"))
                .collect(),
        }
    }

    /// How many capabilities [`Jail::build`] needs.
    pub(super) fn slots(&self) -> usize {
        self.code.len() + self.pages.len() * 4 + 16
    }

    /// An address space like that.
    pub(super) fn build(&self, store: &mut Store) -> Cap<VSpace> {
        let vspace = store.object::<VSpace>();
        init::ASID_POOL.assign(vspace).expect("an identifier");
        for &(page, frame) in &self.code {
            let frame = store.copy(frame, CapRights::READ);
            map(store, vspace, frame, page, CapRights::READ);
        }
        for region in &self.pages {
            for (page, &frame) in (region.start()..).step_by(PAGE).zip(region.frames()) {
                let frame = store.copy(frame, CapRights::READ_WRITE);
                map(store, vspace, frame, page, CapRights::READ_WRITE);
            }
        }
        vspace
    }

    /// How many threads there are.
    pub(super) fn threads(&self) -> usize {
        self.pages.len()
    }

    /// The frame of a thread's IPC buffer, and its address.
    pub(super) fn buffer(&self, thread: usize) -> (Cap<SmallPage>, u64) {
        let region = &self.pages[thread];
        (region.frames()[1], (region.start() + PAGE) as u64)
    }

    /// Gives a thread new dice, and returns the registers with which it starts.
    pub(super) fn start(&self, thread: usize, seed: u64) -> UserContext {
        let region = &self.pages[thread];
        let state = State {
            dice: Dice::new(seed),
            buffer: (region.start() + PAGE) as *mut u64,
            calls: self.calls(thread),
        };
        // SAFETY: the page is large enough and aligned. A thread that uses it now is hostile, and may read anything.
        unsafe { (region.start() as *mut State).write_volatile(state) };
        UserContext {
            pc: attack as *const () as u64,
            sp: region.end() as u64,
            x0: region.start() as u64,
            ..UserContext::default()
        }
    }

    /// How many calls a thread says that it has made.
    pub(super) fn calls(&self, thread: usize) -> u64 {
        let calls = self.pages[thread].start() + core::mem::offset_of!(State, calls);
        // SAFETY: mapped memory, of which any content is a number. It may change meanwhile: volatile.
        unsafe { (calls as *const u64).read_volatile() }
    }
}

/// The frame of a page of code; where that has instructions to the emulator, a copy without them. A hostile thread may
/// jump anywhere, and would end the run as if the test had.
fn harmless(system: &mut System, page: usize) -> Cap<SmallPage> {
    let words = (0..PAGE).step_by(4);
    // SAFETY: the address is that of code of this program, which never changes.
    let word = |offset| unsafe { ((page + offset) as *const u32).read() };
    let boot: &'static BootInfo = system.boot();
    if words.clone().all(|offset| word(offset) != SEMIHOSTING) {
        return boot.user_image_frame(page).expect("a page of the program");
    }
    let region = system.region(PAGE, Guard::None).expect("a page");
    for offset in words {
        let value = Some(word(offset)).filter(|&word| word != SEMIHOSTING);
        // SAFETY: the region is a page that nothing else uses.
        unsafe { ((region.start() + offset) as *mut u32).write(value.unwrap_or(0)) };
    }
    let frame = region.frames()[0];
    frame.unify_instruction(0, PAGE as u64).expect("to unify");
    frame
}

/// Maps a page, with the tables that are missing.
pub(super) fn map(
    store: &mut Store,
    vspace: Cap<VSpace>,
    frame: Cap<SmallPage>,
    address: usize,
    rights: CapRights,
) {
    let attributes = VmAttributes::default();
    loop {
        match frame.map(vspace, address as u64, rights, attributes) {
            Ok(()) => return,
            Err(Error::FailedLookup { .. }) => {
                let table = store.object::<PageTable>();
                table
                    .map(vspace, address as u64, attributes)
                    .expect("to map a table");
            }
            Err(error) => panic!("to map a page: {error:?}"),
        }
    }
}
