//! A root task from elsewhere: written in C from the description of the interface, with a compiler, start-up code and
//! system call stubs of its own, and nothing of this workspace. It makes a tour of what such programs do.
//!
//! icount: both
//! config: PRINTING=true
//! config: DEBUG_BUILD=true
//! expect: foreign: all

#include "common.h"

// From the linker: where the image begins and ends.
extern const char __executable_start[], _end[];
extern void thread_start(void);

enum { PAGE = 4096, ROOT_DEPTH = 64, SERVER_BADGE = 0x5e1, SIGNAL_BADGE = 0x10, FAULT_BADGE = 0xfa };
enum { ECHO = 0x1234, TELL = 0x777, ECHOED = 0x4321 };

// Where pages are mapped: far from the image, so that every table of the way is missing.
static const word FAR = 0x123456789000 & ~0x3fffffffull;
static const word LATER = 0x20000000;

struct thread {
    word tcb, context;
};

static const struct boot_info *boot;
static word next_slot, pool;

static word endpoint, server_endpoint, fault_endpoint, faulter_endpoint;
static word signals, badged_signals, forever;
static word server_reply, fault_reply;

static char stacks[3][8192] __attribute__((aligned(16)));
static char buffers[3][PAGE] __attribute__((aligned(4096)));

static volatile word mover_steps, value_read, syscall_result;

static void step(const char *name)
{
    put("foreign: ");
    put(name);
    put("\n");
}

static word identify(word cap)
{
    return trap1(SYS_DEBUG_CAP_IDENTIFY, cap);
}

static word retype(word untyped, word type, word size_bits, word slot, word count)
{
    return INVOKE(untyped, UNTYPED_RETYPE, LIST(type, size_bits, 0, 0, slot, count), LIST(SLOT_CNODE));
}

static word make(word type, word size_bits)
{
    word slot = next_slot++;
    check_equal(retype(pool, type, size_bits, slot, 1), NO_ERROR, "an object is made");
    return slot;
}

static word mint(word source, word rights, word badge)
{
    word slot = next_slot++;
    word error = INVOKE(SLOT_CNODE, CNODE_MINT, LIST(slot, ROOT_DEPTH, source, ROOT_DEPTH, rights, badge),
                        LIST(SLOT_CNODE));
    check_equal(error, NO_ERROR, "a capability is minted");
    return slot;
}

// The boot information

static void look_at_untypeds(void)
{
    word count = boot->untyped.end - boot->untyped.start;
    int ram_seen = 0;
    check(count > 0 && count <= 230, "there are untypeds");
    for (word i = 0; i < count; i++) {
        const struct untyped *untyped = &boot->untyped_list[i];
        put("  untyped ");
        put_hex(untyped->paddr);
        put(" 2^");
        put_number(untyped->size_bits);
        put(untyped->is_device ? " device\n" : "\n");
        check(!(ram_seen && untyped->is_device), "devices come first");
        ram_seen |= !untyped->is_device;
        check(untyped->size_bits >= 4 && untyped->size_bits <= 47, "its size");
        check(!(untyped->paddr & ((1ull << untyped->size_bits) - 1)), "its alignment");
        check_equal(identify(boot->untyped.start + i), CAP_UNTYPED, "its capability");
        // The smallest that is large enough: its first use clears all of it.
        word chosen = pool - boot->untyped.start;
        if (!untyped->is_device && untyped->size_bits >= 20
            && (!pool || untyped->size_bits < boot->untyped_list[chosen].size_bits))
            pool = boot->untyped.start + i;
    }
    check(pool, "there is an untyped of 1 MiB");
}

static void look_at_boot_info(void)
{
    step("boot information");
    word pages = ((word)_end - (word)__executable_start + PAGE - 1) / PAGE;
    word image_end = (word)__executable_start + pages * PAGE;
    check(!((word)boot % PAGE), "the boot information begins a page");
    check_equal(boot->ipc_buffer, image_end, "the IPC buffer is behind the image");
    check_equal((word)boot, image_end + PAGE, "the boot information is behind the IPC buffer");
    check_equal(boot->image_frames.end - boot->image_frames.start, pages, "frames of the image");
    check(boot->num_nodes >= 1 && boot->node_id == 0, "cores");
    check_equal(boot->sched_control.end - boot->sched_control.start, boot->num_nodes, "SchedControl");
    check_equal(boot->cnode_size_bits, 12, "size of the capability space");
    check_equal(boot->empty.end, 4096, "free slots up to its end");
    check_equal(boot->num_iopt_levels | boot->domain | boot->shared_frames.end | boot->io_space.end, 0, "zeroes");
    put("  cores: ");
    put_number(boot->num_nodes);
    put(", free slots from ");
    put_number(boot->empty.start);
    put("\n");

    const word *chunk = (const word *)((word)boot + PAGE);
    check(boot->extra_len >= 16 && chunk[0] == 6 && chunk[1] == boot->extra_len, "one chunk, the device tree");
    check_equal(*(const uint32_t *)(chunk + 2), 0xedfe0dd0, "it begins as device trees do");

    const word kinds[][2] = {
        {0, CAP_NULL},
        {SLOT_TCB, CAP_THREAD},
        {SLOT_CNODE, CAP_CNODE},
        {SLOT_VSPACE, CAP_VSPACE},
        {SLOT_IRQ_CONTROL, CAP_IRQ_CONTROL},
        {SLOT_ASID_CONTROL, CAP_ASID_CONTROL},
        {SLOT_ASID_POOL, CAP_ASID_POOL},
        {SLOT_BOOT_INFO, CAP_FRAME},
        {SLOT_IPC_BUFFER, CAP_FRAME},
        {SLOT_DOMAIN, CAP_DOMAIN},
        {SLOT_SCHED_CONTEXT, CAP_SCHED_CONTEXT},
    };
    for (word i = 0; i < sizeof kinds / sizeof *kinds; i++)
        check_equal(identify(kinds[i][0]), kinds[i][1], "an initial capability");
    check_equal(identify(boot->sched_control.end - 1), CAP_SCHED_CONTROL, "the last core's SchedControl");
    check_equal(identify(boot->image_frames.start), CAP_FRAME, "a frame of the image");
    check_equal(identify(boot->image_paging.start), CAP_PAGE_TABLE, "a table of the image");
    check_equal(identify(boot->empty.start), CAP_NULL, "a free slot");
    look_at_untypeds();
}

// Objects

static void make_objects(void)
{
    step("objects");
    endpoint = make(OBJECT_ENDPOINT, 0);
    fault_endpoint = make(OBJECT_ENDPOINT, 0);
    signals = make(OBJECT_NOTIFICATION, 0);
    forever = make(OBJECT_NOTIFICATION, 0);
    server_reply = make(OBJECT_REPLY, 0);
    fault_reply = make(OBJECT_REPLY, 0);
    check_equal(identify(endpoint), CAP_ENDPOINT, "an endpoint");
    check_equal(identify(signals), CAP_NOTIFICATION, "a notification");
    check_equal(identify(server_reply), CAP_REPLY, "a reply object");
    check_equal(identify(make(OBJECT_CNODE, 4)), CAP_CNODE, "a CNode");
    server_endpoint = mint(endpoint, RIGHTS_ALL, SERVER_BADGE);
    faulter_endpoint = mint(fault_endpoint, RIGHTS_ALL, FAULT_BADGE);
    badged_signals = mint(signals, RIGHTS_ALL, SIGNAL_BADGE);
}

// Memory

// Maps a frame and, before, what tables are missing there. The result is how many those were.
static word map(word frame, word address)
{
    for (word tables = 0;; tables++) {
        word error = INVOKE(frame, PAGE_MAP, LIST(address, RIGHTS_READ_WRITE, ATTRIBUTES_DEFAULT), LIST(SLOT_VSPACE));
        if (error == NO_ERROR)
            return tables;
        check_equal(error, FAILED_LOOKUP, "a table is missing");
        check_equal(ipc()->msg[0], 0, "it is not a source that is missing");
        check_equal(ipc()->msg[1], MISSING_CAPABILITY, "it is missing");
        check(ipc()->msg[2] == 39 || ipc()->msg[2] == 30 || ipc()->msg[2] == 21, "at a level");
        word table = make(OBJECT_PAGE_TABLE, 0);
        error = INVOKE(table, PAGE_TABLE_MAP, LIST(address, ATTRIBUTES_DEFAULT), LIST(SLOT_VSPACE));
        check_equal(error, NO_ERROR, "a table is mapped");
    }
}

static void map_pages(void)
{
    step("memory");
    word frame = make(OBJECT_SMALL_PAGE, 0);
    check_equal(map(frame, FAR), 3, "three tables are missing");
    volatile word *page = (volatile word *)FAR;
    for (word i = 0; i < PAGE / sizeof(word); i++) {
        check_equal(page[i], 0, "a new page is zero");
        page[i] = ~i;
    }
    check_equal(page[511], ~511ull, "a page can be written");

    check_equal(INVOKE(frame, PAGE_GET_ADDRESS, NONE, NONE), NO_ERROR, "a page has an address");
    const struct untyped *untyped = &boot->untyped_list[pool - boot->untyped.start];
    word offset = ipc()->msg[0] - untyped->paddr;
    check(offset < 1ull << untyped->size_bits && !(offset % PAGE), "it is one of the untyped");

    // The same frame once more, by another capability.
    word other = mint(frame, RIGHTS_READ_WRITE, 0);
    check_equal(map(other, FAR + PAGE), 0, "no table is missing for the page beside it");
    check_equal(page[512], ~0ull, "it has the same content");
    check_equal(INVOKE(frame, PAGE_UNMAP, NONE, NONE), NO_ERROR, "a page is unmapped");
    check_equal(page[513], ~1ull, "the other mapping stays");
}

// Threads

static struct thread make_thread(word index, word core, word priority, void (*what)(word), word argument, word handler)
{
    struct thread thread = {make(OBJECT_TCB, 0), make(OBJECT_SCHED_CONTEXT, 8)};
    word buffer = (word)buffers[index];
    word frame = boot->image_frames.start + (buffer - (word)__executable_start) / PAGE;
    word error = INVOKE(boot->sched_control.start + core, SCHED_CONTROL_CONFIGURE_FLAGS,
                        LIST(10000, 10000, 0, 0x70 + index, 0), LIST(thread.context));
    check_equal(error, NO_ERROR, "a scheduling context is configured");
    error = INVOKE(thread.tcb, TCB_CONFIGURE, LIST(0, 0, buffer), LIST(SLOT_CNODE, SLOT_VSPACE, frame));
    check_equal(error, NO_ERROR, "a thread is configured");
    error = INVOKE(thread.tcb, TCB_SET_SCHED_PARAMS, LIST(254, priority), LIST(SLOT_TCB, thread.context, handler));
    check_equal(error, NO_ERROR, "a thread has its scheduling parameters");
    word stack = (word)stacks[index] + sizeof stacks[index];
    // Flag 1 starts it. Six registers: pc, sp, spsr, x0, x1, x2.
    error = INVOKE(thread.tcb, TCB_WRITE_REGISTERS,
                   LIST(1, 6, (word)thread_start, stack, 0, buffer, (word)what, argument), NONE);
    check_equal(error, NO_ERROR, "a thread is started");
    return thread;
}

// Messages

static void server(word unused)
{
    (void)unused;
    struct message message = receive(endpoint, server_reply);
    for (;;) {
        word length = length_of(message.info);
        // Another thread's floating point registers are not these.
        __asm__ volatile("fmov d8, xzr" ::: "v8");
        if (label_of(message.info) == TELL) {
            send(badged_signals, info(0, 0));
            length = 0;
        } else {
            for (word i = 0; i < length / 2; i++) {
                word saved = ipc()->msg[i];
                ipc()->msg[i] = ipc()->msg[length - 1 - i];
                ipc()->msg[length - 1 - i] = saved;
            }
            ipc()->msg[length++] = message.x0;
        }
        message = reply_and_receive(endpoint, server_reply, info(ECHOED, length));
    }
}

static void talk(void)
{
    step("messages");
    make_thread(0, 0, 200, server, 0, 0);
    word words[119], answer, d8;
    const word lengths[] = {0, 1, 4, 5, 20, 119};
    for (word i = 0; i < sizeof words / sizeof *words; i++)
        words[i] = i * 0x9e3779b97f4a7c15;
    for (word n = 0; n < sizeof lengths / sizeof *lengths; n++) {
        word length = lengths[n];
        __asm__ volatile("fmov d8, %0" ::"r"(0x4009000000000000 + n) : "v8");
        answer = call(server_endpoint, ECHO, words, length, NONE);
        __asm__ volatile("fmov %0, d8" : "=r"(d8)::"v8");
        check_equal(d8, 0x4009000000000000 + n, "floating point registers are a thread's own");
        check_equal(label_of(answer), ECHOED, "label of the answer");
        check_equal(length_of(answer), length + 1, "length of the answer");
        for (word i = 0; i < length; i++)
            check_equal(ipc()->msg[i], words[length - 1 - i], "a word of the answer");
        check_equal(ipc()->msg[length], SERVER_BADGE, "the badge that the server saw");
    }
    check_equal(length_of(call(endpoint, ECHO, NONE, NONE)), 1, "an answer without badge");
    check_equal(ipc()->msg[0], 0, "no badge");
}

static void signal_and_wait(void)
{
    step("signals");
    check_equal(poll(signals), 0, "no signal yet");
    call(server_endpoint, TELL, NONE, NONE);
    check_equal(wait_for(signals), SIGNAL_BADGE, "the server's signal");
    word other = mint(signals, RIGHTS_ALL, 0x101);
    send(other, info(0, 0));
    call(server_endpoint, TELL, NONE, NONE);
    check_equal(poll(signals), 0x101 | SIGNAL_BADGE, "badges add up");
    check_equal(poll(signals), 0, "and are gone then");
}

// Faults

static void faulter(word address)
{
    value_read = *(volatile word *)address;

    register word x0 __asm__("x0") = 0xaaa;
    register word x7 __asm__("x7") = -1000;
    __asm__ volatile("svc #0" : "+r"(x0) : "r"(x7) : "memory");
    syscall_result = x0;

    __asm__ volatile("brk #7");
    send(badged_signals, info(0, 0));
    for (;;)
        wait_for(forever);
}

static void handle_faults(void)
{
    step("faults");
    make_thread(1, 0, 200, faulter, LATER + 8, faulter_endpoint);

    struct message fault = receive(fault_endpoint, fault_reply);
    check_equal(fault.x0, FAULT_BADGE, "the handler's badge");
    check_equal(label_of(fault.info), VM_FAULT, "a fault of the address space");
    check_equal(length_of(fault.info), 4, "its length");
    check(ipc()->msg[0] >= (word)faulter && ipc()->msg[0] < (word)faulter + 64, "its instruction");
    check_equal(ipc()->msg[1], LATER + 8, "its address");
    check_equal(ipc()->msg[2], 0, "it is no instruction fetch");
    check_equal(ipc()->msg[3] >> 26, 0x24, "a data abort from user level");
    map(make(OBJECT_SMALL_PAGE, 0), LATER);
    *(volatile word *)(LATER + 8) = 0xfeedface;
    send(fault_reply, info(0, 0));

    fault = receive(fault_endpoint, fault_reply);
    check_equal(value_read, 0xfeedface, "what the thread read then");
    check_equal(label_of(fault.info), UNKNOWN_SYSCALL, "an unknown system call");
    check_equal(length_of(fault.info), 13, "its length");
    check_equal(ipc()->msg[0], 0xaaa, "x0");
    check_equal(ipc()->msg[7], -1000, "x7");
    check_equal(ipc()->msg[10], ipc()->msg[8] + 4, "the next instruction");
    check_equal(ipc()->msg[12], -1000, "its number");
    // The words go back as they came, but for the result and the place to go on.
    ipc()->msg[0] = 0xbbb;
    ipc()->msg[8] += 4;
    fault = reply_and_receive(fault_endpoint, fault_reply, info(0, 9));
    check_equal(syscall_result, 0xbbb, "the answer to the system call");
    check_equal(label_of(fault.info), USER_EXCEPTION, "an exception");
    check_equal(length_of(fault.info), 5, "its length");
    check_equal(ipc()->msg[3], 0xf2000007, "the syndrome of the breakpoint");
    ipc()->msg[0] += 4;
    send(fault_reply, info(0, 1));
    check_equal(wait_for(signals), SIGNAL_BADGE, "the thread went on");
}

// Cores

static void mover(word unused)
{
    (void)unused;
    for (;;) {
        for (int i = 0; i < 1000; i++)
            mover_steps++;
        send(badged_signals, info(0, 0));
    }
}

static void move_a_thread(void)
{
    step("cores");
    struct thread thread = make_thread(2, 0, 100, mover, 0, 0);
    for (word round = 0; round < 2 * boot->num_nodes; round++) {
        word core = (round + 1) % boot->num_nodes;
        word error = INVOKE(boot->sched_control.start + core, SCHED_CONTROL_CONFIGURE_FLAGS,
                            LIST(10000, 10000, 0, 0, 0), LIST(thread.context));
        check_equal(error, NO_ERROR, "a thread is moved");
        // There is no such call in a kernel for one core.
        if (boot->num_nodes > 1)
            check_equal(trap1(SYS_DEBUG_GET_THREAD_AFFINITY, thread.tcb), core, "where it is then");
        // One signal may wait already, and one may be about to be sent, its steps made. The third is a new one.
        word before = mover_steps;
        for (int i = 0; i < 3; i++)
            wait_for(signals);
        check(mover_steps > before, "it goes on");
    }
    check_equal(INVOKE(thread.tcb, TCB_SUSPEND, NONE, NONE), NO_ERROR, "it is stopped");
    poll(signals);
    word before = mover_steps;
    for (int i = 0; i < 100; i++)
        trap1(SYS_YIELD, 0);
    check(mover_steps == before && !poll(signals), "it does nothing then");
}

// Errors

static void provoke_errors(void)
{
    step("errors");
    word free_slot = next_slot++;
    word frame = make(OBJECT_SMALL_PAGE, 0);
    word scratch = make(OBJECT_UNTYPED, 12);

    check_equal(retype(pool, 99, 0, free_slot, 1), INVALID_ARGUMENT, "a type that is none");
    check_equal(ipc()->msg[0], 0, "which argument");
    check_equal(INVOKE(free_slot, TCB_SUSPEND, NONE, NONE), INVALID_CAPABILITY, "an empty slot is invoked");
    check_equal(ipc()->msg[0], 0, "which capability");
    check_equal(INVOKE(SLOT_TCB, 1000, NONE, NONE), ILLEGAL_OPERATION, "a label that is none");
    check_equal(INVOKE(SLOT_TCB, TCB_SET_PRIORITY, LIST(256), LIST(SLOT_TCB)), RANGE_ERROR, "a priority too high");
    check(ipc()->msg[0] == 0 && ipc()->msg[1] == 255, "the range of priorities");
    word error = INVOKE(frame, PAGE_MAP, LIST(LATER + 8, RIGHTS_READ_WRITE, 0), LIST(SLOT_VSPACE));
    check_equal(error, ALIGNMENT_ERROR, "an address inside a page");
    error = INVOKE(SLOT_CNODE, CNODE_COPY, LIST(next_slot, ROOT_DEPTH, free_slot, ROOT_DEPTH, RIGHTS_ALL),
                   LIST(SLOT_CNODE));
    check_equal(error, FAILED_LOOKUP, "an empty slot is copied");
    check(ipc()->msg[0] == 1 && ipc()->msg[1] == MISSING_CAPABILITY && ipc()->msg[2] == ROOT_DEPTH, "what is missing");
    check_equal(INVOKE(pool, UNTYPED_RETYPE, LIST(OBJECT_ENDPOINT, 0), NONE), TRUNCATED_MESSAGE, "too few words");
    check_equal(retype(pool, OBJECT_ENDPOINT, 0, frame, 1), DELETE_FIRST, "a slot in use");
    error = INVOKE(SLOT_CNODE, CNODE_COPY, LIST(free_slot, ROOT_DEPTH, pool, ROOT_DEPTH, RIGHTS_ALL), LIST(SLOT_CNODE));
    check_equal(error, REVOKE_FIRST, "an untyped in use is copied");
    check_equal(retype(scratch, OBJECT_ENDPOINT, 0, free_slot, 257), RANGE_ERROR, "too many objects");
    check(ipc()->msg[0] == 1 && ipc()->msg[1] == 256, "the range of numbers");
    check_equal(retype(scratch, OBJECT_UNTYPED, 13, free_slot, 1), NOT_ENOUGH_MEMORY, "too large");
    check_equal(ipc()->msg[0], PAGE, "bytes that are free");

    // Taking back what an untyped was used for.
    word first = next_slot;
    next_slot += 4;
    check_equal(retype(scratch, OBJECT_NOTIFICATION, 0, first, 4), NO_ERROR, "four objects");
    error = INVOKE(SLOT_CNODE, CNODE_DELETE, LIST(first, ROOT_DEPTH), NONE);
    check_equal(error, NO_ERROR, "one is deleted");
    check(identify(first) == CAP_NULL && identify(first + 3) == CAP_NOTIFICATION, "the others are there");
    error = INVOKE(SLOT_CNODE, CNODE_REVOKE, LIST(scratch, ROOT_DEPTH), NONE);
    check_equal(error, NO_ERROR, "all are revoked");
    for (word i = 0; i < 4; i++)
        check_equal(identify(first + i), CAP_NULL, "a revoked object");
    check_equal(retype(scratch, OBJECT_SMALL_PAGE, 0, first, 1), NO_ERROR, "the memory is used again");
}

word root_main(const struct boot_info *boot_info)
{
    boot = boot_info;
    next_slot = boot->empty.start;
    set_ipc(boot->ipc_buffer);
    look_at_boot_info();
    make_objects();
    map_pages();
    talk();
    signal_and_wait();
    handle_faults();
    move_a_thread();
    provoke_errors();
    put("foreign: all ");
    put_number(checks_done());
    put(" checks are good\n");
    return 0;
}
