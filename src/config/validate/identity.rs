//! `identity` of a route: which headers tell the application who is there.

use http::HeaderName;

use super::super::file::IdentityTable;
use super::super::units::{RawText, TextOr};
use super::authorization::authorization;
use super::identity_value::header_value;
use super::{Field, Flaw, Found, Named, Problems, kinds, listed, parsed};
use crate::nearest::nearest;
use crate::proxy::headers::spellings::are_one;
use crate::proxy::settings::{GroupPattern, IdentityHeaderSettings};

/// `None` where the route says nothing.
pub(super) fn identity(
    field: &Field<TextOr<Box<IdentityTable>>>,
    problems: &mut Problems,
) -> Option<IdentityHeaderSettings> {
    let found = field.given()?;
    match &found.value {
        TextOr::Text(name) => problems.sound(found, named(name)),
        TextOr::Table(table) => Some(from_table(table, problems)),
    }
}

/// The headers of a route that says nothing.
pub(super) fn default_identity() -> IdentityHeaderSettings {
    IdentityHeaderSettings::named("default").unwrap_or_default()
}

/// The set of headers of this name.
fn named(name: &str) -> Result<IdentityHeaderSettings, Flaw> {
    let names = || IdentityHeaderSettings::names();
    IdentityHeaderSettings::named(name).ok_or_else(|| {
        let meant = nearest(name, names()).map(|meant| format!("did you mean \"{meant}\"? ")).unwrap_or_default();
        let help = format!("{meant}The sets are {}", listed(names()));
        Flaw::of(kinds::UNKNOWN_WORD, "names no set of headers:", name).help(help)
    })
}

/// A set, and what differs from it.
fn from_table(table: &IdentityTable, problems: &mut Problems) -> IdentityHeaderSettings {
    let set = table.set.given().and_then(|found| problems.sound(found, named(&found.value)));
    let mut settings = set.unwrap_or_else(default_identity);
    let mut own: Vec<Found<HeaderName>> = Vec::new();
    let key = table.headers.given().map_or("", |found| found.key.as_str());
    for (name, value) in table.headers.value().into_iter().flat_map(Named::given) {
        // Messages name the table: the name of a header says where in it.
        let (name, value) =
            (Found { key: key.to_owned(), ..name.clone() }, Found { key: key.to_owned(), ..value.clone() });
        let Some(header) = problems.sound(&name, header_name(&name.value)) else { continue };
        if let Some(first) = own.iter().find(|other| are_one(&other.value, &header)) {
            let what = format!("names `{}` twice", name.value.escape_default());
            problems.on(kinds::HEADER_TWICE, &name, what).also(&first.place, "here first");
            continue;
        }
        own.push(name.with(header.clone()));
        let Some(value) = problems.sound(&value, header_value(&value.value)) else { continue };
        settings.headers.retain(|(other, _)| !are_one(other, &header));
        settings.headers.push((header, value));
    }
    let groups = parsed(&table.groups_only, kinds::EMPTY_GROUPS_ONLY, problems, group_pattern);
    settings.groups_only = groups.unwrap_or_default();
    if let Some(found) = table.separator.given() {
        check_separator(found, problems);
        settings.separator.clone_from(&found.value.0);
    }
    if let Some(authorization) = table.authorization.given().and_then(|found| authorization(found, problems)) {
        settings.authorization = authorization;
    }
    settings
}

/// A group that the application is to see.
fn group_pattern(found: &Found<String>) -> Result<GroupPattern, Flaw> {
    GroupPattern::parse(&found.value).ok_or_else(|| Flaw::of(kinds::NO_GROUP_PATTERN, "cannot be", &found.value))
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
fn header_name(text: &str) -> Result<HeaderName, Flaw> {
    let shown = text.escape_default();
    let name = HeaderName::from_bytes(text.as_bytes());
    let unfit = |_| Flaw::new(kinds::NO_HEADER_NAME, format!("names \"{shown}\", which cannot be a header"));
    let name = name.map_err(unfit)?;
    if name == http::header::AUTHORIZATION {
        return Err(Flaw::new(kinds::HEADER_IS_AUTHORIZATION, "cannot set `Authorization`"));
    }
    let steers = |steering| are_one(&HeaderName::from_static(steering), &name);
    if STEERING.split_whitespace().any(steers) || name.as_str().starts_with("proxy-") {
        return Err(Flaw::new(kinds::HEADER_STEERS, format!("cannot set `{shown}`")));
    }
    Ok(name)
}

/// Headers that no identity may stand in.
const STEERING: &str = "host connection content-length content-type content-encoding transfer-encoding upgrade te trailer keep-alive \
    expect cookie set-cookie via forwarded x-forwarded-for x-forwarded-proto x-forwarded-host x-forwarded-port \
    x-forwarded-groups-overflow x-request-id";
/// The longest separator, in bytes.
const MAX_SEPARATOR: usize = 8;
