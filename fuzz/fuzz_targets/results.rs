//! Any bytes as results, or as the counts of a histogram: see `docs/robustness.md`.

#![no_main]

use journalbench_fuzz::bad_input;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // What is no JSON at all tells nothing of results, but may be a histogram.
    if bytes.first() == Some(&b'{') { bad_input::results(bytes) } else { bad_input::histogram(bytes) }
});
