//! `index.html`: the report as one page that opens from a disk, with no network and no server.
//!
//! A submission's text reaches the page in three ways only: through maud, which escapes it; as
//! cells of a terminal emulator that ran on this host; and in a JSON data block whose `<` are
//! escaped. The page's policy lets nothing run but the one script below.

mod checks;
mod cpu;
mod document;
mod figures;
mod layers;
mod network;
mod overview;
mod processes;
mod proof;
mod replay;
mod session;
mod size;
mod status;
mod timeline;
mod value;

use maud::html;

use crate::evidence::Bundle;
use crate::verdict::Report;

/// The page's largest size in bytes.
pub const MAX_BYTES: usize = 2 << 20;

/// The page of a judged run and the evidence that it rests on.
pub fn render(report: &Report, bundle: &Bundle) -> String {
    let mut budget = size::Budget::new();
    // What lost marks takes the budget first; the order on the page is another one.
    let details = checks::all(report, bundle, &mut budget);
    let body = html! {
        (overview::head(report))
        (overview::contents(report))
        main id="main" {
            (overview::marks(report))
            (overview::first(report))
            (overview::next(report))
            (details)
            (overview::run(report, &timeline::of(bundle)))
        }
    };
    document::page(&overview::title(report), &body).into_string()
}
