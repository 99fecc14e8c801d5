//! Secrets, and where they are kept: `{ file = … }`, `{ env = … }`, `{ credential = … }`, or, with a warning, a literal string.

use super::diagnostics::{Code, Diagnostic, Place};
use super::reading::{Found, FromNode, Reading};
use super::tree::{Node, SECRET_SOURCES, Table, Value};
use super::units::why_unreadable;
use crate::secret::Secret;

/// A secret text: never empty, without the newline that editors leave at the end of a file.
#[derive(Clone, Debug)]
pub(super) struct SecretText(pub(super) Secret<String>);

/// One secret or a list of them. In a variable, commas separate them.
#[derive(Clone, Debug)]
pub(super) struct SecretTexts(pub(super) Vec<Found<SecretText>>);

impl FromNode for SecretText {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        let structured = node.structured().filter(is_source);
        let node = structured.as_ref().unwrap_or(node);
        let text = match &node.value {
            Value::Table(table) => from_source(table, node, reading)?,
            Value::Untyped(text) => text.clone(),
            Value::String(text) => {
                warn_of_literal(node, reading);
                text.clone()
            }
            _ => {
                reading.wrong_type(node, "a string or a table such as { file = \"…\" }");
                return None;
            }
        };
        let text = strip_newline(text);
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

fn warn_of_literal(node: &Node, reading: &mut Reading<'_>) {
    let message = format!("the secret `{}` stands in the configuration file itself", reading.key());
    reading.report(
        Diagnostic::warning(Code::LiteralSecret, &node.place, message)
            .reason("configuration files are copied and committed, and the secret with them")
            .help(format!(
                "write `{} = {{ file = \"…\" }}`, {{ env = \"…\" }} or {{ credential = \"…\" }}",
                reading.last_key()
            )),
    );
}

/// Exactly one of the three keys.
fn from_source(table: &Table, node: &Node, reading: &mut Reading<'_>) -> Option<String> {
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
            match only.key.as_str() {
                "file" => from_file(&reading.resolve(&name), &only.node.place, reading),
                "env" => from_variable(&name, &only.node.place, reading),
                _ => from_credential(&name, &only.node.place, reading),
            }
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

fn from_file(path: &std::path::Path, place: &Place, reading: &mut Reading<'_>) -> Option<String> {
    let problem = match std::fs::read(path) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => return Some(text),
            Err(_) => "it is not text (UTF-8)",
        },
        Err(error) => why_unreadable(&error),
    };
    let message = format!("the secret `{}` can not be read", reading.key());
    reading.report(
        Diagnostic::error(Code::SecretUnreadable, place, message)
            .label(problem)
            .help(format!("looked for {}; it must be readable by the user that runs vestibule", path.display())),
    );
    None
}

fn from_variable(name: &str, place: &Place, reading: &mut Reading<'_>) -> Option<String> {
    if let Some(value) = reading.sources.variable(name) {
        return Some(value.to_owned());
    }
    let message = format!("the secret `{}` can not be read", reading.key());
    reading.report(
        Diagnostic::error(Code::SecretUnreadable, place, message)
            .label("no such environment variable")
            .help(format!("set {name} for the process that runs vestibule")),
    );
    None
}

/// systemd puts what `LoadCredential=` names below `$CREDENTIALS_DIRECTORY`.
fn from_credential(name: &str, place: &Place, reading: &mut Reading<'_>) -> Option<String> {
    let message = format!("the secret `{}` can not be read", reading.key());
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
    let path = std::path::Path::new(folder).join(name);
    from_file(&path, place, reading)
}

/// Editors and `echo` end a file with a newline that is not part of the secret; a second one is.
fn strip_newline(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_newline_is_stripped() {
        assert_eq!(strip_newline("a\n".into()), "a");
        assert_eq!(strip_newline("a\r\n".into()), "a");
        assert_eq!(strip_newline("a\n\n".into()), "a\n");
        assert_eq!(strip_newline(" a ".into()), " a ");
    }
}
