//! A [`Gateway`], and how it is made of its settings: providers, sessions, compiled routes.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::body::BodyLimits;
use crate::clock::{MonotonicTime, SharedClock};
use crate::control::Control;
use crate::gateway::exchange_budget::ExchangeBudgets;
use crate::gateway::own_answers::OwnAnswers;
use crate::gateway::pages::Pages;
use crate::gateway::redemptions::Redemptions;
use crate::gateway::redirects::Redirects;
use crate::gateway::routes::{Route, RouteTarget, Routes, Rule};
use crate::gateway::settings::{self, GatewaySettings, RouteSettings, RuleSettings};
use crate::policy::Policy;
use crate::provider::settings::ProviderSettings;
use crate::provider::{Provider, ProviderSetupError};
use crate::proxy::balance::Upstream;
use crate::proxy::headers::HeaderRules;
use crate::proxy::identity_headers::IdentityHeaderSets;
use crate::proxy::settings::IdentityHeaderSettings;
use crate::proxy::tls::UpstreamSetupError;
use crate::request::RequestReader;
use crate::request::cookies::OwnCookies;
use crate::seal::{self, KeyRing, KeyRingError, Purpose, Sealer};
use crate::session::attempt::Attempts;
use crate::session::cookie_store::{CookieStore, SessionSealer};
use crate::session::jar::Jar;
use crate::session::registry::Registry;
use crate::session::rounds::Rounds;
use crate::session::sessions::{SessionParts, Sessions};
use crate::session::settings::{SameSite, SessionSettings};
use crate::telemetry::Telemetry;
use crate::telemetry::metrics::Metrics;

/// Everything that answers requests under one configuration. Shared by all workers; replaced as a whole by a reload.
pub struct Gateway {
    pub(super) settings: GatewaySettings,
    pub(super) reader: RequestReader,
    pub(super) own_cookies: OwnCookies,
    pub(super) routes: Routes,
    pub(super) sessions: Arc<Sessions>,
    pub(super) attempts: Attempts,
    pub(super) forms: Sealer,
    pub(super) rounds: Rounds,
    pub(super) redemptions: Arc<Redemptions>,
    pub(super) exchange_budgets: ExchangeBudgets,
    pub(super) redirects: Redirects,
    pub(super) providers: Vec<Arc<Provider>>,
    pub(super) header_rules: HeaderRules,
    pub(super) cookie_domain: Option<String>,
    pub(super) strict_cookies: bool,
    pub(super) warned_of_large_cookies: AtomicBool,
    pub(super) pages: Pages,
    pub(super) clock: SharedClock,
    pub(super) control: Control,
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) own_metrics: OwnAnswers,
}

/// What a gateway is made of.
#[derive(Debug)]
pub struct GatewayParts {
    /// The pipeline's settings.
    pub settings: GatewaySettings,
    /// The sessions' settings.
    pub session: SessionSettings,
    /// The session keys.
    pub keys: KeyRing,
    /// The providers' settings.
    pub providers: Vec<ProviderSettings>,
    /// What is remembered of sessions across reloads.
    pub registry: Arc<Registry>,
    /// The gateway that this one takes the place of: sign-ins that it began end here.
    pub before: Option<Arc<Gateway>>,
    /// Time.
    pub clock: SharedClock,
    /// Where providers are called.
    pub control: Control,
    /// Logs and metrics.
    pub telemetry: Arc<Telemetry>,
}

/// A part that cannot be made although its settings are valid: a certificate that the TLS library refuses, for example.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The session keys.
    #[error("session.keys: {0}")]
    Keys(KeyRingError),
    /// A provider.
    #[error("provider.{0}: {1}")]
    Provider(String, ProviderSetupError),
    /// A route's upstream.
    #[error("route.{0}: {1}")]
    Upstream(String, UpstreamSetupError),
}

impl Gateway {
    /// Makes a gateway, without any network access.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn build(parts: GatewayParts) -> Result<Arc<Self>, BuildError> {
        let GatewayParts { settings, session, keys, providers, registry, before, clock, control, telemetry } = parts;
        let providers = make_providers(providers, &clock, &telemetry.metrics)?;
        let names: Vec<Arc<str>> = providers.iter().map(|provider| Arc::clone(&provider.settings().name)).collect();
        let client_ids: Vec<String> = providers.iter().map(|it| it.settings().client_id.clone()).collect();
        let own_cookies = OwnCookies::new(&session.cookie.name, &names);
        let own_cookies = match &before {
            Some(before) => own_cookies.after(&before.own_cookies),
            None => own_cookies,
        };
        let sets = Sets::default();
        let mut compiler =
            Compiler { providers: &providers, telemetry: &telemetry, settings: &settings, sets, rules: 0 };
        let routes = compiler.routes()?;
        let sets = compiler.sets.0;
        let keys = Arc::new(keys);
        Ok(Arc::new(Self {
            reader: RequestReader::new(
                settings.trusted_proxies.clone(),
                settings.trust_unix,
                settings.public_url.https,
                &settings.public_url.authority,
            ),
            header_rules: header_rules(&sets),
            forms: keys.sealer(Purpose::Form, "logout"),
            attempts: Attempts::new(&session, own_cookies.clone(), Arc::clone(&keys)),
            rounds: Rounds::new(&session.cookie, own_cookies.clone(), Arc::clone(&keys)),
            redirects: redirects(&settings, &session, &providers, before.as_deref(), clock.monotonic()),
            redemptions: before
                .map_or_else(|| Redemptions::new(&clock, &telemetry.metrics), |before| Arc::clone(&before.redemptions)),
            // A reload may have fixed what made the provider refuse.
            exchange_budgets: ExchangeBudgets::new(Arc::clone(&clock)),
            own_metrics: OwnAnswers::new(&telemetry.metrics, &settings.prefix),
            pages: Pages::new(settings.title.clone(), settings.contact.clone()),
            cookie_domain: session.cookie.domain.clone(),
            strict_cookies: session.cookie.same_site == SameSite::Strict,
            sessions: Sessions::new(SessionParts {
                store: CookieStore::new(
                    SessionSealer::new(&session.cookie, own_cookies.clone(), client_ids, keys),
                    &session,
                    Arc::clone(&registry),
                ),
                jar: Jar::new(&session.cookie, own_cookies.clone()),
                settings: session,
                registry,
                providers: providers.clone(),
                identity_headers: IdentityHeaderSets::new(sets),
                clock: Arc::clone(&clock),
                control: control.clone(),
                telemetry: Arc::clone(&telemetry),
            }),
            settings,
            own_cookies,
            routes,
            warned_of_large_cookies: AtomicBool::new(false),
            providers,
            clock,
            control,
            telemetry,
        }))
    }
}

/// The names that must never come from a client are those of every route, whichever route the request takes (FW-01, FW-02).
fn header_rules(sets: &[IdentityHeaderSettings]) -> HeaderRules {
    let names: Vec<_> = sets.iter().flat_map(|set| &set.headers).map(|(name, _)| name.clone()).collect();
    let random = u32::from_be_bytes(seal::random());
    HeaderRules::new(&format!("vestibule-{random:08x}"), &names, seal::random::<24>)
}

fn redirects(
    settings: &GatewaySettings,
    session: &SessionSettings,
    providers: &[Arc<Provider>],
    before: Option<&Gateway>,
    now: MonotonicTime,
) -> Redirects {
    let providers: Vec<_> = providers.iter().map(|provider| provider.settings()).collect();
    let redirects = Redirects::new(settings, session.cookie.domain.as_deref(), &providers);
    match before {
        Some(before) => redirects.after(&before.redirects, now.plus(before.attempts.life()), now),
        None => redirects,
    }
}

fn make_providers(
    settings: Vec<ProviderSettings>,
    clock: &SharedClock,
    metrics: &Arc<Metrics>,
) -> Result<Vec<Arc<Provider>>, BuildError> {
    let make = |(place, settings): (usize, ProviderSettings)| {
        let name = settings.name.to_string();
        match Provider::new(settings, Arc::clone(clock)) {
            Ok(provider) => Ok(Arc::new(provider.at_place(place).counted_by(metrics))),
            Err(error) => Err(BuildError::Provider(name, error)),
        }
    };
    settings.into_iter().enumerate().map(make).collect()
}

/// Turns route settings into the table that requests are matched on.
struct Compiler<'a> {
    providers: &'a [Arc<Provider>],
    telemetry: &'a Telemetry,
    settings: &'a GatewaySettings,
    sets: Sets,
    rules: usize,
}

impl Compiler<'_> {
    fn routes(&mut self) -> Result<Routes, BuildError> {
        let mut routes = Routes::default();
        for (number, settings) in self.settings.routes.iter().enumerate() {
            let route = Arc::new(self.route(number, settings)?);
            let paths = settings.paths.iter().map(|(path, rule)| (path.as_str(), rule));
            for (path, rule) in std::iter::once((settings.path.as_str(), &settings.rule)).chain(paths) {
                let rule = Arc::new(self.rule(path, rule));
                routes.add(&settings.hosts, settings.methods.as_deref(), settings.case_sensitive, &route, &rule);
            }
        }
        Ok(routes)
    }

    fn route(&self, number: usize, settings: &RouteSettings) -> Result<Route, BuildError> {
        let target = match &settings.target {
            settings::Target::Static(status) => RouteTarget::Static(*status),
            settings::Target::Upstream(upstream) => RouteTarget::Upstream(
                Upstream::new((**upstream).clone())
                    .map_err(|error| BuildError::Upstream(settings.name.to_string(), error))?,
            ),
        };
        let body_limits = self.settings.limits.body();
        Ok(Route {
            number,
            name: Arc::clone(&settings.name),
            target,
            websocket_origins: settings.websocket_origins.clone(),
            kept_headers: settings.kept_headers.clone(),
            body_limits: BodyLimits { bytes: settings.body_bytes.or(body_limits.bytes), ..body_limits },
            metrics: self.telemetry.metrics.route(&settings.name),
            upstream_metrics: self.telemetry.metrics.peer("upstream", &settings.name),
        })
    }

    fn rule(&mut self, path: &str, settings: &RuleSettings) -> Rule {
        self.rules += 1;
        let named = |name: &Arc<str>| self.providers.iter().find(|known| known.name() == name).cloned();
        Rule {
            id: self.rules - 1,
            path: path.to_owned(),
            access: settings.access,
            policy: Policy::new(settings.allow.clone()),
            providers: settings.providers.iter().filter_map(named).collect(),
            max_age: settings.max_age,
            header_set: self.sets.place(&settings.identity),
            authorization: settings.identity.authorization,
        }
    }
}

/// Each distinct set of identity headers once: a session renders them all when it is opened.
#[derive(Default)]
struct Sets(Vec<IdentityHeaderSettings>);

impl Sets {
    fn place(&mut self, set: &IdentityHeaderSettings) -> usize {
        self.0.iter().position(|known| known == set).unwrap_or_else(|| {
            self.0.push(set.clone());
            self.0.len() - 1
        })
    }
}
