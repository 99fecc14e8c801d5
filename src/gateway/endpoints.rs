//! Our own endpoints: which one a path means, and the small inputs that they take.

use std::borrow::Cow;
use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, Response};
use http_body_util::LengthLimitError;

use crate::body::{Body, Stalled};
use crate::gateway::error::GatewayError;
use crate::gateway::record::Notes;
use crate::gateway::{Gateway, Visit};
use crate::request::RequestMeta;
use crate::server::form_body;

impl Gateway {
    /// Answers one of our own paths; `endpoint` is what stands behind the prefix, `body` what [`own_body`](Self::own_body) gave.
    pub(super) async fn endpoint(
        self: &Arc<Self>,
        endpoint: &str,
        visit: Visit<'_>,
        body: Body,
        notes: &mut Notes<'_>,
    ) -> Result<Response<Body>, GatewayError> {
        match endpoint.split_once('/').unwrap_or((endpoint, "")) {
            ("login", "") => self.login(visit, body).await,
            // Whichever of them: the attempt knows where its answer has to come back to.
            ("callback", _) => self.callback(visit, body, notes).await,
            ("logout", "") => self.logout(visit, body).await,
            ("signed-out", "") => self.signed_out(visit).await,
            ("session", "") => self.session_page(visit),
            _ => Err(GatewayError::NotFound),
        }
    }

    /// The body of a request to ourselves: all of it comes in the time that a head has, or it is not waited for (AT-SM-22).
    pub(super) fn own_body(&self, request: &mut Request<Body>) -> Body {
        let body = std::mem::take(request.body_mut());
        form_body(request.extensions(), body, &self.settings.limits)
    }

    /// One of our own paths, as it stands in a URL on the same host.
    pub(super) fn own_path(&self, endpoint: &str) -> String {
        format!("{}/{endpoint}", self.settings.prefix)
    }
}

/// What one of our endpoints was asked, in the query or in a form. Values are form-decoded; a value too long to be meant is as
/// good as none.
#[derive(Debug)]
pub(super) struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Query<'a> {
    pub(super) fn of(meta: &'a RequestMeta) -> Self {
        let query = meta.query().unwrap_or_default();
        Self(url::form_urlencoded::parse(query.as_bytes()).take(MOST_PARAMETERS).collect())
    }

    /// The first value of a parameter.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| &**value)
            .filter(|value| value.len() <= LONGEST_VALUE)
    }

    /// Whether a parameter's value is too long to be looked at.
    pub(super) fn is_too_long(&self, name: &str) -> bool {
        self.0.iter().any(|(key, value)| key == name && value.len() > LONGEST_VALUE)
    }

    /// Whether a parameter stands more than once, or could where nobody looked.
    pub(super) fn is_repeated(&self, name: &str) -> bool {
        self.0.iter().filter(|(key, _)| key == name).count() > 1 || self.0.len() == MOST_PARAMETERS
    }

    /// Whether a parameter that may stand once stands twice (RFC 6749 section 3.1, OA-05), is too long to be looked at, or could
    /// stand where nobody looked: an `error` must not be hidden from us by bulk (AT-LF-13).
    pub(super) fn is_doubtful(&self, name: &str) -> bool {
        self.is_too_long(name) || self.is_repeated(name)
    }
}

impl From<Form> for Query<'static> {
    fn from(form: Form) -> Self {
        Self(form.0.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

/// A form posted to one of our endpoints.
#[derive(Debug, Default)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads a small form; a POST without a body is an empty form.
    pub(super) async fn read(headers: &HeaderMap, body: Body) -> Result<Self, GatewayError> {
        let bytes = body.collect_capped(LARGEST_FORM).await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                GatewayError::BodyTooLarge
            } else if error.is::<Stalled>() {
                GatewayError::BodyTooSlow
            } else {
                GatewayError::BadForm
            }
        })?;
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let is_form = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|value| {
            value
                .split(';')
                .next()
                .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded"))
        });
        if !is_form {
            return Err(GatewayError::BadForm);
        }
        Ok(Self(url::form_urlencoded::parse(&bytes).into_owned().take(MOST_PARAMETERS).collect()))
    }

    /// The first value of a field.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

const MOST_PARAMETERS: usize = 100;
const LONGEST_VALUE: usize = 8 * 1024;
const LARGEST_FORM: usize = 16 * 1024;
