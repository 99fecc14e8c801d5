//! `identity` of a route: which headers tell the application who is there.

use http::{HeaderName, HeaderValue};

use super::super::diagnostics::Place;
use super::super::file::IdentityTable;
use super::super::kinds;
use super::super::problems::Problems;
use super::super::reading::{Field, Found, listed};
use super::super::units::{Named, OneOrMany, RawText, TextOr};
use super::filled;
use crate::identity::ClaimPath;
use crate::nearest::nearest;
use crate::proxy::headers::spellings::are_one;
use crate::proxy::settings::{GroupPattern, IdentityHeaderSettings, IdentityValue};

/// `None` where the route says nothing.
pub(super) fn identity(
    field: &Field<TextOr<Box<IdentityTable>>>,
    problems: &mut Problems,
) -> Option<IdentityHeaderSettings> {
    let found = field.given()?;
    match &found.value {
        TextOr::Text(name) => named(name, found, problems),
        TextOr::Table(table) => Some(from_table(table, problems)),
    }
}

/// The headers of a route that says nothing.
pub(super) fn default_identity() -> IdentityHeaderSettings {
    IdentityHeaderSettings::named("default").unwrap_or_default()
}

/// The set of headers of this name.
fn named<T>(name: &str, found: &Found<T>, problems: &mut Problems) -> Option<IdentityHeaderSettings> {
    let set = IdentityHeaderSettings::named(name);
    if set.is_none() {
        let names: Vec<&str> = IdentityHeaderSettings::names().collect();
        let meant =
            nearest(name, names.iter().copied()).map(|meant| format!("did you mean \"{meant}\"? ")).unwrap_or_default();
        problems
            .on(kinds::NO_IDENTITY_SET, found, format!("names no set of headers: \"{}\"", name.escape_default()))
            .help(format!("{meant}The sets are {}", listed(names.iter().copied())));
    }
    set
}

/// A set, and what differs from it.
fn from_table(table: &IdentityTable, problems: &mut Problems) -> IdentityHeaderSettings {
    let set = table.set.given().and_then(|found| named(&found.value, found, problems));
    let mut settings = set.unwrap_or_else(default_identity);
    let mut own: Vec<(HeaderName, &Place)> = Vec::new();
    let key = table.headers.given().map_or("", |found| found.key.as_str());
    for (name, value) in table.headers.value().into_iter().flat_map(Named::given) {
        let Some(header) = header_name(name, key, problems) else { continue };
        if let Some((_, first)) = own.iter().find(|(other, _)| are_one(other, &header)) {
            let message = format!("`{key}` names `{}` twice", name.value.escape_default());
            problems.add(kinds::HEADER_TWICE, &name.place, message).also(first, "here first");
            continue;
        }
        own.push((header.clone(), &name.place));
        let Some(value) = header_value(value, key, problems) else { continue };
        settings.headers.retain(|(other, _)| !are_one(other, &header));
        settings.headers.push((header, value));
    }
    settings.groups_only = groups_only(&table.groups_only, problems);
    if let Some(found) = table.separator.given() {
        check_separator(found, problems);
        settings.separator.clone_from(&found.value.0);
    }
    if let Some(word) = table.authorization.value() {
        settings.authorization = *word;
    }
    settings
}

/// The groups that the application is to see.
fn groups_only(field: &Field<OneOrMany<String>>, problems: &mut Problems) -> Vec<GroupPattern> {
    let items = filled(field, kinds::EMPTY_GROUPS_ONLY, problems).unwrap_or_default();
    let mut patterns = Vec::new();
    for item in items {
        let pattern = GroupPattern::parse(&item.value);
        if pattern.is_none() {
            problems.on(kinds::NO_GROUP_PATTERN, item, format!("cannot be \"{}\"", item.value.escape_default()));
        }
        patterns.extend(pattern);
    }
    patterns
}

/// A separator has to fit into a header and to differ from percent-encoded items.
fn check_separator(found: &Found<RawText>, problems: &mut Problems) {
    let text = &found.value.0;
    if text.len() > MAX_SEPARATOR || !text.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
        problems.on(kinds::SEPARATOR_UNFIT, found, "cannot stand in a header");
    } else if text.bytes().any(|b| b == b'%' || b.is_ascii_alphanumeric()) {
        problems.on(kinds::SEPARATOR_AMBIGUOUS, found, "holds a letter, a digit or `%`");
    }
}

/// A header that may carry an identity.
fn header_name(found: &Found<String>, key: &str, problems: &mut Problems) -> Option<HeaderName> {
    let name = HeaderName::from_bytes(found.value.as_bytes()).ok();
    let Some(name) = name else {
        let message = format!("`{key}` names \"{}\", which cannot be a header", found.value.escape_default());
        problems.add(kinds::NO_HEADER_NAME, &found.place, message);
        return None;
    };
    if name == http::header::AUTHORIZATION {
        problems.add(kinds::HEADER_IS_AUTHORIZATION, &found.place, format!("`{key}` cannot set `Authorization`"));
        return None;
    }
    if STEERING.split_whitespace().any(|steering| are_one(&HeaderName::from_static(steering), &name))
        || name.as_str().starts_with("proxy-")
    {
        let message = format!("`{key}` cannot set `{}`", found.value.escape_default());
        problems.add(kinds::HEADER_STEERS, &found.place, message);
        return None;
    }
    Some(name)
}

/// What a header holds.
fn header_value(found: &Found<String>, key: &str, problems: &mut Problems) -> Option<IdentityValue> {
    let text = found.value.as_str();
    if let Some(claim) = text.strip_prefix("claim:") {
        return match ClaimPath::parse(claim) {
            Ok(path) => Some(IdentityValue::Claim(path)),
            Err(error) => {
                problems.add(kinds::HEADER_CLAIM_BAD, &found.place, format!("`{key}` does not name a claim: {error}"));
                None
            }
        };
    }
    if let Some(literal) = text.strip_prefix("text:") {
        if HeaderValue::from_str(literal).is_err() {
            problems.add(
                kinds::HEADER_TEXT_BAD,
                &found.place,
                format!("`{key}` holds a text that cannot stand in a header"),
            );
        }
        return Some(IdentityValue::Literal(literal.to_owned()));
    }
    let value = VALUES.iter().find(|(word, _)| *word == text).map(|(_, value)| value.clone());
    if value.is_none() {
        let words = || VALUES.iter().map(|(word, _)| *word);
        let meant = match nearest(text, words()) {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None => format!("for a claim write \"claim:{}\"", text.escape_default()),
        };
        let message = format!("`{key}` cannot hold \"{}\"", text.escape_default());
        problems
            .add(kinds::HEADER_VALUE_UNKNOWN, &found.place, message)
            .help(format!("{meant} The values are {}, \"claim:NAME\" and \"text:WORDS\"", listed(words())));
    }
    value
}

const VALUES: [(&str, IdentityValue); 9] = [
    ("user", IdentityValue::User),
    ("subject", IdentityValue::Subject),
    ("email", IdentityValue::Email),
    ("name", IdentityValue::Name),
    ("preferred_username", IdentityValue::PreferredUsername),
    ("groups", IdentityValue::Groups),
    ("access_token", IdentityValue::AccessToken),
    ("id_token", IdentityValue::IdToken),
    ("provider", IdentityValue::Provider),
];
const STEERING: &str = "host connection content-length content-type content-encoding transfer-encoding upgrade te trailer keep-alive \
    expect cookie set-cookie via forwarded x-forwarded-for x-forwarded-proto x-forwarded-host x-forwarded-port \
    x-forwarded-groups-overflow x-request-id";
const MAX_SEPARATOR: usize = 8;
