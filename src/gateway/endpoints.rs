//! Our own endpoints: which one a path means, and the small inputs that they take.

use std::borrow::Cow;
use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::LengthLimitError;

use crate::body::{Body, Stalled};
use crate::gateway::Gateway;
use crate::gateway::codes::Problem;
use crate::gateway::error::GatewayError;
use crate::gateway::request_log::RequestLog;
use crate::gateway::verdict::RequestFault;
use crate::gateway::visit::Visit;
use crate::provider::Provider;
use crate::provider::settings::ResponseMode;
use crate::request::RequestMeta;
use crate::server::form_body;

impl Gateway {
    /// Answers one of our own paths; `endpoint` is what stands behind the prefix, `body` what [`own_body`](Self::own_body) gave.
    pub(super) async fn endpoint(
        self: &Arc<Self>,
        endpoint: &str,
        visit: Visit<'_>,
        body: Body,
        log: &mut RequestLog<'_>,
    ) -> Result<Response<Body>, GatewayError> {
        match endpoint.split_once('/').unwrap_or((endpoint, "")) {
            ("login", "") => self.login(visit, body).await,
            // Any redirect URI: the attempt knows to which of them its answer has to come back.
            ("callback", _) => self.callback(visit, body, log).await,
            ("logout", "") => self.logout(visit, body).await,
            ("signed-out", "") => self.signed_out(visit).await,
            ("backchannel-logout", "") => self.backchannel_logout(visit, body).await,
            ("frontchannel-logout", "") => self.frontchannel_logout(visit).await,
            ("session", "") => self.session_page(visit).await,
            _ => Err(GatewayError::Refused(RequestFault::NotFound)),
        }
    }

    /// A provider's answer at the callback: in the query of a redirect, or posted by the provider's page (`form_post`). It has to
    /// come by the method that the provider answers by whose redirect URI it is, or else any provider. HEAD and other
    /// methods must not redeem the code (AT-LF-17).
    pub(super) async fn authorization_response<'v>(
        &self,
        visit: Visit<'v>,
        body: Body,
    ) -> Result<FormParameters<'v>, GatewayError> {
        let own = self.provider_at(visit.meta.path.as_str()).map(std::slice::from_ref);
        check_answer_method(visit, own.unwrap_or(&self.providers))?;
        if posted(visit) { FormParameters::read(visit.headers, body).await } else { Ok(FormParameters::of(visit.meta)) }
    }

    /// The body of a request to ourselves: it has as much time to arrive as a head (AT-SM-22).
    pub(super) fn own_body(&self, request: &mut Request<Body>) -> Body {
        let body = std::mem::take(request.body_mut());
        form_body(request.extensions(), body, self.settings.limits.header_time)
    }
}

/// What one of our endpoints was asked, in the query or in a form. Values are form-decoded; one that is too long counts as absent.
#[derive(Debug)]
pub(super) struct FormParameters<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> FormParameters<'a> {
    /// Those of the query.
    pub(super) fn of(meta: &'a RequestMeta) -> Self {
        let query = meta.query().unwrap_or_default();
        Self(url::form_urlencoded::parse(query.as_bytes()).take(MOST_PARAMETERS).collect())
    }

    /// Reads a small form; a POST without a body is an empty form.
    pub(super) async fn read(headers: &HeaderMap, body: Body) -> Result<Self, GatewayError> {
        let bytes = body.collect_capped(LARGEST_FORM).await.map_err(|error| {
            GatewayError::Client(match () {
                () if error.is::<LengthLimitError>() => Problem::BodyTooLarge,
                () if error.is::<Stalled>() => Problem::BodyTooSlow,
                () => Problem::BadForm,
            })
        })?;
        if bytes.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()?.split(';').next());
        let is_form = kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded"));
        if !is_form {
            return Err(GatewayError::Client(Problem::BadForm));
        }
        let fields = url::form_urlencoded::parse(&bytes).into_owned().take(MOST_PARAMETERS);
        Ok(Self(fields.map(|(name, value)| (name.into(), value.into())).collect()))
    }

    /// The first value of a parameter.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(key, _)| key == name).map(|(_, value)| &**value);
        found.filter(|value| value.len() <= LONGEST_VALUE)
    }

    /// Whether a parameter's value is too long to be used.
    pub(super) fn is_too_long(&self, name: &str) -> bool {
        self.0.iter().any(|(key, value)| key == name && value.len() > LONGEST_VALUE)
    }

    /// Whether a parameter stands more than once, or could behind those that are read.
    pub(super) fn is_repeated(&self, name: &str) -> bool {
        self.0.iter().filter(|(key, _)| key == name).count() > 1 || self.0.len() == MOST_PARAMETERS
    }

    /// Whether a parameter that may stand once stands twice
    /// ([RFC 6749 section 3.1](https://www.rfc-editor.org/rfc/rfc6749#section-3.1), OA-05), is too long to be used, or could
    /// stand behind those that are read: an `error` must not be hidden from us by bulk (AT-LF-13).
    pub(super) fn is_doubtful(&self, name: &str) -> bool {
        self.is_too_long(name) || self.is_repeated(name)
    }
}

/// Refuses an answer by a method that none of these providers answers by.
pub(super) fn check_answer_method(visit: Visit<'_>, providers: &[Arc<Provider>]) -> Result<(), GatewayError> {
    let by = |mode| providers.iter().any(|provider| provider.settings().response_mode == mode);
    let methods = match (by(ResponseMode::Query), by(ResponseMode::FormPost)) {
        (true, true) => "GET, POST",
        (false, true) => "POST",
        _ => "GET",
    };
    check_method(visit, methods)
}

/// Refuses a request by another method than these, which stand as in `Allow`.
pub(super) fn check_method(visit: Visit<'_>, methods: &'static str) -> Result<(), GatewayError> {
    let is_one = methods.split(", ").any(|method| method == visit.meta.method.as_str());
    if is_one { Ok(()) } else { Err(GatewayError::EndpointMethod(methods)) }
}

/// Whether the provider's page posted the answer. It comes from another site, so no cookie came along but one that is `None`.
pub(super) fn posted(visit: Visit<'_>) -> bool {
    visit.meta.method == Method::POST
}

/// Parameters that are read of one request.
const MOST_PARAMETERS: usize = 100;
/// Bytes of a value.
const LONGEST_VALUE: usize = 8 * 1024;
/// Bytes of a form.
const LARGEST_FORM: usize = 16 * 1024;
