//! Paths in the header of an application's answer, mapped back to those of browsers: `Location`, `Content-Location`, `Refresh`, and
//! the `Path` of cookies.
//!
//! 1. What an answer names is read as browsers read it (`reference.rs`), seen from the URL that the application was asked for.
//! 2. Only what lies below the base of the application, on its own origin or on the host that the browser asked, is mapped.
//! 3. What the application calls by the browser's prefix already stays as it is: it heeds `X-Forwarded-Prefix`.
//! 4. Whatever else is there stays byte for byte; `Link`, `Destination` of answers and bodies are never looked at.

use http::header::{CONTENT_LOCATION, HOST, LOCATION, REFRESH, SET_COOKIE};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Request};

use crate::proxy::settings::{UpstreamAddress, UpstreamSettings};

use self::places::Places;

mod cookie;
mod places;
mod reference;
mod refresh;

/// What has to be known of a request to map its answer back.
#[derive(Clone, Debug)]
pub(super) struct AskedPath {
    /// What the browser asked for.
    target: PathAndQuery,
    /// Where.
    host: Option<HeaderValue>,
    /// `X-Forwarded-Prefix`, as the application gets it.
    told: Option<HeaderValue>,
}

impl AskedPath {
    /// Of a request on its way to an application whose answers are mapped; `None` where they are not, which costs no more than to
    /// find that out.
    pub(super) fn of<B>(request: &Request<B>, settings: &UpstreamSettings) -> Option<Box<Self>> {
        if !settings.rewrites_answers {
            return None;
        }
        let field = |name: &str| request.headers().get(name).cloned();
        let target = request.uri().path_and_query().cloned()?;
        Some(Box::new(Self { target, host: field(HOST.as_str()), told: field("x-forwarded-prefix") }))
    }

    /// Maps the answer of this address.
    pub(super) fn map_back(&self, address: &UpstreamAddress, settings: &UpstreamSettings, headers: &mut HeaderMap) {
        if address.mapping.is_identity() {
            return;
        }
        let (target, host, told) = (self.target.as_str(), text(self.host.as_ref()), text(self.told.as_ref()));
        let Some(places) = Places::new(address, settings, target, host, told) else { return };
        for (name, value) in headers.iter_mut() {
            let bytes = value.as_bytes();
            let mapped = match name {
                name if *name == LOCATION || *name == CONTENT_LOCATION => {
                    reference::mapped(&places, bytes).map(String::into_bytes)
                }
                name if *name == REFRESH => refresh::mapped(&places, bytes),
                name if *name == SET_COOKIE => cookie::mapped(&places, bytes),
                _ => None,
            };
            if let Some(mapped) = mapped.and_then(|bytes| HeaderValue::from_bytes(&bytes).ok()) {
                *value = mapped;
            }
        }
    }
}

/// A value as text; nothing where it is none.
fn text(value: Option<&HeaderValue>) -> &str {
    value.and_then(|value| value.to_str().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
