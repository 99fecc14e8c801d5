//! What the pipeline needs to know of the configuration, already proven: public URL, prefix, routes.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::policy::settings::{Access, AllowSettings};
use crate::proxy::headers::response_headers::ResponseHeaders;
use crate::proxy::settings::{IdentityHeaderSettings, UpstreamSettings};
use crate::request::host::scheme;
use crate::server::settings::Limits;

/// The pipeline.
#[derive(Clone, Debug)]
pub struct GatewaySettings {
    /// The origin that browsers use.
    pub public_url: PublicUrl,
    /// The `Strict-Transport-Security` of every answer; only where the public URL is https.
    pub hsts: Option<HeaderValue>,
    /// Our own endpoints' prefix, `/_vestibule` by default; starts with a slash, does not end with one.
    pub prefix: String,
    /// Peers whose forwarding headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Peers on unix sockets are believed too (`"unix"` in `trusted_proxies`).
    pub trust_unix: bool,
    /// The routes; at least one.
    pub routes: Vec<RouteSettings>,
    /// What a client may take; a route may say otherwise of `body_bytes`.
    pub limits: Limits,
    /// What our own pages show.
    pub pages: PagesSettings,
}

/// Our own pages.
#[derive(Clone, Debug, Default)]
pub struct PagesSettings {
    /// What stands at the top of each instead of the host.
    pub title: Option<String>,
    /// Who to ask: any text, an e-mail address, or a `mailto:`, `https:` or `http:` link.
    pub contact: Option<String>,
    /// The operator's own message, by paragraphs; lines within one are parted by line feeds. At most 1000 characters.
    pub notice: Vec<String>,
    /// What a navigation gets that needs a sign-in.
    pub sign_in: SignInStart,
}

/// What a navigation gets that needs a sign-in.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum SignInStart {
    /// It is sent to the provider at once.
    #[default]
    Redirect,
    /// A page of ours with a button that leads there.
    Page,
}

/// An origin: scheme, host and port, nothing else.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PublicUrl {
    /// `https`.
    pub https: bool,
    /// Lower-case host with a port where it is not the scheme's: as in a `Host` header.
    pub authority: String,
}

impl PublicUrl {
    /// `https` or `http`.
    pub fn scheme(&self) -> &'static str {
        scheme(self.https)
    }

    /// The origin as browsers write it: `https://wiki.example.com`.
    pub fn origin(&self) -> String {
        self.origin_of(&self.authority)
    }

    /// The same of another host, which browsers reach by the same scheme (FW-07).
    pub fn origin_of(&self, authority: &str) -> String {
        format!("{}://{authority}", self.scheme())
    }

    /// The host without its port.
    pub fn host(&self) -> &str {
        match self.authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
            _ => &self.authority,
        }
    }
}

/// A route.
#[derive(Clone, Debug)]
pub struct RouteSettings {
    /// The name of its table.
    pub name: Arc<str>,
    /// Which hosts; empty for any.
    pub hosts: Vec<HostPattern>,
    /// Prefix by whole segments, starts with a slash, without the last one except for `/` itself.
    pub path: String,
    /// Which methods; `None` for any.
    pub methods: Option<Vec<Method>>,
    /// Where allowed requests go.
    pub target: TargetSettings,
    /// What is asked of every path that no `paths` entry covers.
    pub rule: RuleSettings,
    /// `[route.NAME.paths]`: prefix below the route's host, absolute, with what differs there already merged over the route's own
    /// rule.
    pub paths: Vec<(String, RuleSettings)>,
    /// Origins whose WebSocket handshakes are taken besides our own (lower-case `scheme://host[:port]`).
    pub websocket_origins: Vec<String>,
    /// `insecure_keep_headers`: fields that the application takes from its clients, though only gateways should send them.
    pub kept_headers: Vec<HeaderName>,
    /// `response_headers`: what is changed on the application's answers.
    pub response_headers: ResponseHeaders,
    /// Whether `/ADMIN` may be judged otherwise than `/admin`. Default false: such a request is refused.
    pub case_sensitive: bool,
    /// Bytes of a request body; `None`: the server's.
    pub body_bytes: Option<u64>,
}

impl RouteSettings {
    /// Its own rule, and those of its parts.
    pub fn rules(&self) -> impl Iterator<Item = &RuleSettings> {
        std::iter::once(&self.rule).chain(self.paths.iter().map(|(_, rule)| rule))
    }
}

/// Where allowed requests go.
#[derive(Clone, Debug)]
pub enum TargetSettings {
    /// To an application.
    Upstream(Box<UpstreamSettings>),
    /// `static:CODE`: an empty answer with this status.
    Static(http::StatusCode),
}

/// What is asked of a request, and which identity the application gets.
#[derive(Clone, Debug)]
pub struct RuleSettings {
    /// `access`.
    pub access: Access,
    /// `allow`.
    pub allow: AllowSettings,
    /// `identity`.
    pub identity: IdentityHeaderSettings,
    /// Names of the providers whose sessions count, in the order of the chooser; never empty where a session is needed.
    pub providers: Vec<Arc<str>>,
    /// How old the sign-in may be.
    pub max_age: Option<Duration>,
    /// Whether its requests have lines in the access log.
    pub access_log: bool,
    /// Networks whose people pass without signing in. Empty but for `login` and `api`, never all of a family, and none holds the
    /// address of a trusted proxy.
    pub no_login_from: Vec<IpNet>,
}

/// One host of a route.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum HostPattern {
    /// Exactly this host, lower-case, without a port.
    Exact(String),
    /// `*.suffix`: any host below the suffix (kept here without `*.`), not the suffix itself.
    Suffix(String),
}
