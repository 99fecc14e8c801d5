//! How serde reads the tree of values.
//!
//! 1. For a struct, serde passes the names of its fields. Other keys are reported with what was probably meant ([`super::unknown`]),
//!    and the struct is read without them.
//! 2. For an enum, it passes the names of its variants. Another word is reported with the nearest of them.
//! 3. The text of a variable or a flag has no type of its own: it is read as what the field asks for.
//! 4. Before a value is read, its key, its place and the value itself are put on the stack of the thread's
//!    [`Reading`](super::reading::Reading), where [`Field`](super::reading::Field) and the types of `units` find them.
//!
//! Whatever is refused is reported where it is refused; the error that serde sees says no more than that.

use serde::de::value::{MapAccessDeserializer, StringDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, Expected, IntoDeserializer as _, MapAccess, SeqAccess,
    Visitor,
};
use serde::forward_to_deserialize_any;

use super::diagnostics::Place;
use super::kinds;
use super::reading::{self, Reading, Refused, already_refused, listed, refused, refused_with, with};
use super::tree::{Entry, Node, Table, Value};
use crate::nearest::nearest;

/// A value that stands alone is a list of one: the name of a newtype that asks for this.
pub(super) const ONE_OR_MANY: &str = "$one or many";
/// The same; between the commas of a variable, nothing is an item, too.
pub(super) const ONE_OR_MANY_WITH_EMPTY: &str = "$one or many with empty";
/// The name of an enum that is a text or a table.
pub(super) const TEXT_OR_TABLE: &str = "$text or table";

/// Reads a tree as a `T`; gives it with what was reported.
pub(super) fn read<T: DeserializeOwned + Default>(root: Node, reading: Reading) -> (T, Reading) {
    reading::during(reading, || T::deserialize(Input(root)).unwrap_or_default())
}

/// What is being read, and then is no more.
pub(super) struct Input(pub(super) Node);

impl Input {
    /// Refuses a value of another type.
    fn wrong<T>(&self, wanted: &str) -> Result<T, Refused> {
        with(|reading| reading.wrong_type(&self.0, wanted));
        Err(already_refused())
    }

    /// As a table; the text of a variable may be one.
    fn table(self, wanted: &str) -> Result<Table, Refused> {
        match self.0.structured().unwrap_or_else(|| self.0.clone()).value {
            Value::Table(table) => Ok(table),
            _ => self.wrong(wanted),
        }
    }

    /// As a text that is not empty.
    fn filled_text(self) -> Result<String, Refused> {
        let Some(text) = self.0.text() else { return self.wrong("a string") };
        if text.trim().is_empty() {
            return Err(refused(kinds::EMPTY_TEXT, |key| format!("`{key}` is empty")));
        }
        Ok(text.to_owned())
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
            let message = |key: &str| format!("`{key}` = \"{text}\" is not supported by this version");
            return Err(refused_with(kinds::WORD_OF_LATER_VERSION, message, |it| it.help(*instead)));
        }
        let help = match nearest(&text, words.iter().copied()) {
            Some(meant) => format!("did you mean \"{meant}\"? The words are {}", listed(words.iter().copied())),
            None => format!("the words are {}", listed(words.iter().copied())),
        };
        let message = |key: &str| format!("`{key}` cannot be \"{}\"", text.escape_default());
        Err(refused_with(kinds::UNKNOWN_WORD, message, |it| it.help(help)))
    }
}

impl<'de> Deserializer<'de> for Input {
    type Error = Refused;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        match self.0.value {
            Value::String(text) | Value::Untyped(text) => visitor.visit_string(text),
            Value::Integer(number) => visitor.visit_i64(number),
            Value::Boolean(yes) => visitor.visit_bool(yes),
            _ => self.wrong(&(&visitor as &dyn Expected).to_string()),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        match &self.0.value {
            Value::Boolean(yes) => visitor.visit_bool(*yes),
            Value::Untyped(text) if text == "true" => visitor.visit_bool(true),
            Value::Untyped(text) if text == "false" => visitor.visit_bool(false),
            _ => self.wrong("true or false"),
        }
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let number = match &self.0.value {
            Value::Integer(number) => Some(*number),
            Value::Untyped(text) => text.trim().parse().ok(),
            _ => None,
        };
        let Some(number) = number else { return self.wrong("an integer") };
        let Ok(number) = u32::try_from(number) else {
            return Err(refused(kinds::NUMBER_OUT_OF_RANGE, |key| format!("`{key}` cannot be {number}")));
        };
        visitor.visit_u32(number)
    }

    /// A text as it is, which may be empty.
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        match self.0.text() {
            Some(text) => visitor.visit_str(text),
            None => self.wrong(&(&visitor as &dyn Expected).to_string()),
        }
    }

    /// A text that says something.
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_string(self.filled_text()?)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Refused> {
        let items = match name {
            ONE_OR_MANY => self.0.items(false),
            ONE_OR_MANY_WITH_EMPTY => self.0.items(true),
            _ => return visitor.visit_newtype_struct(self),
        };
        let items = items.unwrap_or_else(|| vec![self.0.clone()]);
        visitor.visit_newtype_struct(Self(Node { place: self.0.place, value: Value::Array(items) }))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        match self.0.items(false) {
            Some(items) => visitor.visit_seq(Items { left: items.into_iter().enumerate() }),
            None => self.wrong(&(&visitor as &dyn Expected).to_string()),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let table = self.table(&(&visitor as &dyn Expected).to_string())?;
        visitor.visit_map(Entries { left: table.entries.into_iter(), value: None })
    }

    /// A table of known keys. Others are reported; those that they were meant for count as there.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        keys: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        let (mut known, unknown): (Vec<Entry>, Vec<Entry>) =
            self.table("a table")?.entries.into_iter().partition(|entry| keys.contains(&entry.key.as_str()));
        with(|reading| {
            unknown.iter().for_each(|entry| reading.unknown_key(entry, keys));
            for key in keys.iter().filter(|key| known.iter().all(|entry| entry.key != **key)).collect::<Vec<_>>() {
                if reading.meant.contains(&reading.key_of(key)) {
                    let node = Node { place: Place::Nowhere, value: Value::Meant };
                    known.push(Entry { key: (*key).to_owned(), place: Place::Nowhere, node });
                }
            }
        });
        visitor.visit_map(Entries { left: known.into_iter(), value: None })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        if name != TEXT_OR_TABLE {
            return visitor.visit_enum(self.word(variants)?.into_deserializer());
        }
        let is_table = match &self.0.value {
            Value::Table(_) => true,
            Value::Untyped(_) => self.0.structured().is_some(),
            Value::String(_) => false,
            _ => return self.wrong("a string or a table"),
        };
        let variant = variants.get(usize::from(is_table)).ok_or_else(already_refused::<Refused>)?;
        visitor.visit_enum(MapAccessDeserializer::new(Variant(Some((variant, self)))))
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u64 u128 f32 f64 char bytes byte_buf option unit unit_struct tuple tuple_struct identifier
        ignored_any
    }
}

/// What is left of a table.
struct Entries {
    left: std::vec::IntoIter<Entry>,
    value: Option<Entry>,
}

impl<'de> MapAccess<'de> for Entries {
    type Error = Refused;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Refused> {
        let Some(entry) = self.left.next() else { return Ok(None) };
        let name: StringDeserializer<Refused> = entry.key.clone().into_deserializer();
        let key = reading::below(Some(&entry.key), &entry.place, &entry.node, || seed.deserialize(name))?;
        self.value = Some(entry);
        Ok(Some(key))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Refused> {
        let Entry { key, place, node } = self.value.take().ok_or_else(|| Refused::custom("a key without a value"))?;
        // A table's key says more than the span of what stands in it.
        let place = if matches!(node.value, Value::Table(_)) { place } else { node.place.clone() };
        reading::below(Some(&key), &place, &node, || seed.deserialize(Input(node.clone())))
    }
}

/// What is left of a list.
struct Items {
    left: std::iter::Enumerate<std::vec::IntoIter<Node>>,
}

impl<'de> SeqAccess<'de> for Items {
    type Error = Refused;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Refused> {
        let Some((index, node)) = self.left.next() else { return Ok(None) };
        with(|reading| reading.places.note(format!("{}[{index}]", reading.key()), &node.place));
        reading::below(None, &node.place, &node, || seed.deserialize(Input(node.clone()))).map(Some)
    }
}

/// A chosen variant and what it holds, as serde reads an enum from a map of one entry.
struct Variant(Option<(&'static str, Input)>);

impl<'de> MapAccess<'de> for Variant {
    type Error = Refused;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Refused> {
        self.0.as_ref().map(|(name, _)| seed.deserialize((*name).into_deserializer())).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Refused> {
        let (_, input) = self.0.take().ok_or_else(already_refused::<Refused>)?;
        seed.deserialize(input)
    }
}

/// Words of later versions, by the first and the last part of their key: known, so that what to write instead can be said, and never offered.
const LATER: [(&str, &str, &str, &str); 4] = [
    ("provider.", ".client_auth", "tls", "use client_auth = \"private_key_jwt\" or a client secret"),
    ("session", ".store", "memory", COOKIES),
    ("session", ".store", "file", COOKIES),
    ("session", ".store", "redis", COOKIES),
];
const COOKIES: &str = "sessions live in sealed cookies: write store = \"cookie\", or leave the key out";
