//! The steps of a boot, in order.

use crate::cores::{self, Cores, ENTRY};
use crate::memory;
use crate::print::{self, fail, say};
use aarch64_cpu::registers::{ID_AA64MMFR0_EL1, Readable};
use core::arch::global_asm;
use core::mem::offset_of;
use core::panic::PanicInfo;
use core::sync::atomic::Ordering;
use tern_platform::board::{BoardInfo, CoreStart, List, Region, Regions};
use tern_platform::dtb;
use tern_platform::handover::{
    self, Handover, KERNEL_BASE, STACK_BASE, STACK_SIZE, STACK_STRIDE, WINDOW_BASE, WINDOW_SIZE,
};
use tern_platform::image;
use tern_platform::load::elf::{self, Plan};
use tern_platform::load::place::{Free, PlaceError, trim_to_window};
use tern_platform::load::tables::{Access, Builder, MAIR, MapError, Root, Table};
use tern_platform::payload::Header;

const PAGE: u64 = 4096;
const MIB: u64 = 1 << 20;
/// Where QEMU's virt machine leaves the device tree for programs that it does not tell.
const FALLBACK_DTB: u64 = 0x4000_0000;
/// Device trees are never this large.
const MAX_DTB: usize = 16 << 20;
/// SCTLR_EL1: what must be 1, MMU and caches off.
const SCTLR_OFF: u64 = 0x30d0_0800;
/// SCTLR_EL1: MMU, data cache, instruction cache.
const SCTLR_ON: u64 = 1 | 1 << 2 | 1 << 12;
/// Relocation that adds the load address.
const R_AARCH64_RELATIVE: u32 = 0x403;

global_asm!(
    include_str!("start.s"),
    text_offset = const image::TEXT_OFFSET,
    flags = const image::FLAGS,
    magic = const image::MAGIC,
    relative = const R_AARCH64_RELATIVE,
    sctlr_off = const SCTLR_OFF,
    boot = sym boot,
    exception = sym exception,
    slots = sym cores::SLOTS,
    slot_count = const cores::SLOTS.len(),
    slot_size = const size_of::<cores::Slot>(),
    slot_mpidr = const offset_of!(cores::Slot, mpidr),
    slot_arrived = const offset_of!(cores::Slot, arrived),
    slot_number = const offset_of!(cores::Slot, number),
    entry = sym ENTRY,
    entry_mair = const offset_of!(cores::Entry, mair),
    entry_ttbr0 = const offset_of!(cores::Entry, ttbr0),
    entry_sctlr = const offset_of!(cores::Entry, sctlr),
    entry_stacks = const offset_of!(cores::Entry, stack_base),
    entry_arguments = const offset_of!(cores::Entry, arguments),
);

/// Where the parts of the system are in physical memory.
struct Places {
    kernel: Region,
    root: Region,
    dtb: Region,
    /// Stacks, then the `Handover`, then the tables in use.
    tables: Region,
}

/// First Rust code on the boot core. `dtb` is what firmware passed, `base` where the loader is, `level` the exception
/// level at entry.
extern "C" fn boot(dtb: u64, base: u64, level: u64) -> ! {
    let blob = find_device_tree(dtb);
    let mut board = match dtb::parse(blob) {
        Ok(board) => board,
        Err(error) => fail!("{error}"),
    };
    print::use_port(&board.console);
    say!("Tern loader: {}", board.model.as_str());
    if level == 3 {
        fail!("entered at EL3: firmware must start the image at EL2 or EL1");
    }
    check_board(&mut board);

    let payload = find_payload();
    let header = match Header::parse(payload) {
        Ok(header) => header,
        Err(error) => fail!("{error}"),
    };
    let (kernel_file, root_file) = match (header.kernel(payload), header.root(payload)) {
        (Ok(kernel), Ok(root)) => (kernel, root),
        (Err(error), _) | (_, Err(error)) => fail!("{error}"),
    };
    let kernel = plan("kernel", kernel_file, Plan::check_kernel);
    let root = plan("root task", root_file, Plan::check_root);

    let original = Region::new(
        blob.as_ptr().expose_provenance() as u64,
        blob.as_ptr().expose_provenance() as u64 + blob.len() as u64,
    );
    let occupied = Region::new(base, memory::loader().end + header.total_len);
    let mut free = match Free::new(&board, &[occupied, original]) {
        Ok(free) => free,
        Err(error) => fail!("{error}"),
    };
    // Checked above by `parse`.
    let dtb_len = dtb::used_size(blob).unwrap_or(blob.len());
    let kernel_size = kernel.span().end - KERNEL_BASE;
    let places = Places {
        kernel: take(&mut free, "the kernel", kernel_size, 2 * MIB),
        dtb: take(&mut free, "the device tree", dtb_len as u64, PAGE),
        root: take(&mut free, "the root task", root.span().len(), PAGE),
        tables: Region::EMPTY,
    };
    // SAFETY: free memory that is ours now.
    let kernel_image = unsafe { memory::values_mut(places.kernel) };
    kernel.load(kernel_file, KERNEL_BASE, kernel_image);
    // SAFETY: free memory that is ours now.
    let root_image = unsafe { memory::values_mut(places.root) };
    root.load(root_file, root.span().start, root_image);
    // SAFETY: free memory that is ours now.
    let dtb_copy: &mut [u8] = unsafe { memory::values_mut(places.dtb) };
    let (copy, rest) = dtb_copy.split_at_mut(dtb_len);
    copy.copy_from_slice(&blob[..dtb_len]);
    dtb::set_size(copy);
    rest.fill(0);

    let limit = usize::try_from(header.max_cores).unwrap_or(usize::MAX);
    let cores = cores::start(&board, limit);
    if cores.missing && board.reserved.add(memory::loader()).is_err() {
        fail!("no room to keep the loader for a core that is late");
    }
    let places = prepare(&mut free, &board, &cores, &kernel, places);
    report(&board, &cores, level, &places, &kernel, &root);

    let arguments = [
        places.root.start,
        places.root.end,
        places.root.start.wrapping_sub(root.span().start),
        root.entry,
        places.dtb.start,
        dtb_len as u64,
        handover_address(&places, &cores),
    ];
    for (place, value) in ENTRY.arguments.iter().zip(arguments) {
        place.store(value, Ordering::Relaxed);
    }
    ENTRY.address.store(kernel.entry, Ordering::Relaxed);
    let parts = [places.kernel, places.root, places.dtb, places.tables];
    for region in parts.into_iter().chain([memory::loader()]) {
        memory::drop_cached(region);
    }
    memory::drop_fetched();
    cores::enter(&cores)
}

/// The device tree that firmware passed, or that lies where QEMU puts it. Whatever is there has been checked for its
/// magic number and has a plausible size.
fn find_device_tree(passed: u64) -> &'static [u8] {
    let mut address = passed;
    if address == 0 {
        address = FALLBACK_DTB;
    }
    if !address.is_multiple_of(4) {
        fail!("firmware passes no device tree: x0 is {passed:#x}");
    }
    // SAFETY: firmware says that a device tree is here. If that is not so, whatever is here is read and refused.
    let start = unsafe { memory::bytes(Region::new(address, address + 40)) };
    match dtb::size(start) {
        // SAFETY: as above: it starts like a device tree of this size.
        Ok(size) if size <= MAX_DTB => unsafe {
            memory::bytes(Region::new(address, address + size as u64))
        },
        Ok(size) => fail!("the device tree at {address:#x} claims to have {size} bytes"),
        Err(error) => fail!(
            "no device tree at {address:#x} (x0 is {passed:#x}): {error}; boot the raw image, with a device tree"
        ),
    }
}

/// What the device tree reader cannot know.
fn check_board(board: &mut BoardInfo) {
    match trim_to_window(board) {
        Ok(0) => {}
        Ok(lost) => say!(
            "  {} MiB of memory above {} GiB are not used",
            lost / MIB,
            WINDOW_SIZE >> 30
        ),
        Err(error) => fail!("{error}"),
    }
    let own = cores::own_mpidr();
    if !board.cpus.iter().any(|cpu| cpu.mpidr == own) {
        fail!("the device tree does not name the boot core, {own:#x}");
    }
    for device in devices(board).iter() {
        if device.end > WINDOW_SIZE {
            fail!("device registers at {device} are out of the kernel's reach");
        }
        if board.memory.iter().any(|memory| memory.overlaps(device)) {
            fail!("device registers at {device} are in the middle of memory");
        }
    }
}

/// Pages of device registers that the kernel will use.
fn devices(board: &BoardInfo) -> Regions<16> {
    let mut devices = List::new(Region::EMPTY);
    let console = board.console.registers;
    for region in board.kernel_devices().chain([console]) {
        if !region.is_empty() && devices.add(region.widened(PAGE)).is_err() {
            fail!("too many device registers");
        }
    }
    devices
}

/// What follows the loader in memory, as far as its header says.
fn find_payload() -> &'static [u8] {
    let start = memory::loader().end;
    // SAFETY: part of the image, which xtask made at least this long.
    let head = unsafe { memory::bytes(Region::new(start, start + PAGE)) };
    match Header::parse(head) {
        // SAFETY: part of the image, by its header.
        Ok(header) if header.total_len <= 1 << 30 => unsafe {
            memory::bytes(Region::new(start, start + header.total_len))
        },
        Ok(header) => fail!("the payload claims to have {} bytes", header.total_len),
        Err(error) => fail!("{error}"),
    }
}

fn plan(name: &str, file: &[u8], check: fn(&Plan) -> Result<(), elf::ElfError>) -> Plan {
    let checked = elf::plan(file).and_then(|plan| check(&plan).map(|()| plan));
    match checked {
        Ok(plan) => plan,
        Err(error) => fail!("{name}: {error}"),
    }
}

fn take(free: &mut Free, name: &str, size: u64, align: u64) -> Region {
    let whole = size
        .checked_next_multiple_of(PAGE)
        .ok_or(PlaceError::NoRoom(size));
    match whole.and_then(|size| free.take(size, align)) {
        Ok(region) => region,
        Err(error) => fail!("{name}: {error}"),
    }
}

/// Bytes of all stacks; the `Handover` follows.
fn stacks_size(cores: &Cores) -> u64 {
    cores.count as u64 * STACK_SIZE
}

fn handover_address(places: &Places, cores: &Cores) -> u64 {
    places.tables.start + stacks_size(cores)
}

/// Takes memory for stacks, `Handover` and tables, and fills it and `ENTRY`.
fn prepare(
    free: &mut Free,
    board: &BoardInfo,
    cores: &Cores,
    kernel: &Plan,
    places: Places,
) -> Places {
    // Enough for the worst board: two tables for each end of each region, and the kernel's pages. What is not used
    // stays free, since it is the last thing taken.
    let table_count = 192 + places.kernel.len() / (2 * MIB);
    let handover_size = u64::from(Handover::SIZE).next_multiple_of(PAGE);
    let tables_at = stacks_size(cores) + handover_size;
    let size = tables_at + table_count * size_of::<Table>() as u64;
    let taken = take(free, "translation tables", size, PAGE);
    let mut places = Places {
        tables: taken,
        ..places
    };

    let start = taken.start + tables_at;
    // SAFETY: free memory that is ours now, and any bytes make a table.
    let tables = unsafe { memory::values_mut(Region::new(start, taken.end)) };
    let mut builder = Builder::new(tables, start);
    let (ttbr0, ttbr1) = match address_spaces(&mut builder, board, cores, kernel, &places) {
        Ok(roots) => roots,
        Err(error) => fail!("the kernel's address space: {error}"),
    };
    ENTRY.ttbr0.store(builder.address(ttbr0), Ordering::Relaxed);
    ENTRY.ttbr1.store(builder.address(ttbr1), Ordering::Relaxed);
    ENTRY.mair.store(MAIR, Ordering::Relaxed);
    ENTRY.tcr.store(tcr(), Ordering::Relaxed);
    ENTRY.sctlr.store(SCTLR_OFF | SCTLR_ON, Ordering::Relaxed);
    ENTRY.stack_base.store(STACK_BASE, Ordering::Relaxed);
    ENTRY.stack_stride.store(STACK_STRIDE, Ordering::Relaxed);
    places.tables.end = builder.used().end;

    let at = core::ptr::with_exposed_provenance_mut(handover_address(&places, cores) as usize);
    let handover = Handover {
        magic: handover::MAGIC,
        version: handover::VERSION,
        size: Handover::SIZE,
        num_cores: cores.count as u64,
        kernel: places.kernel,
        tables: places.tables,
        mpidr: cores.mpidr,
        board: *board,
    };
    // SAFETY: page-aligned memory that is ours, between the stacks and the tables.
    unsafe { core::ptr::write(at, handover) };
    places
}

/// The passing address space, with the loader where it is, and the kernel's.
fn address_spaces(
    builder: &mut Builder<'_>,
    board: &BoardInfo,
    cores: &Cores,
    kernel: &Plan,
    places: &Places,
) -> Result<(Root, Root), MapError> {
    let low = builder.root()?;
    let loader = memory::loader();
    builder.map(low, loader.start, loader, Access::Passing)?;

    let high = builder.root()?;
    for segment in &kernel.segments {
        let pages = segment.memory.widened(PAGE);
        let offset = pages.start - KERNEL_BASE;
        let start = places.kernel.start + offset;
        let access = match (segment.executable, segment.writable) {
            (true, _) => Access::Code,
            (_, true) => Access::Data,
            _ => Access::Constant,
        };
        let physical = Region::new(start, start + pages.len());
        builder.map(high, pages.start, physical, access)?;
    }
    for core in 0..cores.count {
        let start = places.tables.start + core as u64 * STACK_SIZE;
        let stack = Region::new(start, start + STACK_SIZE);
        let address = handover::stack_top(core) - STACK_SIZE;
        builder.map(high, address, stack, Access::Data)?;
    }
    for memory in &board.memory {
        // The kernel's own pages have one mapping only.
        for part in [
            memory.intersection(&Region::new(0, places.kernel.start)),
            memory.intersection(&Region::new(places.kernel.end, u64::MAX)),
        ] {
            builder.map(high, WINDOW_BASE + part.start, part, Access::Data)?;
        }
    }
    for device in &devices(board) {
        builder.map(high, WINDOW_BASE + device.start, *device, Access::Device)?;
    }
    Ok((low, high))
}

/// TCR_EL1: two halves of 48 bits, 4 KiB granule, tables in shareable write-back memory, large ASIDs if there are any.
fn tcr() -> u64 {
    let half = 16 | 0b01 << 8 | 0b01 << 10 | 0b11 << 12;
    let granule = 0b10 << 30;
    let features = ID_AA64MMFR0_EL1.get();
    // 48 bits at most: more needs another format of tables.
    let physical_size = (features & 0xf).min(5) << 32;
    let large_asids = if features >> 4 & 0xf == 2 { 1 << 36 } else { 0 };
    half | half << 16 | granule | physical_size | large_asids
}

fn report(
    board: &BoardInfo,
    cores: &Cores,
    level: u64,
    places: &Places,
    kernel: &Plan,
    root: &Plan,
) {
    let how = match board.start {
        CoreStart::None => "no core start",
        CoreStart::PsciHvc => "PSCI by HVC",
        CoreStart::PsciSmc => "PSCI by SMC",
        CoreStart::SpinTable => "spin table",
    };
    say!(
        "  {} MiB of memory, GICv{}, {} of {} cores ({how}), entered at EL{level}",
        board.memory.total() / MIB,
        board.gic.version,
        cores.count,
        board.cpus.len(),
    );
    say!(
        "  kernel at {}, enters at {:#x}",
        places.kernel,
        kernel.entry
    );
    say!(
        "  root task at {}, enters at {:#x}",
        places.root,
        root.entry
    );
}

/// An exception in the loader itself.
extern "C" fn exception(syndrome: u64, address: u64, fault: u64) -> ! {
    let offset = address.wrapping_sub(memory::loader().start);
    fail!("exception: ESR {syndrome:#x} at {address:#x} (loader + {offset:#x}), address {fault:#x}")
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    say!("tern-loader: {info}");
    print::backtrace();
    print::end()
}
