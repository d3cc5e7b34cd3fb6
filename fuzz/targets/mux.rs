#![no_main]

libfuzzer_sys::fuzz_target!(
    |bytes: &[u8]| (tests::decoders::named(env!("CARGO_BIN_NAME")).decode)(bytes)
);
