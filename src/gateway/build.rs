//! A [`Gateway`], and how it is made of its settings: providers, sessions, compiled routes.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::body::BodyLimits;
use crate::clock::{MonotonicTime, SharedClock};
use crate::control::Control;
use crate::gateway::codes::Problem;
use crate::gateway::exchange_budget::ExchangeBudgets;
use crate::gateway::in_force::InForce;
use crate::gateway::own_answers::OwnAnswers;
use crate::gateway::pages::Pages;
use crate::gateway::redemptions::Redemptions;
use crate::gateway::redirects::Redirects;
use crate::gateway::routes::{Route, RouteTarget, Routes, Rule};
use crate::gateway::settings::{GatewaySettings, RouteSettings, TargetSettings};
use crate::policy::Policy;
use crate::provider::settings::ProviderSettings;
use crate::provider::{Provider, ProviderSetupError};
use crate::proxy::balance::Upstream;
use crate::proxy::headers::HeaderRules;
use crate::proxy::identity_headers::IdentityHeaderSets;
use crate::proxy::tls::UpstreamSetupError;
use crate::request::RequestReader;
use crate::request::cookies::OwnCookies;
use crate::request::mapping::PathMapping;
use crate::seal::{self, KeyRing, KeyRingError, Purpose, Sealer};
use crate::session::attempt::Attempts;
use crate::session::registry::Registry;
use crate::session::rounds::Rounds;
use crate::session::sessions::{SessionParts, Sessions};
use crate::session::settings::SessionSettings;
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
    pub(super) warned_of_large_cookies: AtomicBool,
    /// In the networks of `no_login_from`, and elsewhere.
    pub(super) warned_of_proxies: (AtomicBool, AtomicBool),
    pub(super) pages: Pages,
    pub(super) clock: SharedClock,
    pub(super) control: Control,
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) own_metrics: OwnAnswers,
    pub(super) in_force: InForce<Self>,
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
        let names: Vec<Arc<str>> = providers.iter().map(|provider| Arc::clone(provider.name())).collect();
        telemetry.metrics.sign_ins_may_fail(&names, Problem::of_sign_ins().map(Problem::reason));
        let own_cookies = OwnCookies::new(&session.cookie.name, &names);
        let own_cookies = match &before {
            Some(before) => own_cookies.after(&before.own_cookies),
            None => own_cookies,
        };
        let mut sets = IdentityHeaderSets::default();
        let routes = routes(&settings, &providers, &telemetry.metrics, &mut sets)?;
        let keys = Arc::new(keys);
        let is_first = before.is_none();
        let gateway = Arc::new(Self {
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
            in_force: before.as_ref().map(|before| before.in_force.clone()).unwrap_or_default(),
            redirects: redirects(&settings, &session, &providers, before.as_deref(), clock.monotonic()),
            redemptions: before
                .map_or_else(|| Redemptions::new(&clock, &telemetry.metrics), |before| Arc::clone(&before.redemptions)),
            // A reload may have fixed what made the provider refuse.
            exchange_budgets: ExchangeBudgets::new(Arc::clone(&clock)),
            own_metrics: OwnAnswers::new(&telemetry.metrics, &settings.prefix, settings.public_url.https),
            pages: Pages::new(&settings.pages),
            sessions: Sessions::new(SessionParts {
                settings: session,
                cookies: own_cookies.clone(),
                keys,
                registry,
                providers: providers.clone(),
                identity_headers: sets,
                clock: Arc::clone(&clock),
                control: control.clone(),
                telemetry: Arc::clone(&telemetry),
            }),
            settings,
            own_cookies,
            routes,
            warned_of_large_cookies: AtomicBool::new(false),
            warned_of_proxies: (AtomicBool::new(false), AtomicBool::new(false)),
            providers,
            clock,
            control,
            telemetry,
        });
        if is_first {
            gateway.takes_over();
        }
        Ok(gateway)
    }
}

/// The names that must never come from a client are those of every route, whichever route the request takes (FW-01, FW-02).
fn header_rules(sets: &IdentityHeaderSets) -> HeaderRules {
    let random = u32::from_be_bytes(seal::random());
    HeaderRules::new(&format!("vestibule-{random:08x}"), &sets.names(), seal::random::<24>)
}

/// Where sign-ins come back to, those among them that the gateway of before began.
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

/// The providers, in the order of the configuration.
fn make_providers(
    settings: Vec<ProviderSettings>,
    clock: &SharedClock,
    metrics: &Arc<Metrics>,
) -> Result<Vec<Arc<Provider>>, BuildError> {
    let make = |(place, settings): (usize, ProviderSettings)| {
        let name = settings.name.to_string();
        let provider = Provider::new(settings, Arc::clone(clock)).map_err(|error| BuildError::Provider(name, error))?;
        Ok(Arc::new(provider.at_place(place).counted_by(metrics)))
    };
    settings.into_iter().enumerate().map(make).collect()
}

/// The table that requests are matched on; `sets` gets the identity headers of its rules.
fn routes(
    settings: &GatewaySettings,
    providers: &[Arc<Provider>],
    metrics: &Metrics,
    sets: &mut IdentityHeaderSets,
) -> Result<Routes, BuildError> {
    let named = |name: &Arc<str>| providers.iter().find(|known| known.name() == name).cloned();
    let mut routes = Routes::default();
    let mut rules = 0;
    for (number, of) in settings.routes.iter().enumerate() {
        let route = Arc::new(route(number, of, settings.limits.body(), metrics)?);
        route.metrics.expect(settings.public_url.https);
        for (path, rule) in
            std::iter::once((&of.path, &of.rule)).chain(of.paths.iter().map(|(path, rule)| (path, rule)))
        {
            let rule = Arc::new(Rule {
                id: rules,
                path: path.clone(),
                access: rule.access,
                policy: Policy::new(rule.allow.clone()),
                providers: rule.providers.iter().filter_map(named).collect(),
                max_age: rule.max_age,
                access_log: rule.access_log,
                no_login_from: rule.no_login_from.clone().into(),
                header_set: sets.add(&rule.identity),
                authorization: rule.identity.authorization.clone(),
            });
            rules += 1;
            routes.add(&of.hosts, of.methods.as_deref(), of.case_sensitive, &route, &rule);
        }
    }
    Ok(routes)
}

/// The ways in which a route's addresses map paths; none where all stay as they are.
fn mappings(target: &TargetSettings) -> Vec<PathMapping> {
    let mut mappings: Vec<PathMapping> = Vec::new();
    if let TargetSettings::Upstream(upstream) = target {
        for address in &upstream.addresses {
            if !mappings.contains(&address.mapping) {
                mappings.push(address.mapping.clone());
            }
        }
    }
    if mappings.iter().all(PathMapping::is_identity) { Vec::new() } else { mappings }
}

/// A route without its rules.
fn route(
    number: usize,
    settings: &RouteSettings,
    body_limits: BodyLimits,
    metrics: &Metrics,
) -> Result<Route, BuildError> {
    let target = match &settings.target {
        TargetSettings::Static(status) => RouteTarget::Static(*status),
        TargetSettings::Upstream(upstream) => RouteTarget::Upstream(
            Upstream::new((**upstream).clone())
                .map_err(|error| BuildError::Upstream(settings.name.to_string(), error))?,
        ),
    };
    Ok(Route {
        mappings: mappings(&settings.target),
        number,
        name: Arc::clone(&settings.name),
        target,
        websocket_origins: settings.websocket_origins.clone(),
        kept_headers: settings.kept_headers.clone(),
        response_headers: settings.response_headers.clone(),
        body_limits: BodyLimits { bytes: settings.body_bytes.or(body_limits.bytes), ..body_limits },
        metrics: metrics.route(&settings.name),
        upstream_metrics: metrics.upstream(&settings.name),
    })
}
