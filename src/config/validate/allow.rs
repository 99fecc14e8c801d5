//! `allow` of a route: who may pass.

use super::super::file::AllowTable;
use super::super::kinds;
use super::super::problems::Problems;
use super::super::reading::{Field, Found};
use super::super::units::{ClaimValue, Named, OneOrMany};
use super::claims::claim_path;
use super::filled;
use crate::policy::settings::AllowSettings;

/// Who may pass: every list is checked, and none may be empty.
pub(super) fn allow(keys: &AllowTable, problems: &mut Problems) -> AllowSettings {
    AllowSettings {
        groups: names(&keys.groups, "groups", problems),
        emails: emails(&keys.emails, problems),
        domains: domains(&keys.domains, problems),
        users: names(&keys.users, "users", problems),
        subjects: names(&keys.subjects, "subjects", problems),
        claims: claims(&keys.claims, problems),
        networks: filled(&keys.networks, kinds::EMPTY_ALLOW, problems)
            .map(|items| items.iter().map(|item| item.value.0).collect()),
    }
}

/// Names that are compared exactly.
fn names(field: &Field<OneOrMany<String>>, name: &str, problems: &mut Problems) -> Option<Vec<String>> {
    let items = filled(field, kinds::EMPTY_ALLOW, problems)?;
    for item in items.iter().filter(|item| item.value == "*") {
        problems
            .on(kinds::STAR_AMONG_NAMES, item, "holds \"*\", which stands for nobody")
            .help(format!("for everybody who can sign in, leave `{name}` out"));
    }
    Some(items.iter().map(|item| item.value.clone()).collect())
}

/// Whole e-mail addresses.
fn emails(field: &Field<OneOrMany<String>>, problems: &mut Problems) -> Option<Vec<String>> {
    let items = filled(field, kinds::EMPTY_ALLOW, problems)?;
    for item in items {
        let parts: Vec<&str> = item.value.split('@').collect();
        // Addresses are compared exactly: a star for the person would let nobody pass.
        let is_whole = |local: &str, domain: &str| !local.is_empty() && local != "*" && !domain.is_empty();
        if !matches!(parts.as_slice(), [local, domain] if is_whole(local, domain)) {
            let help = match item.value.strip_prefix('@').or_else(|| item.value.strip_prefix("*@")) {
                Some(domain) => format!("for everybody of a domain write domains = [\"{}\"]", domain.escape_default()),
                None => "write a whole address: \"ann@example.com\"".to_owned(),
            };
            let what = format!("holds \"{}\", which is no e-mail address", item.value.escape_default());
            problems.on(kinds::NO_EMAIL_ADDRESS, item, what).help(help);
        }
    }
    Some(items.iter().map(|item| item.value.clone()).collect())
}

/// Domains of e-mail addresses; `*.` stands for those below.
fn domains(field: &Field<OneOrMany<String>>, problems: &mut Problems) -> Option<Vec<String>> {
    let items = filled(field, kinds::EMPTY_ALLOW, problems)?;
    for item in items {
        let name = item.value.strip_prefix("*.").unwrap_or(&item.value);
        if !is_domain(name) {
            let bare = item.value.trim_matches(['@', '*', '.']);
            let what = format!("holds \"{}\", which is no domain", item.value.escape_default());
            let bare = if is_domain(bare) { bare } else { "example.com" };
            problems
                .on(kinds::NO_DOMAIN, item, what)
                .help(format!("write \"{bare}\", or \"*.{bare}\" for those below"));
        }
    }
    Some(items.iter().map(|item| item.value.clone()).collect())
}

/// Whether a text is a domain without stars.
fn is_domain(text: &str) -> bool {
    !text.contains(['@', '*', '/', ' ']) && text.split('.').all(|label| !label.is_empty())
}

/// Claims and the values that they may have.
fn claims(
    field: &Field<Named<OneOrMany<ClaimValue>>>,
    problems: &mut Problems,
) -> Vec<(crate::identity::ClaimPath, Vec<serde_json::Value>)> {
    let mut claims = Vec::new();
    let Some(found) = field.given() else { return claims };
    if found.value.0.is_empty() {
        problems.on(kinds::NO_CLAIMS, found, "is empty");
    }
    for (name, values) in found.value.given() {
        let path = claim_path(name, &found.key, problems);
        let values = &values.value.0;
        if values.is_empty() {
            let message = format!("`{}` has no value for \"{}\"", found.key, name.value.escape_default());
            problems.add(kinds::NO_CLAIM_VALUES, &name.place, message);
        }
        claims.extend(path.map(|path| (path, values.iter().map(|value: &Found<_>| value.value.0.clone()).collect())));
    }
    claims
}

/// What the keys of `over` say replaces what `base` says: key by key, so that a part of a route never asks less by accident.
pub(super) fn merged(base: &AllowSettings, over: AllowSettings) -> AllowSettings {
    let mut claims = over.claims;
    let added: Vec<_> =
        base.claims.iter().filter(|(path, _)| !claims.iter().any(|(other, _)| other == path)).cloned().collect();
    claims.extend(added);
    AllowSettings {
        groups: over.groups.or_else(|| base.groups.clone()),
        emails: over.emails.or_else(|| base.emails.clone()),
        domains: over.domains.or_else(|| base.domains.clone()),
        users: over.users.or_else(|| base.users.clone()),
        subjects: over.subjects.or_else(|| base.subjects.clone()),
        claims,
        networks: over.networks.or_else(|| base.networks.clone()),
    }
}

/// Whether anything is asked about who somebody is.
pub(super) fn asks_identity(allow: &AllowSettings) -> bool {
    allow.groups.is_some()
        || allow.emails.is_some()
        || allow.domains.is_some()
        || allow.users.is_some()
        || allow.subjects.is_some()
        || !allow.claims.is_empty()
}
