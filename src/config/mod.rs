//! Configuration: from file, environment and flags to the settings of every part, with every problem reported at once.
//!
//! 1. `tree` and `environment` make one tree of values, each of which knows where it was written.
//! 2. serde reads the tree (`input`) into the structs of `file`: unknown keys, wrong types and unreadable secrets are reported on the
//!    way. `schema` makes the JSON Schema of the same structs.
//! 3. `validate` turns the structs into the settings that each part owns, and reports what contradicts itself.
//!
//! Nothing stops at the first problem, and nothing below this module sees the structs.

use std::path::PathBuf;
use std::time::SystemTime;

use crate::gateway::settings::GatewaySettings;
use crate::provider::settings::ProviderSettings;
use crate::secret::Secret;
use crate::server::settings::{ListenAddress, ServerSettings};
use crate::session::settings::SessionSettings;
use crate::telemetry::otlp::settings::ExportSettings;
use crate::telemetry::settings::LogSettings;

mod answers;
mod clean;
mod codes;
pub mod diagnostics;
mod environment;
mod file;
mod files;
mod fingerprint;
mod followed;
#[rustfmt::skip]
pub(crate) mod kinds;
mod foreign;
mod input;
mod lists;
mod places;
mod problems;
mod reading;
mod redacted;
mod reported;
mod schema;
mod secrets;
mod settings;
mod sinks;
mod syntax;
mod tables;
mod tree;
mod units;
mod unknown;
mod validate;
mod watch;
mod words;

pub use diagnostics::{Diagnostic, Report};
pub use fingerprint::{Differences, Fingerprint};
pub use followed::FollowedFiles;
pub use places::Places;
pub use redacted::SecretSource;
pub use schema::{Key, every_key, keys, schema};
pub use settings::{Setting, dotted, settings};
pub use watch::Watch;

/// What every part of the program needs to know, already proven.
#[derive(Clone, Debug)]
pub struct Config {
    /// For the listening side.
    pub server: ServerSettings,
    /// For the pipeline.
    pub gateway: GatewaySettings,
    /// For sessions.
    pub session: SessionSettings,
    /// The session keys: the first seals, all open. At least one, all different.
    pub keys: Vec<Secret<[u8; 32]>>,
    /// Where each of them was read from, in the same order.
    pub key_sources: Vec<SecretSource>,
    /// The providers, in the order of the file.
    pub providers: Vec<ProviderSettings>,
    /// For logs.
    pub log: LogSettings,
    /// For traces and metrics that are sent.
    pub telemetry: ExportSettings,
    /// What was taken, but should be looked at.
    pub warnings: Vec<Diagnostic>,
    /// Where each key was written, for what shows only when the parts are made.
    pub places: Places,
    /// The files besides the configuration itself that were read for it.
    pub files: Vec<ReadFile>,
    /// What tells it from another one.
    pub fingerprint: Fingerprint,
}

/// A file that was read for a configuration.
#[derive(Clone, Debug)]
pub struct ReadFile {
    /// The key that names it.
    pub key: String,
    /// Where it is.
    pub path: PathBuf,
    /// When it was changed last, if it holds a secret.
    pub secret_since: Option<SystemTime>,
}

/// Everything that a configuration is made of. Nothing else is read, except for the files that it names.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file: its name as shown in messages, and its text.
    pub file: Option<(String, String)>,
    /// The environment.
    pub env: Vec<(String, String)>,
    /// Flags: a dotted key and its value as text.
    pub flags: Vec<(String, String)>,
    /// Where relative paths start: the folder of the file.
    pub base_dir: PathBuf,
    /// The files that are followed already: what they hold stays in use, whatever they hold now.
    pub followed: FollowedFiles,
}

impl Sources {
    /// The value of an environment variable.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.env.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Whether a text is TOML.
///
/// # Errors
/// Each mistake, with its place.
pub fn check_syntax(name: &str, text: &str) -> Result<(), Report> {
    tree::parse(name, text).map(drop).map_err(Report::new)
}

impl Config {
    /// Makes the configuration, or reports everything that is wrong with it.
    ///
    /// # Errors
    /// A report with at least one error; warnings are in it too.
    pub fn load(sources: &Sources) -> Result<Self, Report> {
        validate::load(sources).map_err(Report::new)
    }

    /// Where the admin listener of a gateway with these sources is. Nothing else of them has to be right.
    pub fn admin_addresses(sources: &Sources) -> Vec<ListenAddress> {
        validate::admin_addresses(sources)
    }
}
