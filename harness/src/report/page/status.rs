//! A status as a sign and a word: nobody needs its colour to read it.

use maud::{Markup, html};

use crate::verdict::Status;

/// The sign of a status.
pub fn sign(status: Status) -> &'static str {
    match status {
        Status::Pass => "✓",
        Status::Fail => "✗",
        Status::Partial => "◐",
        Status::Skip => "–",
        Status::Error => "!",
    }
}

/// The status in the reader's words.
pub fn word(status: Status) -> &'static str {
    match status {
        Status::Pass => "passed",
        Status::Fail => "failed",
        Status::Partial => "partly passed",
        Status::Skip => "could not be judged",
        Status::Error => "no verdict",
    }
}

/// The class of a status, for the style.
pub fn class(status: Status) -> &'static str {
    match status {
        Status::Pass => "pass",
        Status::Fail => "fail",
        Status::Partial => "partial",
        Status::Skip => "skip",
        Status::Error => "error",
    }
}

/// A status as a badge.
pub fn badge(status: Status) -> Markup {
    html! {
        span class={ "badge " (class(status)) } {
            span aria-hidden="true" { (sign(status)) } " " (word(status))
        }
    }
}
