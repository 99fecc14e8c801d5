//! Secrets, and where they are kept: `{ file = … }`, `{ env = … }`, `{ credential = … }`, or, with a warning, a literal string.

use std::path::Path;

use serde::{Deserialize, Deserializer};

use super::clean::{Cleaned, cleaned};
use super::diagnostics::Place;
use super::files::{looked_for, warn_of_readers, why_unreadable};
use super::input::Input;
use super::kinds;
use super::reading::{Reading, already_refused, below, refused, with};
use super::tree::{Node, SECRET_SOURCES, Table, Value};
use crate::secret::Secret;

/// A secret text: never empty, and [`cleaned`] wherever it comes from.
#[derive(Clone, Debug)]
pub(super) struct SecretText(pub(super) Secret<String>);

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        let node = with(|reading| reading.node());
        let node = node.structured().filter(is_source).unwrap_or(node);
        let (bytes, place) = match &node.value {
            Value::Table(table) => from_source(table)?,
            Value::String(text) | Value::Untyped(text) => {
                with(|reading| warn_of_literal(&node, reading));
                (text.clone().into_bytes(), node.place.clone())
            }
            _ => {
                with(|reading| reading.wrong_type(&node, "a string or a table such as { file = \"…\" }"));
                return Err(already_refused());
            }
        };
        let text = with(|reading| told_cleaned(&bytes, &place, reading)).ok_or_else(already_refused::<D::Error>)?;
        if text.is_empty() {
            return Err(refused(kinds::SECRET_EMPTY, |key| format!("the secret `{key}` is empty")));
        }
        Ok(Self(Secret::new(text)))
    }
}

/// The secret itself; what had to be taken off is reported, and what nobody can tell is refused.
fn told_cleaned(bytes: &[u8], place: &Place, reading: &mut Reading) -> Option<String> {
    let key = reading.key();
    match cleaned(bytes) {
        Ok(Cleaned { text, taken_off }) => {
            if !taken_off.is_empty() && !text.is_empty() {
                let message = format!("the secret `{key}` comes with {}", taken_off.join(" and "));
                reading.problems.add(kinds::SECRET_WITH_MORE, place, message);
            }
            Some(text)
        }
        Err(flaw) => {
            let message = format!("the secret `{key}` cannot be told from what is around it");
            reading.problems.add(kinds::SECRET_UNCLEAR, place, message).label(flaw);
            None
        }
    }
}

/// Whether a table written in a variable says where a secret is, or is a secret that begins with a brace.
fn is_source(node: &Node) -> bool {
    matches!(&node.value, Value::Table(table) if table.entries.iter().all(|entry| SECRET_SOURCES.contains(&entry.key.as_str())))
}

/// A variable is one of the places where a secret may stand; the file and the command line are not.
fn warn_of_literal(node: &Node, reading: &mut Reading) {
    let (kind, place) = match &node.place {
        Place::File { .. } | Place::Whole(_) => (kinds::SECRET_IN_FILE, "stands in the configuration file itself"),
        Place::Flag(_) => (kinds::SECRET_IN_FLAG, "stands on the command line"),
        Place::Variable(_) | Place::Nowhere => return,
    };
    let message = format!("the secret `{}` {place}", reading.key());
    let last = reading.last_key();
    let help = format!("write `{last} = {{ file = \"…\" }}`, {{ env = \"…\" }} or {{ credential = \"…\" }}");
    reading.problems.add(kind, &node.place, message).help(help);
}

/// The bytes of the place that exactly one of the three keys names.
fn from_source<E: serde::de::Error>(table: &Table) -> Result<(Vec<u8>, Place), E> {
    let unknown: Vec<_> = table.entries.iter().filter(|entry| !SECRET_SOURCES.contains(&entry.key.as_str())).collect();
    for entry in &unknown {
        with(|reading| {
            let message = format!("`{}` is not a place for the secret `{}`", entry.key, reading.key());
            reading.problems.add(kinds::NO_SECRET_PLACE, &entry.place, message);
        });
    }
    match table.entries.as_slice() {
        _ if !unknown.is_empty() => Err(already_refused()),
        [only] => {
            let place = &only.node.place;
            let name = below(Some(&only.key), place, &only.node, || String::deserialize(Input(only.node.clone())));
            let name = name.map_err(|_| already_refused::<E>())?;
            let bytes = with(|reading| match only.key.as_str() {
                "file" => from_file(&reading.resolve(&name), place, reading),
                "env" => from_variable(&name, place, reading),
                _ => from_credential(&name, place, reading),
            });
            Ok((bytes.ok_or_else(already_refused::<E>)?, place.clone()))
        }
        [] => Err(refused(kinds::NO_SECRET_PLACE, |key| format!("the secret `{key}` is an empty table"))),
        [first, second, ..] => {
            with(|reading| {
                let (key, one, other) = (reading.key(), &first.key, &second.key);
                let message = format!("the secret `{key}` is given two ways, as `{one}` and as `{other}`");
                let diagnostic = reading.problems.add(kinds::SECRET_TWO_WAYS, &first.place, message);
                diagnostic.label("one").also(&second.place, "and another");
            });
            Err(already_refused())
        }
    }
}

/// Reads the file of a secret, and warns of others who may read it.
fn from_file(path: &Path, place: &Place, reading: &mut Reading) -> Option<Vec<u8>> {
    match reading.read(path) {
        Ok(bytes) => {
            warn_of_readers(path, place, reading);
            Some(bytes)
        }
        Err(error) => unreadable(place, why_unreadable(&error), looked_for(path), reading),
    }
}

/// Reads the environment variable of a secret.
fn from_variable(name: &str, place: &Place, reading: &mut Reading) -> Option<Vec<u8>> {
    if let Some(value) = reading.sources.variable(name) {
        return Some(value.as_bytes().to_vec());
    }
    let help = format!("set {name} for the process that runs vestibule");
    unreadable(place, "no such environment variable", help, reading)
}

/// systemd puts what `LoadCredential=` names below `$CREDENTIALS_DIRECTORY`.
fn from_credential(name: &str, place: &Place, reading: &mut Reading) -> Option<Vec<u8>> {
    let Some(folder) = reading.sources.variable("CREDENTIALS_DIRECTORY") else {
        let help = format!(
            "add `LoadCredential={name}:/path` to the systemd unit; outside of systemd write {{ file = \"…\" }}"
        );
        return unreadable(place, "the service manager passed no credentials", help, reading);
    };
    if name.contains('/') || name == ".." {
        let message = format!("the secret `{}` cannot be read", reading.key());
        let diagnostic = reading.problems.add(kinds::NO_CREDENTIAL_NAME, place, message);
        diagnostic.label("a credential's name holds no slash");
        return None;
    }
    let path = Path::new(folder).join(name);
    from_file(&path, place, reading)
}

/// Reports that a secret is not where it is said to be.
fn unreadable(place: &Place, label: &str, help: String, reading: &mut Reading) -> Option<Vec<u8>> {
    let message = format!("the secret `{}` cannot be read", reading.key());
    reading.problems.add(kinds::SECRET_UNREADABLE, place, message).label(label).help(help);
    None
}
