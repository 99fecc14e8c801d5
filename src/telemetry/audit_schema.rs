//! The JSON Schema of a line of the audit log in its own form, made of what writes it.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::telemetry::audit::{AuditEvent, AuditFields};
use crate::telemetry::line::TIME;
use crate::telemetry::metrics::Outcome;

/// The schema, for whatever reads the log (JSON Schema 2020-12).
pub fn audit_schema() -> Value {
    let fields = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<AuditFields<'_>>();
    let mut properties = Map::new();
    let time =
        json!({ "type": "string", "format": "date-time", "description": "When it was, in UTC with milliseconds." });
    properties.insert(TIME.to_owned(), time);
    properties.insert("log".to_owned(), json!({ "const": "audit", "description": "Which log the line belongs to." }));
    let events: Vec<&str> = AuditEvent::ALL.iter().map(|event| event.as_str()).collect();
    properties.insert("event".to_owned(), json!({ "enum": events, "description": "What happened." }));
    let outcomes = [Outcome::Success, Outcome::Failure].map(Outcome::as_str);
    properties.insert("outcome".to_owned(), json!({ "enum": outcomes, "description": "How it ended." }));
    for (name, schema) in fields.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let mut schema = schema.clone();
        // A field without a value is left out, and never null.
        if let Some(only) = schema.get("type").and_then(Value::as_array).and_then(|types| types.first()).cloned() {
            schema.as_object_mut().and_then(|schema| schema.insert("type".to_owned(), only));
        }
        properties.insert(name.clone(), schema);
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "a line of vestibule's audit log",
        "type": "object",
        "required": [TIME, "log", "event", "outcome"],
        "properties": properties,
        "additionalProperties": false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::audit;

    #[test]
    fn the_schema_has_every_field_that_a_line_may_hold_and_no_other() {
        let schema = audit_schema();
        let mut known: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
        let mut written = audit::tests::fields();
        known.sort();
        written.sort();
        assert_eq!(known, written.iter().collect::<Vec<_>>());
    }

    #[test]
    fn the_schema_that_is_shipped_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/schema/audit.schema.json");
        let shipped = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(
            shipped,
            format!("{:#}\n", audit_schema()),
            "run `vestibule generate audit-schema > deploy/schema/audit.schema.json`"
        );
    }
}
