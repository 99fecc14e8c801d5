//! The JSON Schema of the configuration, made of the structs of [`super::file`], and the keys that it lists.

use std::borrow::Cow;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::Value;

use super::file::File;
use super::reading::Field;

/// The schema, for editors and for whatever writes configurations (JSON Schema 2020-12).
pub fn schema() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<File>();
    schema.insert("title".to_owned(), "vestibule.toml".into());
    schema.to_value()
}

/// Every key that a configuration may hold, tables included, with `NAME` for names of the operator's choice: `provider.NAME.client_id`.
pub fn every_key() -> Vec<String> {
    let (schema, mut found) = (schema(), Vec::new());
    collect(&schema, &schema, "", &mut found);
    found
}

/// The keys below a schema. What may be written in several ways has the keys of each.
fn collect(root: &Value, schema: &Value, at: &str, found: &mut Vec<String>) {
    let inner = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
    if let Some(name) = schema.get("$ref").and_then(Value::as_str)
        && let Some(definition) = name.strip_prefix('#').and_then(|pointer| root.pointer(pointer))
    {
        collect(root, definition, at, found);
    }
    for form in schema.get("anyOf").and_then(Value::as_array).into_iter().flatten() {
        collect(root, form, at, found);
    }
    if let Some(item) = schema.get("items") {
        collect(root, item, at, found);
    }
    for (name, value) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        found.push(inner(name));
        collect(root, value, &inner(name), found);
    }
    if let Some(value) = schema.get("additionalProperties").filter(|value| value.get("$ref").is_some()) {
        collect(root, value, &inner("NAME"), found);
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

    /// The example with every commented-out key switched on.
    fn uncommented() -> String {
        let text = std::fs::read_to_string("config.example.toml").unwrap();
        // A key that can be written as a text or as a table is shown both ways.
        let lines = text.lines().filter(|line| *line != "#identity = \"default\"").map(|line| {
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
