//! How the client proves itself: `client_auth`, `client_secret`, `client_key`.

use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;

use super::super::diagnostics::{Code, Diagnostic, Place};
use super::super::file::ProviderTable;
use super::super::reading::{Field, Found};
use super::super::words::ClientAuthMethod;
use super::Notes;
use crate::provider::settings::ClientAuth;
use crate::secret::Secret;

pub(super) fn client_auth(name: &Found<String>, table: &ProviderTable, notes: &mut Notes) -> Option<ClientAuth> {
    let method = match &table.client_auth {
        Field::Wrong => return None,
        Field::Absent => ClientAuthMethod::ClientSecretBasic,
        Field::Given(found) => found.value,
    };
    let place = table.client_auth.given().map_or(&name.place, |found| &found.place);
    check_unused(name, table, method, notes);
    check_placeholder(name, table, notes);
    let secret = || table.client_secret.value().map(|secret| secret.0.clone());
    match method {
        ClientAuthMethod::ClientSecretBasic | ClientAuthMethod::ClientSecretPost => {
            if table.client_secret.is_absent() {
                let help = "write client_secret = { file = \"…\" }; for a public client write client_auth = \"none\"";
                notes.missing(&name.place, &format!("provider.{}.client_secret", name.value), help);
            }
            let wrap = if method == ClientAuthMethod::ClientSecretBasic { ClientAuth::Basic } else { ClientAuth::Post };
            secret().map(wrap)
        }
        ClientAuthMethod::PrivateKeyJwt => private_key(name, table, place, notes),
        ClientAuthMethod::None => {
            check_public(name, table, notes);
            Some(ClientAuth::Public)
        }
    }
}

fn private_key(name: &Found<String>, table: &ProviderTable, place: &Place, notes: &mut Notes) -> Option<ClientAuth> {
    if table.client_key.is_absent() {
        let help = "write client_key = { file = \"key.pem\" }";
        notes.missing(place, &format!("provider.{}.client_key", name.value), help);
    }
    let found = table.client_key.given()?;
    let pem = found.value.0.expose().as_bytes().to_vec();
    if PrivateKeyDer::from_pem_slice(&pem).is_err() {
        let message = format!("`provider.{}.client_key` holds no private key", name.value);
        notes.error(
            Code::BadPem,
            &found.place,
            message,
            "a PEM file with a block such as -----BEGIN PRIVATE KEY----- is needed; encrypted keys are not taken",
        );
        return None;
    }
    Some(ClientAuth::PrivateKeyJwt { key_pem: Secret::new(pem), key_id: table.client_key_id.value().cloned() })
}

/// What the chosen method would have to ignore.
fn check_unused(name: &Found<String>, table: &ProviderTable, method: ClientAuthMethod, notes: &mut Notes) {
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
            let message = format!("`provider.{}.{key}` is set, but client_auth is \"{word}\"", name.value);
            let help = if key == "client_secret" {
                "remove it, or write client_auth = \"client_secret_basic\""
            } else {
                "remove it, or write client_auth = \"private_key_jwt\""
            };
            notes.error(Code::Conflict, place, message, help);
        }
    }
}

/// What people write into examples (AT-CL-14).
fn check_placeholder(name: &Found<String>, table: &ProviderTable, notes: &mut Notes) {
    let Some(found) = table.client_secret.given() else { return };
    let text = found.value.0.expose().trim().to_ascii_lowercase();
    let plain: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
    let bracketed = text.starts_with('<') && text.ends_with('>');
    if bracketed || PLACEHOLDERS.contains(&plain.as_str()) {
        let message = format!("`provider.{}.client_secret` is a placeholder", name.value);
        let diagnostic = Diagnostic::error(Code::WeakSecret, &found.place, message);
        notes.note(
            diagnostic
                .reason("anybody can guess it")
                .help("put the secret there that the provider shows for this client"),
        );
    }
}

/// A public client has nothing but PKCE to tie the code to it (RFC 9700 section 2.1.1).
fn check_public(name: &Found<String>, table: &ProviderTable, notes: &mut Notes) {
    if let Some(Found { value: false, place }) = table.pkce.given() {
        let message = format!("`provider.{}` is a public client without PKCE", name.value);
        let diagnostic = Diagnostic::error(Code::Conflict, place, message);
        notes.note(
            diagnostic
                .reason("whoever sees a code in transit could redeem it")
                .help("remove pkce = false, or register a confidential client"),
        );
    }
}

const PLACEHOLDERS: [&str; 10] = [
    "changeme",
    "changethis",
    "replaceme",
    "yourclientsecret",
    "yoursecret",
    "clientsecret",
    "example",
    "examplesecret",
    "todo",
    "xxx",
];
