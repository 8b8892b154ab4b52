//! `sleep` in the guest of a slow machine. A script that waits two seconds for what it has just
//! started counts on a machine of today's speed; under emulation the same work takes many times as
//! long, and a correct script would lose its race. There its seconds are longer, too.
//!
//! [`install`] puts it ahead of the real one in the usual PATH, as a link to the guest half;
//! started under that name, the guest half runs [`main`], which becomes the real one. What has
//! another PATH, or its own way to wait, waits as long as it says.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// The name under which [`main`] is started.
pub const NAME: &str = "sleep";
/// Ahead of the real one.
const LINK: &str = "/usr/local/bin/sleep";
/// The real one.
const REAL: &str = "/usr/bin/sleep";
/// How many times as long.
const SETTINGS: &str = "/run/harness-sleep";

/// How many times as long a second is where the machine is `slowdown` times slower than the
/// reference machine. Scripts leave some room, so it need not be as much; and a script that only
/// waits must not take for ever.
pub fn stretch(slowdown: f64) -> f64 {
    (slowdown / 5.0).clamp(1.0, 5.0)
}

/// Makes every `sleep` take `times` as long. Needs the running program's own file
/// to stay where it is.
///
/// # Errors
/// When /run or /usr/local/bin cannot be written.
pub fn install(times: f64) -> io::Result<()> {
    fs::write(SETTINGS, times.to_string())?;
    let _ = fs::remove_file(LINK);
    std::os::unix::fs::symlink(std::env::current_exe()?, LINK)
}

/// Does what was asked on the command line: `arguments` without the program's name.
pub fn main(arguments: &[String]) -> ExitCode {
    let times = fs::read_to_string(SETTINGS).ok().and_then(|text| text.parse().ok());
    let stretched = times.and_then(|times: f64| stretched(arguments, times));
    let error = Command::new(REAL).args(stretched.as_deref().unwrap_or(arguments)).exec();
    eprintln!("{REAL}: {error}");
    ExitCode::from(127)
}

/// The arguments times so much; nothing where they are not all numbers as sleep(1) takes them.
fn stretched(arguments: &[String], times: f64) -> Option<Vec<String>> {
    let stretch = |argument: &String| {
        let (number, unit) = argument.split_at(argument.trim_end_matches(['s', 'm', 'h', 'd']).len());
        let number: f64 = number.parse().ok().filter(|number: &f64| number.is_finite() && unit.len() < 2)?;
        Some(format!("{}{unit}", number * times))
    };
    arguments.iter().map(stretch).collect()
}

#[cfg(test)]
mod tests {
    use super::{stretch, stretched};

    fn of(arguments: &[&str]) -> Option<Vec<String>> {
        stretched(&arguments.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>(), 4.0)
    }

    #[test]
    fn numbers_with_or_without_a_unit_become_longer_and_all_else_stays_as_it_is() {
        assert_eq!(of(&["2", "0.5s", "1m"]), Some(vec!["8".to_owned(), "2s".to_owned(), "4m".to_owned()]));
        for others in [["infinity"], ["--help"], ["2x"], ["2ms"], ["s"]] {
            assert_eq!(of(&others), None, "{others:?}");
        }
    }

    #[test]
    fn a_machine_of_todays_speed_stretches_nothing() {
        assert!((stretch(1.2) - 1.0).abs() < f64::EPSILON);
        assert!((stretch(20.0) - 4.0).abs() < f64::EPSILON);
        assert!((stretch(80.0) - 5.0).abs() < f64::EPSILON);
    }
}
