//! `login_params` of a provider: what a link to `login` may hand on.

use super::super::file::ProviderTable;
use super::super::kinds::DiagnosticKind;
use super::{Flaw, Problems, each, given_twice, kinds};
use crate::provider::RESERVED_PARAMETERS;

/// The parameters, each once. An empty list hands nothing on.
pub(super) fn login_params(table: &ProviderTable, problems: &mut Problems) -> Vec<String> {
    if table.login_params.is_absent() {
        return vec!["login_hint".to_owned()];
    }
    let plain = table.issuer.is_absent();
    let items = each(&table.login_params, problems, |item| match flaw(&item.value, plain) {
        Some(flaw) => Err(flaw),
        None => Ok(item.clone()),
    });
    let mut names: Vec<String> = Vec::new();
    for item in items {
        if names.contains(&item.value) {
            problems.flaw(given_twice(&item.value), &item.place, &item.key);
        } else {
            names.push(item.value);
        }
    }
    names
}

/// Why a link cannot hand on this parameter; `plain`: to a provider of plain OAuth 2.0.
fn flaw(name: &str, plain: bool) -> Option<Flaw> {
    let flaw = |kind: DiagnosticKind| Flaw::of(kind, "cannot hold", name);
    let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b));
    if !is_name || name.len() > LONGEST_NAME {
        return Some(flaw(kinds::NO_LOGIN_PARAM));
    }
    // `SCOPE` is `scope` to a provider that does not mind capitals.
    let lower = name.to_ascii_lowercase();
    let lower = lower.as_str();
    if CHECKED.contains(&lower) || lower == "prompt" {
        return match () {
            () if lower != name => Some(flaw(kinds::LOGIN_PARAM_SPELLING).help(format!("write \"{lower}\""))),
            () if plain && lower != "prompt" => Some(flaw(kinds::LOGIN_PARAM_NEEDS_ISSUER)),
            () => None,
        };
    }
    match () {
        () if RESERVED_PARAMETERS.contains(&lower) => Some(flaw(kinds::LOGIN_PARAM_OWNED)),
        () if REPLACING.contains(&lower) => Some(flaw(kinds::LOGIN_PARAM_REPLACES)),
        () if OF_LINK.contains(&lower) => Some(flaw(kinds::LOGIN_PARAM_OF_LINK)),
        () => None,
    }
}

/// What a link may make stricter: whether the provider did as it was asked is checked when the answer comes.
const CHECKED: [&str; 2] = ["max_age", "acr_values"];
/// What is not set, and could undo what is: other claims, another client, another key of the answer.
const REPLACING: [&str; 9] = [
    "authorization_details",
    "claims",
    "client_assertion",
    "client_assertion_type",
    "code_verifier",
    "dpop_jkt",
    "grant_type",
    "id_token_hint",
    "registration",
];
/// What a link says to vestibule.
const OF_LINK: [&str; 5] = ["rd", "provider", "of", "iss", "target_link_uri"];
/// Bytes of a name.
const LONGEST_NAME: usize = 64;
