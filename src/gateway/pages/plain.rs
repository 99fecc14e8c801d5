//! What every form of an answer says, and the forms for programs: problem details (RFC 9457) and plain text.

use std::fmt::Write as _;

use http::StatusCode;
use serde_json::json;

use crate::gateway::codes::Code;
use crate::gateway::notice::{Notice, clipped, utc};
use crate::gateway::pages::page::{Page, PageContext};

/// What every form of an answer says.
pub(super) struct Gist {
    pub(super) status: StatusCode,
    pub(super) code: Option<Code>,
    /// What tells a client that the answer is ours and not the application's: the code, or a word.
    pub(super) word: &'static str,
    pub(super) title: &'static str,
    pub(super) message: String,
    pub(super) details: Vec<String>,
    /// What logs and metrics call it.
    pub(super) reason: &'static str,
    /// What the provider said, for support.
    pub(super) said: Vec<String>,
    pub(super) retry_after: Option<u64>,
}

impl Gist {
    pub(super) fn of(page: &Page) -> Self {
        let plain = |word, title, message: &str| Self {
            status: StatusCode::OK,
            code: None,
            word,
            title,
            message: message.to_owned(),
            details: Vec::new(),
            reason: "",
            said: Vec::new(),
            retry_after: None,
        };
        match page {
            Page::Chooser(_) => plain("sign-in", "Sign in", "Choose how you want to sign in."),
            Page::Problem(notice) => {
                let provider = notice.provider.as_deref().map(|title| clipped(title, LABEL_BUDGET));
                let lines = |lines: &[String]| {
                    lines.iter().take(DETAIL_LINES).map(|line| clipped(line, DETAIL_BUDGET)).collect()
                };
                Self {
                    status: notice.status,
                    details: lines(&notice.details),
                    reason: notice.reason,
                    said: lines(&notice.said),
                    retry_after: notice.retry_after.map(|wait| wait.as_secs().max(1)),
                    ..Self::coded(notice.code, provider.as_deref())
                }
            }
            Page::SignedIn { .. } => plain("signed-in", "Signed in", "The page that you asked for opens in a moment."),
            Page::SignedOut { .. } => plain("signed-out", "You are signed out", "Your session has ended."),
            Page::LogoutConfirm { .. } => plain("sign-out", "Sign out?", "Send a POST to this address to sign out."),
            Page::SessionInfo(_) => plain("session", "Your session", "You are signed in."),
        }
    }

    fn coded(code: Code, provider: Option<&str>) -> Self {
        Self {
            status: code.status(),
            code: Some(code),
            word: code.number(),
            title: code.title(),
            message: code.message(provider),
            details: Vec::new(),
            reason: code.reason(),
            said: Vec::new(),
            retry_after: None,
        }
    }
}

/// The content type and the body for a program that reads JSON.
pub(super) fn json_body(page: &Page, gist: &Gist, context: &PageContext<'_>) -> (&'static str, String) {
    if let Page::SessionInfo(session) = page {
        return (JSON, session.document.to_string());
    }
    let mut detail = gist.message.clone();
    for line in &gist.details {
        let _ = write!(detail, " {line}");
    }
    let mut problem = json!({
        "type": format!("urn:vestibule:problem:{}", gist.code.map_or(gist.word, Code::reason)),
        "title": gist.title,
        "status": gist.status.as_u16(),
        "detail": detail,
        "request_id": context.request_id,
        "code": gist.word,
    });
    let mut member = |name: &str, value: &str| {
        if let Some(members) = problem.as_object_mut().filter(|_| !value.is_empty()) {
            members.insert(name.to_owned(), value.into());
        }
    };
    member("login_url", context.login_url.unwrap_or_default());
    member("reason", gist.reason);
    member("provider_said", &gist.said.join(" "));
    let kind = if gist.code.is_some() { PROBLEM } else { JSON };
    (kind, problem.to_string())
}

/// The body for a terminal.
pub(super) fn text(page: &Page, gist: &Gist, context: &PageContext<'_>) -> String {
    let mut out = match gist.code {
        Some(code) => format!("{} ({code} {})\n{}\n", gist.title, gist.reason, gist.message),
        None => format!("{}\n{}\n", gist.title, gist.message),
    };
    for line in &gist.details {
        let _ = writeln!(out, "{line}");
    }
    match page {
        Page::Problem(Notice { person: Some(person), .. }) | Page::LogoutConfirm { person: Some(person), .. } => {
            let _ = writeln!(out, "Signed in as: {}", person.lines().join(", "));
        }
        Page::SessionInfo(session) => {
            for (label, value) in clipped_rows(&session.rows) {
                let _ = writeln!(out, "{label}: {value}");
            }
        }
        _ => {}
    }
    if let Some(url) = context.login_url {
        let again = if gist.code == Some(Code::SignInTooOld) { " again" } else { "" };
        let _ = writeln!(out, "Sign in{again}: {url}");
    }
    if gist.code.is_some() {
        if !gist.said.is_empty() {
            let _ = writeln!(out, "The provider said: {}", gist.said.join(" "));
        }
        // A request that was refused unread has no host that is believed.
        let on = if context.host.is_empty() { "" } else { " on " };
        let _ = writeln!(out, "Request {} at {}{on}{}", context.request_id, utc(context.now).0, context.host);
    }
    out
}

/// The rows of the session page as they may be shown.
pub(super) fn clipped_rows(rows: &[(String, String)]) -> impl Iterator<Item = (String, String)> {
    rows.iter().take(ROWS).map(|(label, value)| (clipped(label, LABEL_BUDGET), clipped(value, ROW_BUDGET)))
}

pub(super) const TEXT: &str = "text/plain; charset=utf-8";
const PROBLEM: &str = "application/problem+json";
const JSON: &str = "application/json";

// Bytes of escaped text, so that a whole page stays below 16 KiB.
const LABEL_BUDGET: usize = 120;
const DETAIL_BUDGET: usize = 500;
const DETAIL_LINES: usize = 6;
const ROW_BUDGET: usize = 400;
const ROWS: usize = 14;
