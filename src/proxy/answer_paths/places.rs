//! One request as both sides know it, and what the paths of one side are on the other.

use url::Url;

use crate::proxy::settings::{HostHeader, UpstreamAddress, UpstreamProtocol, UpstreamSettings};
use crate::request::mapping::PathMapping;

/// Where a request went, as its browser and its application know it.
pub(super) struct Places<'a> {
    mapping: &'a PathMapping,
    /// The URL that the application was asked for.
    pub(super) asked: Url,
    /// The same as the browser asked for it. Its scheme is of no matter.
    pub(super) browser: Url,
    /// What the application was told to be its host, where that is not the browser's: it may be wrong about the scheme then.
    host: Option<&'a str>,
    /// `X-Forwarded-Prefix`.
    told: &'a str,
    /// Where the gateway's own endpoints are.
    own: &'a str,
}

/// Whose origin an absolute URL names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Named {
    /// The application's, which no browser can reach.
    Application,
    /// The one that the browser asked.
    Asked,
    /// Somebody else's.
    Other,
}

impl<'a> Places<'a> {
    /// `None` where the request has no place at this address, so that it was never sent there.
    pub(super) fn new(
        address: &'a UpstreamAddress,
        settings: &'a UpstreamSettings,
        target: &str,
        host: &str,
        told: &'a str,
    ) -> Option<Self> {
        let scheme = if address.protocol == UpstreamProtocol::Tls { "https" } else { "http" };
        let at = |authority: &str, path: &str| Url::parse(&format!("{scheme}://{authority}{path}")).ok();
        let told_host = match &settings.host {
            HostHeader::Preserve => None,
            HostHeader::Upstream => Some(&*address.authority),
            HostHeader::Fixed(host) => Some(host.as_str()),
        };
        Some(Self {
            asked: at(&address.authority, &address.mapping.to_application(target)?)?,
            browser: at(host, target)?,
            mapping: &address.mapping,
            host: told_host,
            told,
            own: &settings.own_prefix,
        })
    }

    /// Whose origin this is: compared whole, so that neither `http://app:30000` nor `http://app.evil` is `http://app:3000`. Whoever
    /// names the browser's host may be wrong about the scheme: TLS may end in front of the gateway.
    pub(super) fn named(&self, url: &Url) -> Named {
        let is_at = |authority: &str| {
            Url::parse(&format!("{}://{authority}", url.scheme())).is_ok_and(|known| known.origin() == url.origin())
        };
        if !matches!(url.scheme(), "http" | "https") || !url.username().is_empty() || url.password().is_some() {
            Named::Other
        } else if is_at(self.browser.authority()) {
            Named::Asked
        } else if url.origin() == self.asked.origin() || self.host.is_some_and(is_at) {
            Named::Application
        } else {
            Named::Other
        }
    }

    /// The browser's path of one that an application names from its root; `None` where there is none. What is a browser's path
    /// already is itself.
    pub(super) fn path_for_browser(&self, path: &str) -> Option<String> {
        if self.is_of_browser(path) { Some(path.to_owned()) } else { self.mapping.to_browser(path) }
    }

    /// The same of a path that the application does not write whole, so that it cannot have meant the browser's.
    pub(super) fn resolved_for_browser(&self, path: &str) -> Option<String> {
        self.mapping.to_browser(path)
    }

    /// The path of a cookie for all of the application's paths that it is sent with; `None` where there is none.
    pub(super) fn cookie_path_for_browser(&self, path: &str) -> Option<String> {
        let (base, prefix) = (self.mapping.base(), self.mapping.prefix());
        if self.is_of_browser(path) {
            None
        } else if covers(path, if base.is_empty() { "/" } else { base }) {
            Some(if prefix.is_empty() { "/".to_owned() } else { prefix.to_owned() })
        } else {
            self.mapping.to_browser(path)
        }
    }

    /// Whether a path is one of the browser's: the application was told the prefix, or means an endpoint of the gateway. Where its
    /// own base lies below the prefix, what lies below the base is its own.
    fn is_of_browser(&self, path: &str) -> bool {
        let is_base = self.mapping.is_below_prefix(self.mapping.base()) && self.mapping.to_browser(path).is_some();
        let told = !self.told.is_empty() && covers(self.told, path);
        (!self.own.is_empty() && covers(self.own, path)) || (!is_base && (told || self.mapping.is_below_prefix(path)))
    }
}

/// Whether a cookie of the first path goes with requests for the second (RFC 6265bis section 5.1.4).
fn covers(above: &str, path: &str) -> bool {
    let rest = path.strip_prefix(above);
    rest.is_some_and(|rest| rest.is_empty() || above.ends_with('/') || rest.starts_with('/'))
}
