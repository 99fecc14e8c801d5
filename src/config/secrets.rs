//! Secrets, and where they are kept: `{ file = … }`, `{ env = … }`, `{ credential = … }`, or, with a warning, a literal string.

use std::path::Path;

use serde::{Deserialize, Deserializer};

use super::clean::{Cleaned, cleaned};
use super::diagnostics::{Code, Diagnostic, Place};
use super::files::{looked_for, warn_of_readers, why_unreadable};
use super::input::Input;
use super::reading::{Reading, already_refused, below, refused, refused_with, with};
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
            return Err(refused_with(
                Code::WeakSecret,
                |key| format!("the secret `{key}` is empty"),
                |it| {
                    it.reason("an empty secret protects nothing")
                        .help("put the secret where the configuration says it is")
                },
            ));
        }
        Ok(Self(Secret::new(text)))
    }
}

/// The secret itself; what had to be taken off is noted, and what nobody can tell is refused.
fn told_cleaned(bytes: &[u8], place: &Place, reading: &mut Reading) -> Option<String> {
    let key = reading.key();
    match cleaned(bytes) {
        Ok(Cleaned { text, taken_off }) => {
            if !taken_off.is_empty() && !text.is_empty() {
                let message = format!("the secret `{key}` comes with {}", taken_off.join(" and "));
                reading.report(
                    Diagnostic::warning(Code::UncleanSecret, place, message)
                        .reason("the secret is taken alone; other programs that read it may not do so")
                        .help("write the secret alone, as with `printf %s SECRET > FILE`"),
                );
            }
            Some(text)
        }
        Err(flaw) => {
            let message = format!("the secret `{key}` cannot be told from what is around it");
            reading.report(
                Diagnostic::error(Code::UncleanSecret, place, message)
                    .label(flaw)
                    .help("write the secret alone, as with `printf %s SECRET > FILE`"),
            );
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
    let (place, reason) = match &node.place {
        Place::File { .. } | Place::Whole(_) => (
            "stands in the configuration file itself",
            "configuration files are copied and committed, and the secret with them",
        ),
        Place::Flag(_) => (
            "stands on the command line",
            "every user of this machine can read command lines (ps), and shells keep them in their history",
        ),
        Place::Variable(_) | Place::Nowhere => return,
    };
    let message = format!("the secret `{}` {place}", reading.key());
    reading.report(Diagnostic::warning(Code::LiteralSecret, &node.place, message).reason(reason).help(format!(
        "write `{} = {{ file = \"…\" }}`, {{ env = \"…\" }} or {{ credential = \"…\" }}",
        reading.last_key()
    )));
}

/// The bytes of the place that exactly one of the three keys names.
fn from_source<E: serde::de::Error>(table: &Table) -> Result<(Vec<u8>, Place), E> {
    const PLACES: &str = "write one of { file = \"/path\" }, { env = \"NAME\" }, { credential = \"name\" }";
    let unknown: Vec<_> = table.entries.iter().filter(|entry| !SECRET_SOURCES.contains(&entry.key.as_str())).collect();
    for entry in &unknown {
        with(|reading| {
            let message = format!("`{}` is not a place for the secret `{}`", entry.key, reading.key());
            reading.report(Diagnostic::error(Code::SecretForm, &entry.place, message).help(PLACES));
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
        [] => Err(refused(Code::SecretForm, |key| format!("the secret `{key}` is an empty table"), PLACES)),
        [first, second, ..] => {
            with(|reading| {
                let (key, one, other) = (reading.key(), &first.key, &second.key);
                let message = format!("the secret `{key}` is given two ways, as `{one}` and as `{other}`");
                reading.report(
                    Diagnostic::error(Code::SecretForm, &first.place, message)
                        .label("one")
                        .also(&second.place, "and another")
                        .reason("nobody could tell which of them counts")
                        .help("keep one of them"),
                );
            });
            Err(already_refused())
        }
    }
}

fn from_file(path: &Path, place: &Place, reading: &mut Reading) -> Option<Vec<u8>> {
    let problem = match reading.read(path) {
        Ok(bytes) => {
            warn_of_readers(path, place, reading);
            return Some(bytes);
        }
        Err(error) => why_unreadable(&error),
    };
    let message = format!("the secret `{}` cannot be read", reading.key());
    reading.report(Diagnostic::error(Code::SecretUnreadable, place, message).label(problem).help(looked_for(path)));
    None
}

fn from_variable(name: &str, place: &Place, reading: &mut Reading) -> Option<Vec<u8>> {
    if let Some(value) = reading.sources.variable(name) {
        return Some(value.as_bytes().to_vec());
    }
    let message = format!("the secret `{}` cannot be read", reading.key());
    reading.report(
        Diagnostic::error(Code::SecretUnreadable, place, message)
            .label("no such environment variable")
            .help(format!("set {name} for the process that runs vestibule")),
    );
    None
}

/// systemd puts what `LoadCredential=` names below `$CREDENTIALS_DIRECTORY`.
fn from_credential(name: &str, place: &Place, reading: &mut Reading) -> Option<Vec<u8>> {
    let message = format!("the secret `{}` cannot be read", reading.key());
    let Some(folder) = reading.sources.variable("CREDENTIALS_DIRECTORY") else {
        reading.report(
            Diagnostic::error(Code::SecretUnreadable, place, message)
                .label("the service manager passed no credentials")
                .help(format!(
                    "add `LoadCredential={name}:/path` to the systemd unit; outside of systemd write {{ file = \"…\" }}"
                )),
        );
        return None;
    };
    if name.contains('/') || name == ".." {
        reading.report(
            Diagnostic::error(Code::SecretForm, place, message)
                .label("a credential's name holds no slash")
                .help("write the name that stands before the colon in LoadCredential="),
        );
        return None;
    }
    let path = Path::new(folder).join(name);
    from_file(&path, place, reading)
}
