//! Dates in the output of `ps` and `images`: the day in local time.

use std::time::{SystemTime, UNIX_EPOCH};

use nix::libc;

/// The local day of `moment`, such as `2025-03-20`.
pub fn day(moment: SystemTime) -> String {
    let seconds = moment.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()) as libc::time_t;
    // SAFETY: `tm` is plain data. localtime_r reads one integer and writes one `tm`; both live
    // here.
    let tm = unsafe {
        let mut tm: libc::tm = std::mem::zeroed();
        libc::localtime_r(&raw const seconds, &raw mut tm);
        tm
    };
    format!("{:04}-{:02}-{:02}", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_day_is_written_as_in_the_transcripts() {
        // Noon UTC is the same day in nearly every time zone.
        let moment = UNIX_EPOCH + Duration::from_secs(20167 * 86400 + 43200);
        assert_eq!(day(moment), "2025-03-20");
    }
}
