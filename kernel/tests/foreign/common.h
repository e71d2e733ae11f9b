// What these programs share: the console, checks, messages, and the end of the run.

#pragma once

#include "sel4.h"

void put(const char *text);
void put_hex(word number);
void put_number(word number);

// Counts what is as it should be; the first thing that is not ends the run with status 1.
void check(int good, const char *what);
void check_equal(word seen, word expected, const char *what);
word checks_done(void);

// Ends the run, through the emulator.
_Noreturn void finish(word status);

// Sends `length` words, the first four in registers and the others in the IPC buffer, and receives an answer, all of
// which is in the IPC buffer afterwards. The result is its message information.
word call(word cap, word label, const word *words, word length, const word *caps, word cap_count);

// Receives a message; all of it is in the IPC buffer afterwards.
struct message receive(word endpoint, word reply);
// Answers the last message with what is in the IPC buffer, and receives the next one.
struct message reply_and_receive(word endpoint, word reply, word info);
// Sends what is in the IPC buffer.
void send(word cap, word info);
// Waits for a signal; the result is the badge.
word wait_for(word notification);
word poll(word notification);

// Lists of words for `call`.
#define LIST(...) (const word[]){__VA_ARGS__}, sizeof((const word[]){__VA_ARGS__}) / sizeof(word)
#define NONE NULL, 0

// Invokes a kernel object; the result is the error code.
#define INVOKE(cap, label, words, caps) label_of(call(cap, label, words, caps))
