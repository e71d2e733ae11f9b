//! A program that never ends by itself, as most root tasks from elsewhere. It is no test of its own: the options of
//! `cargo xtask run` that end such a run are tried with it.

#include "common.h"

word root_main(const struct boot_info *boot)
{
    set_ipc(boot->ipc_buffer);
    for (word tick = 1; tick <= 5; tick++) {
        put("endless: tick ");
        put_number(tick);
        put("\n");
        trap1(SYS_YIELD, 0);
    }
    // A notification that nobody else knows.
    word smallest = 0;
    for (word i = 0; i < boot->untyped.end - boot->untyped.start; i++)
        if (!boot->untyped_list[i].is_device && boot->untyped_list[i].size_bits >= 6
            && (!smallest || boot->untyped_list[i].size_bits < boot->untyped_list[smallest].size_bits))
            smallest = i;
    word error = INVOKE(boot->untyped.start + smallest, UNTYPED_RETYPE,
                        LIST(OBJECT_NOTIFICATION, 0, 0, 0, boot->empty.start, 1), LIST(SLOT_CNODE));
    check_equal(error, NO_ERROR, "a notification is made");
    for (;;)
        wait_for(boot->empty.start);
}
