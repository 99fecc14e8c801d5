//! From the tree of values to typed fields: wrong types and unknown keys are noted, and reading goes on.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::Sources;
use super::diagnostics::{Code, Diagnostic, Place};
use super::places::Places;
use super::tree::{Node, Table, Value};

/// What one table may hold, and how to read it. Made by [`keys!`](super::file).
pub(super) trait Section: Sized {
    /// Its keys, those that are reserved included.
    fn keys() -> Vec<Key>;
    /// Reads them.
    fn read_keys(table: &Table, reading: &mut Reading<'_>) -> Self;
}

/// A key of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) shape: fn() -> Shape,
}

/// What stands behind a key.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    /// A value without keys that we know.
    Value,
    /// Something of a later version.
    Reserved,
    /// A table of known keys.
    Table(Vec<Key>),
    /// A list of tables of known keys.
    Tables(Vec<Key>),
    /// A table of tables, by names of the operator's choice.
    Named(Vec<Key>),
}

/// A type that a value can be read as. `None` means that a problem was noted.
pub(super) trait FromNode: Sized {
    /// What stands behind a key of this type.
    fn shape() -> Shape {
        Shape::Value
    }
    /// Reads the value, or notes why not.
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self>;
}

/// A value with its place, for messages about what it means.
#[derive(Clone, Debug)]
pub(super) struct Found<T> {
    pub(super) value: T,
    pub(super) place: Place,
}

/// A key as it was found.
#[derive(Clone, Debug, Default)]
pub(super) enum Field<T> {
    /// It is not there.
    #[default]
    Absent,
    /// It is there, and something about it was already noted.
    Wrong,
    /// It is there.
    Given(Found<T>),
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

    /// The value, out of the field.
    pub(super) fn into_value(self) -> Option<T> {
        if let Self::Given(found) = self { Some(found.value) } else { None }
    }

    /// Whether the key is not there at all: then, and only then, may somebody ask for it.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

/// What is known and noted while reading.
pub(super) struct Reading<'a> {
    pub(super) sources: &'a Sources,
    pub(super) problems: Vec<Diagnostic>,
    pub(super) places: Places,
    /// The files that were read.
    pub(super) files: Vec<PathBuf>,
    path: Vec<String>,
    /// Keys that a misspelt one was probably meant for: they are not reported as missing.
    pub(super) meant: HashSet<String>,
}

impl<'a> Reading<'a> {
    /// Nothing read yet; `whole` is the place of what is missing altogether.
    pub(super) fn new(sources: &'a Sources, whole: Place) -> Self {
        let (problems, places, files) = (Vec::new(), Places::of(whole), Vec::new());
        Self { sources, problems, places, files, path: Vec::new(), meant: HashSet::new() }
    }

    /// Notes a problem.
    pub(super) fn report(&mut self, diagnostic: Diagnostic) {
        self.problems.push(diagnostic);
    }

    /// The key being read, with its tables: `provider.corp.client_id`.
    pub(super) fn key(&self) -> String {
        self.path.join(".")
    }

    /// The last part of the key being read.
    pub(super) fn last_key(&self) -> &str {
        self.path.last().map_or("", String::as_str)
    }

    /// A path of the file system as the operator meant it: relative ones start at the configuration file's folder.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        self.sources.base_dir.join(path)
    }

    /// Reads a file that the configuration names; it is watched from then on.
    pub(super) fn read(&mut self, path: &Path) -> std::io::Result<Vec<u8>> {
        self.files.push(path.to_owned());
        std::fs::read(path)
    }

    /// Reads one key of a table.
    pub(super) fn field<T: FromNode>(&mut self, table: &Table, key: &str) -> Field<T> {
        self.path.push(key.to_owned());
        let field = match table.get(key) {
            None if self.meant.contains(&self.key()) => Field::Wrong,
            None => Field::Absent,
            Some(entry) => {
                // A table's key says more than the span of what stands in it.
                let place = if matches!(entry.node.value, Value::Table(_)) { &entry.place } else { &entry.node.place };
                self.places.note(self.key(), place);
                T::from_node(&entry.node, self)
                    .map_or(Field::Wrong, |value| Field::Given(Found { value, place: place.clone() }))
            }
        };
        self.path.pop();
        field
    }

    /// Reads something below a key that is not fixed: an entry of a table of names, an item of a list.
    pub(super) fn below<R>(&mut self, key: &str, read: impl FnOnce(&mut Self) -> R) -> R {
        self.path.push(key.to_owned());
        let result = read(self);
        self.path.pop();
        result
    }

    /// Reads a table of known keys.
    pub(super) fn section<T: Section>(&mut self, node: &Node) -> Option<T> {
        let structured = node.structured();
        let node = structured.as_ref().unwrap_or(node);
        let Value::Table(table) = &node.value else {
            self.wrong_type(node, "a table");
            return None;
        };
        let keys = T::keys();
        for entry in &table.entries {
            if !keys.iter().any(|key| key.name == entry.key) {
                self.unknown_key(entry, &keys);
            }
        }
        Some(T::read_keys(table, self))
    }

    /// Refuses a key of a later version where it is written.
    pub(super) fn reserved(&mut self, table: &Table, key: &str, instead: &str) {
        let Some(entry) = table.get(key) else { return };
        let full = self.below(key, |reading| reading.key());
        self.report(
            Diagnostic::error(Code::Unsupported, &entry.place, format!("`{full}` is not supported by this version"))
                .reason("it is refused, not ignored, so that nothing is thought protected that is not")
                .help(instead),
        );
    }

    /// Notes that a value has the wrong type.
    pub(super) fn wrong_type(&mut self, node: &Node, wanted: &str) {
        let key = self.key();
        let diagnostic =
            Diagnostic::error(Code::WrongType, &node.place, format!("`{key}` takes {wanted}, not {}", node.kind()))
                .label(format!("this is {}", node.kind()));
        let diagnostic =
            diagnostic.help(Self::nameless(&key).unwrap_or_else(|| type_help(node, wanted, self.last_key())));
        self.report(diagnostic);
    }
}

fn type_help(node: &Node, wanted: &str, key: &str) -> String {
    match &node.value {
        Value::Integer(number) if wanted.starts_with("a duration") => {
            format!("write `{key} = \"{number}s\"` for seconds")
        }
        Value::Integer(number) if wanted.starts_with("a string") => format!("write `{key} = \"{number}\"`"),
        Value::String(text) if wanted == "true or false" && matches!(text.as_str(), "true" | "false") => {
            format!("write `{key} = {text}`, without quotes")
        }
        Value::String(text) if wanted.starts_with("an integer") && text.parse::<i64>().is_ok() => {
            format!("write `{key} = {text}`, without quotes")
        }
        _ if wanted.starts_with("a list of tables") => format!("write `[[{key}]]` above its keys"),
        _ if wanted.starts_with("a list") => format!("write `{key} = [\"…\"]`"),
        _ if wanted.starts_with("a table") => format!("write `{key} = {{ … }}`, or its keys below a line `[…{key}]`"),
        _ => format!("write {wanted}"),
    }
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
