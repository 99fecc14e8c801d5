//! Where to send a browser after signing in: a type that can only name our own hosts.
//!
//! A value holds a canonical host of ours and a path that starts with exactly one slash, both in visible ASCII.
//! What it renders is always absolute, so that no browser has anything to resolve, and nothing to be talked into.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use super::RequestMeta;
use super::host::{Host, scheme};

/// A page on one of our own hosts.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "(String, String)", into = "(String, String)")]
pub struct ReturnTo {
    host: Host,
    /// Path, query and fragment.
    target: String,
}

/// Stored text that is no return-to: nothing that we sealed ever is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a page on a host of ours")]
pub struct NotAReturnTo;

impl ReturnTo {
    /// The page that this request asks for.
    pub fn here(request: &RequestMeta) -> Self {
        let raw = request.path.path_and_query().as_str();
        let below_root = raw.trim_start_matches(['/', '\\']);
        // A `#` there is no fragment: browsers send none.
        let target = escape(&format!("/{below_root}")).replace('#', "%23");
        Self { host: request.host.clone(), target }
    }

    /// The root of a host of ours.
    pub fn root(host: Host) -> Self {
        Self { host, target: "/".to_owned() }
    }

    /// Reads a target from an untrusted source: a path, which means the `current` host, or an absolute URL of the scheme that
    /// browsers use here (`https`), on the `current` host or one whose name `allowed` takes, and on the same port. Anything else is
    /// `None`; the caller then goes to the [`root`](Self::root). A fragment stays: many applications keep their own address there.
    pub fn parse(input: &str, current: &Host, https: bool, allowed: &dyn Fn(&str) -> bool) -> Option<Self> {
        // Browsers drop tabs and line breaks wherever they stand, and other control characters at the ends (AT-OR-04).
        if input.len() > LONGEST || input.chars().any(char::is_control) {
            return None;
        }
        let (address, fragment) = input.split_at_checked(input.find('#').unwrap_or(input.len()))?;
        if address.starts_with('/') {
            return Self::below(current.clone(), address, fragment);
        }
        let rest = strip_scheme(address, if https { "https://" } else { "http://" })?;
        let end = rest.find(['/', '?', '\\']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at_checked(end)?;
        // The strict reading of a host refuses user information and everything else of AT-OR-05 and AT-OR-08.
        let host = Host::parse(authority, https)?;
        let ours = host == *current || (host.port() == current.port() && allowed(host.name()));
        // Right behind an authority no browser writes a fragment, but tricks do.
        let fragment = if target.is_empty() { "" } else { fragment };
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        if ours { Self::below(host, &target, fragment) } else { None }
    }

    /// What [`host`](Self::host) and [`target`](Self::target) gave before, for a login attempt that comes back.
    ///
    /// # Errors
    /// When the two are not such parts.
    pub fn from_parts(authority: &str, target: &str) -> Result<Self, NotAReturnTo> {
        let host = Host::stored(authority).ok_or(NotAReturnTo)?;
        let (path_and_query, fragment) =
            target.split_at_checked(target.find('#').unwrap_or(target.len())).ok_or(NotAReturnTo)?;
        let visible = target.bytes().all(|b| b.is_ascii_graphic());
        Self::below(host, path_and_query, fragment).filter(|_| visible).ok_or(NotAReturnTo)
    }

    /// The host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The path, which starts with exactly one slash, the query, and the fragment with its `#`.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The whole URL, for `Location`: visible ASCII only.
    pub fn to_url(&self, https: bool) -> String {
        format!("{}://{}{}", scheme(https), self.host.authority(), self.target)
    }

    /// AT-OR-02: a second slash, or the backslash that browsers take for one, would name another host to a careless reader.
    fn below(host: Host, path_and_query: &str, fragment: &str) -> Option<Self> {
        let path = path_and_query.split('?').next()?;
        let one_slash = path_and_query.strip_prefix('/').is_some_and(|rest| !rest.starts_with('/'));
        (one_slash && !path.contains('\\'))
            .then(|| Self { host, target: format!("{}{}", escape(path_and_query), escape(fragment)) })
    }
}

impl TryFrom<(String, String)> for ReturnTo {
    type Error = NotAReturnTo;

    fn try_from((authority, target): (String, String)) -> Result<Self, NotAReturnTo> {
        Self::from_parts(&authority, &target)
    }
}

impl From<ReturnTo> for (String, String) {
    fn from(return_to: ReturnTo) -> Self {
        (return_to.host.authority().to_owned(), return_to.target)
    }
}

/// What stands behind this scheme.
fn strip_scheme<'a>(input: &'a str, scheme: &str) -> Option<&'a str> {
    let (start, rest) = input.split_at_checked(scheme.len())?;
    start.eq_ignore_ascii_case(scheme).then_some(rest)
}

/// What is not visible ASCII becomes the escapes that a browser would send; the rest stays as it is.
fn escape(target: &str) -> String {
    utf8_percent_encode(target, NOT_GRAPHIC).to_string()
}

/// What is no visible ASCII; bytes beyond ASCII are escaped anyway.
const NOT_GRAPHIC: &AsciiSet = &CONTROLS.add(b' ');
/// Bytes of a target that is looked at.
const LONGEST: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use url::Url;

    use super::*;

    fn own() -> Host {
        Host::parse("own.example", true).unwrap()
    }

    fn parse(input: &str) -> Option<String> {
        ReturnTo::parse(input, &own(), true, &|name| name == "wiki.own.example").map(|r| r.to_url(true))
    }

    #[test]
    fn own_pages_are_kept() {
        for (input, url) in [
            ("/", "https://own.example/"),
            ("/page?a=b&c=%2F", "https://own.example/page?a=b&c=%2F"),
            ("/page?next=//evil.example\\", "https://own.example/page?next=//evil.example\\"),
            ("/page#part", "https://own.example/page#part"),
            ("/app#/route/7?tab=x", "https://own.example/app#/route/7?tab=x"),
            ("/a?b#c#d e\u{fc}", "https://own.example/a?b#c#d%20e%C3%BC"),
            ("https://own.example/#//evil.example", "https://own.example/#//evil.example"),
            ("https://own.example?x#y", "https://own.example/?x#y"),
            ("/wiki/Ü b", "https://own.example/wiki/%C3%9C%20b"),
            ("https://own.example", "https://own.example/"),
            ("HTTPS://OWN.example:443/x", "https://own.example/x"),
            ("https://own.example?x=y", "https://own.example/?x=y"),
            ("https://own.example.", "https://own.example/"),
            ("https://wiki.own.example/page", "https://wiki.own.example/page"),
            ("https://own.example#@evil.example", "https://own.example/"), // AT-OR-05
        ] {
            assert_eq!(parse(input).as_deref(), Some(url), "{input:?}");
        }
    }

    #[test]
    fn foreign_targets_are_refused() {
        for input in [
            // AT-OR-01
            "https://evil.example/",
            "http://evil.example/",
            "http://own.example/",
            "javascript:alert(1)",
            "data:text/html,x",
            "evil.example",
            "",
            // AT-OR-02
            "//evil.example",
            "///evil.example",
            "////evil.example/%2e%2e",
            "/\\evil.example",
            "\\\\evil.example",
            "\\/evil.example",
            "/\\/evil.example",
            "https:evil.example",
            "https:/evil.example",
            "https:///evil.example",
            "https:\\\\evil.example",
            "/a\\..\\..\\evil",
            // AT-OR-04
            "/\t/evil.example",
            "/\n/evil.example",
            "/\r/evil.example",
            "/\0/evil.example",
            "\t//evil.example",
            " //evil.example",
            " /x",
            "/x\r\nSet-Cookie: a=b",
            "/\u{85}x",
            "ht\ntps://own.example/",
            "\u{2028}//evil.example",
            // AT-OR-05
            "https://own.example@evil.example",
            "https://own.example:443@evil.example",
            "https://own.example%40evil.example",
            "https://own.example.evil.example",
            "https://evil.example?own.example",
            "https://evil.example#own.example",
            "https://@own.example/",
            "https://own.example:8443/",
            "https://own.example:/",
            "https://evil.example\\@own.example/",
            "https://own.example\\@evil.example/",
            "https://user@own.example/",
            "https://own.example,evil.example",
            "https://own.example;evil.example/",
            // AT-OR-08
            "https://own\u{ff0e}example/",
            "https://own.example\u{ff0f}evil.example/",
            "https:\u{ff0f}\u{ff0f}evil.example",
            "https://0x7f000001",
            "https://[::ffff:198.51.100.1]",
            "https://xn--wn-fka.example/",
            "https://öwn.example/",
            "https://2130706433/",
        ] {
            assert_eq!(parse(input), None, "{input:?}");
        }
        assert_eq!(parse(&format!("/{}", "a".repeat(LONGEST))), None);
    }

    #[test]
    fn encoded_slashes_stay_a_path_below_our_own_origin() {
        // AT-OR-04, AT-OR-07, AT-OR-11: what arrives still encoded is text of our own path
        for (input, url) in [
            ("/%09/evil.example", "https://own.example/%09/evil.example"),
            ("/%2f%2fevil.example", "https://own.example/%2f%2fevil.example"),
            ("/%252f%252fevil.example", "https://own.example/%252f%252fevil.example"),
            ("/%5cevil.example", "https://own.example/%5cevil.example"),
            ("/\u{2028}/evil.example", "https://own.example/%E2%80%A8/evil.example"),
            ("/\u{ff0f}evil.example", "https://own.example/%EF%BC%8Fevil.example"),
            ("/.//evil.example", "https://own.example/.//evil.example"),
        ] {
            assert_eq!(parse(input).as_deref(), Some(url), "{input:?}");
        }
        assert_eq!(parse("%2f%2fevil.example"), None);
    }

    #[test]
    fn the_port_is_the_current_hosts() {
        let current = Host::parse("own.example:8443", true).unwrap();
        let parse = |input| ReturnTo::parse(input, &current, true, &|_| true).is_some();
        assert!(parse("https://own.example:8443/") && parse("https://other.example:8443/"));
        assert!(!parse("https://own.example/") && !parse("https://other.example/"));
    }

    #[test]
    fn stored_parts_come_back_or_are_refused() {
        let target = ReturnTo::parse("/a?b=c", &own(), true, &|_| false).unwrap();
        assert_eq!(ReturnTo::from_parts(target.host().authority(), target.target()), Ok(target.clone()));
        let json = serde_json::to_string(&target).unwrap();
        assert_eq!(serde_json::from_str::<ReturnTo>(&json).unwrap(), target);
        for (authority, path) in [
            ("own.example", "//evil"),
            ("own.example", "a"),
            ("own@evil", "/"),
            ("own.example", "/\r\n"),
            ("own.example", "/é"),
            ("own.example", "/#é"),
            ("own.example", "#/"),
            ("", "/"),
        ] {
            assert!(ReturnTo::from_parts(authority, path).is_err(), "{authority} {path:?}");
            assert!(serde_json::from_value::<ReturnTo>(serde_json::json!([authority, path])).is_err());
        }
    }

    fn hostile() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            Just("/"),
            Just("//"),
            Just("\\"),
            Just("https:"),
            Just("https://"),
            Just("HTTPS://"),
            Just("http://"),
            Just("own.example"),
            Just("evil.example"),
            Just("@"),
            Just(":443"),
            Just(":"),
            Just("?"),
            Just("#"),
            Just("%2f"),
            Just("%40"),
            Just("%00"),
            Just("\t"),
            Just("\n"),
            Just("\r"),
            Just(" "),
            Just("\0"),
            Just("."),
            Just(".."),
            Just(";"),
            Just("[::1]"),
            Just("\u{ff0f}"),
            Just("\u{3002}"),
            Just("\u{2028}"),
            Just("0x7f.1"),
        ];
        prop_oneof![
            proptest::collection::vec(part, 0..10).prop_map(|parts| parts.concat()),
            "\\PC{0,60}".prop_map(String::from),
            any::<String>()
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        /// All of "Open redirects": whatever a stranger writes, the browser lands on a host of ours.
        #[test]
        fn a_browser_never_leaves_our_hosts(input in hostile()) {
            let target = ReturnTo::parse(&input, &own(), true, &|name| name == "wiki.own.example");
            if let Some(target) = target {
                let location = target.to_url(true);
                prop_assert!(location.bytes().all(|b| b.is_ascii_graphic()), "{location:?}");
                let url = Url::parse(&location).unwrap();
                prop_assert!(matches!(url.host_str(), Some("own.example" | "wiki.own.example")), "{location:?}");
                prop_assert_eq!((url.scheme(), url.port(), url.username(), url.password()), ("https", None, "", None));
                // Even as a relative reference, by a reader that shows only this part; a fragment is never sent to anybody.
                let relative = Url::parse("https://base.example/").unwrap().join(target.target()).unwrap();
                prop_assert_eq!(relative.host_str(), Some("base.example"));
                let again = ReturnTo::from_parts(target.host().authority(), target.target());
                prop_assert_eq!(again, Ok(target));
            }
        }

        /// CK-26: an honest path and query come back as they were.
        #[test]
        fn honest_pages_come_back_unchanged(path in "(/[a-zA-Z0-9._~%-]{1,8}){1,4}", query in "[a-zA-Z0-9=&%+]{0,20}") {
            let input = format!("{path}?{query}");
            prop_assert_eq!(parse(&input), Some(format!("https://own.example{input}")));
        }
    }
}
