// What these programs share: the console, checks, messages, and the end of the run.

#include "common.h"

static word good_checks;

static void put_char(char letter)
{
    trap1(SYS_DEBUG_PUT_CHAR, (unsigned char)letter);
}

void put(const char *text)
{
    while (*text)
        put_char(*text++);
}

void put_hex(word number)
{
    put("0x");
    int shift = 60;
    while (shift > 0 && !(number >> shift & 15))
        shift -= 4;
    for (; shift >= 0; shift -= 4)
        put_char("0123456789abcdef"[number >> shift & 15]);
}

void put_number(word number)
{
    char digits[21];
    char *next = digits + 20;
    *next = 0;
    do {
        *--next = '0' + number % 10;
        number /= 10;
    } while (number);
    put(next);
}

void check(int good, const char *what)
{
    if (good) {
        good_checks++;
        return;
    }
    put("FAIL: ");
    put(what);
    put("\n");
    finish(1);
}

void check_equal(word seen, word expected, const char *what)
{
    if (seen != expected) {
        put("expected ");
        put_hex(expected);
        put(", saw ");
        put_hex(seen);
        put("\n");
    }
    check(seen == expected, what);
}

word checks_done(void)
{
    return good_checks;
}

_Noreturn void finish(word status)
{
    // Semihosting SYS_EXIT, for an application that ends by itself.
    const word block[2] = {0x20026, status};
    register word operation __asm__("x0") = 0x18;
    register const word *parameters __asm__("x1") = block;
    for (;;)
        __asm__ volatile("hlt #0xf000" : "+r"(operation) : "r"(parameters) : "memory");
}

static void load(struct message *message)
{
    for (int i = 0; i < 4; i++)
        message->words[i] = ipc()->msg[i];
}

static void store(const struct message *message)
{
    for (int i = 0; i < 4; i++)
        ipc()->msg[i] = message->words[i];
}

word call(word cap, word label, const word *words, word length, const word *caps, word cap_count)
{
    struct message message = {.x0 = cap, .info = info_with_caps(label, cap_count, length)};
    for (word i = 0; i < length; i++)
        ipc()->msg[i] = words[i];
    for (word i = 0; i < cap_count; i++)
        ipc()->caps_or_badges[i] = caps[i];
    load(&message);
    trap(SYS_CALL, &message, 0);
    store(&message);
    return message.info;
}

struct message receive(word endpoint, word reply)
{
    struct message message = {.x0 = endpoint};
    trap(SYS_RECV, &message, reply);
    store(&message);
    return message;
}

struct message reply_and_receive(word endpoint, word reply, word info)
{
    struct message message = {.x0 = endpoint, .info = info};
    load(&message);
    trap(SYS_REPLY_RECV, &message, reply);
    store(&message);
    return message;
}

void send(word cap, word info)
{
    struct message message = {.x0 = cap, .info = info};
    load(&message);
    trap(SYS_SEND, &message, 0);
}

word wait_for(word notification)
{
    return trap1(SYS_WAIT, notification);
}

word poll(word notification)
{
    return trap1(SYS_NB_WAIT, notification);
}

// The compiler may ask for these.
void *memset(void *to, int value, size_t length)
{
    volatile unsigned char *bytes = to;
    for (size_t i = 0; i < length; i++)
        bytes[i] = (unsigned char)value;
    return to;
}

void *memcpy(void *to, const void *from, size_t length)
{
    volatile unsigned char *bytes = to;
    const unsigned char *others = from;
    for (size_t i = 0; i < length; i++)
        bytes[i] = others[i];
    return to;
}
