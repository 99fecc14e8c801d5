//! How the program is: what is in force and what was refused, in one line for the service manager and as checks of
//! `/readyz?verbose`.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;

use crate::clock::{SharedClock, UnixTime};
use crate::config::{Config, Differences, Fingerprint, ReadFile};
use crate::followed::Follow;
use crate::gateway::Gateway;
use crate::provider::{Condition, Provider};
use crate::secret::Secret;
use crate::server::{AdminState, Health, ServerHandle};
use crate::telemetry::metrics::Metrics;

/// What is known of the configuration in force, over all reloads.
#[derive(Debug)]
pub(super) struct Status(Mutex<InForce>);

#[derive(Debug)]
struct InForce {
    fingerprint: Fingerprint,
    routes: Vec<Arc<str>>,
    /// The key that seals.
    sealing_key: Option<Secret<[u8; 32]>>,
    /// When the file of the key that seals was changed last.
    key_since: Option<UnixTime>,
    /// Why the newest configuration is not in force.
    refused: Option<String>,
    /// The files that change without a reload.
    followed: Vec<Arc<dyn Follow>>,
}

impl Status {
    /// This one is in force.
    pub(super) fn of(config: &Config) -> Self {
        Self(Mutex::new(InForce::of(config)))
    }

    /// Now this one is; how it differs from the one before, and whether another key seals.
    pub(super) fn becomes(&self, config: &Config, metrics: &Metrics) -> (Differences, bool) {
        let mut in_force = self.in_force();
        let differences = in_force.fingerprint.differences(&config.fingerprint);
        let before = std::mem::replace(&mut *in_force, InForce::of(config));
        for gone in before.routes.iter().filter(|name| !in_force.routes.contains(name)) {
            metrics.route_gone(gone);
        }
        (differences, before.sealing_key != in_force.sealing_key)
    }

    /// Has the metrics show what is in force.
    pub(super) fn show(&self, config: &Config, server: &ServerHandle, metrics: &Metrics) {
        let hash = config.keys.first().map(|key| config.fingerprint.hash(key)).unwrap_or_default();
        metrics.config_is(&hash, secrets(config).map(|(file, since)| (file.key.as_str(), since)));
        let ends = server.certificates_end();
        metrics.certificates_end(ends.iter().map(|(file, end)| (file.as_str(), *end)));
    }

    /// A newer one is not taken.
    pub(super) fn refuses(&self, why: &str) {
        self.in_force().refused = Some(one_line(why));
    }

    /// In one line: `3 routes, provider corp up, key age 12d, reload refused: VB-0002`.
    pub(super) fn line(&self, gateway: &Gateway, now: UnixTime) -> String {
        let in_force = self.in_force();
        let routes = in_force.routes.len();
        let mut line = format!("{routes} route{}", if routes == 1 { "" } else { "s" });
        for provider in gateway.providers() {
            _ = write!(line, ", provider {} {}", provider.name(), state(provider.condition()));
        }
        if let Some(since) = in_force.key_since {
            let hours = now.since(since).as_secs() / 3600;
            _ = if hours < 48 { write!(line, ", key age {hours}h") } else { write!(line, ", key age {}d", hours / 24) };
        }
        for file in in_force.followed.iter().filter(|file| file.trouble().is_some()) {
            _ = write!(line, ", {} refused", file.key());
        }
        if let Some(why) = &in_force.refused {
            _ = write!(line, ", reload refused: {why}");
        }
        line
    }

    /// Each part and how it is. None of it makes the gateway unready: the old configuration serves, and so do sessions without their
    /// provider.
    pub(super) fn checks(&self, gateway: &Gateway) -> Vec<(String, Health)> {
        let configuration = match &self.in_force().refused {
            Some(why) => Health::Degraded(format!("reload refused: {why}")),
            None => Health::Ok,
        };
        let providers = gateway.providers().iter().map(|it| (format!("provider {}", it.name()), health(it)));
        let followed = self.followed().into_iter().map(|file| {
            let health = file.trouble().map_or(Health::Ok, |why| Health::Degraded(one_line(&why)));
            (format!("file {}", file.key()), health)
        });
        std::iter::once(("configuration".to_owned(), configuration)).chain(providers).chain(followed).collect()
    }

    /// The files that change without a reload.
    fn followed(&self) -> Vec<Arc<dyn Follow>> {
        self.in_force().followed.clone()
    }

    fn in_force(&self) -> MutexGuard<'_, InForce> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the admin listener shows.
pub(super) struct Shown {
    pub(super) gateway: Arc<ArcSwap<Gateway>>,
    pub(super) status: Arc<Status>,
    pub(super) server: Arc<ServerHandle>,
    pub(super) clock: SharedClock,
}

impl Shown {
    /// For the admin listener. Metrics that nobody counts are brought up to date when somebody asks for them.
    pub(super) fn admin_state(self, metrics: &Arc<Metrics>) -> AdminState {
        let shown = Arc::new(self);
        // Whoever holds the metrics does not hold the gateway, which holds them.
        let sampled = Arc::downgrade(&shown);
        metrics.sampled_by(move |metrics| {
            if let Some(shown) = sampled.upgrade() {
                shown.sample(metrics);
            }
        });
        AdminState::new(Arc::clone(metrics), move || shown.status.checks(&shown.gateway.load()))
    }

    fn sample(&self, metrics: &Metrics) {
        let (open, most) = self.server.connections();
        metrics.connections(open, most);
        let since = self.status.in_force().key_since;
        metrics.key_age(since.map_or(Duration::ZERO, |since| self.clock.now().since(since)));
        let followed = self.status.followed();
        metrics.followed_files_are(followed.iter().map(|file| (file.key(), file.trouble().is_none())));
        let gateway = self.gateway.load();
        metrics.providers_are(gateway.providers().iter().map(|it| (&**it.name(), state(it.condition()))));
    }
}

impl InForce {
    fn of(config: &Config) -> Self {
        let key = secrets(config).find(|(file, _)| file.key == "session.keys");
        let routes = config.gateway.routes.iter().map(|route| Arc::clone(&route.name)).collect();
        let key_since = key.map(|(_, since)| since);
        let (fingerprint, sealing_key) = (config.fingerprint.clone(), config.keys.first().cloned());
        Self { fingerprint, routes, sealing_key, key_since, refused: None, followed: config.followed() }
    }
}

/// A reason as it fits into a line that `systemctl status` shows whole.
fn one_line(why: &str) -> String {
    let line = why.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(LONGEST_REASON).collect()
}

/// The files with secrets, and when each was changed last.
fn secrets(config: &Config) -> impl Iterator<Item = (&ReadFile, UnixTime)> {
    config.files.iter().filter_map(|file| Some((file, unix_time(file.secret_since?))))
}

fn unix_time(time: SystemTime) -> UnixTime {
    UnixTime::from_secs(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
}

fn health(provider: &Provider) -> Health {
    match provider.condition() {
        Condition::Unknown => Health::Unknown,
        Condition::Works => Health::Ok,
        Condition::Trouble(code) => Health::Degraded(code.to_owned()),
    }
}

/// How a provider is, in one word.
fn state(condition: Condition) -> &'static str {
    match condition {
        Condition::Works => "up",
        Condition::Unknown => "unknown",
        Condition::Trouble(_) => "down",
    }
}

/// Characters of a reason.
const LONGEST_REASON: usize = 200;
