//! Who somebody is, as the provider said it: claims in, one [`Identity`] out.
//!
//! What comes out is text without control characters. A claim that is absent, or is no such text, is absent here: nothing is made up
//! in its place (UI-07).

use std::borrow::Cow;
use std::sync::Arc;

pub use self::error::IdentityError;
use self::groups::GroupShape;
pub use self::path::{ClaimPath, ClaimPathError, Claims};
use self::text::{clean_text, has_control, is_address, says_unverified, text_of};
use self::user_name::UserName;

mod error;
pub mod groups;
pub mod kept;
mod path;
pub mod sought;
mod text;
pub mod user_name;

/// A person that a provider vouches for. The key of a person is the pair of [`issuer`](Self::issuer) and
/// [`subject`](Self::subject)
/// ([OpenID Connect Core 1.0 section 5.7](https://openid.net/specs/openid-connect-core-1_0.html#ClaimStability)); an e-mail address
/// is only ever a description.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    /// The configured name of the provider.
    pub provider: Arc<str>,
    /// The issuer; for a plain OAuth 2.0 provider, its authorization endpoint's origin.
    pub issuer: Arc<str>,
    /// The `sub` claim, or what the provider's `claims.subject` names. Empty only where the provider gives no identity at all.
    pub subject: String,
    /// The configured user claim, or the name that is made of it; absent when the provider did not send it.
    pub user: Option<String>,
    /// `preferred_username`.
    pub preferred_username: Option<String>,
    /// The e-mail address: exactly one `@`, no control characters, and not said to be unverified.
    pub email: Option<String>,
    /// The address that came, where the provider says that it is not verified: it names nobody, and only explains a refusal.
    pub unverified_email: Option<String>,
    /// The display name.
    pub name: Option<String>,
    /// The groups, in the provider's order, each once.
    pub groups: Vec<String>,
    /// Every claim, for rules and for headers made of claims.
    pub claims: Claims,
}

impl Identity {
    /// Reads an identity out of claims.
    ///
    /// # Errors
    /// When the claims name no usable subject, or not the user name that a rule makes of them.
    pub fn from_claims(
        provider: Arc<str>,
        issuer: Arc<str>,
        claims: Claims,
        mapping: &ClaimMapping,
    ) -> Result<Self, IdentityError> {
        let subject = mapping.subject_of(&claims).ok_or(IdentityError::SubjectMissing)?.into_owned();
        if subject.chars().count() > LONGEST_SUBJECT {
            return Err(IdentityError::SubjectTooLong);
        }
        if has_control(&subject) {
            return Err(IdentityError::SubjectInvalid);
        }
        let text = |path: &ClaimPath| clean_text(path.find(&claims));
        let address = text(&mapping.email).filter(|address| is_address(address));
        let (email, unverified_email) =
            if mapping.address_counts(&mapping.email, &claims) { (address, None) } else { (None, address) };
        Ok(Self {
            provider,
            issuer,
            subject,
            user: mapping.user.of(&claims, mapping.address_counts(&mapping.user.from, &claims))?,
            preferred_username: clean_text(claims.get("preferred_username")),
            email,
            unverified_email,
            name: text(&mapping.name),
            groups: mapping.groups.find(&claims).map(|claim| mapping.group_shape.names(claim)).unwrap_or_default(),
            claims,
        })
    }

    /// Whether both are one person. Nobody in particular is never the same as somebody.
    pub fn is_same_person(&self, other: &Self) -> bool {
        !self.subject.is_empty() && self.subject == other.subject && self.issuer == other.issuer
    }

    /// Somebody who signed in at a provider that says nothing about people.
    pub fn nobody(provider: Arc<str>, issuer: Arc<str>) -> Self {
        Self {
            provider,
            issuer,
            subject: String::new(),
            user: None,
            preferred_username: None,
            email: None,
            unverified_email: None,
            name: None,
            groups: Vec::new(),
            claims: Claims::new(),
        }
    }

    /// The e-mail address's domain, as it was written.
    pub fn email_domain(&self) -> Option<&str> {
        self.email.as_deref().and_then(domain_of)
    }
}

/// What stands behind the `@` of an address.
pub fn domain_of(email: &str) -> Option<&str> {
    email.split_once('@').map(|(_, domain)| domain)
}

/// Where the parts of an identity come from: the table `[provider.NAME.claims]`.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimMapping {
    /// Default `sub`.
    pub subject: ClaimPath,
    /// Default `sub`.
    pub user: UserName,
    /// Default `email`.
    pub email: ClaimPath,
    /// Default `name`.
    pub name: ClaimPath,
    /// Default `groups`.
    pub groups: ClaimPath,
    /// How the groups claim is written; by default a list of names, or one name.
    pub group_shape: GroupShape,
    /// Whether an address counts although the provider says that it is not verified (`insecure_unverified_email`).
    pub trust_unverified_email: bool,
}

impl ClaimMapping {
    /// The subject that these claims name, as text; `None` where they name none. Two sessions belong to one person when their
    /// issuers and these are equal.
    pub fn subject_of<'a>(&self, claims: &'a Claims) -> Option<Cow<'a, str>> {
        text_of(self.subject.find(claims))
    }

    /// Whether the address in a claim may name the person (UI-06).
    fn address_counts(&self, address: &ClaimPath, claims: &Claims) -> bool {
        self.trust_unverified_email
            || !email_verified(address).iter().filter_map(|path| path.find(claims)).any(says_unverified)
    }
}

/// The claims by which the address in a claim is said to be verified or not.
fn email_verified(address: &ClaimPath) -> [ClaimPath; 2] {
    [ClaimPath::named(EMAIL_VERIFIED), address.beside(EMAIL_VERIFIED)]
}

impl Default for ClaimMapping {
    fn default() -> Self {
        let path = ClaimPath::named;
        Self {
            subject: path("sub"),
            user: path("sub").into(),
            email: path("email"),
            name: path("name"),
            groups: path("groups"),
            group_shape: GroupShape::default(),
            trust_unverified_email: false,
        }
    }
}

/// The claim beside `email`.
const EMAIL_VERIFIED: &str = "email_verified";
/// In characters.
const LONGEST_SUBJECT: usize = 255;

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn claims(value: Value) -> Claims {
        match value {
            Value::Object(claims) => claims,
            other => panic!("{other}"),
        }
    }

    fn identity(value: Value) -> Result<Identity, IdentityError> {
        Identity::from_claims("corp".into(), "https://idp.example".into(), claims(value), &ClaimMapping::default())
    }

    fn with_email(mut value: Value, address: &str) -> Option<String> {
        value["sub"] = json!("1");
        value["email"] = json!(address);
        identity(value).unwrap().email
    }

    #[test]
    fn the_usual_claims_are_read() {
        let sent = json!({"sub": "u1", "email": "A@corp.example", "email_verified": true, "name": "Ada L.", "preferred_username": "ada", "groups": ["b", "a", "b"]});
        let ada = identity(sent).unwrap();
        assert_eq!(
            (ada.subject.as_str(), ada.user.as_deref(), ada.name.as_deref()),
            ("u1", Some("u1"), Some("Ada L."))
        );
        assert_eq!(
            (ada.email.as_deref(), ada.email_domain(), ada.preferred_username.as_deref()),
            (Some("A@corp.example"), Some("corp.example"), Some("ada"))
        );
        assert_eq!(ada.groups, ["b", "a"]);
    }

    #[test]
    fn absent_claims_are_absent() {
        // UI-07, AT-HS-10
        let somebody = identity(json!({"sub": "u1", "email": "", "name": null, "groups": {}})).unwrap();
        assert_eq!((somebody.email, somebody.name, somebody.preferred_username), (None, None, None));
        assert!(somebody.groups.is_empty());
    }

    #[test]
    fn a_subject_is_needed() {
        for value in [
            json!({}),
            json!({"sub": ""}),
            json!({"sub": "  "}),
            json!({"sub": null}),
            json!({"sub": true}),
            json!({"sub": ["a"]}),
            json!({"sub": {}}),
        ] {
            assert_eq!(identity(value), Err(IdentityError::SubjectMissing));
        }
        assert_eq!(identity(json!({"sub": "x".repeat(256)})), Err(IdentityError::SubjectTooLong));
        assert_eq!(identity(json!({"sub": "ä".repeat(255)})).unwrap().subject.chars().count(), 255);
        for bad in ["a\r\nX: y", "a\0", "a\u{7f}", "a\u{85}"] {
            assert_eq!(identity(json!({"sub": bad})), Err(IdentityError::SubjectInvalid), "{bad:?}");
        }
        assert_eq!(identity(json!({"sub": 12345})).unwrap().subject, "12345");
        // Not exactly what was sent any more, and equal to its neighbours.
        for number in ["1.5", "1e3", "18446744073709551616"] {
            let sent = serde_json::from_str(&format!(r#"{{"sub": {number}}}"#)).unwrap();
            assert_eq!(identity(sent), Err(IdentityError::SubjectMissing), "{number}");
        }
    }

    #[test]
    fn text_that_could_break_a_header_is_left_out() {
        // UI-08, AT-HS-11
        let sent = json!({"sub": "u1", "name": "a\r\nSet-Cookie: x=y", "preferred_username": "a\0b", "email": "a\n@b", "groups": ["ok", "a\nb", "", 7, null, {"x": 1}]});
        let somebody = identity(sent).unwrap();
        assert_eq!((somebody.name, somebody.preferred_username, somebody.email), (None, None, None));
        assert_eq!(somebody.groups, ["ok", "7"]);
    }

    #[test]
    fn an_email_counts_unless_it_is_unverified_or_odd() {
        // UI-06, AT-TP-18
        for yes in [
            json!({}),
            json!({"email_verified": true}),
            json!({"email_verified": "true"}),
            json!({"email_verified": null}),
        ] {
            assert_eq!(with_email(yes.clone(), "a@b.example").as_deref(), Some("a@b.example"), "{yes}");
        }
        for no in [json!(false), json!("false"), json!("False"), json!(""), json!(0), json!(1), json!([]), json!("no")]
        {
            assert_eq!(with_email(json!({"email_verified": no}), "a@b.example"), None, "{no}");
        }
        for odd in ["a", "@", "a@", "@b", "a@evil.example@b.example", "a b@c", "a@b\t", "a@b c", " a@b", "a@b\u{a0}"] {
            assert_eq!(with_email(json!({}), odd), None, "{odd:?}");
        }
    }

    #[test]
    fn the_verdict_beside_a_pointed_email_counts_too() {
        // UI-06
        let mapping = ClaimMapping { email: ClaimPath::parse("/user/mail").unwrap(), ..ClaimMapping::default() };
        let read = |value| Identity::from_claims("p".into(), "i".into(), claims(value), &mapping).unwrap().email;
        assert_eq!(read(json!({"sub": "1", "user": {"mail": "a@b", "email_verified": false}})), None);
        assert_eq!(read(json!({"sub": "1", "email_verified": false, "user": {"mail": "a@b"}})), None);
        assert_eq!(read(json!({"sub": "1", "user": {"mail": "a@b"}})).as_deref(), Some("a@b"));
    }

    #[test]
    fn an_unverified_email_is_remembered_as_such_and_counts_only_where_it_was_said_to() {
        // UI-06
        let sent = || claims(json!({"sub": "1", "email": "ann@corp.example", "email_verified": false}));
        let read = |trust_unverified_email, sent| {
            let mapping = ClaimMapping { trust_unverified_email, ..ClaimMapping::default() };
            Identity::from_claims("p".into(), "i".into(), sent, &mapping).unwrap()
        };
        let doubted = read(false, sent());
        assert_eq!((doubted.email, doubted.unverified_email.as_deref()), (None, Some("ann@corp.example")));
        let trusted = read(true, sent());
        assert_eq!((trusted.email.as_deref(), trusted.unverified_email), (Some("ann@corp.example"), None));
        // What is no address is none, whoever vouches for it.
        let odd = read(true, claims(json!({"sub": "1", "email": "a@evil.example@corp.example"})));
        assert_eq!((odd.email, odd.unverified_email), (None, None));
    }
}
