//! What every form of an answer says, and the forms for programs: problem details (RFC 9457) and plain text.

use std::fmt::Write as _;

use http::StatusCode;
use serde_json::json;
use time::OffsetDateTime;

use crate::clock::UnixTime;
use crate::gateway::codes::Code;
use crate::gateway::notice::clipped;
use crate::gateway::pages::{Denied, Page, PageContext};

/// What every form of an answer says.
pub(super) struct Gist {
    pub(super) status: StatusCode,
    pub(super) code: Option<Code>,
    /// What tells a client that the answer is ours and not the application's: the code, or a word.
    pub(super) word: &'static str,
    pub(super) title: &'static str,
    pub(super) message: &'static str,
    pub(super) details: Vec<String>,
    pub(super) retry_after: Option<u64>,
}

impl Gist {
    pub(super) fn of(page: &Page) -> Self {
        let plain = |word, title, message| Self {
            status: StatusCode::OK,
            code: None,
            word,
            title,
            message,
            details: Vec::new(),
            retry_after: None,
        };
        match page {
            Page::Chooser(chooser) if chooser.in_place => Self { title: "Sign in", ..Self::coded(Code::SignInNeeded) },
            Page::Chooser(_) => plain("sign-in", "Sign in", "Choose how you want to sign in."),
            Page::Problem(notice) => Self {
                status: notice.status,
                details: notice.details.iter().take(DETAIL_LINES).map(|line| clipped(line, DETAIL_BUDGET)).collect(),
                retry_after: notice.retry_after.map(|wait| wait.as_secs().max(1)),
                ..Self::coded(notice.code)
            },
            Page::Denied(denied) => {
                let reason = clipped(&denied.reason, DETAIL_BUDGET);
                let details = if reason.is_empty() { Vec::new() } else { vec![reason] };
                Self { details, ..Self::coded(denied.code) }
            }
            Page::SignedOut { .. } => plain("signed-out", "You are signed out", "Your session has ended."),
            Page::LogoutConfirm { .. } => plain("sign-out", "Sign out?", "Send a POST to this address to sign out."),
            Page::SessionInfo(_) => plain("session", "Your session", "You are signed in."),
            Page::FormNotSubmitted { .. } => Self::coded(Code::FormNotSubmitted),
        }
    }

    fn coded(code: Code) -> Self {
        Self {
            status: code.status(),
            code: Some(code),
            word: code.number(),
            title: code.title(),
            message: code.message(),
            details: Vec::new(),
            retry_after: None,
        }
    }
}

/// The content type and the body for a program that reads JSON.
pub(super) fn json_body(page: &Page, gist: &Gist, context: &PageContext<'_>) -> (&'static str, String) {
    if let Page::SessionInfo(session) = page {
        return (JSON, session.document.to_string());
    }
    let mut detail = gist.message.to_owned();
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
    if let (Some(members), Some(url)) = (problem.as_object_mut(), context.login_url) {
        members.insert("login_url".to_owned(), url.into());
    }
    let kind = if gist.code.is_some() { PROBLEM } else { JSON };
    (kind, problem.to_string())
}

/// The body for a terminal.
pub(super) fn text(page: &Page, gist: &Gist, context: &PageContext<'_>) -> String {
    let mut out = match gist.code {
        Some(code) => format!("{} ({code} {})\n{}\n", gist.title, code.reason(), gist.message),
        None => format!("{}\n{}\n", gist.title, gist.message),
    };
    for line in &gist.details {
        let _ = writeln!(out, "{line}");
    }
    match page {
        Page::Denied(Denied { person: Some(person), .. }) | Page::LogoutConfirm { person: Some(person), .. } => {
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
        let _ = writeln!(out, "Sign in: {url}");
    }
    let _ = writeln!(out, "Request {} at {} on {}", context.request_id, utc(context.now).0, context.host);
    out
}

/// The rows of the session page as they may be shown.
pub(super) fn clipped_rows(rows: &[(String, String)]) -> impl Iterator<Item = (String, String)> {
    rows.iter().take(ROWS).map(|(label, value)| (clipped(label, LABEL_BUDGET), clipped(value, ROW_BUDGET)))
}

/// The time for people and for `<time datetime>`.
pub(super) fn utc(now: UnixTime) -> (String, String) {
    let at = i64::try_from(now.secs())
        .ok()
        .and_then(|secs| OffsetDateTime::from_unix_timestamp(secs).ok())
        .unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let date = format!("{:04}-{:02}-{:02}", at.year(), u8::from(at.month()), at.day());
    let time = format!("{:02}:{:02}:{:02}", at.hour(), at.minute(), at.second());
    (format!("{date} {time} UTC"), format!("{date}T{time}Z"))
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
