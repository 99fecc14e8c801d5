//! `redirect_path`: where people come back to from each provider, a path of its own for each (RFC 9700 section 4.4.2, IS-03).

use super::super::diagnostics::Place;
use super::super::file::ProviderTable;
use super::super::kinds;
use super::super::problems::Problems;
use super::super::reading::{Field, Found};
use super::super::units::Named;
use super::matching;
use crate::provider::settings::ProviderSettings;

/// What a provider's table says.
pub(super) struct Written {
    name: Found<String>,
    path: Option<Found<String>>,
}

/// What each provider's table says of its redirect path.
pub(super) fn written(providers: &Field<Named<ProviderTable, true>>) -> Vec<Written> {
    let tables = providers.value().into_iter().flat_map(|named| &named.0);
    tables
        .filter_map(|(name, table)| {
            Some(Written { name: name.clone(), path: table.value()?.redirect_path.given().cloned() })
        })
        .collect()
}

/// Gives each provider its path: as written, else by how many providers there are.
pub(super) fn settle(providers: &mut [ProviderSettings], written: &[Written], prefix: &str, problems: &mut Problems) {
    let alone = providers.len() == 1;
    let mut taken: Vec<(String, Place)> = Vec::new();
    for provider in &mut *providers {
        let Some(Written { name, path }) = written.iter().find(|it| it.name.value == *provider.name) else { continue };
        let place = path.as_ref().map_or(&name.place, |found| &found.place);
        let chosen = match path {
            Some(found) => checked(found, prefix, problems),
            None if alone => Some(format!("{prefix}/callback")),
            None => Some(format!("{prefix}/callback/{}", provider.name)),
        };
        let Some(chosen) = chosen else { continue };
        if let Some((_, first)) = taken.iter().find(|(known, _)| *known == chosen) {
            let message = format!("two providers have the redirect path \"{chosen}\"");
            problems.add(kinds::REDIRECT_PATH_TWICE, place, message).also(first, "here first");
        }
        taken.push((chosen.clone(), place.clone()));
        provider.redirect_path = chosen;
    }
    warn_of_second(written, prefix, problems);
}

/// A canonical path that no request can write in two ways, and nothing else of ours answers.
fn checked(found: &Found<String>, prefix: &str, problems: &mut Problems) -> Option<String> {
    let path = found.value.as_str();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-_.~!$&'()+,=:@".contains(&b);
    let below = path.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'));
    let flaw = match matching::path_flaw(path) {
        Some(flaw) => flaw,
        None if path == "/" => "it is the start page",
        None if path.len() > LONGEST || !path.bytes().all(plain) => {
            "it is too long, or holds characters that can be written in several ways"
        }
        None if below.is_some_and(|rest| rest != "/callback" && !rest.starts_with("/callback/")) => {
            "vestibule's own endpoints are there; below `server.prefix` only \"callback\" and what is below it can be chosen"
        }
        None => return Some(path.to_owned()),
    };
    problems.on(kinds::REDIRECT_PATH_BAD, found, format!("cannot be used: {flaw}"));
    None
}

/// Whoever adds a second provider moves the redirect URI of the first without noticing.
fn warn_of_second(written: &[Written], prefix: &str, problems: &mut Problems) {
    let [first, second] = written else { return };
    if first.path.is_some() || second.path.is_some() {
        return;
    }
    let message = format!(
        "the redirect URIs of `{0}` and `{1}` end in \"{prefix}/callback/{0}\" and \"{prefix}/callback/{1}\", because there are two providers",
        first.name.value, second.name.value
    );
    let reason = format!(
        "as the only provider, either of them had \"{prefix}/callback\"; a provider refuses a redirect URI that is not registered there"
    );
    let help = format!(
        "write redirect_path = \"{prefix}/callback\" for the one that was there first, or register its new URI and write that"
    );
    let diagnostic = problems.add(kinds::REDIRECT_PATH_MOVED, &second.name.place, message);
    diagnostic.also(&first.name.place, "the other one").reason(reason).help(help);
}

const LONGEST: usize = 256;
