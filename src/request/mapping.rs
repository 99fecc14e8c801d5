//! How the paths of browsers and those of an application correspond: `strip_prefix` of a route, and the base path of an upstream URL.
//!
//! Both are compared by whole segments, each decoded once: `/wiki` covers `/wiki`, `/wiki/x` and `/%77iki/x`, and neither `/wikis`
//! nor `/wiki%2Fx`. What stands behind them stays byte for byte.

use std::sync::Arc;

use bytes::Bytes;
use http::uri::PathAndQuery;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::readings::to_text;
use super::steps;

/// What one address of an application gets in place of the path that a browser asked for, and the way back.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct PathMapping {
    prefix: Beginning,
    base: Beginning,
}

impl PathMapping {
    /// Takes `prefix` off and puts `base` in front; both are decoded, start with a slash and end without one, and are empty where
    /// there is nothing to take off or to put in front.
    pub fn new(prefix: &str, base: &str) -> Self {
        Self { prefix: Beginning::new(prefix), base: Beginning::new(base) }
    }

    /// What is taken off, as it stands in a URL: `/wiki`. Empty where nothing is.
    pub fn prefix(&self) -> &str {
        &self.prefix.sent
    }

    /// What is put in front, as it stands in a URL: `/base`. Empty where nothing is.
    pub fn base(&self) -> &str {
        &self.base.sent
    }

    /// Whether paths stay as they are.
    pub fn is_identity(&self) -> bool {
        self.prefix.is_empty() && self.base.is_empty()
    }

    /// The path that the application gets in place of what a browser sends, both as they stand in a URL. A query or fragment may
    /// follow, and stays. `None` where it does not begin with the prefix.
    pub fn to_application(&self, path: &str) -> Option<String> {
        self.prefix.taken_off(path).map(|rest| put_before(&self.base.sent, rest))
    }

    /// The path by which a browser reaches what the application calls so, both as they stand in a URL. A query or fragment may
    /// follow, and stays. `None` where it lies outside the base.
    pub fn to_browser(&self, path: &str) -> Option<String> {
        self.base.taken_off(path).map(|rest| put_before(&self.prefix.sent, rest))
    }

    /// Whether a browser's path lies below the prefix: an application that heeds `X-Forwarded-Prefix` names such paths itself.
    pub fn is_below_prefix(&self, path: &str) -> bool {
        !self.prefix.is_empty() && self.prefix.taken_off(path).is_some()
    }

    /// The same of any bytes.
    pub fn bytes_to_application(&self, path: &[u8]) -> Option<Vec<u8>> {
        let rest = path.get(self.prefix.length_in(path)?..)?;
        let slash: &[u8] = if self.base.is_empty() && !rest.starts_with(b"/") { b"/" } else { b"" };
        Some([self.base.sent.as_bytes(), slash, rest].concat())
    }

    /// The same of a target: path and query.
    pub fn target_to_application(&self, target: &PathAndQuery) -> Option<PathAndQuery> {
        let mapped = self.bytes_to_application(target.as_str().as_bytes())?;
        PathAndQuery::from_maybe_shared(Bytes::from(mapped)).ok()
    }

    /// The target without the prefix and without the base: what a proxy passes on that takes the base off again.
    pub fn target_behind_base(&self, target: &PathAndQuery) -> Option<PathAndQuery> {
        Self { prefix: self.prefix.clone(), base: Beginning::default() }.target_to_application(target)
    }

    /// The browser's decoded path of what some program reads behind the prefix.
    pub fn behind_prefix(&self, reading: &str) -> String {
        put_before(&self.prefix.text, reading)
    }

    /// What rules say about: the browser's decoded path of one that some program reads as the application's. `None` outside the base.
    pub fn judged_path(&self, reading: &str) -> Option<String> {
        let rest = reading.strip_prefix(&*self.base.text).filter(|rest| rest.is_empty() || rest.starts_with('/'))?;
        Some(self.behind_prefix(rest))
    }
}

/// How paths begin.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
struct Beginning {
    /// Decoded.
    text: Arc<str>,
    /// As it stands in a URL.
    sent: Arc<str>,
}

impl Beginning {
    /// Of decoded text.
    fn new(text: &str) -> Self {
        Self { text: Arc::from(text), sent: utf8_percent_encode(text, IN_PATH).collect::<String>().into() }
    }

    /// Whether every path begins so.
    fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// What stands behind it in a path, a query or fragment included.
    fn taken_off<'a>(&self, path: &'a str) -> Option<&'a str> {
        path.get(self.length_in(path.as_bytes())?..)
    }

    /// How many bytes of a path it takes.
    fn length_in(&self, path: &[u8]) -> Option<usize> {
        let mut end = 0;
        for segment in self.text.split('/').skip(1) {
            let rest = path.get(end..)?.strip_prefix(b"/")?;
            let length = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
            let mut decoded = Vec::with_capacity(length);
            steps::decode_but_slash(rest.get(..length)?, &mut decoded);
            if to_text(&decoded) != segment {
                return None;
            }
            end += 1 + length;
        }
        Some(end)
    }
}

/// One behind the other; the root where both are empty.
fn put_before(beginning: &str, rest: &str) -> String {
    let slash = if beginning.is_empty() && !rest.starts_with('/') { "/" } else { "" };
    format!("{beginning}{slash}{rest}")
}

/// What cannot stand in a path ([RFC 3986 section 3.3](https://www.rfc-editor.org/rfc/rfc3986#section-3.3)).
const IN_PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_mapped_by_whole_segments_and_back() {
        for (prefix, base, browser, application) in [
            ("/wiki", "", "/wiki/x?a=/wiki#f", Some("/x?a=/wiki#f")),
            ("/wiki", "", "/wiki/", Some("/")),
            ("/wiki", "/base", "/wiki", Some("/base")),
            ("/wiki", "/base", "/wiki?q", Some("/base?q")),
            ("/wiki", "/base", "/wiki/x//y/%2e", Some("/base/x//y/%2e")),
            ("/a/b", "/c/d", "/a/b/x", Some("/c/d/x")),
            ("", "/base", "/x", Some("/base/x")),
            ("", "/base", "/", Some("/base/")),
            ("/über uns", "/café", "/%C3%BCber%20uns/x", Some("/caf%C3%A9/x")),
            ("/wiki", "", "/wikis", None),
            ("/wiki", "", "/wiki%2Fx", None),
            ("/wiki", "", "/wiki;a/x", None),
            ("/wiki", "", "/Wiki/x", None),
            ("/wiki", "", "//wiki/x", None),
            ("/wiki", "", "/", None),
            ("/a/b", "", "/a", None),
            ("/a/b", "", "/a?/b", None),
        ] {
            let mapping = PathMapping::new(prefix, base);
            assert_eq!(mapping.to_application(browser).as_deref(), application, "{browser}");
            if let Some(application) = application {
                assert_eq!(mapping.to_browser(application).as_deref(), Some(browser), "{application}");
            }
        }
    }

    #[test]
    fn nothing_left_is_the_root() {
        let mapping = PathMapping::new("/wiki", "");
        assert_eq!(mapping.to_application("/wiki").unwrap(), "/");
        assert_eq!(mapping.to_application("/wiki?q=1").unwrap(), "/?q=1");
        assert_eq!(mapping.bytes_to_application(b"/wiki?\xff").unwrap(), b"/?\xff");
        assert_eq!(
            PathMapping::new("/wiki", "/base").target_behind_base(&PathAndQuery::from_static("/wiki?q")).unwrap(),
            "/?q"
        );
        assert_eq!(PathMapping::new("", "/base").to_browser("/base").unwrap(), "/");
    }

    #[test]
    fn a_prefix_that_is_written_with_escapes_is_the_prefix() {
        assert_eq!(PathMapping::new("/wiki", "").to_application("/%77iki/%78").unwrap(), "/%78");
    }

    #[test]
    fn what_lies_outside_the_base_has_no_path_for_browsers() {
        let mapping = PathMapping::new("/wiki", "/base");
        for outside in ["/", "/basement/x", "/x", "/base;x/y", "//base/x", "base/x", ""] {
            assert_eq!(mapping.to_browser(outside), None, "{outside}");
        }
        for outside in ["/", "/basement/x", "/x"] {
            assert_eq!(mapping.judged_path(outside), None, "{outside}");
        }
        assert_eq!(mapping.judged_path("/base/a b").unwrap(), "/wiki/a b");
    }

    #[test]
    fn the_prefix_itself_is_known_by_whole_segments() {
        let mapping = PathMapping::new("/wiki", "");
        assert!(mapping.is_below_prefix("/wiki/x") && mapping.is_below_prefix("/wiki?x"));
        assert!(!mapping.is_below_prefix("/wikis") && !PathMapping::default().is_below_prefix("/x"));
    }

    proptest::proptest! {
        #[test]
        fn what_is_mapped_comes_back_as_it_was(rest in "(/[a-c%41.;é?#]{0,4}){1,4}", base in "(/[a-cé]{1,3}){0,2}") {
            let mapping = PathMapping::new("/wiki", &base);
            let browser = format!("/wiki{rest}");
            let application = mapping.to_application(&browser).unwrap();
            proptest::prop_assert_eq!(mapping.to_browser(&application).unwrap(), browser);
            proptest::prop_assert!(application.starts_with(mapping.base()));
        }
    }
}
