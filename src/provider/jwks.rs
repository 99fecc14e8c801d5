//! A provider's key set: read leniently key by key, used strictly, cached.
//!
//! The set is read again when it is old; when a token names a `kid` that is not in it; and, for tokens or keys without one,
//! when nothing verifies. The latter two are forced by a token, and happen at most once per `jwks_min_interval`, by one call at
//! a time (ID-31); an ordinary fetch does not count, so that keys that change just after it keep nobody out. While the
//! provider is away, the old keys stay good for [`MAX_STALE`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http::StatusCode;
use url::Url;

use crate::backoff::Backoff;
use crate::clock::{MonotonicTime, SharedClock};
use crate::provider::error::{AnswerFault, Area, Endpoint, IdTokenError, JwtError, ProviderError, no_failures};
use crate::provider::jwk::{usable_keys, verify};
use crate::provider::jwt::{Jws, VerificationKey};
use crate::provider::reply::Reply;
use crate::provider::transport::Transport;
use crate::single_flight::SingleFlight;

/// The cached key set of one provider.
#[derive(Debug)]
pub(super) struct KeyCache {
    current: ArcSwapOption<KeySet>,
    fetching: SingleFlight,
    history: Mutex<History>,
    min_interval: Duration,
    clock: SharedClock,
}

/// What fetches there were.
#[derive(Debug)]
struct History {
    /// When a token last forced one.
    forced: Option<MonotonicTime>,
    failures: Backoff<ProviderError>,
}

/// The usable keys of one answer.
#[derive(Debug)]
pub(super) struct KeySet {
    pub(super) keys: Vec<VerificationKey>,
    url: Url,
    fetched: MonotonicTime,
    good_for: Duration,
}

impl KeyCache {
    /// An empty cache, whose sets tokens replace at most once in `min_interval`.
    pub(super) fn new(min_interval: Duration, clock: SharedClock) -> Self {
        let history = Mutex::new(History { forced: None, failures: no_failures() });
        Self { current: ArcSwapOption::empty(), fetching: SingleFlight::default(), history, min_interval, clock }
    }

    /// Why the key set that was fetched last is none that signs anybody in; an outage is the transport's to tell.
    pub(super) fn trouble(&self) -> Option<ProviderError> {
        self.history().failures.last().filter(|error| !error.is_outage()).cloned()
    }

    /// Whether a key of the set at `url` signed the token; fetches the set where the rules above say so.
    pub(super) async fn verify(&self, transport: &Transport, url: &Url, jws: &Jws<'_>) -> Result<(), ProviderError> {
        let (set, is_new) = self.current_or_new(transport, url).await?;
        let first = match set.verify(jws) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if first == JwtError::Signature && jws.kid.is_some() {
            return Err(IdTokenError::from(first).into()); // the very key is here, so a newer set would not help
        }
        transport.metrics.key_unknown();
        if is_new {
            return Err(IdTokenError::from(first).into()); // it was read for this very token
        }
        Ok(self.newer(transport, url, &set).await?.verify(jws).map_err(IdTokenError::from)?)
    }

    /// The set that was read last from there, however old.
    fn kept(&self, url: &Url) -> Option<Arc<KeySet>> {
        self.current.load_full().filter(|set| set.url == *url)
    }

    /// The set, fetched if there is none or if it is old.
    pub(super) async fn current(&self, transport: &Transport, url: &Url) -> Result<Arc<KeySet>, ProviderError> {
        self.current_or_new(transport, url).await.map(|(set, _)| set)
    }

    /// The same, and whether this call fetched it.
    async fn current_or_new(&self, transport: &Transport, url: &Url) -> Result<(Arc<KeySet>, bool), ProviderError> {
        let fresh = || self.kept(url).filter(|set| set.is_fresh(self.clock.monotonic())).map(|set| Ok((set, false)));
        let fetched = async {
            match (self.fetch_unless_waiting(transport, url).await, self.kept(url)) {
                (Ok(set), _) => Ok((set, true)),
                (Err(_), Some(old)) if self.clock.monotonic().since(old.fetched) < MAX_STALE => Ok((old, false)),
                (Err(error), _) => Err(error),
            }
        };
        self.fetching.run((), fresh, fetched).await
    }

    /// Whether a key that the provider publishes now signed the token. The set is read again unless that was less than
    /// `min_interval` ago; while that fails, what was read last counts.
    pub(super) async fn still_verifies(&self, transport: &Transport, url: &Url, jws: &Jws<'_>) -> bool {
        let is_recent = |set: &Arc<KeySet>| self.clock.monotonic().since(set.fetched) < self.min_interval;
        let set = match self.kept(url).filter(is_recent) {
            Some(set) => Some(set),
            None => self.fetch_now(transport, url).await.ok().or_else(|| self.kept(url)),
        };
        set.is_some_and(|set| set.verify(jws).is_ok())
    }

    /// Fetches the set, whatever is cached; not while a failure is waited out.
    pub(super) async fn fetch_now(&self, transport: &Transport, url: &Url) -> Result<Arc<KeySet>, ProviderError> {
        self.fetching.run((), || None, self.fetch_unless_waiting(transport, url)).await
    }

    /// A set newer than `than`.
    async fn newer(&self, transport: &Transport, url: &Url, than: &Arc<KeySet>) -> Result<Arc<KeySet>, ProviderError> {
        let newer = || self.kept(url).filter(|set| !Arc::ptr_eq(set, than)).map(Ok);
        let forced = async {
            self.force()?;
            self.fetch(transport, url).await
        };
        self.fetching.run((), newer, forced).await
    }

    /// Whether a token may force a fetch now.
    fn force(&self) -> Result<(), ProviderError> {
        let now = self.clock.monotonic();
        let mut history = self.history();
        // After a fetch that failed, the key may well exist: that is an outage, not a forgery.
        history.failures.may_try(now)?;
        let since = history.forced.map_or(self.min_interval, |forced| now.since(forced));
        let retry_after = self.min_interval.saturating_sub(since);
        if !retry_after.is_zero() {
            return Err(match history.failures.last() {
                Some(error) => error.clone(),
                None => IdTokenError::from(JwtError::KeyUnknownYet { retry_after }).into(),
            });
        }
        history.forced = Some(now);
        Ok(())
    }

    /// What fetches there were.
    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fetches the set, unless a failure is waited out.
    async fn fetch_unless_waiting(&self, transport: &Transport, url: &Url) -> Result<Arc<KeySet>, ProviderError> {
        self.history().failures.may_try(self.clock.monotonic())?;
        self.fetch(transport, url).await
    }

    /// Fetches the set, and records how that went.
    async fn fetch(&self, transport: &Transport, url: &Url) -> Result<Arc<KeySet>, ProviderError> {
        let fetched =
            match transport.get(Endpoint::KeySet, url, "application/jwk-set+json, application/json", None).await {
                Ok(reply) => KeySet::from_reply(&reply, url, self.clock.monotonic()),
                Err(error) => Err(error),
            };
        match fetched {
            Ok(set) => {
                let set = Arc::new(set);
                self.current.store(Some(Arc::clone(&set)));
                self.history().failures.succeeded();
                transport.metrics.keys_fetched(self.clock.now());
                transport.incidents.works(Area::Endpoint(Endpoint::KeySet));
                Ok(set)
            }
            Err(error) => {
                transport.incidents.failed(&error);
                self.history().failures.failed(self.clock.monotonic(), error.clone(), error.retry_after());
                Err(error)
            }
        }
    }
}

impl KeySet {
    /// The usable keys of an answer.
    fn from_reply(reply: &Reply, url: &Url, now: MonotonicTime) -> Result<Self, ProviderError> {
        let bad = |fault| AnswerFault::at(fault, Endpoint::KeySet);
        if reply.status != StatusCode::OK {
            return Err(bad(AnswerFault::Status(reply.status.as_u16())));
        }
        let keys = usable_keys(&reply.json().map_err(bad)?).ok_or_else(|| bad(AnswerFault::Json))?;
        if keys.is_empty() {
            return Err(ProviderError::NoKeys);
        }
        // HTTP caching within bounds (ID-32).
        let good_for = reply.max_age().unwrap_or(DEFAULT_AGE).clamp(MIN_AGE, MAX_AGE);
        Ok(Self { keys, url: url.clone(), fetched: now, good_for })
    }

    /// Whether it need not be fetched again.
    fn is_fresh(&self, now: MonotonicTime) -> bool {
        now.since(self.fetched) < self.good_for
    }

    /// Whether one of the keys signed the token ([`verify`]).
    fn verify(&self, jws: &Jws<'_>) -> Result<(), JwtError> {
        verify(&self.keys, jws)
    }
}

/// A set is good for at least this long, whatever the answer says.
const MIN_AGE: Duration = Duration::from_secs(60);
/// Where the answer does not say how long.
const DEFAULT_AGE: Duration = Duration::from_secs(15 * 60);
/// A set is good for at most this long.
const MAX_AGE: Duration = Duration::from_secs(60 * 60);
/// How long keys are good for while the provider cannot be asked.
const MAX_STALE: Duration = Duration::from_secs(24 * 60 * 60);
