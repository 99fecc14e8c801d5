//! Metrics, and nothing in their labels that a client could choose: no user, path or session, only names of the
//! configuration and closed lists.
//!
//! The hot path bumps counters that were looked up when the configuration was loaded ([`RouteMetrics`], [`OwnMetrics`],
//! [`PeerMetrics`]);
//! everything that happens once per sign-in or less looks its labels up.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::{Method, StatusCode};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::clock::UnixTime;
use crate::flood::KINDS;
use crate::telemetry::exposition::as_plain_text;
use crate::telemetry::families::{
    Labels, ProviderFamilies, Registering, RequestFamilies, Seconds, SessionFamilies, SignInFamilies, UpkeepFamilies,
};
use crate::telemetry::outcomes::Outcomes;
pub use crate::telemetry::outcomes::{CallFailure, SessionEnd};
use crate::telemetry::own::OwnUse;
pub use crate::telemetry::requests::{ActiveRequest, DecisionLabel, OwnMetrics, PeerMetrics, RouteMetrics};
use crate::telemetry::requests::{Called, RouteCounters, Served, route_labels};

/// Every metric of the program; one in a process, shared.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: RequestFamilies,
    sign_in: SignInFamilies,
    pub(super) sessions: SessionFamilies,
    providers: ProviderFamilies,
    upkeep: UpkeepFamilies,
    sampler: Sampler,
}

/// What brings the metrics up to date that nobody counts.
#[derive(Default)]
struct Sampler(OnceLock<Box<Sample>>);

type Sample = dyn Fn(&Metrics) + Send + Sync;

impl fmt::Debug for Sampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sampler").field(&self.0.get().is_some()).finish()
    }
}

impl Metrics {
    /// Metrics of a process that started at `started`.
    pub fn new(started: UnixTime) -> Arc<Self> {
        let mut registry = Registry::default();
        registry.register("vestibule_build", "What this is", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        registry.register_collector(Box::new(OwnUse::since(started)));
        let mut into = Registering(registry);
        let requests = RequestFamilies::register(&mut into);
        let sign_in = SignInFamilies::register(&mut into);
        let sessions = SessionFamilies::register(&mut into);
        let providers = ProviderFamilies::register(&mut into);
        let upkeep = UpkeepFamilies::register(&mut into);
        let metrics =
            Self { registry: into.0, requests, sign_in, sessions, providers, upkeep, sampler: Sampler::default() };
        for log in ["access", "audit", "process"] {
            _ = metrics.log_lines_lost(log);
        }
        for signal in ["traces", "metrics"] {
            _ = metrics.telemetry_lost(signal);
        }
        for end in SessionEnd::ALL {
            metrics.sessions_ended(end, 0);
        }
        for frame in KINDS {
            _ = metrics.upkeep.floods.get_or_create(&one("frame", frame));
        }
        Arc::new(metrics)
    }

    /// Has this called whenever somebody asks for the metrics, to set those that nobody counts.
    pub fn sampled_by(&self, sample: impl Fn(&Self) + Send + Sync + 'static) {
        _ = self.sampler.0.set(Box::new(sample));
    }

    /// Everything in the text format 0.0.4.
    pub fn render_plain(&self) -> String {
        as_plain_text(&self.render())
    }

    /// Everything in the OpenMetrics text format.
    pub fn render(&self) -> String {
        if let Some(sample) = self.sampler.0.get() {
            sample(self);
        }
        let mut text = String::new();
        if let Err(cause) = encode(&mut text, &self.registry) {
            tracing::error!(code = "metrics_not_rendered", %cause, "metrics could not be written");
        }
        text
    }

    /// The counters of a route, to be kept with it. `name` is the name in the configuration.
    pub fn route(&self, name: &str) -> RouteMetrics {
        let labels = |decision: &str, reason: &str| route_labels(name, decision, reason);
        _ = self.requests.decisions.get_or_create_owned(&labels("login", "no_session"));
        RouteMetrics(Arc::new(RouteCounters {
            name: name.to_owned(),
            served: self.served(Some(name)),
            allowed: self.requests.decisions.get_or_create_owned(&labels("allow", "session")),
            bypassed: self.requests.decisions.get_or_create_owned(&labels("bypass", "public")),
            spoofs: self.requests.spoofs.get_or_create_owned(&one("route", name)),
            decisions: self.requests.decisions.clone(),
        }))
    }

    /// The counters of answers of our own that belong to no route; `path` is that of the endpoint, `None` where there is none.
    pub fn own(&self, path: Option<&str>) -> OwnMetrics {
        OwnMetrics(self.served(path))
    }

    fn served(&self, http_route: Option<&str>) -> Served {
        Served {
            http_route: http_route.map(str::to_owned),
            plain: Outcomes::default(),
            https: Outcomes::default(),
            durations: self.requests.served.clone(),
            active: self.requests.active.clone(),
        }
    }

    /// The counters of a provider that we call, by its name in the configuration. What is counted by its name elsewhere is there from
    /// now on.
    pub fn provider(&self, name: &str) -> PeerMetrics {
        let provider = one("provider", name);
        _ = self.sign_in.started.get_or_create(&provider);
        for completed in [&self.sign_in.completed, &self.sessions.refreshes] {
            _ = completed.get_or_create(&outcome_labels(name, Outcome::Success, "ok"));
        }
        _ = self.sessions.logout_tokens.get_or_create(&outcome_labels(name, Outcome::Success, "backchannel"));
        _ = self.sessions.refresh_seconds.get_or_create(&provider);
        _ = self.sessions.lost_answers.get_or_create(&provider);
        for moment in [&self.providers.discovered, &self.providers.keys_fetched, &self.providers.clock_offset] {
            _ = moment.get_or_create(&provider);
        }
        _ = self.providers.unknown_keys.get_or_create(&provider);
        self.peer("idp", name, None)
    }

    /// The counters of the application of a route.
    pub fn upstream(&self, route: &str) -> PeerMetrics {
        let labels = one("route", route);
        let is_new = self.requests.upstream_up.get(&labels).is_none();
        let up = self.requests.upstream_up.get_or_create_owned(&labels);
        if is_new {
            up.set(1);
        }
        self.peer("upstream", route, Some(up))
    }

    /// A route is in no configuration any more.
    pub fn route_gone(&self, name: &str) {
        self.requests.upstream_up.remove(&one("route", name));
    }

    fn peer(&self, peer: &'static str, address: &str, up: Option<Gauge>) -> PeerMetrics {
        let called = Called {
            peer,
            address: address.to_owned(),
            outcomes: Outcomes::default(),
            up,
            called: self.requests.called.clone(),
        };
        called.outcomes.exist(&Method::GET, StatusCode::OK, |method, outcome| called.histogram(method, outcome));
        PeerMetrics(Arc::new(called))
    }

    /// Sign-ins may fail for these reasons, which are counted from now on: the first failure is a change, too.
    pub fn sign_ins_may_fail(&self, providers: &[Arc<str>], reasons: impl Iterator<Item = &'static str>) {
        for reason in reasons {
            _ = self.sign_in.callback_errors.get_or_create(&one("reason", reason));
            for provider in providers {
                _ = self.sign_in.completed.get_or_create(&outcome_labels(provider, Outcome::Failure, reason));
            }
        }
    }

    /// The same of the cookies of sessions, which may not open.
    pub fn sessions_may_not_open(&self, reasons: &[&'static str]) {
        for reason in reasons {
            _ = self.sessions.unopened.get_or_create(&one("reason", reason));
        }
    }

    /// A browser was sent to a provider, or was to be sent there.
    pub fn login_started(&self, provider: &str) {
        self.sign_in.started.get_or_create(&one("provider", provider)).inc();
    }

    /// A sign-in ended `after` its start, if that is known; `reason` is a stable code, `ok` for success.
    pub fn login_completed(&self, provider: &str, outcome: Outcome, reason: &'static str, after: Option<Duration>) {
        self.sign_in.completed.get_or_create(&outcome_labels(provider, outcome, reason)).inc();
        if let Some(after) = after {
            self.sign_in.seconds.observe(after.as_secs_f64());
        }
    }

    /// A callback failed; `reason` is the stable code of the error.
    pub fn callback_failed(&self, reason: &'static str) {
        self.sign_in.callback_errors.get_or_create(&one("reason", reason)).inc();
    }

    /// Tokens were renewed, or not.
    pub fn refreshed(&self, provider: &str, outcome: Outcome, reason: &'static str, took: Duration) {
        self.sessions.refreshes.get_or_create(&outcome_labels(provider, outcome, reason)).inc();
        self.sessions.refresh_seconds.get_or_create(&one("provider", provider)).observe(took);
    }

    /// The answer that carried a renewed session was lost, and the session was found again by its old cookie.
    pub fn renewal_answer_lost(&self, provider: &str) {
        self.sessions.lost_answers.get_or_create(&one("provider", provider)).inc();
    }

    /// A session cookie could not be opened.
    pub fn session_unopened(&self, reason: &'static str) {
        self.sessions.unopened.get_or_create(&one("reason", reason)).inc();
    }

    /// A session was written into cookies of so many bytes.
    #[expect(clippy::cast_precision_loss, reason = "cookies are not that large")]
    pub fn session_written(&self, bytes: usize) {
        self.sessions.cookie_bytes.observe(bytes as f64);
    }

    /// A provider's metadata was read.
    pub fn discovered(&self, provider: &str, now: UnixTime) {
        self.providers.discovered.get_or_create(&one("provider", provider)).set(seconds(now));
    }

    /// A provider's keys were read.
    pub fn keys_fetched(&self, provider: &str, now: UnixTime) {
        self.providers.keys_fetched.get_or_create(&one("provider", provider)).set(seconds(now));
    }

    /// A token named a key that was not known.
    pub fn key_unknown(&self, provider: &str) {
        self.providers.unknown_keys.get_or_create(&one("provider", provider)).inc();
    }

    /// How far a provider's clock is ahead of ours.
    pub fn clock_offset(&self, provider: &str, ahead: f64) {
        self.providers.clock_offset.get_or_create(&one("provider", provider)).set(ahead);
    }

    /// A configuration was taken into use, or refused.
    pub fn config_loaded(&self, accepted: bool, now: UnixTime) {
        self.upkeep.reload_succeeded.set(i64::from(accepted));
        if accepted {
            self.upkeep.reload_time.set(seconds(now));
        }
    }

    /// When our certificates end, by their files.
    pub fn certificates_end<'a>(&self, all: impl Iterator<Item = (&'a str, UnixTime)>) {
        self.upkeep.certificate_ends.clear();
        for (file, end) in all {
            self.upkeep.certificate_ends.get_or_create(&one("file", file)).set(seconds(end));
        }
    }

    /// The configuration in use has this hash, and files of secrets that were changed last then, by the keys that name them.
    pub fn config_is<'a>(&self, hash: &str, secrets: impl Iterator<Item = (&'a str, UnixTime)>) {
        self.upkeep.config_hash.clear();
        self.upkeep.config_hash.get_or_create(&one("hash", hash)).set(1);
        self.upkeep.secret_changed.clear();
        for (name, changed) in secrets {
            self.upkeep.secret_changed.get_or_create(&one("name", name)).set(seconds(changed));
        }
    }

    /// Whether what each followed file holds now is in use, by the keys that name them.
    pub fn followed_files_are<'a>(&self, all: impl Iterator<Item = (&'a str, bool)>) {
        self.upkeep.followed_current.clear();
        for (name, is_current) in all {
            self.upkeep.followed_current.get_or_create(&one("name", name)).set(i64::from(is_current));
        }
    }

    /// The age of the key that seals sessions.
    pub fn key_age(&self, age: Duration) {
        self.upkeep.key_age.set(age.as_secs_f64());
    }

    /// How each provider is: `up`, `down` or `unknown`.
    pub fn providers_are<'a>(&self, all: impl Iterator<Item = (&'a str, &'static str)>) {
        self.providers.state.clear();
        for (provider, is) in all {
            for state in ["up", "down", "unknown"] {
                let labels = [("provider", provider.to_owned()), ("state", state.to_owned())];
                self.providers.state.get_or_create(&labels).set(i64::from(state == is));
            }
        }
    }

    /// So many connections of clients are open, of so many that there may be.
    pub fn connections(&self, open: usize, most: usize) {
        self.upkeep.connections.set(i64::try_from(open).unwrap_or(i64::MAX));
        self.upkeep.connections_limit.set(i64::try_from(most).unwrap_or(i64::MAX));
    }

    /// A client was cut off because it flooded an HTTP/2 connection; `frame` is the kind that came last.
    pub fn flooded(&self, frame: &'static str) {
        self.upkeep.floods.get_or_create(&one("frame", frame)).inc();
    }

    /// The gauge of a bounded memory; `name` is one of ours.
    pub fn memory(&self, name: &'static str) -> MemoryUse {
        let gauge = self.upkeep.memory_used.get_or_create_owned(&one("memory", name));
        gauge.set(0.0);
        MemoryUse(gauge)
    }

    /// The counter of lines that a log could not take; `log` is `access`, `audit` or `process`.
    pub fn log_lines_lost(&self, log: &'static str) -> Counter {
        self.upkeep.log_lines_lost.get_or_create_owned(&one("log", log))
    }

    /// The counter of what no receiver took; `signal` is `traces` (spans) or `metrics` (exports).
    pub fn telemetry_lost(&self, signal: &'static str) -> Counter {
        self.upkeep.telemetry_lost.get_or_create_owned(&one("signal", signal))
    }

    /// The counter of connections that we ended for the sake of others; `reason` is `peer_cap` or `made_room`.
    pub fn connections_ended(&self, reason: &'static str) -> Counter {
        self.upkeep.connections_ended.get_or_create_owned(&one("reason", reason))
    }
}

/// How something ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// As wished.
    Success,
    /// Not.
    Failure,
}

impl Outcome {
    /// The word for labels and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
        }
    }
}

/// How full a bounded memory is.
#[derive(Clone, Debug)]
pub struct MemoryUse(Seconds);

impl MemoryUse {
    /// So many bytes are used of those that there may be.
    #[expect(clippy::cast_precision_loss, reason = "a ratio need not be exact")]
    pub fn set(&self, bytes: usize, most: usize) {
        self.0.set(bytes as f64 / most.max(1) as f64);
    }
}

pub(super) fn one(name: &'static str, value: &str) -> Labels<1> {
    [(name, value.to_owned())]
}

pub(super) fn outcome_labels(provider: &str, outcome: Outcome, reason: &str) -> Labels<3> {
    [("provider", provider.to_owned()), ("outcome", outcome.as_str().to_owned()), ("reason", reason.to_owned())]
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds stay exact until long after all of us")]
fn seconds(time: UnixTime) -> f64 {
    time.millis() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics() -> Arc<Metrics> {
        Metrics::new(UnixTime::from_secs(1))
    }

    #[track_caller]
    fn assert_line(metrics: &Metrics, line: &str) {
        let text = metrics.render();
        assert!(text.lines().any(|found| found == line), "{line}\nis not in\n{text}");
    }

    #[test]
    fn requests_are_counted_by_route_method_and_status() {
        let metrics = metrics();
        let route = metrics.route("wiki");
        route.served(&Method::GET, StatusCode::OK, true, Duration::from_millis(7));
        route.served(&Method::GET, StatusCode::OK, true, Duration::from_secs(11));
        let labels =
            r#"http_request_method="GET",http_response_status_code="200",http_route="wiki",url_scheme="https""#;
        assert_line(&metrics, &format!("http_server_request_duration_seconds_count{{{labels}}} 2"));
        assert_line(&metrics, &format!(r#"http_server_request_duration_seconds_bucket{{le="0.005",{labels}}} 0"#));
        assert_line(&metrics, &format!(r#"http_server_request_duration_seconds_bucket{{le="0.01",{labels}}} 1"#));
        assert_line(&metrics, &format!(r#"http_server_request_duration_seconds_bucket{{le="10.0",{labels}}} 1"#));
        assert_line(&metrics, &format!(r#"http_server_request_duration_seconds_bucket{{le="+Inf",{labels}}} 2"#));
    }

    #[test]
    fn neither_methods_nor_statuses_can_be_made_up() {
        let metrics = metrics();
        let route = metrics.route("wiki");
        for number in 0..100u16 {
            let method = Method::from_bytes(format!("X{number}").as_bytes()).unwrap();
            route.served(&method, StatusCode::from_u16(450 + number % 49).unwrap(), false, Duration::ZERO);
        }
        let rows = metrics
            .render()
            .lines()
            .filter(|line| line.starts_with("http_server_request_duration_seconds_count"))
            .count();
        assert_eq!(rows, 1);
        let labels =
            r#"http_request_method="_OTHER",http_response_status_code="4xx",http_route="wiki",url_scheme="http""#;
        assert_line(&metrics, &format!("http_server_request_duration_seconds_count{{{labels}}} 100"));
    }

    #[test]
    fn a_call_without_an_answer_is_counted_by_what_failed() {
        let metrics = metrics();
        let peer = metrics.upstream("wiki");
        peer.called(&Method::GET, Ok(StatusCode::OK), Duration::ZERO);
        peer.called(&Method::GET, Err(CallFailure::NameResolution), Duration::ZERO);
        peer.called(&Method::GET, Err(CallFailure::Tls), Duration::ZERO);
        let of = r#"vestibule_peer="upstream",server_address="wiki",http_request_method="GET""#;
        for end in [r#"http_response_status_code="200""#, r#"error_type="name_resolution""#, r#"error_type="tls""#] {
            assert_line(&metrics, &format!("http_client_request_duration_seconds_count{{{of},{end}}} 1"));
        }
    }

    #[test]
    fn what_takes_no_route_is_counted_without_one() {
        let metrics = metrics();
        let (own, none) = (metrics.own(Some("/_vestibule/callback")), metrics.own(None));
        let active = own.enter();
        assert_line(&metrics, "http_server_active_requests 1");
        drop(active);
        own.served(&Method::GET, StatusCode::BAD_REQUEST, true, Duration::ZERO);
        none.served(&Method::GET, StatusCode::NOT_FOUND, false, Duration::ZERO);
        let count =
            |labels| format!("http_server_request_duration_seconds_count{{http_request_method=\"GET\",{labels}}} 1");
        let own = r#"http_response_status_code="400",http_route="/_vestibule/callback",url_scheme="https""#;
        assert_line(&metrics, &count(own));
        assert_line(&metrics, &count(r#"http_response_status_code="404",url_scheme="http""#));
    }

    #[test]
    fn counters_of_one_route_are_shared_by_threads_and_by_reloads() {
        let metrics = metrics();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| metrics.route("wiki").allowed());
            }
        });
        assert_line(&metrics, r#"vestibule_auth_decisions_total{route="wiki",decision="allow",reason="session"} 4"#);
    }

    #[test]
    fn active_requests_go_up_and_down() {
        let metrics = metrics();
        let route = metrics.route("wiki");
        let (one, two) = (route.enter(), route.enter());
        assert_line(&metrics, "http_server_active_requests 2");
        std::thread::scope(|scope| {
            scope.spawn(move || drop(one));
        });
        drop(two);
        assert_line(&metrics, "http_server_active_requests 0");
    }

    #[test]
    fn the_login_funnel_is_countable() {
        let metrics = metrics();
        metrics.login_started("corp");
        metrics.login_completed("corp", Outcome::Failure, "state_missing", None);
        metrics.callback_failed("state_missing");
        metrics.refreshed("corp", Outcome::Success, "ok", Duration::from_millis(3));
        assert_line(&metrics, r#"vestibule_logins_started_total{provider="corp"} 1"#);
        assert_line(
            &metrics,
            r#"vestibule_logins_completed_total{provider="corp",outcome="failure",reason="state_missing"} 1"#,
        );
        assert_line(&metrics, r#"vestibule_callback_errors_total{reason="state_missing"} 1"#);
        assert_line(&metrics, r#"vestibule_refresh_total{provider="corp",outcome="success",reason="ok"} 1"#);
    }

    #[test]
    fn a_refused_configuration_keeps_the_time_of_the_last_good_one() {
        let metrics = metrics();
        metrics.config_loaded(true, UnixTime::from_secs(100));
        metrics.config_loaded(false, UnixTime::from_secs(200));
        assert_line(&metrics, "vestibule_config_last_reload_successful 0");
        assert_line(&metrics, "vestibule_config_last_reload_success_timestamp_seconds 100.0");
    }

    #[test]
    fn the_process_and_the_build_are_described() {
        let text = metrics().render();
        assert!(text.contains("vestibule_build_info{version="), "{text}");
        assert!(text.contains("process_start_time_seconds 1"), "{text}");
        assert!(text.contains("process_resident_memory_bytes "), "{text}");
    }
}
