//! What forwarding needs to know of the configuration, already proven: the upstream side of `[route.NAME]`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use rustls_pki_types::CertificateDer;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::identity::ClaimPath;
use crate::request::mapping::PathMapping;
use crate::secret::{PrivateKey, Secret};
use crate::tls_version::MinTlsVersion;

/// An application behind the gateway: one or several equal addresses, and how to speak to them.
#[derive(Clone, Debug)]
pub struct UpstreamSettings {
    /// At least one; all of one kind of protocol.
    pub addresses: Vec<UpstreamAddress>,
    /// Time for a connection, TLS included. Default 5 s.
    pub connect_timeout: Duration,
    /// Time from the request's end to the response's head. Default 60 s.
    pub first_byte_timeout: Duration,
    /// A body without any byte for this long is broken off. Default 300 s.
    pub idle_timeout: Duration,
    /// How long an unused connection is kept. Default 30 s.
    pub pool_idle: Duration,
    /// TLS towards `https` upstreams.
    pub tls: UpstreamTls,
    /// Which `Host` the application sees.
    pub host: HostHeader,
    /// Whether names of fields keep the capitals of who sent them, where both sides speak HTTP/1.1; else they are in lower case, as
    /// in HTTP/2. To note them
    /// makes every request of the gateway about two fifths dearer.
    pub keeps_capitals: bool,
    /// Whether what answers say of paths (`Location`, cookies) is mapped back; never where no address maps requests.
    pub rewrites_answers: bool,
    /// Where the gateway's own endpoints are, which answers may name by the browser's path.
    pub own_prefix: Arc<str>,
    /// Failures in a row that put an address aside, and for how long. Default 3, 10 s.
    pub eject_after: u32,
    /// See [`eject_after`](Self::eject_after).
    pub eject_for: Duration,
}

/// One address of an application.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct UpstreamAddress {
    /// How to reach it.
    pub transport: UpstreamTransport,
    /// What is spoken there.
    pub protocol: UpstreamProtocol,
    /// `host[:port]` as it stands in the URL: for `Host` where it is rewritten, for SNI, and for logs;
    /// see [`place`](Self::place).
    pub authority: Arc<str>,
    /// What it gets in place of browsers' paths: the route's `strip_prefix` is taken off, the path of the upstream URL put in front.
    pub mapping: PathMapping,
}

impl UpstreamAddress {
    /// Where it is, for messages: a socket file has no host, whatever `Host` is sent there.
    pub fn place(&self) -> Arc<str> {
        match &self.transport {
            UpstreamTransport::Tcp(..) => Arc::clone(&self.authority),
            UpstreamTransport::Unix(path) => Arc::from(format!("unix:{}", path.display())),
        }
    }
}

/// How bytes get there.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum UpstreamTransport {
    /// Host name or address, and port.
    Tcp(Arc<str>, u16),
    /// A socket file.
    Unix(PathBuf),
}

/// What is spoken.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum UpstreamProtocol {
    /// HTTP/1.1 in clear text (`http://`, `unix:`).
    Http1,
    /// HTTP/2 with prior knowledge in clear text (`h2c://`).
    H2c,
    /// TLS, HTTP/1.1 or HTTP/2 by ALPN (`https://`).
    Tls,
}

/// TLS towards an application.
#[derive(Clone, Debug, Default)]
pub struct UpstreamTls {
    /// The oldest version that the application may speak.
    pub min_version: MinTlsVersion,
    /// Roots of trust; instead of the system's.
    pub roots: Option<Vec<CertificateDer<'static>>>,
    /// Client certificate chain and key.
    pub client: Option<(Vec<CertificateDer<'static>>, PrivateKey)>,
    /// Name to ask for and to verify, where it is not the URL's host.
    pub server_name: Option<String>,
    /// Takes any certificate.
    pub insecure_skip_verify: bool,
}

/// Which `Host` the application sees.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum HostHeader {
    /// The one that the request was judged by, which is the browser's: the default.
    Preserve,
    /// The upstream URL's.
    Upstream,
    /// A fixed one.
    Fixed(String),
}

/// The identity headers of a route: `identity`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct IdentityHeaderSettings {
    /// Header and where its value comes from, in order.
    pub headers: Vec<(HeaderName, IdentityValue)>,
    /// The groups to forward; none given: all.
    pub groups_only: Vec<GroupPattern>,
    /// What joins groups and other lists; default `,`.
    pub separator: String,
    /// What becomes of the client's own `Authorization` header.
    pub authorization: Authorization,
}

/// A group of `groups_only`: a name, or the beginning of names.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct GroupPattern {
    /// The name, or how names begin.
    text: String,
    /// Whether every group is meant whose name begins so.
    is_prefix: bool,
}

impl GroupPattern {
    /// `staff`, or `wiki-*`. Nothing where a star stands elsewhere, or stands alone.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, is_prefix) = text.strip_suffix('*').map_or((text, false), |prefix| (prefix, true));
        let is_pattern = !name.is_empty() && !name.contains('*');
        is_pattern.then(|| Self { text: name.to_owned(), is_prefix })
    }

    /// Whether a group is one of these.
    pub(super) fn covers(&self, group: &str) -> bool {
        if self.is_prefix { group.starts_with(&self.text) } else { group == self.text }
    }
}

/// Where the value of an identity header comes from.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum IdentityValue {
    /// The user claim, else the subject.
    User,
    /// The subject.
    Subject,
    /// The e-mail address.
    Email,
    /// The display name.
    Name,
    /// `preferred_username`.
    PreferredUsername,
    /// The groups, joined.
    Groups,
    /// Any claim; lists are joined, numbers and booleans written out, objects left out.
    Claim(ClaimPath),
    /// The access token.
    AccessToken,
    /// The ID token.
    IdToken,
    /// The provider's configured name.
    Provider,
    /// A fixed text.
    Literal(String),
}

/// What becomes of the client's own `Authorization` header.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Authorization {
    /// It reaches the application unchanged: the default.
    #[default]
    Keep,
    /// It is removed.
    Remove,
    /// It is replaced by `Bearer` and the session's access token.
    AccessToken,
    /// It is replaced by `Bearer` and the session's ID token.
    IdToken,
    /// It is replaced by Basic credentials.
    #[serde(skip)]
    Basic(Arc<BasicCredentials>),
}

/// Basic credentials that an application gets ([RFC 7617](https://www.rfc-editor.org/rfc/rfc7617)).
#[derive(Debug, Eq, PartialEq)]
pub struct BasicCredentials {
    /// Whose name the user name is; a literal holds no colon and no control character.
    pub user: IdentityValue,
    /// The password, the same for everybody.
    pub password: Secret<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_name_or_a_prefix_and_nothing_else() {
        let covers = |pattern: &str, group: &str| GroupPattern::parse(pattern).unwrap().covers(group);
        assert!(covers("staff", "staff") && !covers("staff", "staffer") && !covers("staff", "Staff"));
        assert!(covers("wiki-*", "wiki-") && covers("wiki-*", "wiki-admins") && !covers("wiki-*", "wiki"));
        for wrong in ["", "*", "*-admins", "a*b", "a**"] {
            assert_eq!(GroupPattern::parse(wrong), None, "{wrong}");
        }
    }
}
