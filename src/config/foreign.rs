//! What other gateways call our keys, from `foreign.toml`.

use serde::Deserialize;

/// What a key of another gateway is here; `None` for one that nobody knows.
///
/// Spelling does not count: `cookie_secret`, `cookie-secret`, `cookieSecret` and `OIDCCryptoPassphrase` are found alike.
pub(super) fn meaning(key: &str) -> Option<ForeignKey> {
    let (bare, table) = (squashed(key), table());
    let without_prefix = PREFIXES.iter().filter_map(|prefix| bare.strip_prefix(prefix));
    std::iter::once(bare.as_str()).chain(without_prefix).find_map(|name| {
        let is_named = |it: &&ForeignKey| it.names.split_whitespace().any(|known| squashed(known) == name);
        table.iter().find(is_named).cloned()
    })
}

/// What a foreign key is here.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ForeignKey {
    /// What others call it, separated by blanks.
    names: String,
    /// Our keys for it, whole, with `NAME` for names of the operator's choice; none where there is no such setting.
    #[serde(default)]
    pub(super) ours: Vec<String>,
    /// What else there is to know.
    #[serde(default)]
    pub(super) note: String,
}

/// Letters and digits alone, in lower case.
pub(super) fn squashed(key: &str) -> String {
    key.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// Read only where somebody wrote a key that is not ours.
fn table() -> Vec<ForeignKey> {
    /// The file `foreign.toml`.
    #[derive(Default, Deserialize)]
    struct ForeignKeys {
        key: Vec<ForeignKey>,
    }
    toml::from_str::<ForeignKeys>(include_str!("foreign.toml")).unwrap_or_default().key
}

/// How variables of other programs begin.
const PREFIXES: [&str; 4] = ["oauth2proxy", "oidc", "oauth2", "idp"];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::schema::every_key;
    use super::*;

    #[test]
    fn every_key_that_is_named_for_another_one_exists() {
        let known = every_key();
        for ForeignKey { names, ours, note } in table() {
            assert!(!ours.is_empty() || !note.is_empty(), "{names}");
            for key in ours {
                assert!(known.contains(&key), "{key}, for {names}");
            }
        }
    }

    #[test]
    fn a_foreign_name_has_one_meaning() {
        let mut seen = HashSet::new();
        for meaning in table() {
            for name in meaning.names.split_whitespace() {
                assert!(seen.insert(squashed(name)), "{name}");
            }
        }
        assert!(seen.len() > 300);
    }

    #[test]
    fn spelling_and_prefixes_do_not_count() {
        for (name, key) in [
            ("redirect_url", "provider.NAME.redirect_path"),
            ("redirect-url", "provider.NAME.redirect_path"),
            ("cookieSecret", "session.keys"),
            ("OIDCCryptoPassphrase", "session.keys"),
            ("oidc-issuer-url", "provider.NAME.issuer"),
            ("OAUTH2_PROXY_EMAIL_DOMAINS", "route.NAME.allow.domains"),
            ("OIDCProviderMetadataURL", "provider.NAME.issuer"),
            ("idp_scopes", "provider.NAME.scopes"),
        ] {
            assert_eq!(meaning(name).and_then(|it| it.ours.first().cloned()).as_deref(), Some(key), "{name}");
        }
        assert!(meaning("zzz").is_none() && meaning("oidc").is_some());
    }
}
