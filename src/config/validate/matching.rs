//! What requests are matched by: hosts, paths, methods, origins.

use http::Method;
use url::{Host, Url};

use super::{Field, Flaw, Found, OneOrMany, Problems, distinct, each, first_flaw, kinds, parsed};
use crate::gateway::settings::HostPattern;
use crate::request::path::is_read_alike;

/// `host`: exact names and `*.suffix`; none for any.
pub(super) fn hosts(field: &Field<OneOrMany<String>>, problems: &mut Problems) -> Vec<HostPattern> {
    distinct(field, kinds::EMPTY_HOSTS, problems, host_pattern).unwrap_or_default()
}

/// The pattern in its canonical form.
fn host_pattern(text: &str) -> Result<HostPattern, Flaw> {
    let (is_suffix, name) = text.strip_prefix("*.").map_or((false, text), |rest| (true, rest));
    let name = name.trim_end_matches('.');
    let bracketed = name.starts_with('[') && name.ends_with(']');
    let help = match Host::parse(name) {
        _ if text == "*" => "leave the key out for any host",
        _ if text.contains('/') => "write the host alone, without scheme and path: \"wiki.example.com\"",
        _ if name.contains('*') => "a star stands for whole labels at the beginning only: \"*.example.com\"",
        _ if !bracketed && name.contains(':') => "write the host without a port; every port of it is matched",
        Ok(Host::Domain(name)) if is_suffix => return Ok(HostPattern::Suffix(name)),
        Ok(_) if is_suffix => "addresses have no hosts below them",
        Ok(host) => return Ok(HostPattern::Exact(host.to_string())),
        Err(_) => "write a host name such as \"wiki.example.com\" or \"*.example.com\"",
    };
    Err(Flaw::of(kinds::NO_HOST, "cannot match", text).help(help))
}

/// A prefix by whole segments, without the last slash except for `/` itself; `key` is what the message names.
pub(super) fn path(found: &Found<String>, key: &str, problems: &mut Problems) -> Option<String> {
    if let Some(flaw) = path_flaw(&found.value) {
        problems.flaw(Flaw::new(kinds::NO_PATH, format!("cannot be matched: {flaw}")), &found.place, key);
        return None;
    }
    // `/admin/` and `/admin` mean the same.
    let trimmed = found.value.trim_end_matches('/');
    Some(if trimmed.is_empty() { "/" } else { trimmed }.to_owned())
}

/// Why no canonical request path could start with this.
pub(super) fn path_flaw(path: &str) -> Option<&'static str> {
    let mut segments = path.split('/');
    first_flaw([
        (!path.starts_with('/'), "it does not start with a slash"),
        (path.contains("//"), "it holds an empty segment (`//`)"),
        (segments.any(|segment| matches!(segment, "." | "..")), "it holds dot segments"),
        (path.contains(['?', '#']), "it holds a query or fragment, and only paths are matched"),
        (path.contains('%'), "it is percent-encoded, and paths are matched decoded"),
        (path.contains('*'), "it holds a star, and every path covers what is below it"),
        (path.contains(|c: char| c == '\\' || c.is_control()), "it holds a backslash or a control character"),
        (!is_read_alike(path), "some programs cut such a path, so that requests for it would be refused as ambiguous"),
    ])
}

/// `methods`: upper-case tokens; `None` for any.
pub(super) fn methods(field: &Field<OneOrMany<String>>, problems: &mut Problems) -> Option<Vec<Method>> {
    parsed(field, kinds::EMPTY_METHODS, problems, |item| method(&item.value))
}

/// A method that is not refused for every route.
fn method(text: &str) -> Result<Method, Flaw> {
    let upper = text.to_ascii_uppercase();
    let help = match Method::from_bytes(text.as_bytes()) {
        _ if matches!(text, "TRACE" | "CONNECT") => "TRACE and CONNECT are refused for every route".to_owned(),
        Ok(method) if text == upper => return Ok(method),
        _ => format!("methods are upper-case words: \"{}\"", upper.escape_default()),
    };
    Err(Flaw::of(kinds::NO_METHOD, "cannot hold", text).help(help))
}

/// Origins, lower-case and without the scheme's own port, as browsers send them.
pub(super) fn origins(field: &Field<OneOrMany<String>>, problems: &mut Problems) -> Vec<String> {
    each(field, problems, |item| {
        let url = Url::parse(&item.value).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let url = url.filter(|url| url.path() == "/" && url.query().is_none() && url.fragment().is_none());
        let flaw = || Flaw::of(kinds::NO_ORIGIN, "cannot hold", &item.value);
        url.map(|url| url.origin().ascii_serialization()).ok_or_else(flaw)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_become_canonical() {
        let exact = |name: &str| HostPattern::Exact(name.to_owned());
        assert_eq!(host_pattern("Wiki.Example.COM.").unwrap(), exact("wiki.example.com"));
        assert_eq!(host_pattern("*.example.com").unwrap(), HostPattern::Suffix("example.com".into()));
        assert_eq!(host_pattern("bücher.example").unwrap(), exact("xn--bcher-kva.example"));
        assert_eq!(host_pattern("[::1]").unwrap(), exact("[::1]"));
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
