//! `keys list`: the keys of a configuration, as an operator knows them: by their files and their names, never by themselves.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use clap::Args;
use serde_json::json;

use crate::cli::files::modified;
use crate::cli::sources::ConfigSource;
use crate::cli::{ConfigArguments, Exit, Format, ages, say};
use crate::clock::{Clock as _, SystemClock, UnixTime};
use crate::config::{Config, SecretSource};
use crate::seal;
use crate::secret::Secret;

/// Which keys are shown, and how.
#[derive(Args, Clone, Debug)]
pub struct ListArguments {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub config: ConfigArguments,
    /// How the list is written
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub format: Format,
}

/// Prints one line a key, the one that seals first.
pub(super) fn list(arguments: &ListArguments) -> Exit {
    let config = match ConfigSource::from(arguments.config.clone()).load() {
        Ok((config, _)) => config,
        Err(exit) => return exit,
    };
    let (rows, now) = (rows(&config), SystemClock.now());
    match arguments.format {
        Format::Human => {
            say("#  use    fingerprint  mode  made                  where\n");
            for (row, number) in rows.iter().zip(1..) {
                let made = row.made.map_or_else(|| "-".to_owned(), UnixTime::rfc3339);
                let age = row.made.map(|made| format!(" ({})", ages::relative(made, now))).unwrap_or_default();
                let mode = row.mode.map_or_else(|| "-".to_owned(), |mode| format!("{mode:04o}"));
                let (role, name, place) = (row.role, &row.fingerprint, &row.place);
                say(&format!("{number:<2} {role:<6} {name:<12} {mode:<5} {made:<21} {place}{age}\n"));
            }
        }
        Format::Json => {
            let rows: Vec<_> = rows.iter().zip(1..).map(|(row, number)| row.to_json(number, now)).collect();
            say(&format!("{:#}\n", json!({ "keys": rows })));
        }
    }
    Exit::Ok
}

/// One key.
struct Row {
    /// The first seals; the others only open.
    role: &'static str,
    fingerprint: String,
    place: String,
    mode: Option<u32>,
    made: Option<UnixTime>,
}

impl Row {
    fn to_json(&self, number: usize, now: UnixTime) -> serde_json::Value {
        json!({
            "position": number,
            "use": self.role,
            "fingerprint": self.fingerprint,
            "where": self.place,
            "mode": self.mode.map(|mode| format!("{mode:04o}")),
            "made": self.made.map(UnixTime::rfc3339),
            "age_seconds": self.made.map(|made| now.since(made).as_secs()),
        })
    }
}

fn rows(config: &Config) -> Vec<Row> {
    let keys = config.keys.iter().zip(&config.key_sources).enumerate();
    let row = |(at, (key, source)): (usize, (&Secret<[u8; 32]>, &SecretSource))| {
        let (place, file) = match source {
            SecretSource::File(path) => (path.display().to_string(), Some(path)),
            SecretSource::Credential(path) => (format!("credential {}", path.display()), Some(path)),
            SecretSource::Variable(name) => (format!("environment variable {name}"), None),
            SecretSource::Literal => (format!("written at {}", config.places.at(&format!("session.keys[{at}]"))), None),
        };
        let metadata = file.and_then(|path| fs::metadata(path).ok());
        Row {
            role: if at == 0 { "seals" } else { "opens" },
            fingerprint: seal::fingerprint(key),
            place,
            mode: metadata.map(|metadata| metadata.permissions().mode() & 0o7777),
            made: file.and_then(|path| modified(path).ok()),
        }
    };
    keys.map(row).collect()
}
