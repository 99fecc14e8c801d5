//! What traces say of a request: its own span, and that of the call to its application. Never a code, a state, a token, a cookie or a
//! query.

use http::{HeaderMap, Method, Response, Version};
use sha2::{Digest as _, Sha256};

use crate::body::Body;
use crate::gateway::judgement::Judgement;
use crate::gateway::principal::Principal;
use crate::gateway::routes::RouteEntry;
use crate::policy::settings::Access;
use crate::proxy::error::UpstreamError;
use crate::request::RequestMeta;
use crate::telemetry::metrics::DecisionLabel;
use crate::trace::{ChildSpan, Handle, Kind, Value};

/// What is known of a request when it was answered.
pub(super) struct Ended<'a> {
    /// The request.
    pub(super) meta: &'a RequestMeta,
    /// What came of it, where it took a route.
    pub(super) judgement: Option<&'a Judgement<'a>>,
    /// Why it was answered by us.
    pub(super) reason: Option<&'static str>,
    /// `User-Agent`.
    pub(super) user_agent: Option<&'a str>,
}

impl Ended<'_> {
    /// Ends the span of the request. It is named by method and route, so that there are few names.
    pub(super) fn end(&self, span: &Handle, answer: &Response<Body>) {
        if !span.is_recorded() {
            return;
        }
        let method = method(&self.meta.method);
        let name = match self.judgement {
            Some(judgement) => format!("{method} {}", judgement.entry.route.name),
            None => method.to_owned(),
        };
        span.end(name, || self.attributes(method, answer), answer.status().is_server_error());
    }

    /// What is known of the request, in the names of the semantic conventions.
    fn attributes(&self, method: &'static str, answer: &Response<Body>) -> Vec<(&'static str, Value)> {
        let meta = self.meta;
        let mut about = vec![
            ("http.request.method", method.into()),
            ("http.response.status_code", answer.status().as_u16().into()),
            ("url.scheme", if meta.https { "https" } else { "http" }.into()),
            ("url.path", meta.path.raw().to_owned().into()),
            ("server.address", meta.host.name().to_owned().into()),
            ("client.address", meta.client.to_string().into()),
            ("network.protocol.version", if meta.version < Version::HTTP_2 { "1.1" } else { "2" }.into()),
            ("vestibule.request_id", meta.id.as_str().to_owned().into()),
        ];
        about.extend(meta.peer.map(|peer| ("network.peer.address", peer.to_string().into())));
        about.extend(self.user_agent.map(|agent| ("user_agent.original", agent.to_owned().into())));
        if let Some(judgement) = self.judgement {
            about.push(("http.route", judgement.entry.route.name.to_string().into()));
            about.extend(
                judgement.decision().map(|decision| ("vestibule.decision", DecisionLabel::as_str(decision).into())),
            );
            about.extend(judgement.sender.as_ref().into_iter().flat_map(person));
        }
        let fault = self.reason.filter(|_| answer.status().is_server_error());
        about.extend(fault.map(|reason| ("error.type", reason.into())));
        about.extend(self.reason.map(|reason| ("vestibule.reason", reason.into())));
        about
    }
}

/// Who that is, for whoever may know it already: hashes.
fn person(sender: &Principal) -> [(&'static str, Value); 2] {
    let identity = sender.identity();
    let hash = Sha256::new().chain_update(identity.issuer.as_bytes()).chain_update([0]);
    let hash = hash.chain_update(identity.subject.as_bytes()).finalize();
    let user: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    [("user.id", user.into()), ("session.id", sender.session().name.to_string().into())]
}

/// Begins the span of a judgement, where it is recorded.
pub(super) fn deciding(span: Option<&Handle>) -> Option<Box<ChildSpan>> {
    span.filter(|span| span.is_recorded()).map(|span| Box::new(span.child("auth.decide", Kind::Internal)))
}

/// The judgement is there. One that asked nobody is not worth a span.
pub(super) fn decided(span: ChildSpan, judgement: &Judgement<'_>) {
    if !matches!(judgement.entry.rule.access, Access::Public | Access::Deny) {
        let decision =
            judgement.decision().map(|decision| ("vestibule.decision", DecisionLabel::as_str(decision).into()));
        span.end(|| decision.into_iter().collect(), false);
    }
}

/// Begins the span of a call to an application, which gets to know of it.
pub(super) fn calling(span: &Handle, headers: &mut HeaderMap) -> Box<ChildSpan> {
    let span = Box::new(span.child("upstream", Kind::Client));
    span.handle().inject(headers);
    span
}

/// The application has begun its answer, or not.
pub(super) fn called(
    span: ChildSpan,
    entry: &RouteEntry,
    sent: &Method,
    answer: &Result<Response<Body>, UpstreamError>,
) {
    let failed = answer.as_ref().map_or(true, |answer| answer.status().is_server_error());
    let about = || {
        let ended = match answer {
            Ok(answer) => ("http.response.status_code", answer.status().as_u16().into()),
            Err(error) => ("error.type", error.code().into()),
        };
        vec![
            ("http.request.method", method(sent).into()),
            ("vestibule.route", entry.route.name.to_string().into()),
            ended,
        ]
    };
    span.end(about, failed);
}

/// The method, where it is one that everybody knows: nobody can make up names of spans.
fn method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "PATCH" => "PATCH",
        "OPTIONS" => "OPTIONS",
        _ => "_OTHER",
    }
}
