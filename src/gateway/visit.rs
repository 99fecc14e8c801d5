//! A request as the stages look at it: everything but its body.

use std::sync::Arc;

use http::HeaderMap;

use crate::clock::UnixTime;
use crate::provider::Provider;
use crate::request::RequestMeta;
use crate::request::cookies::CookieScan;
use crate::request::kind::RequestKind;
use crate::session::store::Site;
use crate::trace::Handle;

/// What a request shows of who sends it: our cookies among its fields.
#[derive(Clone, Copy, Debug)]
pub struct Credentials<'a> {
    /// All fields.
    pub headers: &'a HeaderMap,
    /// Our own cookies.
    pub cookies: &'a CookieScan,
    /// When they were shown.
    pub now: UnixTime,
    /// The span that the judgement is a part of.
    pub span: Option<&'a Handle>,
}

/// One request on its way through the stages: what every one of them may look at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Visit<'a> {
    pub(super) meta: &'a RequestMeta,
    pub(super) headers: &'a HeaderMap,
    pub(super) cookies: &'a CookieScan,
    pub(super) now: UnixTime,
    pub(super) span: Option<&'a Handle>,
}

impl<'a> Visit<'a> {
    /// A request and what it shows.
    pub(super) fn of(meta: &'a RequestMeta, credentials: &Credentials<'a>) -> Self {
        let Credentials { headers, cookies, now, span } = *credentials;
        Self { meta, headers, cookies, now, span }
    }

    /// A provider's sessions at the host that was asked.
    pub(super) fn site<'p>(&self, provider: &'p Arc<Provider>) -> Site<'p>
    where
        'a: 'p,
    {
        Site { provider, host: &self.meta.host }
    }

    /// Whether a browser shows the answer as a page. Nothing else begins a sign-in or gets a cookie (CK-25).
    pub(super) fn is_navigation(&self) -> bool {
        matches!(self.meta.kind, RequestKind::Navigation | RequestKind::FormNavigation)
    }
}
