//! Every text is a settings file: parsing ends, it assigns only names in the text, and every
//! unknown value has a line of the text.
#![no_main]

use std::path::Path;

use conductor::settings::file::{Assignments, Unreadable};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let read = Assignments::parse(text, Path::new("/srv"), &|name| (name == "HOME").then(|| "/root".into()));
    for name in ["X", "DEFAULT_IFC", "IMAGEDIR", "BASE_MIRRORS"] {
        for error in [read.get(name).err(), read.table(name).err()].into_iter().flatten() {
            let (Unreadable::Value { line, .. } | Unreadable::Execution { line, .. }) = error;
            assert!((1..=text.matches('\n').count() + 1).contains(&line), "{name}: {error}");
        }
        if read.get(name) != Ok(None) {
            assert!(text.contains(name), "{name}");
        }
    }
});
