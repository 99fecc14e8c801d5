//! What a session takes in memory, for a cache that is bounded in bytes.
//!
//! It is counted, not guessed from the cookie's length: claims unpacked take five times their text, and how much of a cookie is
//! claims and how much signatures is each provider's own. `tests/allocations.rs` holds it against what is really allocated.

use http::{HeaderName, HeaderValue};
use serde_json::Value;

use crate::identity::{Claims, Identity};
use crate::session::cell::SessionCell;
use crate::session::live::LiveSession;

/// About how many bytes of memory a session takes, the cache's own entry for it and what an allocator adds included.
pub fn of(live: &LiveSession) -> usize {
    let own =
        size_of::<LiveSession>() + size_of::<SessionCell>() + live.handle.as_str().len() + live.name.len() + 4 * BLOCK;
    own + CACHE_ENTRY
        + block(live.host.authority().len() + SHARED)
        + block(live.scope.as_ref().map_or(0, String::capacity))
        + identity(&live.identity)
        + live.headers.sets().map(set).sum::<usize>()
}

/// Of an identity.
fn identity(identity: &Identity) -> usize {
    let Identity {
        provider: _,
        issuer: _,
        subject,
        user,
        preferred_username,
        email,
        unverified_email,
        name,
        groups,
        claims: all,
    } = identity;
    let optional = [user, preferred_username, email, unverified_email, name].into_iter().flatten();
    let texts = optional.chain(groups).chain([subject]).map(|text| block(text.capacity())).sum::<usize>();
    texts + block(groups.capacity() * size_of::<String>()) + claims(all)
}

/// A name and a value stand in each place; a rendered value is shared bytes, which have a head of their own.
fn set(set: &[(HeaderName, HeaderValue)]) -> usize {
    let field = |(_, value): &(_, HeaderValue)| size_of::<(HeaderName, HeaderValue)>() + block(value.len());
    set.iter().map(field).sum::<usize>() + BLOCK
}

/// Of claims.
fn claims(claims: &Claims) -> usize {
    let members = |(name, value): (&String, &Value)| block(name.capacity()) + value_of(value);
    // A tree's nodes have eleven places each, of which at least five are taken.
    claims.len().div_ceil(MEMBERS_A_NODE) * NODE + claims.iter().map(members).sum::<usize>()
}

/// Of a value, besides its own place.
fn value_of(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => block(text.capacity()),
        Value::Array(items) => block(items.capacity() * size_of::<Value>()) + items.iter().map(value_of).sum::<usize>(),
        Value::Object(members) => claims(members),
    }
}

/// What an allocation of this size takes, with the allocator's own part.
const fn block(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { bytes + BLOCK }
}

/// What an allocator adds.
const BLOCK: usize = 16;
/// The two counts of what is shared.
const SHARED: usize = 2 * size_of::<usize>();
/// A node of a tree of claims.
const NODE: usize = 11 * (size_of::<String>() + size_of::<Value>()) + 2 * BLOCK;
/// How many of a node's places are taken.
const MEMBERS_A_NODE: usize = 8;
/// The cache's table, its two queues, and its notes about the entry.
const CACHE_ENTRY: usize = 320;
