//! Configuration: from file, environment and flags to the settings of every part, with every problem reported at once.
//!
//! 1. `tree` and `environment` make one tree of values, each of which knows where it was written.
//! 2. `file` reads it into typed fields: unknown keys, wrong types and unreadable secrets are noted on the way.
//! 3. `validate` turns the fields into the settings that each part owns, and notes what contradicts itself.
//!
//! Nothing stops at the first problem, and nothing below this module sees the first form.

use std::path::PathBuf;

use crate::gateway::settings::GatewaySettings;
use crate::provider::settings::ProviderSettings;
use crate::secret::Secret;
use crate::server::settings::{ListenAddress, ServerSettings};
use crate::session::settings::SessionSettings;
use crate::telemetry::settings::LogSettings;

mod clean;
mod codes;
pub mod diagnostics;
mod environment;
mod file;
mod foreign;
mod mode;
mod places;
mod reading;
mod secrets;
mod sinks;
mod syntax;
mod tree;
mod units;
mod unknown;
mod validate;
mod watch;
mod words;

pub use diagnostics::Diagnostic;
pub use diagnostics::Report;
pub use places::Places;
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
    /// The providers, in the order of the file.
    pub providers: Vec<ProviderSettings>,
    /// For logs.
    pub log: LogSettings,
    /// What was taken, but should be looked at.
    pub warnings: Vec<Diagnostic>,
    /// Where each key was written, for what shows only when the parts are made.
    pub places: Places,
    /// The files besides the configuration itself that were read for it.
    pub files: Vec<PathBuf>,
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
}

impl Sources {
    /// The value of an environment variable.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.env.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl Config {
    /// Makes the configuration, or tells everything that is wrong with it.
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

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeSet;

    use super::file::File;
    use super::reading::{Key, Section as _, Shape};
    use super::tree::{self, Table, Value};

    /// `[route.NAME.paths]` takes the keys of a route, which stand there already.
    const SAME_AS_ROUTE: &str = "route.NAME.paths.NAME";

    #[test]
    fn every_key_stands_in_the_example_and_every_key_of_the_example_is_known() {
        let (mut known, mut shown) = (every_key(), BTreeSet::new());
        let (root, _) = tree::parse("config.example.toml", &uncommented()).unwrap();
        let Value::Table(root) = &root.value else { panic!("no table") };
        shown_keys(root, &File::keys(), "", &mut shown);
        let below_paths = |key: &String| key.starts_with(SAME_AS_ROUTE);
        known.retain(|key| !below_paths(key));
        shown.retain(|key| !below_paths(key));
        assert_eq!(known.difference(&shown).collect::<Vec<_>>(), Vec::<&String>::new(), "not in config.example.toml");
        assert_eq!(shown.difference(&known).collect::<Vec<_>>(), Vec::<&String>::new(), "not a key");
        assert!(known.len() > 100);
    }

    /// Every key that a configuration may hold, as `provider.NAME.client_id`; reserved ones are not among them.
    pub(crate) fn every_key() -> BTreeSet<String> {
        let mut known = BTreeSet::new();
        known_keys(&File::keys(), "", &mut known);
        known
    }

    /// The example with every commented-out key switched on.
    fn uncommented() -> String {
        let text = std::fs::read_to_string("config.example.toml").unwrap();
        // A key that can be written as a text or as a table is shown both ways.
        let lines = text.lines().filter(|line| *line != "#identity = \"default\"").map(|line| {
            let key = line
                .strip_prefix('#')
                .filter(|rest| rest.starts_with(|c: char| c == '[' || c == '"' || c.is_ascii_lowercase()));
            key.unwrap_or(line)
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    fn known_keys(keys: &[Key], at: &str, found: &mut BTreeSet<String>) {
        for key in keys {
            let name = format!("{at}{}", key.name);
            match (key.shape)() {
                Shape::Reserved => {}
                Shape::Value => drop(found.insert(name)),
                Shape::Table(keys) | Shape::Tables(keys) => known_keys(&keys, &format!("{name}."), found),
                Shape::Named(keys) => known_keys(&keys, &format!("{name}.NAME."), found),
            }
        }
    }

    fn shown_keys(table: &Table, keys: &[Key], at: &str, found: &mut BTreeSet<String>) {
        for entry in &table.entries {
            let name = format!("{at}{}", entry.key);
            let shape = keys.iter().find(|key| key.name == entry.key).map(|key| (key.shape)());
            match (shape, &entry.node.value) {
                (Some(Shape::Table(keys)), Value::Table(table)) => shown_keys(table, &keys, &format!("{name}."), found),
                (Some(Shape::Tables(keys)), Value::Array(tables)) => {
                    for table in tables {
                        let Value::Table(table) = &table.value else { panic!("{name}") };
                        shown_keys(table, &keys, &format!("{name}."), found);
                    }
                }
                (Some(Shape::Named(keys)), Value::Table(tables)) => {
                    for table in &tables.entries {
                        let Value::Table(table) = &table.node.value else { panic!("{name}") };
                        shown_keys(table, &keys, &format!("{name}.NAME."), found);
                    }
                }
                _ => drop(found.insert(name)),
            }
        }
    }
}
