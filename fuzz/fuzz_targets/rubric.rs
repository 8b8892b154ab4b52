//! Any bytes as a rubric: it is read, or refused with a sentence; no panic.
#![no_main]

use harness::rubric::Rubric;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), bytes).expect("its content");
    if let Err(error) = Rubric::load(Some(file.path())) {
        assert!(!error.to_string().is_empty());
    }
});
