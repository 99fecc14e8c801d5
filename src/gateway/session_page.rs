//! `session`: who am I, as a page or as JSON. Never a token.

use http::Response;
use serde_json::{Value, json};

use crate::body::Body;
use crate::clock::UnixTime;
use crate::gateway::Gateway;
use crate::gateway::endpoints::check_method;
use crate::gateway::error::GatewayError;
use crate::gateway::pages::clean::utc;
use crate::gateway::pages::page::Page;
use crate::gateway::visit::Visit;
use crate::request::kind::Wants;
use crate::request::return_to::ReturnTo;
use crate::session::live::LiveSession;

impl Gateway {
    /// Answers with what is known of whoever asks.
    pub(super) async fn session_page(&self, visit: Visit<'_>) -> Result<Response<Body>, GatewayError> {
        check_method(visit, "GET, HEAD")?;
        let lives = self.live_sessions(visit).await;
        let Some(live) = lives.first() else {
            return Err(GatewayError::sign_in_needed(self.login_url(&ReturnTo::here(visit.meta), None)));
        };
        let page = Page::session(&live.identity, rows(live), document(live), self.logout_form(Some(live)));
        // A program that accepts anything gets JSON.
        let wants = if visit.meta.kind.wants() == Wants::Html { Wants::Html } else { Wants::ProblemJson };
        Ok(self.render_as(visit.meta, &page, None, wants))
    }
}

/// What the person box above them does not say already.
fn rows(live: &LiveSession) -> Vec<(&'static str, String)> {
    let identity = &live.identity;
    let at = |time: UnixTime| utc(time).0;
    let idle = (live.ends < live.absolute_end).then(|| at(live.ends));
    let texts = [
        ("Groups", (!identity.groups.is_empty()).then(|| identity.groups.join(", "))),
        ("Signed in with", Some(live.provider.title().to_owned())),
        ("Signed in", Some(at(live.created))),
        ("Ends if not used", idle),
        ("Ends in any case", Some(at(live.absolute_end))),
        ("Access token ends", live.access_expires.map(at)),
        ("Renewed", live.is_renewable.then(|| times(live.generation))),
        ("Scope", live.scope.clone()),
        ("Cookie", Some(format!("{} bytes", live.handle.as_str().len()))),
        ("Session", Some(live.id.short())),
    ];
    texts.into_iter().filter_map(|(name, text)| Some((name, text?))).collect()
}

/// How often, in words.
fn times(count: u32) -> String {
    match count {
        0 => "not yet".to_owned(),
        1 => "once".to_owned(),
        more => format!("{more} times"),
    }
}

/// What a program gets.
fn document(live: &LiveSession) -> Value {
    let identity = &live.identity;
    json!({
        "provider": &*identity.provider,
        "issuer": &*identity.issuer,
        "subject": identity.subject,
        "user": identity.user,
        "email": identity.email,
        "name": identity.name,
        "groups": identity.groups,
        "signed_in_at": live.created.rfc3339(),
        "ends_at": live.ends.rfc3339(),
        "ends_in_any_case_at": live.absolute_end.rfc3339(),
        "access_expires_at": live.access_expires.map(UnixTime::rfc3339),
        "refreshes": live.generation,
        "scope": live.scope,
        "cookie_bytes": live.handle.as_str().len(),
        "session": live.id.short(),
    })
}
