//! How the program is: what is in force and what was refused, in one line for the service manager and as checks of
//! `/readyz?verbose`.

use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::clock::UnixTime;
use crate::config::{Config, Differences, Fingerprint, ReadFile};
use crate::gateway::Gateway;
use crate::provider::{Condition, Provider};
use crate::server::Health;

/// What is known of the configuration in force, over all reloads.
#[derive(Debug)]
pub(super) struct Status(Mutex<InForce>);

#[derive(Debug)]
struct InForce {
    fingerprint: Fingerprint,
    routes: usize,
    /// When the file of the key that seals was changed last.
    key_since: Option<UnixTime>,
    /// Why the newest configuration is not in force.
    refused: Option<String>,
}

impl Status {
    /// This one is in force.
    pub(super) fn of(config: &Config) -> Self {
        Self(Mutex::new(InForce::of(config)))
    }

    /// Now this one is; how it differs from the one before.
    pub(super) fn becomes(&self, config: &Config) -> Differences {
        let mut in_force = self.in_force();
        let differences = in_force.fingerprint.differences(&config.fingerprint);
        *in_force = InForce::of(config);
        differences
    }

    /// A newer one is not taken.
    pub(super) fn refuses(&self, why: &str) {
        let line = why.split_whitespace().collect::<Vec<_>>().join(" ");
        self.in_force().refused = Some(line.chars().take(LONGEST_REASON).collect());
    }

    /// In one line: `3 routes, provider corp up, key age 12d, reload refused: VB-0002`.
    pub(super) fn line(&self, gateway: &Gateway, now: UnixTime) -> String {
        let in_force = self.in_force();
        let mut line = format!("{} route{}", in_force.routes, if in_force.routes == 1 { "" } else { "s" });
        for provider in gateway.providers() {
            _ = write!(line, ", provider {} {}", provider.name(), state(provider.condition()));
        }
        if let Some(since) = in_force.key_since {
            let hours = now.since(since).as_secs() / 3600;
            _ = if hours < 48 { write!(line, ", key age {hours}h") } else { write!(line, ", key age {}d", hours / 24) };
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
        std::iter::once(("configuration".to_owned(), configuration)).chain(providers).collect()
    }

    fn in_force(&self) -> MutexGuard<'_, InForce> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl InForce {
    fn of(config: &Config) -> Self {
        let key = secrets(config).find(|(file, _)| file.key == "session.keys");
        let (routes, key_since) = (config.gateway.routes.len(), key.map(|(_, since)| since));
        Self { fingerprint: config.fingerprint.clone(), routes, key_since, refused: None }
    }
}

/// The files with secrets, and when each was changed last.
pub(super) fn secrets(config: &Config) -> impl Iterator<Item = (&ReadFile, UnixTime)> {
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
pub(super) fn state(condition: Condition) -> &'static str {
    match condition {
        Condition::Works => "up",
        Condition::Unknown => "unknown",
        Condition::Trouble(_) => "down",
    }
}

/// A line that `systemctl status` shows whole.
const LONGEST_REASON: usize = 200;
