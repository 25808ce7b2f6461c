#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    keepwell_fuzz_targets::interop::ccda_document(bytes);
});
