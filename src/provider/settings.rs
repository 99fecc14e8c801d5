//! The validated settings of a provider: the table `[provider.NAME]`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use crate::followed::Followed;
use crate::identity::ClaimMapping;
use crate::provider::key_file::KeyFile;
use crate::provider::outgoing_proxy::OutgoingProxies;
use crate::secret::{PrivateKey, Secret};
use crate::tls_version::MinTlsVersion;

/// One identity provider, as configured.
#[derive(Clone, Debug)]
pub struct ProviderSettings {
    /// The name of its table; letters, digits, `-` and `_`.
    pub name: Arc<str>,
    /// What people call it, on the chooser page; default its name.
    pub title: String,
    /// OpenID Connect or plain OAuth 2.0.
    pub kind: ProviderKind,
    /// Where the discovery document is, if not below the issuer. It has to name the issuer all the same.
    pub discovery_url: Option<Url>,
    /// Allowed tenants, by `tid`; with some, the issuer is a template with `{tenantid}` in it.
    pub allowed_tenants: Vec<String>,
    /// The client identifier registered there.
    pub client_id: String,
    /// The path of its redirect URI, below the host that a sign-in began at or the public URL: no other provider's.
    pub redirect_path: String,
    /// How the client proves itself at the token endpoint and its siblings.
    pub client_auth: ClientAuth,
    /// Requested scopes; for OpenID Connect, `openid` is among them.
    pub scopes: Vec<String>,
    /// Whether to send PKCE (S256, [RFC 7636](https://www.rfc-editor.org/rfc/rfc7636)); only switched off for a provider that
    /// refuses it.
    pub pkce: bool,
    /// Extra parameters of the authorization request, by name (also `prompt`, `acr_values`, `ui_locales`, `login_hint`, …).
    pub authorization_params: BTreeMap<String, String>,
    /// Parameters that a link to `login` may hand on: see [`Hints`](super::Hints). None that the flow sets.
    pub login_params: Vec<String>,
    /// How the answer to an authorization request comes back.
    pub response_mode: ResponseMode,
    /// Departures from the specifications that are accepted.
    pub quirks: Vec<Quirk>,
    /// `prompt`, if always to be sent.
    pub prompt: Option<String>,
    /// `max_age` of the authentication at the provider; checked against `auth_time`
    /// ([OpenID Connect Core section 3.1.2.1](https://openid.net/specs/openid-connect-core-1_0.html#AuthRequest)).
    pub max_age: Option<Duration>,
    /// `acr_values`; the ID token's `acr` must then be one of them.
    pub acr_values: Vec<String>,
    /// `resource` parameters ([RFC 8707](https://www.rfc-editor.org/rfc/rfc8707)), sent at authorization, token and refresh
    /// requests.
    pub resource: Vec<Url>,
    /// Extra roots of trust for this provider's TLS.
    pub roots: Vec<CertificateDer<'static>>,
    /// The proxies that calls to the provider go through.
    pub outgoing: OutgoingProxies,
    /// The oldest version of TLS towards the provider.
    pub tls_min_version: MinTlsVersion,
    /// Time for one call to the provider.
    pub timeout: Duration,
    /// Audiences besides `client_id` that an ID token may name (ID-04).
    pub audiences: Vec<String>,
    /// Signature algorithms taken for ID tokens; empty: those that discovery lists, without `none` and HS*.
    pub id_token_algorithms: Vec<String>,
    /// Signature algorithms taken for signed UserInfo answers (`userinfo_signed_response_alg` of the client); where there are
    /// some, an unsigned answer is refused. Empty: unsigned, or signed with what discovery lists.
    pub userinfo_algorithms: Vec<String>,
    /// The key set in a file: nothing is fetched then.
    pub jwks: Option<Arc<Followed<KeyFile>>>,
    /// The shortest time between two fetches of the key set.
    pub jwks_min_interval: Duration,
    /// Life of an access token that came without `expires_in`.
    pub default_expires_in: Duration,
    /// When userinfo is asked.
    pub userinfo: UserinfoUse,
    /// How old what userinfo or introspection said may become: it is asked again then, by a refresh, or with the access token where
    /// there is no refresh token. `None`: at each refresh.
    pub userinfo_every: Option<Duration>,
    /// How signing out reaches the provider.
    pub logout: LogoutStyle,
    /// What the `typ` of its logout tokens has to be.
    pub logout_token_typ: LogoutTokenType,
    /// Tolerated difference between the clocks; default 60 s.
    pub clock_leeway: Duration,
    /// Where the parts of an identity come from.
    pub claims: ClaimMapping,
    /// Claims that routes use (headers, `allow`): userinfo `auto` asks when one of them is missing.
    pub needed_claims: Vec<crate::identity::ClaimPath>,
    /// Claims that `allow` of a route decides by, with the key that asks for them (`allow.groups`): when one does not come, the log
    /// says so.
    pub deciding_claims: Vec<(&'static str, crate::identity::ClaimPath)>,
    /// Plain-text endpoints away from loopback are taken.
    pub insecure_http: bool,
}

impl ProviderSettings {
    /// Whether anything here identifies people. Where nothing does, all who signed in are alike.
    pub fn names_people(&self) -> bool {
        !matches!(self.kind, ProviderKind::OAuth2 { identity: OAuth2Identity::Nobody, .. })
    }
}

/// The two kinds of provider.
#[derive(Clone, Debug)]
pub enum ProviderKind {
    /// OpenID Connect by discovery, or by what is written where that is [enough](Endpoints::need_no_discovery).
    Oidc {
        /// The issuer identifier, byte for byte as the provider writes it; a template where there are `allowed_tenants`.
        issuer: String,
        /// Endpoints that the operator wrote; they win over discovery.
        overrides: Endpoints,
    },
    /// Plain OAuth 2.0 by explicit endpoints: no discovery, no ID token.
    OAuth2 {
        /// `authorization_endpoint` and `token_endpoint` are always there.
        endpoints: Endpoints,
        /// Where the identity comes from.
        identity: OAuth2Identity,
    },
}

/// Endpoint URLs written by the operator.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the names are those of RFC 8414 section 2")]
pub struct Endpoints {
    pub authorization_endpoint: Option<Url>,
    pub token_endpoint: Option<Url>,
    pub userinfo_endpoint: Option<Url>,
    pub introspection_endpoint: Option<Url>,
    pub revocation_endpoint: Option<Url>,
    pub end_session_endpoint: Option<Url>,
    pub jwks_uri: Option<Url>,
}

impl Endpoints {
    /// Whether everything is written that OpenID Connect cannot do without, so that no document has to be read. `has_keys`: the key
    /// set is in a file.
    pub fn need_no_discovery(&self, has_keys: bool) -> bool {
        let has_keys = has_keys || self.jwks_uri.is_some();
        self.authorization_endpoint.is_some() && self.token_endpoint.is_some() && has_keys
    }

    /// Those that are asked by us and are known, with their names.
    pub(super) fn asked(&self) -> impl Iterator<Item = (&'static str, &Url)> {
        let all = [
            ("token_endpoint", &self.token_endpoint),
            ("userinfo_endpoint", &self.userinfo_endpoint),
            ("introspection_endpoint", &self.introspection_endpoint),
            ("revocation_endpoint", &self.revocation_endpoint),
            ("jwks_uri", &self.jwks_uri),
        ];
        all.into_iter().filter_map(|(name, url)| Some((name, url.as_ref()?)))
    }

    /// The same with each endpoint as `change` makes it, of its name and what it was.
    pub(super) fn try_map<E>(
        &self,
        change: impl Fn(&'static str, Option<&Url>) -> Result<Option<Url>, E>,
    ) -> Result<Self, E> {
        Ok(Self {
            authorization_endpoint: change("authorization_endpoint", self.authorization_endpoint.as_ref())?,
            token_endpoint: change("token_endpoint", self.token_endpoint.as_ref())?,
            userinfo_endpoint: change("userinfo_endpoint", self.userinfo_endpoint.as_ref())?,
            introspection_endpoint: change("introspection_endpoint", self.introspection_endpoint.as_ref())?,
            revocation_endpoint: change("revocation_endpoint", self.revocation_endpoint.as_ref())?,
            end_session_endpoint: change("end_session_endpoint", self.end_session_endpoint.as_ref())?,
            jwks_uri: change("jwks_uri", self.jwks_uri.as_ref())?,
        })
    }
}

/// How the provider hands over its answer to an authorization request (OAuth 2.0 Multiple Response Types section 2.1).
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum ResponseMode {
    /// In the query of a redirect: the default of the code flow.
    Query,
    /// By a form that the browser posts from the provider's page (OAuth 2.0 Form Post Response Mode).
    FormPost,
}

/// A departure from the specifications that is accepted where it is configured.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum Quirk {
    /// Token answers have no `token_type` ([RFC 6749 section 5.1](https://www.rfc-editor.org/rfc/rfc6749#section-5.1)).
    MissingTokenType,
    /// Token answers are JSON by another media type.
    TokenContentType,
    /// Logout tokens have no `exp`, as drafts of
    /// [Back-Channel Logout](https://openid.net/specs/openid-connect-backchannel-1_0.html#LogoutToken) allowed.
    LogoutTokenWithoutExp,
}

/// What the `typ` of a logout token has to be.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum LogoutTokenType {
    /// None, `JWT`, or `logout+jwt`.
    Any,
    /// `logout+jwt`.
    Required,
}

/// Where a plain OAuth 2.0 provider identifies people.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OAuth2Identity {
    /// GET `userinfo_endpoint` with the access token.
    Userinfo,
    /// POST `introspection_endpoint` ([RFC 7662](https://www.rfc-editor.org/rfc/rfc7662)).
    Introspection,
    /// Nowhere: signed in, but not identified.
    Nobody,
}

/// Client authentication ([RFC 6749 section 2.3](https://www.rfc-editor.org/rfc/rfc6749#section-2.3),
/// [OpenID Connect Core section 9](https://openid.net/specs/openid-connect-core-1_0.html#rfc.section.9)).
#[derive(Clone, Debug)]
pub enum ClientAuth {
    /// `client_secret_basic`: the default.
    Basic(Secret<String>),
    /// `client_secret_post`.
    Post(Secret<String>),
    /// `private_key_jwt` ([RFC 7523](https://www.rfc-editor.org/rfc/rfc7523)): the key, and its `kid`; the algorithm
    /// follows from the key.
    PrivateKeyJwt {
        /// PKCS#8, SEC1 or PKCS#1: RSA, P-256, P-384 or Ed25519.
        key: PrivateKey,
        /// `kid` of the assertion's header.
        key_id: Option<String>,
    },
    /// `none`: a public client.
    Public,
}

impl ClientAuth {
    /// The name of the method, as registered.
    pub fn method_name(&self) -> &'static str {
        match self {
            Self::Basic(_) => "client_secret_basic",
            Self::Post(_) => "client_secret_post",
            Self::PrivateKeyJwt { .. } => "private_key_jwt",
            Self::Public => "none",
        }
    }

    /// The shared secret, where there is one.
    pub fn secret(&self) -> Option<&Secret<String>> {
        match self {
            Self::Basic(secret) | Self::Post(secret) => Some(secret),
            Self::PrivateKeyJwt { .. } | Self::Public => None,
        }
    }
}

/// When the userinfo endpoint is asked after a sign-in.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum UserinfoUse {
    /// When a claim that a route uses is missing from the ID token. A refusal leaves the claim absent.
    Auto,
    /// At every sign-in; a refusal fails it.
    Always,
    /// Never.
    Never,
}

/// How signing out reaches the provider.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum LogoutStyle {
    /// RP-initiated logout where it is advertised, and revocation where it can be.
    Auto,
    /// Revocation only.
    #[serde(rename = "revoke")]
    RevokeOnly,
    /// Local only.
    None,
}
