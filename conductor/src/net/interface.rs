//! Settings of the host's end of a veth pair: the host trusts nothing that it receives from a
//! container.
//!
//! A new interface takes the host's defaults (`net.ipv6.conf.default` and so on, ip-sysctl.rst of
//! the kernel). With them a container could send an IPv6 router advertisement and become the host's
//! default gateway (compare CVE-2020-13401), or send ICMP redirects.

use std::fs;
use std::io;
use std::path::Path;

/// Settings below /proc/sys/net/FAMILY/conf/INTERFACE, and their values.
const SETTINGS: [(&str, &str, &str); 8] = [
    ("ipv6", "accept_ra", "0"),
    ("ipv6", "autoconf", "0"),
    ("ipv6", "accept_redirects", "0"),
    ("ipv6", "proxy_ndp", "0"),
    ("ipv4", "accept_redirects", "0"),
    ("ipv4", "send_redirects", "0"),
    ("ipv4", "accept_source_route", "0"),
    ("ipv4", "proxy_arp", "0"),
];

/// Switches off autoconfiguration, redirects and proxying on the host's `interface`, which must
/// still be down. Settings that this kernel does not have are skipped, for example those of IPv6
/// when it is disabled.
pub(super) fn trust_nothing(interface: &str) -> io::Result<()> {
    for (family, setting, value) in SETTINGS {
        let path = Path::new("/proc/sys/net").join(family).join("conf").join(interface).join(setting);
        match fs::write(&path, value) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            written => written?,
        }
    }
    Ok(())
}
