//! An answer before it goes out: whole, so that a fault can still damage it.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, LOCATION};
use http::{HeaderValue, Response, StatusCode};
use serde_json::{Value, json};

use crate::body::Body;

/// A whole answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: Vec<(HeaderName, String)>,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn json(status: StatusCode, value: &Value) -> Self {
        Self::new(status, "application/json", value.to_string())
    }

    /// An error of RFC 6749 section 5.2.
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

    pub(super) fn redirect(status: StatusCode, to: &str) -> Self {
        Self { status, headers: vec![(LOCATION, to.to_owned()), no_store()], body: Bytes::new() }
    }

    pub(super) fn new(status: StatusCode, content_type: &str, body: impl Into<Bytes>) -> Self {
        Self { status, headers: vec![(CONTENT_TYPE, content_type.to_owned()), no_store()], body: body.into() }
    }

    pub(super) fn with(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// In place of the content type that it has.
    pub(super) fn retyped(mut self, content_type: &str) -> Self {
        self.headers.retain(|(name, _)| name != CONTENT_TYPE);
        self.with(CONTENT_TYPE, content_type)
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let body = Body::full(self.body.clone());
        self.with_body(body)
    }

    /// The same head over another body.
    pub(super) fn with_body(self, body: Body) -> Response<Body> {
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().append(name, value);
            }
        }
        response
    }
}

/// RFC 6749 section 5.1 asks for it where tokens are; here, nothing is worth keeping.
fn no_store() -> (HeaderName, String) {
    (CACHE_CONTROL, "no-store".to_owned())
}
