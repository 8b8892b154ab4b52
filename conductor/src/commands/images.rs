//! `conductor images`.

use std::io::{self, BufWriter, Write};
use std::time::UNIX_EPOCH;

use serde_json::json;

use crate::commands::Outcome;
use crate::commands::cli::Listing;
use crate::commands::listing::day;
use crate::image::catalog;
use crate::settings::Settings;
use crate::state::store::Store;

/// Lists images with their size and date, as a table or as JSON.
pub fn run(settings: &Settings, args: &Listing) -> Outcome {
    let images = catalog::list(&Store::new(settings))?;
    let mut stdout = BufWriter::new(io::stdout().lock());
    if args.json {
        let objects: Vec<_> = images
            .iter()
            .map(|image| {
                let built = image.built.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
                json!({"name": image.name.as_str(), "size": image.size, "built": built, "layers": image.layers})
            })
            .collect();
        writeln!(stdout, "{:#}", json!(objects))?;
    } else if images.is_empty() {
        writeln!(stdout, "No images found")?;
    } else {
        writeln!(stdout, "{:<20} {:<10} Date", "Name", "Size")?;
        for image in images {
            writeln!(stdout, "{:<20} {:<10} {}", image.name, short(image.size), day(image.built))?;
        }
    }
    stdout.flush()?;
    Ok(0)
}

/// Formats a number of bytes like `du -h`: at most three digits and a unit, rounded up.
fn short(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["K", "M", "G", "T", "P", "E"];
    let mut size = bytes as f64 / 1024.0;
    let mut unit = 0;
    while size.ceil() >= 1024.0 {
        size /= 1024.0;
        unit += 1;
    }
    let tenths = (size * 10.0).ceil() / 10.0;
    if bytes > 0 && tenths < 10.0 {
        format!("{tenths:.1}{}", UNITS[unit])
    } else {
        format!("{:.0}{}", size.ceil(), UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::short;

    #[test]
    fn sizes_are_written_as_du_writes_them() {
        for (bytes, text) in [
            (0, "0K"),
            (1, "0.1K"),
            (4096, "4.0K"),
            (10 << 10, "10K"),
            ((1 << 20) - 1, "1.0M"),
            (307 << 20, "307M"),
            ((307 << 20) + 1, "308M"),
            (3 << 30, "3.0G"),
            (u64::MAX, "16E"),
        ] {
            assert_eq!(short(bytes), text);
        }
    }
}
