//! How serde reads the tree of values.
//!
//! 1. For a struct, serde passes the names of its fields. Other keys are reported with what was probably meant ([`super::unknown`]),
//!    and the struct is read without them.
//! 2. For an enum, it passes the names of its variants. Another word is reported with the nearest of them.
//! 3. The text of a variable or a flag has no type of its own: it is read as what the field asks for.
//! 4. Before a value is read, its key, its place and the value itself are put on the stack of the thread's
//!    [`Reading`](super::reading::Reading), where [`Field`](super::reading::Field) and the types of `units` find them: these read the
//!    value there, and only structs, words, booleans, numbers and texts are left to serde.
//!
//! Whatever is refused is reported where it is refused; the error that serde sees says no more than that.

use serde::de::value::StringDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Expected, IntoDeserializer as _, MapAccess, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};

use super::diagnostics::Place;
use super::kinds;
use super::problems::Flaw;
use super::reading::{self, Field, Found, Reading, Refused, already_refused, listed, refused, with, wrong_type};
use super::tree::{Node, NodeValue, Table, TableEntry};
use crate::nearest::nearest;

/// Reads a tree as a `T`; gives it with what was reported.
pub(super) fn read<T: DeserializeOwned + Default>(root: Node, reading: Reading) -> (T, Reading) {
    reading::during(reading, || T::deserialize(Input(root)).unwrap_or_default())
}

/// What is being read, and then is no more.
pub(super) struct Input(pub(super) Node);

impl Input {
    /// As a table; the text of a variable may be one.
    pub(super) fn table(self, wanted: &str) -> Result<Table, Refused> {
        match self.0.structured().unwrap_or_else(|| self.0.clone()).value {
            NodeValue::Table(table) => Ok(table),
            _ => Err(wrong_type(&self.0, wanted)),
        }
    }

    /// As a text that is not empty.
    pub(super) fn filled_text(self) -> Result<String, Refused> {
        match self.0.text() {
            Some(text) if text.trim().is_empty() => Err(refused(Flaw::new(kinds::EMPTY_TEXT, "is empty"))),
            Some(text) => Ok(text.to_owned()),
            None => Err(wrong_type(&self.0, "a string")),
        }
    }

    /// One of some words, with what to say about one that is not among them.
    fn word(self, words: &'static [&'static str]) -> Result<String, Refused> {
        let text = self.filled_text()?;
        if words.contains(&text.as_str()) {
            return Ok(text);
        }
        let key = with(|reading| reading.key());
        let is_later = |(section, last, word, _): &&(&str, &str, &str, &str)| {
            *word == text && key.starts_with(section) && key.ends_with(last)
        };
        if let Some((.., instead)) = LATER.iter().find(is_later) {
            let what = format!("= \"{text}\" is not supported by this version");
            return Err(refused(Flaw::new(kinds::WORD_OF_LATER_VERSION, what).help(*instead)));
        }
        let words = || words.iter().copied();
        let help = match nearest(&text, words()) {
            Some(meant) => format!("did you mean \"{meant}\"? The words are {}", listed(words())),
            None => format!("the words are {}", listed(words())),
        };
        Err(refused(Flaw::of(kinds::UNKNOWN_WORD, "cannot be", &text).help(help)))
    }
}

impl<'de> Deserializer<'de> for Input {
    type Error = Refused;

    /// What none of the below asks for cannot stand in a file.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        Err(wrong_type(&self.0, &(&visitor as &dyn Expected).to_string()))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        match &self.0.value {
            NodeValue::Boolean(yes) => visitor.visit_bool(*yes),
            NodeValue::Untyped(text) if text == "true" => visitor.visit_bool(true),
            NodeValue::Untyped(text) if text == "false" => visitor.visit_bool(false),
            _ => Err(wrong_type(&self.0, "true or false")),
        }
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let number = match &self.0.value {
            NodeValue::Integer(number) => Some(*number),
            NodeValue::Untyped(text) => text.trim().parse().ok(),
            _ => None,
        };
        let number = number.ok_or_else(|| wrong_type(&self.0, "an integer"))?;
        let flaw = |_| refused(Flaw::new(kinds::NUMBER_OUT_OF_RANGE, format!("cannot be {number}")));
        visitor.visit_u32(u32::try_from(number).map_err(flaw)?)
    }

    /// A text that says something.
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_string(self.filled_text()?)
    }

    /// A table of known keys. Others are reported; those that they were meant for count as there.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        keys: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        let (mut known, unknown): (Vec<TableEntry>, Vec<TableEntry>) =
            self.table("a table")?.entries.into_iter().partition(|entry| keys.contains(&entry.key.as_str()));
        with(|reading| {
            unknown.iter().for_each(|entry| reading.unknown_key(entry, keys));
            for key in keys.iter().filter(|key| known.iter().all(|entry| entry.key != **key)).collect::<Vec<_>>() {
                if reading.meant.contains(&reading.key_of(key)) {
                    let node = Node { place: Place::Nowhere, value: NodeValue::Meant };
                    known.push(TableEntry { key: (*key).to_owned(), place: Place::Nowhere, node });
                }
            }
        });
        visitor.visit_map(Entries { left: known.into_iter(), value: None })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        visitor.visit_enum(self.word(variants)?.into_deserializer())
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u64 u128 f32 f64 char str bytes byte_buf option unit unit_struct newtype_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

/// What is left of a table, and the entry whose key was read.
struct Entries {
    /// What is not read yet.
    left: std::vec::IntoIter<TableEntry>,
    /// The entry whose value is read next.
    value: Option<TableEntry>,
}

impl<'de> MapAccess<'de> for Entries {
    type Error = Refused;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Refused> {
        self.value = self.left.next();
        let name = |entry: &TableEntry| -> StringDeserializer<Refused> { entry.key.clone().into_deserializer() };
        self.value.as_ref().map(|entry| seed.deserialize(name(entry))).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Refused> {
        read_entry(self.value.take().ok_or_else(already_refused::<Refused>)?, |input| seed.deserialize(input))
    }
}

/// Reads the value of an entry of the table that is being read.
pub(super) fn read_entry<R>(entry: TableEntry, read: impl FnOnce(Input) -> R) -> R {
    let TableEntry { key, place, node } = entry;
    // A table's key says more than the span of what stands in it.
    let place = if matches!(node.value, NodeValue::Table(_)) { place } else { node.place.clone() };
    reading::below(Some(&key), &place, &node, || read(Input(node.clone())))
}

/// Reads all items of a list, so that every wrong one is reported.
pub(super) fn read_items<'de, T: Deserialize<'de>>(items: Vec<Node>) -> Result<Vec<Found<T>>, Refused> {
    let (mut found, count) = (Vec::new(), items.len());
    for (index, node) in items.into_iter().enumerate() {
        with(|reading| reading.places.note(format!("{}[{index}]", reading.key()), &node.place));
        let item = reading::below(None, &node.place, &node, || Field::deserialize(Input(node.clone())))?;
        found.extend(item.into_found());
    }
    if found.len() == count { Ok(found) } else { Err(already_refused()) }
}

/// Words of later versions, by the first and the last part of their key: known, so that what to write instead can be said, and never offered.
const LATER: [(&str, &str, &str, &str); 4] = [
    ("provider.", ".client_auth", "tls", "use client_auth = \"private_key_jwt\" or a client secret"),
    ("session", ".store", "memory", COOKIES),
    ("session", ".store", "file", COOKIES),
    ("session", ".store", "redis", COOKIES),
];
/// What to write instead of a store of a later version.
const COOKIES: &str = "sessions live in sealed cookies: write store = \"cookie\", or leave the key out";
