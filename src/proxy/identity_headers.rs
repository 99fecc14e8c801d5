//! The identity of a person as headers: rendered once for a session, then only cloned.
//!
//! Claims are text that anybody may have written (AT-HS-11): a value that could break a header,
//! or be read as another value, is left out, loudly; nothing is ever shortened. A claim that is absent is an absent header,
//! never an empty one (UI-07).

use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use percent_encoding::percent_encode_byte;
use serde_json::Value;

use crate::identity::Identity;
use crate::proxy::basic::UserNameFault;
use crate::proxy::field_text::{LONGEST, is_plain};
use crate::proxy::settings::{Authorization, IdentityHeaderSettings, IdentityValue};

/// Says how many groups were left out; the same name in every set of identity headers.
pub static OVERFLOW: HeaderName = HeaderName::from_static("x-forwarded-groups-overflow");

/// The sets of identity headers that a configuration names, each once: rules forward one of them.
#[derive(Clone, Debug, Default)]
pub struct IdentityHeaderSets(Vec<IdentityHeaderSettings>);

/// One of the [`IdentityHeaderSets`], which alone give it out.
#[derive(Clone, Copy, Debug)]
pub struct HeaderSet(usize);

impl IdentityHeaderSets {
    /// This set, added unless it is known.
    pub fn add(&mut self, set: &IdentityHeaderSettings) -> HeaderSet {
        HeaderSet(self.0.iter().position(|known| known == set).unwrap_or_else(|| {
            self.0.push(set.clone());
            self.0.len() - 1
        }))
    }

    /// The names of the headers of all sets.
    pub fn names(&self) -> Vec<HeaderName> {
        self.0.iter().flat_map(|set| &set.headers).map(|(name, _)| name.clone()).collect()
    }

    /// Whether any set forwards an access token.
    pub fn forward_access_token(&self) -> bool {
        self.forward(&Authorization::AccessToken, &IdentityValue::AccessToken)
    }

    /// Whether any set forwards an ID token.
    pub fn forward_id_token(&self) -> bool {
        self.forward(&Authorization::IdToken, &IdentityValue::IdToken)
    }

    /// A person's headers in all of these sets, with the tokens that some forward.
    pub fn render(&self, identity: &Identity, access: Option<&str>, id_token: Option<&str>) -> IdentityHeaders {
        let person = Person { identity, access, id_token };
        IdentityHeaders(self.0.iter().map(|set| person.render(set)).collect())
    }

    /// Whether any set forwards a token, either way.
    fn forward(&self, authorization: &Authorization, value: &IdentityValue) -> bool {
        let names_it = |set: &IdentityHeaderSettings| set.headers.iter().any(|(_, known)| known == value);
        self.0.iter().any(|set| set.authorization == *authorization || names_it(set))
    }
}

/// The identity headers of a person, ready to be sent: by set.
#[derive(Debug, Default)]
pub struct IdentityHeaders(Box<[RenderedSet]>);

/// What is made of one set.
#[derive(Debug, Default)]
struct RenderedSet {
    headers: Box<[(HeaderName, HeaderValue)]>,
    /// Why the person has no name for its Basic credentials.
    fault: Option<UserNameFault>,
}

impl IdentityHeaders {
    /// Those of one set.
    pub fn set(&self, set: HeaderSet) -> &[(HeaderName, HeaderValue)] {
        self.0.get(set.0).map_or(&[], |set| &set.headers)
    }

    /// Why the person must not be told of to applications that get one set: their name cannot be sent.
    pub fn user_name_fault(&self, set: HeaderSet) -> Option<UserNameFault> {
        self.0.get(set.0).and_then(|set| set.fault)
    }

    /// Those of each set.
    pub fn sets(&self) -> impl Iterator<Item = &[(HeaderName, HeaderValue)]> {
        self.0.iter().map(|set| &*set.headers)
    }

    /// How many groups there are, where they do not fit into a header of some set.
    pub fn overflow(&self) -> Option<&HeaderValue> {
        self.sets().flatten().find(|(name, _)| *name == OVERFLOW).map(|(_, count)| count)
    }
}

/// What the headers of a person are made of.
struct Person<'a> {
    identity: &'a Identity,
    access: Option<&'a str>,
    id_token: Option<&'a str>,
}

impl Person<'_> {
    /// The headers of one set. Every name is there at most once.
    fn render(&self, settings: &IdentityHeaderSettings) -> RenderedSet {
        let names_groups = settings.headers.iter().any(|(_, source)| *source == IdentityValue::Groups);
        let groups = if names_groups { groups_text(settings, self.identity) } else { Ok(None) };
        let rendered = settings.headers.iter().filter_map(|(name, source)| {
            let text = match source {
                IdentityValue::Groups => groups.as_ref().ok()?.clone()?,
                source => self.value_of(source, &settings.separator)?,
            };
            Some((name.clone(), field(name, &text)?))
        });
        let overflow = groups.as_ref().err().map(|count| (OVERFLOW.clone(), HeaderValue::from(*count)));
        let (authorization, fault) = match self.authorization(&settings.authorization) {
            Ok(value) => (value.map(|value| (AUTHORIZATION, value)), None),
            Err(fault) => (None, Some(fault)),
        };
        RenderedSet { headers: rendered.chain(overflow).chain(authorization).collect(), fault }
    }

    /// What stands in the place of the client's own credentials; none where there is nothing to say.
    fn authorization(&self, authorization: &Authorization) -> Result<Option<HeaderValue>, UserNameFault> {
        let bearer = |token: &str| field(&AUTHORIZATION, &format!("Bearer {token}")).map(secret);
        match authorization {
            Authorization::Keep | Authorization::Remove => Ok(None),
            Authorization::AccessToken => Ok(self.access.and_then(bearer)),
            Authorization::IdToken => Ok(self.id_token.and_then(bearer)),
            Authorization::Basic(credentials) => {
                self.user_name(&credentials.user)?.map(|user| credentials.value(&user)).transpose()
            }
        }
    }

    /// A name for Basic credentials. A list is not joined to one: that could be the name of somebody else.
    fn user_name(&self, source: &IdentityValue) -> Result<Option<String>, UserNameFault> {
        let IdentityValue::Claim(path) = source else { return Ok(self.value_of(source, "")) };
        match path.find(&self.identity.claims) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                scalar(value).map(|name| Some(name).filter(|name| !name.is_empty())).ok_or(UserNameFault::NoText)
            }
        }
    }

    /// The text of a header; none where there is nothing to say.
    fn value_of(&self, source: &IdentityValue, separator: &str) -> Option<String> {
        let identity = self.identity;
        let text = match source {
            // Not the subject in its place: that is a name in another namespace (UI-07).
            IdentityValue::User => identity.user.clone()?,
            IdentityValue::Subject => identity.subject.clone(),
            IdentityValue::Email => identity.email.clone()?,
            IdentityValue::Name => identity.name.clone()?,
            IdentityValue::PreferredUsername => identity.preferred_username.clone()?,
            IdentityValue::Groups => return None, // see groups_text
            IdentityValue::Claim(path) => claim(path.find(&identity.claims)?, separator)?,
            IdentityValue::AccessToken => self.access?.to_owned(),
            IdentityValue::IdToken => self.id_token?.to_owned(),
            IdentityValue::Provider => identity.provider.to_string(),
            IdentityValue::Literal(text) => text.clone(),
        };
        (!text.is_empty()).then_some(text)
    }
}

impl IdentityHeaderSettings {
    /// A named set: what `identity = "grafana"` stands for. None for a name that is not known.
    pub fn named(name: &str) -> Option<Self> {
        let fields = NAMED.iter().find(|(known, ..)| *known == name)?;
        let (_, separator, fields) = fields;
        let headers = fields.iter().map(|(name, value)| (HeaderName::from_static(name), value.clone())).collect();
        Some(Self {
            headers,
            groups_only: Vec::new(),
            separator: (*separator).to_owned(),
            authorization: Authorization::Keep,
        })
    }

    /// The names that [`named`](Self::named) knows, for messages.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMED.iter().map(|(name, ..)| *name)
    }
}

/// The groups to forward (`groups_only`), joined; how many there are where they do not fit into a header. Half a list would be
/// another list: a header of groups that is too long is left out as a whole, and [`OVERFLOW`] says that there were groups.
fn groups_text(settings: &IdentityHeaderSettings, identity: &Identity) -> Result<Option<String>, usize> {
    let only = &settings.groups_only;
    let all = identity.groups.iter().map(String::as_str).filter(|group| !group.is_empty());
    let chosen: Vec<&str> =
        all.filter(|group| only.is_empty() || only.iter().any(|pattern| pattern.covers(group))).collect();
    let text = joined(chosen.iter().copied(), &settings.separator);
    if text.as_deref().is_none_or(fits) { Ok(text) } else { Err(chosen.len()) }
}

/// Lists are joined, numbers and booleans written out; objects are no header.
fn claim(value: &Value, separator: &str) -> Option<String> {
    let Value::Array(items) = value else { return scalar(value) };
    let texts: Vec<String> = items.iter().filter_map(scalar).collect();
    joined(texts.iter().map(String::as_str), separator)
}

/// A string, number or boolean as text.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Joins a list. An item that holds the separator would be read as two, one of them perhaps `admins`: the separator in it is
/// percent-encoded, and so is the percent sign, so that no two lists are the same text (UI-08). An item that cannot be in a
/// header is left out.
fn joined<'a>(items: impl Iterator<Item = &'a str>, separator: &str) -> Option<String> {
    let separator = if separator.is_empty() { "," } else { separator };
    let mut text = String::new();
    for item in items.filter(|item| !item.is_empty()) {
        if !is_plain(item) {
            tracing::warn!(code = "identity_item_left_out", "a group or list item cannot stand in a header");
            continue;
        }
        if !text.is_empty() {
            text.push_str(separator);
        }
        push_escaped(&mut text, item, separator);
    }
    (!text.is_empty()).then_some(text)
}

/// Appends an item in which the separator, its first character alone (the end of an item must not complete a separator), and
/// `%` are percent-encoded.
fn push_escaped(text: &mut String, item: &str, separator: &str) {
    let mut rest = item;
    while let Some(first) = rest.chars().next() {
        let is_separator = rest.starts_with(separator);
        let length = if is_separator { separator.len() } else { first.len_utf8() };
        let Some((head, tail)) = rest.split_at_checked(length) else { return };
        if is_separator || first == '%' || separator.starts_with(first) {
            text.extend(head.bytes().map(percent_encode_byte));
        } else {
            text.push(first);
        }
        rest = tail;
    }
}

/// A header's value, unless it could break the header or be read as another.
fn field(name: &HeaderName, text: &str) -> Option<HeaderValue> {
    let fault = if !fits(text) {
        "identity_header_too_long"
    } else if !is_plain(text) {
        "identity_header_unprintable"
    } else if let Ok(value) = HeaderValue::from_str(text).or_else(|_| HeaderValue::from_bytes(text.as_bytes())) {
        return Some(value);
    } else {
        "identity_header_unprintable"
    };
    tracing::warn!(code = fault, header = name.as_str(), bytes = text.len(), "identity header left out");
    None
}

/// Whether a text is short enough for a header.
fn fits(text: &str) -> bool {
    text.len() <= LONGEST
}

/// A value that is not to be shown.
fn secret(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

/// Its name, what joins lists, and its headers.
type NamedSet = (&'static str, &'static str, &'static [(&'static str, IdentityValue)]);

/// The sets that have a name.
const NAMED: [NamedSet; 11] = {
    use IdentityValue::{Email, Groups, Name, PreferredUsername as Username, Subject, User};
    [
        (
            "default",
            ",",
            &[
                ("x-forwarded-user", User),
                ("x-forwarded-email", Email),
                ("x-forwarded-preferred-username", Username),
                ("x-forwarded-groups", Groups),
            ],
        ),
        ("none", ",", &[]),
        (
            "remote-user",
            ",",
            &[("remote-user", Username), ("remote-email", Email), ("remote-name", Name), ("remote-groups", Groups)],
        ),
        (
            "auth-request",
            ",",
            &[
                ("x-auth-request-user", User),
                ("x-auth-request-email", Email),
                ("x-auth-request-preferred-username", Username),
                ("x-auth-request-groups", Groups),
            ],
        ),
        (
            "authentik",
            "|",
            &[
                ("x-authentik-username", Username),
                ("x-authentik-email", Email),
                ("x-authentik-name", Name),
                ("x-authentik-uid", Subject),
                ("x-authentik-groups", Groups),
            ],
        ),
        (
            "grafana",
            ",",
            &[
                ("x-webauth-user", Username),
                ("x-webauth-email", Email),
                ("x-webauth-name", Name),
                ("x-webauth-groups", Groups),
            ],
        ),
        ("gitea", ",", &[("x-webauth-user", Username), ("x-webauth-email", Email), ("x-webauth-fullname", Name)]),
        (
            "jenkins",
            "|",
            &[
                ("x-forwarded-user", Username),
                ("x-forwarded-mail", Email),
                ("x-forwarded-displayname", Name),
                ("x-forwarded-groups", Groups),
            ],
        ),
        (
            "sonarqube",
            ",",
            &[
                ("x-forwarded-login", Username),
                ("x-forwarded-email", Email),
                ("x-forwarded-name", Name),
                ("x-forwarded-groups", Groups),
            ],
        ),
        ("opensearch", ",", &[("x-proxy-user", Username), ("x-proxy-roles", Groups)]),
        ("tomcat", ",", &[("sm_user", Username)]),
    ]
};

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::identity::ClaimPath;
    use crate::proxy::headers::spellings::{Class, Spellings};
    use crate::proxy::settings::{BasicCredentials, GroupPattern};
    use crate::secret::Secret;

    fn ada() -> Identity {
        Identity {
            provider: Arc::from("corp"),
            issuer: Arc::from("https://login.example"),
            subject: "248289761001".to_owned(),
            user: Some("ada".to_owned()),
            preferred_username: Some("ada".to_owned()),
            email: Some("ada@example.com".to_owned()),
            unverified_email: None,
            name: Some("Ada Lövelace".to_owned()),
            groups: vec!["admins".to_owned(), "a,b".to_owned()],
            claims: json!({ "n": 7, "yes": true, "list": ["x", 1, null], "object": { "a": 1 }, "none": null, "deep": { "er": "z" } })
                .as_object()
                .unwrap()
                .clone(),
        }
    }

    fn rendered(settings: &IdentityHeaderSettings, identity: &Identity) -> Vec<String> {
        let fields = Person { identity, access: Some("at"), id_token: Some("it") }.render(settings).headers;
        fields.iter().map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))).collect()
    }

    fn one(value: IdentityValue) -> IdentityHeaderSettings {
        let headers = vec![(HeaderName::from_static("x-one"), value)];
        IdentityHeaderSettings { headers, separator: ",".to_owned(), ..IdentityHeaderSettings::default() }
    }

    #[test]
    fn the_default_set_says_who_is_there() {
        let default = IdentityHeaderSettings::named("default").unwrap();
        assert_eq!(
            rendered(&default, &ada()),
            [
                "x-forwarded-user: ada",
                "x-forwarded-email: ada@example.com",
                "x-forwarded-preferred-username: ada",
                // An item that holds the separator stays one item.
                "x-forwarded-groups: admins,a%2Cb",
            ]
        );
    }

    #[test]
    fn an_absent_claim_is_an_absent_header() {
        // UI-07, AT-HS-10
        let nobody =
            Identity { user: None, preferred_username: None, email: None, name: None, groups: Vec::new(), ..ada() };
        let default = IdentityHeaderSettings::named("default").unwrap();
        assert!(rendered(&default, &nobody).is_empty());
    }

    #[test]
    fn a_value_that_could_break_or_change_a_header_is_left_out() {
        // UI-08, AT-HS-11
        for name in [
            "a\r\nSet-Cookie: x=y",
            "a\0b",
            "a\u{85}b",
            "\u{7f}",
            " admin",
            "admin\u{a0}",
            "a\u{2028}b",
            &"x".repeat(64 << 10),
        ] {
            let identity = Identity { name: Some(name.to_owned()), ..ada() };
            assert!(rendered(&one(IdentityValue::Name), &identity).is_empty(), "{name:?}");
        }
        assert_eq!(rendered(&one(IdentityValue::Name), &ada()), ["x-one: Ada Lövelace"]);
    }

    #[test]
    fn too_many_groups_are_none_and_never_some() {
        let groups: Vec<String> = (0..2000).map(|n| format!("group{n}")).collect();
        let crowded = Identity { groups, ..ada() };
        for set in
            ["default", "remote-user", "auth-request", "authentik", "grafana", "jenkins", "sonarqube", "opensearch"]
        {
            let fields = rendered(&IdentityHeaderSettings::named(set).unwrap(), &crowded);
            assert!(fields.iter().all(|field| !field.contains("group1")), "{set}: {fields:?}");
            assert_eq!(fields.iter().filter(|field| *field == "x-forwarded-groups-overflow: 2000").count(), 1, "{set}");
        }
        // An application that gets no groups gets no overflow either.
        assert_eq!(rendered(&one(IdentityValue::Subject), &crowded).len(), 1);
        let both = vec![
            (HeaderName::from_static("x-one"), IdentityValue::Groups),
            (HeaderName::from_static("x-two"), IdentityValue::Groups),
        ];
        let both = IdentityHeaderSettings { headers: both, ..one(IdentityValue::Groups) };
        assert_eq!(rendered(&both, &crowded), ["x-forwarded-groups-overflow: 2000"]);
    }

    #[test]
    fn only_the_groups_that_matter_are_told_and_counted() {
        let groups: Vec<String> = (0..2000).map(|n| format!("group{n}")).chain(["staff".to_owned()]).collect();
        let crowded = Identity { groups, ..ada() };
        let only = |patterns: &[&str]| {
            let groups_only = patterns.iter().map(|it| GroupPattern::parse(it).unwrap()).collect();
            rendered(&IdentityHeaderSettings { groups_only, ..one(IdentityValue::Groups) }, &crowded)
        };
        assert_eq!(only(&["staff"]), ["x-one: staff"]);
        assert_eq!(only(&["staff", "group199*", "nobody"]).join(""), {
            let told = (1990..2000).fold("x-one: group199".to_owned(), |text, n| format!("{text},group{n}"));
            told + ",staff"
        });
        assert_eq!(only(&["nobody", "no*"]), [""; 0]);
        assert_eq!(only(&["group*"]), ["x-forwarded-groups-overflow: 2000"]);
    }

    #[test]
    fn a_group_that_cannot_be_in_a_header_does_not_hide_the_others() {
        let groups = ["a", "b\nc", "", " admins", "d"].map(str::to_owned).to_vec();
        assert_eq!(rendered(&one(IdentityValue::Groups), &Identity { groups, ..ada() }), ["x-one: a,d"]);
    }

    #[test]
    fn the_escape_of_a_list_escapes_itself() {
        for (items, separator, text) in [
            (&["p,q", "p%2Cq"][..], ",", "p%2Cq,p%252Cq"),
            (&["100%", "%", "%25"], ",", "100%25,%25,%2525"),
            (&["p|q", "p%7Cq"], "|", "p%7Cq|p%257Cq"),
            (&["p, q", "p%2C%20q", "p,q", "p q"], ", ", "p%2C%20q, p%252C%2520q, p%2Cq, p q"),
            // The end of one item and the separator are not another separator.
            (&["a,", "b"], ",,", "a%2C,,b"),
            (&["a, b"], "", "a%2C b"),
        ] {
            assert_eq!(joined(items.iter().copied(), separator).as_deref(), Some(text), "{items:?} by {separator:?}");
        }
        assert_eq!(joined(["", ""].into_iter(), ","), None);
    }

    fn percent_decoded(item: &str) -> String {
        let mut parts = item.split('%');
        let first = parts.next().unwrap().to_owned();
        parts.fold(first, |text, part| {
            let byte = u8::from_str_radix(&part[..2], 16).unwrap();
            format!("{text}{}{}", char::from(byte), &part[2..])
        })
    }

    proptest::proptest! {
        #[test]
        fn a_list_is_read_back_from_its_header(
            items in proptest::collection::vec("[a,%|; 2C]{0,6}", 0..5),
            separator in "[,|;:]{1,3}|[,;] ",
        ) {
            let sent: Vec<&str> = items.iter().map(String::as_str).filter(|item| !item.is_empty() && is_plain(item)).collect();
            let text = joined(items.iter().map(String::as_str), &separator);
            let read = text.iter().flat_map(|text| text.split(&separator));
            let read: Vec<_> = read.map(percent_decoded).collect();
            proptest::prop_assert_eq!(read, sent);
        }
    }

    #[test]
    fn any_claim_goes_to_any_header() {
        let claim = |path: &str| rendered(&one(IdentityValue::Claim(ClaimPath::parse(path).unwrap())), &ada()).join("");
        assert_eq!(claim("n"), "x-one: 7");
        assert_eq!(claim("yes"), "x-one: true");
        assert_eq!(claim("list"), "x-one: x,1");
        assert_eq!(claim("/deep/er"), "x-one: z");
        assert_eq!(claim("object") + &claim("none") + &claim("missing"), "");
        let fixed = |value| rendered(&one(value), &ada()).join("");
        assert_eq!(fixed(IdentityValue::Subject), "x-one: 248289761001");
        assert_eq!(fixed(IdentityValue::Provider), "x-one: corp");
        assert_eq!(fixed(IdentityValue::Literal("yes".to_owned())), "x-one: yes");
        assert_eq!(fixed(IdentityValue::AccessToken), "x-one: at");
        assert_eq!(fixed(IdentityValue::IdToken), "x-one: it");
    }

    #[test]
    fn authorization_is_a_bearer_token_where_it_is_replaced() {
        let none = IdentityHeaderSettings::named("none").unwrap();
        let with = |authorization| IdentityHeaderSettings { authorization, ..none.clone() };
        assert_eq!(rendered(&with(Authorization::AccessToken), &ada()), ["authorization: Bearer at"]);
        assert_eq!(rendered(&with(Authorization::IdToken), &ada()), ["authorization: Bearer it"]);
        assert!(rendered(&with(Authorization::Keep), &ada()).is_empty());
        let ada = ada();
        let person = Person { identity: &ada, access: None, id_token: Some("it") };
        let [(_, value)] = &person.render(&with(Authorization::IdToken)).headers[..] else { panic!() };
        assert!(value.is_sensitive());
    }

    #[test]
    fn a_person_without_a_name_has_no_credentials_and_one_with_a_wrong_name_is_told_of_nowhere() {
        // UI-07, AT-HS-11
        let basic = |user| {
            let credentials = BasicCredentials { user, password: Secret::from("pw") };
            IdentityHeaderSettings {
                authorization: Authorization::Basic(credentials.into()),
                ..one(IdentityValue::Subject)
            }
        };
        let claim = |name: &str| basic(IdentityValue::Claim(ClaimPath::parse(name).unwrap()));
        assert_eq!(
            rendered(&basic(IdentityValue::User), &ada()),
            ["x-one: 248289761001", "authorization: Basic YWRhOnB3"]
        );
        assert_eq!(rendered(&claim("n"), &ada()), ["x-one: 248289761001", "authorization: Basic Nzpwdw=="]);
        let nobody = Identity { user: None, email: Some(String::new()), ..ada() };
        for settings in [basic(IdentityValue::User), basic(IdentityValue::Email), claim("none"), claim("missing")] {
            assert_eq!(rendered(&settings, &nobody), ["x-one: 248289761001"]);
        }
        let colon = Identity { user: Some("al:ice".to_owned()), ..ada() };
        for (settings, fault) in [
            (basic(IdentityValue::User), UserNameFault::Colon),
            (claim("list"), UserNameFault::NoText),
            (claim("object"), UserNameFault::NoText),
        ] {
            let mut sets = IdentityHeaderSets::default();
            let (plain, set) = (sets.add(&one(IdentityValue::Subject)), sets.add(&settings));
            let headers = sets.render(&colon, None, None);
            assert_eq!((headers.user_name_fault(set), headers.user_name_fault(plain)), (Some(fault), None));
            assert!(headers.set(set).iter().all(|(name, _)| *name != AUTHORIZATION));
        }
    }

    #[test]
    fn every_named_header_of_every_set_is_taken_from_clients() {
        // FW-01
        let names = Spellings::new(&[]);
        for set in IdentityHeaderSettings::names() {
            for (name, _) in IdentityHeaderSettings::named(set).unwrap().headers {
                assert_eq!(names.class(name.as_str()), Class::Identity, "{name} of {set}");
            }
        }
        for sign in ["-", "_", "."] {
            let name = OVERFLOW.as_str().replace('-', sign);
            assert_eq!(names.class(&name), Class::Identity, "{name}");
        }
        assert!(IdentityHeaderSettings::named("nothing").is_none());
    }
}
