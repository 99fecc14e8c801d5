//! `allow` of a route: who may pass.

use super::super::file::AllowTable;
use super::super::lists::{NamesOrFile, entries};
use super::super::units::ClaimValue;
use super::claims::claim_path;
use super::{Field, Flaw, Found, Named, OneOrMany, Place, Problems, is_domain, kinds, parsed};
use crate::followed::ReadContent;
use crate::identity::ClaimPath;
use crate::policy::names::{Matching, NameList, NameSet};
use crate::policy::settings::AllowSettings;

/// Who may pass: every list is checked, and none may be empty.
pub(super) fn allow(keys: &AllowTable, problems: &mut Problems) -> AllowSettings {
    AllowSettings {
        groups: list(&keys.groups, Matching::Exact, name, problems),
        emails: list(&keys.emails, Matching::Folded, email, problems),
        domains: list(&keys.domains, Matching::Domain, domain, problems),
        users: list(&keys.users, Matching::Exact, name, problems),
        subjects: list(&keys.subjects, Matching::Exact, name, problems),
        claims: claims(&keys.claims, problems),
        networks: parsed(&keys.networks, kinds::EMPTY_ALLOW, problems, |item| Ok(item.value.0)),
    }
}

/// Makes an entry of a list of what was written.
type ParseEntry = fn(&Found<String>) -> Result<String, Flaw>;

/// A list that is written, or kept in a file: its entries are checked in the same way.
fn list(
    field: &Field<NamesOrFile>,
    matching: Matching,
    parse: ParseEntry,
    problems: &mut Problems,
) -> Option<NameList> {
    let found = field.given()?;
    match &found.value {
        NamesOrFile::Names(names) => {
            let names = Field::Given(found.with(names.clone()));
            parsed(&names, kinds::EMPTY_ALLOW, problems, parse).map(NameList::Written)
        }
        NamesOrFile::File(file) => {
            let key = found.key.clone();
            let read: ReadContent<NameSet> = Box::new(move |bytes| {
                let entry =
                    |line: &str| parse(&Found { value: line.to_owned(), place: Place::Nowhere, key: key.clone() });
                Ok(NameSet::new(matching, entries(bytes, entry)?))
            });
            let opened = file.names(&found.key, matching, read);
            let opened = problems.sound(found, opened)?;
            // Emptied later it lets nobody pass; at the start it may as well be the wrong file.
            if opened.is_new && opened.file.current().is_empty() {
                problems.on(
                    kinds::EMPTY_LIST_FILE,
                    found,
                    format!("names {}, which holds no entry", file.path.display()),
                );
            }
            Some(NameList::Followed(opened.file))
        }
    }
}

/// A name that is compared exactly.
fn name(found: &Found<String>) -> Result<String, Flaw> {
    if found.value == "*" {
        let key = found.key.rsplit('.').next().unwrap_or_default();
        let flaw = Flaw::new(kinds::STAR_AMONG_NAMES, "holds \"*\", which stands for nobody");
        return Err(flaw.help(format!("for everybody who can sign in, leave `{key}` out")));
    }
    Ok(found.value.clone())
}

/// A whole e-mail address.
fn email(found: &Found<String>) -> Result<String, Flaw> {
    let text = &found.value;
    // Addresses are compared exactly: a star for the person would let nobody pass.
    let is_whole = |(local, domain): (&str, &str)| {
        !local.is_empty() && local != "*" && !domain.is_empty() && !domain.contains('@')
    };
    if text.split_once('@').is_some_and(is_whole) {
        return Ok(text.clone());
    }
    let help = match text.strip_prefix('@').or_else(|| text.strip_prefix("*@")) {
        Some(domain) => format!("for everybody of a domain write domains = [\"{}\"]", domain.escape_default()),
        None => "write a whole address: \"ann@example.com\"".to_owned(),
    };
    let what = format!("holds \"{}\", which is no e-mail address", text.escape_default());
    Err(Flaw::new(kinds::NO_EMAIL_ADDRESS, what).help(help))
}

/// A domain of e-mail addresses; `*.` stands for those below.
fn domain(found: &Found<String>) -> Result<String, Flaw> {
    let text = &found.value;
    if is_domain(text.strip_prefix("*.").unwrap_or(text)) {
        return Ok(text.clone());
    }
    let bare = Some(text.trim_matches(['@', '*', '.'])).filter(|bare| bare.contains('.') && is_domain(bare));
    let bare = bare.unwrap_or("example.com");
    let what = format!("holds \"{}\", which is no domain", text.escape_default());
    Err(Flaw::new(kinds::NO_DOMAIN, what).help(format!("write \"{bare}\", or \"*.{bare}\" for those below")))
}

/// Claims and the values that they may have.
fn claims(
    field: &Field<Named<OneOrMany<ClaimValue>>>,
    problems: &mut Problems,
) -> Vec<(ClaimPath, Vec<serde_json::Value>)> {
    let mut claims = Vec::new();
    let Some(found) = field.given() else { return claims };
    if found.value.0.is_empty() {
        problems.on(kinds::EMPTY_ALLOW, found, "is empty");
    }
    for (name, values) in found.value.given() {
        let path = claim_path(name, &found.key, problems);
        let values: Vec<_> = values.value.0.iter().map(|value| value.value.0.clone()).collect();
        if values.is_empty() {
            let message = format!("`{}` has no value for \"{}\"", found.key, name.value.escape_default());
            problems.add(kinds::NO_CLAIM_VALUES, &name.place, message);
        }
        claims.extend(path.map(|path| (path, values)));
    }
    claims
}

/// What the keys of `over` say replaces what `base` says: key by key, so that a part of a route never asks less by accident.
pub(super) fn merged(base: &AllowSettings, over: AllowSettings) -> AllowSettings {
    let is_new = |(path, _): &&(ClaimPath, _)| !over.claims.iter().any(|(other, _)| other == path);
    let claims = base.claims.iter().filter(is_new);
    AllowSettings {
        groups: over.groups.or_else(|| base.groups.clone()),
        emails: over.emails.or_else(|| base.emails.clone()),
        domains: over.domains.or_else(|| base.domains.clone()),
        users: over.users.or_else(|| base.users.clone()),
        subjects: over.subjects.or_else(|| base.subjects.clone()),
        claims: over.claims.iter().chain(claims).cloned().collect(),
        networks: over.networks.or_else(|| base.networks.clone()),
    }
}

/// Whether anything is asked about who somebody is.
pub(super) fn asks_identity(allow: &AllowSettings) -> bool {
    let lists = [&allow.groups, &allow.emails, &allow.domains, &allow.users, &allow.subjects];
    lists.into_iter().any(Option::is_some) || !allow.claims.is_empty()
}
