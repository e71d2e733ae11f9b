//! The configuration as user-level builds read it: a flat list of keys, as JSON and as a C header.
//!
//! The keys are all those of seL4's configuration for AArch64, because a build that asks for a key that is not there
//! fails. Where Tern has a key of that name, its value is Tern's. The others have the values of seL4's configuration
//! for this board and processor; those that concern the inside of seL4's kernel are kept at their defaults and say
//! nothing about Tern. Every value is a truth value or a text; numbers are text.

use crate::boards::Machine;
use crate::config::KernelConfig;
use crate::sdk::json::Json;
use std::fmt::Write;

/// Every key of the kernel's part, in the order in which they are written. Those that [`Facts::value`] does not know
/// are off.
const KEYS: &str = "
    ARM_HIKEY_OUTSTANDING_PREFETCHERS ARM_HIKEY_PREFETCHER_STRIDE ARM_HIKEY_PREFETCHER_NPFSTRM
    ARM_HIKEY_PREFETCHER_STBPFDIS ARM_HIKEY_PREFETCHER_STBPFRS PLAT_IMX7
    ARCH_AARCH32 ARCH_AARCH64 ARCH_ARM_HYP ARCH_RISCV32 ARCH_RISCV64 ARCH_X86_64 ARCH_IA32 SEL4_ARCH
    ARCH_ARM ARCH_RISCV ARCH_X86 ARCH WORD_SIZE ARM_PLAT
    PLAT_ALLWINNERA20 PLAT_AM335X PLAT_APQ8064 PLAT_ARIANE PLAT_BCM2711 PLAT_BCM2712 PLAT_BCM2837 PLAT_CHESHIRE
    PLAT_HIFIVE_P550 PLAT_EXYNOS4 PLAT_EXYNOS5 PLAT_FVP PLAT_HIFIVE PLAT_HIKEY PLAT_IMX6 PLAT_IMX7_SABRE
    PLAT_IMX8MQ_EVK PLAT_IMX8MM_EVK PLAT_IMX8MP_EVK PLAT_IMX93 PLAT_MAAXBOARD PLAT_ODROIDC2 PLAT_ODROIDC4 PLAT_OMAP3
    PLAT_PC99 PLAT_POLARFIRE PLAT_QEMU_ARM_VIRT PLAT_QEMU_RISCV_VIRT PLAT_QUARTZ64 PLAT_RK3568 PLAT_ROCKETCHIP
    PLAT_ROCKPRO64 PLAT_BANANAPIF3 PLAT_SPIKE PLAT_STAR64 PLAT_STM32MP2 PLAT_TK1 PLAT_TQMA8XQP1GB PLAT_TX1 PLAT_TX2
    PLAT_ZYNQ7000 PLAT_ZYNQMP PLAT
    ARM_CORTEX_A7 ARM_CORTEX_A8 ARM_CORTEX_A9 ARM_CORTEX_A15 ARM_CORTEX_A35 ARM_CORTEX_A53 ARM_CORTEX_A55
    ARM_CORTEX_A57 ARM_CORTEX_A72 ARM_CORTEX_A76 ARCH_ARM_V7A ARCH_ARM_V7VE ARCH_ARM_V8A
    AARCH64_SERROR_IGNORE TIMER_FREQUENCY ARM_MACH KERNEL_MCS ARM_PA_SIZE_BITS_40 ARM_PA_SIZE_BITS_44 ARM_ICACHE_VIPT
    DEBUG_DISABLE_L2_CACHE DEBUG_DISABLE_L1_ICACHE DEBUG_DISABLE_L1_DCACHE DEBUG_DISABLE_BRANCH_PREDICTION
    ARM_HYPERVISOR_SUPPORT ARM_GIC_V3_SUPPORT AARCH64_VSPACE_S2_START_L1 ARM_HYP_ENABLE_VCPU_CP14_SAVE_AND_RESTORE
    ARM_ERRATA_430973 ARM_ERRATA_773022 ARM_SMMU TK1_SMMU ENABLE_A9_PREFETCHER EXPORT_PMU_USER DISABLE_WFI_WFE_TRAPS
    SMMU_INTERRUPT_ENABLE AARCH32_FPU_ENABLE_CONTEXT_SWITCH AARCH64_USER_CACHE_ENABLE ALLOW_SMC_CALLS
    ARM_TLS_REG_TPIDRU ARM_TLS_REG_TPIDRURO ARM_TLS_REG L1_CACHE_LINE_SIZE_BITS ARM_HAS_TLB_LOCK HAVE_FPU
    PADDR_USER_DEVICE_TOP ROOT_CNODE_SIZE_BITS BOOT_THREAD_TIME_SLICE RETYPE_FAN_OUT_LIMIT
    MAX_NUM_WORK_UNITS_PER_PREEMPTION RESET_CHUNK_BITS MAX_NUM_BOOTINFO_UNTYPED_CAPS
    FASTPATH EXCEPTION_FASTPATH NUM_DOMAINS NUM_DOMAIN_SCHEDULES SIGNAL_FASTPATH NUM_PRIORITIES MAX_NUM_NODES
    ENABLE_SMP_SUPPORT KERNEL_STACK_BITS VERIFICATION_BUILD BINARY_VERIFICATION_BUILD DEBUG_BUILD HARDWARE_DEBUG_API
    PRINTING KERNEL_INVOCATION_REPORT_ERROR_IPC NO_BENCHMARKS BENCHMARK_GENERIC BENCHMARK_TRACK_KERNEL_ENTRIES
    BENCHMARK_TRACEPOINTS BENCHMARK_TRACK_UTILISATION KERNEL_BENCHMARK ENABLE_BENCHMARKS KERNEL_LOG_BUFFER
    MAX_NUM_TRACE_POINTS IRQ_REPORTING COLOUR_PRINTING USER_STACK_TRACE_LENGTH
    KERNEL_OPT_LEVEL_O2 KERNEL_OPT_LEVEL_OS KERNEL_OPT_LEVEL_O0 KERNEL_OPT_LEVEL_O1 KERNEL_OPT_LEVEL_O3
    KERNEL_OPT_LEVEL KERNEL_OPTIMISATION_CLONE_FUNCTIONS KERNEL_FWHOLE_PROGRAM DANGEROUS_CODE_INJECTION
    DEBUG_DISABLE_PREFETCHERS SET_TLS_BASE_SELF KERNEL_WCET_SCALE KERNEL_STATIC_MAX_PERIOD_US
    CLZ_32 CLZ_64 CTZ_32 CTZ_64 CLZ_NO_BUILTIN CTZ_NO_BUILTIN
    EXPORT_PCNT_USER EXPORT_VCNT_USER EXPORT_PTMR_USER EXPORT_VTMR_USER VTIMER_UPDATE_VOFFSET";

/// How seL4 calls a board of ours.
struct Platform {
    name: &'static str,
    family: &'static str,
    key: &'static str,
    /// Of the counter, in hertz. Tern reads it from the processor.
    frequency: u64,
}

fn platform(board: &str) -> Platform {
    match board {
        "rpi4" => Platform {
            name: "rpi4",
            family: "bcm2711",
            key: "PLAT_BCM2711",
            frequency: 54_000_000,
        },
        _ => Platform {
            name: "qemu-arm-virt",
            family: "qemu-arm-virt",
            key: "PLAT_QEMU_ARM_VIRT",
            frequency: 62_500_000,
        },
    }
}

/// What the keys follow.
struct Facts<'a> {
    config: &'a KernelConfig,
    platform: Platform,
    /// seL4's key for the processor; some models have none.
    processor: String,
    address_bits: u32,
    gic: u32,
}

/// Bits of physical addresses that the kernel hands out on this processor, as far as seL4 has a key for it.
pub(crate) fn address_bits(cpu: &str) -> u32 {
    match cpu.split(',').next().unwrap_or_default() {
        "cortex-a35" | "cortex-a53" | "cortex-a55" | "cortex-a76" | "cortex-a710" => 40,
        _ => 44,
    }
}

/// The kernel's part: `kernel/gen_config`.
pub(crate) fn kernel(machine: &Machine, config: &KernelConfig) -> Vec<(String, Json)> {
    let facts = Facts {
        config,
        platform: platform(machine.board.name),
        processor: format!("ARM_{}", machine.cpu.to_uppercase().replace('-', "_")),
        address_bits: address_bits(&machine.cpu),
        gic: machine.gic,
    };
    KEYS.split_whitespace()
        .map(|key| (key.to_string(), facts.value(key)))
        .collect()
}

/// The library's part: `sel4/gen_config`. Choices of libsel4's own; these are its defaults.
pub(crate) fn library() -> Vec<(String, Json)> {
    [
        ("LIB_SEL4_INLINE_INVOCATIONS", Json::Bool(true)),
        ("LIB_SEL4_DEFAULT_FUNCTION_ATTRIBUTES", Json::Bool(false)),
        ("LIB_SEL4_PUBLIC_SYMBOLS", Json::Bool(false)),
        ("LIB_SEL4_FUNCTION_ATTRIBUTE", Json::from("inline")),
        ("LIB_SEL4_STUBS_USE_IPC_BUFFER_ONLY", Json::Bool(false)),
        ("LIB_SEL4_PRINT_INVOCATION_ERRORS", Json::from("0")),
        ("LIB_SEL4_USE_THREAD_LOCALS", Json::Bool(true)),
    ]
    .map(|(key, value)| (key.to_string(), value))
    .into()
}

impl Facts<'_> {
    fn value(&self, key: &str) -> Json {
        if let Some(value) = self.config.get(key) {
            return match value {
                "true" => Json::Bool(true),
                "false" => Json::Bool(false),
                text => Json::from(text),
            };
        }
        let number = |number: u64| Json::Text(number.to_string());
        let printing = self.config.get("PRINTING") == Some("true");
        match key {
            "ARCH_AARCH64"
            | "ARCH_ARM"
            | "ARCH_ARM_V8A"
            | "KERNEL_MCS"
            | "HAVE_FPU"
            | "AARCH64_USER_CACHE_ENABLE"
            | "ARM_TLS_REG_TPIDRU"
            | "NO_BENCHMARKS" => Json::Bool(true),
            "ARCH" => Json::from("arm"),
            "SEL4_ARCH" => Json::from("aarch64"),
            "WORD_SIZE" => Json::from("64"),
            "ARM_TLS_REG" => Json::from("tpidru"),
            "ARM_MACH" => Json::from(""),

            "ARM_PLAT" => Json::from(self.platform.name),
            "PLAT" => Json::from(self.platform.family),
            "TIMER_FREQUENCY" => number(self.platform.frequency),
            "ARM_PA_SIZE_BITS_40" => Json::Bool(self.address_bits == 40),
            "ARM_PA_SIZE_BITS_44" => Json::Bool(self.address_bits == 44),
            "PADDR_USER_DEVICE_TOP" => number(1 << self.address_bits),
            "ARM_ICACHE_VIPT" if self.processor == "ARM_CORTEX_A53" => Json::Bool(true),
            "ARM_ICACHE_VIPT" => Json::from(""),
            "ARM_GIC_V3_SUPPORT" => Json::Bool(self.gic == 3),

            "ENABLE_SMP_SUPPORT" => Json::Bool(self.config.number("MAX_NUM_NODES") > Some(1)),
            "NUM_PRIORITIES" => number(u64::from(sel4_abi::MAX_PRIORITY) + 1),
            "NUM_DOMAINS" => number(1),
            "NUM_DOMAIN_SCHEDULES" => number(2),
            "MAX_NUM_BOOTINFO_UNTYPED_CAPS" => number(sel4_abi::MAX_BOOT_INFO_UNTYPEDS as u64),
            "IRQ_REPORTING" | "COLOUR_PRINTING" => Json::Bool(printing),
            "USER_STACK_TRACE_LENGTH" => number(if printing { 16 } else { 0 }),
            "KERNEL_BENCHMARK" => Json::from("none"),

            // The inside of seL4's kernel.
            "KERNEL_OPT_LEVEL_O2" | "KERNEL_OPTIMISATION_CLONE_FUNCTIONS" => Json::Bool(true),
            "KERNEL_OPT_LEVEL" => Json::from("-O2"),
            "KERNEL_STACK_BITS" => number(12),
            "RESET_CHUNK_BITS" => number(8),
            "L1_CACHE_LINE_SIZE_BITS" => number(6),
            "MAX_NUM_TRACE_POINTS"
            | "KERNEL_STATIC_MAX_PERIOD_US"
            | "ARM_HIKEY_OUTSTANDING_PREFETCHERS"
            | "ARM_HIKEY_PREFETCHER_STRIDE"
            | "ARM_HIKEY_PREFETCHER_NPFSTRM" => number(0),

            _ => Json::Bool(key == self.platform.key || key == self.processor),
        }
    }
}

/// The same as a C header: what is off is not defined, and only mentioned.
pub(crate) fn header(keys: &[(String, Json)]) -> String {
    let mut text = String::from("/* Written by `cargo xtask sdk`. */\n#pragma once\n\n");
    for (key, value) in keys {
        let _ = match value {
            Json::Bool(false) => writeln!(text, "/* disabled: CONFIG_{key} */"),
            Json::Bool(true) => writeln!(text, "#define CONFIG_{key}  1"),
            Json::Text(token) => writeln!(text, "#define CONFIG_{key}  {token}"),
            other => unreachable!("{key} is {other}, neither truth value nor text"),
        };
    }
    text
}

#[cfg(test)]
pub(crate) fn keys() -> impl Iterator<Item = &'static str> {
    KEYS.split_whitespace()
}
