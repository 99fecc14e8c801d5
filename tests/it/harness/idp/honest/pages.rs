//! The provider's pages, as plain as a browser without eyes needs them.

use http::StatusCode;

use super::paths;
use super::people::Person;
use super::response::IdpResponse;
use crate::harness::idp::callback::escaped as escape;

/// Who do you want to be? `query` is the authorization request that the choice is for.
pub(super) fn choose(client_id: &str, query: &str, people: &[Person], complaint: Option<&str>) -> IdpResponse {
    let complaint = complaint.map(|text| format!("<p class=\"complaint\" role=\"alert\">{}</p>", escape(text)));
    let mut body = complaint.unwrap_or_default();
    body.push_str(&format!(
        "<h1>Who are you?</h1><p>The application <strong>{}</strong> asks you to sign in.</p>\
         <form method=\"post\" action=\"{}\"><input type=\"hidden\" name=\"request\" value=\"{}\">",
        escape(client_id),
        paths::CHOOSE,
        escape(query),
    ));
    for person in people {
        body.push_str(&button(person));
    }
    body.push_str("<button class=\"cancel\" name=\"person\" value=\"\">Cancel</button></form>");
    page(StatusCode::OK, "Sign in", &body)
}

/// The answer to the client as a form. There is no script here, so the person sends it.
pub(super) fn post_back(redirect_uri: &str, params: &[(String, String)]) -> IdpResponse {
    let mut body = format!("<h1>You are signed in</h1><form method=\"post\" action=\"{}\">", escape(redirect_uri));
    for (name, value) in params {
        body.push_str(&format!("<input type=\"hidden\" name=\"{}\" value=\"{}\">", escape(name), escape(value)));
    }
    body.push_str("<button>Continue</button></form>");
    page(StatusCode::OK, "Continue", &body)
}

/// Nobody may be sent on; the reason is ours, never what was sent.
pub(super) fn refused(reason: &str) -> IdpResponse {
    let body = format!("<h1>This request is refused</h1><p role=\"alert\">{}</p>", escape(reason));
    page(StatusCode::BAD_REQUEST, "Refused", &body)
}

/// Do you want to sign out?
pub(super) fn confirm_sign_out(query: &str) -> IdpResponse {
    let body = format!(
        "<h1>Sign out?</h1><p>You will be signed out of this provider.</p>\
         <form method=\"post\" action=\"{}?{}\"><button>Sign out</button></form>",
        paths::END_SESSION,
        escape(query),
    );
    page(StatusCode::OK, "Sign out", &body)
}

/// Signed out, and nowhere to go back to.
pub(super) fn signed_out() -> IdpResponse {
    page(StatusCode::OK, "Signed out", "<h1>Signed out</h1><p>You are signed out of this provider.</p>")
}

/// What somebody sees who comes by accident.
pub(super) fn front(issuer: &str) -> IdpResponse {
    let body = format!(
        "<h1>Demo provider</h1><p>Its issuer is <code>{}</code>. Its metadata is \
         <a href=\"{}\">where OpenID Connect Discovery puts it</a>.</p>",
        escape(issuer),
        paths::DISCOVERY,
    );
    page(StatusCode::OK, "Demo provider", &body)
}

fn button(person: &Person) -> String {
    let title = person.title();
    let initial: String = title.chars().take(1).collect();
    let groups = person.claims.get("groups").and_then(serde_json::Value::as_array);
    let names: Vec<&str> = groups.into_iter().flatten().filter_map(serde_json::Value::as_str).collect();
    format!(
        "<button name=\"person\" value=\"{}\"><span class=\"face\" aria-hidden=\"true\">{}</span>\
         <span><b>{}</b><small>{}</small></span></button>",
        escape(&person.sub),
        escape(&initial),
        escape(title),
        escape(&names.join(", ")),
    )
}

fn page(status: StatusCode, title: &str, body: &str) -> IdpResponse {
    IdpResponse::html(status, format!("<!doctype html><title>{}</title><main>{body}</main>", escape(title)))
}
