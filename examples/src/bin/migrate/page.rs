//! Step 5: a page goes from core 0 to the last core as a capability in a message, and is taken back.
//!
//! A writer on core 0 fills a page and calls a reader on the last core; with the message goes a copy of the frame's
//! capability. The reader maps it, reads it, answers with what it found, and goes on reading. Then the first thread revokes
//! the frame: the reader's capability disappears with its mapping, on a core that is using it, and the next read is a fault.
//! The fault arrives at its handler as a message; the handler puts another page there and answers, and the reader goes on.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering};

use libsel4::{
    Cap, CapRights, Endpoint, Error, Fault, Message, Page, Reply, ResourceError, SlotPath,
    SmallPage, Thread, ThreadBuilder, VmAttributes, debug, init, ipc_buffer,
};

use crate::Tour;
use crate::clock::Clock;
use crate::counter::own_core;

/// Bytes of a page.
const PAGE: usize = SmallPage::SIZE as usize;
/// Words of a page.
const WORDS: usize = PAGE / size_of::<u64>();
/// The first word of the page that the handler puts in.
const REPLACED: u64 = 0x7e41_ace0;
/// How often the reader reads before the frame is revoked: it is in the middle of it then.
const READS_BEFORE: u64 = 1_000;
/// The badge of the fault handler's capability.
const HANDLER_BADGE: u64 = 0x5a;

/// Where things are.
#[derive(Clone, Copy)]
struct Places {
    /// Where the writer sees the page.
    written: usize,
    /// Where the reader maps it.
    read: usize,
    /// Where the reader receives the capability.
    slot: SlotPath,
    endpoint: Cap<Endpoint>,
    reply: Cap<Reply>,
}

/// What the writer saw.
struct Written {
    core: Option<usize>,
    sum: u64,
    answer: u64,
    cost: u64,
}

/// What the reader saw.
struct Read {
    core: Option<usize>,
    caps: usize,
    mapped: Result<(), Error>,
    /// The first word after the fault.
    last: u64,
}

pub(crate) fn step(tour: &mut Tour) -> Result<(), ResourceError> {
    tour.report
        .begin("A page travels by message from core 0 to the last core, and is revoked");
    tour.report
        .introduce('W', "fills a page and sends its capability");
    tour.report
        .introduce('M', "maps the page that it was sent, and reads");
    let last = tour.system.cores() - 1;
    let attributes = VmAttributes::default() | VmAttributes::EXECUTE_NEVER;

    // Two pages of addresses side by side, so that the tables are there for both when the first is mapped.
    let addresses = tour.system.addresses(2 * PAGE, 2 * PAGE)?;
    let frame = tour.system.object::<SmallPage>()?;
    tour.system.map_at(
        init::VSPACE,
        frame,
        addresses.start,
        CapRights::READ_WRITE,
        attributes,
    )?;
    let places = Places {
        written: addresses.start,
        read: addresses.start + PAGE,
        slot: tour.system.slot()?,
        endpoint: tour.system.endpoint()?,
        reply: tour.system.reply()?,
    };
    let faults = tour.system.endpoint()?;
    let handler = tour.system.mint(faults, CapRights::all(), HANDLER_BADGE)?;

    let reads = Arc::new(AtomicU64::new(0));
    let ready = tour.system.notification()?;
    let its_reads = reads.clone();
    let reader = ThreadBuilder::new("reader")
        .core(last)
        .fault_handler(handler)
        .spawn(&mut tour.system, move || {
            let (caps, mapped, core) = receive(&places);
            let last = read_until_replaced(places.read, &its_reads, || ready.signal());
            Read {
                core,
                caps,
                mapped,
                last,
            }
        })?;
    let clock = tour.clock;
    let writer = ThreadBuilder::new("writer")
        .spawn(&mut tour.system, move || send(&places, frame, clock))?;
    let written = writer.join(&mut tour.system)?;
    tour.report
        .check_core('W', "the writer filled and sent it", 0, written.core);
    tour.report.check_equal(
        "sum of its words, in the reader's answer",
        written.sum,
        written.answer,
    );
    tour.report.cost(
        "a frame sent to the last core, mapped, read, answered",
        written.cost,
    );

    // The reader is now in the middle of reading.
    ready.wait();
    let start = tour.clock.now();
    frame.slot().revoke()?;
    tour.report.cost(
        "revoke of a frame mapped on the last core",
        tour.clock.now() - start,
    );
    let left = debug::cap_identify(libsel4::Null::at(places.slot.index));
    tour.report
        .check_equal("type of capability left to the reader (0: none)", 0, left);

    handle_fault(tour, &places, faults, &reader)?;
    conclude(tour, reader, last, &reads)?;

    tour.system.delete_copy(handler)?;
    tour.system.destroy(faults)?;
    tour.system.destroy(ready)?;
    tour.system.destroy(places.endpoint)?;
    tour.system.destroy(places.reply)?;
    tour.system.free_slot(places.slot);
    tour.system.destroy(frame)?;
    tour.system.free_addresses(addresses);
    Ok(())
}

/// The writer: fills the page, and sends it.
fn send(places: &Places, frame: Cap<SmallPage>, clock: Clock) -> Written {
    let mut sum = 0_u64;
    for index in 0..WORDS {
        let word = (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        sum = sum.wrapping_add(word);
        let place = (places.written as *mut u64).wrapping_add(index);
        // SAFETY: the page is mapped here for this thread, readable and writable, and has this many words.
        unsafe { ptr::write_volatile(place, word) };
    }
    let start = clock.now();
    let answer = places.endpoint.call(Message::new(0).cap(frame));
    Written {
        core: own_core(),
        sum,
        answer: answer.get(0),
        cost: clock.now() - start,
    }
}

/// The reader: receives the capability, maps it, answers with the sum of what it reads.
fn receive(places: &Places) -> (usize, Result<(), Error>, Option<usize>) {
    ipc_buffer::set_receive_slot(places.slot);
    let request = places.endpoint.recv(places.reply);
    let caps = request.message.extra_caps();
    let page: Cap<SmallPage> = Cap::from_bits(places.slot.index);
    let attributes = VmAttributes::default() | VmAttributes::EXECUTE_NEVER;
    let mapped = page.map(
        init::VSPACE,
        places.read as u64,
        CapRights::READ,
        attributes,
    );
    let sum = match mapped {
        Ok(()) => (0..WORDS).fold(0_u64, |sum, index| {
            sum.wrapping_add(read_word(places.read, index))
        }),
        Err(_) => 0,
    };
    places.reply.send(Message::new(0).word(sum));
    (caps, mapped, own_core())
}

fn read_word(page: usize, index: usize) -> u64 {
    // SAFETY: the page is mapped, or else the read is a fault that the handler deals with.
    unsafe { ptr::read_volatile((page as *const u64).wrapping_add(index)) }
}

/// Reads until another page is there.
fn read_until_replaced(page: usize, reads: &AtomicU64, ready: impl Fn()) -> u64 {
    loop {
        let word = read_word(page, 0);
        if reads.fetch_add(1, Ordering::Relaxed) + 1 == READS_BEFORE {
            ready();
        }
        if word == REPLACED {
            return word;
        }
    }
}

/// The handler of the reader's faults, in this thread: looks at the fault, puts another page there, answers.
fn handle_fault(
    tour: &mut Tour,
    places: &Places,
    faults: Cap<Endpoint>,
    reader: &Thread<Read>,
) -> Result<(), ResourceError> {
    let reply = tour.system.reply()?;
    let received = faults.recv(reply);
    tour.report.check_equal(
        "badge of the fault's message",
        HANDLER_BADGE,
        received.badge,
    );
    let fault = Fault::from_received(&received);
    let expected = format!("a memory fault, reading {:#x}", places.read);
    let good = matches!(fault, Some(Fault::VmFault { address, is_instruction: false, .. })
        if address == places.read as u64);
    let seen = fault.map_or_else(
        || format!("label {}", received.label()),
        |fault| format!("{fault}"),
    );
    tour.report
        .check(good, "the reader's next read", expected, seen);
    tour.report.saw('M', reader.affinity().unwrap_or(0));

    let other = tour.system.object::<SmallPage>()?;
    let attributes = VmAttributes::default() | VmAttributes::EXECUTE_NEVER;
    tour.system.map_at(
        init::VSPACE,
        other,
        places.read,
        CapRights::READ_WRITE,
        attributes,
    )?;
    // SAFETY: the page was just mapped here, readable and writable; the reader is stopped at its fault.
    unsafe { ptr::write_volatile(places.read as *mut u64, REPLACED) };
    reply.send(Message::new(0));
    reader.wait()?;
    tour.system.destroy(other)?;
    tour.system.destroy(reply)
}

fn conclude(
    tour: &mut Tour,
    reader: Thread<Read>,
    last: usize,
    reads: &AtomicU64,
) -> Result<(), ResourceError> {
    let read = reader.join(&mut tour.system)?;
    tour.report
        .check_core('M', "the reader received and mapped it", last, read.core);
    tour.report
        .check_equal("capabilities that arrived", 1, read.caps);
    let mapped = read
        .mapped
        .map_or_else(|error| format!("{error}"), |()| String::from("mapped"));
    tour.report
        .check(read.mapped.is_ok(), "the reader maps it", "mapped", mapped);
    tour.report.check(
        read.last == REPLACED,
        "first word after the handler's answer",
        format_args!("{REPLACED:#x}"),
        format_args!(
            "{:#x}, after {} reads",
            read.last,
            reads.load(Ordering::Relaxed)
        ),
    );
    Ok(())
}
