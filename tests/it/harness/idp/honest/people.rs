//! The people that the provider knows.

use serde_json::json;

use vestibule::identity::Claims;

/// Somebody who can be chosen on the provider's page.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    /// `sub`: what stays the same whatever else changes.
    pub(crate) sub: String,
    /// Every other claim about the person.
    pub(crate) claims: Claims,
}

impl Person {
    /// A person with the usual claims.
    pub(crate) fn new(sub: &str, name: &str, username: &str, groups: &[&str]) -> Self {
        let claims = [
            ("name", json!(name)),
            ("preferred_username", json!(username)),
            ("email", json!(format!("{username}@example.com"))),
            ("email_verified", json!(true)),
            ("groups", json!(groups)),
        ];
        Self { sub: sub.to_owned(), claims: claims.map(|(name, value)| (name.to_owned(), value)).into_iter().collect() }
    }

    /// Ada and Grace: of different groups, so that what one may do the other may not.
    pub(crate) fn two() -> Vec<Self> {
        vec![
            Self::new("248289761001", "Ada Lovelace", "ada", &["staff", "admins"]),
            Self::new("248289761002", "Grace Hopper", "grace", &["staff"]),
        ]
    }

    /// What the page calls the person.
    pub(super) fn title(&self) -> &str {
        self.text("name").unwrap_or(&self.sub)
    }

    /// A claim that is text.
    pub(super) fn text(&self, claim: &str) -> Option<&str> {
        self.claims.get(claim)?.as_str()
    }

    /// The claims that these scopes ask for
    /// ([OpenID Connect Core 1.0 section 5.4](https://openid.net/specs/openid-connect-core-1_0.html#rfc.section.5.4)); what no
    /// scope names is always given.
    pub(super) fn released(&self, scopes: &str) -> Claims {
        let granted = |wanted: &str| scopes.split(' ').any(|scope| scope == wanted);
        let released = self.claims.iter().filter(|(name, _)| match name.as_str() {
            "name" | "preferred_username" => granted("profile"),
            "email" | "email_verified" => granted("email"),
            "groups" => granted("groups") || granted("profile"),
            _ => true,
        });
        released.map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}
