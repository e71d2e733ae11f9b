// The interface as far as these programs use it, written down from its description and from no header of anybody's:
// numbers, layouts, and the system calls.

#pragma once

#include <stddef.h>
#include <stdint.h>

typedef uint64_t word;

enum {
    SYS_CALL = -1,
    SYS_REPLY_RECV = -2,
    SYS_SEND = -5,
    SYS_RECV = -7,
    SYS_WAIT = -9,
    SYS_NB_WAIT = -10,
    SYS_YIELD = -11,
    SYS_DEBUG_PUT_CHAR = -12,
    SYS_DEBUG_CAP_IDENTIFY = -15,
    SYS_DEBUG_GET_THREAD_AFFINITY = -19,
};

enum {
    NO_ERROR,
    INVALID_ARGUMENT,
    INVALID_CAPABILITY,
    ILLEGAL_OPERATION,
    RANGE_ERROR,
    ALIGNMENT_ERROR,
    FAILED_LOOKUP,
    TRUNCATED_MESSAGE,
    DELETE_FIRST,
    REVOKE_FIRST,
    NOT_ENOUGH_MEMORY,
};

enum { MISSING_CAPABILITY = 2 };

enum { UNKNOWN_SYSCALL = 2, USER_EXCEPTION = 3, VM_FAULT = 6 };

enum {
    UNTYPED_RETYPE = 1,
    TCB_WRITE_REGISTERS = 3,
    TCB_CONFIGURE = 5,
    TCB_SET_PRIORITY = 6,
    TCB_SET_SCHED_PARAMS = 8,
    TCB_SUSPEND = 12,
    CNODE_REVOKE = 18,
    CNODE_DELETE = 19,
    CNODE_COPY = 21,
    CNODE_MINT = 22,
    SCHED_CONTROL_CONFIGURE_FLAGS = 33,
    PAGE_TABLE_MAP = 44,
    PAGE_MAP = 46,
    PAGE_UNMAP = 47,
    PAGE_GET_ADDRESS = 52,
};

enum {
    OBJECT_UNTYPED,
    OBJECT_TCB,
    OBJECT_ENDPOINT,
    OBJECT_NOTIFICATION,
    OBJECT_CNODE,
    OBJECT_SCHED_CONTEXT,
    OBJECT_REPLY,
    OBJECT_SMALL_PAGE = 9,
    OBJECT_PAGE_TABLE = 11,
};

// What DebugCapIdentify answers.
enum {
    CAP_NULL = 0,
    CAP_FRAME = 1,
    CAP_UNTYPED = 2,
    CAP_PAGE_TABLE = 3,
    CAP_ENDPOINT = 4,
    CAP_NOTIFICATION = 6,
    CAP_REPLY = 8,
    CAP_VSPACE = 9,
    CAP_CNODE = 10,
    CAP_ASID_CONTROL = 11,
    CAP_THREAD = 12,
    CAP_ASID_POOL = 13,
    CAP_IRQ_CONTROL = 14,
    CAP_DOMAIN = 20,
    CAP_SCHED_CONTEXT = 22,
    CAP_SCHED_CONTROL = 24,
};

enum {
    SLOT_TCB = 1,
    SLOT_CNODE = 2,
    SLOT_VSPACE = 3,
    SLOT_IRQ_CONTROL = 4,
    SLOT_ASID_CONTROL = 5,
    SLOT_ASID_POOL = 6,
    SLOT_BOOT_INFO = 9,
    SLOT_IPC_BUFFER = 10,
    SLOT_DOMAIN = 11,
    SLOT_SCHED_CONTEXT = 14,
};

enum { RIGHTS_ALL = 15, RIGHTS_READ_WRITE = 3, ATTRIBUTES_DEFAULT = 3 };

struct region {
    word start, end;
};

struct untyped {
    word paddr;
    uint8_t size_bits, is_device, padding[6];
};

struct boot_info {
    word extra_len, node_id, num_nodes, num_iopt_levels, ipc_buffer;
    struct region empty, shared_frames, image_frames, image_paging, io_space, extra_pages;
    word cnode_size_bits, domain;
    struct region sched_control, untyped;
    struct untyped untyped_list[230];
};

struct ipc_buffer {
    word tag, msg[120], user_data, caps_or_badges[3], receive_cnode, receive_index, receive_depth;
};

_Static_assert(sizeof(struct boot_info) == 3864, "boot information");
_Static_assert(sizeof(struct ipc_buffer) == 1024, "IPC buffer");

// x0 to x5 of a system call: a capability going in and a badge coming out, message information, four words.
struct message {
    word x0, info, words[4];
};

static inline word info(word label, word length)
{
    return label << 12 | length;
}

static inline word info_with_caps(word label, word caps, word length)
{
    return label << 12 | caps << 7 | length;
}

static inline word label_of(word info)
{
    return info >> 12;
}

static inline word length_of(word info)
{
    return info & 127;
}

// x6 is the reply object of calls that receive.
static inline void trap(long number, struct message *message, word reply)
{
    register word x0 __asm__("x0") = message->x0;
    register word x1 __asm__("x1") = message->info;
    register word x2 __asm__("x2") = message->words[0];
    register word x3 __asm__("x3") = message->words[1];
    register word x4 __asm__("x4") = message->words[2];
    register word x5 __asm__("x5") = message->words[3];
    register word x6 __asm__("x6") = reply;
    register long x7 __asm__("x7") = number;
    __asm__ volatile("svc #0"
                     : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3), "+r"(x4), "+r"(x5)
                     : "r"(x6), "r"(x7)
                     : "memory");
    message->x0 = x0;
    message->info = x1;
    message->words[0] = x2;
    message->words[1] = x3;
    message->words[2] = x4;
    message->words[3] = x5;
}

static inline word trap1(long number, word x0)
{
    struct message message = {.x0 = x0};
    trap(number, &message, 0);
    return message.x0;
}

// Every thread keeps the address of its IPC buffer in its thread pointer.
static inline struct ipc_buffer *ipc(void)
{
    struct ipc_buffer *buffer;
    __asm__("mrs %0, tpidr_el0" : "=r"(buffer));
    return buffer;
}

static inline void set_ipc(word buffer)
{
    __asm__ volatile("msr tpidr_el0, %0" ::"r"(buffer) : "memory");
}
