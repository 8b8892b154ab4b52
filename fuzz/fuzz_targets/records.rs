//! Any lines as what a guest sends: no panic, and a line that is not the guest
//! half's ends the recording.
#![no_main]

use harness::wire::Inbox;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut inbox = Inbox::new("word".to_owned());
    for line in bytes.split(|byte| *byte == b'\n') {
        inbox.take(line);
    }
    let (records, spoilt) = inbox.finish();
    assert!(spoilt.is_some() || records.len() == bytes.split(|byte| *byte == b'\n').count());
});
