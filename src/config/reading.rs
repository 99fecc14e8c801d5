//! What is known while a configuration is read.
//!
//! serde hands a value neither its place nor anything else from outside, so the one reading of this thread keeps both: which key is
//! being read, where it stands, what was found wrong so far. [`Field`] is what makes the reading go on after a mistake: a value that
//! cannot be used was reported where it was found, and its field is [`Field::Wrong`].

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};
use sha2::{Digest as _, Sha256};

use super::diagnostics::Place;
use super::kinds::{self, DiagnosticKind};
use super::places::Places;
pub(super) use super::problems::Found;
use super::problems::{Flaw, Problems};
use super::redacted::ShownSecret;
use super::tree::{Node, NodeValue};
use super::{ReadFile, Sources};

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Found<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = T::deserialize(deserializer)?;
        Ok(with(|reading| Self { value, place: reading.place(), key: reading.key() }))
    }
}

/// A key as it was found.
#[derive(Clone, Debug, Default)]
pub(super) enum Field<T> {
    /// It is not there.
    #[default]
    Absent,
    /// It is there, or was meant by another name, and what is wrong with it was already reported.
    Wrong,
    /// It is there.
    Given(Found<T>),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if with(|reading| matches!(reading.node().value, NodeValue::Meant)) {
            return Ok(Self::Wrong);
        }
        Ok(Found::deserialize(deserializer).map_or(Self::Wrong, Self::Given))
    }
}

impl<T> Field<T> {
    /// The value and its place.
    pub(super) fn given(&self) -> Option<&Found<T>> {
        if let Self::Given(found) = self { Some(found) } else { None }
    }

    /// The value alone.
    pub(super) fn value(&self) -> Option<&T> {
        self.given().map(|found| &found.value)
    }

    /// Where it stands and what it is called, for messages about its being there.
    pub(super) fn mark(&self) -> Option<Found<()>> {
        self.given().map(|found| found.with(()))
    }

    /// The value of a key that has to be there; `table` is where it belongs, `name` what it is called there.
    pub(super) fn required(
        &self,
        kind: DiagnosticKind,
        table: (&Place, &str),
        name: &str,
        problems: &mut Problems,
    ) -> Option<&Found<T>> {
        if self.is_absent() {
            problems.missing(kind, table.0, &format!("{}.{name}", table.1));
        }
        self.given()
    }

    /// The value and its place, out of the field.
    pub(super) fn into_found(self) -> Option<Found<T>> {
        if let Self::Given(found) = self { Some(found) } else { None }
    }

    /// The value, out of the field.
    pub(super) fn into_value(self) -> Option<T> {
        self.into_found().map(|found| found.value)
    }

    /// Whether the key is not there at all: then, and only then, may somebody ask for it.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

impl<T: PartialEq> Field<T> {
    /// Reports a value that should not be chosen lightly, or not here; whether it was.
    pub(super) fn noted(&self, value: &T, kind: DiagnosticKind, what: &str, problems: &mut Problems) -> bool {
        let chosen = self.given().filter(|found| found.value == *value);
        chosen.map(|found| problems.on(kind, found, what)).is_some()
    }
}

impl<T: Copy> Field<T> {
    /// The value, or what holds where it is left out.
    pub(super) fn or(&self, default: T) -> T {
        self.value().copied().unwrap_or(default)
    }
}

/// What is known and reported while reading.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// What is read.
    pub(super) sources: Sources,
    /// What was found wrong.
    pub(super) problems: Problems,
    /// Where each key stands.
    pub(super) places: Places,
    /// The files that were read.
    pub(super) files: Vec<ReadFile>,
    /// The digests of what was read for keys from elsewhere.
    pub(super) contents: Vec<(String, [u8; 32])>,
    /// Keys that a misspelt one was probably meant for: they are not reported as missing.
    pub(super) meant: HashSet<String>,
    /// The secrets that were read.
    pub(super) secrets: Vec<ShownSecret>,
    /// From the root to what is being read.
    open: Vec<Open>,
}

/// A key that is being read, or an item of a list, which has no key of its own.
#[derive(Debug)]
struct Open {
    /// The key; none for an item of a list.
    key: Option<String>,
    /// Where it stands.
    place: Place,
    /// The value.
    node: Node,
}

thread_local! {
    /// The reading of this thread.
    static CURRENT: RefCell<Reading> = RefCell::default();
}

/// Begins a reading of this thread, and gives what was reported when it is over.
pub(super) fn during<R>(reading: Reading, read: impl FnOnce() -> R) -> (R, Reading) {
    CURRENT.set(reading);
    let result = read();
    (result, CURRENT.take())
}

/// The reading of this thread.
pub(super) fn with<R>(ask: impl FnOnce(&mut Reading) -> R) -> R {
    CURRENT.with_borrow_mut(ask)
}

/// Reads something below: an entry of a table by its key, or an item of a list.
pub(super) fn below<R>(key: Option<&str>, place: &Place, node: &Node, read: impl FnOnce() -> R) -> R {
    with(|reading| {
        reading.open.push(Open { key: key.map(str::to_owned), place: place.clone(), node: node.clone() });
        if key.is_some() {
            let key = reading.key();
            reading.places.note(key, place);
        }
    });
    let result = read();
    with(|reading| reading.open.pop());
    result
}

impl Reading {
    /// Nothing read yet; `whole` is the place of what is missing altogether.
    pub(super) fn new(sources: &Sources, whole: Place) -> Self {
        let problems = Problems { whole: whole.clone(), ..Problems::default() };
        Self { sources: sources.clone(), problems, places: Places::of(whole), ..Self::default() }
    }

    /// The key being read, with its tables: `provider.corp.client_id`.
    pub(super) fn key(&self) -> String {
        self.open.iter().filter_map(|open| open.key.as_deref()).map(quoted).collect::<Vec<_>>().join(".")
    }

    /// A key of the table that is being read, whole.
    pub(super) fn key_of(&self, name: &str) -> String {
        let table = self.key();
        if table.is_empty() { name.to_owned() } else { format!("{table}.{name}") }
    }

    /// The last part of the key being read.
    pub(super) fn last_key(&self) -> &str {
        self.open.iter().rev().find_map(|open| open.key.as_deref()).unwrap_or_default()
    }

    /// Where what is being read stands.
    pub(super) fn place(&self) -> Place {
        self.open.last().map_or(Place::Nowhere, |open| open.place.clone())
    }

    /// What is being read.
    pub(super) fn node(&self) -> Node {
        self.open.last().map_or_else(|| Node::empty(Place::Nowhere), |open| open.node.clone())
    }

    /// A path of the file system as the operator meant it: relative ones start at the configuration file's folder.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        self.sources.base_dir.join(path)
    }

    /// Reads a file that the configuration names; it is watched from then on.
    pub(super) fn read(&mut self, path: &Path) -> std::io::Result<Vec<u8>> {
        self.files.push(ReadFile { key: self.key(), path: path.to_owned(), secret_since: None });
        let bytes = std::fs::read(path)?;
        self.note_content(&bytes);
        Ok(bytes)
    }

    /// Notes what was read for the key that is being read.
    pub(super) fn note_content(&mut self, bytes: &[u8]) {
        self.contents.push((self.key(), Sha256::digest(bytes).into()));
    }

    /// Notes that the file that was read last holds a secret.
    pub(super) fn note_secret_file(&mut self) {
        if let Some(file) = self.files.last_mut() {
            file.secret_since = std::fs::metadata(&file.path).and_then(|file| file.modified()).ok();
        }
    }
}

/// That a value cannot be used. Why was reported when this was made, so that reading can go on.
#[derive(Debug)]
pub(super) struct Refused;

/// Refuses what is being read.
pub(super) fn refused<E: serde::de::Error>(flaw: Flaw) -> E {
    with(|reading| {
        let (place, key) = (reading.node().place, reading.key());
        reading.problems.flaw(flaw, &place, &key);
    });
    already_refused()
}

/// Refuses a value of another type.
pub(super) fn wrong_type(node: &Node, wanted: &str) -> Refused {
    with(|reading| {
        let key = reading.key();
        let help = Reading::nameless(&key).unwrap_or_else(|| type_help(node, wanted, reading.last_key()));
        let message = format!("`{key}` takes {wanted}, not {}", node.kind());
        let diagnostic = reading.problems.add(kinds::WRONG_TYPE, &node.place, message);
        diagnostic.label(format!("this is {}", node.kind())).help(help);
    });
    Refused
}

/// Refuses what is being read; why was reported.
pub(super) fn already_refused<E: serde::de::Error>() -> E {
    E::custom("")
}

impl serde::de::Error for Refused {
    /// In serde's own words, where there are no better ones.
    fn custom<T: fmt::Display>(message: T) -> Self {
        let message = message.to_string();
        if !message.is_empty() {
            return refused(Flaw::new(kinds::OTHERWISE_WRONG, format!("cannot be used: {message}")));
        }
        Self
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value cannot be used")
    }
}

impl std::error::Error for Refused {}

fn type_help(node: &Node, wanted: &str, key: &str) -> String {
    match &node.value {
        NodeValue::Integer(number) if wanted.starts_with("a duration") => {
            format!("write `{key} = \"{number}s\"` for seconds")
        }
        NodeValue::Integer(number) if wanted.starts_with("a string") => format!("write `{key} = \"{number}\"`"),
        NodeValue::String(text) if wanted == "true or false" && matches!(text.as_str(), "true" | "false") => {
            format!("write `{key} = {text}`, without quotes")
        }
        NodeValue::String(text) if wanted.starts_with("an integer") && text.parse::<i64>().is_ok() => {
            format!("write `{key} = {text}`, without quotes")
        }
        _ if wanted.starts_with("a list of tables") => format!("write `[[{key}]]` above its keys"),
        _ if wanted.starts_with("a list") => format!("write `{key} = [\"…\"]`"),
        _ if wanted.starts_with("a table") => format!("write `{key} = {{ … }}`, or its keys below a line `[…{key}]`"),
        _ => format!("write {wanted}"),
    }
}

/// A part of a key, in quotes where TOML asks for them.
pub(super) fn quoted(key: &str) -> String {
    let is_bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if is_bare { key.to_owned() } else { format!("\"{}\"", key.escape_default()) }
}

/// `` `a`, `b` and `c` ``.
pub(super) fn listed<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match words.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}
