//! `NO_PROXY`: hosts that are asked directly, by the rules of Go's
//! [`httpproxy`](https://pkg.go.dev/golang.org/x/net/http/httpproxy#Config), which most tools of a machine share.
//!
//! One rule of Go's is left out: loopback is no exception of its own. Where a proxy is named, it is asked, as by curl.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};
use url::Host;

/// The hosts that are asked directly.
#[derive(Clone, Debug, Default)]
pub struct NoProxy(Vec<Exception>);

/// One of them.
#[derive(Clone, Debug)]
enum Exception {
    /// `*`: all hosts.
    All,
    /// `10.0.0.0/8`.
    Network(IpNet),
    /// `10.0.0.1`, `10.0.0.1:8443`, `[fd00::1]:8443`; without a port, any.
    Address(IpAddr, String),
    /// `example.com` with its subdomains, or `.example.com`, `*.example.com` for these alone; without a port, any.
    Domain {
        /// With a dot before it.
        suffix: String,
        /// Whether the domain itself is meant too.
        itself: bool,
        port: String,
    },
}

impl NoProxy {
    /// Reads the value of the variable. What means nothing is passed over, as in Go.
    pub fn new(text: &str) -> Self {
        let entries: Vec<String> = text.split(',').map(|entry| entry.trim().to_lowercase()).collect();
        if entries.iter().any(|entry| entry == "*") {
            return Self(vec![Exception::All]);
        }
        Self(entries.iter().filter_map(|entry| Exception::new(entry)).collect())
    }

    /// Whether this host is asked directly: a name in lower case and ASCII, or an address, which may stand in brackets.
    pub fn names(&self, host: &str, port: u16) -> bool {
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>().ok().map(|address| address.to_canonical());
        self.0.iter().any(|exception| exception.covers(host, address, port))
    }
}

impl Exception {
    /// Reads one entry, which is in lower case.
    fn new(entry: &str) -> Option<Self> {
        if let Ok(network) = entry.parse::<IpNet>() {
            return Some(Self::Network(canonical(network.trunc())));
        }
        let (host, port) = parted(entry);
        let port = port.to_owned();
        if let Ok(address) = host.parse::<IpAddr>() {
            return Some(Self::Address(address.to_canonical(), port));
        }
        let below = host.strip_prefix("*.").or_else(|| host.strip_prefix('.'));
        let domain = below.unwrap_or(host);
        if host.is_empty() {
            return None;
        }
        Some(Self::Domain { suffix: format!(".{}", in_ascii(domain)), itself: below.is_none(), port })
    }

    /// Whether it means this host.
    fn covers(&self, host: &str, address: Option<IpAddr>, port: u16) -> bool {
        let is_port = |wanted: &str| wanted.is_empty() || wanted == port.to_string();
        match (self, address) {
            (Self::All, _) => true,
            (Self::Network(network), Some(address)) => network.contains(&address),
            (Self::Address(wanted, port), Some(address)) => *wanted == address && is_port(port),
            (Self::Domain { suffix, itself, port }, None) => {
                let is_below = host.ends_with(suffix.as_str());
                (is_below || (*itself && suffix.strip_prefix('.') == Some(host))) && is_port(port)
            }
            _ => false,
        }
    }
}

/// Host and port of an entry; what has no port, or is no pair of these, is a host as a whole.
fn parted(entry: &str) -> (&str, &str) {
    let pair = match entry.strip_prefix('[') {
        Some(rest) => rest.split_once("]:"),
        None => entry.rsplit_once(':').filter(|(host, _)| !host.contains(':')),
    };
    pair.filter(|(host, port)| !host.contains(['[', ']']) && !port.contains(['[', ']', ':'])).unwrap_or((entry, ""))
}

/// A network of IPv4-mapped addresses as one of IPv4: addresses are compared as what they mean.
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(v6) = network else { return network };
    let v4 = |address: Ipv6Addr| -> Option<Ipv4Addr> { address.to_ipv4_mapped() };
    let length = v6.prefix_len().checked_sub(96);
    match (v4(v6.addr()), length) {
        (Some(address), Some(length)) => Ipv4Net::new(address, length).map_or(network, IpNet::V4),
        _ => network,
    }
}

/// A domain as URLs have it: other letters than ASCII in their encoded form.
fn in_ascii(domain: &str) -> String {
    match Host::parse(domain) {
        Ok(Host::Domain(encoded)) if !domain.is_ascii() => encoded,
        _ => domain.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Go's own table `UseProxyTests`, but for its rules about loopback: of each host, whether the proxy is asked at port 80.
    #[test]
    fn hosts_are_read_as_go_reads_them() {
        let exceptions = NoProxy::new(
            "foobar.com, .barbaz.net, *.wildcard.io, 192.168.1.1, 192.168.1.2:81, 192.168.1.3:80, 10.0.0.0/30, \
             2001:db8::52:0:1, [2001:db8::52:0:2]:443, [2001:db8::52:0:3]:80, 2002:db8:a::45/64",
        );
        for (host, is_proxied) in [
            ("[::2]", true),
            ("192.168.1.1", false),
            ("192.168.1.2", true),
            ("192.168.1.3", false),
            ("192.168.1.4", true),
            ("10.0.0.2", false),
            ("[2001:db8::52:0:1]", false),
            ("[2001:db8::52:0:2]", true),
            ("[2001:db8::52:0:3]", false),
            ("[2002:db8:a::123]", false),
            ("[fe80::424b:c8be:1643:a1b6]", true),
            ("barbaz.net", true),
            ("www.barbaz.net", false),
            ("foobar.com", false),
            ("www.foobar.com", false),
            ("foofoobar.com", true),
            ("baz.com", true),
            ("localhost.net", true),
            ("local.localhost", true),
            ("barbarbaz.net", true),
            ("wildcard.io", true),
            ("nested.wildcard.io", false),
            ("awildcard.io", true),
        ] {
            assert_eq!(!exceptions.names(host, 80), is_proxied, "{host}");
            assert!(NoProxy::new("*").names(host, 80), "{host}");
            assert!(NoProxy::new("other.example, *").names(host, 80), "{host}");
            assert!(!NoProxy::new(":1").names(host, 80), "{host}: a port without a host means nothing");
        }
    }

    #[test]
    fn each_entry_means_what_go_takes_it_for() {
        for (entries, host, port, is_named) in [
            // From Go's `proxyForURLTests`.
            ("example.com", "example.com", 80, true),
            (".example.com", "example.com", 80, false),
            ("ample.com", "example.com", 80, false),
            ("example.com", "foo.example.com", 80, true),
            (".foo.com", "example.com", 80, false),
            (".示例.com", "www.xn--fsq092h.com", 80, true),
            ("xn--fsq092h.com", "www.xn--fsq092h.com", 80, true),
            ("示例.com", "www.xn--fsq092h.com", 80, true),
            // Loopback is no exception unless it is named.
            ("", "localhost", 80, false),
            ("", "127.0.0.1", 80, false),
            ("", "[::1]", 80, false),
            ("localhost,127.0.0.0/8,::1", "localhost", 80, true),
            ("localhost,127.0.0.0/8,::1", "127.9.9.9", 80, true),
            ("localhost,127.0.0.0/8,::1", "[::1]", 80, true),
            // Ports, case, blanks.
            ("login.corp:8443", "login.corp", 8443, true),
            ("login.corp:8443", "login.corp", 443, false),
            ("login.corp:", "login.corp", 443, true),
            ("login.corp:https", "login.corp", 443, false),
            (" LOGIN.corp ,x", "login.corp", 443, true),
            (".corp:443", "login.corp", 443, true),
            (".corp:443", "login.corp", 80, false),
            ("*.corp:443", "login.corp", 443, true),
            ("[fd00::1]:443", "[fd00::1]", 443, true),
            ("[fd00::1]:443", "[fd00::1]", 80, false),
            // Go splits at commas alone, and takes brackets only before a port.
            ("login.corp other.corp", "login.corp", 443, false),
            ("[fd00::1]", "[fd00::1]", 443, false),
            // Names never match addresses, nor addresses names.
            ("0.0.1", "127.0.0.1", 80, false),
            ("10.0.0.1", "10.0.0.1.example", 80, false),
            ("1.2.3.4/24", "1.2.3.200", 80, true),
            ("10.0.0.0/8", "10.0.0.1.example", 80, false),
            // IPv4 is IPv4 however it is written.
            ("10.0.0.0/8", "[::ffff:10.1.2.3]", 80, true),
            ("::ffff:10.0.0.0/104", "10.1.2.3", 80, true),
            ("::ffff:10.1.2.3", "10.1.2.3", 80, true),
            ("0.0.0.0/0", "10.1.2.3", 80, true),
            ("::/0", "10.1.2.3", 80, false),
            // What means nothing.
            ("", "example.com", 80, false),
            (",,", "example.com", 80, false),
            ("*example.com", "www.example.com", 80, false),
            ("http://example.com", "example.com", 80, false),
            ("]:[,[,],[]:1,.,*.,:", "example.com", 80, false),
        ] {
            assert_eq!(NoProxy::new(entries).names(host, port), is_named, "{entries}: {host}:{port}");
        }
    }
}
