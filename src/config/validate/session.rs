//! `[session]`.

use std::collections::HashSet;
use std::time::Duration;

use super::super::file::SessionTable;
use super::super::redacted::SecretSource;
use super::super::words::{KeptToken, Store};
use super::{Found, Place, Problems, Timespan, cookie, first_flaw, kinds, opened, positive};
use crate::gateway::settings::PublicUrl;
use crate::seal;
use crate::secret::Secret;
use crate::session::settings::{SessionSettings, TokenKinds};

/// Lifetimes and contents of a session.
pub(super) fn session(
    table: &Found<SessionTable>,
    public_url: Option<&PublicUrl>,
    problems: &mut Problems,
) -> Option<SessionSettings> {
    let keys = &table.value;
    // The only store of this version.
    let (Some(Store::Cookie) | None) = keys.store.value();
    let lifetime = positive(&keys.lifetime, LIFETIME, problems);
    let idle_timeout = positive(&keys.idle_timeout, IDLE.min(lifetime), problems);
    if let Some(found) = keys.idle_timeout.given().filter(|found| found.value.0 > lifetime) {
        problems.on(kinds::IDLE_LONGER_THAN_LIFE, found, "is longer than `session.lifetime`");
    }
    let attempt_life = positive(&keys.attempt_life, ATTEMPT_LIFE, problems);
    let cookie = cookie::cookie(&opened(keys.cookie.clone(), problems)?.value, public_url, problems);
    Some(SessionSettings {
        lifetime,
        idle_timeout,
        refresh_before: keys.refresh_before.value().map(|it| it.0),
        keep: kept(keys),
        cookie: cookie?,
        cache_bytes: keys.cache_bytes.value().map_or(CACHE_BYTES, |size| size.0),
        grace: keys.refresh_grace.or(Timespan(GRACE)).0,
        attempt_life,
        clock_leeway: Duration::ZERO,
    })
}

/// The tokens that a session keeps.
fn kept(keys: &SessionTable) -> TokenKinds {
    let Some(list) = keys.keep.value() else { return TokenKinds::ALL };
    let has = |token| list.0.iter().any(|item| item.value == token);
    TokenKinds { access: has(KeptToken::Access), refresh: has(KeptToken::Refresh), id_token: has(KeptToken::Id) }
}

/// The key ring's keys: at least one, all different, none that could be guessed.
pub(super) fn keys(table: &Found<SessionTable>, problems: &mut Problems) -> Option<SessionKeys> {
    let field = &table.value.keys;
    let found = field.required(kinds::SESSION_KEYS_MISSING, (&table.place, "session"), "keys", problems)?;
    if found.value.0.is_empty() {
        problems.on(kinds::SESSION_KEYS_EMPTY, found, "is an empty list");
        return None;
    }
    let mut keys: Vec<Found<Secret<[u8; 32]>>> = Vec::new();
    for item in &found.value.0 {
        let Some(key) = checked_key(item.value.0.expose(), &item.place, problems) else { continue };
        if let Some(first) = keys.iter().find(|other| other.value == key) {
            let message = "a session key is given twice";
            problems.add(kinds::GIVEN_TWICE, &item.place, message).also(&first.place, "here first");
        }
        keys.push(item.with(key));
    }
    let sources = found.value.0.iter().map(|item| item.value.1.clone()).collect();
    Some((keys.into_iter().map(|found| found.value).collect(), sources))
}

/// The keys, and where each was read from.
type SessionKeys = (Vec<Secret<[u8; 32]>>, Vec<SecretSource>);

/// A session key that cannot be guessed.
fn checked_key(text: &str, place: &Place, problems: &mut Problems) -> Option<Secret<[u8; 32]>> {
    let key = seal::parse_key(text).map_err(|error| error.to_string());
    let key = key.and_then(|key| guessable(key.expose()).map_or_else(|| Ok(key.clone()), |flaw| Err(flaw.to_owned())));
    key.map_err(|flaw| {
        problems.add(kinds::SESSION_KEY_BAD, place, format!("a session key cannot be used: {flaw}"));
    })
    .ok()
}

/// Why 32 bytes are surely not random (AT-CL-14). Each test strikes a random key less than once in 10^12 times.
fn guessable(key: &[u8; 32]) -> Option<&'static str> {
    let steps = |step: u8| key.iter().zip(key.iter().skip(1)).all(|(a, b)| a.wrapping_add(step) == *b);
    first_flaw([
        (key.iter().collect::<HashSet<_>>().len() < 16, "it repeats a few bytes"),
        (key.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' '), "it spells text, and is not random"),
        (steps(1) || steps(255), "it counts up or down, and is not random"),
    ])
}

/// `session.lifetime`.
const LIFETIME: Duration = Duration::from_secs(12 * 3600);
/// `session.idle_timeout`.
const IDLE: Duration = Duration::from_secs(3600);
/// `session.refresh_grace`.
const GRACE: Duration = Duration::from_secs(30);
/// `session.attempt_life`.
const ATTEMPT_LIFE: Duration = Duration::from_secs(30 * 60);
/// `session.cache_bytes`.
const CACHE_BYTES: u64 = 8 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_anybody_could_guess_are_refused() {
        // AT-CL-14
        let counting: [u8; 32] = std::array::from_fn(|i| u8::try_from(i).unwrap());
        assert!(guessable(&counting).is_some());
        assert!(guessable(&[7; 32]).is_some());
        assert!(guessable(b"correct horse battery staple now").is_some());
    }

    #[test]
    fn random_keys_are_taken() {
        for _ in 0..1000 {
            assert_eq!(guessable(&seal::random()), None);
        }
    }
}
