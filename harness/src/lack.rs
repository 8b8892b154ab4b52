//! Finds what our infrastructure failed to provide during a recording: packages, or time on a slow
//! machine.
//!
//! A check that could not be judged for this reason gets no verdict. What was recorded before the
//! failure still counts.

use serde::{Deserialize, Serialize};

use crate::evidence::limits::{UNFINISHED, Unfinished};
use crate::evidence::world::{Moment, Passed, RECORD};
use crate::evidence::{Record, Recording};
use crate::task::task3::shared::command::Command;
use crate::verdict::{Finding, Status};

/// The packages that our server could not deliver to a guest. The host adds this record, `lack`,
/// when a scenario has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lack {
    /// One sentence of the server for each: the address and the reason.
    pub packages: Vec<String>,
}

/// The kind of a [`Lack`] record.
pub const LACK: &str = "lack";
/// In the plan of a scenario: that groups of its machine cannot limit the CPU.
pub const NO_CPU_CONTROLLER: &str = "no_cpu_controller";
/// The checks of 2c that can fail without a limit of the CPU. The others may depend on it, or on
/// what a script does when the limit is refused.
const SEEN_WITHOUT_CPU: [&str; 2] = ["2c/namespaces", "2c/root-isolated"];
/// The most packages to list.
const LISTED: usize = 20;
/// The checks (by scenario and id prefix) that depend on packages even if the scenario's first
/// image was built.
const NEED_PACKAGES: [(&str, &str); 3] =
    [("3-packages", "3c/packages"), ("3-packages", "3f/packages"), ("4-matrix", "4/")];

/// Finds the package requests of a scenario that our server refused. `said` are the server's own
/// sentences about this scenario and those that ran at the same time. A refusal is our failure only
/// if the server says so, because a submission may ask for anything. A 503 is of the guest half,
/// which could not reach the server.
pub fn of_packages(records: &[Record], said: &[String]) -> Option<Lack> {
    let refused = |record: &Record| {
        let moment = (record.kind == RECORD).then(|| Moment::deserialize(&record.data).ok())??;
        match moment.passed {
            Passed::Http { packages: true, status, host, path, .. } => (status == 503
                || [404, 502, 504].contains(&status) && sentence_about(&path, said).is_some())
            .then_some((host, path)),
            _ => None,
        }
    };
    let mut packages: Vec<String> = Vec::new();
    for (host, path) in records.iter().filter_map(refused) {
        let sentence = sentence_about(&path, said).cloned().unwrap_or_else(|| format!("http://{host}{path}"));
        if packages.len() < LISTED && !packages.contains(&sentence) {
            packages.push(sentence);
        }
    }
    (!packages.is_empty()).then_some(Lack { packages })
}

/// The server's sentence about a file: its address at the mirror, a colon and the reason.
fn sentence_about<'a>(path: &str, said: &'a [String]) -> Option<&'a String> {
    let file = &path[["/dists/", "/pool/"].iter().filter_map(|part| path.find(part)).min()?..];
    said.iter().find(|sentence| sentence.split_once(": ").is_some_and(|(url, _)| url.ends_with(file)))
}

/// A failure of our infrastructure that kept checks from being judged.
#[derive(Debug)]
pub struct Hindrance<'a> {
    recording: &'a Recording,
    sentence: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// Known work was stopped at its limit. Holds the index of the record that says so.
    Unfinished(usize),
    /// Packages could not be delivered.
    Packages,
    /// The machine's control groups have no cpu controller.
    NoCpu,
}

/// The failures of our infrastructure in one recording.
pub fn hindrances(recording: &Recording) -> Vec<Hindrance<'_>> {
    let unfinished = recording.records.iter().enumerate().find_map(|(index, record)| {
        let Unfinished { step, work, seconds } =
            (record.kind == UNFINISHED).then(|| Unfinished::deserialize(&record.data).ok())??;
        let sentence = format!(
            "not the submission's doing: `{step}` was stopped after {seconds} s, while {work}; grade the submission on a faster \
             or less busy machine"
        );
        Some(Hindrance { recording, sentence, kind: Kind::Unfinished(index) })
    });
    let packages = recording.first::<Lack>(LACK).filter(|lack| !lack.packages.is_empty()).map(|lack| {
        let more = match lack.packages.len() - 1 {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        let sentence = format!(
            "not the submission's doing: the grader could not get a package: {}{more}; \
             grade the submission again when the package is available",
            lack.packages[0]
        );
        Hindrance { recording, sentence, kind: Kind::Packages }
    });
    let no_cpu = recording.plan.get(NO_CPU_CONTROLLER).map(|_| Hindrance {
        recording,
        sentence: "not the submission's doing: cgroup v2 of this machine has no cpu controller, so nothing can limit the CPU here. Grade this subtask in a virtual machine"
            .to_owned(),
        kind: Kind::NoCpu,
    });
    unfinished.into_iter().chain(packages).chain(no_cpu).collect()
}

impl Hindrance<'_> {
    /// Turns a failed or skipped finding into an error if this failure excuses it.
    pub fn applied_to(&self, finding: Finding) -> Finding {
        if !self.excuses(&finding) {
            return finding;
        }
        let actual = match finding.actual.as_str() {
            "" => self.sentence.clone(),
            seen => format!("{} (seen: {seen})", self.sentence),
        };
        Finding { status: Status::Error, actual, ..finding }
    }

    fn excuses(&self, finding: &Finding) -> bool {
        if !matches!(finding.status, Status::Fail | Status::Skip) {
            return false;
        }
        match self.kind {
            Kind::Unfinished(at) => {
                let places = &finding.evidence;
                places.is_empty() || !places.iter().all(|place| self.was_seen_before(place, at))
            }
            Kind::NoCpu => {
                let is_seen = finding.status == Status::Fail && SEEN_WITHOUT_CPU.contains(&finding.check);
                finding.check.starts_with("2c/") && !is_seen
            }
            Kind::Packages => {
                let needs = |(scenario, checks): &(&str, &str)| {
                    self.recording.scenario.split('+').next() == Some(*scenario)
                        && finding.check.starts_with(checks)
                };
                let own = format!("evidence/{}/", self.recording.scenario);
                let places = &finding.evidence;
                let is_of_this = places.is_empty() || places.iter().any(|place| place.starts_with(&own));
                NEED_PACKAGES.iter().any(needs) || is_of_this && self.has_no_image()
            }
        }
    }

    /// Whether a place in the bundle is before the record `at`, or in another scenario.
    fn was_seen_before(&self, place: &str, at: usize) -> bool {
        let Some((file, line)) = place.split_once('#') else { return false };
        let number = line.parse::<usize>().unwrap_or(usize::MAX);
        file != format!("evidence/{}/records.jsonl", self.recording.scenario) || number <= at
    }

    /// Whether the first image was not built. All other steps depend on that image.
    fn has_no_image(&self) -> bool {
        let first = self.recording.all::<Command>("command").map(|(_, command)| command);
        first.into_iter().find(|command| command.step == "build").is_some_and(|build| !build.succeeded())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Ending;
    use serde_json::{Value, json};

    fn record(kind: &str, data: Value) -> Record {
        Record { ms: 0, host_ms: None, kind: kind.to_owned(), data }
    }

    fn recording(scenario: &str, records: Vec<Record>) -> Recording {
        Recording {
            scenario: scenario.to_owned(),
            plan: Value::Null,
            ending: Ending::Finished,
            seconds: 0.0,
            records,
        }
    }

    fn asked(status: u16, path: &str) -> Record {
        let passed = Passed::Http {
            from: "192.0.2.1:4000".parse().unwrap(),
            to: "192.0.2.2:80".parse().unwrap(),
            method: "GET".into(),
            host: "mirror.example".into(),
            path: path.into(),
            status,
            packages: true,
            bytes: None,
        };
        record(RECORD, serde_json::to_value(Moment { ms: 0, passed }).unwrap())
    }

    fn finding(check: &'static str, status: Status, evidence: &[&str]) -> Finding {
        let mut finding = Finding::new(check, status, "", "seen");
        finding.evidence = evidence.iter().map(|place| (*place).to_owned()).collect();
        finding
    }

    fn status_of(recording: &Recording, finding: Finding) -> Status {
        hindrances(recording).iter().fold(finding, |finding, one| one.applied_to(finding)).status
    }

    #[test]
    fn evidence_from_before_stopped_work_counts_and_later_checks_have_no_verdict() {
        let unfinished = json!({ "step": "./conductor.sh build a", "work": "dpkg worked", "seconds": 900 });
        let recording = recording(
            "3-build",
            vec![
                record("begin", Value::Null),
                record("found", Value::Null),
                record(UNFINISHED, unfinished),
                record("command", Value::Null),
            ],
        );
        let status =
            |status, evidence: &[&str]| status_of(&recording, finding("3f/deletions", status, evidence));
        assert_eq!(status(Status::Fail, &["evidence/3-build/records.jsonl#2"]), Status::Fail);
        assert_eq!(status(Status::Fail, &["evidence/3-run/records.jsonl#9"]), Status::Fail);
        assert_eq!(status(Status::Fail, &["evidence/3-build/records.jsonl#4"]), Status::Error);
        assert_eq!(
            status(Status::Fail, &["evidence/3-build/records.jsonl#2", "terminal.cast"]),
            Status::Error
        );
        assert_eq!(status(Status::Skip, &[]), Status::Error);
        assert_eq!(status(Status::Pass, &["evidence/3-build/records.jsonl#4"]), Status::Pass);
    }

    #[test]
    fn the_report_names_the_stopped_step_and_the_remedy() {
        let unfinished = json!({ "step": "./conductor.sh build a", "work": "dpkg worked", "seconds": 900 });
        let recording = recording("3-build", vec![record(UNFINISHED, unfinished)]);
        let told = hindrances(&recording)[0].applied_to(finding("3f/deletions", Status::Skip, &[]));
        assert_eq!(
            told.actual,
            "not the submission's doing: `./conductor.sh build a` was stopped after 900 s, while dpkg worked; grade \
             the submission on a faster or less busy machine (seen: seen)"
        );
    }

    #[test]
    fn a_refused_package_excuses_only_checks_that_depend_on_packages() {
        let lack = record(LACK, json!({ "packages": ["http://mirror.example/pool/x.deb: timed out"] }));
        let command = |status| {
            record(
                "command",
                json!({ "step": "build", "argv": ["./conductor.sh"], "end": { "status": status },
                                      "stopped": null, "seconds": 1.0, "screen": "" }),
            )
        };
        let fail = |check| finding(check, Status::Fail, &["evidence/3-build/records.jsonl#1"]);
        let built = recording("3-build", vec![command(0), lack.clone()]);
        assert_eq!(status_of(&built, fail("3f/deletions")), Status::Fail);
        let unbuilt = recording("3-build", vec![command(1), lack.clone()]);
        assert_eq!(status_of(&unbuilt, fail("3f/deletions")), Status::Error);
        let elsewhere = finding("3f/deletions", Status::Fail, &["evidence/3-other/records.jsonl#1"]);
        assert_eq!(status_of(&unbuilt, elsewhere), Status::Fail);
        let matrix = recording("4-matrix+conductor", vec![lack.clone()]);
        assert_eq!(status_of(&matrix, fail("4/images-built")), Status::Error);
        let packages = recording("3-packages", vec![lack]);
        assert_eq!(status_of(&packages, fail("3c/packages")), Status::Error);
        assert_eq!(status_of(&packages, fail("3f/packages")), Status::Error);
        assert_eq!(status_of(&packages, fail("3c/expose")), Status::Fail);
        assert_eq!(status_of(&recording("3-packages", vec![]), fail("3c/packages")), Status::Fail);
    }

    #[test]
    fn a_refusal_counts_only_if_the_server_reports_it_as_its_failure() {
        let records = [
            asked(200, "/debian/pool/a"),
            asked(404, "/debian/pool/b"),
            asked(502, "/debian/pool/c"),
            asked(502, "/debian/pool/c"),
        ];
        let said = ["http://upstream.example/pub/debian/pool/c: timed out".to_owned()];
        assert_eq!(of_packages(&records, &said), Some(Lack { packages: said.to_vec() }));
        assert_eq!(of_packages(&records, &[]), None);
        assert_eq!(of_packages(&records[..2], &said), None);
        let named = ["http://upstream.example/debian/pool/b: the index names it".to_owned()];
        assert_eq!(of_packages(&records[..2], &named), Some(Lack { packages: named.to_vec() }));
        let of_no_file = [asked(404, "/debian/pool/"), asked(502, "/debian/dists/"), asked(502, "/pool/c: ")];
        assert_eq!(of_packages(&of_no_file, &said), None);
    }

    #[test]
    fn a_server_that_cannot_be_reached_is_our_failure() {
        let plain = Lack { packages: vec!["http://mirror.example/debian/pool/c".to_owned()] };
        assert_eq!(of_packages(&[asked(503, "/debian/pool/c")], &[]), Some(plain));
    }

    #[test]
    fn a_machine_without_a_cpu_controller_gives_no_verdict_on_what_depends_on_it() {
        let recording = Recording { plan: json!({ NO_CPU_CONTROLLER: true }), ..recording("2", vec![]) };
        let status = |check, status| status_of(&recording, finding(check, status, &[]));
        assert_eq!(status("2c/cpu-quota", Status::Fail), Status::Error);
        assert_eq!(status("2c/throttled", Status::Skip), Status::Error);
        assert_eq!(status("2c/root-isolated", Status::Pass), Status::Pass);
        assert_eq!(status("2c/root-isolated", Status::Fail), Status::Fail);
        assert_eq!(status("2c/root-isolated", Status::Skip), Status::Error);
        assert_eq!(status("2b/pid-namespace", Status::Fail), Status::Fail);
    }
}
