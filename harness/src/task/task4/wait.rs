//! Decides when an orchestrator is done: it may return, stay in the foreground, or wait for a key.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::Shown;
use crate::evidence::limits::{EXTENDED, UNFINISHED};
use crate::guest::observe::served::SERVED;
use crate::guest::observe::stillness::Stillness;
use crate::guest::run::patience::{Late, Patience};
use crate::guest::run::terminal::Program;
use crate::task::task3::shared::terminals::{TerminalId, Terminals};
use crate::task::task3::shared::view::Machine;

/// Time between two looks at the page and at what works.
const PAUSE: Duration = Duration::from_secs(2);
/// When nothing that the script started has worked or written for this long,
/// nothing more will come.
const STILL: Duration = Duration::from_secs(60);
/// The script, as it is called.
pub const SCRIPT: &str = "./service-orchestrator.sh";
/// Between these the prompt shows the last command's status.
const PROMPT_START: &str = "[status ";
const PROMPT_END: &str = "]# ";

/// A line of the script's terminal without our prompt, which shows again while what the script left
/// in the background still writes.
pub fn without_prompt(line: &str) -> &str {
    let after = line.trim_start().strip_prefix(PROMPT_START).and_then(|rest| rest.split_once(PROMPT_END));
    after.map_or(line, |(_, rest)| rest)
}

/// The script, called at the prompt of a shell that stays: what it leaves in the background is not
/// hung up on when it ends, as it would be if the terminal's first process ended with it.
#[derive(Clone, Copy, Debug)]
pub struct Script {
    shell: TerminalId,
}

impl Script {
    /// Starts a shell and types the script's name.
    ///
    /// # Errors
    /// When the channel is gone, or no process or terminal can be had.
    pub fn call(terminals: &mut Terminals, dir: &Path, name: &str, patience: Duration) -> io::Result<Self> {
        let prompt = format!("PS1={PROMPT_START}$?{PROMPT_END}");
        let shell = Program::new(dir, ["/usr/bin/env", prompt.as_str(), "/bin/bash", "--norc", "-i"]);
        let shell = terminals.start(&shell)?;
        terminals.until(patience, |terminals| terminals.at_prompt(shell))?;
        terminals.type_last_line(shell, name);
        terminals.until(patience, |terminals| terminals.foreground(shell) != Some(terminals.pid(shell)))?;
        Ok(Self { shell })
    }

    /// The script's exit status, once the shell has its terminal back.
    pub fn status(self, terminals: &Terminals) -> Option<i32> {
        let is_over = terminals.end(self.shell).is_some()
            || terminals.foreground(self.shell) == Some(terminals.pid(self.shell));
        let last = terminals.screen(self.shell).rsplit(PROMPT_START).next().filter(|_| is_over)?;
        Some(last.split(PROMPT_END).next().and_then(|status| status.parse().ok()).unwrap_or(-1))
    }

    /// Ends it as a person does who is done with it: by Ctrl-C, and then by closing the terminal.
    ///
    /// # Errors
    /// When the channel is gone.
    pub fn end(self, terminals: &mut Terminals, patience: Duration) -> io::Result<()> {
        if self.status(terminals).is_none() {
            terminals.interrupt(self.shell);
            terminals.until(patience, |terminals| self.status(terminals).is_some())?;
        }
        terminals.finish("script", self.shell, Duration::ZERO).map(drop)
    }
}

/// Why the waiting came to an end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// The page shows a count.
    Counts,
    /// There is a page, without a count.
    Answers,
    /// The script has ended, and there is no page.
    Ended,
    /// Nothing works any more, and there is no page.
    Still,
    /// The time is over several times, and known work still goes on.
    Working,
    /// The time is over.
    #[default]
    Late,
}

/// How a run of the script went; the record `settled`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Settled {
    /// What the scenario calls this run.
    pub step: String,
    /// Why it was not waited for any longer.
    pub why: Why,
    /// How long that took.
    pub seconds: f64,
    /// The status with which the script ended, if it has.
    pub status: Option<i32>,
    /// The end of what its terminal showed.
    pub screen: String,
    /// What came last when the page was asked for.
    pub page: Shown,
}

/// How long is waited.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For the whole.
    pub all: Duration,
    /// For services to come up once the script has ended, or for a count once there is a page.
    pub more: Duration,
    /// Scripts sleep between their steps; after this long without a sign the one
    /// before was the last.
    pub pause: Duration,
}

/// Waits until the page counts, or until it is clear that it will not.
pub fn settle(
    step: &str,
    terminals: &mut Terminals,
    script: Script,
    machine: &Machine,
    limits: Limits,
    mut ask: impl FnMut() -> Shown,
) -> io::Result<Settled> {
    let began = Instant::now();
    let mut page;
    let mut answered: Option<Instant> = None;
    let mut ended: Option<Instant> = None;
    let mut stillness = Stillness::of_all_but(&machine.processes);
    let mut patience = Patience::new(limits.all, terminals.work());
    let why = loop {
        terminals.until(PAUSE, |_| false)?;
        page = ask();
        let now = Instant::now();
        if page.number().is_some() {
            break Why::Counts;
        }
        if page.status.is_some() {
            answered.get_or_insert(now);
        }
        if script.status(terminals).is_some() {
            ended.get_or_insert(now);
        }
        let long_ago = |since: Option<Instant>| since.is_some_and(|since| now - since >= limits.more);
        if long_ago(answered) {
            break Why::Answers;
        }
        if long_ago(ended) && answered.is_none() {
            break Why::Ended;
        }
        if SERVED.owes() {
            stillness = Stillness::of_all_but(&machine.processes);
        }
        let written = terminals.screen(script.shell).len() + SERVED.bytes() as usize;
        if stillness.lasts(written) >= STILL {
            break if answered.is_some() { Why::Answers } else { Why::Still };
        }
        let late = patience.late();
        if let Some(extended) = patience.extended() {
            terminals.record(EXTENDED, &extended)?;
        }
        match late {
            Some(Late::Idle) => break Why::Late,
            Some(Late::Working(progress)) => {
                terminals.record(UNFINISHED, &patience.unfinished(SCRIPT, progress))?;
                break Why::Working;
            }
            None => {}
        }
    };
    // It may have a last step, such as looking at the page itself.
    let mut stillness = Stillness::of_all_but(&machine.processes);
    terminals.until(limits.more, |terminals| {
        script.status(terminals).is_some()
            || stillness.lasts(terminals.screen(script.shell).len()) >= limits.pause
    })?;
    Ok(Settled {
        step: step.to_owned(),
        why,
        seconds: began.elapsed().as_secs_f64(),
        status: script.status(terminals),
        screen: terminals.screen_end(script.shell).to_owned(),
        page,
    })
}
