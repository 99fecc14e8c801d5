//! The configuration as it is written: every table and every key, once.
//!
//! The structs are read with serde ([`super::input`]), and the JSON Schema is made of them, with the words here as its descriptions. A
//! new key is a field here, its meaning in `validate`, and a line in `config.example.toml`. What a value means is not decided here.

use schemars::JsonSchema;
use serde::Deserialize;

use super::answers::{HstsTable, ResponseHeadersTable};
use super::lists::{InFile, NamesOrFile};
use super::reading::Field;
pub(super) use super::reported::{LogTable, TelemetryTable};
use super::secrets::SecretText;
use super::tables::tables;
use super::units::{
    ByteSize, CertificatesFile, ClaimValue, FileMode, Filled, KeyFile, List, Named, Network, OneOrMany, RawText,
    SpanOr, TextOr, Timespan, WebUrl, WordOr,
};
use super::words::{ClientAuthMethod, GroupShapeName, HeaderCase, KeptToken, Store};
use crate::gateway::settings::SignInStart;
use crate::policy::settings::Access;
use crate::provider::settings::{LogoutStyle, LogoutTokenType, Quirk, ResponseMode, UserinfoUse};
use crate::proxy::settings::Authorization;
use crate::server::settings::ClientCertificates;
use crate::session::settings::SameSite;
use crate::tls_version::MinTlsVersion;

tables! {
/// The whole file.
pub(super) struct File {
    /// Where vestibule listens, and what it is to browsers.
    pub(super) server: Field<ServerTable>,
    /// The listener for health and metrics.
    pub(super) admin: Field<AdminTable>,
    /// Logs.
    pub(super) log: Field<LogTable>,
    /// Traces and metrics by OTLP.
    pub(super) telemetry: Field<TelemetryTable>,
    /// vestibule's own pages.
    pub(super) pages: Field<PagesTable>,
    /// Sessions.
    pub(super) session: Field<SessionTable>,
    /// Providers, by names of one's own.
    pub(super) provider: Field<Named<ProviderTable, true>>,
    /// Routes to applications, by names of one's own. The most specific host, then the most specific path wins.
    pub(super) route: Field<Named<RouteTable, true>>,
}

/// `[server]`.
pub(super) struct ServerTable {
    /// Where to listen: `host:port`, `unix:/path`, `systemd:NAME`, or a list. Default: `127.0.0.1:4180`.
    pub(super) listen: Field<OneOrMany<String>>,
    /// The origin that browsers use. The redirect URI to register at the provider is `{public_url}{prefix}/callback`.
    pub(super) public_url: Field<String>,
    /// Networks of the proxies in front, whose forwarded headers are believed; `unix` for peers on unix sockets.
    pub(super) trusted_proxies: Field<OneOrMany<String>>,
    /// The path below which vestibule's own endpoints live. Default: `/_vestibule`.
    pub(super) prefix: Field<String>,
    /// Threads that forward requests. Default: one a core.
    pub(super) workers: Field<u32>,
    /// The mode of unix sockets: who may connect. Default: what the umask leaves.
    pub(super) unix_mode: Field<FileMode>,
    /// `Strict-Transport-Security` of every answer: how long browsers use https only. Default: none.
    pub(super) hsts: Field<SpanOr<HstsTable>>,
    /// TLS on every TCP listener. Without it vestibule speaks plain text, for a proxy in front that ends TLS.
    pub(super) tls: Field<ServerTlsTable>,
    /// What a client may take.
    pub(super) limits: Field<LimitsTable>,
    /// How serving ends.
    pub(super) drain: Field<DrainTable>,
}

/// `[server.tls]`.
pub(super) struct ServerTlsTable {
    /// The certificate chain, PEM. Changed files are read again.
    pub(super) cert: Field<CertificatesFile>,
    /// The private key of the certificate, PEM.
    pub(super) key: Field<KeyFile>,
    /// More certificates, chosen by the name that the client asks for.
    pub(super) certificate: Field<List<CertificateTable, true>>,
    /// The oldest version of TLS that clients may speak: `1.2` or `1.3`. Default: `1.2`.
    pub(super) min_version: Field<MinTlsVersion>,
    /// Roots of client certificates, PEM. Default: none.
    pub(super) client_ca: Field<CertificatesFile>,
    /// Whether clients have to show a certificate. Default: `required` where `client_ca` is given.
    pub(super) client_auth: Field<ClientCertificates>,
}

/// `[[server.tls.certificate]]`.
pub(super) struct CertificateTable {
    /// The certificate chain, PEM.
    pub(super) cert: Field<CertificatesFile>,
    /// Its private key, PEM.
    pub(super) key: Field<KeyFile>,
}

/// `[server.limits]`.
pub(super) struct LimitsTable {
    /// Bytes of a request head, from 8 KiB to 1 MiB. Default: 32 KiB.
    pub(super) header_bytes: Field<ByteSize>,
    /// Time for a request head, or one of vestibule's own forms, to arrive.
    pub(super) header_time: Field<Timespan>,
    /// Bytes of a request body. Default: no limit.
    pub(super) body_bytes: Field<ByteSize>,
    /// A connection without any byte for this long is closed, also in the middle of a body.
    pub(super) idle_time: Field<Timespan>,
    /// Bytes a second that a client has to send of a body, or to read of an answer. 0 switches it off.
    pub(super) body_rate: Field<ByteSize>,
    /// Open connections. Default: 16384, or fewer where the limit of open files does not allow so many.
    pub(super) connections: Field<u32>,
    /// The longest life of an upgraded connection (WebSocket).
    pub(super) upgrade_life: Field<Timespan>,
    /// An upgraded connection on which nothing goes in either direction for this long is closed.
    pub(super) upgrade_idle: Field<Timespan>,
    /// Concurrent requests of one HTTP/2 connection.
    pub(super) h2_streams: Field<u32>,
    /// Time for a TLS handshake.
    pub(super) handshake_time: Field<Timespan>,
}

/// `[server.drain]`.
pub(super) struct DrainTable {
    /// After SIGTERM: not ready any more, but still serving, so that balancers notice.
    pub(super) delay: Field<Timespan>,
    /// Then what is in flight has this long to end.
    pub(super) grace: Field<Timespan>,
}

/// `[admin]`.
pub(super) struct AdminTable {
    /// `/livez`, `/readyz` and `/metrics`. Never the same address as traffic; an empty list switches it off.
    pub(super) listen: Field<OneOrMany<String>>,
}

/// `[pages]`.
pub(super) struct PagesTable {
    /// The title of vestibule's own pages. Default: the host.
    pub(super) title: Field<String>,
    /// Whom to ask, shown on error pages: text, or a `mailto:` or `https:` link. Default: nobody.
    pub(super) contact: Field<String>,
    /// A message where people sign in, where they have signed out and where they may not pass: up to 1000 characters. Default: none.
    pub(super) notice: Field<String>,
    /// What a page gets that needs a sign-in: a `redirect` to the provider, or a `page` with a button that leads there. Default: `redirect`.
    pub(super) sign_in: Field<SignInStart>,
}

/// `[session]`.
pub(super) struct SessionTable {
    /// Where sessions live.
    pub(super) store: Field<Store>,
    /// Keys that seal sessions: the first seals, all open. `vestibule keys new` makes one.
    pub(super) keys: Field<OneOrMany<SecretText, true>>,
    /// The longest life of a session.
    pub(super) lifetime: Field<Timespan>,
    /// A session that nobody uses for this long is over.
    pub(super) idle_timeout: Field<Timespan>,
    /// How long before its expiry an access token is renewed. Default: a tenth of its life, from 5s to 5m.
    pub(super) refresh_before: Field<Timespan>,
    /// How long requests that still carry the old cookie get the renewed session.
    pub(super) refresh_grace: Field<Timespan>,
    /// How long a sign-in may take.
    pub(super) attempt_life: Field<Timespan>,
    /// Which tokens the session keeps. Without `refresh` nothing is renewed.
    pub(super) keep: Field<List<KeptToken>>,
    /// How much memory sessions may take that are kept open between requests.
    pub(super) cache_bytes: Field<ByteSize>,
    /// The session's cookie.
    pub(super) cookie: Field<CookieTable>,
}

/// `[session.cookie]`.
pub(super) struct CookieTable {
    /// Default: `__Host-vestibule` over https, `__Secure-vestibule` with a domain, `vestibule` over http.
    pub(super) name: Field<String>,
    /// One sign-in for all hosts of this domain. Default: none, each host signs in by itself.
    pub(super) domain: Field<String>,
    /// The attribute `SameSite`. Default: `lax`.
    pub(super) same_site: Field<SameSite>,
    /// Partitioned cookies (CHIPS), for applications that live in frames of other sites.
    pub(super) partitioned: Field<bool>,
}

/// `[provider.NAME]`.
pub(super) struct ProviderTable {
    /// What people call it, on the page where they choose. Default: the table's name.
    pub(super) title: Field<String>,
    /// OpenID Connect: everything else is discovered from here. Without it the provider is plain OAuth 2.0.
    pub(super) issuer: Field<String>,
    /// Where the discovery document is, if not below the issuer.
    pub(super) discovery_url: Field<WebUrl>,
    /// For an issuer with `{tenantid}` (Microsoft Entra ID): the tenants that may sign in, by the claim `tid`.
    pub(super) allowed_tenants: Field<OneOrMany<String>>,
    /// The client that is registered for vestibule.
    pub(super) client_id: Field<String>,
    /// Its secret.
    pub(super) client_secret: Field<SecretText>,
    /// How it authenticates. Default: `client_secret_basic`.
    pub(super) client_auth: Field<ClientAuthMethod>,
    /// For `private_key_jwt`: the private key, PEM.
    pub(super) client_key: Field<SecretText>,
    /// For `private_key_jwt`: the key's id.
    pub(super) client_key_id: Field<String>,
    /// The path of the redirect URI, as it is registered at the provider.
    pub(super) redirect_path: Field<String>,
    /// Scopes to ask for. Default for OpenID Connect: `openid`, `profile` and `email`.
    pub(super) scopes: Field<OneOrMany<String>>,
    /// PKCE (S256). Switch it off only for a provider that refuses it.
    pub(super) pkce: Field<bool>,
    /// Further parameters of the authorization request.
    pub(super) authorization_params: Field<Named<String>>,
    /// Parameters that a link to `login` may hand on to the authorization request. Default: `login_hint`.
    pub(super) login_params: Field<OneOrMany<String>>,
    /// How the answer comes back. Default: `query`.
    pub(super) response_mode: Field<ResponseMode>,
    /// What is forgiven the provider.
    pub(super) quirks: Field<List<Quirk>>,
    /// `prompt` of each authorization request.
    pub(super) prompt: Field<String>,
    /// How old the authentication at the provider may be. Default: any age.
    pub(super) max_age: Field<Timespan>,
    /// Requested authentication contexts; the ID token must name one of them.
    pub(super) acr_values: Field<OneOrMany<String>>,
    /// Resources that access tokens are asked for ([RFC 8707](https://www.rfc-editor.org/rfc/rfc8707)).
    pub(super) resource: Field<OneOrMany<String>>,
    /// Audiences besides `client_id` that an ID token may name.
    pub(super) audiences: Field<OneOrMany<String>>,
    /// Signature algorithms of ID tokens. Default: those that discovery lists, without HS*.
    pub(super) id_token_algorithms: Field<OneOrMany<String>>,
    /// When the userinfo endpoint is asked. Default: `auto`.
    pub(super) userinfo: Field<UserinfoUse>,
    /// How old what userinfo or introspection said may become before it is asked again.
    pub(super) userinfo_every: Field<Timespan>,
    /// Signature algorithms of signed UserInfo answers; unsigned ones are then refused.
    pub(super) userinfo_algorithms: Field<OneOrMany<String>>,
    /// How signing out reaches the provider. Default: `auto`.
    pub(super) logout: Field<LogoutStyle>,
    /// What the `typ` of logout tokens has to be. Default: `any`.
    pub(super) logout_token_typ: Field<LogoutTokenType>,
    /// Life of an access token that came without `expires_in`.
    pub(super) default_expires_in: Field<Timespan>,
    /// Tolerated difference between the provider's clock and ours.
    pub(super) clock_leeway: Field<Timespan>,
    /// Time for one call to the provider.
    pub(super) timeout: Field<Timespan>,
    /// The key set in a file, JWK Set or PEM, for a provider that cannot be asked for it: nothing is fetched then.
    pub(super) jwks: Field<InFile>,
    /// The shortest time between two fetches of the key set.
    pub(super) jwks_min_interval: Field<Timespan>,
    /// Roots of trust for this provider, PEM, besides the system's.
    pub(super) ca: Field<CertificatesFile>,
    /// The proxy through which the provider is asked: its URL, `"none"`, or a table. Default: what `HTTPS_PROXY`, `HTTP_PROXY` and
    /// `NO_PROXY` say.
    pub(super) outgoing_proxy: Field<TextOr<Box<OutgoingProxyTable>>>,
    /// The oldest version of TLS that the provider may speak: `1.2` or `1.3`. Default: `1.2`.
    pub(super) tls_min_version: Field<MinTlsVersion>,
    /// Takes `http://` endpoints away from loopback.
    pub(super) insecure_http: Field<bool>,
    /// Takes e-mail addresses that the provider calls unverified.
    pub(super) insecure_unverified_email: Field<bool>,
    /// Where the parts of an identity come from.
    pub(super) claims: Field<ClaimsTable>,
    /// With `issuer`, the endpoints written here win over what is discovered.
    pub(super) authorization_endpoint: Field<WebUrl>,
    /// Redeems codes and refresh tokens.
    pub(super) token_endpoint: Field<WebUrl>,
    /// Tells who somebody is.
    pub(super) userinfo_endpoint: Field<WebUrl>,
    /// Tells who somebody is where there is no userinfo endpoint ([RFC 7662](https://www.rfc-editor.org/rfc/rfc7662)).
    pub(super) introspection_endpoint: Field<WebUrl>,
    /// Takes tokens back at sign-out ([RFC 7009](https://www.rfc-editor.org/rfc/rfc7009)).
    pub(super) revocation_endpoint: Field<WebUrl>,
    /// Signs people out at the provider.
    pub(super) end_session_endpoint: Field<WebUrl>,
    /// The provider's key set.
    pub(super) jwks_uri: Field<WebUrl>,
}

/// `[provider.NAME.outgoing_proxy]`.
pub(super) struct OutgoingProxyTable {
    /// `http://host:port`, or `https://host:port` for a proxy that is spoken to by TLS.
    pub(super) url: Field<String>,
    /// The user name, for the proxy alone. Default: none.
    pub(super) user: Field<String>,
    /// Its password.
    pub(super) password: Field<SecretText>,
}

/// `[provider.NAME.claims]`: each is a claim's name, or a JSON pointer such as `/realm_access/roles`.
pub(super) struct ClaimsTable {
    /// Default: `sub`.
    pub(super) subject: Field<String>,
    /// Default: the subject. A table makes the name of a part of the claim; whoever has another claim is nobody.
    pub(super) user: Field<TextOr<Box<UserNameTable>>>,
    /// Default: `email`.
    pub(super) email: Field<String>,
    /// Default: `name`.
    pub(super) name: Field<String>,
    /// Default: `groups`.
    pub(super) groups: Field<String>,
    /// What stands between several names in one string. Default: a string is one name.
    pub(super) groups_separator: Field<RawText>,
    /// `keys`: an object whose keys are the names, except those whose value is false or null.
    pub(super) groups_shape: Field<GroupShapeName>,
    /// The member of each object that is its name. Default: objects are no groups.
    pub(super) groups_member: Field<String>,
}

/// `[provider.NAME.claims.user]`: a user name that is a part of a claim.
pub(super) struct UserNameTable {
    /// The claim's name, or a JSON pointer.
    pub(super) from: Field<String>,
    /// The end of an address, `@` and the domain: the name is what stands before it. Other and unverified addresses are nobody's.
    pub(super) before: Field<String>,
    /// A regular expression for the whole claim, with one group: the name. Whoever has a claim that does not match is nobody.
    pub(super) matches: Field<String>,
}

/// `[route.NAME]`.
pub(super) struct RouteTable {
    /// `wiki.example.com`, `*.example.com`, or a list. Default: any host.
    pub(super) host: Field<OneOrMany<String>>,
    /// A prefix by whole segments. Default: `/`.
    pub(super) path: Field<String>,
    /// Default: any method.
    pub(super) methods: Field<OneOrMany<String>>,
    /// `http://host:port`, `https://host`, `h2c://host:port`, `unix:/path`, a list of such, or `static:204`.
    pub(super) upstream: Field<OneOrMany<String>>,
    /// What is taken off the beginning of paths on their way to the application. Default: nothing.
    pub(super) strip_prefix: Field<String>,
    /// Whether `Location`, the paths of cookies and their like are mapped back where requests are mapped.
    pub(super) rewrite_answers: Field<bool>,
    /// The Host that the application sees: `preserve` (the default), `upstream`, or a fixed one.
    pub(super) host_header: Field<String>,
    /// Origins besides our own whose WebSocket handshakes are taken.
    pub(super) websocket_origins: Field<OneOrMany<String>>,
    /// Fields by which other gateways name people that clients may send all the same.
    pub(super) insecure_keep_headers: Field<OneOrMany<String>>,
    /// Whether the application tells `/ADMIN` from `/admin`.
    pub(super) case_sensitive: Field<bool>,
    /// `preserve` keeps the capitals of header names. Default: `lower`.
    pub(super) header_case: Field<HeaderCase>,
    /// What is changed in the header of the application's answers.
    pub(super) response_headers: Field<ResponseHeadersTable>,
    /// Bytes of a request body. Default: `server.limits.body_bytes`.
    pub(super) body_bytes: Field<ByteSize>,
    /// How long the application is waited for.
    pub(super) timeouts: Field<TimeoutsTable>,
    /// TLS towards an https upstream.
    pub(super) tls: Field<UpstreamTlsTable>,
    /// Parts of the route with rules of their own, laid over the route's.
    pub(super) paths: Field<Named<RuleKeys, true>>,
    /// Who gets in. Default: `login`.
    pub(super) access: Field<Access>,
    /// Who of those may pass. Default: everybody who signed in.
    pub(super) allow: Field<Filled<AllowTable>>,
    /// Headers that tell the application who is there: the name of a set, or a table.
    pub(super) identity: Field<TextOr<Box<IdentityTable>>>,
    /// Providers whose sessions count. Default: all.
    pub(super) providers: Field<OneOrMany<String>>,
    /// How old the sign-in may be. Default: any age.
    pub(super) max_age: Field<Timespan>,
    /// Whether its requests have lines in the access log. Default: `true`.
    pub(super) access_log: Field<bool>,
    /// Networks whose people pass without signing in. Default: none.
    pub(super) no_login_from: Field<OneOrMany<Network>>,
}

/// An entry of `[route.NAME.paths]`: what it asks otherwise than its route.
pub(super) struct RuleKeys {
    /// Who gets in.
    pub(super) access: Field<Access>,
    /// Who of those may pass; laid over the route's, key by key.
    pub(super) allow: Field<Filled<AllowTable>>,
    /// Headers that tell the application who is there.
    pub(super) identity: Field<TextOr<Box<IdentityTable>>>,
    /// Providers whose sessions count.
    pub(super) providers: Field<OneOrMany<String>>,
    /// How old the sign-in may be.
    pub(super) max_age: Field<Timespan>,
    /// Whether its requests have lines in the access log.
    pub(super) access_log: Field<bool>,
    /// Networks whose people pass without signing in. Those of the route count only where nothing else is asked here.
    pub(super) no_login_from: Field<OneOrMany<Network>>,
}

/// `[route.NAME.allow]`: a list is any-of, several keys are all-of. A list of names may stand in a file, `{ file = "people.txt" }`.
pub(super) struct AllowTable {
    /// Groups.
    pub(super) groups: Field<NamesOrFile>,
    /// E-mail addresses.
    pub(super) emails: Field<NamesOrFile>,
    /// Domains of e-mail addresses, meant exactly; `*.example.com` for those below.
    pub(super) domains: Field<NamesOrFile>,
    /// Compared with `claims.user` alone.
    pub(super) users: Field<NamesOrFile>,
    /// Compared with `claims.subject` alone.
    pub(super) subjects: Field<NamesOrFile>,
    /// Values of claims.
    pub(super) claims: Field<Named<OneOrMany<ClaimValue>>>,
    /// Networks of clients.
    pub(super) networks: Field<OneOrMany<Network>>,
}

/// `[route.NAME.identity]`.
pub(super) struct IdentityTable {
    /// The set to start from. Default: `default`.
    pub(super) set: Field<String>,
    /// Headers of one's own, each with what it holds: `user`, `claim:department`, `text:words`, …
    pub(super) headers: Field<Named<String>>,
    /// The groups that the application is told: names, or beginnings of names with a star. Default: all.
    pub(super) groups_only: Field<OneOrMany<String>>,
    /// What joins lists. Default: that of the set.
    pub(super) separator: Field<RawText>,
    /// What becomes of the client's own Authorization header: a word, or what takes its place. Default: `keep`.
    pub(super) authorization: Field<WordOr<Authorization, Box<AuthorizationTable>>>,
}

/// `[route.NAME.identity.authorization]`.
pub(super) struct AuthorizationTable {
    /// Basic credentials ([RFC 7617](https://www.rfc-editor.org/rfc/rfc7617)), for applications that know nothing else.
    pub(super) basic: Field<BasicTable>,
}

/// `[route.NAME.identity.authorization.basic]`.
pub(super) struct BasicTable {
    /// The user name of everybody, or whose it is: `user`, `subject`, `email`, `name`, `preferred_username`, `claim:NAME`.
    pub(super) user: Field<String>,
    /// The password, the same for everybody.
    pub(super) password: Field<SecretText>,
}

/// `[route.NAME.timeouts]`.
pub(super) struct TimeoutsTable {
    /// Time for a connection.
    pub(super) connect: Field<Timespan>,
    /// Time until the application begins to answer.
    pub(super) first_byte: Field<Timespan>,
    /// A body without any byte for this long is broken off.
    pub(super) idle: Field<Timespan>,
}

/// `[route.NAME.tls]`.
pub(super) struct UpstreamTlsTable {
    /// The oldest version of TLS that the upstream may speak: `1.2` or `1.3`. Default: `1.2`.
    pub(super) min_version: Field<MinTlsVersion>,
    /// Roots of trust, PEM. Default: the system's.
    pub(super) ca: Field<CertificatesFile>,
    /// Client certificate, PEM. Default: none.
    pub(super) cert: Field<CertificatesFile>,
    /// The client certificate's private key, PEM.
    pub(super) key: Field<KeyFile>,
    /// The name to ask for and to verify. Default: the upstream's host.
    pub(super) server_name: Field<String>,
    /// Takes any certificate.
    pub(super) insecure_skip_verify: Field<bool>,
}
}

impl RouteTable {
    /// What the route asks, as an entry of its `paths` would say it.
    pub(super) fn rule(&self) -> RuleKeys {
        RuleKeys {
            access: self.access.clone(),
            allow: self.allow.clone(),
            identity: self.identity.clone(),
            providers: self.providers.clone(),
            max_age: self.max_age.clone(),
            access_log: self.access_log.clone(),
            no_login_from: self.no_login_from.clone(),
        }
    }
}
