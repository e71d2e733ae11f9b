//! A device tree from firmware: a board, or an error that names the problem.

use tern_platform::board::{BoardInfo, Region};
use tern_platform::dtb;

/// The library of user programs reads trees too.
use libsel4::machine::Machine;

const PAGE: u64 = 4096;

pub fn run(data: &[u8]) {
    let _ = Machine::from_device_tree(data).map(|machine| machine.memory_size());
    let size = dtb::size(data);
    let used = dtb::used_size(data);
    let board = dtb::parse(data);
    if let Err(error) = &board {
        assert!(!error.to_string().is_empty());
    }
    let Ok(used) = used else {
        // Whatever is a board has a structure that was checked.
        assert!(board.is_err());
        return;
    };
    let size = size.expect("a checked tree has a size");
    assert!(used <= size && size <= data.len());
    // What lies behind the tree does not matter, nor does room inside it behind the last block.
    assert_eq!(dtb::parse(&data[..size]), board);
    let mut trimmed = data[..used].to_vec();
    dtb::set_size(&mut trimmed);
    assert_eq!(dtb::size(&trimmed), Ok(used));
    assert_eq!(
        dtb::used_size(&trimmed),
        Ok(used),
        "trimmed once is trimmed"
    );
    assert_eq!(dtb::parse(&trimmed), board, "the trimmed tree");
    if let Ok(board) = board {
        check(&board);
    }
}

/// What the loader and the kernel rely on.
fn check(board: &BoardInfo) {
    sorted_pages(&board.memory, "memory");
    sorted_pages(&board.reserved, "reserved");
    assert!(!board.memory.is_empty() && !board.cpus.is_empty());
    assert!(
        board
            .cpus
            .iter()
            .all(|cpu| cpu.mpidr & !0xff_00ff_ffff == 0)
    );
    let gic = &board.gic;
    assert!(gic.pad == 0 && !gic.distributor.is_empty());
    match gic.version {
        2 => assert!(!gic.cpu_interface.is_empty() && gic.redistributors.is_empty()),
        3 => assert!(gic.cpu_interface.is_empty() && !gic.redistributors.is_empty()),
        version => panic!("interrupt controller of version {version}"),
    }
    for device in board.kernel_devices() {
        assert!(!device.is_empty() && device.start % PAGE == 0 && device.end % PAGE == 0);
    }
    assert!(
        (16..32).contains(&board.timer_ppi),
        "the timer's interrupt is a core's own"
    );
    assert!(
        board
            .model
            .as_str()
            .bytes()
            .all(|b| (0x20..0x7f).contains(&b))
    );
}

/// Whole pages, in order, none next to another one.
fn sorted_pages(regions: &[Region], what: &str) {
    for region in regions {
        assert!(!region.is_empty(), "an empty piece: {what}");
        assert!(
            region.start % PAGE == 0 && region.end % PAGE == 0,
            "{what}: {region}"
        );
    }
    assert!(
        regions.windows(2).all(|pair| pair[0].end < pair[1].start),
        "{what}: {regions:?}"
    );
}
