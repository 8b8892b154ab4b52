//! A record's content as a table that people can read.

use maud::{Markup, html};
use serde_json::{Map, Value};

use crate::report::text::{start_of, visible};

/// How deep tables are put into tables.
const DEPTH: usize = 4;
/// Most rows of one table.
const ROWS: usize = 40;
/// Most of one text, in characters and lines.
const TEXT: (usize, usize) = (2000, 30);
/// The columns of a list of processes.
const PROCESS: [&str; 6] = ["PID", "PID inside", "parent", "command", "namespaces of its own", "root"];
/// The kinds of namespaces, as proc(5) calls them.
const NAMESPACES: [&str; 7] = ["pid", "uts", "mnt", "net", "ipc", "user", "cgroup"];

/// A value of a record, and the record `machine` of the same recording, to compare namespaces with.
pub fn table(value: &Value, machine: Option<&Value>) -> Markup {
    let machine = machine.and_then(|machine| machine.get("namespaces")).and_then(Value::as_object);
    shown(value, machine, DEPTH)
}

type Machine<'a> = Option<&'a Map<String, Value>>;

fn shown(value: &Value, machine: Machine, depth: usize) -> Markup {
    match value {
        Value::Null => html! { span.quiet { "none" } },
        Value::Bool(true) => html! { "yes" },
        Value::Bool(false) => html! { "no" },
        Value::Number(number) => html! { (number) },
        Value::String(text) => string(text),
        Value::Array(values) => list(values, machine, depth),
        Value::Object(fields) if is_process(fields) => processes(&[fields], machine),
        Value::Object(fields) if is_namespaces(fields) => namespaces(fields, machine),
        Value::Object(fields) => object(fields, machine, depth),
    }
}

fn string(text: &str) -> Markup {
    let text = start_of(text, TEXT.0, TEXT.1);
    if text.is_empty() {
        html! { span.quiet { "empty" } }
    } else if text.contains('\n') {
        html! { pre tabindex="0" { (text) } }
    } else {
        html! { (text) }
    }
}

fn object(fields: &Map<String, Value>, machine: Machine, depth: usize) -> Markup {
    if depth == 0 {
        return string(&serde_json::to_string(fields).unwrap_or_default());
    }
    let more = fields.len().saturating_sub(ROWS);
    html! {
        table.record {
            tbody {
                @for (name, value) in fields.iter().take(ROWS) {
                    tr { th scope="row" { (label(name)) } td { (shown(value, machine, depth - 1)) } }
                }
            }
        }
        (rest(more))
    }
}

fn list(values: &[Value], machine: Machine, depth: usize) -> Markup {
    if values.is_empty() {
        return html! { span.quiet { "none" } };
    }
    if values.iter().all(|value| !value.is_object() && !value.is_array()) {
        let words = values.iter().take(ROWS * 4).map(|value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        let words: Vec<String> = words.collect();
        // Words of a command or names in a folder read as one line; lines stay lines.
        let separator = if words.iter().any(|word| word.contains(' ')) { "\n" } else { " " };
        return html! { (string(&words.join(separator))) (rest(values.len().saturating_sub(ROWS * 4))) };
    }
    let objects: Vec<&Map<String, Value>> = values.iter().take(ROWS).filter_map(Value::as_object).collect();
    let more = values.len().saturating_sub(ROWS);
    if objects.iter().all(|fields| is_process(fields)) && !objects.is_empty() {
        return html! { (processes(&objects, machine)) (rest(more)) };
    }
    if depth == 0 {
        return string(&serde_json::to_string(values).unwrap_or_default());
    }
    if let Some(columns) = columns(&objects, values.len().min(ROWS)) {
        return html! {
            table.record {
                thead { tr { @for column in &columns { th scope="col" { (label(column)) } } } }
                tbody {
                    @for fields in &objects {
                        tr {
                            @for column in &columns {
                                td { (shown(fields.get(*column).unwrap_or(&Value::Null), machine, depth - 1)) }
                            }
                        }
                    }
                }
            }
            (rest(more))
        };
    }
    html! {
        ol { @for value in values.iter().take(ROWS) { li { (shown(value, machine, depth - 1)) } } }
        (rest(more))
    }
}

/// The columns of a list whose objects all have the same few fields.
fn columns<'a>(objects: &[&'a Map<String, Value>], values: usize) -> Option<Vec<&'a str>> {
    let first = objects.first()?;
    let is_same = |fields: &&&Map<String, Value>| fields.keys().eq(first.keys());
    let are_alike = objects.len() == values && objects.iter().filter(is_same).count() == values;
    (are_alike && first.len() <= 8).then(|| first.keys().map(String::as_str).collect())
}

fn is_process(fields: &Map<String, Value>) -> bool {
    fields.contains_key("nspid") && fields.contains_key("cmdline")
}

fn is_namespaces(fields: &Map<String, Value>) -> bool {
    NAMESPACES.iter().all(|name| fields.contains_key(*name))
}

fn processes(all: &[&Map<String, Value>], machine: Machine) -> Markup {
    html! {
        table.record {
            thead { tr { @for name in PROCESS { th scope="col" { (name) } } } }
            tbody {
                @for process in all {
                    @let number = |name: &str| process.get(name).and_then(Value::as_i64).unwrap_or(0);
                    @let inside = process["nspid"].as_array().and_then(|pids| pids.last()?.as_i64()).unwrap_or(0);
                    tr {
                        td { (number("pid")) }
                        td { (inside) }
                        td { (number("ppid")) }
                        td { code { (command(process)) } }
                        td { (own_namespaces(process.get("namespaces"), machine)) }
                        td { (visible(process.get("root").and_then(|root| root["path"].as_str()).unwrap_or(""))) }
                    }
                }
            }
        }
    }
}

/// A process's command, cut.
fn command(process: &Map<String, Value>) -> String {
    let words = process["cmdline"].as_array().map(Vec::as_slice).unwrap_or_default();
    let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
    start_of(&words.join(" "), 200, 1)
}

/// The kinds of namespaces in which a process is not with the machine.
fn own_namespaces(of: Option<&Value>, machine: Machine) -> String {
    let (Some(of), Some(machine)) = (of.and_then(Value::as_object), machine) else { return String::new() };
    let own: Vec<&str> = NAMESPACES.into_iter().filter(|name| of.get(*name) != machine.get(*name)).collect();
    if own.is_empty() { "none: all are the machine's".to_owned() } else { own.join(", ") }
}

fn namespaces(of: &Map<String, Value>, machine: Machine) -> Markup {
    let relation = |name: &str| match machine {
        Some(machine) if machine.get(name) == of.get(name) => "the machine's",
        Some(_) => "another than the machine's",
        None => "",
    };
    html! {
        table.record {
            thead { tr { th scope="col" { "namespace" } th scope="col" { "inode" } th scope="col" { "whose" } } }
            tbody {
                @for name in NAMESPACES {
                    tr { th scope="row" { (name) } td { (of[name]) } td { (relation(name)) } }
                }
            }
        }
    }
}

fn rest(more: usize) -> Markup {
    html! { @if more > 0 { p.quiet { (more) " more in the file" } } }
}

/// A field's name as a heading. A heading must not be empty (WCAG 2.1, 1.3.1).
fn label(name: &str) -> String {
    match visible(&name.replace('_', " ")) {
        label if label.trim().is_empty() => "(no name)".to_owned(),
        label => label,
    }
}
