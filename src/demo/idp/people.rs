//! The people that the provider knows.

use serde_json::json;

use crate::identity::Claims;

/// Somebody who can be chosen on the provider's page.
#[derive(Debug)]
pub(super) struct EndUser {
    /// `sub`: what stays the same whatever else changes.
    pub(super) sub: &'static str,
    pub(super) name: &'static str,
    username: &'static str,
    pub(super) groups: &'static [&'static str],
}

/// Ada and Grace: of different groups, so that what one may do the other may not.
pub(super) static PEOPLE: [EndUser; 2] = [
    EndUser { sub: "248289761001", name: "Ada Lovelace", username: "ada", groups: &["staff", "admins"] },
    EndUser { sub: "248289761002", name: "Grace Hopper", username: "grace", groups: &["staff"] },
];

impl EndUser {
    /// The claims that these scopes ask for
    /// ([OpenID Connect Core 1.0 section 5.4](https://openid.net/specs/openid-connect-core-1_0.html#rfc.section.5.4)).
    pub(super) fn claims(&self, scopes: &str) -> Claims {
        let claims = [
            ("openid", "sub", json!(self.sub)),
            ("profile", "name", json!(self.name)),
            ("profile", "preferred_username", json!(self.username)),
            ("email", "email", json!(format!("{}@example.com", self.username))),
            ("email", "email_verified", json!(true)),
            ("groups", "groups", json!(self.groups)),
        ];
        let granted = claims.into_iter().filter(|(needs, ..)| scopes.split(' ').any(|scope| scope == *needs));
        granted.map(|(_, name, value)| (name.to_owned(), value)).collect()
    }
}
