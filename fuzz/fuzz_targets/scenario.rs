//! Any bytes as a scenario: see `docs/robustness.md`.

#![no_main]

use journalbench_fuzz::bad_input;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bad_input::scenario(bytes));
