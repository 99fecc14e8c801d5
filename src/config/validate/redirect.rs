//! `redirect_path`: where people come back to from each provider, a path of its own for each (IS-03,
//! [RFC 9700 section 4.4.2](https://www.rfc-editor.org/rfc/rfc9700#section-4.4.2)).

use super::super::file::ProviderTable;
use super::{Field, Flaw, Found, Named, Place, Problems, kinds, matching};
use crate::provider::settings::ProviderSettings;

/// Gives each provider its path: as written, else by how many providers there are.
pub(super) fn settle(
    providers: &mut [ProviderSettings],
    tables: &Field<Named<ProviderTable, true>>,
    prefix: &str,
    problems: &mut Problems,
) {
    let alone = providers.len() == 1;
    let mut taken: Vec<(String, Place)> = Vec::new();
    // Both in the order of the file: there are settings for each table, or none at all.
    let tables: Vec<_> = tables.value().into_iter().flat_map(Named::given).collect();
    for (provider, (name, table)) in providers.iter_mut().zip(&tables) {
        let (chosen, place) = match table.value.redirect_path.given() {
            Some(found) => (problems.sound(found, checked(&found.value, prefix)), &found.place),
            None if alone => (Some(format!("{prefix}/callback")), &name.place),
            None => (Some(format!("{prefix}/callback/{}", provider.name)), &name.place),
        };
        let Some(chosen) = chosen else { continue };
        if let Some((_, first)) = taken.iter().find(|(known, _)| *known == chosen) {
            let message = format!("two providers have the redirect path \"{chosen}\"");
            problems.add(kinds::REDIRECT_PATH_TWICE, place, message).also(first, "here first");
        }
        taken.push((chosen.clone(), place.clone()));
        provider.redirect_path = chosen;
    }
    if let [(first, one), (second, other)] = tables.as_slice()
        && one.value.redirect_path.given().is_none()
        && other.value.redirect_path.given().is_none()
    {
        warn_of_second(first, second, prefix, problems);
    }
}

/// A canonical path that no request can write in two ways, and nothing else of ours answers.
fn checked(path: &str, prefix: &str) -> Result<String, Flaw> {
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
        None => return Ok(path.to_owned()),
    };
    Err(Flaw::new(kinds::REDIRECT_PATH_BAD, format!("cannot be used: {flaw}")))
}

/// Whoever adds a second provider moves the redirect URI of the first without noticing.
fn warn_of_second(first: &Found<String>, second: &Found<String>, prefix: &str, problems: &mut Problems) {
    let message = format!(
        "the redirect URIs of `{0}` and `{1}` end in \"{prefix}/callback/{0}\" and \"{prefix}/callback/{1}\", because there are two providers",
        first.value, second.value
    );
    let reason = format!(
        "as the only provider, either of them had \"{prefix}/callback\"; a provider refuses a redirect URI that is not registered there"
    );
    let help = format!(
        "write redirect_path = \"{prefix}/callback\" for the one that was there first, or register its new URI and write that"
    );
    let diagnostic = problems.add(kinds::REDIRECT_PATH_MOVED, &second.place, message);
    diagnostic.also(&first.place, "the other one").reason(reason).help(help);
}

/// The longest path, in bytes.
const LONGEST: usize = 256;
