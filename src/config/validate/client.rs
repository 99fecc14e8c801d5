//! How the client proves itself: `client_auth`, `client_secret`, `client_key`.

use std::sync::Arc;

use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;

use super::super::diagnostics::Place;
use super::super::file::ProviderTable;
use super::super::kinds;
use super::super::problems::Problems;
use super::super::reading::{Field, Found};
use super::super::words::ClientAuthMethod;
use crate::provider::settings::ClientAuth;
use crate::secret::Secret;

/// The method of client authentication, with the secret or key that it needs.
pub(super) fn client_auth(name: &Found<String>, table: &ProviderTable, problems: &mut Problems) -> Option<ClientAuth> {
    let method = match &table.client_auth {
        Field::Wrong => return None,
        Field::Absent => ClientAuthMethod::ClientSecretBasic,
        Field::Given(found) => found.value,
    };
    let place = table.client_auth.given().map_or(&name.place, |found| &found.place);
    check_unused(name, table, method, problems);
    check_placeholder(table, problems);
    let secret = || table.client_secret.value().map(|secret| secret.0.clone());
    match method {
        ClientAuthMethod::ClientSecretBasic | ClientAuthMethod::ClientSecretPost => {
            if table.client_secret.is_absent() {
                problems.missing(kinds::CLIENT_SECRET_MISSING, &name.place, &format!("{}.client_secret", name.key));
            }
            let wrap = if method == ClientAuthMethod::ClientSecretBasic { ClientAuth::Basic } else { ClientAuth::Post };
            secret().map(wrap)
        }
        ClientAuthMethod::PrivateKeyJwt => private_key(name, table, place, problems),
        ClientAuthMethod::None => {
            check_public(name, table, problems);
            Some(ClientAuth::Public)
        }
    }
}

/// The key of `private_key_jwt`.
fn private_key(
    name: &Found<String>,
    table: &ProviderTable,
    place: &Place,
    problems: &mut Problems,
) -> Option<ClientAuth> {
    if table.client_key.is_absent() {
        problems.missing(kinds::CLIENT_KEY_MISSING, place, &format!("{}.client_key", name.key));
    }
    let found = table.client_key.given()?;
    let Ok(key) = PrivateKeyDer::from_pem_slice(found.value.0.expose().as_bytes()) else {
        problems.on(kinds::NO_PRIVATE_KEY, found, "holds no private key");
        return None;
    };
    Some(ClientAuth::PrivateKeyJwt { key: Arc::new(Secret::new(key)), key_id: table.client_key_id.value().cloned() })
}

/// What the chosen method would have to ignore.
fn check_unused(name: &Found<String>, table: &ProviderTable, method: ClientAuthMethod, problems: &mut Problems) {
    let takes_secret = matches!(method, ClientAuthMethod::ClientSecretBasic | ClientAuthMethod::ClientSecretPost);
    let takes_key = method == ClientAuthMethod::PrivateKeyJwt;
    let unused = [
        ("client_secret", table.client_secret.place(), takes_secret),
        ("client_key", table.client_key.place(), takes_key),
        ("client_key_id", table.client_key_id.place(), takes_key),
    ];
    for (key, place, used) in unused {
        if let Some(place) = place.filter(|_| !used) {
            let word = method.as_str();
            let message = format!("`{}.{key}` is set, but client_auth is \"{word}\"", name.key);
            let help = if key == "client_secret" {
                "remove it, or write client_auth = \"client_secret_basic\""
            } else {
                "remove it, or write client_auth = \"private_key_jwt\""
            };
            problems.add(kinds::CLIENT_AUTH_UNUSED, place, message).help(help);
        }
    }
}

/// What people write into examples (AT-CL-14).
fn check_placeholder(table: &ProviderTable, problems: &mut Problems) {
    let Some(found) = table.client_secret.given() else { return };
    let text = found.value.0.expose().trim().to_ascii_lowercase();
    let plain: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
    let bracketed = text.starts_with('<') && text.ends_with('>');
    if bracketed || PLACEHOLDERS.split_whitespace().any(|it| it == plain) {
        problems.on(kinds::CLIENT_SECRET_PLACEHOLDER, found, "is a placeholder");
    }
}

/// A public client has nothing but PKCE to tie the code to it (RFC 9700 section 2.1.1).
fn check_public(name: &Found<String>, table: &ProviderTable, problems: &mut Problems) {
    if let Some(Found { value: false, place, .. }) = table.pkce.given() {
        problems.add(kinds::PUBLIC_WITHOUT_PKCE, place, format!("`{}` is a public client without PKCE", name.key));
    }
}

const PLACEHOLDERS: &str =
    "changeme changethis replaceme yourclientsecret yoursecret clientsecret example examplesecret todo xxx";
