//! An answer of the provider, whole.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, LOCATION};
use http::{HeaderValue, Response, StatusCode};
use serde_json::{Value, json};

use vestibule::body::Body;

/// A whole answer.
#[derive(Clone, Debug)]
pub(crate) struct IdpResponse {
    /// Its status.
    pub(crate) status: StatusCode,
    /// Its header fields.
    pub(crate) headers: Vec<(HeaderName, String)>,
    /// Its body.
    pub(crate) body: Bytes,
}

impl IdpResponse {
    pub(super) fn json(status: StatusCode, value: &Value) -> Self {
        Self::new(status, "application/json", value.to_string())
    }

    /// An error of [RFC 6749 section 5.2](https://www.rfc-editor.org/rfc/rfc6749#section-5.2).
    pub(super) fn oauth_error(status: StatusCode, error: &str, description: &str) -> Self {
        Self::json(status, &json!({ "error": error, "error_description": description }))
    }

    pub(super) fn html(status: StatusCode, page: String) -> Self {
        Self::new(status, "text/html; charset=utf-8", page)
    }

    pub(super) fn text(status: StatusCode, text: &str) -> Self {
        Self::new(status, "text/plain; charset=utf-8", text.to_owned())
    }

    pub(super) fn not_found() -> Self {
        Self::text(StatusCode::NOT_FOUND, "The provider has nothing here.\n")
    }

    /// The request was larger than anything that a client has to say.
    pub(crate) fn too_large() -> Self {
        Self::text(StatusCode::PAYLOAD_TOO_LARGE, "The request is too large.\n")
    }

    pub(super) fn redirect(status: StatusCode, to: &str) -> Self {
        Self { status, headers: vec![(LOCATION, to.to_owned()), no_store()], body: Bytes::new() }
    }

    /// With this content type.
    pub(crate) fn new(status: StatusCode, content_type: &str, body: impl Into<Bytes>) -> Self {
        Self { status, headers: vec![(CONTENT_TYPE, content_type.to_owned()), no_store()], body: body.into() }
    }

    pub(super) fn with(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// As it is sent.
    pub(crate) fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::full(self.body));
        *response.status_mut() = self.status;
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().append(name, value);
            }
        }
        response
    }
}

/// [RFC 6749 section 5.1](https://www.rfc-editor.org/rfc/rfc6749#section-5.1) asks for it where tokens are; here, nothing is
/// worth keeping.
fn no_store() -> (HeaderName, String) {
    (CACHE_CONTROL, "no-store".to_owned())
}
