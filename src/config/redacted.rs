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

/// A text without the user name and password of the URL that it may be.
pub(super) fn without_userinfo(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    match authority.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://<redacted>@{host}{path}"),
        None => text.to_owned(),
    }
}

/// What may be shown of a secret: two people can compare theirs by it, and nobody can guess one from it that is random.
pub(super) fn redacted(secret: &str) -> String {
    let digest = Sha256::digest(secret.as_bytes());
    let start = hex::encode(digest.get(..4).unwrap_or_default());
    format!("<redacted len={} sha256:{start}>", secret.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_its_length_and_how_its_hash_begins() {
        // AT-CL-08
        assert_eq!(redacted("hunter2"), "<redacted len=7 sha256:f52fbd32>");
        assert_eq!(without_userinfo("http://ann:hunter2@host:80/x@y"), "http://<redacted>@host:80/x@y");
        for text in ["http://host/x@y", "ann@example.com", "", "://"] {
            assert_eq!(without_userinfo(text), text);
        }
    }
}
