//! The forms of an answer for programs: problem details ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)) and plain text; and what
//! they have in common with the page.

use std::fmt::Write as _;

use serde_json::json;

use crate::gateway::codes::Problem;
use crate::gateway::pages::clean::{clipped, utc};
use crate::gateway::pages::page::{Page, PageContext};

impl Page {
    /// The sentences of the page.
    pub(super) fn message(&self) -> String {
        let provider = self.provider.as_deref().map(|title| clipped(title, LABEL_BUDGET));
        let problem = self.problem.or(self.words);
        problem.map_or_else(|| self.text.to_owned(), |problem| problem.message(provider.as_deref()))
    }

    /// The lines about this very case as they may be shown.
    pub(super) fn shown_details(&self) -> Vec<String> {
        self.details.iter().take(DETAIL_LINES).map(|line| clipped(line, DETAIL_BUDGET)).collect()
    }

    /// What the provider said as it may be shown, in one line.
    pub(super) fn shown_said(&self) -> String {
        self.said.iter().take(DETAIL_LINES).map(|line| clipped(line, DETAIL_BUDGET)).collect::<Vec<_>>().join(" ")
    }

    /// The rows of the session page as they may be shown.
    pub(super) fn shown_rows(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.rows.iter().take(ROWS).map(|(label, value)| (*label, clipped(value, ROW_BUDGET)))
    }

    /// In how many seconds it may be better.
    pub(super) fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after.map(|wait| wait.as_secs().max(1))
    }
}

/// The content type and the body for a program that reads JSON.
pub(super) fn json_body(page: &Page, context: &PageContext<'_>) -> (&'static str, String) {
    if let Some(document) = &page.document {
        return (JSON, document.to_string());
    }
    let detail = [vec![page.message()], page.shown_details()].concat().join(" ");
    let mut problem = json!({
        "type": format!("urn:vestibule:problem:{}", page.problem.map_or(page.word, Problem::reason)),
        "title": page.title,
        "status": page.status.as_u16(),
        "detail": detail,
        "request_id": context.request_id,
        "code": page.word,
    });
    let said = page.shown_said();
    let members =
        [("login_url", context.login_url.unwrap_or_default()), ("reason", page.reason), ("provider_said", &said)];
    let members = members.into_iter().filter(|(_, value)| !value.is_empty());
    if let Some(problem) = problem.as_object_mut() {
        problem.extend(members.map(|(name, value)| (name.to_owned(), value.into())));
    }
    (if page.problem.is_some() { PROBLEM } else { JSON }, problem.to_string())
}

/// The body for a terminal; `notice`: the operator's own message.
pub(super) fn text(page: &Page, context: &PageContext<'_>, notice: &[String]) -> String {
    let code = page.problem.map(|problem| format!(" ({problem} {})", page.reason)).unwrap_or_default();
    let mut out = format!("{}{code}\n{}\n", page.title, page.message());
    for line in page.shown_details() {
        let _ = writeln!(out, "{line}");
    }
    if page.rows.is_empty() && !page.person.is_empty() {
        let _ = writeln!(out, "Signed in as: {}", page.person.join(", "));
    }
    for paragraph in notice.iter().filter(|_| page.has_notice()) {
        let _ = writeln!(out, "\n{paragraph}");
    }
    for (label, value) in page.shown_rows() {
        let _ = writeln!(out, "{label}: {value}");
    }
    if let Some(url) = context.login_url {
        let again = if page.problem == Some(Problem::SignInTooOld) { " again" } else { "" };
        let _ = writeln!(out, "Sign in{again}: {url}");
    }
    if page.problem.is_some() {
        if !page.said.is_empty() {
            let _ = writeln!(out, "The provider said: {}", page.shown_said());
        }
        // A request that was refused unread has no host that is believed.
        let on = if context.host.is_empty() { "" } else { " on " };
        let _ = writeln!(out, "Request {} at {}{on}{}", context.request_id, utc(context.now).0, context.host);
    }
    out
}

/// The media type of [`text`].
pub(super) const TEXT: &str = "text/plain; charset=utf-8";
/// The media type of problem details.
const PROBLEM: &str = "application/problem+json";
/// The media type of everything else for programs.
const JSON: &str = "application/json";

// Bytes of escaped text, so that a whole page stays below 16 KiB.
/// Of a provider's title.
pub(super) const LABEL_BUDGET: usize = 120;
/// Of a line about this very case.
const DETAIL_BUDGET: usize = 500;
/// Lines about this very case.
const DETAIL_LINES: usize = 6;
/// Of a value of the session page.
const ROW_BUDGET: usize = 400;
/// Rows of the session page.
const ROWS: usize = 14;
