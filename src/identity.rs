//! Who somebody is, as the provider told it: claims in, one [`Identity`] out.
//!
//! What comes out is text without control characters. A claim that is absent, or is no such text, is absent here: nothing is made up
//! in its place (UI-07).

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Map, Value};

/// Claims as a provider sent them.
pub type Claims = Map<String, Value>;

/// A person that a provider vouches for. The key of a person is the pair of [`issuer`](Self::issuer) and
/// [`subject`](Self::subject) (OpenID Connect Core 1.0, section 5.7); an e-mail address is only ever a description.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    /// The configured name of the provider.
    pub provider: Arc<str>,
    /// The issuer; for a plain OAuth 2.0 provider, its authorization endpoint's origin.
    pub issuer: Arc<str>,
    /// The `sub` claim, or what the provider's `claims.subject` names. Empty only where the provider gives no identity at all.
    pub subject: String,
    /// The configured user claim; absent when the provider did not send it.
    pub user: Option<String>,
    /// `preferred_username`.
    pub preferred_username: Option<String>,
    /// The e-mail address: exactly one `@`, no control characters, and not said to be unverified.
    pub email: Option<String>,
    /// The display name.
    pub name: Option<String>,
    /// The groups, in the provider's order, each once.
    pub groups: Vec<String>,
    /// Every claim, for rules and for headers made of claims.
    pub claims: Claims,
}

/// Claims that do not say who somebody is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum IdentityError {
    /// No subject, an empty one, or one that is neither text nor a number.
    #[error("the provider sent no subject")]
    SubjectMissing,
    /// OpenID Connect Core 1.0 section 2 allows 255 characters.
    #[error("the provider sent a subject of more than 255 characters")]
    SubjectTooLong,
    /// It could break a log line or a header.
    #[error("the provider sent a subject with control characters")]
    SubjectInvalid,
}

impl IdentityError {
    /// A stable reason for logs and pages.
    pub fn code(&self) -> &'static str {
        match self {
            Self::SubjectMissing => "subject_missing",
            Self::SubjectTooLong => "subject_too_long",
            Self::SubjectInvalid => "subject_invalid",
        }
    }
}

impl Identity {
    /// Reads an identity out of claims.
    ///
    /// # Errors
    /// When the claims name no usable subject.
    pub fn from_claims(
        provider: Arc<str>,
        issuer: Arc<str>,
        claims: Claims,
        mapping: &ClaimMapping,
    ) -> Result<Self, IdentityError> {
        let subject = text_of(mapping.subject.find(&claims)).ok_or(IdentityError::SubjectMissing)?.into_owned();
        if subject.chars().count() > LONGEST_SUBJECT {
            return Err(IdentityError::SubjectTooLong);
        }
        if has_control(&subject) {
            return Err(IdentityError::SubjectInvalid);
        }
        let text = |path: &ClaimPath| clean_text(path.find(&claims));
        Ok(Self {
            provider,
            issuer,
            subject,
            user: text(&mapping.user),
            preferred_username: clean_text(claims.get("preferred_username")),
            email: email(&claims, &mapping.email),
            name: text(&mapping.name),
            groups: mapping.groups.find(&claims).map(groups).unwrap_or_default(),
            claims,
        })
    }

    /// Whether both are one person. Nobody in particular is never the same as somebody.
    pub fn is_same_person(&self, other: &Self) -> bool {
        !self.subject.is_empty() && self.subject == other.subject && self.issuer == other.issuer
    }

    /// Somebody who signed in at a provider that tells nothing about people.
    pub fn nobody(provider: Arc<str>, issuer: Arc<str>) -> Self {
        Self {
            provider,
            issuer,
            subject: String::new(),
            user: None,
            preferred_username: None,
            email: None,
            name: None,
            groups: Vec::new(),
            claims: Claims::new(),
        }
    }

    /// The e-mail address's domain, as it was written.
    pub fn email_domain(&self) -> Option<&str> {
        self.email.as_deref()?.split_once('@').map(|(_, domain)| domain)
    }
}

/// Where the parts of an identity come from: the table `[provider.NAME.claims]`.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimMapping {
    /// Default `sub`.
    pub subject: ClaimPath,
    /// Default `sub`.
    pub user: ClaimPath,
    /// Default `email`.
    pub email: ClaimPath,
    /// Default `name`.
    pub name: ClaimPath,
    /// Default `groups`.
    pub groups: ClaimPath,
}

impl Default for ClaimMapping {
    fn default() -> Self {
        let path = |name: &str| ClaimPath(name.to_owned());
        Self {
            subject: path("sub"),
            user: path("sub"),
            email: path("email"),
            name: path("name"),
            groups: path("groups"),
        }
    }
}

/// One claim: a plain name (`groups`, also with dots or as a URL), or a JSON pointer when it starts with `/`
/// (`/realm_access/roles`, RFC 6901).
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct ClaimPath(String);

/// Text that names no claim.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ClaimPathError {
    /// Nothing, or only a slash.
    #[error("a claim needs a name")]
    Empty,
    /// RFC 6901 section 3.
    #[error("in a JSON pointer, `~` is written `~0`, and `/` within a name `~1`")]
    BadEscape,
    /// No claim has such a name.
    #[error("the name of a claim can not hold control characters")]
    ControlCharacter,
}

impl ClaimPath {
    /// Reads a claim's name or pointer as an operator writes it.
    ///
    /// # Errors
    /// When it can not name a claim.
    pub fn parse(text: &str) -> Result<Self, ClaimPathError> {
        if text.is_empty() || text == "/" {
            return Err(ClaimPathError::Empty);
        }
        if text.contains(char::is_control) {
            return Err(ClaimPathError::ControlCharacter);
        }
        let escapes_are_good = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
        if text.starts_with('/') && !escapes_are_good {
            return Err(ClaimPathError::BadEscape);
        }
        Ok(Self(text.to_owned()))
    }

    /// The claim's value. A plain name is matched exactly, language tags included (`name#ja` is another claim than `name`, UI-09).
    pub fn find<'a>(&self, claims: &'a Claims) -> Option<&'a Value> {
        let Some(pointer) = self.0.strip_prefix('/') else {
            return claims.get(&self.0);
        };
        let (first, rest) = pointer.split_once('/').map_or((pointer, None), |(first, rest)| (first, Some(rest)));
        let value = claims.get(first.replace("~1", "/").replace("~0", "~").as_str())?;
        match rest {
            Some(rest) => value.pointer(&format!("/{rest}")),
            None => Some(value),
        }
    }

    /// The claim beside this one: `/user/email` and `email_verified` give `/user/email_verified`.
    fn beside(&self, name: &str) -> Self {
        let parent = self.0.rsplit_once('/').filter(|_| self.0.starts_with('/')).map(|(parent, _)| parent);
        Self(parent.map_or_else(|| name.to_owned(), |parent| format!("{parent}/{name}")))
    }
}

impl std::fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

// Numbers are names too: user ids of several plain OAuth 2.0 providers.
fn text_of(value: Option<&Value>) -> Option<Cow<'_, str>> {
    match value? {
        Value::String(text) if !text.trim().is_empty() => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        _ => None,
    }
}

// AT-HS-11: text that could break a header or a log line is not shortened or repaired, because then it would name somebody else.
fn clean_text(value: Option<&Value>) -> Option<String> {
    text_of(value).filter(|text| !has_control(text)).map(Cow::into_owned)
}

fn email(claims: &Claims, path: &ClaimPath) -> Option<String> {
    let verified_beside = [ClaimPath("email_verified".to_owned()), path.beside("email_verified")];
    if verified_beside.iter().filter_map(|p| p.find(claims)).any(says_unverified) {
        return None;
    }
    clean_text(path.find(claims)).filter(|address| is_address(address))
}

// UI-06, AT-TP-18: absent (or null) says nothing; anything that is there and is not "yes" is "no".
fn says_unverified(claim: &Value) -> bool {
    match claim {
        Value::Null | Value::Bool(true) => false,
        Value::String(text) => !text.eq_ignore_ascii_case("true"),
        _ => true,
    }
}

// A second `@` is how "me@evil.example@corp.example" gets by a check of domains.
fn is_address(text: &str) -> bool {
    let clean = !text.contains(|c: char| c.is_whitespace() || c.is_control());
    clean
        && text
            .split_once('@')
            .is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty() && !domain.contains('@'))
}

// Lists; objects, whose keys are the names (as some providers send roles); or one text with several names in it.
fn groups(claim: &Value) -> Vec<String> {
    let names: Vec<Cow<'_, str>> = match claim {
        Value::Array(list) => list.iter().filter_map(|item| text_of(Some(item))).collect(),
        Value::Object(members) => members.keys().map(|name| Cow::Borrowed(name.as_str())).collect(),
        Value::String(text) if text.contains(',') => text.split(',').map(|name| Cow::Borrowed(name.trim())).collect(),
        Value::String(text) => text.split_whitespace().map(Cow::Borrowed).collect(),
        _ => Vec::new(),
    };
    let mut each_once: Vec<&str> = Vec::with_capacity(names.len());
    let mut seen = HashSet::new();
    for name in names.iter().map(Cow::as_ref).filter(|name| !name.is_empty() && !has_control(name)) {
        // A few are compared sooner than hashed; thousands would be compared until tomorrow.
        let is_new = if each_once.len() < COMPARED {
            !each_once.contains(&name)
        } else {
            if seen.is_empty() {
                seen.extend(each_once.iter().copied());
            }
            seen.insert(name)
        };
        if is_new {
            each_once.push(name);
        }
    }
    each_once.into_iter().map(str::to_owned).collect()
}

fn has_control(text: &str) -> bool {
    // Nearly all text is printable ASCII, which is seen without taking characters apart.
    !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) && text.contains(char::is_control)
}

const LONGEST_SUBJECT: usize = 255;
/// So many groups at most are compared with each other.
const COMPARED: usize = 32;

#[cfg(test)]
mod tests {
    use serde_json::json;

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
    fn each_group_is_there_once_however_many_there_are() {
        for count in [COMPARED - 1, COMPARED, COMPARED + 1, 3 * COMPARED] {
            let names: Vec<String> = (0..count).map(|n| format!("group-{n}")).collect();
            let twice: Vec<&String> = names.iter().flat_map(|name| [name, &names[0], name]).chain(&names).collect();
            assert_eq!(identity(json!({"sub": "1", "groups": twice})).unwrap().groups, names);
        }
    }

    #[test]
    fn groups_come_in_several_shapes() {
        let read = |value| identity(json!({"sub": "1", "groups": value})).unwrap().groups;
        assert_eq!(read(json!(["x", "Domain Users"])), ["x", "Domain Users"]);
        assert_eq!(read(json!({"admin": {"org": "1"}, "user": {}})), ["admin", "user"]);
        assert_eq!(read(json!("a b\tc")), ["a", "b", "c"]);
        assert_eq!(read(json!("Domain Users, admins,,")), ["Domain Users", "admins"]);
        assert!(read(json!(true)).is_empty());
    }

    #[test]
    fn names_are_exact_and_pointers_descend() {
        // UI-09
        let sent = claims(
            json!({"name#ja": "太郎", "https://corp.example/groups": ["g"], "a.b": 1, "realm_access": {"roles": ["r"]}, "x/y": {"~": [10, 11]}}),
        );
        let find = |path| ClaimPath::parse(path).unwrap().find(&sent).cloned();
        assert_eq!(find("name"), None);
        assert_eq!(find("name#ja"), Some(json!("太郎")));
        assert_eq!(find("https://corp.example/groups"), Some(json!(["g"])));
        assert_eq!(
            (find("a.b"), find("/realm_access/roles"), find("/a.b")),
            (Some(json!(1)), Some(json!(["r"])), Some(json!(1)))
        );
        assert_eq!(find("/x~1y/~0/1"), Some(json!(11)));
        for missing in ["/realm_access/none", "/x~1y/~0/2", "/x~1y/~0/-", "realm_access/roles", "/realm_access/roles/r"]
        {
            assert_eq!(find(missing), None, "{missing}");
        }
    }

    #[test]
    fn paths_that_name_nothing_are_refused() {
        assert_eq!(ClaimPath::parse(""), Err(ClaimPathError::Empty));
        assert_eq!(ClaimPath::parse("/"), Err(ClaimPathError::Empty));
        assert_eq!(ClaimPath::parse("/a~2"), Err(ClaimPathError::BadEscape));
        assert_eq!(ClaimPath::parse("/a~"), Err(ClaimPathError::BadEscape));
        assert_eq!(ClaimPath::parse("a\nb"), Err(ClaimPathError::ControlCharacter));
        assert!(ClaimPath::parse("a~b").is_ok());
    }
}
