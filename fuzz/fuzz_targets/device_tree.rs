#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tern_fuzz_targets::device_tree::run(data));
