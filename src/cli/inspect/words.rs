//! Lines of an inspection: names, values in words, and what is left out.

use serde_json::{Value, json};

use crate::cli::say;
use crate::provider::printable;

/// What was found, in the order in which it is shown; the parts have headings.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Part>);

#[derive(Debug)]
struct Part {
    name: &'static str,
    lines: Vec<(String, Shown)>,
}

/// A value for people and for programs.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    text: String,
    value: Value,
}

impl Shown {
    /// A value whose words differ from what programs read.
    pub(super) fn with(value: Value, text: impl Into<String>) -> Self {
        Self { text: text.into(), value }
    }

    /// A value that somebody else chose, made safe for a terminal.
    pub(super) fn foreign(value: &Value) -> Self {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Self { text: printable(&text, VALUE_CAP), value: value.clone() }
    }

    /// What kind of value it is and how long: enough to see that it came, and nothing of whom it is about.
    pub(super) fn redacted(value: &Value) -> Self {
        let kind = match value {
            Value::Null => "null".to_owned(),
            Value::Bool(_) => "true or false".to_owned(),
            Value::Number(_) => "a number".to_owned(),
            Value::String(text) => format!("{} characters", text.chars().count()),
            Value::Array(items) => format!("a list of {}", items.len()),
            Value::Object(members) => format!("an object with {} members", members.len()),
        };
        let text = format!("<redacted: {kind}>");
        Self { value: text.clone().into(), text }
    }
}

impl<T: Into<String>> From<T> for Shown {
    fn from(text: T) -> Self {
        let text = text.into();
        Self { value: text.clone().into(), text }
    }
}

impl Findings {
    /// Begins a part.
    pub(super) fn part(&mut self, name: &'static str) {
        self.0.push(Part { name, lines: Vec::new() });
    }

    /// Adds a line to the last part.
    pub(super) fn line(&mut self, name: &str, shown: impl Into<Shown>) {
        if let Some(part) = self.0.last_mut() {
            part.lines.push((name.to_owned(), shown.into()));
        }
    }

    /// For people.
    pub(super) fn say(&self) {
        let mut text = String::new();
        for part in &self.0 {
            text.push_str(&format!("{}\n", part.name));
            let names = part.lines.iter().map(|(name, _)| printable(name, NAME_CAP)).collect::<Vec<_>>();
            let width = names.iter().map(String::len).max().unwrap_or_default().min(WIDTH_MAX);
            for (name, (_, shown)) in names.iter().zip(&part.lines) {
                text.push_str(&format!("  {name:<width$}  {}\n", shown.text));
            }
        }
        say(&text);
    }

    /// For programs.
    pub(super) fn say_json(&self) {
        let members = |part: &Part| {
            // Names of others stay as they are.
            let named =
                |name: &str| if FOREIGN.contains(&part.name) { name.to_owned() } else { name.replace(' ', "_") };
            let lines = part.lines.iter().map(|(name, shown)| (named(name), shown.value.clone()));
            (part.name.replace(' ', "_"), Value::Object(lines.collect()))
        };
        let all: serde_json::Map<String, Value> = self.0.iter().map(members).collect();
        say(&format!("{:#}\n", json!(all)));
    }
}

/// Parts whose names somebody else chose.
const FOREIGN: [&str; 2] = ["header", "claims"];
const VALUE_CAP: usize = 500;
const NAME_CAP: usize = 100;
const WIDTH_MAX: usize = 32;
