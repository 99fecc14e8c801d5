//! The provider's pages: self-contained HTML without script, light and dark, with the warning on every one of them.

use http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, HeaderValue, Response, StatusCode};

use crate::body::Body;
use crate::demo::answer::{answer, escape};
use crate::demo::idp::people::{EndUser, PEOPLE};
use crate::demo::idp::{CHOOSE, DISCOVERY, END_SESSION};

/// Who do you want to be? `query` is the authorization request that the choice is for.
pub(super) fn choose(client_id: &str, query: &str, complaint: Option<&str>) -> Response<Body> {
    let complaint = complaint.map(|text| format!("<p class=\"complaint\" role=\"alert\">{}</p>", escape(text)));
    let mut body = complaint.unwrap_or_default();
    body.push_str(&format!(
        "<h1>Who are you?</h1><p>The application <strong>{}</strong> asks you to sign in.</p>\
         <form method=\"post\" action=\"{}\"><input type=\"hidden\" name=\"request\" value=\"{}\">",
        escape(client_id),
        CHOOSE,
        escape(query),
    ));
    for person in &PEOPLE {
        body.push_str(&button(person));
    }
    body.push_str("<button class=\"cancel\" name=\"person\" value=\"\">Cancel</button></form>");
    page(StatusCode::OK, "Sign in", &body)
}

/// Nobody may be sent on; the reason is ours, never what was sent.
pub(super) fn refused(reason: &str) -> Response<Body> {
    let body = format!("<h1>This request is refused</h1><p role=\"alert\">{}</p>", escape(reason));
    page(StatusCode::BAD_REQUEST, "Refused", &body)
}

/// Do you want to sign out?
pub(super) fn confirm_sign_out(query: &str) -> Response<Body> {
    let body = format!(
        "<h1>Sign out?</h1><p>You will be signed out of this provider.</p>\
         <form method=\"post\" action=\"{}?{}\"><button>Sign out</button></form>",
        END_SESSION,
        escape(query),
    );
    page(StatusCode::OK, "Sign out", &body)
}

/// Signed out, and nowhere to go back to.
pub(super) fn signed_out() -> Response<Body> {
    page(StatusCode::OK, "Signed out", "<h1>Signed out</h1><p>You are signed out of this provider.</p>")
}

/// What somebody sees who comes by accident.
pub(super) fn front(issuer: &str) -> Response<Body> {
    let body = format!(
        "<h1>Demo provider</h1><p>Its issuer is <code>{}</code>. Its metadata is \
         <a href=\"{}\">where OpenID Connect Discovery puts it</a>.</p>",
        escape(issuer),
        DISCOVERY,
    );
    page(StatusCode::OK, "Demo provider", &body)
}

/// The button that chooses somebody.
fn button(person: &EndUser) -> String {
    format!(
        "<button name=\"person\" value=\"{}\"><span class=\"face\" aria-hidden=\"true\">{}</span>\
         <span><b>{}</b><small>{}</small></span></button>",
        person.sub,
        person.name.chars().take(1).collect::<String>(),
        person.name,
        person.groups.join(", "),
    )
}

/// A whole page.
fn page(status: StatusCode, title: &str, body: &str) -> Response<Body> {
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><meta name=\"color-scheme\" content=\"light dark\">\
         <title>{title} · Demo provider</title><style>{STYLE}</style></head><body>\
         <p class=\"banner\">Demonstration: anyone may be anyone here. No passwords.</p><main>{body}</main></body></html>"
    );
    let mut response = answer(status, "text/html; charset=utf-8", html);
    response.headers_mut().extend(HEADERS.map(|(name, value)| (name, HeaderValue::from_static(value))));
    response
}

/// No `form-action`: browsers apply it to the redirect after the form too, which goes to the client.
const HEADERS: [(HeaderName, &str); 3] = [
    (CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"),
    (REFERRER_POLICY, "no-referrer"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
];
/// The style sheet of all pages.
const STYLE: &str = include_str!("style.css");
