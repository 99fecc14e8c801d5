//! The cleaning of every text that came from elsewhere before it stands on a page.

use crate::clock::UnixTime;

/// What is known of a person, best first, cleaned, without repeats; never empty.
pub(super) fn person(texts: [Option<&str>; 3]) -> Vec<String> {
    let mut lines = Vec::new();
    for text in texts.into_iter().flatten().map(|text| clipped(text, PERSON_BUDGET)) {
        if !text.is_empty() && !lines.contains(&text) {
            lines.push(text);
        }
    }
    if lines.is_empty() {
        lines.push("somebody without a name".to_owned());
    }
    lines
}

/// A link that can only lead to a web page: `javascript:` and its kind become the start page.
pub(super) fn safe_href(href: &str) -> &str {
    let lower = href.get(..8).unwrap_or(href).to_ascii_lowercase();
    let taken = href.is_empty()
        || (href.starts_with('/') && !href.starts_with("//") && !href.starts_with("/\\"))
        || href.starts_with('?')
        || lower.starts_with("https://")
        || lower.starts_with("http://");
    if taken { href } else { "/" }
}

/// A text from elsewhere as it may stand on a page: one line, without control characters, and no longer than `budget` bytes once
/// it is escaped, so that no claim can make a page larger than proxies take.
pub(super) fn clipped(text: &str, budget: usize) -> String {
    let mut left = budget;
    let mut out = String::new();
    for c in text.chars().map(|c| if c.is_control() { ' ' } else { c }) {
        let cost = match c {
            '<' | '>' => 4,
            '&' => 5,
            '"' | '\'' | '/' => 6,
            _ => c.len_utf8(),
        };
        let Some(rest) = left.checked_sub(cost) else {
            out.push('…');
            break;
        };
        left = rest;
        out.push(c);
    }
    out.trim().to_owned()
}

/// The printable set of [RFC 6749 appendix A.7](https://www.rfc-editor.org/rfc/rfc6749#appendix-A.7) (NQSCHAR), everything else left
/// out.
pub(super) fn oauth_text(text: &str, cap: usize) -> String {
    let kept: String = text.chars().filter(|c| matches!(c, ' '..='!' | '#'..='[' | ']'..='~')).take(cap).collect();
    kept.trim().to_owned()
}

/// A span of time for people.
pub(in crate::gateway) fn in_words(seconds: u64) -> String {
    match seconds {
        0..=1 => "a second".to_owned(),
        2..=90 => format!("{seconds} seconds"),
        _ => format!("{} minutes", seconds.div_ceil(60)),
    }
}

/// The time for people and for `<time datetime>`.
pub(in crate::gateway) fn utc(now: UnixTime) -> (String, String) {
    let iso = now.rfc3339();
    (iso.replace('T', " ").replace('Z', " UTC"), iso)
}

/// Bytes of one line about a person.
const PERSON_BUDGET: usize = 320;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_to_a_web_page_or_to_the_start() {
        for good in ["", "/", "/a?b=c", "?x=1", "https://a.example/x", "HTTP://a.example"] {
            assert_eq!(safe_href(good), good);
        }
        for bad in
            ["javascript:alert(1)", " javascript:x", "data:text/html,x", "//evil.example", "/\\evil.example", "x"]
        {
            assert_eq!(safe_href(bad), "/", "{bad}");
        }
    }

    #[test]
    fn a_clipped_text_is_one_line_within_its_budget_when_escaped() {
        assert_eq!(clipped("a\r\nb\u{0}", 99), "a  b");
        assert_eq!(clipped("ééé", 4), "éé…");
        assert_eq!(clipped("<<<", 8), "<<…");
    }

    #[test]
    fn a_person_is_described_once_and_never_by_nothing() {
        assert_eq!(person([None, Some("a@b.example"), Some("a@b.example")]), ["a@b.example"]);
        assert_eq!(person([None; 3]).len(), 1);
    }
}
