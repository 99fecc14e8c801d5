//! Which claims a configuration reads, so that a session need not carry the others through every request.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::{ClaimMapping, ClaimPath, Claims, email_verified};

/// The claims of one provider's people that something reads: the parts of an identity, rules, headers, and the checks of a
/// refreshed token against those of the sign-in.
#[derive(Clone, Debug)]
pub struct ReadClaims(Vec<ClaimPath>);

impl ReadClaims {
    /// Those of a mapping, and others.
    pub fn new(mapping: &ClaimMapping, others: &[ClaimPath]) -> Self {
        let ClaimMapping { subject, user, email, name, groups, group_shape: _, trust_unverified_email: _ } = mapping;
        let mut paths: Vec<ClaimPath> = PROTOCOL.iter().map(|name| ClaimPath::named(name)).collect();
        let verdicts = [email_verified(email), email_verified(&user.from)];
        let own = [subject, &user.from, email, name, groups].into_iter().chain(verdicts.iter().flatten());
        for path in own.chain(others) {
            if !paths.contains(path) {
                paths.push(path.clone());
            }
        }
        Self(paths)
    }

    /// The claims that are read, out of all. Of an object, only the members that a pointer leads to.
    pub fn of(&self, claims: &Claims) -> Claims {
        let mut read = Claims::new();
        for path in &self.0 {
            let names: Vec<_> = path.names().collect();
            copy(&names, claims, &mut read);
        }
        read
    }

    /// How many bytes of JSON in these claims nothing reads. The claims that every token has (`exp`, `iat`, …) do not count.
    pub fn unread_bytes(&self, claims: &Claims) -> usize {
        let mut rest = claims.clone();
        rest.retain(|name, _| !OF_TOKENS.contains(&name.as_str()));
        let read = bytes(&self.of(&rest));
        bytes(&rest).saturating_sub(read)
    }
}

/// The length of claims as JSON.
fn bytes(claims: &Claims) -> usize {
    serde_json::to_vec(claims).map_or(0, |json| json.len())
}

/// Copies what a path leads to.
fn copy(path: &[Cow<'_, str>], from: &Claims, to: &mut Claims) {
    let Some((name, rest)) = path.split_first() else { return };
    match from.get(name.as_ref()) {
        Some(Value::Object(members)) if !rest.is_empty() => {
            let inner = to.entry(name.as_ref()).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                copy(rest, members, inner);
            }
        }
        // A place in a list counts from its beginning: the list stays whole.
        Some(value) if rest.is_empty() || value.is_array() => {
            to.insert(name.clone().into_owned(), value.clone());
        }
        _ => {}
    }
}

/// What a refreshed token is held against, and what audit lines and headers show of the sign-in.
const PROTOCOL: [&str; 10] =
    ["iss", "sub", "aud", "azp", "auth_time", "acr", "amr", "sid", "tid", "preferred_username"];
/// Claims of the token itself, which say nothing about the person.
const OF_TOKENS: [&str; 9] = ["exp", "iat", "nbf", "jti", "nonce", "at_hash", "c_hash", "s_hash", "typ"];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(value: Value) -> Claims {
        let Value::Object(claims) = value else { panic!("no object") };
        claims
    }

    fn read(paths: &[&str], sent: Value) -> Value {
        let paths: Vec<ClaimPath> = paths.iter().map(|path| ClaimPath::parse(path).unwrap()).collect();
        Value::Object(ReadClaims::new(&ClaimMapping::default(), &paths).of(&claims(sent)))
    }

    #[test]
    fn what_is_read_stays_and_nothing_else() {
        let sent = json!({
            "sub": "1", "iss": "i", "sid": "s", "email": "a@b", "email_verified": true, "groups": ["g"], "picture": "x",
            "realm_access": {"roles": ["a"], "more": 1}, "resource_access": {"wiki": {"roles": ["r"]}, "other": {"roles": ["o"]}},
            "list": [{"a": 1}, {"b": 2}], "department": {"name": "it"},
        });
        assert_eq!(
            read(
                &["/resource_access/wiki/roles", "/list/1/b", "department", "/department/name", "/sub/deeper", "none"],
                sent
            ),
            json!({
                "sub": "1", "iss": "i", "sid": "s", "email": "a@b", "email_verified": true, "groups": ["g"],
                "resource_access": {"wiki": {"roles": ["r"]}}, "list": [{"a": 1}, {"b": 2}], "department": {"name": "it"},
            })
        );
    }

    /// Whatever a path finds, it finds in what is left too.
    #[test]
    fn a_path_that_is_read_finds_the_same_in_what_is_kept() {
        let sent = claims(json!({
            "": "empty", "a": {"b": [{"c": 1}, [2]], "": 3, "x/y": {"~": 4}}, "b": null, "groups": {"k": {}}, "a/b": 5,
        }));
        for path in [
            "a",
            "/a",
            "/a/b",
            "/a/b/0/c",
            "/a/b/1/0",
            "/a/",
            "/a/x~1y/~0",
            "b",
            "/b",
            "/b/c",
            "a/b",
            "/a~1b",
            "/groups/k",
        ] {
            let path = ClaimPath::parse(path).unwrap();
            let kept = ReadClaims::new(&ClaimMapping::default(), std::slice::from_ref(&path)).of(&sent);
            assert_eq!(path.find(&kept), path.find(&sent), "{path}");
        }
    }

    #[test]
    fn the_verdict_on_an_address_stays_with_it_wherever_it_stands() {
        // UI-06
        let mapping = ClaimMapping { email: ClaimPath::parse("/user/mail").unwrap(), ..ClaimMapping::default() };
        let sent = claims(json!({"user": {"mail": "a@b", "email_verified": false, "phone": 1}, "email": "c@d"}));
        let kept = ReadClaims::new(&mapping, &[]).of(&sent);
        assert_eq!(Value::Object(kept), json!({"user": {"mail": "a@b", "email_verified": false}}));
    }

    #[test]
    fn only_what_nothing_reads_is_counted() {
        let reads = ReadClaims::new(&ClaimMapping::default(), &[]);
        let unread = |sent| reads.unread_bytes(&claims(sent));
        assert_eq!(unread(json!({"sub": "1", "exp": 1, "at_hash": "x", "groups": ["a", "b"]})), 0);
        assert!(unread(json!({"sub": "1", "roles": ["x".repeat(1000)]})) > 1000);
    }
}
