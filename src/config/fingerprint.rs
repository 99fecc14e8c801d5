//! What tells two configurations apart without showing either: a digest of each key's value, and of what the files that it names
//! hold.

use std::collections::BTreeMap;
use std::fmt;

use hkdf::Hkdf;
use sha2::{Digest as _, Sha256};

use super::tree::{Node, NodeValue};
use crate::hex;
use crate::secret::Secret;

/// The digests of one configuration.
#[derive(Clone, Default)]
pub struct Fingerprint(BTreeMap<String, [u8; 32]>);

/// The keys in which two configurations differ, never their values.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Differences {
    /// Only in the new one.
    pub added: Vec<String>,
    /// Only in the old one.
    pub removed: Vec<String>,
    /// In both, with another value, or with a file of other contents.
    pub changed: Vec<String>,
}

impl Fingerprint {
    /// Of what was written.
    pub(super) fn of(root: &Node) -> Self {
        let mut print = Self::default();
        print.add(String::new(), root);
        print
    }

    /// Adds what was read for a key from elsewhere.
    pub(super) fn read(&mut self, key: &str, digest: [u8; 32]) {
        let entry = self.0.entry(key.to_owned()).or_default();
        *entry = Sha256::new().chain_update(*entry).chain_update(digest).finalize().into();
    }

    /// What replicas can compare. Nobody can try secrets against it who does not have the session key: it is the key of the hash.
    pub fn hash(&self, session_key: &Secret<[u8; 32]>) -> String {
        let mut all = Sha256::new();
        for (key, digest) in &self.0 {
            all.update(Sha256::digest(key));
            all.update(digest);
        }
        let (hash, _) = Hkdf::<Sha256>::extract(Some(session_key.expose()), &all.finalize());
        hex::encode(hash.as_slice().get(..8).unwrap_or_default())
    }

    /// How a later one differs from this one.
    pub fn differences(&self, later: &Self) -> Differences {
        let only = |one: &Self, other: &Self| {
            one.0.keys().filter(|key| !other.0.contains_key(*key)).cloned().collect::<Vec<_>>()
        };
        let changed = self.0.iter().filter(|(key, digest)| later.0.get(*key).is_some_and(|now| now != *digest));
        Differences {
            added: only(later, self),
            removed: only(self, later),
            changed: changed.map(|(key, _)| key.clone()).collect(),
        }
    }

    fn add(&mut self, key: String, node: &Node) {
        let below = |name: &str| if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") };
        match &node.value {
            NodeValue::Table(table) => {
                for entry in &table.entries {
                    self.add(below(&entry.key), &entry.node);
                }
            }
            NodeValue::Array(items) if items.iter().any(|item| matches!(item.value, NodeValue::Table(_))) => {
                for (index, item) in items.iter().enumerate() {
                    self.add(format!("{key}[{index}]"), item);
                }
            }
            value => {
                let mut digest = Sha256::new();
                write(value, &mut digest);
                self.0.insert(key, digest.finalize().into());
            }
        }
    }
}

/// A value, so that different ones are different bytes; without its place in the file.
fn write(value: &NodeValue, into: &mut Sha256) {
    match value {
        NodeValue::String(text) | NodeValue::Untyped(text) => into.update(Sha256::digest(text)),
        NodeValue::Array(items) => items.iter().for_each(|item| {
            into.update(b"[");
            write(&item.value, into);
        }),
        NodeValue::Table(table) => table.entries.iter().for_each(|entry| {
            into.update(Sha256::digest(&entry.key));
            write(&entry.node.value, into);
        }),
        NodeValue::Integer(number) => into.update(Sha256::digest(number.to_string())),
        NodeValue::Boolean(yes) => into.update(Sha256::digest(yes.to_string())),
        // Of a configuration that is taken, none is one of these.
        _ => into.update(b"?"),
    }
}

/// `+route.new, -route.old, server.listen`.
impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let added = self.added.iter().map(|key| ("+", key));
        let all =
            added.chain(self.removed.iter().map(|key| ("-", key))).chain(self.changed.iter().map(|key| ("", key)));
        for (index, (sign, key)) in all.enumerate() {
            write!(f, "{}{sign}{key}", if index == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Fingerprint").field(&self.0.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Sources};

    const KEY: &str = "9b1ZpHnK2mXr0qTt7wYc4uEj8sLd5vAg3fNo6iRkQxM=";

    fn loaded(folder: &std::path::Path, more: &str) -> Config {
        let text = format!(
            "server.public_url = 'http://localhost:1'\nroute.a.upstream = 'static:204'\nsession.keys = '{KEY}'\n\
             [provider.a]\nissuer = 'https://a.example'\nclient_id = 'a'\nclient_secret = {{ file = 'secret' }}\n{more}"
        );
        let sources =
            Sources { file: Some(("a.toml".to_owned(), text)), base_dir: folder.to_owned(), ..Sources::default() };
        Config::load(&sources).unwrap_or_else(|report| panic!("{report}"))
    }

    #[test]
    fn what_differs_is_named_and_secrets_only_by_their_keys() {
        let folder = tempfile::tempdir().unwrap();
        let secret = |text: &str| std::fs::write(folder.path().join("secret"), text).unwrap();
        secret("one");
        let before = loaded(folder.path(), "scopes = ['openid']\ntitle = 'A'");
        let same = loaded(folder.path(), "\n# a comment\ntitle = 'A'\nscopes = ['openid']");
        assert_eq!(before.fingerprint.differences(&same.fingerprint), super::Differences::default());
        let hash = |config: &Config| config.fingerprint.hash(&config.keys[0]);
        assert_eq!(hash(&before), hash(&same));
        secret("two");
        let after = loaded(folder.path(), "scopes = ['openid', 'email']\nprompt = 'login'");
        let differences = before.fingerprint.differences(&after.fingerprint).to_string();
        assert_eq!(differences, "+provider.a.prompt, -provider.a.title, provider.a.client_secret, provider.a.scopes");
        assert_ne!(hash(&before), hash(&after));
        assert_eq!(format!("{:?}", before.fingerprint), "Fingerprint(9)");
    }
}
