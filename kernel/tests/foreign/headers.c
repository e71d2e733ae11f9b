// Compiles if the headers that `cargo xtask sdk` writes say of this configuration what C programs ask of them. It is
// never run.

#include <autoconf.h>

#if !defined(CONFIG_KERNEL_MCS) || !CONFIG_KERNEL_MCS
#error "the kernel has the MCS extensions"
#endif
#if CONFIG_ARCH_AARCH64 != 1 || CONFIG_WORD_SIZE != 64
#error "the processor is AArch64"
#endif
// What is off is not defined, so both ways to ask give no.
#if defined(CONFIG_ARM_HYPERVISOR_SUPPORT) || CONFIG_ARM_HYPERVISOR_SUPPORT
#error "the kernel is no hypervisor"
#endif
#ifdef CONFIG_ENABLE_SMP_SUPPORT
_Static_assert(CONFIG_MAX_NUM_NODES > 1, "several cores");
#else
_Static_assert(CONFIG_MAX_NUM_NODES == 1, "one core");
#endif
_Static_assert(CONFIG_NUM_PRIORITIES == 256, "priorities");
_Static_assert(CONFIG_MAX_NUM_BOOTINFO_UNTYPED_CAPS == 230, "untypeds in the boot information");
_Static_assert(CONFIG_ROOT_CNODE_SIZE_BITS >= 8, "root CNode");
_Static_assert(CONFIG_PADDR_USER_DEVICE_TOP > 1ull << 32, "physical addresses");

// As libsel4 declares its stubs.
static CONFIG_LIB_SEL4_FUNCTION_ATTRIBUTE int stub(void)
{
    return CONFIG_BOOT_THREAD_TIME_SLICE;
}

int use_stub(void)
{
    return stub();
}
