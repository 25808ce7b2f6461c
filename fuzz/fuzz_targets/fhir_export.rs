#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    keepwell_fuzz_targets::interop::fhir_export(bytes);
});
