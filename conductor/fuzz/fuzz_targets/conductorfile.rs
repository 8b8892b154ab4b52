//! Every text is a Conductorfile or an error that points into it. A printed Conductorfile parses to
//! itself.
#![no_main]

use std::path::Path;

use conductor::image::conductorfile::Conductorfile;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let parse = |text: &str| Conductorfile::parse(Path::new("Conductorfile"), text, ["debian:bookworm"]);
    match parse(text) {
        Ok(file) => {
            let printed = file.to_string();
            assert_eq!(parse(&printed).map(|again| again.to_string()), Ok(printed));
        }
        Err(error) => {
            let line = text.trim_start_matches('\u{feff}').lines().nth(error.line - 1).unwrap_or_default();
            assert_eq!(line, error.text);
            assert!(error.column <= line.chars().count() + 1);
            assert!(!error.to_string().is_empty());
        }
    }
});
