//! What requests are matched by: hosts, paths, methods, origins.

use http::Method;
use url::{Host, Url};

use super::super::kinds;
use super::super::problems::Problems;
use super::super::reading::{Field, Found};
use super::super::units::OneOrMany;
use super::filled;
use crate::gateway::settings::HostPattern;
use crate::request::path::is_read_alike;

/// `host`: exact names and `*.suffix`; none for any.
pub(super) fn hosts(field: &Field<OneOrMany<String>>, problems: &mut Problems) -> Vec<HostPattern> {
    let items = filled(field, kinds::EMPTY_HOSTS, problems).unwrap_or_default();
    let mut hosts = Vec::new();
    for item in items {
        match host_pattern(&item.value) {
            Ok(pattern) if hosts.contains(&pattern) => {
                problems.on(kinds::GIVEN_TWICE, item, format!("names \"{}\" twice", item.value.escape_default()));
            }
            Ok(pattern) => hosts.push(pattern),
            Err(help) => {
                let what = format!("cannot match \"{}\"", item.value.escape_default());
                problems.on(kinds::NO_HOST, item, what).help(help);
            }
        }
    }
    hosts
}

/// The pattern in its canonical form, or what to write instead.
fn host_pattern(text: &str) -> Result<HostPattern, &'static str> {
    if text == "*" {
        return Err("leave the key out for any host");
    }
    if text.contains("://") || text.contains('/') {
        return Err("write the host alone, without scheme and path: \"wiki.example.com\"");
    }
    let (suffix, name) = text.strip_prefix("*.").map_or((false, text), |rest| (true, rest));
    if name.contains('*') {
        return Err("a star stands for whole labels at the beginning only: \"*.example.com\"");
    }
    let name = name.trim_end_matches('.');
    let bracketed = name.starts_with('[') && name.ends_with(']');
    if !bracketed && name.contains(':') {
        return Err("write the host without a port; every port of it is matched");
    }
    let host = Host::parse(name).map_err(|_| "write a host name such as \"wiki.example.com\" or \"*.example.com\"")?;
    match (suffix, host) {
        (true, Host::Domain(name)) => Ok(HostPattern::Suffix(name)),
        (true, _) => Err("addresses have no hosts below them"),
        (false, host) => Ok(HostPattern::Exact(host.to_string())),
    }
}

/// A prefix by whole segments, without the last slash except for `/` itself.
pub(super) fn path(found: &Found<String>, key: &str, problems: &mut Problems) -> Option<String> {
    match path_flaw(&found.value) {
        None => Some(trimmed(&found.value)),
        Some(flaw) => {
            problems.add(kinds::NO_PATH, &found.place, format!("`{key}` cannot be matched: {flaw}"));
            None
        }
    }
}

/// `/admin/` and `/admin` mean the same.
fn trimmed(path: &str) -> String {
    match path.trim_end_matches('/') {
        "" => "/".to_owned(),
        path => path.to_owned(),
    }
}

/// Why no canonical request path could start with this.
pub(super) fn path_flaw(path: &str) -> Option<&'static str> {
    if !path.starts_with('/') {
        return Some("it does not start with a slash");
    }
    if path.contains("//") {
        return Some("it holds an empty segment (`//`)");
    }
    if path.split('/').any(|segment| segment == "." || segment == "..") {
        return Some("it holds dot segments");
    }
    if path.contains(['?', '#']) {
        return Some("it holds a query or fragment, and only paths are matched");
    }
    if path.contains('%') {
        return Some("it is percent-encoded, and paths are matched decoded");
    }
    if path.contains('*') {
        return Some("it holds a star, and every path covers what is below it");
    }
    if path.contains('\\') || path.chars().any(char::is_control) {
        return Some("it holds a backslash or a control character");
    }
    if !is_read_alike(path) {
        return Some("some programs cut such a path, so that requests for it would be refused as ambiguous");
    }
    None
}

/// `methods`: upper-case tokens; `None` for any.
pub(super) fn methods(field: &Field<OneOrMany<String>>, problems: &mut Problems) -> Option<Vec<Method>> {
    let items = filled(field, kinds::EMPTY_METHODS, problems)?;
    let mut methods = Vec::new();
    for item in items {
        let text = item.value.as_str();
        let refused = matches!(text, "TRACE" | "CONNECT");
        match Method::from_bytes(text.as_bytes()) {
            Ok(method) if !refused && text == text.to_ascii_uppercase() => methods.push(method),
            _ => {
                let what = format!("cannot hold \"{}\"", text.escape_default());
                let help = if refused {
                    "TRACE and CONNECT are refused for every route".to_owned()
                } else {
                    format!("methods are upper-case words: \"{}\"", text.to_ascii_uppercase().escape_default())
                };
                problems.on(kinds::NO_METHOD, item, what).help(help);
            }
        }
    }
    Some(methods)
}

/// Origins, lower-case and without the scheme's own port, as browsers send them.
pub(super) fn origins(field: &Field<OneOrMany<String>>, problems: &mut Problems) -> Vec<String> {
    let mut origins = Vec::new();
    for item in field.value().into_iter().flat_map(|list| &list.0) {
        let url = Url::parse(&item.value).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        match url.filter(|url| url.path() == "/" && url.query().is_none() && url.fragment().is_none()) {
            Some(url) => origins.push(url.origin().ascii_serialization()),
            None => {
                problems.on(kinds::NO_ORIGIN, item, format!("cannot hold \"{}\"", item.value.escape_default()));
            }
        }
    }
    origins
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_become_canonical() {
        assert_eq!(host_pattern("Wiki.Example.COM."), Ok(HostPattern::Exact("wiki.example.com".into())));
        assert_eq!(host_pattern("*.example.com"), Ok(HostPattern::Suffix("example.com".into())));
        assert_eq!(host_pattern("bücher.example"), Ok(HostPattern::Exact("xn--bcher-kva.example".into())));
        assert_eq!(host_pattern("[::1]"), Ok(HostPattern::Exact("[::1]".into())));
        for bad in ["*", "a.*.example", "https://a", "a/b", "a:80", "", "*.10.0.0.1", "a b"] {
            assert!(host_pattern(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn paths_that_no_canonical_request_has_are_refused() {
        for bad in ["admin", "//a", "/a/../b", "/a/.", "/a%20b", "/a?b", "/a\\b", "/a/*", "/a\n"] {
            assert!(path_flaw(bad).is_some(), "{bad:?}");
        }
        for good in ["/", "/admin", "/admin/", "/ä b", "/a.b/..c"] {
            assert_eq!(path_flaw(good), None, "{good}");
        }
    }
}
