//! A provider: the authorization server or OpenID provider that people sign in at, and every call to it.
//!
//! OpenID Connect and plain OAuth 2.0 go through the same steps; they differ in where endpoints come from (`metadata`) and in
//! how a token set becomes claims (`exchange`). Rules that hold everywhere:
//!
//! 1. One call is one request: no redirect is followed, and nothing is retried.
//! 2. An outage, a refusal and the end of a grant are three classes of error ([`ProviderError::class`]), because sessions survive
//!    them in different ways.
//! 3. Text that the provider chose is cut down before it reaches a log ([`Words`]), and pages show only codes that we know.

pub mod outgoing_proxy;
pub mod settings;

mod algorithm;
mod ask_again;
mod authorize;
mod call_metrics;
mod client_auth;
mod client_key;
mod clocks;
mod connector;
mod demand;
mod error;
mod exchange;
mod hints;
mod id_token;
mod incidents;
mod inspect;
mod introspect;
mod issuer;
mod json;
mod jwk;
mod jwks;
mod jwt;
mod key_file;
mod logout;
mod logout_token;
mod metadata;
mod no_proxy;
mod probe;
mod refresh;
mod refusal;
mod reply;
mod token;
mod transport;
mod tunnel;
mod userinfo;
mod words;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

pub use self::ask_again::{AskedAgain, KnownIdentity};
pub use self::authorize::{AccountSwitch, AuthorizationRequest, CheckedIssuer, RESERVED_PARAMETERS};
pub use self::clocks::ClockDifference;
pub use self::demand::Demand;
pub use self::error::{
    AnswerFault, DiscoveryFault, Endpoint, EndpointFault, FailureClass, IdTokenError, InactiveReason, JwtError,
    LogoutRefusal, LogoutTokenError, ProviderError, ProviderSetupError, TransportError, UserinfoTokenError,
};
pub use self::exchange::{CodeExchange, SignIn};
pub use self::hints::Hints;
pub use self::issuer::PLACEHOLDER as TENANT_PLACEHOLDER;
pub use self::key_file::KeyFile;
pub use self::logout_token::{LogoutAddress, LogoutToken, remembered_for as logout_token_remembered_for};
pub use self::probe::{Grade, ProbeFinding, ProbeRequest};
pub use self::refresh::{AskedClaims, RefreshRequest, Refreshed, RenewedIdentity};
pub use self::token::{Moment, TokenSet};
pub use self::transport::tls_config;
pub use self::words::{Words, printable};

use crate::clock::SharedClock;
use crate::provider::algorithm::Algorithm;
use crate::provider::call_metrics::CallMetrics;
use crate::provider::client_key::ClientKey;
use crate::provider::jwks::KeyCache;
use crate::provider::jwt::{Material, VerificationKey};
use crate::provider::metadata::MetadataSource;
use crate::provider::settings::{ClientAuth, ProviderSettings};
use crate::provider::transport::Transport;
use crate::secret::Secret;
use crate::telemetry::metrics::Metrics;

/// One configured provider. Made once per configuration and shared; it reads metadata and keys when they are first needed.
///
/// All its async methods belong on one multi-thread runtime (the control runtime): kept connections live where they were opened.
#[derive(Debug)]
pub struct Provider {
    settings: ProviderSettings,
    /// See [`place`](Self::place).
    place: usize,
    clock: SharedClock,
    transport: Transport,
    metadata: MetadataSource,
    keys: KeyCache,
    /// What signs the client's assertions, where they are its proof.
    client_key: Option<ClientKey>,
    /// Of ID tokens, as configured; empty: as discovered.
    algorithms: Vec<Algorithm>,
    /// The same of signed UserInfo answers.
    userinfo_algorithms: Vec<Algorithm>,
    /// The client's secret as a key, when HS* is configured.
    hmac_key: Option<VerificationKey>,
    /// The [`Moment`] of the last token request that succeeded.
    last_served: AtomicU64,
}

impl Provider {
    /// Sets a provider up. Makes no call yet, so that the gateway starts while the provider is away (DI-07).
    ///
    /// # Errors
    /// Keys, certificates, URLs or algorithms in the settings that cannot be used.
    pub fn new(settings: ProviderSettings, clock: SharedClock) -> Result<Self, ProviderSetupError> {
        let algorithms = algorithms_named("id_token_algorithms", &settings.id_token_algorithms)?;
        let userinfo_algorithms = algorithms_named("userinfo_algorithms", &settings.userinfo_algorithms)?;
        let client_key = match &settings.client_auth {
            ClientAuth::PrivateKeyJwt { key, .. } => Some(ClientKey::new(key.expose())?),
            _ => None,
        };
        Ok(Self {
            transport: Transport::new(&settings, Arc::clone(&clock))?,
            metadata: MetadataSource::new(&settings, Arc::clone(&clock))?,
            keys: KeyCache::new(settings.jwks_min_interval, Arc::clone(&clock)),
            client_key,
            hmac_key: hmac_key(algorithms.iter().chain(&userinfo_algorithms), &settings.client_auth)?,
            algorithms,
            userinfo_algorithms,
            last_served: AtomicU64::new(0),
            place: 0,
            clock,
            settings,
        })
    }

    /// The same, with metrics of its calls.
    #[must_use]
    pub fn counted_by(mut self, metrics: &Arc<Metrics>) -> Self {
        self.transport.metrics = CallMetrics::on(metrics, &self.settings.name);
        self
    }

    /// The same at this place among the providers of a configuration.
    #[must_use]
    pub fn at_place(self, place: usize) -> Self {
        Self { place, ..self }
    }

    /// Its place among the providers of a configuration, by which cookies and sessions know it.
    pub fn place(&self) -> usize {
        self.place
    }

    /// Logs a failure that was not logged yet.
    fn reported<T>(&self, result: Result<T, ProviderError>) -> Result<T, ProviderError> {
        result.inspect_err(|error| self.transport.incidents.failed(error))
    }

    /// The name of its table in the configuration.
    pub fn name(&self) -> &Arc<str> {
        &self.settings.name
    }

    /// Its name on pages.
    pub fn title(&self) -> &str {
        &self.settings.title
    }

    /// Its settings.
    pub fn settings(&self) -> &ProviderSettings {
        &self.settings
    }

    /// Whether its last call was answered, and its key set is one that can be used.
    pub fn condition(&self) -> Condition {
        match self.metadata.trouble().or_else(|| self.keys.trouble()).or_else(|| self.transport.away()) {
            Some(error) => Condition::Trouble(error.code()),
            None if self.metadata.is_known() && self.transport.incidents.has_answered() => Condition::Works,
            None => Condition::Unknown,
        }
    }

    /// Reads what a sign-in needs first: the discovery document, or the key set of a provider without one.
    ///
    /// # Errors
    /// The document or the key set could not be read; [`ProviderError::retry_after`] says when it may be read again.
    pub async fn prefetch(&self) -> Result<(), ProviderError> {
        let metadata = self.metadata.get(&self.transport).await?;
        match &metadata.endpoints.jwks_uri {
            // Where the keys are in a file, there is no `jwks_uri`.
            Some(url) if !self.metadata.is_discovered() => self.keys.current(&self.transport, url).await.map(drop),
            _ => Ok(()),
        }
    }

    /// The difference between the clocks, for an error that it may explain.
    pub fn clock_difference(&self, error: &ProviderError) -> Option<ClockDifference> {
        self.transport.incidents.clocks.difference(error)
    }

    /// The issuer of its identities, or the template of them; for plain OAuth 2.0, the origin of its authorization endpoint.
    pub fn issuer(&self) -> &Arc<str> {
        self.metadata.issuer().text()
    }

    /// Whether an issuer identifier names this provider: its own, or that of an allowed tenant.
    pub fn is_named_by(&self, iss: &str) -> bool {
        self.metadata.issuer().covers(iss)
    }
}

/// The state of a provider. Sessions go on in each of them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Condition {
    /// It was not called yet, or has not answered yet.
    Unknown,
    /// It answers.
    Works,
    /// Nobody can sign in there; a stable code says why.
    Trouble(&'static str),
}

/// The algorithms of a key of the configuration.
fn algorithms_named(key: &'static str, names: &[String]) -> Result<Vec<Algorithm>, ProviderSetupError> {
    let parsed =
        names.iter().map(|name| Algorithm::parse(name).ok_or_else(|| ProviderSetupError::Algorithm(key, name.clone())));
    parsed.collect()
}

/// The client's secret as a key: HS* only when configured, with a secret as long as the hash (ID-08).
fn hmac_key<'a>(
    algorithms: impl Iterator<Item = &'a Algorithm>,
    auth: &ClientAuth,
) -> Result<Option<VerificationKey>, ProviderSetupError> {
    let secret = auth.secret();
    let mut needed = None;
    for algorithm in algorithms {
        if let Some(length) = algorithm.secret_length() {
            if secret.is_none_or(|s| s.expose().len() < length) {
                return Err(ProviderSetupError::HmacSecret(algorithm.name(), length));
            }
            needed = secret;
        }
    }
    Ok(needed.map(|secret| VerificationKey {
        kid: None,
        only: None,
        material: Material::Hmac(Secret::new(secret.expose().clone().into_bytes())),
    }))
}

#[cfg(test)]
pub(crate) mod tests;
