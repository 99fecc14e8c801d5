//! Secrets, and where they are kept: `{ file = … }`, `{ env = … }`, `{ credential = … }`, or, with a warning, a literal string.

use std::borrow::Cow;
use std::path::Path;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use super::clean::{Cleaned, cleaned};
use super::diagnostics::{Diagnostic, Place};
use super::files::{looked_for, warn_of_readers, why_unreadable};
use super::input::Input;
use super::kinds::{self, DiagnosticKind};
use super::reading::{Reading, already_refused, below, with, wrong_type};
use super::redacted::{SecretSource, ShownSecret, redacted};
use super::tree::{Node, NodeValue, SECRET_SOURCES, Table, TableEntry};
use crate::secret::Secret;

/// A secret: never empty, and without what editors and shells put around it.
#[derive(Clone, Debug)]
pub(super) struct SecretText(pub(super) Secret<String>, pub(super) SecretSource);

/// A literal, or the one place where the secret is.
impl JsonSchema for SecretText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "SecretText".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let place = json_schema!({
            "type": "object",
            "minProperties": 1,
            "maxProperties": 1,
            "patternProperties": { "^(file|env|credential)$": { "type": "string" } },
            "additionalProperties": false
        });
        json_schema!({ "anyOf": [{ "type": "string" }, place] })
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        let node = with(|reading| reading.node());
        let (bytes, place, source) = bytes(&node).ok_or_else(already_refused::<D::Error>)?;
        let text =
            with(|reading| text(&bytes, &place, &node.place, reading)).ok_or_else(already_refused::<D::Error>)?;
        with(|reading| {
            let shown = ShownSecret { key: reading.key(), text: redacted(&text) };
            reading.secrets.push(shown);
        });
        Ok(Self(Secret::new(text), source))
    }
}

/// The bytes of the secret, where it is said what they are, and where they were read from.
fn bytes(node: &Node) -> Option<(Vec<u8>, Place, SecretSource)> {
    let source = node.structured().filter(is_source);
    match &source.as_ref().unwrap_or(node).value {
        NodeValue::Table(table) => from_source(table, &node.place),
        NodeValue::String(text) | NodeValue::Untyped(text) => {
            with(|reading| warn_of_literal(node, reading));
            let source = match &node.place {
                Place::Variable(name) => SecretSource::Variable(name.clone()),
                _ => SecretSource::Literal,
            };
            Some((text.clone().into_bytes(), node.place.clone(), source))
        }
        _ => {
            wrong_type(node, "a string or a table such as { file = \"…\" }");
            None
        }
    }
}

/// The secret itself; what had to be taken off is reported, and what nobody can tell is refused.
fn text(bytes: &[u8], place: &Place, whole: &Place, reading: &mut Reading) -> Option<String> {
    match cleaned(bytes) {
        Ok(Cleaned { text, .. }) if text.is_empty() => {
            report(kinds::SECRET_EMPTY, whole, "is empty", reading);
            None
        }
        Ok(Cleaned { text, taken_off }) => {
            if !taken_off.is_empty() {
                let what = format!("comes with {}", taken_off.join(" and "));
                report(kinds::SECRET_WITH_MORE, place, &what, reading);
            }
            Some(text)
        }
        Err(flaw) => {
            report(kinds::SECRET_UNCLEAR, place, "cannot be told from what is around it", reading).label(flaw);
            None
        }
    }
}

/// Reports something about the secret that is being read.
fn report<'a>(kind: DiagnosticKind, place: &Place, what: &str, reading: &'a mut Reading) -> &'a mut Diagnostic {
    let message = format!("the secret `{}` {what}", reading.key());
    reading.problems.add(kind, place, message)
}

/// Whether a key says where a secret is.
fn is_place(entry: &TableEntry) -> bool {
    SECRET_SOURCES.contains(&entry.key.as_str())
}

/// Whether a table written in a variable says where a secret is, or is a secret that begins with a brace.
fn is_source(node: &Node) -> bool {
    matches!(&node.value, NodeValue::Table(table) if table.entries.iter().all(is_place))
}

/// A variable is one of the places where a secret may stand; the file and the command line are not.
fn warn_of_literal(node: &Node, reading: &mut Reading) {
    let (kind, what) = match &node.place {
        Place::File { .. } | Place::Whole(_) => (kinds::SECRET_IN_FILE, "stands in the configuration file itself"),
        Place::Flag(_) => (kinds::SECRET_IN_FLAG, "stands on the command line"),
        Place::Variable(_) | Place::Nowhere => return,
    };
    let last = reading.last_key();
    let help = format!("write `{last} = {{ file = \"…\" }}`, {{ env = \"…\" }} or {{ credential = \"…\" }}");
    report(kind, &node.place, what, reading).help(help);
}

/// The bytes of the place that exactly one of the three keys names.
fn from_source(table: &Table, whole: &Place) -> Option<(Vec<u8>, Place, SecretSource)> {
    let unknown: Vec<_> = table.entries.iter().filter(|entry| !is_place(entry)).collect();
    with(|reading| {
        for entry in &unknown {
            let message = format!("`{}` is not a place for the secret `{}`", entry.key, reading.key());
            reading.problems.add(kinds::NO_SECRET_PLACE, &entry.place, message);
        }
    });
    match table.entries.as_slice() {
        _ if !unknown.is_empty() => None,
        [only] => {
            let place = &only.node.place;
            let name = below(Some(&only.key), place, &only.node, || Input(only.node.clone()).filled_text()).ok()?;
            let (bytes, source) = with(|reading| match only.key.as_str() {
                "file" => {
                    let path = reading.resolve(&name);
                    Some((from_file(&path, place, reading)?, SecretSource::File(path)))
                }
                "env" => Some((from_variable(&name, place, reading)?, SecretSource::Variable(name))),
                _ => from_credential(&name, place, reading),
            })?;
            Some((bytes, place.clone(), source))
        }
        [] => with(|reading| {
            report(kinds::NO_SECRET_PLACE, whole, "is an empty table", reading);
            None
        }),
        [first, second, ..] => {
            let what = format!("is given two ways, as `{}` and as `{}`", first.key, second.key);
            with(|reading| {
                let diagnostic = report(kinds::SECRET_TWO_WAYS, &first.place, &what, reading);
                diagnostic.label("one").also(&second.place, "and another");
                None
            })
        }
    }
}

/// Reads the file of a secret, and warns of others who may read it.
fn from_file(path: &Path, place: &Place, reading: &mut Reading) -> Option<Vec<u8>> {
    match reading.read(path) {
        Ok(bytes) => {
            warn_of_readers(path, place, reading);
            reading.note_secret_file();
            Some(bytes)
        }
        Err(error) => unreadable(place, why_unreadable(&error), looked_for(path), reading),
    }
}

/// Reads the environment variable of a secret.
fn from_variable(name: &str, place: &Place, reading: &mut Reading) -> Option<Vec<u8>> {
    if let Some(value) = reading.sources.variable(name).map(|value| value.as_bytes().to_vec()) {
        reading.note_content(&value);
        return Some(value);
    }
    let help = format!("set {name} for the process that runs vestibule");
    unreadable(place, "no such environment variable", help, reading)
}

/// systemd puts what `LoadCredential=` names below `$CREDENTIALS_DIRECTORY`.
fn from_credential(name: &str, place: &Place, reading: &mut Reading) -> Option<(Vec<u8>, SecretSource)> {
    let Some(folder) = reading.sources.variable("CREDENTIALS_DIRECTORY") else {
        let help = format!(
            "add `LoadCredential={name}:/path` to the systemd unit; outside of systemd write {{ file = \"…\" }}"
        );
        unreadable(place, "the service manager passed no credentials", help, reading);
        return None;
    };
    if name.contains('/') || name == ".." {
        let diagnostic = report(kinds::NO_CREDENTIAL_NAME, place, "cannot be read", reading);
        diagnostic.label("a credential's name holds no slash");
        return None;
    }
    let path = Path::new(folder).join(name);
    Some((from_file(&path, place, reading)?, SecretSource::Credential(path)))
}

/// Reports that a secret is not where it is said to be.
fn unreadable(place: &Place, label: &str, help: String, reading: &mut Reading) -> Option<Vec<u8>> {
    report(kinds::SECRET_UNREADABLE, place, "cannot be read", reading).label(label).help(help);
    None
}
