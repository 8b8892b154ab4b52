//! `index.html`, from evidence that was recorded in virtual machines and from evidence that a
//! hostile guest could send.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use harness::evidence::Record;
use harness::report::page;
use serde_json::Value;

mod pages;
use pages::{bundle, hostile, judged, spoilt_report, stored};

/// The page's headings and folded parts, one a line: its structure without its texts.
fn outline(html: &str) -> String {
    let mut lines = Vec::new();
    for tag in ["<h1", "<h2", "<h3", "<summary", "<figure"] {
        lines.extend(html.match_indices(tag).map(|(at, _)| (at, tag)));
    }
    lines.sort_unstable();
    let line = |(at, tag): &(usize, &str)| {
        let rest = &html[*at..];
        let rest = &rest[rest.find('>').unwrap() + 1..];
        let end = rest.find(&format!("</{}", &tag[1..])).unwrap();
        let text: String =
            rest[..end].split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text)).collect();
        format!("{} {}", &tag[1..], text.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn assert_outline(name: &str, html: &str) {
    insta::with_settings!({ snapshot_path => "../../snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(name, outline(html));
    });
}

#[test]
fn of_a_reference() {
    let (_, html) = judged(&bundle(&["task1-reference", "task2-reference"], &["1", "2a", "2b", "2c"]));
    assert_outline("page-reference", &html);
}

#[test]
fn of_a_program_that_does_not_compile() {
    let (report, html) = judged(&bundle(&["task1-does-not-compile"], &["1"]));
    assert_eq!(report.causes.len(), 1);
    assert_eq!((report.causes[0].file.as_deref(), report.causes[0].line), (None, Some(79)));
    assert_outline("page-does-not-compile", &html);
}

/// How often a word stands in the drawing of the four containers.
fn drawn(html: &str, word: &str) -> usize {
    // The last one is as found; where it differs, one as asked comes before it.
    let drawing =
        html.split("aria-label=\"Four containers, of which two and two are peers\"").last().unwrap();
    drawing.split("</svg>").next().unwrap().matches(word).count()
}

#[test]
fn the_network_is_drawn_as_it_was_found() {
    let mut bundle = stored("reference");
    let (_, html) = judged(&bundle);
    assert_eq!(drawn(&html, ">veth<"), 4);
    assert_eq!(drawn(&html, ">NAT<"), 2);
    assert_eq!((drawn(&html, "way missing"), drawn(&html, "way extra")), (0, 0));

    // A container without -i is answered by the Internet, and the exposed port by nobody.
    let network = bundle.recordings.get_mut("3-network").unwrap();
    for record in network.records.iter_mut().filter(|record| record.kind == "reach") {
        let way = (record.data["step"].as_str(), record.data["from"].as_str(), record.data["to"].as_str());
        match way {
            (Some("peer"), Some("plain"), Some("internet")) => {
                record.data["answer"]["line"] = record.data["word"].clone();
            }
            (Some("peer"), Some("lan"), Some("exposed")) => record.data["answer"]["line"] = Value::Null,
            _ => {}
        }
    }
    let (_, html) = judged(&bundle);
    // The port is two lines: to the machine, and through it.
    assert_eq!((drawn(&html, "\"way missing\""), drawn(&html, "\"way extra\"")), (2, 1));
    let as_asked = html.matches("aria-label=\"Drawing as asked\"").count();
    assert_eq!(as_asked, 1, "the picture that differs is drawn as asked, too");
}

#[test]
fn nat_is_drawn_where_a_rule_translates_addresses() {
    let mut bundle = stored("reference");
    let network = bundle.recordings.get_mut("3-network").unwrap();
    // Evidence of a harness that did not record the rules.
    network.records.retain(|record| record.kind != "rules");
    let (_, html) = judged(&bundle);
    assert_eq!(drawn(&html, ">NAT<"), 0);

    let network = bundle.recordings.get_mut("3-network").unwrap();
    let rules = ["oifname \"lan0\" masquerade", "<b>not a rule</b> dnat"];
    let data = serde_json::json!({ "step": "peer", "rules": rules });
    network.records.push(Record { ms: 0, host_ms: None, kind: "rules".to_owned(), data });
    let (_, html) = judged(&bundle);
    assert_eq!(drawn(&html, ">NAT<"), 2);
    assert!(html.contains("oifname &quot;lan0&quot; masquerade") && !html.contains("<b>not"));
}

#[test]
fn stored_evidence_makes_the_example_pages() {
    for (name, most) in [("reference", 0), ("does-not-compile", 1), ("child1-keeps-uts-namespace", 0)] {
        let (report, html) = judged(&stored(name));
        assert_eq!(report.causes.len(), most, "{name}");
        assert!(html.len() < page::MAX_BYTES / 2, "{name}: {} bytes", html.len());
    }
    let (report, _) = judged(&stored("does-not-compile"));
    let cause = &report.causes[0];
    assert_eq!((cause.file.as_deref(), cause.line), (Some("task1/namespace_prog.c"), Some(79)));
}

/// Each id once, and each link to one of them.
#[test]
fn links_lead_somewhere() {
    let (_, html) = judged(&bundle(&["task1-does-not-compile", "task2-reference"], &["1", "2a", "2b", "2c"]));
    let ids: Vec<&str> = html.split(" id=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    for (index, id) in ids.iter().enumerate() {
        assert!(!ids[..index].contains(id), "{id} occurs twice");
    }
    for link in html.split("href=\"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(ids.contains(&link), "#{link} leads nowhere");
    }
    assert!(!html.contains("http://") && !html.contains("https://"), "the page needs no network");
}

#[test]
fn hostile_text_stays_text_and_the_page_stays_small() {
    let bundle = hostile();
    let report = spoilt_report(&bundle);
    let html = page::render(&report, &bundle);
    assert!(html.len() <= page::MAX_BYTES, "{} bytes", html.len());
    let own = BTreeMap::from([("<script>", 1), ("<img", 0), ("<style>", 1), ("<!--", 0), ("<svg", 1)]);
    for (tag, most) in own {
        let count = html.matches(tag).count();
        assert!(tag == "<svg" || count == most, "{tag} occurs {count} times");
    }
    let is_hidden =
        |c: &char| c.is_control() && !matches!(c, '\n' | '\t') || "\u{202e}\u{2066}\u{200b}".contains(*c);
    assert_eq!(html.chars().find(is_hidden), None);
}

#[test]
fn only_the_compiled_in_script_and_style_may_act() {
    let (_, html) = judged(&bundle(&["task1-reference"], &["1"]));
    let policy =
        html.split("Content-Security-Policy\" content=\"").nth(1).unwrap().split('"').next().unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
    assert!(!html.contains(" style=") && !html.contains(" onclick="), "attributes that the policy forbids");
}
