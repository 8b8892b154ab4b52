//! A timeline of the run: for each scenario, when the machine was ready and which command ran when.

use maud::{Markup, html};
use serde_json::Value;

use crate::evidence::{Bundle, Recording};
use crate::report::text::start_of;
use crate::terminals;

/// The drawing's width, and where its bars begin.
const WIDTH: f64 = 1000.0;
const LEFT: f64 = 130.0;
/// The height of a scenario's row.
const ROW: f64 = 34.0;
/// Most commands that are drawn of a scenario.
const COMMANDS: usize = 120;

/// All scenarios below each other, on one scale.
pub fn of(bundle: &Bundle) -> Markup {
    let longest = bundle.recordings.values().map(|recording| recording.seconds).fold(0.0, f64::max);
    if longest <= 0.0 {
        return html! {};
    }
    let scale = (WIDTH - LEFT - 60.0) / longest;
    let height = ROW * bundle.recordings.len() as f64 + 26.0;
    html! {
        h3 { "Timeline" }
        p.quiet {
            "Grey: the machine is restored, and our own preparation. Coloured: a command of the submission. A name with a plus \
             sign was driven again with that command replaced."
        }
        div.wide tabindex="0" role="group" aria-label="Drawing" {
            svg.drawing viewBox=(format!("0 0 {WIDTH} {height}")) role="img" aria-label="Timeline of the run" {
                (ticks(longest, scale, height))
                @for (index, recording) in bundle.recordings.values().enumerate() {
                    (row(recording, ROW * index as f64 + 4.0, scale))
                }
            }
        }
    }
}

/// A line for each round number of seconds.
fn ticks(longest: f64, scale: f64, height: f64) -> Markup {
    let step = [1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0]
        .into_iter()
        .find(|step| longest / step <= 10.0)
        .unwrap_or(600.0);
    let count = (longest / step) as usize;
    html! {
        @for number in 0..=count.min(20) {
            @let seconds = step * number as f64;
            @let x = LEFT + seconds * scale;
            line.tick x1=(one(x)) y1="0" x2=(one(x)) y2=(one(height - 20.0)) {}
            text.small x=(one(x + 2.0)) y=(one(height - 6.0)) { (format!("{seconds:.0} s")) }
        }
    }
}

fn row(recording: &Recording, y: f64, scale: f64) -> Markup {
    let recorded = recording.records.last().map_or(0.0, |last| last.ms as f64 / 1000.0);
    // Before its first record a scenario's machine is restored and reached; that is
    // in its seconds alone.
    let ready = (recording.seconds - recorded).max(0.0);
    let sessions = terminals::sessions(recording);
    let first = sessions.first().map_or(recorded, |session| session.started as f64 / 1000.0);
    html! {
        text.name x="0" y=(one(y + 16.0)) { (start_of(&recording.scenario, 17, 1)) }
        rect.before x=(LEFT) y=(one(y)) width=(one((ready + first) * scale)) height="22" {}
        @for session in sessions.iter().take(COMMANDS) {
            @let started = session.started as f64 / 1000.0;
            @let lasts = seconds(recording, session.record).unwrap_or(recorded - started).max(0.0);
            rect.command x=(one(LEFT + (ready + started) * scale)) y=(one(y)) width=(one((lasts * scale).max(1.5))) height="22" {
                title { (start_of(&session.command(), 120, 1)) (format!(", {lasts:.1} s")) }
            }
        }
        text.small x=(one(LEFT + recording.seconds * scale + 4.0)) y=(one(y + 15.0)) { (format!("{:.1} s", recording.seconds)) }
    }
}

/// How long the program ran that a record starts: what the next record of an end of
/// the same words says.
fn seconds(recording: &Recording, start: usize) -> Option<f64> {
    let argv = recording.records.get(start)?.data.get("argv");
    let end = recording.records.iter().skip(start).find(|record| match record.kind.as_str() {
        "command" => record.data.get("argv") == argv,
        "outcome" => true,
        _ => false,
    })?;
    end.data.get("seconds").and_then(Value::as_f64)
}

fn one(value: f64) -> String {
    format!("{value:.1}")
}
