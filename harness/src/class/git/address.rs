//! Which addresses of a table are cloned. Students fill such tables in, so an address must lead to
//! another host, and by one of git's own network protocols.

use std::net::{IpAddr, Ipv6Addr, ToSocketAddrs};

/// The protocols, as `GIT_ALLOW_PROTOCOL` names them.
pub const PROTOCOLS: &str = "https:http:ssh:git";

/// Whether a table's cell is an address and not a path.
pub fn is_url(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    lower.contains("://") || lower.starts_with("file:") || lower.starts_with("git@")
}

/// An address without name, password and query: those may be a token, which is nobody's business.
/// `ssh` needs the name, which is no secret.
pub fn shown(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let rest = &rest[..rest.find(['?', '#']).unwrap_or(rest.len())];
    let end = rest.find('/').unwrap_or(rest.len());
    let Some(at) = rest[..end].rfind('@') else { return format!("{scheme}://{rest}") };
    let (login, place) = (&rest[..at], &rest[at + 1..]);
    match login.split(':').next() {
        Some(name) if scheme.ends_with("ssh") && !name.is_empty() => format!("{scheme}://{name}@{place}"),
        _ => format!("{scheme}://{place}"),
    }
}

/// Whether git may be given this address, as far as its text says.
///
/// # Errors
/// A sentence that says why not.
pub fn check(url: &str) -> Result<(), String> {
    let host = host(url)?;
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    let is_local_name = ["localhost", "ip6-localhost", "ip6-loopback", "localhost.localdomain"]
        .contains(&name.as_str())
        || name.ends_with(".localhost");
    if is_local_name || name.parse().is_ok_and(is_near) {
        return Err(near(&shown(url), &host));
    }
    Ok(())
}

/// The same, and whether the host's name stands for an address of this machine. A name that cannot
/// be looked up is left to git.
///
/// # Errors
/// A sentence that says why not.
pub fn check_host(url: &str) -> Result<(), String> {
    check(url)?;
    let host = host(url)?;
    let mut found = (host.as_str(), 0).to_socket_addrs().into_iter().flatten();
    if found.any(|address| is_near(address.ip())) { Err(near(&shown(url), &host)) } else { Ok(()) }
}

fn near(shown: &str, host: &str) -> String {
    format!(
        "the URL {shown} is not cloned: its host {host} is this machine, or an address that only this \
         machine reaches; write a path instead"
    )
}

/// Loopback, link-local and unspecified addresses. A private network may have the university's own
/// server.
fn is_near(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_loopback() || address.is_link_local() || address.octets()[0] == 0,
        IpAddr::V6(address) => {
            let is_own = address == Ipv6Addr::UNSPECIFIED || address.is_loopback();
            let inner = address.to_ipv4_mapped().or_else(|| address.to_ipv4().filter(|_| !is_own));
            is_own || address.is_unicast_link_local() || inner.is_some_and(|inner| is_near(inner.into()))
        }
    }
}

/// The host of an address with an allowed protocol, without the brackets of IPv6. Where git, curl
/// and ssh could read another host out of the address than this code does, there is none.
fn host(url: &str) -> Result<String, String> {
    let refused = |remedy: &str| {
        format!("the URL {} is not cloned: it must begin with https, http, ssh or git{remedy}", shown(url))
    };
    let (is_http, place) = match url.split_once("://") {
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("file") => {
            return Err(refused("; write the path instead"));
        }
        Some((scheme, _)) if !PROTOCOLS.split(':').any(|allowed| allowed == scheme) => {
            return Err(refused(""));
        }
        Some((scheme, rest)) => (scheme.starts_with("http"), rest.split('/').next().unwrap_or_default()),
        None => match url.strip_prefix("git@") {
            // Without a colon it is a path, for git.
            Some(rest) => (false, rest.rfind(':').map_or("", |end| &rest[..end])),
            None => return Err(refused("; write the path instead")),
        },
    };
    let name = place.rsplit('@').next().unwrap_or_default();
    let name = match name.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        // ssh takes a port in the brackets, too.
        Some((inner, _)) if inner.matches(':').count() != 1 => inner,
        Some((inner, _)) => inner.split(':').next().unwrap_or_default(),
        None => name.split(':').next().unwrap_or_default(),
    };
    let is_name = |char: char| char.is_ascii_alphanumeric() || ".-_".contains(char);
    let is_host = !name.is_empty() && name.chars().all(is_name) || name.parse::<Ipv6Addr>().is_ok();
    let is_odd = |char: char| "?#\\".contains(char) || char.is_whitespace() || char.is_control();
    // git decodes the addresses of ssh before it takes them apart.
    if !is_host || place.contains(is_odd) || !is_http && place.contains('%') {
        return Err(format!("the URL {} is not cloned: it has no clear name of a host", shown(url)));
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_what_may_be_a_token() {
        for (url, expected) in [
            ("https://host/a/b.git", "https://host/a/b.git"),
            ("https://x:tok@host:8443/b.git", "https://host:8443/b.git"),
            ("http://tok@host/b@c", "http://host/b@c"),
            ("https://host/b.git?private_token=tok", "https://host/b.git"),
            ("ssh://git:tok@host/b", "ssh://git@host/b"),
            ("git@host:a/b.git", "git@host:a/b.git"),
            ("file:///a/b", "file:///a/b"),
        ] {
            assert_eq!(shown(url), expected);
        }
    }

    #[test]
    fn other_hosts_and_private_networks_are_cloned_from() {
        for url in [
            "https://git.example.org/a/b.git",
            "http://u:p@10.1.2.3:8080/b",
            "https://192.168.1.1/b",
            "https://172.16.0.1/b",
            "ssh://git@[fd00::1]:22/b",
            "ssh://git@host/b",
            "git://host/b",
            "git@host:a/b.git",
            "git@10.0.0.1:a/b.git",
            "https://user%40mail:p%2Fq@host/b",
            "https://localhost.example.org/b",
        ] {
            assert_eq!(check(url), Ok(()), "{url}");
        }
    }

    #[test]
    fn an_address_of_this_machine_is_refused() {
        for url in [
            "http://localhost/b",
            "https://LOCALHOST.:8443/b",
            "https://a.localhost/b",
            "http://u:p@127.0.0.1:18080/b",
            "http://127.9.9.9/b",
            "http://0.0.0.0/b",
            "http://[::1]:80/b",
            "http://[::]/b",
            "http://[::ffff:127.0.0.1]/b",
            "http://[fe80::1]/b",
            "http://169.254.169.254/latest",
            "ssh://git@localhost:22/b",
            "git@localhost:a/b",
            "git@[::1]:a/b",
            "git@[127.0.0.1:22]:a/b",
            "git://127.0.0.1/b",
        ] {
            let why = check(url).unwrap_err();
            assert!(why.contains("is this machine"), "{url}: {why}");
        }
        for url in [
            "http://%31%32%37.0.0.1/b",
            "http://[fe80::1%25eth0]/b",
            "http://１２７.0.0.1/b",
            "https:///b",
            "http://@/b",
            "http://host\\@127.0.0.1/b",
            "http://127.0.0.1#@host/b",
            "ssh://host?@127.0.0.1/b",
            "ssh://git%40127.0.0.1%2f@host/b",
            "git@../b",
            "git@a/b:c",
        ] {
            assert!(check(url).unwrap_err().contains("no clear name of a host"), "{url}");
        }
        // Other spellings of 127.0.0.1, which the resolver and curl know.
        for url in ["http://127.1/b", "http://2130706433/b", "http://0x7f.1/b", "git@0177.1:b"] {
            assert_eq!(check(url), Ok(()));
            assert!(check_host(url).unwrap_err().contains("is this machine"), "{url}");
        }
    }

    #[test]
    fn another_protocol_is_refused_and_a_file_is_a_path() {
        for url in ["file:///a/b", "file:/a/b", "FILE://localhost/a"] {
            assert!(is_url(url));
            assert!(check(url).unwrap_err().ends_with("write the path instead"), "{url}");
        }
        for url in ["ftp://host/b", "ext::sh -c x://", "fd::7://", "git+ssh://host/b", "HTTPS://host/b"] {
            assert!(is_url(url));
            assert!(check(url).unwrap_err().contains("https, http, ssh or git"), "{url}");
        }
        assert!(!is_url("in/one.zip") && !is_url("a:b") && !is_url(""));
    }
}
