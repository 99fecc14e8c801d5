//! What may be said of a secret: where it is, how long it is, and how its hash begins.

use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

use crate::hex;

/// Where a secret was read from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SecretSource {
    /// This file.
    File(PathBuf),
    /// This environment variable.
    Variable(String),
    /// This file of the service manager's credentials.
    Credential(PathBuf),
    /// The configuration file, or the command line.
    Literal,
}

/// A secret that was read.
#[derive(Clone, Debug)]
pub(super) struct ShownSecret {
    /// The key that it is for; one of a list has the key of the list.
    pub(super) key: String,
    /// What may be shown of it.
    pub(super) text: String,
}

/// What may be shown of a secret: two people can compare theirs by it, and nobody can guess one from it that is random.
pub(super) fn redacted(secret: &str) -> String {
    let digest = Sha256::digest(secret.as_bytes());
    let start = hex::encode(digest.get(..4).unwrap_or_default());
    format!("<redacted len={} sha256:{start}>", secret.len())
}
