//! What a configuration says, key by key, and where each value came from: for `vestibule show`, and for what is generated from it.
//!
//! The values are those of the tree, before anything is made of them; text of variables and flags has the type that the schema asks
//! for. Secrets are never among them: of each, its length and the beginning of its hash stand there.

use serde_json::Value as Json;
use toml_edit::{Array, InlineTable, Value};

use super::diagnostics::Place;
use super::environment::{laid_over, underlay_telemetry};
use super::file::File;
use super::input;
use super::problems::Problems;
use super::reading::{Reading, quoted};
use super::redacted::{SecretSource, ShownSecret, redacted, without_userinfo};
use super::schema::{Key, keys};
use super::tree::{NAMES_A_PROXY, Node, NodeValue, TableEntry};
use super::{Config, Report, Sources};

/// One value of a configuration.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The parts of its key.
    pub path: Vec<String>,
    /// The value; of a secret, what may be shown of it.
    pub value: Value,
    /// Where it was written; nowhere for a default.
    pub origin: Option<Place>,
    /// Of a secret, or of each secret of a list: where it is.
    pub secrets: Vec<SecretSource>,
}

/// Every value that is set, then every default that holds beside them. What `config` is needed for depends on several keys.
///
/// # Errors
/// The file is not TOML.
pub fn settings(sources: &Sources, config: Option<&Config>) -> Result<Vec<Setting>, Report> {
    let (mut root, _) = laid_over(sources, &mut Problems::default()).map_err(Report::new)?;
    underlay_telemetry(&mut root, &sources.env);
    let (_, reading) = input::read::<File>(root.clone(), Reading::new(sources, Place::Nowhere));
    let mut walk = Walk { keys: keys(), secrets: reading.secrets, found: Vec::new() };
    walk.table(&root, &mut Vec::new());
    let mut found = walk.found;
    let defaults = Defaults { keys: &walk.keys, set: &found, root: &root }.all(config);
    found.extend(defaults);
    Ok(found)
}

impl Setting {
    /// Whether the file says it, and not the environment or the command line.
    pub fn is_of_file(&self) -> bool {
        matches!(self.origin, Some(Place::File { .. } | Place::Whole(_)))
    }
}

/// A walk through the tree, down to each value.
struct Walk {
    /// All keys.
    keys: Vec<Key>,
    /// Those that were read, in the order of the file.
    secrets: Vec<ShownSecret>,
    /// The values so far.
    found: Vec<Setting>,
}

impl Walk {
    /// The values of a table and below.
    fn table(&mut self, node: &Node, path: &mut Vec<String>) {
        let structured = node.structured();
        let NodeValue::Table(table) = &structured.as_ref().unwrap_or(node).value else { return };
        for entry in &table.entries {
            path.push(entry.key.clone());
            self.value(&entry.node, path);
            path.pop();
        }
    }

    /// A value, or what stands in it.
    fn value(&mut self, node: &Node, path: &mut Vec<String>) {
        let name = generic(path);
        let Some(key) = self.keys.iter().find(|key| key.name == name) else { return self.table(node, path) };
        let shown: Vec<_> = self.secrets.iter().filter(|secret| secret.key == dotted(path)).collect();
        let is_list = matches!(node.value, NodeValue::Array(_)) || shown.len() > 1;
        let is_table = matches!(node.structured().as_ref().unwrap_or(node).value, NodeValue::Table(_));
        let value = match shown.as_slice() {
            [] if key.is_table && is_table => return self.table(node, path),
            // One that cannot be used may be nearly right.
            [] if key.schema.to_string().contains("patternProperties") => hidden(typed(node, &Json::Null)),
            [] => without_credentials(typed(node, &key.schema), path),
            [only] if !is_list => only.text.as_str().into(),
            several => Value::Array(several.iter().map(|secret| secret.text.as_str()).collect()),
        };
        let secrets = if key.schema.to_string().contains("patternProperties") { sources(node) } else { Vec::new() };
        self.found.push(Setting { path: path.clone(), value, origin: Some(node.place.clone()), secrets });
    }
}

/// What is before the `@` of a proxy that was written without a scheme, and so is no URL, may be a user name and a password.
fn without_credentials(value: Value, path: &[String]) -> Value {
    let names_proxy = path.last().is_some_and(|key| NAMES_A_PROXY.contains(&key.as_str()));
    match value.as_str().filter(|text| names_proxy && !text.contains("://")).and_then(|text| text.rsplit_once('@')) {
        Some((_, host)) => format!("<redacted>@{host}").into(),
        None => value,
    }
}

/// Where a secret, or each of a list, is said to be.
fn sources(node: &Node) -> Vec<SecretSource> {
    let structured = node.structured();
    let node = structured.as_ref().unwrap_or(node);
    match (&node.value, &node.place) {
        (NodeValue::Array(items), _) => items.iter().flat_map(sources).collect(),
        (NodeValue::Table(table), _) => {
            let source = |entry: &TableEntry| {
                let name = entry.node.text()?.to_owned();
                Some(match entry.key.as_str() {
                    "file" => SecretSource::File(name.into()),
                    "env" => SecretSource::Variable(name),
                    _ => SecretSource::Credential(name.into()),
                })
            };
            table.entries.iter().filter_map(source).collect()
        }
        (_, Place::Variable(name)) => vec![SecretSource::Variable(name.clone())],
        _ => vec![SecretSource::Literal],
    }
}

/// A secret that was not read: where it should be may be shown.
fn hidden(value: Value) -> Value {
    match value {
        Value::String(text) => redacted(text.value()).into(),
        Value::Array(items) => Value::Array(items.into_iter().map(hidden).collect::<Array>()),
        other => other,
    }
}

/// The defaults that hold beside what is set.
struct Defaults<'a> {
    /// All keys.
    keys: &'a [Key],
    /// What is set.
    set: &'a [Setting],
    /// The tables that there are.
    root: &'a Node,
}

impl Defaults<'_> {
    /// All of them.
    fn all(&self, config: Option<&Config>) -> Vec<Setting> {
        let fixed = self.keys.iter().filter_map(|key| Some((key, of_schema(key.default.as_ref()?)?)));
        let mut found: Vec<Setting> = fixed
            .flat_map(|(key, value)| self.paths(&key.name).into_iter().map(move |path| default(path, value.clone())))
            .collect();
        found.extend(config.map(derived).unwrap_or_default());
        found.retain(|setting| !self.is_set(&setting.path) && self.is_of_use(&setting.path));
        found
    }

    /// Where a key with `NAME` in it may stand.
    fn paths(&self, name: &str) -> Vec<Vec<String>> {
        let parts: Vec<&str> = name.split('.').collect();
        let (Some(section), Some(&"NAME")) = (parts.first(), parts.get(1)) else {
            return vec![parts.into_iter().map(str::to_owned).collect()];
        };
        let names = match find(self.root, &[(*section).to_owned()]).map(|node| &node.value) {
            Some(NodeValue::Table(table)) => table.entries.iter().map(|entry| entry.key.clone()).collect(),
            _ => Vec::new(),
        };
        let path = |own: String| {
            parts.iter().enumerate().map(|(at, part)| if at == 1 { own.clone() } else { (*part).to_owned() }).collect()
        };
        names.into_iter().map(path).collect()
    }

    /// Whether a key, or one of its tables as something else, is set.
    fn is_set(&self, path: &[String]) -> bool {
        self.set.iter().any(|setting| path.starts_with(&setting.path) || setting.path.starts_with(path))
    }

    /// Whether it means anything: some keys do not go with others, even where they say what holds anyway.
    fn is_of_use(&self, path: &[String]) -> bool {
        let text = |key: &[&str]| {
            let path: Vec<String> =
                path.iter().take(2).cloned().chain(key.iter().map(|key| (*key).to_owned())).collect();
            find(self.root, &path).and_then(Node::text).map(str::to_owned)
        };
        let parts: Vec<&str> = path.iter().map(String::as_str).collect();
        match parts.as_slice() {
            // Nothing to connect to.
            ["route", _, "host_header" | "timeouts", ..] => {
                text(&["upstream"]).is_none_or(|it| !it.starts_with("static:"))
            }
            ["route", _, "tls", ..] => find(self.root, path.get(..3).unwrap_or_default()).is_some(),
            // A table that was not there would ask for a certificate.
            ["server", "tls", ..] => find(self.root, path.get(..2).unwrap_or_default()).is_some(),
            // Nothing to map back.
            ["route", _, "rewrite_answers"] => {
                let upstream = path.iter().take(2).cloned().chain(["upstream".to_owned()]).collect::<Vec<_>>();
                let items =
                    find(self.root, &upstream).map(|node| node.items(false).unwrap_or_else(|| vec![node.clone()]));
                text(&["strip_prefix"]).is_some()
                    || items.unwrap_or_default().iter().filter_map(Node::text).any(has_path)
            }
            // Without an issuer there is no ID token.
            ["provider", _, "audiences"] => text(&["issuer"]).is_some(),
            _ => true,
        }
    }
}

/// Whether the URL of an upstream has a path.
fn has_path(url: &str) -> bool {
    url.split_once("://").is_some_and(|(_, rest)| rest.trim_end_matches('/').contains('/'))
}

/// Defaults that follow from other keys, or from the machine.
fn derived(config: &Config) -> Vec<Setting> {
    let path = |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>();
    let workers = i64::try_from(config.server.workers).unwrap_or(i64::MAX);
    let idle = humantime::format_duration(config.session.idle_timeout).to_string();
    let mut found = vec![
        default(path(&["server", "workers"]), workers.into()),
        default(path(&["session", "idle_timeout"]), idle.into()),
        default(path(&["session", "cookie", "name"]), config.session.cookie.name.clone().into()),
    ];
    for provider in &config.providers {
        let of = |key: &str, value: Value| default(path(&["provider", &provider.name, key]), value);
        let scopes = provider.scopes.iter().map(String::as_str).collect::<Array>();
        found.push(of("title", provider.title.clone().into()));
        found.push(of("redirect_path", provider.redirect_path.clone().into()));
        found.push(of("scopes", Value::Array(scopes)));
    }
    found
}

/// A value that nobody wrote.
fn default(path: Vec<String>, value: Value) -> Setting {
    Setting { path, value, origin: None, secrets: Vec::new() }
}

/// What stands at a path.
fn find<'a>(root: &'a Node, path: &[String]) -> Option<&'a Node> {
    path.iter().try_fold(root, |node, key| match &node.value {
        NodeValue::Table(table) => table.entries.iter().find(|entry| entry.key == *key).map(|entry| &entry.node),
        _ => None,
    })
}

/// A path as the schema names it, with `NAME` for names of the operator's choice.
fn generic(path: &[String]) -> String {
    let named = |at: usize| {
        let section = path.first().map(String::as_str);
        (at == 1 && matches!(section, Some("provider" | "route")))
            || (at == 3 && path.get(2).is_some_and(|key| key == "paths"))
    };
    let parts = path.iter().enumerate().map(|(at, part)| if named(at) { "NAME" } else { part });
    parts.collect::<Vec<_>>().join(".")
}

/// A path as messages name it.
pub fn dotted(path: &[String]) -> String {
    path.iter().map(|key| quoted(key)).collect::<Vec<_>>().join(".")
}

/// A value of the tree as TOML has it; the text of a variable or flag as what its key takes.
fn typed(node: &Node, schema: &Json) -> Value {
    let list = |items: &[Node]| Value::Array(items.iter().map(|item| typed(item, &Json::Null)).collect::<Array>());
    match &node.value {
        NodeValue::String(text) => without_userinfo(text).into(),
        NodeValue::Integer(number) => (*number).into(),
        NodeValue::Boolean(yes) => (*yes).into(),
        NodeValue::Array(items) => list(items),
        NodeValue::Table(table) => {
            let entries = table.entries.iter();
            let entries = entries.map(|entry| (entry.key.as_str(), typed(&entry.node, &Json::Null)));
            Value::InlineTable(entries.collect::<InlineTable>())
        }
        NodeValue::Untyped(text) => {
            let types = types(schema);
            let takes = |name: &str| types.iter().any(|it| it == name);
            match (node.structured(), text.trim().parse::<i64>(), text.parse::<bool>()) {
                (Some(structured), ..) => typed(&structured, &Json::Null),
                (_, Ok(number), _) if takes("integer") => number.into(),
                (.., Ok(yes)) if takes("boolean") => yes.into(),
                _ if takes("array") && (!takes("string") || text.contains(',')) => {
                    list(&node.items(false).unwrap_or_default())
                }
                _ => without_userinfo(text).into(),
            }
        }
        NodeValue::Other(kind) => (*kind).into(),
        NodeValue::Meant => "".into(),
    }
}

/// A default as TOML has it.
fn of_schema(value: &Json) -> Option<Value> {
    Some(match value {
        Json::String(text) => text.as_str().into(),
        Json::Bool(yes) => (*yes).into(),
        Json::Number(number) => number.as_i64()?.into(),
        Json::Array(items) => Value::Array(items.iter().filter_map(of_schema).collect::<Array>()),
        _ => return None,
    })
}

/// The types that a key takes.
fn types(schema: &Json) -> Vec<String> {
    let mut found: Vec<String> = match schema.get("type") {
        Some(Json::String(name)) => vec![name.clone()],
        Some(Json::Array(names)) => names.iter().filter_map(Json::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    for form in schema.get("anyOf").and_then(Json::as_array).into_iter().flatten() {
        found.extend(types(form));
    }
    found
}
