//! A claim that was sought and did not come: the names of those that came, and which of them was probably meant.

use serde_json::Value;

use super::{ClaimPath, Claims};
use crate::nearest::nearest;

/// The names of the claims that came, for a log line: sorted, and no more than a line holds.
pub fn names(claims: &Claims) -> String {
    let shown: Vec<&str> = claims.keys().take(MOST_NAMES).map(String::as_str).collect();
    let more = if claims.len() > MOST_NAMES { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

/// The claim that came under nearly the same name, as it would have to be written: `realm_access.roles` for
/// `/realm_access/roles`, another case, a letter too many.
pub fn meant(sought: &ClaimPath, claims: &Claims) -> Option<String> {
    let mut places = Vec::new();
    gather(claims, "", &mut places);
    let written = sought.to_string();
    // It may be there, as null.
    places.retain(|place| *place != written);
    let (steps, leaf) = (steps(&written), Some(leaf(&written)?));
    let same = places.iter().find(|place| self::steps(place) == steps);
    // Nearly every pair of short names is near: `oid` and `sid` are not one claim misspelt.
    let is_long = written.len() >= SHORTEST_MISSPELT;
    let near = || nearest(&written, places.iter().map(String::as_str)).filter(|_| is_long);
    // The last name, somewhere else: `roles` for `/realm_access/roles`.
    let elsewhere = || places.iter().map(String::as_str).find(|place| self::leaf(place) == leaf);
    same.map(String::as_str).or_else(near).or_else(elsewhere).map(str::to_owned)
}

/// Where names were written with another sign between them, and the claim is there: surely meant.
pub fn surely_meant(sought: &ClaimPath, claims: &Claims) -> Option<String> {
    meant(sought, claims).filter(|place| steps(place) == steps(&sought.to_string()))
}

/// Every claim that came, as an operator would write it: plain names at the top, pointers below.
fn gather(members: &Claims, above: &str, places: &mut Vec<String>) {
    for (name, value) in members {
        if places.len() >= MOST_PLACES {
            return;
        }
        let is_top = above.is_empty();
        let pointer = format!("{above}/{}", name.replace('~', "~0").replace('/', "~1"));
        places.push(if is_top && !name.starts_with('/') { name.clone() } else { pointer.clone() });
        if let Value::Object(inner) = value
            && pointer.matches('/').count() < DEEPEST
        {
            gather(inner, &pointer, places);
        }
    }
}

/// The names of a place without the signs between them.
fn steps(place: &str) -> Vec<String> {
    let parts = place.to_ascii_lowercase().replace("~1", "/").replace("~0", "~");
    parts.split(['/', '.', ':']).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// The last name of a place.
fn leaf(place: &str) -> Option<String> {
    steps(place).pop()
}

/// As many names as a log line shows.
const MOST_NAMES: usize = 60;
/// As many places as are compared.
const MOST_PLACES: usize = 500;
/// As deep as objects are looked into.
const DEEPEST: usize = 4;
/// Shorter names are not taken for misspelt ones.
const SHORTEST_MISSPELT: usize = 5;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_claim_that_was_meant_is_found() {
        let Value::Object(came) = json!({
            "sub": "1", "groups": ["x"], "realm_access": {"roles": ["r"]}, "resource_access": {"wiki.app": {"roles": ["r"]}},
            "https://corp.example/teams": ["t"], "cognito:username": "ann",
        }) else {
            panic!()
        };
        let meant = |sought| meant(&ClaimPath::parse(sought).unwrap(), &came);
        for (sought, place) in [
            ("realm_access.roles", "/realm_access/roles"),
            ("realm_access/roles", "/realm_access/roles"),
            ("/realm_access/rolez", "/realm_access/roles"),
            ("/realm_access.roles", "/realm_access/roles"),
            ("resource_access.wiki.app.roles", "/resource_access/wiki.app/roles"),
            ("/https://corp.example/teams", "https://corp.example/teams"),
            ("/cognito/username", "cognito:username"),
            ("roles", "/realm_access/roles"),
            ("Groups", "groups"),
            ("group", "groups"),
            ("/realm/groups", "groups"),
        ] {
            assert_eq!(meant(sought).as_deref(), Some(place), "{sought}");
        }
        assert_eq!(meant("department"), None);
        assert_eq!(meant("sid"), None, "for sub");
        let sure = |sought| surely_meant(&ClaimPath::parse(sought).unwrap(), &came);
        assert_eq!(sure("realm_access.roles").as_deref(), Some("/realm_access/roles"));
        assert_eq!((sure("group"), sure("roles")), (None, None));
    }

    #[test]
    fn what_is_shown_has_an_end() {
        let many: Claims = (0..5000).map(|n| (format!("claim-{n}"), json!({"a": {"b": n}}))).collect();
        assert!(names(&many).len() < 1000);
        assert_eq!(meant(&ClaimPath::parse("department").unwrap(), &many), None);
        assert_eq!(names(&Claims::new()), "");
    }
}
