//! Lists of names: written as one name or several, or kept in a file, `{ file = "people.txt" }`, one name a line.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use super::followed::NamedFile;
use super::input::Input;
use super::kinds;
use super::problems::Flaw;
use super::reading::{Refused, already_refused, below, refused, with, wrong_type};
use super::tree::{NodeValue, Table};
use super::units::OneOrMany;

/// Names, or the file that holds them.
#[derive(Clone, Debug)]
pub(super) enum NamesOrFile {
    /// One name or several.
    Names(OneOrMany<String>),
    /// A file that is followed.
    File(NamedFile),
}

/// What stands in a file alone.
#[derive(Clone, Debug)]
pub(super) struct InFile(pub(super) NamedFile);

impl JsonSchema for InFile {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "InFile".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        in_a_file()
    }
}

impl<'de> Deserialize<'de> for InFile {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        let node = with(|reading| reading.node());
        let structured = node.structured();
        let file = match &structured.as_ref().unwrap_or(&node).value {
            NodeValue::Table(table) => named_file(table),
            _ => Err(wrong_type(&node, "a table such as { file = \"…\" }")),
        };
        file.map(Self).map_err(|_| already_refused())
    }
}

/// Without `properties`: where the names are is part of the value, and no key of its own.
impl JsonSchema for NamesOrFile {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "NamesOrFile".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "string" },
            { "type": "array", "items": { "type": "string" } },
            in_a_file()
        ] })
    }
}

/// `{ file = "…" }` in a schema.
fn in_a_file() -> Schema {
    json_schema!({
        "type": "object",
        "minProperties": 1,
        "propertyNames": { "const": "file" },
        "additionalProperties": { "type": "string" }
    })
}

impl<'de> Deserialize<'de> for NamesOrFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let node = with(|reading| reading.node());
        let structured = node.structured();
        match &structured.as_ref().unwrap_or(&node).value {
            NodeValue::Table(table) => named_file(table).map(Self::File).map_err(|_| already_refused()),
            _ => OneOrMany::deserialize(deserializer).map(Self::Names),
        }
    }
}

/// The file that a table names, which has one key: `file`.
pub(super) fn named_file(table: &Table) -> Result<NamedFile, Refused> {
    match table.entries.as_slice() {
        [only] if only.key == "file" => {
            let place = &only.node.place;
            let name = below(Some("file"), place, &only.node, || Input(only.node.clone()).filled_text())?;
            Ok(with(|reading| NamedFile { path: reading.resolve(&name), known: reading.sources.followed.clone() }))
        }
        _ => Err(refused(Flaw::new(kinds::NO_FILE_TABLE, "is a table that does not hold `file` alone"))),
    }
}

/// The entries of a list in a file, each made by `entry`: one a line, without blanks around it. Empty lines and lines that begin with `#`
/// are left out.
///
/// # Errors
/// What is wrong with the first line of those that are no entries, in words that begin with its number.
pub(super) fn entries(bytes: &[u8], entry: impl Fn(&str) -> Result<String, Flaw>) -> Result<Vec<String>, String> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let (mut entries, mut flaws) = (Vec::new(), Vec::new());
    for (line, number) in bytes.split(|byte| *byte == b'\n').zip(1..) {
        let line = match std::str::from_utf8(line).map(str::trim) {
            Ok(line) if line.is_empty() || line.starts_with('#') => continue,
            Ok(line) => line,
            Err(_) => {
                flaws.push((number, "is not UTF-8".to_owned()));
                continue;
            }
        };
        let made = match line.contains(char::is_control) {
            true => Err("holds a control character".to_owned()),
            false => entry(line).map_err(|flaw| flaw.in_words()),
        };
        match made {
            Ok(made) => entries.push(made),
            Err(why) => flaws.push((number, why)),
        }
    }
    match flaws.as_slice() {
        [] => Ok(entries),
        [(number, why)] => Err(format!("line {number} {why}")),
        [(number, why), _] => Err(format!("line {number} {why}; another line is wrong, too")),
        [(number, why), more @ ..] => Err(format!("line {number} {why}; {} more lines are wrong, too", more.len())),
    }
}

/// What Windows editors put before UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<String>, String> {
        entries(bytes, |line| match line {
            "bad" => Err(Flaw::new(kinds::NO_DOMAIN, "holds \"bad\"").help("write another")),
            _ => Ok(line.to_owned()),
        })
    }

    #[test]
    fn a_line_is_an_entry_however_editors_and_spreadsheets_write_lines() {
        for text in [
            &b"ann\nben"[..],
            b"ann\r\nben\r\n",
            b"\xef\xbb\xbfann\nben\n",
            b"# people\n\n  \t\nann\n\tben  \n   # nobody\n\n",
            b"\n\nann\n#x\nben",
        ] {
            assert_eq!(read(text), Ok(vec!["ann".to_owned(), "ben".to_owned()]), "{}", text.escape_ascii());
        }
        assert_eq!(read(b"ann#1\nben # b"), Ok(vec!["ann#1".to_owned(), "ben # b".to_owned()]), "whole lines only");
        for nothing in [&b""[..], b"\n\r\n", b"# all\n", b"\xef\xbb\xbf"] {
            assert_eq!(read(nothing), Ok(Vec::new()));
        }
    }

    #[test]
    fn a_line_that_is_no_entry_is_named() {
        for (text, why) in [
            (&b"ann\nbad"[..], "line 2 holds \"bad\" (write another)"),
            (b"\xef\xbb\xbf\n# x\nbad\nann\nbad", "line 3 holds \"bad\" (write another); another line is wrong, too"),
            (b"\xff\xfea\0n\0", "line 1 is not UTF-8"),
            (b"ann\rben", "line 1 holds a control character"),
            (b"a\0", "line 1 holds a control character"),
        ] {
            assert_eq!(read(text), Err(why.to_owned()), "{}", text.escape_ascii());
        }
    }
}
