//! The configuration as it was written, value by value, with where each stands; secrets are replaced by what lets two people compare
//! them and nobody use them.

use sha2::{Digest as _, Sha256};

use super::Sources;
use super::clean::cleaned;
use super::diagnostics::{Diagnostic, Place};
use super::environment::laid_over;
use super::problems::Problems;
use super::reading::{self, Reading};
use super::secrets;
use super::tree::{self, Node, NodeValue, SECRET_SOURCES, Table, holds_secret};
use crate::hex;

/// A value that somebody wrote.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WrittenValue {
    /// The whole key: `provider.corp.client_id`.
    pub key: String,
    /// The value as TOML writes it, without anything secret.
    pub value: String,
    /// Where it stands: `vestibule.toml:5:10`, the variable, or the flag.
    pub origin: String,
}

/// Every value of the file, the environment and the flags that counts, in the order of the file.
///
/// # Errors
/// The file is not TOML.
pub(super) fn written(sources: &Sources) -> Result<Vec<WrittenValue>, Vec<Diagnostic>> {
    let (root, _) = laid_over(sources, &mut Problems::default())?;
    let mut found = Vec::new();
    collect(&root, String::new(), sources, &mut found);
    Ok(found)
}

fn collect(node: &Node, key: String, sources: &Sources, found: &mut Vec<WrittenValue>) {
    let last = key.rsplit('.').next().unwrap_or_default();
    match &node.value {
        NodeValue::Table(Table { entries }) if !holds_secret(last) && !entries.is_empty() => {
            for entry in entries {
                let name = named(&entry.key);
                let key = if key.is_empty() { name } else { format!("{key}.{name}") };
                collect(&entry.node, key, sources, found);
            }
        }
        _ if key.is_empty() => {}
        _ => {
            let value = if holds_secret(last) { hidden(node, sources) } else { shown(node, sources) };
            found.push(WrittenValue { key, value, origin: node.place.to_string() });
        }
    }
}

/// A key as TOML writes it.
fn named(key: &str) -> String {
    let is_bare = |key: &str| !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
    if is_bare(key) { key.to_owned() } else { text(key) }
}

fn text(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// A value, without the passwords of URLs and without what stands below a key that holds a secret.
fn shown(node: &Node, sources: &Sources) -> String {
    match &node.value {
        NodeValue::String(value) | NodeValue::Untyped(value) => text(&without_userinfo(value)),
        NodeValue::Integer(number) => number.to_string(),
        NodeValue::Boolean(yes) => yes.to_string(),
        NodeValue::Other(kind) => format!("<{kind}>"),
        NodeValue::Meant => String::new(),
        NodeValue::Array(items) => {
            format!("[{}]", items.iter().map(|item| shown(item, sources)).collect::<Vec<_>>().join(", "))
        }
        NodeValue::Table(table) => {
            let entry = |entry: &tree::TableEntry| {
                let value =
                    if holds_secret(&entry.key) { hidden(&entry.node, sources) } else { shown(&entry.node, sources) };
                format!("{} = {value}", named(&entry.key))
            };
            let entries: Vec<_> = table.entries.iter().map(entry).collect();
            if entries.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", entries.join(", ")) }
        }
    }
}

/// A secret: where it is kept, how long it is, and the beginning of its digest. A list is one of secrets.
fn hidden(node: &Node, sources: &Sources) -> String {
    let list = match &node.value {
        NodeValue::Array(items) => Some(items.clone()),
        NodeValue::Untyped(_) => node.items(false).filter(|items| items.len() > 1),
        _ => None,
    };
    if let Some(items) = list {
        return format!("[{}]", items.iter().map(|item| hidden(item, sources)).collect::<Vec<_>>().join(", "));
    }
    let kept = match &node.value {
        NodeValue::Table(table) => {
            let places = table.entries.iter().filter(|entry| SECRET_SOURCES.contains(&entry.key.as_str()));
            let place = places.map(|entry| format!("{} = {}", entry.key, shown(&entry.node, sources)));
            format!("{{ {} }} ", place.collect::<Vec<_>>().join(", "))
        }
        _ => String::new(),
    };
    let (bytes, _) = reading::during(Reading::new(sources, Place::Nowhere), || secrets::bytes(node));
    let secret = bytes.and_then(|(bytes, ..)| cleaned(&bytes).ok());
    match secret.map(|cleaned| cleaned.text) {
        Some(secret) => format!("{kept}{}", redacted(&secret)),
        None => format!("{kept}<unreadable>"),
    }
}

/// What stands for a secret: two people can compare theirs by it.
fn redacted(secret: &str) -> String {
    let digest = Sha256::digest(secret);
    format!("<redacted len={} sha256:{}>", secret.len(), hex::encode(digest.get(..4).unwrap_or_default()))
}

/// `https://user:password@host/` without the two.
fn without_userinfo(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    match authority.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://<redacted>@{host}{path}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_origins_and_secrets_a_digest() {
        let file = "[provider.corp]\nclient_id = \"wiki\"\nclient_secret = \"hunter2\"\n[session]\nkeys = [\"one\", { env = \"KEY\" }, { file = \"/nowhere\" }]\n[route.\"a.b\"]\nupstream = \"http://ann:hunter2@host/x\"\n";
        let sources = Sources {
            file: Some(("a.toml".to_owned(), file.to_owned())),
            env: [("VESTIBULE__PROVIDER__CORP__CLIENT_ID", "shop"), ("KEY", "hunter2")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
            flags: vec![("server.listen".to_owned(), "[::]:80".to_owned())],
            ..Sources::default()
        };
        let digest = "<redacted len=7 sha256:f52fbd32>";
        let lines: Vec<String> = written(&sources)
            .unwrap()
            .iter()
            .map(|WrittenValue { key, value, origin }| format!("{key} = {value} # {origin}"))
            .collect();
        assert_eq!(
            lines,
            [
                "provider.corp.client_id = \"shop\" # environment variable VESTIBULE__PROVIDER__CORP__CLIENT_ID"
                    .to_owned(),
                format!("provider.corp.client_secret = {digest} # a.toml:3:17"),
                format!(
                    "session.keys = [<redacted len=3 sha256:7692c3ad>, {{ env = \"KEY\" }} {digest}, {{ file = \"/nowhere\" }} <unreadable>] # a.toml:5:8"
                ),
                "route.\"a.b\".upstream = \"http://<redacted>@host/x\" # a.toml:7:12".to_owned(),
                "server.listen = \"[::]:80\" # flag --set server.listen".to_owned(),
            ]
        );
    }
}
