//! The host that a request is for, canonical.
//!
//! Routes, cookies and redirect URIs all hang on this one reading, so it is strict: what two programs could read differently
//! (user information, percent-encoding, numbers that a browser takes for an IPv4 address, IPv6 zones) is not a host at all.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// A canonical host: lower-case, without a trailing dot and without the scheme's default port. Cloning is a reference count.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Host {
    authority: Arc<str>,
    name_len: usize,
    port: Option<u16>,
}

impl Host {
    /// Reads `host[:port]` as it stands in a `Host` field or in a URL of the scheme `https` or `http`; `None` when it is not valid.
    pub fn parse(text: &str, https: bool) -> Option<Self> {
        Self::read(text, Some(default_port(https)))
    }

    /// Reads what [`authority`](Self::authority) gave, whatever its scheme was.
    pub(super) fn stored(text: &str) -> Option<Self> {
        Self::read(text, None)
    }

    /// The name alone, for routes and cookies: a DNS name, an IPv4 address, or an IPv6 address in brackets.
    pub fn name(&self) -> &str {
        self.authority.get(..self.name_len).unwrap_or(&self.authority)
    }

    /// The port, where it is not the scheme's default.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The port that a browser connects to for this host.
    pub fn effective_port(&self, https: bool) -> u16 {
        self.port.unwrap_or_else(|| default_port(https))
    }

    /// `name[:port]` as it goes into a URL or a `Host` field.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Reads a host and drops the default port.
    fn read(text: &str, default_port: Option<u16>) -> Option<Self> {
        let (name, port) = split(text)?;
        let port = match port {
            Some(digits) => Some(parse_port(digits)?),
            None => None,
        };
        let port = port.filter(|&p| Some(p) != default_port);
        let mut authority = canonical_name(name)?;
        let name_len = authority.len();
        if let Some(port) = port {
            authority.push(':');
            authority.push_str(&port.to_string());
        }
        Some(Self { authority: authority.into(), name_len, port })
    }
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.authority)
    }
}

/// Whether a host name is below a domain, label by label: `wiki.own.example` is below `own.example`, which is not below itself.
pub fn is_below(name: &str, domain: &str) -> bool {
    name.strip_suffix(domain).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

/// The address that the host of a URL names without a resolver ([RFC 6761 section 6.3](https://www.rfc-editor.org/rfc/rfc6761#section-6.3)
/// for `localhost`). An IPv4-mapped IPv6 address is the IPv4 address.
pub fn known_address<S: AsRef<str>>(host: &url::Host<S>) -> Option<IpAddr> {
    match host {
        url::Host::Ipv4(address) => Some((*address).into()),
        url::Host::Ipv6(address) => Some(address.to_canonical()),
        url::Host::Domain(name) => {
            let name = name.as_ref().trim_end_matches('.');
            (name == "localhost" || is_below(name, "localhost")).then_some(Ipv4Addr::LOCALHOST.into())
        }
    }
}

/// Whether what is sent to the host of a URL never leaves this machine.
pub fn is_loopback<S: AsRef<str>>(host: &url::Host<S>) -> bool {
    known_address(host).is_some_and(|address| address.is_loopback())
}

/// The name of a scheme.
pub fn scheme(https: bool) -> &'static str {
    if https { "https" } else { "http" }
}

/// The port of a URL that names none.
pub(super) fn default_port(https: bool) -> u16 {
    if https { 443 } else { 80 }
}

/// Name and port.
fn split(text: &str) -> Option<(&str, Option<&str>)> {
    if text.starts_with('[') {
        let (name, rest) = text.split_at_checked(text.find(']')? + 1)?;
        return match rest.strip_prefix(':') {
            Some(port) => Some((name, Some(port))),
            None => rest.is_empty().then_some((name, None)),
        };
    }
    Some(text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port))))
}

/// Stricter than the grammar, which also takes an empty port and leading zeros: honest clients do not send them.
fn parse_port(digits: &str) -> Option<u16> {
    let canonical = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
    if canonical { digits.parse().ok() } else { None }
}

/// The one spelling of a name or address.
fn canonical_name(name: &str) -> Option<String> {
    if let Some(inner) = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')) {
        // A zone ("%eth0") does not parse: it means something on the sender's machine only (RFC 6874 section 4).
        return inner.parse::<Ipv6Addr>().ok().map(|ip| format!("[{ip}]"));
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() || name.len() > LONGEST_NAME {
        return None;
    }
    let valid = name.split('.').all(|label| (1..=LONGEST_LABEL).contains(&label.len()) && label.bytes().all(in_label));
    let last = name.rsplit('.').next()?;
    // WHATWG URL section 3.5: a browser reads such a name as an IPv4 address, "0x7f.1" and "2130706433" included (AT-OR-08).
    if !valid || (ends_in_a_number(last) && name.parse::<Ipv4Addr>().is_err()) {
        return None;
    }
    Some(name.to_ascii_lowercase())
}

/// The underscore is not for host names, but container networks use it and browsers take it.
fn in_label(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

/// Whether a browser takes the name for an IPv4 address.
fn ends_in_a_number(label: &str) -> bool {
    let hex = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
    label.bytes().all(|b| b.is_ascii_digit()) || hex.is_some_and(|h| h.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Bytes of a name ([RFC 1035 section 2.3.4](https://www.rfc-editor.org/rfc/rfc1035#section-2.3.4)).
const LONGEST_NAME: usize = 253;
/// Bytes of a label.
const LONGEST_LABEL: usize = 63;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use url::Url;

    use super::*;

    #[test]
    fn case_trailing_dot_and_default_port_do_not_matter() {
        let host = Host::parse("Own.EXAMPLE.:443", true).unwrap(); // AT-PM-17
        assert_eq!((host.name(), host.port(), host.authority()), ("own.example", None, "own.example"));
        assert_eq!(host, Host::parse("own.example", true).unwrap());
        assert_eq!(Host::parse("own.example:443", false).unwrap().authority(), "own.example:443");
        assert_eq!(Host::parse("own.example:8443", true).unwrap().effective_port(true), 8443);
    }

    #[test]
    fn addresses_are_hosts_in_one_spelling() {
        assert_eq!(Host::parse("127.0.0.1:8080", false).unwrap().name(), "127.0.0.1");
        let v6 = Host::parse("[0:0::1]:8080", false).unwrap();
        assert_eq!((v6.name(), v6.port(), v6.authority()), ("[::1]", Some(8080), "[::1]:8080"));
    }

    #[test]
    fn what_two_programs_could_read_differently_is_refused() {
        // PX-09, AT-PM-17, AT-OR-05, AT-OR-08
        for bad in [
            "",
            " ",
            ".",
            "own..example",
            ".own",
            "own:80@evil",
            "user@own",
            "own example",
            "own\texample",
            " own",
            "own:",
            "own:0",
            "own:080",
            "own:+80",
            "own:65536",
            "own:80:80",
            "[::1",
            "[::1]x",
            "[fe80::1%25eth0]",
            "[fe80::1%eth0]",
            "own/evil",
            "own\\evil",
            "own?x",
            "own#x",
            "own%2eexample",
            "öwn.example",
            "own\u{ff0e}example",
            "0x7f000001",
            "2130706433",
            "127.1",
            "1.2.3.4.5",
            "0x7f.1",
            "010.0.0.1",
            "own.0x",
            "own,evil",
            "own;evil",
            "*",
            "::1",
        ] {
            assert_eq!(Host::parse(bad, true), None, "{bad:?}");
        }
        assert_eq!(Host::parse(&"a".repeat(64), true), None);
        assert_eq!(Host::parse(&"a.".repeat(200), true), None);
    }

    #[test]
    fn stored_form_keeps_its_port() {
        assert_eq!(Host::stored("own.example:443").unwrap().port(), Some(443));
    }

    proptest! {
        /// AT-OR-05, AT-OR-08: a name that we take is the name that a browser takes.
        #[test]
        fn a_browser_reads_the_same_host(text in "[a-zA-Z0-9.:@_\\[\\]x%-]{1,24}") {
            if let Some(host) = Host::parse(&text, true) && let Ok(url) = Url::parse(&format!("https://{text}/")) {
                let theirs = url.host_str().unwrap();
                let ours = Url::parse(&format!("https://{}/", host.authority())).unwrap();
                prop_assert_eq!(theirs.trim_end_matches('.'), ours.host_str().unwrap());
                prop_assert_eq!(url.port(), host.port());
            }
        }

        #[test]
        fn reading_is_idempotent(text in "\\PC{0,40}", https: bool) {
            if let Some(host) = Host::parse(&text, https) {
                let again = Host::parse(host.authority(), https);
                prop_assert_eq!(again, Some(host));
            }
        }
    }
}
