//! The application's pages. Script is fine here: this is the application, not the gateway.

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;

use crate::body::Body;
use crate::demo::answer::{answer, escape};

/// The greeting, and what arrived.
pub(super) fn home(request: &Request<Incoming>) -> Response<Body> {
    let headers = request.headers();
    let greeting =
        greeted(headers).map_or_else(|| "Hello, whoever you are".to_owned(), |name| format!("Hello, {name}"));
    let (about_identity, others): (Vec<_>, Vec<_>) =
        headers.iter().partition(|(name, _)| is_about_identity(name.as_str()));
    let rows: String = about_identity.into_iter().chain(others).map(row).collect();
    let body = format!(
        "<h1>{}</h1><p>You asked for <code>{} {}</code>. This application has no sign-in of its own: \
         it believes the header fields that the gateway puts on every request.</p>{TOKEN}\
         <section><h2>What arrived</h2><table id=\"fields\"><caption>What tells who you are \
         comes first, in colour; what changes later lights up</caption><tbody>{rows}</tbody></table></section>",
        escape(&greeting),
        escape(request.method().as_str()),
        escape(request.uri().path()),
    );
    page("home", &body)
}

/// The WebSocket page.
pub(super) fn socket() -> Response<Body> {
    let body = "<h1>WebSocket</h1><p>What you send comes back.</p>\
         <form id=\"say\"><label>Say <input name=\"text\" value=\"hello\" autocomplete=\"off\"></label><button>Send</button></form>\
         <p>State: <output id=\"state\">connecting</output></p><ol id=\"log\" aria-live=\"polite\"></ol>";
    page("socket", body)
}

/// The event-stream page.
pub(super) fn stream() -> Response<Body> {
    let body = "<h1>Event stream</h1><p>One event a second, as it happens.</p>\
         <p>State: <output id=\"state\">connecting</output></p><ol id=\"log\" aria-live=\"polite\"></ol>";
    page("stream", body)
}

/// A field's value as people read it; identity headers may carry UTF-8.
pub(super) fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

/// A whole page; the script tells them apart by `kind`.
fn page(kind: &str, body: &str) -> Response<Body> {
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>{TITLE}</title><link rel=\"stylesheet\" href=\"style.css\">\
         <script src=\"sample.js\" defer></script></head><body data-page=\"{kind}\" data-session=\"{PREFIX}/session\">\
         <header><strong>{TITLE}</strong>\
         <nav><a href=\"./\">Home</a><a href=\"socket\">WebSocket</a><a href=\"stream\">Events</a>\
         <a href=\"admins\">Admins only</a><a href=\"{PREFIX}/session\">Your session</a></nav>\
         <form method=\"post\" action=\"{PREFIX}/logout\"><button>Sign out</button></form></header><main>{body}</main></body></html>",
    );
    answer(StatusCode::OK, "text/html; charset=utf-8", html)
}

/// A row of the table of what arrived.
fn row((name, value): (&HeaderName, &HeaderValue)) -> String {
    let class = if is_about_identity(name.as_str()) { " class=\"identity\"" } else { "" };
    format!("<tr{class}><th scope=\"row\">{}</th><td>{}</td></tr>", escape(name.as_str()), escape(&text(value)))
}

/// The best name among the identity headers.
fn greeted(headers: &HeaderMap) -> Option<String> {
    let names = NAMES.iter().filter_map(|name| headers.get(*name)).map(text);
    names.map(|name| name.trim().to_owned()).find(|name| !name.is_empty())
}

/// Whether a field of this name says who somebody is.
fn is_about_identity(name: &str) -> bool {
    IDENTITY.iter().any(|start| name.starts_with(start))
}

/// The life of the access token, from the gateway's session document; without script there is nothing to watch.
const TOKEN: &str = "<section id=\"token\" hidden><h2>Your access token</h2>\
     <p><output id=\"left\"></output><progress id=\"life\"></progress></p>\
     <p>Renewed <output id=\"renewed\" aria-live=\"polite\"></output> since you signed in. Stay on this page and watch: \
     shortly before the token ends the gateway fetches a new one, and nobody is asked anything.</p></section>";

/// The application's name.
const TITLE: &str = "Sample application";
/// All that it knows of the gateway: where the gateway's own endpoints are, for two links.
const PREFIX: &str = "/_vestibule";
/// The style sheet.
pub(super) const STYLE: &str = include_str!("style.css");
/// What the pages do.
pub(super) const SCRIPT: &str = include_str!("sample.js");

/// Fields that may hold a name, the best first.
const NAMES: [&str; 3] = ["x-forwarded-name", "x-forwarded-preferred-username", "x-forwarded-user"];
/// How the names of fields begin that say who somebody is.
const IDENTITY: [&str; 6] = [
    "x-forwarded-user",
    "x-forwarded-email",
    "x-forwarded-name",
    "x-forwarded-preferred",
    "x-forwarded-groups",
    "x-forwarded-access",
];
