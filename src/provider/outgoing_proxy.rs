//! The proxy on the way out: which calls to a provider go through one, and through which.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use percent_encoding::percent_decode_str;
use url::Url;

pub use crate::provider::no_proxy::NoProxy;
use crate::secret::Secret;

/// The proxies of one provider, by the scheme of the endpoint that is called. The default is none.
#[derive(Clone, Debug, Default)]
pub struct OutgoingProxies {
    /// For `http` endpoints.
    pub http: Option<Arc<OutgoingProxy>>,
    /// For `https` endpoints.
    pub https: Option<Arc<OutgoingProxy>>,
    /// Hosts that are called directly all the same, and the variable that names them.
    pub exceptions: Option<(Arc<str>, NoProxy)>,
    /// Where `"none"` is written, if it is.
    pub switched_off: Option<Arc<str>>,
}

/// How a call leaves this network.
#[derive(Clone, Copy, Debug)]
pub enum ProxyChoice<'a> {
    /// Directly: no proxy is named.
    NotNamed,
    /// Directly: `"none"` is written at this place.
    SwitchedOff(&'a str),
    /// Directly: this variable names the host.
    Excepted(&'a str),
    /// Through this proxy.
    Through(&'a Arc<OutgoingProxy>),
}

impl OutgoingProxies {
    /// One proxy for everything.
    pub fn all_through(proxy: OutgoingProxy) -> Self {
        let proxy = Arc::new(proxy);
        Self { http: Some(Arc::clone(&proxy)), https: Some(proxy), ..Self::default() }
    }

    /// Whether anything is said of proxies, so that it is worth to be said what was chosen.
    pub fn is_named(&self) -> bool {
        self.http.is_some() || self.https.is_some() || self.switched_off.is_some()
    }

    /// The choice for an endpoint.
    pub fn choice(&self, endpoint: &Url) -> ProxyChoice<'_> {
        let port = endpoint.port_or_known_default().unwrap_or_default();
        self.choice_for(endpoint.scheme(), endpoint.host_str().unwrap_or_default(), port)
    }

    /// The same for an endpoint in its parts; an IPv6 address may stand in brackets.
    pub(super) fn choice_for(&self, scheme: &str, host: &str, port: u16) -> ProxyChoice<'_> {
        if let Some(place) = &self.switched_off {
            return ProxyChoice::SwitchedOff(place);
        }
        let proxy = if scheme == "https" { &self.https } else { &self.http };
        let Some(proxy) = proxy else { return ProxyChoice::NotNamed };
        match &self.exceptions {
            Some((variable, hosts)) if hosts.names(host, port) => ProxyChoice::Excepted(variable),
            _ => ProxyChoice::Through(proxy),
        }
    }
}

impl fmt::Display for ProxyChoice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotNamed => f.write_str("directly: no proxy is named"),
            Self::SwitchedOff(place) => write!(f, "directly: outgoing_proxy is \"none\" ({place})"),
            Self::Excepted(variable) => write!(f, "directly: {variable} names the host"),
            Self::Through(proxy) => write!(f, "through the proxy {proxy}"),
        }
    }
}

/// A proxy that calls go through. Printed, it is its URL without credentials, and where it was named.
#[derive(Clone, Debug)]
pub struct OutgoingProxy {
    /// Whether it is spoken to by TLS.
    pub(super) has_tls: bool,
    /// A name, or an address; IPv6 in brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// The value of `Proxy-Authorization`.
    authorization: Option<Secret<String>>,
    /// Where it was named.
    named_by: Arc<str>,
}

/// Why something is not the URL of a proxy, or cannot be its credentials.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum OutgoingProxyFault {
    #[error("it has no scheme")]
    NoScheme,
    #[error("its scheme is neither http nor https; SOCKS is not spoken")]
    Scheme,
    #[error("it is not a URL")]
    NotAUrl,
    #[error("it has more than a host and a port")]
    More,
    #[error("its user name or password is not UTF-8 where it is percent-decoded")]
    NotUtf8,
    #[error("a colon or control character in the user name, or a control character in the password, cannot be sent")]
    Unsendable,
}

impl OutgoingProxy {
    /// Reads a URL; credentials in it are percent-decoded.
    ///
    /// # Errors
    /// [`OutgoingProxyFault`].
    pub fn new(url: &str, named_by: &str) -> Result<Self, OutgoingProxyFault> {
        if !url.contains("://") {
            return Err(OutgoingProxyFault::NoScheme);
        }
        let url = Url::parse(url.trim()).map_err(|_| OutgoingProxyFault::NotAUrl)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(OutgoingProxyFault::Scheme);
        }
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(OutgoingProxyFault::NotAUrl);
        };
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(OutgoingProxyFault::More);
        }
        let (has_tls, host) = (url.scheme() == "https", host.to_owned());
        let proxy = Self { has_tls, host, port, authorization: None, named_by: Arc::from(named_by) };
        if url.username().is_empty() && url.password().is_none() {
            return Ok(proxy);
        }
        let decoded = |text| percent_decode_str(text).decode_utf8().map_err(|_| OutgoingProxyFault::NotUtf8);
        proxy.with_credentials(&decoded(url.username())?, &decoded(url.password().unwrap_or_default())?)
    }

    /// The same as the value of a variable, which need not have a scheme (`proxy.corp:3128`): it is `http` then, as in Go and curl.
    ///
    /// # Errors
    /// [`OutgoingProxyFault`].
    pub fn of_variable(value: &str, name: &str) -> Result<Self, OutgoingProxyFault> {
        let value = value.trim();
        if value.contains("://") { Self::new(value, name) } else { Self::new(&format!("http://{value}"), name) }
    }

    /// The same with a user name and a password, for it alone
    /// ([RFC 7617 section 2](https://www.rfc-editor.org/rfc/rfc7617#section-2)).
    ///
    /// # Errors
    /// [`OutgoingProxyFault::Unsendable`].
    pub fn with_credentials(self, user: &str, password: &str) -> Result<Self, OutgoingProxyFault> {
        if user.contains(|c: char| c == ':' || c.is_control()) || password.contains(char::is_control) {
            return Err(OutgoingProxyFault::Unsendable);
        }
        let pair = Secret::new(format!("{user}:{password}"));
        let value = format!("Basic {}", STANDARD.encode(pair.expose()));
        Ok(Self { authorization: Some(Secret::new(value)), ..self })
    }

    /// Its URL, without credentials.
    pub fn url(&self) -> String {
        format!("{}://{}:{}", if self.has_tls { "https" } else { "http" }, self.host, self.port)
    }

    /// Where it was named: a key with its line, or a variable.
    pub fn named_by(&self) -> &str {
        &self.named_by
    }

    /// Whether it is told a user name and a password.
    pub fn has_credentials(&self) -> bool {
        self.authorization.is_some()
    }

    /// The value of `Proxy-Authorization`, which nobody but the proxy may see.
    pub(super) fn authorization(&self) -> Option<HeaderValue> {
        let mut value = HeaderValue::from_str(self.authorization.as_ref()?.expose()).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl fmt::Display for OutgoingProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.url(), self.named_by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_read_with_its_port_and_its_credentials() {
        for (text, url, pair) in [
            ("http://proxy.corp:3128", "http://proxy.corp:3128", None),
            ("http://proxy.corp", "http://proxy.corp:80", None),
            ("https://Proxy.Corp/", "https://proxy.corp:443", None),
            ("http://[fd00::1]:3128", "http://[fd00::1]:3128", None),
            ("http://svc:pass@proxy.corp:3128", "http://proxy.corp:3128", Some("svc:pass")),
            ("http://svc@proxy.corp:3128", "http://proxy.corp:3128", Some("svc:")),
            ("http://s%76c:p%40ss%3A%2f%25%C3%A9@proxy.corp", "http://proxy.corp:80", Some("svc:p@ss:/%é")),
        ] {
            let proxy = OutgoingProxy::new(text, "here").unwrap();
            let authorization = pair.map(|pair| format!("Basic {}", STANDARD.encode(pair)));
            assert_eq!(proxy.url(), url);
            assert_eq!(proxy.authorization.as_ref().map(|it| it.expose().clone()), authorization, "{text}");
            assert_eq!(proxy.to_string(), format!("{url} (here)"));
            let printed = format!("{proxy:?} {:?}", proxy.authorization());
            assert!(!printed.contains("pass") && !printed.contains("Basic"), "{printed}");
        }
    }

    #[test]
    fn what_is_no_proxy_is_refused_with_what_is_wrong() {
        use OutgoingProxyFault::*;
        for (text, fault) in [
            ("proxy.corp:3128", NoScheme),
            ("", NoScheme),
            ("socks5://proxy.corp:1080", Scheme),
            ("socks5h://proxy.corp:1080", Scheme),
            ("ftp://proxy.corp", Scheme),
            ("http://", NotAUrl),
            ("http://proxy.corp:99999", NotAUrl),
            ("http://proxy.corp:3128/path", More),
            ("http://proxy.corp:3128?x", More),
            ("http://proxy.corp:3128#x", More),
            ("http://a%FF:b@proxy.corp", NotUtf8),
            ("http://a%3Ab:c@proxy.corp", Unsendable),
            ("http://a:b%0D%0AX@proxy.corp", Unsendable),
        ] {
            assert_eq!(OutgoingProxy::new(text, "").map(|it| it.url()), Err(fault), "{text}");
        }
    }

    /// Go's `proxyForURLTests`, as far as they are about the value of a variable.
    #[test]
    fn a_variable_is_read_as_go_reads_it() {
        for (value, url) in [
            ("127.0.0.1:8080", Ok("http://127.0.0.1:8080")),
            ("cache.corp.example.com:1234", Ok("http://cache.corp.example.com:1234")),
            ("cache.corp.example.com", Ok("http://cache.corp.example.com:80")),
            ("localhost", Ok("http://localhost:80")),
            ("https://cache.corp.example.com", Ok("https://cache.corp.example.com:443")),
            ("https://127.0.0.1:8080", Ok("https://127.0.0.1:8080")),
            ("[fd00::1]:3128", Ok("http://[fd00::1]:3128")),
            ("svc:secret@proxy:3128", Ok("http://proxy:3128")),
            (" http://proxy:3128/ ", Ok("http://proxy:3128")),
            // Go hands these on, and its callers fail with them; nothing goes past them directly.
            ("socks5://127.0.0.1", Err(OutgoingProxyFault::Scheme)),
            ("foo://host", Err(OutgoingProxyFault::Scheme)),
            ("http:// proxy", Err(OutgoingProxyFault::NotAUrl)),
        ] {
            let read = OutgoingProxy::of_variable(value, "HTTPS_PROXY").map(|it| it.url());
            assert_eq!(read.as_deref().map_err(|fault| *fault), url, "{value}");
        }
    }

    #[test]
    fn the_scheme_of_the_endpoint_chooses_the_proxy_and_exceptions_come_before_it() {
        let proxy = |url| Some(Arc::new(OutgoingProxy::of_variable(url, "x").unwrap()));
        let mut proxies = OutgoingProxies {
            http: proxy("plain:1"),
            https: proxy("secure:2"),
            exceptions: Some((Arc::from("NO_PROXY"), NoProxy::new("login.corp:8443"))),
            switched_off: None,
        };
        let chosen = |proxies: &OutgoingProxies, url: &str| proxies.choice(&Url::parse(url).unwrap()).to_string();
        assert_eq!(chosen(&proxies, "http://login.corp/"), "through the proxy http://plain:1 (x)");
        assert_eq!(chosen(&proxies, "https://login.corp/"), "through the proxy http://secure:2 (x)");
        assert_eq!(chosen(&proxies, "https://127.0.0.1:1/"), "through the proxy http://secure:2 (x)");
        assert_eq!(chosen(&proxies, "https://login.corp:8443/"), "directly: NO_PROXY names the host");
        proxies.http = None;
        assert_eq!(chosen(&proxies, "http://login.corp/"), "directly: no proxy is named");
        proxies.switched_off = Some(Arc::from("a.toml:3"));
        assert_eq!(chosen(&proxies, "https://login.corp/"), "directly: outgoing_proxy is \"none\" (a.toml:3)");
    }
}
