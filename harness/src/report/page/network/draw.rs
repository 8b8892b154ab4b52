//! A network as a drawing: the world on the left, the machine in the middle, the
//! containers on the right.

use maud::{Markup, html};

use super::model::{Container, Look, Picture, Port};
use super::rules;
use crate::report::text::{start_of, visible};

/// The height of a container's row, and what is above the first one.
const ROW: i32 = 96;
const TOP: i32 = 34;
/// The drawing's width.
const WIDTH: i32 = 1040;
/// Most characters of a name or an address, so that it stays in its box.
const NAME: usize = 20;

/// The drawing. The table beside it says the same in words.
pub fn drawing(picture: &Picture) -> Markup {
    let rows = i32::try_from(picture.containers.len()).unwrap_or(0).max(2);
    let height = TOP + rows * ROW + 16;
    let middle = height / 2;
    html! {
        svg.drawing viewBox=(format!("0 0 {WIDTH} {height}")) role="img" aria-label=(visible(picture.title)) {
            (place(8, middle - 86, 150, 56, "the Internet", ""))
            (place(8, middle + 30, 150, 56, "another machine", &picture.neighbour))
            rect.box x="196" y="8" width="384" height=(height - 16) rx="6" {}
            (text(208, 28, "title", "the machine"))
            (port(208, middle - 22, Some(&Port { name: picture.uplink.0.clone(), address: picture.uplink.1.clone(), up: true })))
            (line(158, middle - 58, 208, middle - 10, Look::Open, ""))
            @for (index, container) in picture.containers.iter().enumerate() {
                (row(picture, container, y_of(index), middle))
            }
            (from_lan(picture, middle))
            @for (one, first) in picture.containers.iter().enumerate() {
                @for (other, second) in picture.containers.iter().enumerate().skip(one + 1) {
                    (peers(picture.between(&first.role, &second.role), one, other))
                }
            }
        }
    }
}

fn y_of(index: usize) -> i32 {
    TOP + i32::try_from(index).unwrap_or(0) * ROW
}

/// A container with its pair and its way to the Internet.
fn row(picture: &Picture, container: &Container, y: i32, middle: i32) -> Markup {
    let is_paired = container.outside.is_some() && container.inside.is_some();
    let pair = match (is_paired, picture.between("machine", &container.role)) {
        (false, _) | (true, Some(Look::Missing)) => Look::Missing,
        _ => Look::Open,
    };
    let label = if is_paired { "veth" } else { "no veth" };
    let online = picture.look(&container.role, "internet");
    let nat = match &container.translated {
        Some(rules) if rules.iter().any(|rule| rules::is_nat(rule)) => "NAT",
        Some(_) => "no NAT",
        // Older evidence does not tell the rules.
        None => "",
    };
    html! {
        rect.box x="676" y=(y) width="276" height=(ROW - 12) rx="6" {}
        (text(688, y + 20, "title", &format!("{} ({})", start_of(&container.name, NAME, 1), container.options)))
        (port(430, y + 30, container.outside.as_ref()))
        (port(688, y + 30, container.inside.as_ref()))
        (text(838, y + 46, "small", "default via"))
        (text(838, y + 62, "small", container.route.as_deref().unwrap_or("nowhere")))
        (line(570, y + 52, 688, y + 52, pair, label))
        @if let Some(look) = online.filter(|look| *look != Look::Closed) {
            (line(348, middle, 430, y + 44, look, nat))
        }
    }
}

/// The exposed port, and ports that should not be open.
fn from_lan(picture: &Picture, middle: i32) -> Markup {
    let exposed = picture.look("lan", "exposed");
    let other = picture.ways.iter().any(|way| way.to == "other-port" && way.look() == Look::Extra);
    let web = picture.containers.iter().position(|container| container.exposed);
    html! {
        @if let (Some(look), Some(web)) = (exposed, web) {
            (line(158, middle + 58, 208, middle + 14, look, ""))
            (line(348, middle + 14, 430, y_of(web) + 64, look, "port"))
        }
        @if other { (line(158, middle + 76, 208, middle + 22, Look::Extra, "")) }
    }
}

/// An arc between two containers.
fn peers(look: Option<Look>, one: usize, other: usize) -> Markup {
    let Some(look) = look.filter(|look| *look != Look::Closed) else { return html! {} };
    let (from, to) = (y_of(one) + 40, y_of(other) + 44);
    let bow = 964 + 18 * i32::try_from(other - one).unwrap_or(1);
    html! {
        path class=(class(look)) d=(format!("M952 {from} C {bow} {from} {bow} {to} 952 {to}")) {}
        (text(960, i32::midpoint(from, to) + 4, class_of_label(look), sign(look)))
    }
}

/// An interface; one that is missing is an empty dashed box.
fn port(x: i32, y: i32, port: Option<&Port>) -> Markup {
    let (class, name, address) = match port {
        Some(port) if port.up => ("port", port.name.as_str(), port.address.as_str()),
        Some(port) => ("port missing", port.name.as_str(), "down"),
        None => ("port missing", "no interface", ""),
    };
    let address = if address.is_empty() && port.is_some() { "no address" } else { address };
    html! {
        rect class=(class) x=(x) y=(y) width="140" height="44" rx="3" {}
        (text(x + 8, y + 18, "name", &start_of(name, NAME, 1)))
        (text(x + 8, y + 36, "small", &start_of(address, NAME, 1)))
    }
}

fn place(x: i32, y: i32, width: i32, height: i32, title: &str, address: &str) -> Markup {
    html! {
        rect.box x=(x) y=(y) width=(width) height=(height) rx="6" {}
        (text(x + 10, y + 24, "title", title))
        (text(x + 10, y + 44, "small", &visible(address)))
    }
}

fn line(x1: i32, y1: i32, x2: i32, y2: i32, look: Look, label: &str) -> Markup {
    let label = match look {
        Look::Open | Look::Closed => label.to_owned(),
        Look::Missing | Look::Extra => format!("{} {label}", sign(look)),
    };
    html! {
        line class=(class(look)) x1=(x1) y1=(y1) x2=(x2) y2=(y2) {}
        @if !label.is_empty() {
            (text(i32::midpoint(x1, x2) - 18, i32::midpoint(y1, y2) - 6, class_of_label(look), &label))
        }
    }
}

fn text(x: i32, y: i32, class: &str, text: &str) -> Markup {
    html! { text class=(class) x=(x) y=(y) { (text) } }
}

fn class(look: Look) -> &'static str {
    match look {
        Look::Open | Look::Closed => "way",
        Look::Missing => "way missing",
        Look::Extra => "way extra",
    }
}

fn class_of_label(look: Look) -> &'static str {
    match look {
        Look::Open | Look::Closed => "small",
        Look::Missing => "small missing",
        Look::Extra => "small extra",
    }
}

fn sign(look: Look) -> &'static str {
    match look {
        Look::Open | Look::Closed => "✓",
        Look::Missing => "✗",
        Look::Extra => "!",
    }
}
