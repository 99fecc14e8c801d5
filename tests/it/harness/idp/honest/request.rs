//! A request to the provider, whole.

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;

/// One request, whole.
#[derive(Clone, Debug)]
pub(crate) struct IdpRequest {
    /// Its method.
    pub(crate) method: String,
    /// Its path, as sent.
    pub(crate) path: String,
    /// The query as sent, without the question mark.
    pub(crate) query: String,
    /// Its header fields.
    pub(crate) headers: HeaderMap,
    /// The body as sent.
    pub(crate) body: Bytes,
}

impl IdpRequest {
    /// Reads it; `None` when its body is larger than anything a client has to say.
    pub(crate) async fn read(request: Request<Incoming>) -> Option<Self> {
        let (parts, body) = request.into_parts();
        let body = Limited::new(body, BODY_BYTES).collect().await.ok()?.to_bytes();
        Some(Self {
            method: parts.method.to_string(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            headers: parts.headers,
            body,
        })
    }

    /// The parameters of the body where it is a form, in order, repeats kept.
    pub(crate) fn form(&self) -> Vec<(String, String)> {
        if self.header("content-type").is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded")) {
            pairs(&self.body)
        } else {
            Vec::new()
        }
    }

    /// The parameters of the query, in order, repeats kept.
    pub(crate) fn query_pairs(&self) -> Vec<(String, String)> {
        pairs(self.query.as_bytes())
    }

    /// A parameter of the form; `None` also when it is repeated
    /// ([RFC 6749 section 3.1](https://www.rfc-editor.org/rfc/rfc6749#section-3.1) forbids that).
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        only(self.form(), name)
    }

    /// A parameter of the query; `None` also when it is repeated.
    pub(crate) fn query_field(&self, name: &str) -> Option<String> {
        only(self.query_pairs(), name)
    }

    /// A header field's first value, where it is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

fn pairs(encoded: &[u8]) -> Vec<(String, String)> {
    url::form_urlencoded::parse(encoded).into_owned().collect()
}

fn only(pairs: Vec<(String, String)>, name: &str) -> Option<String> {
    let mut values = pairs.into_iter().filter(|(found, _)| found == name).map(|(_, value)| value);
    let first = values.next()?;
    values.next().is_none().then_some(first)
}

const BODY_BYTES: usize = 1024 * 1024;
