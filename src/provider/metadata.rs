//! The metadata of a provider: its endpoints and capabilities, configured or discovered.
//!
//! Discovery is lazy, cached, read again at an interval and by one call at a time; after a failure it waits longer each time.
//! A provider that was read once stays known while it is away (DI-07, DI-08).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http::StatusCode;
use serde_json::Value;
use url::Url;

use crate::backoff::Backoff;
use crate::clock::{MonotonicTime, SharedClock};
use crate::identity::Claims;
use crate::provider::algorithm::Algorithm;
use crate::provider::demand::Demand;
use crate::provider::error::{
    Area, DiscoveryFault, Endpoint, EndpointFault, ProviderError, ProviderSetupError, no_failures,
};
use crate::provider::issuer::Issuer;
use crate::provider::reply::Reply;
use crate::provider::settings::{Endpoints, ProviderKind, ProviderSettings};
use crate::provider::transport::{Transport, check_discovered, check_endpoint};
use crate::single_flight::{Joined, SingleFlight};

/// A provider's endpoints and capabilities.
#[derive(Clone, Debug)]
pub(super) struct Metadata {
    pub(super) issuer: Issuer,
    /// Whether the issuer is what the provider calls itself; for plain OAuth 2.0 it is only our name for it.
    pub(super) issuer_is_known: bool,
    pub(super) authorization_endpoint: Url,
    pub(super) token_endpoint: Url,
    pub(super) endpoints: Endpoints,
    /// [RFC 9207](https://www.rfc-editor.org/rfc/rfc9207): every callback has `iss`.
    pub(super) sends_iss: bool,
    /// Asymmetric ones that are implemented.
    pub(super) id_token_algorithms: Vec<Algorithm>,
    /// The same for signed UserInfo answers; `None` where the document does not say.
    pub(super) userinfo_algorithms: Option<Vec<Algorithm>>,
    /// Whether the document lists PKCE methods, and S256 is not among them.
    pub(super) lacks_s256: bool,
    /// The discovery document; empty where there is none.
    document: Claims,
    /// What it requires of every sign-in and is not supported here.
    pub(super) demand: Option<Demand>,
}

/// Where metadata comes from.
#[derive(Debug)]
pub(super) enum MetadataSource {
    /// Written by the operator, whole.
    Fixed(Arc<Metadata>),
    /// Read from the issuer.
    Discovered(Box<Discovery>),
}

impl MetadataSource {
    /// Checks what can be checked without a call.
    pub(super) fn new(settings: &ProviderSettings, clock: SharedClock) -> Result<Self, ProviderSetupError> {
        match &settings.kind {
            ProviderKind::OAuth2 { endpoints, .. } => {
                check_written(endpoints, settings.insecure_http)?;
                let metadata = Metadata::of(endpoints).map_err(ProviderSetupError::EndpointMissing)?;
                Ok(Self::Fixed(Arc::new(metadata)))
            }
            ProviderKind::Oidc { issuer, overrides } => {
                check_written(overrides, settings.insecure_http)?;
                let refused = |fault| ProviderSetupError::Issuer(issuer.clone(), fault);
                let issuer_url = Url::parse(issuer).map_err(|_| refused(EndpointFault::NotAUrl))?;
                check_endpoint(&issuer_url, settings.insecure_http).map_err(refused)?;
                let issuer = Issuer::new(issuer, &settings.allowed_tenants);
                let elsewhere = settings.discovery_url.clone();
                if let Some(url) = &elsewhere {
                    let refused = |fault| ProviderSetupError::Endpoint("discovery_url", fault);
                    check_endpoint(url, settings.insecure_http).map_err(refused)?;
                } else if overrides.need_no_discovery(settings.jwks.is_some()) {
                    // What is not configured does not exist.
                    let metadata = Metadata::of(overrides).map_err(ProviderSetupError::EndpointMissing)?;
                    return Ok(Self::Fixed(Arc::new(Metadata { issuer, issuer_is_known: true, ..metadata })));
                }
                Ok(Self::Discovered(Box::new(Discovery {
                    issuer,
                    source: elsewhere.clone().unwrap_or(issuer_url),
                    elsewhere,
                    overrides: overrides.clone(),
                    has_key_file: settings.jwks.is_some(),
                    insecure_http: settings.insecure_http,
                    clock,
                    current: ArcSwapOption::empty(),
                    reading: SingleFlight::default(),
                    failures: Mutex::new(no_failures()),
                })))
            }
        }
    }

    /// The metadata; reads the discovery document when it is not there or old.
    pub(super) async fn get(&self, transport: &Transport) -> Result<Arc<Metadata>, ProviderError> {
        match self {
            Self::Fixed(metadata) => Ok(Arc::clone(metadata)),
            Self::Discovered(discovery) => discovery.get(transport).await,
        }
    }

    /// The metadata where nobody has to be asked for it: written, or read not long ago.
    pub(super) fn at_hand(&self) -> Option<Arc<Metadata>> {
        match self {
            Self::Fixed(metadata) => Some(Arc::clone(metadata)),
            Self::Discovered(discovery) => discovery.fresh(),
        }
    }

    /// Why the discovery document could not be read when it was last asked for.
    pub(super) fn trouble(&self) -> Option<ProviderError> {
        match self {
            Self::Fixed(_) => None,
            // While it is being read there is no result yet.
            Self::Discovered(discovery) if discovery.reading.is_under_way(&()) => None,
            Self::Discovered(discovery) => discovery.failures().last().cloned(),
        }
    }

    /// Whether there is any, however old.
    pub(super) fn is_known(&self) -> bool {
        match self {
            Self::Fixed(_) => true,
            Self::Discovered(discovery) => discovery.current.load().is_some(),
        }
    }

    /// Whether it is read from the provider.
    pub(super) fn is_discovered(&self) -> bool {
        matches!(self, Self::Discovered(_))
    }

    /// The issuer.
    pub(super) fn issuer(&self) -> &Issuer {
        match self {
            Self::Fixed(metadata) => &metadata.issuer,
            Self::Discovered(discovery) => &discovery.issuer,
        }
    }
}

/// The discovery document of one issuer.
#[derive(Debug)]
pub(super) struct Discovery {
    issuer: Issuer,
    /// Where the document is, if not below the issuer.
    elsewhere: Option<Url>,
    /// The configured address, against which the endpoints in the document are checked.
    source: Url,
    overrides: Endpoints,
    /// The key set is in a file: that of the document is passed over.
    has_key_file: bool,
    insecure_http: bool,
    clock: SharedClock,
    current: ArcSwapOption<Read>,
    reading: SingleFlight,
    failures: Mutex<Backoff<ProviderError>>,
}

/// A document that was read.
#[derive(Debug)]
struct Read {
    metadata: Arc<Metadata>,
    at: MonotonicTime,
}

impl Discovery {
    /// What was read, or else what can be.
    async fn get(&self, transport: &Transport) -> Result<Arc<Metadata>, ProviderError> {
        let kept = || self.current.load().as_ref().map(|read| Arc::clone(&read.metadata));
        if let Some(metadata) = self.fresh() {
            return Ok(metadata);
        }
        let _turn = match (kept(), self.reading.join(())) {
            (_, Joined::First(turn)) => turn,
            // It is being read again; the old one serves meanwhile.
            (Some(old), Joined::Other(_)) => return Ok(old),
            (None, Joined::Other(_)) => self.reading.turn(()).await,
        };
        // It may have been read while we waited.
        if let Some(metadata) = self.fresh() {
            return Ok(metadata);
        }
        self.read(transport).await.or_else(|error| kept().ok_or(error))
    }

    /// The failures since it was last read.
    fn failures(&self) -> MutexGuard<'_, Backoff<ProviderError>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the document, unless a failure is waited out.
    async fn read(&self, transport: &Transport) -> Result<Arc<Metadata>, ProviderError> {
        self.failures().may_try(self.clock.monotonic())?;
        match self.fetch(transport).await {
            Ok((metadata, _)) => {
                let metadata = Arc::new(metadata);
                self.current
                    .store(Some(Arc::new(Read { metadata: Arc::clone(&metadata), at: self.clock.monotonic() })));
                self.failures().succeeded();
                transport.metrics.discovered(self.clock.now());
                transport.incidents.works(Area::Endpoint(Endpoint::Discovery));
                if let Some(demand) = metadata.demand {
                    transport.incidents.failed(&ProviderError::Demands(demand));
                }
                Ok(metadata)
            }
            Err(error) => {
                transport.incidents.failed(&error);
                self.failures().failed(self.clock.monotonic(), error.clone(), error.retry_after());
                Err(error)
            }
        }
    }

    /// Reads the document now, whatever is cached.
    pub(super) async fn fetch(&self, transport: &Transport) -> Result<(Metadata, Reply), ProviderError> {
        let no_url =
            || ProviderError::Discovery { url: (&**self.issuer.text()).into(), fault: DiscoveryFault::IssuerUrl };
        let below = self.issuer.discovered_below();
        let url = self.elsewhere.clone().or_else(|| well_known(&below, false)).ok_or_else(no_url)?;
        let mut reply = transport.get(Endpoint::Discovery, &url, "application/json", None).await?;
        if reply.status == StatusCode::NOT_FOUND && self.elsewhere.is_none() {
            // Authorization servers without the OpenID document (RFC 8414 section 3.1).
            let url = well_known(&below, true).ok_or_else(no_url)?;
            reply = transport.get(Endpoint::Discovery, &url, "application/json", None).await?;
        }
        let fault = |fault| ProviderError::Discovery { url: reply.place(), fault };
        if reply.status != StatusCode::OK {
            return Err(fault(DiscoveryFault::Status(reply.status.as_u16(), reply.words().as_end())));
        }
        let document = reply.json().map_err(|_| fault(DiscoveryFault::NotJson))?;
        let metadata = self.metadata(&document).map_err(fault)?;
        Ok((metadata, reply))
    }

    /// The metadata that a document gives.
    fn metadata(&self, document: &Claims) -> Result<Metadata, DiscoveryFault> {
        // DI-02: simple string comparison; a trailing slash matters. Wherever the document is.
        let named = document.get("issuer").and_then(Value::as_str).unwrap_or_default();
        if named != &**self.issuer.text() {
            let named = named.chars().take(LONGEST_NAMED).flat_map(char::escape_default).collect();
            return Err(DiscoveryFault::IssuerMismatch { configured: self.issuer.text().to_string(), named });
        }
        let endpoints = self.overrides.try_map(|member, written| self.endpoint(document, member, written))?;
        if endpoints.jwks_uri.is_none() && !self.has_key_file {
            return Err(DiscoveryFault::Missing("jwks_uri"));
        }
        Ok(Metadata {
            issuer: self.issuer.clone(),
            issuer_is_known: true,
            sends_iss: document.get("authorization_response_iss_parameter_supported") == Some(&Value::Bool(true)),
            // RS256 where the document does not say.
            id_token_algorithms: algorithms(document, "id_token_signing_alg_values_supported")
                .unwrap_or_else(|| vec![Algorithm::RS256]),
            userinfo_algorithms: algorithms(document, "userinfo_signing_alg_values_supported"),
            demand: demand(document),
            lacks_s256: strings(document, "code_challenge_methods_supported").is_some_and(|all| !all.contains(&"S256")),
            document: document.clone(),
            // DI-06
            ..Metadata::of(&endpoints).map_err(DiscoveryFault::Missing)?
        })
    }

    /// A configured endpoint wins (SB-05: the log says so); a discovered one is believed within limits.
    fn endpoint(
        &self,
        document: &Claims,
        member: &'static str,
        written: Option<&Url>,
    ) -> Result<Option<Url>, DiscoveryFault> {
        if self.has_key_file && member == "jwks_uri" {
            return Ok(None);
        }
        // Some list what they do not have as an empty text.
        let said = document.get(member).filter(|value| !value.is_null() && **value != "");
        if let Some(url) = written {
            if said.is_some_and(|said| said.as_str() != Some(url.as_str())) {
                tracing::info!(member, configured = %url, "the configured endpoint is used instead of the discovered one");
            }
            return Ok(Some(url.clone()));
        }
        let Some(said) = said else { return Ok(None) };
        let refused = |fault| DiscoveryFault::EndpointRefused { member, fault };
        let url = said.as_str().and_then(|s| Url::parse(s).ok()).ok_or_else(|| refused(EndpointFault::NotAUrl))?;
        check_discovered(&url, &self.source, self.insecure_http).map_err(refused)?;
        Ok(Some(url))
    }

    /// What was read not long ago.
    fn fresh(&self) -> Option<Arc<Metadata>> {
        let read = self.current.load();
        let is_fresh = |read: &&Arc<Read>| self.clock.monotonic().since(read.at) < READ_AGAIN;
        read.as_ref().filter(is_fresh).map(|read| Arc::clone(&read.metadata))
    }
}

impl Metadata {
    /// A list of the discovery document, such as `scopes_supported`; `None` where the document does not have it.
    pub(super) fn list(&self, member: &str) -> Option<Vec<&str>> {
        strings(&self.document, member)
    }

    /// Whether claims name an issuer that is not this one, as far as it is known.
    pub(super) fn is_contradicted_by(&self, claims: &Claims) -> bool {
        let is_other = |iss: &Value| iss.as_str().is_none_or(|iss| !self.issuer.covers(iss));
        self.issuer_is_known && claims.get("iss").is_some_and(is_other)
    }

    /// What is known of a provider from its endpoints alone; an error names the one that is missing.
    fn of(endpoints: &Endpoints) -> Result<Self, &'static str> {
        let needed = |url: &Option<Url>, name| url.clone().ok_or(name);
        let authorization_endpoint = needed(&endpoints.authorization_endpoint, "authorization_endpoint")?;
        Ok(Self {
            issuer: Issuer::new(&authorization_endpoint.origin().ascii_serialization(), &[]),
            issuer_is_known: false,
            token_endpoint: needed(&endpoints.token_endpoint, "token_endpoint")?,
            authorization_endpoint,
            endpoints: endpoints.clone(),
            sends_iss: false,
            id_token_algorithms: vec![Algorithm::RS256],
            userinfo_algorithms: None,
            demand: None,
            lacks_s256: false,
            document: Claims::new(),
        })
    }
}

/// Where the document is: after the issuer
/// ([OpenID Connect Discovery section 4](https://openid.net/specs/openid-connect-discovery-1_0.html#rfc.section.4)), or for
/// OAuth between its host and its path ([RFC 8414 section 3.1](https://www.rfc-editor.org/rfc/rfc8414#section-3.1)). Worked on
/// the text, because the issuer is compared as text.
fn well_known(issuer: &str, oauth: bool) -> Option<Url> {
    let trimmed = issuer.strip_suffix('/').unwrap_or(issuer);
    if !oauth {
        return Url::parse(&format!("{trimmed}/.well-known/openid-configuration")).ok();
    }
    let mut url = Url::parse(trimmed).ok()?;
    let path = format!("/.well-known/oauth-authorization-server{}", url.path().trim_end_matches('/'));
    url.set_path(&path);
    Some(url)
}

/// Checks the endpoints that the operator wrote.
fn check_written(endpoints: &Endpoints, insecure_http: bool) -> Result<Endpoints, ProviderSetupError> {
    endpoints.try_map(|name, url| {
        let checked = url.map_or(Ok(()), |url| check_endpoint(url, insecure_http));
        checked.map_err(|fault| ProviderSetupError::Endpoint(name, fault)).map(|()| url.cloned())
    })
}

/// What the metadata requires of every sign-in and is not supported here.
fn demand(document: &Claims) -> Option<Demand> {
    let demands = [
        ("require_pushed_authorization_requests", Demand::PushedRequests),
        ("require_signed_request_object", Demand::SignedRequests),
    ];
    let is_set = |member: &str| document.get(member) == Some(&Value::Bool(true));
    demands.into_iter().find(|(member, _)| is_set(member)).map(|(_, demand)| demand)
}

/// Never `none`, never HS* (ID-08, ID-09).
fn algorithms(document: &Claims, member: &str) -> Option<Vec<Algorithm>> {
    let names = strings(document, member)?.into_iter();
    Some(names.filter_map(Algorithm::parse).filter(|algorithm| algorithm.secret_length().is_none()).collect())
}

/// A list of texts in the document.
fn strings<'a>(document: &'a Claims, member: &str) -> Option<Vec<&'a str>> {
    Some(document.get(member)?.as_array()?.iter().filter_map(Value::as_str).collect())
}

/// How long a document counts as fresh.
const READ_AGAIN: Duration = Duration::from_secs(60 * 60);
/// Characters of the issuer that a document names, as they may stand in a message.
const LONGEST_NAMED: usize = 200;
