//! The use of the CPU over time in 2b and 2c, beside the quota: a capped benchmark takes about
//! twice its time, and the kernel says in which periods it held it back.

use std::fmt::Write;

use maud::{Markup, PreEscaped, html};
use serde::Deserialize;

use super::size::Budget;
use crate::evidence::Recording;
use crate::evidence::cgroup::{self, Group};
use crate::task::task2::{self as container, Use};

/// The size of the drawing, and of the plot in it.
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 190.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 34.0;
/// The highest share of a core that is drawn.
const MOST: f64 = 1.2;

/// One run of `container_prog`.
struct Run {
    title: String,
    samples: Vec<Sample>,
    /// The cap, in cores.
    cap: Option<f64>,
}

/// What was used between two looks.
struct Sample {
    /// Seconds since the first look.
    from: f64,
    to: f64,
    /// In cores.
    share: f64,
    throttled: bool,
}

#[derive(Deserialize)]
struct Member {
    chain: Vec<Group>,
}

/// The runs of 2b and 2c on one scale; nothing where their use was not recorded.
pub fn of(recording: &Recording, budget: &mut Budget) -> Markup {
    let places = container::rounds(recording);
    let names = ["2a", "2b, without a cap", "2c, capped"];
    let runs: Vec<Run> = (1..3)
        .filter_map(|number| {
            let start = places[number]?;
            let end = places.iter().flatten().copied().filter(|place| *place > start).min();
            let run = run(recording, start, end.unwrap_or(recording.records.len()), names[number]);
            (run.samples.len() > 1).then_some(run)
        })
        .collect();
    let longest = runs.iter().filter_map(|run| run.samples.last()).map(|last| last.to).fold(0.0, f64::max);
    if longest <= 0.0 {
        return html! {};
    }
    let parts = runs.iter().filter_map(|run| budget.admit(drawn(run, longest).into_string()));
    let parts: Vec<String> = parts.collect();
    html! {
        h3 { "The use of the CPU" }
        p.quiet {
            "Solid: use, in percent of one core. Dashed line: the quota. Marks at the bottom: periods in which the kernel held \
             the container back."
        }
        @for part in &parts { (PreEscaped(part)) }
    }
}

fn run(recording: &Recording, start: usize, end: usize, title: &str) -> Run {
    let records = recording.records.get(start..end).unwrap_or_default();
    let pid = records.first().and_then(|run| run.data.pointer("/member/process/pid")?.as_i64());
    let looks: Vec<(f64, Use)> = records
        .iter()
        .filter(|record| record.kind == "use")
        .filter_map(|record| Some((record.ms as f64 / 1000.0, Use::deserialize(&record.data).ok()?)))
        .filter(|(_, look)| Some(i64::from(look.pid)) == pid)
        .collect();
    let began = looks.first().map_or(0.0, |(at, _)| *at);
    let samples = looks.windows(2).filter_map(|pair| {
        let [(from, before), (to, after)] = pair else { return None };
        let used = after.used_usec.saturating_sub(before.used_usec) as f64 / 1e6;
        (to > from).then(|| Sample {
            from: from - began,
            to: to - began,
            share: used / (to - from),
            throttled: after.nr_throttled > before.nr_throttled,
        })
    });
    // The cap as it stood at the end: what is set late or lifted is the check's own business.
    let members = records.iter().filter(|record| record.kind == "exiting" || record.kind == "run");
    let chains = members.filter_map(|record| Member::deserialize(record.data.get("member")?).ok());
    let caps =
        chains.flat_map(|member| member.chain).filter_map(|group| cgroup::cores(group.cpu_max.as_deref()?));
    Run { title: title.to_owned(), samples: samples.collect(), cap: caps.reduce(f64::min) }
}

fn drawn(run: &Run, longest: f64) -> Markup {
    let x = |seconds: f64| LEFT + seconds / longest * (WIDTH - LEFT - RIGHT);
    let y = |share: f64| HEIGHT - BOTTOM - share.clamp(0.0, MOST) / MOST * (HEIGHT - TOP - BOTTOM);
    let ground = y(0.0);
    let mut area = format!("M{:.1} {ground:.1}", x(0.0));
    for sample in &run.samples {
        let height = y(sample.share);
        let _ = write!(area, " L{:.1} {height:.1} L{:.1} {height:.1}", x(sample.from), x(sample.to));
    }
    let end = run.samples.last().map_or(0.0, |last| last.to);
    let _ = write!(area, " L{:.1} {ground:.1} Z", x(end));
    let used: f64 = run.samples.iter().map(|sample| sample.share * (sample.to - sample.from)).sum();
    let held = run.samples.iter().filter(|sample| sample.throttled).count();
    let words = format!(
        "{}: {used:.1} s of the CPU in {end:.1} s, {:.0} % of one core on average; throttled in {held} of {} samples.",
        run.title,
        used / end.max(0.001) * 100.0,
        run.samples.len()
    );
    html! {
        p { (words) }
        div.wide tabindex="0" role="group" aria-label="Drawing" {
            svg.drawing viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(words) {
                @for percent in [0, 50, 100] {
                    @let height = y(f64::from(percent) / 100.0);
                    line.tick x1=(LEFT) y1=(format!("{height:.1}")) x2=(WIDTH - RIGHT) y2=(format!("{height:.1}")) {}
                    text.small x="8" y=(format!("{:.1}", height + 4.0)) { (percent) " %" }
                }
                path.use d=(area) {}
                @if let Some(cap) = run.cap {
                    @let height = y(cap);
                    line.quota x1=(LEFT) y1=(format!("{height:.1}")) x2=(WIDTH - RIGHT) y2=(format!("{height:.1}")) {}
                    text.small x=(WIDTH - RIGHT - 100.0) y=(format!("{:.1}", height - 5.0)) { (format!("quota {:.0} %", cap * 100.0)) }
                }
                @for sample in run.samples.iter().filter(|sample| sample.throttled) {
                    rect.held x=(format!("{:.1}", x(sample.from))) y=(format!("{:.1}", ground + 2.0))
                        width=(format!("{:.1}", (x(sample.to) - x(sample.from)).max(1.0))) height="6" {}
                }
                text.small x=(LEFT) y=(HEIGHT - 6.0) { "0 s" }
                text.small x=(WIDTH - RIGHT - 44.0) y=(HEIGHT - 6.0) { (format!("{longest:.1} s")) }
            }
        }
    }
}
