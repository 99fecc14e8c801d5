//! Secrets, and where they are kept: `{ file = … }`, `{ env = … }`, `{ credential = … }`, or, with a warning, a literal string.

use std::fs::Metadata;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::clean::{Cleaned, cleaned};
use super::diagnostics::{Code, Diagnostic, Place};
use super::reading::{Found, FromNode, Reading};
use super::tree::{Node, SECRET_SOURCES, Table, Value};
use super::units::why_unreadable;
use crate::secret::Secret;

/// A secret text: never empty, and [`cleaned`] wherever it comes from.
#[derive(Clone, Debug)]
pub(super) struct SecretText(pub(super) Secret<String>);

/// One secret or a list of them. In a variable, commas separate them.
#[derive(Clone, Debug)]
pub(super) struct SecretTexts(pub(super) Vec<Found<SecretText>>);

impl FromNode for SecretText {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        let structured = node.structured().filter(is_source);
        let node = structured.as_ref().unwrap_or(node);
        let (bytes, place) = match &node.value {
            Value::Table(table) => from_source(table, node, reading)?,
            Value::String(text) | Value::Untyped(text) => {
                warn_of_literal(node, reading);
                (text.clone().into_bytes(), node.place.clone())
            }
            _ => {
                reading.wrong_type(node, "a string or a table such as { file = \"…\" }");
                return None;
            }
        };
        let text = told_cleaned(&bytes, &place, reading)?;
        if text.is_empty() {
            let message = format!("the secret `{}` is empty", reading.key());
            reading.report(
                Diagnostic::error(Code::WeakSecret, &node.place, message)
                    .reason("an empty secret protects nothing")
                    .help("put the secret where the configuration says it is"),
            );
            return None;
        }
        Some(Self(Secret::new(text)))
    }
}

/// The secret itself; what had to be taken off is noted, and what nobody can tell is refused.
fn told_cleaned(bytes: &[u8], place: &Place, reading: &mut Reading<'_>) -> Option<String> {
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

/// The permissions of a file that everybody on the machine may read or write.
pub(super) fn open_to_others(path: &Path) -> Option<u32> {
    let file = std::fs::metadata(path).ok().filter(Metadata::is_file)?;
    Some(file.permissions().mode() & 0o7777).filter(|mode| mode & 0o006 != 0)
}

/// A warning about a file with a secret that everybody on the machine may read.
pub(super) fn readable_by_others(path: &Path, key: &str, place: &Place) -> Option<Diagnostic> {
    let mode = open_to_others(path)?;
    let message = format!("`{key}` names a file that others may read");
    let diagnostic = Diagnostic::warning(Code::ReadableSecret, place, message)
        .label(format!("its mode is {mode:04o}"))
        .reason("every program on this machine can take the secret, and act as this gateway with it");
    Some(diagnostic.help(format!(
        "`chmod 600 {}`, for the user that runs vestibule; Kubernetes: defaultMode: 0400",
        path.display()
    )))
}

impl FromNode for SecretTexts {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        let structured = node.structured();
        let node = structured.as_ref().unwrap_or(node);
        let items: Vec<Node> = match &node.value {
            Value::Array(items) => items.clone(),
            Value::Untyped(text) => text
                .split(',')
                .map(|item| Node { place: node.place.clone(), value: Value::Untyped(item.trim().to_owned()) })
                .collect(),
            _ => vec![node.clone()],
        };
        let read: Vec<Option<Found<SecretText>>> = items
            .iter()
            .map(|item| SecretText::from_node(item, reading).map(|value| Found { value, place: item.place.clone() }))
            .collect();
        read.into_iter().collect::<Option<Vec<_>>>().map(Self)
    }
}

/// Whether a table written in a variable says where a secret is, or is a secret that begins with a brace.
fn is_source(node: &Node) -> bool {
    matches!(&node.value, Value::Table(table) if table.entries.iter().all(|entry| SECRET_SOURCES.contains(&entry.key.as_str())))
}

/// A variable is one of the places where a secret may stand; the file and the command line are not.
fn warn_of_literal(node: &Node, reading: &mut Reading<'_>) {
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

/// Exactly one of the three keys.
fn from_source(table: &Table, node: &Node, reading: &mut Reading<'_>) -> Option<(Vec<u8>, Place)> {
    let key = reading.key();
    let mut known = true;
    for entry in &table.entries {
        if !SECRET_SOURCES.contains(&entry.key.as_str()) {
            known = false;
            reading.report(
                Diagnostic::error(
                    Code::SecretForm,
                    &entry.place,
                    format!("`{}` is not a place for the secret `{key}`", entry.key),
                )
                .help("write one of { file = \"/path\" }, { env = \"NAME\" }, { credential = \"name\" }"),
            );
        }
    }
    match table.entries.as_slice() {
        _ if !known => None,
        [only] => {
            let name = reading.below(&only.key, |reading| String::from_node(&only.node, reading))?;
            let place = &only.node.place;
            let bytes = match only.key.as_str() {
                "file" => from_file(&reading.resolve(&name), place, reading),
                "env" => from_variable(&name, place, reading),
                _ => from_credential(&name, place, reading),
            };
            Some((bytes?, place.clone()))
        }
        [] => {
            let message = format!("the secret `{key}` is an empty table");
            reading.report(
                Diagnostic::error(Code::SecretForm, &node.place, message)
                    .help("write one of { file = \"/path\" }, { env = \"NAME\" }, { credential = \"name\" }"),
            );
            None
        }
        [first, second, ..] => {
            let message = format!("the secret `{key}` is given two ways, as `{}` and as `{}`", first.key, second.key);
            reading.report(
                Diagnostic::error(Code::SecretForm, &first.place, message)
                    .label("one")
                    .also(&second.place, "and another")
                    .reason("nobody could tell which of them counts")
                    .help("keep one of them"),
            );
            None
        }
    }
}

fn from_file(path: &Path, place: &Place, reading: &mut Reading<'_>) -> Option<Vec<u8>> {
    let problem = match reading.read(path) {
        Ok(bytes) => {
            let warning = readable_by_others(path, &reading.key(), place);
            reading.problems.extend(warning);
            return Some(bytes);
        }
        Err(error) => why_unreadable(&error),
    };
    let message = format!("the secret `{}` cannot be read", reading.key());
    reading.report(
        Diagnostic::error(Code::SecretUnreadable, place, message)
            .label(problem)
            .help(format!("looked for {}; it must be readable by the user that runs vestibule", path.display())),
    );
    None
}

fn from_variable(name: &str, place: &Place, reading: &mut Reading<'_>) -> Option<Vec<u8>> {
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
fn from_credential(name: &str, place: &Place, reading: &mut Reading<'_>) -> Option<Vec<u8>> {
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
