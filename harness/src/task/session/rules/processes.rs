//! Compares the output of `ps`.

use super::super::{Likeness, Row, token};
use super::IN_ADDITION;

/// The command in a line of `ps`: what comes after the time.
fn command(line: &str) -> Option<&str> {
    let at = line.split_whitespace().find(|word| token::fits("[time]", word) || *word == "[time]")?;
    let rest = line[line.find(at)? + at.len()..].trim_start();
    Some(rest.trim_start_matches(['\\', '_', '|', ' ']).trim_end())
}

/// Processes are told apart by their command; the order of the trees depends on the PIDs.
pub(super) fn rows(asked: &[String], seen: &[String]) -> Vec<Row> {
    let mut left: Vec<&String> = seen.iter().collect();
    let mut rows = Vec::new();
    for asked in asked {
        let wanted = command(asked);
        let is_it = |seen: &str| match wanted {
            // `e` of `ps aef` appends the environment.
            Some(wanted) => command(seen).is_some_and(|command| {
                command.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
            }),
            None => command(seen).is_none() && seen.contains("PID"),
        };
        let found = left.iter().position(|seen| token::same(asked, seen) && is_it(seen));
        let found = found.or_else(|| left.iter().position(|seen| is_it(seen)));
        let Some(seen) = found.map(|at| left.remove(at)) else {
            rows.push(Row::of(Some(asked), None, None));
            continue;
        };
        if token::same(asked, seen) {
            rows.push(Row::new(Some(asked), Some(seen), Likeness::Same, ""));
        } else {
            rows.push(Row::of(Some(asked), Some(seen), Some(of_process(asked, seen))));
        }
    }
    let extra = |seen: &&String| {
        let starts = ["sh", "bash", "unshare", "nsenter", "chroot", "init"];
        // The first word: what follows the command may be its environment, with SHELL=/bin/bash.
        let program = command(seen).and_then(|command| command.split_whitespace().next());
        let program = program.map(|program| program.rsplit('/').next().unwrap_or(program));
        let is_first = seen.split_whitespace().next() == Some("1");
        let is_wrapper = is_first || program.is_some_and(|program| starts.contains(&program));
        let why = if is_wrapper {
            Some("a program that starts the command, in the container itself")
        } else {
            command(seen).is_none().then_some(IN_ADDITION)
        };
        Row::of(None, Some(seen), why)
    };
    rows.extend(left.iter().map(extra));
    rows
}

fn of_process(asked: &str, seen: &str) -> &'static str {
    let first = |line: &str| line.split_whitespace().next().map(str::to_owned);
    if command(asked).is_none() {
        "another version of ps"
    } else if first(asked) != first(seen) && !first(asked).is_some_and(|pid| pid.starts_with('[')) {
        "another PID: the program that started it is PID 1"
    } else {
        "`e` of `ps aef` appends the environment, and terminals have other names"
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::differing;
    use super::of_process;

    #[test]
    fn another_pid_is_told_only_where_the_session_shows_one() {
        let is_told = |asked, seen| of_process(asked, seen).starts_with("another PID");
        assert!(is_told("1 [tty] [stat] [time] /bin/bash", "7 ? S 0:00 /bin/bash"));
        assert!(!is_told("1 [tty] [stat] [time] /bin/bash", "1 ? S 0:00 /bin/bash"));
        assert!(!is_told("[pid] [tty] [stat] [time] sleep inf", "7 ? S 0:00 sleep inf"));
    }

    #[test]
    fn ps_may_show_a_wrapper_and_no_foreign_process() {
        let asked = "PID TTY TIME CMD\n1 [tty] [time] bash\n[pid] [tty] [time] ps";
        let differing = |seen: &str| differing("ps", asked, seen);
        assert_eq!(differing("PID TTY TIME CMD\n1 ? 00:00:00 bash\n9 pts/0 00:00:00 ps"), []);
        assert_eq!(differing("PID TTY TIME CMD\n1 ? 00:00:00 sh\n4 ? 00:00:00 bash\n9 ? 00:00:00 ps"), []);
        assert_eq!(
            differing("PID TTY TIME CMD\n1 ? 00:00:00 bash\n7 ? 00:00:00 sleep\n9 ? 00:00:00 ps").len(),
            1
        );
        assert_eq!(differing("PID TTY TIME CMD\n1 ? 00:00:00 rt\n4 ? 00:00:00 bash\n9 ? 00:00:00 ps"), []);
        assert_eq!(differing("bash: ps: command not found").len(), 3);
    }

    #[test]
    fn the_trees_of_ps_may_come_in_another_order_and_with_an_environment() {
        let asked = "[pid] [tty] [stat] [time] /bin/bash\n[pid] [tty] [stat] [time]  \\_ ps aef\n\
                     1 [tty] [stat] [time] /bin/bash\n[pid] [tty] [stat] [time]  \\_ sleep inf";
        let seen = "1 pts/1 Ss 0:00 /bin/bash PATH=/bin\n7 pts/1 S+ 0:00  \\_ sleep inf PATH=/bin\n\
                    8 ? S 0:00 /bin/bash\n9 ? R+ 0:00  \\_ ps aef HOME=/";
        assert_eq!(differing("ps aef", asked, seen), []);
        let left = format!("{seen}\n5 ? S 0:00 sleep 86400 SHELL=/bin/bash");
        assert_eq!(differing("ps aef", asked, &left).len(), 1);
    }
}
