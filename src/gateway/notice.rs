//! What a page is made of: notices, forms, links and people; and the cleaning of every text that came from elsewhere.

use std::time::Duration;

use http::StatusCode;

use crate::clock::UnixTime;
use crate::gateway::codes::Code;
use crate::identity::Identity;

/// Something that went wrong, or has to wait, in the words of its [`Code`].
#[derive(Clone, Debug)]
pub(super) struct Notice {
    /// What it is.
    pub(super) code: Code,
    /// The status of the answer; the code's own unless there is a reason.
    pub(super) status: StatusCode,
    /// The reason in the logs and metrics: the code's own unless there is a finer one. It stands among the lines for support.
    pub(super) reason: &'static str,
    /// What people call the provider that it is about.
    pub(super) provider: Option<String>,
    /// What the provider said, for support.
    pub(super) said: Vec<String>,
    /// Lines about this very case. They may come from elsewhere: they are cleaned and escaped when rendered.
    pub(super) details: Vec<String>,
    /// Who is signed in, where that matters.
    pub(super) person: Option<Person>,
    /// The one thing to do next.
    pub(super) action: Action,
    /// What to do instead where that does not help.
    pub(super) instead: Option<Action>,
    /// When it may be better, also sent as `Retry-After`.
    pub(super) retry_after: Option<Duration>,
}

impl Notice {
    /// The notice of a code, with its status. What to do next: try the same address again when the trouble passes by itself,
    /// otherwise go to the start page.
    pub(super) fn new(code: Code) -> Self {
        let action =
            if code.is_passing() { Action::link("Try again", "") } else { Action::link("Go to the start page", "/") };
        let (reason, status) = (code.reason(), code.status());
        let (provider, said, details) = (None, Vec::new(), Vec::new());
        Self { code, status, reason, provider, said, details, person: None, action, instead: None, retry_after: None }
    }

    /// With these lines about this very case.
    #[must_use]
    pub(super) fn details(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.details.extend(lines);
        self
    }

    /// With a finer reason than the code's.
    #[must_use]
    pub(super) fn reason(mut self, reason: &'static str) -> Self {
        self.reason = reason;
        self
    }

    /// With another thing to do next.
    #[must_use]
    pub(super) fn action(mut self, action: Action) -> Self {
        self.action = action;
        self
    }

    /// With another status than the code's.
    #[must_use]
    pub(super) fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// The notice of an authorization response with `error`. Both texts come from the browser's address bar: they are cut down
    /// to what RFC 6749 appendix A.7 and A.8 let them be, their length is capped (OA-08), and they stand among the lines for
    /// support, not among the words for the person. `error_uri` is never shown (OA-09).
    pub(super) fn provider_error(error: &str, description: Option<&str>) -> Self {
        let mut notice = Self::new(Code::of_provider_error(error)).reason(Code::reason_of_provider_error(error));
        let error = oauth_text(error, ERROR_CAP);
        let description = description.map(|text| oauth_text(text, DESCRIPTION_CAP)).filter(|text| !text.is_empty());
        let error = Some(error).filter(|error| error != notice.reason && !error.is_empty());
        notice.said = error.into_iter().chain(description.map(|text| format!("“{text}”"))).collect();
        notice
    }
}

/// The one thing that a page proposes to do next.
#[derive(Clone, Debug)]
pub(super) enum Action {
    /// Go somewhere by GET.
    Link {
        /// The words on it.
        label: String,
        /// Where to: a path of this host, an http(s) URL, or empty for the same address again. Anything else becomes `/`.
        href: String,
    },
    /// Send a form.
    Post {
        /// The words on the button.
        label: String,
        /// The form.
        form: Form,
    },
}

impl Action {
    /// A link.
    pub(super) fn link(label: impl Into<String>, href: impl Into<String>) -> Self {
        Self::Link { label: label.into(), href: href.into() }
    }

    /// A form with one button.
    pub(super) fn post(label: impl Into<String>, form: Form) -> Self {
        Self::Post { label: label.into(), form }
    }
}

/// A form with nothing but hidden fields; sent by POST.
#[derive(Clone, Debug)]
pub(super) struct Form {
    /// Where to: as for [`Action::Link`].
    pub(super) action: String,
    /// Names and values.
    pub(super) fields: Vec<(String, String)>,
}

/// The person who is signed in, as far as it is known.
#[derive(Clone, Debug, Default)]
pub(super) struct Person {
    /// What they are called.
    pub(super) name: Option<String>,
    /// Their e-mail address.
    pub(super) email: Option<String>,
    /// Their user name or subject.
    pub(super) user: Option<String>,
}

impl Person {
    /// The person of an identity.
    pub(super) fn of(identity: &Identity) -> Self {
        let user = identity.user.clone().unwrap_or_else(|| identity.subject.clone());
        Self { name: identity.name.clone(), email: identity.email.clone(), user: Some(user) }
    }

    /// What is known of them, best first, cleaned, without repeats; never empty.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for text in [&self.name, &self.email, &self.user].into_iter().flatten() {
            let text = clipped(text, PERSON_BUDGET);
            if !text.is_empty() && !lines.contains(&text) {
                lines.push(text);
            }
        }
        if lines.is_empty() {
            lines.push("somebody without a name".to_owned());
        }
        lines
    }
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

/// The printable set of RFC 6749 appendix A.7 and A.8 (NQSCHAR), everything else left out.
fn oauth_text(text: &str, cap: usize) -> String {
    let kept: String = text.chars().filter(|c| matches!(c, ' '..='!' | '#'..='[' | ']'..='~')).take(cap).collect();
    kept.trim().to_owned()
}

/// A span of time for people.
pub(super) fn in_words(seconds: u64) -> String {
    match seconds {
        0..=1 => "a second".to_owned(),
        2..=90 => format!("{seconds} seconds"),
        _ => format!("{} minutes", seconds.div_ceil(60)),
    }
}

/// The time for people and for `<time datetime>`.
pub(super) fn utc(now: UnixTime) -> (String, String) {
    let iso = now.rfc3339();
    (iso.replace('T', " ").replace('Z', " UTC"), iso)
}

const ERROR_CAP: usize = 64;
const DESCRIPTION_CAP: usize = 200;
const PERSON_BUDGET: usize = 320;

#[cfg(test)]
mod tests {
    use super::*;

    // OA-08
    #[test]
    fn texts_of_the_provider_are_cut_to_the_printable_set_and_a_length() {
        let nasty = "a\"b\\c\u{0}\r\nd\u{202e}é+ADw-script~";
        assert_eq!(oauth_text(nasty, 99), "abcd+ADw-script~");
        let notice = Notice::provider_error(&"e".repeat(5000), Some(&"d".repeat(5000)));
        assert!(notice.said.len() == 2 && notice.said.iter().all(|line| line.len() < 260), "{:?}", notice.said);
        assert!(Notice::provider_error("access_denied", Some("\u{1}\"")).said.is_empty(), "the reason says it already");
        assert_eq!(Notice::provider_error("not_registered", None).said, ["not_registered"]);
        assert_eq!(Notice::provider_error("invalid_scope", None).reason, "invalid_scope");
    }

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
        let twice = Person { name: None, email: Some("a@b.example".into()), user: Some("a@b.example".into()) };
        assert_eq!(twice.lines(), ["a@b.example"]);
        assert_eq!(Person::default().lines().len(), 1);
    }
}
