//! How the client proves itself: `client_auth`, `client_secret`, `client_key`.

use super::super::file::ProviderTable;
use super::super::units::private_key;
use super::super::words::ClientAuthMethod;
use super::{Field, Found, Problems, kinds};
use crate::provider::settings::ClientAuth;

/// The method of client authentication, with the secret or key that it needs.
pub(super) fn client_auth(name: &Found<String>, table: &ProviderTable, problems: &mut Problems) -> Option<ClientAuth> {
    let method = match &table.client_auth {
        Field::Wrong => return None,
        Field::Absent => ClientAuthMethod::ClientSecretBasic,
        Field::Given(found) => found.value,
    };
    check_unused(table, method, problems);
    check_placeholder(table, problems);
    let mut secret = || {
        let table_of = (&name.place, name.key.as_str());
        let secret = table.client_secret.required(kinds::CLIENT_SECRET_MISSING, table_of, "client_secret", problems);
        secret.map(|secret| secret.value.0.clone())
    };
    match method {
        ClientAuthMethod::ClientSecretBasic => secret().map(ClientAuth::Basic),
        ClientAuthMethod::ClientSecretPost => secret().map(ClientAuth::Post),
        ClientAuthMethod::PrivateKeyJwt => {
            let place = table.client_auth.given().map_or(&name.place, |found| &found.place);
            let found =
                table.client_key.required(kinds::CLIENT_KEY_MISSING, (place, &name.key), "client_key", problems)?;
            let key = problems.sound(found, private_key(found.value.0.expose().as_bytes()))?;
            Some(ClientAuth::PrivateKeyJwt { key, key_id: table.client_key_id.value().cloned() })
        }
        ClientAuthMethod::None => {
            // A public client has nothing but PKCE to tie the code to it
            // ([RFC 9700 section 2.1.1](https://www.rfc-editor.org/rfc/rfc9700#section-2.1.1)).
            if let Some(Found { value: false, place, .. }) = table.pkce.given() {
                let message = format!("`{}` is a public client without PKCE", name.key);
                problems.add(kinds::PUBLIC_WITHOUT_PKCE, place, message);
            }
            Some(ClientAuth::Public)
        }
    }
}

/// What the chosen method would have to ignore.
fn check_unused(table: &ProviderTable, method: ClientAuthMethod, problems: &mut Problems) {
    let takes_secret = matches!(method, ClientAuthMethod::ClientSecretBasic | ClientAuthMethod::ClientSecretPost);
    let takes_key = method == ClientAuthMethod::PrivateKeyJwt;
    let unused = [
        (table.client_secret.mark(), takes_secret, "client_secret_basic"),
        (table.client_key.mark(), takes_key, "private_key_jwt"),
        (table.client_key_id.mark(), takes_key, "private_key_jwt"),
    ];
    for (found, is_used, user) in unused {
        if let Some(found) = found.filter(|_| !is_used) {
            let what = format!("is set, but client_auth is \"{}\"", method.as_str());
            let help = format!("remove it, or write client_auth = \"{user}\"");
            problems.on(kinds::CLIENT_AUTH_UNUSED, &found, what).help(help);
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

/// Without capitals and signs.
const PLACEHOLDERS: &str =
    "changeme changethis replaceme yourclientsecret yoursecret clientsecret example examplesecret todo xxx";
