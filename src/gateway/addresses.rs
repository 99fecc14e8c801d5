//! Our own addresses, and those that somebody may be sent to.

use http::header::{CACHE_CONTROL, LOCATION, ORIGIN, REFERER, REFERRER_POLICY};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use crate::body::Body;
use crate::gateway::Gateway;
use crate::gateway::visit::Visit;
use crate::provider::{Hints, Provider};
use crate::request::RequestMeta;
use crate::request::return_to::ReturnTo;
use crate::session::settings::domain_reaches;

impl Gateway {
    /// One of our own paths, as it stands in a URL on the same host.
    pub(super) fn own_path(&self, endpoint: &str) -> String {
        format!("{}/{endpoint}", self.settings.prefix)
    }

    /// The `login` endpoint with a target, as a path on the same host. A single name in `of` is a provider to go to at once.
    pub(super) fn login_url(&self, return_to: &ReturnTo, of: Option<&str>) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("rd", &return_to.to_url(self.settings.public_url.https));
        match of {
            Some(names) if names.contains(',') => query.append_pair("of", names),
            Some(name) => query.append_pair("provider", name),
            None => &mut query,
        };
        format!("{}?{}", self.own_path("login"), query.finish())
    }

    /// The same at a provider, with what a link hands on to it.
    pub(super) fn login_url_with(&self, return_to: &ReturnTo, provider: &str, hints: &Hints) -> String {
        let url = self.login_url(return_to, Some(provider));
        let query = url.find('?').map_or(0, |at| at + 1);
        url::form_urlencoded::Serializer::for_suffix(url, query).extend_pairs(hints.pairs()).finish()
    }

    /// The same for the start page of the host that was asked.
    pub(super) fn login_url_of_start_page(&self, meta: &RequestMeta) -> String {
        self.login_url(&ReturnTo::root(meta.host.clone()), None)
    }

    /// A target that somebody asked for, if it lies on a host of ours within the cookie's reach (SB-01, AT-OR-01 to 11).
    pub(super) fn return_to(&self, meta: &RequestMeta, target: &str) -> Option<ReturnTo> {
        ReturnTo::parse(target, &meta.host, self.settings.public_url.https, &|host| {
            host == meta.host.name() || (self.within_reach(host) && self.serves(host))
        })
    }

    /// The same, or the start page of the host that was asked.
    pub(super) fn return_to_or_start(&self, meta: &RequestMeta, target: Option<&str>) -> ReturnTo {
        let target = target.and_then(|target| self.return_to(meta, target));
        target.unwrap_or_else(|| ReturnTo::root(meta.host.clone()))
    }

    /// Where the form stood that was sent without a session: the page that sent it, if that is ours.
    pub(super) fn form_page(&self, visit: Visit<'_>) -> ReturnTo {
        let referer = visit.headers.get(REFERER).and_then(|value| value.to_str().ok());
        referer.and_then(|referer| self.return_to(visit.meta, referer)).unwrap_or_else(|| ReturnTo::here(visit.meta))
    }

    /// The address that was asked for, to be asked for again.
    pub(super) fn address_of(&self, meta: &RequestMeta) -> String {
        ReturnTo::here(meta).to_url(self.settings.public_url.https)
    }

    /// The page that was asked for under the name that the operator gave us.
    pub(super) fn public_address_of(&self, meta: &RequestMeta) -> String {
        format!("{}{}", self.settings.public_url.origin(), meta.path.path_and_query())
    }

    /// The redirect URI of a sign-in. Each provider has one of its own, so that an answer cannot be taken for another's (IS-03,
    /// [RFC 9700 section 4.4.2](https://www.rfc-editor.org/rfc/rfc9700#section-4.4.2)).
    pub(super) fn redirect_uri(&self, meta: &RequestMeta, provider: &Provider) -> String {
        format!("{}{}", self.origin(meta), provider.settings().redirect_path)
    }

    /// The origin that a sign-in comes back to: the request's own host, or the public URL when cookies reach the whole domain.
    /// The scheme is configured, not taken from the request (FW-07).
    pub(super) fn origin(&self, meta: &RequestMeta) -> String {
        if self.sessions.settings.cookie.domain.is_none() {
            self.own_origin(meta)
        } else {
            self.settings.public_url.origin()
        }
    }

    /// The origin that was asked, as browsers write it.
    pub(super) fn own_origin(&self, meta: &RequestMeta) -> String {
        self.settings.public_url.origin_of(meta.host.authority())
    }

    /// Whether `Origin` is the one that browsers know this host by; `None` when it was not sent.
    pub(super) fn origin_is_ours(&self, headers: &HeaderMap, authority: &str) -> Option<bool> {
        let mut origins = headers.get_all(ORIGIN).iter();
        let origin = origins.next()?;
        let scheme = self.settings.public_url.scheme();
        let ours = origin.to_str().ok().and_then(|origin| origin.strip_prefix(scheme)?.strip_prefix("://"));
        Some(origins.next().is_none() && ours.is_some_and(|ours| ours.eq_ignore_ascii_case(authority)))
    }

    /// Whether we answer for a host at all: some route names it, or it is the public URL's.
    pub(super) fn serves(&self, host: &str) -> bool {
        self.routes.covers(host) || self.settings.public_url.host() == host
    }

    /// Whether people sign in at the host of a request: it is the public URL's, or a route names it, or the cookie's domain covers
    /// it. A route for any host lets any name in that somebody writes; no sign-in is begun there (FW-07, AT-OR-10).
    pub(super) fn signs_in_at(&self, meta: &RequestMeta) -> bool {
        let host = meta.host.name();
        meta.host.authority() == self.settings.public_url.authority
            || self.routes.names(host)
            || self.within_reach(host)
    }

    /// Whether a cookie of ours reaches this host besides the one that it was set by.
    fn within_reach(&self, host: &str) -> bool {
        self.sessions.settings.cookie.domain.as_ref().is_some_and(|domain| domain_reaches(domain, host))
    }
}

/// A redirect that no cache keeps and that sends the next site no referrer (CH-01, SB-09).
pub(super) fn redirect(status: StatusCode, to: &str) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if let Ok(location) = HeaderValue::from_str(to) {
        headers.insert(LOCATION, location);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
