//! URLs and parts of URLs in answers, read as browsers do ([URL Standard](https://url.spec.whatwg.org/#url-parsing)): tabs dropped,
//! backslashes taken for slashes, dot segments resolved.

use percent_encoding::{CONTROLS, percent_encode};
use url::{ParseError, Position, Url};

use super::places::{Named, Places};

/// What takes the place of a reference; `None` where it stays as it is.
pub(super) fn mapped(places: &Places<'_>, reference: &[u8]) -> Option<String> {
    // What browsers drop. They escape bytes that are not ASCII.
    let bytes: Vec<u8> = reference.iter().copied().filter(|byte| *byte != b'\t').collect();
    let text = percent_encode(bytes.trim_ascii(), CONTROLS).to_string();
    let found = match Url::parse(&text) {
        Ok(url) => of_url(places, &url, &text),
        Err(ParseError::RelativeUrlWithoutBase) => of_relative(places, &text),
        Err(_) => None,
    };
    found.filter(|mapped| mapped.as_bytes() != reference)
}

/// Of a URL with a scheme.
fn of_url(places: &Places<'_>, url: &Url, text: &str) -> Option<String> {
    let path = || places.path_for_browser(url.path());
    match places.named(url) {
        // The browser knows its own host and scheme best.
        Named::Application => Some(rooted(&path()?, text)),
        Named::Asked => moved(url, &path()?, Position::BeforeScheme, text),
        Named::Other => None,
    }
}

/// Of what has none.
fn of_relative(places: &Places<'_>, text: &str) -> Option<String> {
    // What begins so is about the page that was asked for.
    if text.is_empty() || text.starts_with(['?', '#']) {
        return None;
    }
    let url = places.asked.join(text).ok()?;
    let begins =
        |slashes: usize| text.len() >= slashes && text.bytes().take(slashes).all(|b| matches!(b, b'/' | b'\\'));
    if begins(2) {
        return match places.named(&url) {
            Named::Application => Some(rooted(&places.path_for_browser(url.path())?, text)),
            Named::Asked => moved(&url, &places.path_for_browser(url.path())?, Position::BeforeUsername, text)
                .map(|rest| format!("//{rest}")),
            Named::Other => None,
        };
    }
    if begins(1) {
        return Some(rooted(&places.path_for_browser(url.path())?, text));
    }
    let path = places.resolved_for_browser(url.path())?;
    // It stays where the browser finds its way by it.
    let found = places.browser.join(text).is_ok_and(|found| found.path() == path);
    (!found).then(|| rooted(&path, text))
}

/// A URL with another path, from `begin` on.
fn moved(url: &Url, path: &str, begin: Position, text: &str) -> Option<String> {
    (path != url.path()).then(|| format!("{}{path}{}", &url[begin..Position::BeforePath], behind_path(text)))
}

/// A path from the root of the browser's origin. One that begins with an empty segment would name another host (AT-OR-02).
fn rooted(path: &str, text: &str) -> String {
    let dot = if path.starts_with("//") { "/." } else { "" };
    format!("{dot}{path}{}", behind_path(text))
}

/// Query and fragment, as they were written.
fn behind_path(text: &str) -> &str {
    text.find(['?', '#']).and_then(|at| text.get(at..)).unwrap_or_default()
}
