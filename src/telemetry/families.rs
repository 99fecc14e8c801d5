//! The names of all metrics, and what each is for.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

use crate::telemetry::outcomes::Label;
use crate::telemetry::shards::{ShardedCounter, ShardedGauge, ShardedHistogram};

/// Requests, in and out, and what was decided about them.
#[derive(Debug)]
pub(super) struct RequestFamilies {
    pub(super) served: Family<LabelList, ShardedHistogram>,
    pub(super) called: Family<LabelList, ShardedHistogram>,
    pub(super) active: ShardedGauge,
    pub(super) decisions: Family<Labels<3>, ShardedCounter>,
    /// Fields of clients that only gateways send, by route.
    pub(super) spoofs: Family<Labels<1>, Counter>,
    /// Whether applications could be reached, by route.
    pub(super) upstream_up: Family<Labels<1>, Gauge>,
}

impl RequestFamilies {
    pub(super) fn register(into: &mut Registering) -> Self {
        Self {
            served: into.add("http_server_request_duration_seconds", "Requests answered"),
            called: into.add("http_client_request_duration_seconds", "Requests sent"),
            active: into.add("http_server_active_requests", "Requests being answered"),
            decisions: into.add("vestibule_auth_decisions", "What was decided about requests, and why"),
            spoofs: into.add(
                "vestibule_header_spoof_attempts",
                "Requests of clients with a field by which gateways name people; it was taken away",
            ),
            upstream_up: into.add(
                "vestibule_upstream_up",
                "Whether the application could be reached at the last try; 1 before the first",
            ),
        }
    }
}

/// The login funnel: started less completed are people who are stuck.
#[derive(Debug)]
pub(super) struct SignInFamilies {
    pub(super) started: Family<Labels<1>, Counter>,
    pub(super) completed: Family<Labels<3>, Counter>,
    pub(super) seconds: Histogram,
    pub(super) callback_errors: Family<Labels<1>, Counter>,
}

impl SignInFamilies {
    pub(super) fn register(into: &mut Registering) -> Self {
        let seconds = Histogram::new([1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0]);
        Self {
            started: into.add("vestibule_logins_started", "Sign-ins begun, or that could not be"),
            completed: into.add("vestibule_logins_completed", "Sign-ins that ended, and how"),
            seconds: into.put("vestibule_login_duration_seconds", "From a sign-in's start to its callback", seconds),
            callback_errors: into.add("vestibule_callback_errors", "Callbacks that failed, and why"),
        }
    }
}

#[derive(Debug)]
pub(super) struct SessionFamilies {
    pub(super) refreshes: Family<Labels<3>, Counter>,
    pub(super) refresh_seconds: Family<Labels<1>, ShardedHistogram>,
    pub(super) unopened: Family<Labels<1>, Counter>,
    pub(super) lost_answers: Family<Labels<1>, Counter>,
    /// Those that this process knew, by how they ended.
    pub(super) ended: Family<Labels<1>, Counter>,
    pub(super) logout_tokens: Family<Labels<3>, Counter>,
    pub(super) cookie_bytes: Histogram,
}

impl SessionFamilies {
    pub(super) fn register(into: &mut Registering) -> Self {
        let sizes = [512.0, 1024.0, 1536.0, 2048.0, 2560.0, 3072.0, 3500.0, 4096.0, 8192.0, 12_288.0];
        Self {
            refreshes: into.add("vestibule_refresh", "Renewals of tokens"),
            refresh_seconds: into.add("vestibule_refresh_duration_seconds", "Renewals of tokens"),
            unopened: into.add(
                "vestibule_sessions_decrypt_failures",
                "Session cookies that did not open: after a deployment, keys that differ between replicas",
            ),
            lost_answers: into.add(
                "vestibule_refresh_answers_lost",
                "Renewed sessions whose cookie never arrived: the client came back with the old one after the grace",
            ),
            ended: into.add(
                "vestibule_sessions_ended",
                "Sessions in use here that ended before their time, by what ended them",
            ),
            logout_tokens: into.add("vestibule_backchannel_logout", "Logout tokens of providers"),
            cookie_bytes: into.put(
                "vestibule_session_cookie_bytes",
                "Size of session cookies when set, all pieces; browsers take 4096 a cookie",
                Histogram::new(sizes),
            ),
        }
    }
}

#[derive(Debug)]
pub(super) struct ProviderFamilies {
    pub(super) discovered: Family<Labels<1>, Seconds>,
    pub(super) keys_fetched: Family<Labels<1>, Seconds>,
    pub(super) unknown_keys: Family<Labels<1>, Counter>,
    pub(super) clock_offset: Family<Labels<1>, Seconds>,
    /// One of three is 1.
    pub(super) state: Family<Labels<2>, Gauge>,
}

impl ProviderFamilies {
    pub(super) fn register(into: &mut Registering) -> Self {
        Self {
            discovered: into.add(
                "vestibule_idp_discovery_last_success_timestamp_seconds",
                "When a provider's metadata was last read",
            ),
            keys_fetched: into
                .add("vestibule_jwks_last_refresh_timestamp_seconds", "When a provider's keys were last read"),
            unknown_keys: into.add("vestibule_jwks_unknown_kid", "Tokens signed with a key not known yet"),
            clock_offset: into.add("vestibule_idp_clock_offset_seconds", "The provider's clock less ours"),
            state: into.add(
                "vestibule_provider_state",
                "Whether a provider answers: up, down, or unknown before the first call",
            ),
        }
    }
}

#[derive(Debug)]
pub(super) struct UpkeepFamilies {
    pub(super) reload_succeeded: Gauge,
    pub(super) reload_time: Seconds,
    pub(super) certificate_ends: Family<Labels<1>, Seconds>,
    pub(super) log_lines_lost: Family<Labels<1>, Counter>,
    pub(super) telemetry_lost: Family<Labels<1>, Counter>,
    pub(super) memory_used: Family<Labels<1>, Seconds>,
    pub(super) floods: Family<Labels<1>, Counter>,
    pub(super) connections_ended: Family<Labels<1>, Counter>,
    /// Of one label, which is what differs.
    pub(super) config_hash: Family<Labels<1>, Gauge>,
    /// Of the key that seals.
    pub(super) key_age: Seconds,
    /// By the key that names the file.
    pub(super) secret_changed: Family<Labels<1>, Seconds>,
    /// By the key that names the file.
    pub(super) followed_current: Family<Labels<1>, Gauge>,
    /// From clients.
    pub(super) connections: Gauge,
    /// How many there may be.
    pub(super) connections_limit: Gauge,
}

impl UpkeepFamilies {
    pub(super) fn register(into: &mut Registering) -> Self {
        Self {
            reload_succeeded: into
                .add("vestibule_config_last_reload_successful", "Whether the newest configuration is the one in use"),
            reload_time: into.add(
                "vestibule_config_last_reload_success_timestamp_seconds",
                "When the configuration in use was loaded",
            ),
            certificate_ends: into
                .add("vestibule_tls_cert_not_after_timestamp_seconds", "When our own certificates end"),
            log_lines_lost: into.add("vestibule_log_lines_lost", "Log lines dropped by a slow sink"),
            telemetry_lost: into
                .add("vestibule_telemetry_lost", "Spans, and exports of metrics, that no OTLP receiver took"),
            memory_used: into.add(
                "vestibule_memory_used_ratio",
                "How full the memories of what is over are: a full one forgets the oldest before its time",
            ),
            floods: into
                .add("vestibule_http2_floods", "Clients cut off for a flood of HTTP/2 frames, by the last kind"),
            connections_ended: into.add(
                "vestibule_connections_ended",
                "Connections refused because their peer has a quarter of all (peer_cap), or ended for new ones (made_room)",
            ),
            config_hash: into.add("vestibule_config_hash_info", "A hash of the configuration in use, secrets included"),
            key_age: into.add(
                "vestibule_cookie_key_age_seconds",
                "Since when the file of the key that seals sessions has not changed; 0 where it is in no file",
            ),
            secret_changed: into
                .add("vestibule_secret_file_mtime_seconds", "When the files of secrets in use were changed last"),
            followed_current: into.add(
                "vestibule_followed_file_current",
                "Whether what a list or key set in a file holds now is in use; 0: what it held before is",
            ),
            connections: into.add("vestibule_connections", "Open connections of clients"),
            connections_limit: into.add("vestibule_connections_limit", "How many connections of clients there may be"),
        }
    }
}

/// Registers as it goes, so that each metric stands in one place.
pub(super) struct Registering(pub(super) Registry);

impl Registering {
    fn add<M: Metric + Clone + Default>(&mut self, name: &str, help: &str) -> M {
        self.put(name, help, M::default())
    }

    fn put<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.0.register(name, help, metric.clone());
        metric
    }
}

pub(super) type Labels<const N: usize> = [Label; N];
/// Where some labels are not always there.
pub(super) type LabelList = Vec<Label>;
pub(super) type Seconds = Gauge<f64, AtomicU64>;
