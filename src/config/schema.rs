//! The JSON Schema of the configuration, made of the structs of [`super::file`], and the keys that it lists.

use std::borrow::Cow;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::Value;

use super::file::File;
use super::reading::Field;

/// A key that a configuration may hold, as the schema describes it.
#[derive(Clone, Debug)]
pub struct Key {
    /// With its tables, and `NAME` for names of the operator's choice: `provider.NAME.client_id`.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// What it may hold.
    pub schema: Value,
    /// What holds where it is left out, unless that depends on something.
    pub default: Option<Value>,
    /// Whether keys stand below it.
    pub is_table: bool,
}

/// The schema, for editors and for whatever writes configurations (JSON Schema 2020-12).
pub fn schema() -> Value {
    let mut schema = of_structs();
    let (mut found, defaults) = (Vec::new(), defaults());
    collect(&schema, "", "", &mut found);
    for (name, pointer) in found {
        if let (Some(value), Some(Value::Object(key))) = (default_of(&defaults, &name), schema.pointer_mut(&pointer)) {
            key.insert("default".to_owned(), value);
        }
    }
    schema
}

/// The schema as the structs say it.
fn of_structs() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<File>();
    schema.insert("title".to_owned(), "vestibule.toml".into());
    schema.to_value()
}

/// The defaults that do not depend on anything.
fn defaults() -> toml::Table {
    include_str!("defaults.toml").parse().unwrap_or_default()
}

/// The default of a key.
fn default_of(defaults: &toml::Table, name: &str) -> Option<Value> {
    let (table, key) = name.rsplit_once('.')?;
    let table = table.split('.').try_fold(defaults, |table, part| table.get(part)?.as_table())?;
    let value = table.get(key).filter(|value| !value.is_table())?;
    serde_json::to_value(value).ok()
}

/// Every key, tables included.
pub fn keys() -> Vec<Key> {
    let (schema, mut found) = (schema(), Vec::new());
    collect(&schema, "", "", &mut found);
    let names: Vec<String> = found.iter().map(|(name, _)| name.clone()).collect();
    let key = |(name, pointer): (String, String)| {
        let key = schema.pointer(&pointer).cloned().unwrap_or_default();
        let below = format!("{name}.");
        Key {
            description: key.get("description").and_then(Value::as_str).unwrap_or_default().to_owned(),
            default: key.get("default").cloned(),
            is_table: names.iter().any(|other| other.starts_with(&below)),
            schema: key,
            name,
        }
    };
    found.into_iter().map(key).collect()
}

/// The name of every key, tables included.
pub fn every_key() -> Vec<String> {
    let (schema, mut found) = (of_structs(), Vec::new());
    collect(&schema, "", "", &mut found);
    found.into_iter().map(|(name, _)| name).collect()
}

/// The keys below the part of the schema at a JSON pointer, each with its own pointer. What may be written in several ways has the
/// keys of each.
fn collect(root: &Value, pointer: &str, at: &str, found: &mut Vec<(String, String)>) {
    let Some(schema) = root.pointer(pointer) else { return };
    let inner = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
    if let Some(definition) = schema.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix('#')) {
        collect(root, definition, at, found);
    }
    for form in 0..schema.get("anyOf").and_then(Value::as_array).map_or(0, Vec::len) {
        collect(root, &format!("{pointer}/anyOf/{form}"), at, found);
    }
    if schema.get("items").is_some() {
        collect(root, &format!("{pointer}/items"), at, found);
    }
    for name in schema.get("properties").and_then(Value::as_object).into_iter().flat_map(|object| object.keys()) {
        let below = format!("{pointer}/properties/{name}");
        found.push((inner(name), below.clone()));
        collect(root, &below, &inner(name), found);
    }
    if schema.get("additionalProperties").is_some_and(|value| value.get("$ref").is_some()) {
        collect(root, &format!("{pointer}/additionalProperties"), &inner("NAME"), found);
    }
}

impl<T: JsonSchema> JsonSchema for Field<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::tree::{self, NodeValue, Table};
    use super::every_key;

    /// `[route.NAME.paths]` takes the keys of a route, which stand there already.
    const SAME_AS_ROUTE: &str = "route.NAME.paths.NAME";

    #[test]
    fn every_key_stands_in_the_example_and_every_key_of_the_example_is_known() {
        let known: BTreeSet<String> = every_key().into_iter().collect();
        let (root, _) = tree::parse("config.example.toml", &uncommented()).unwrap();
        let NodeValue::Table(root) = &root.value else { panic!("no table") };
        let mut shown = BTreeSet::new();
        keys_shown(root, &known, "", &mut shown);
        let missing: Vec<_> = known.difference(&shown).filter(|key| !key.starts_with(SAME_AS_ROUTE)).collect();
        assert_eq!(missing, Vec::<&String>::new(), "not in config.example.toml");
        assert_eq!(shown.difference(&known).collect::<Vec<_>>(), Vec::<&String>::new(), "not a key");
        assert!(known.len() > 140, "{known:?}");
    }

    // The other way round is held by tests/config.rs: what the example shows as a default changes nothing where it is written.
    #[test]
    fn every_default_is_the_one_that_the_example_shows() {
        let example: toml::Table = uncommented().parse().unwrap();
        let mut compared = 0;
        for key in super::keys() {
            let Some(default) = key.default else { continue };
            let name = key.name.replacen("provider.NAME", "provider.corp", 1).replacen("route.NAME", "route.wiki", 1);
            let shown =
                name.split('.').try_fold(&toml::Value::Table(example.clone()), |value, part| value.get(part)).cloned();
            // Shown both ways, and the table stands.
            if name != "route.wiki.identity" {
                assert_eq!(shown.map(|it| serde_json::to_value(it).unwrap()), Some(default), "{name}");
            }
            compared += 1;
        }
        assert!(compared > 50, "{compared}");
    }

    /// The example with every commented-out key switched on.
    fn uncommented() -> String {
        let text = std::fs::read_to_string("config.example.toml").unwrap();
        // A key that can be written as a text or as a table is shown both ways.
        let both_ways = ["#identity = \"default\"", "#user = \"sub\"", "#authorization = \"keep\""];
        let lines = text.lines().filter(|line| !both_ways.contains(line)).map(|line| {
            let is_key = |rest: &&str| rest.starts_with(|c: char| c == '[' || c == '"' || c.is_ascii_lowercase());
            line.strip_prefix('#').filter(is_key).unwrap_or(line)
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// The keys that stand in a table and below, as far down as there are keys that we know.
    fn keys_shown(table: &Table, known: &BTreeSet<String>, at: &str, shown: &mut BTreeSet<String>) {
        for entry in &table.entries {
            let named = known.iter().any(|key| key.starts_with(&format!("{at}NAME.")));
            let key = if named { format!("{at}NAME") } else { format!("{at}{}", entry.key) };
            if !named {
                shown.insert(key.clone());
            }
            let below = format!("{key}.");
            let tables = match &entry.node.value {
                NodeValue::Array(items) => items.iter().map(|item| &item.value).collect(),
                value => vec![value],
            };
            for value in tables {
                if let NodeValue::Table(table) = value
                    && known.iter().any(|key| key.starts_with(&below))
                {
                    keys_shown(table, known, &below, shown);
                }
            }
        }
    }
}
