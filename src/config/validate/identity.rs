//! `identity` of a route: which headers tell the application who is there.

use http::{HeaderName, HeaderValue};

use super::super::diagnostics::{Code, Diagnostic, Place};
use super::super::file::IdentityTable;
use super::super::reading::{Field, Found, listed};
use super::super::units::{Named, OneOrMany, TextOr};
use super::{Notes, filled};
use crate::identity::ClaimPath;
use crate::nearest::nearest;
use crate::proxy::headers::spellings::are_one;
use crate::proxy::settings::{GroupPattern, IdentityHeaderSettings, IdentityValue};

/// `None` where the route says nothing.
pub(super) fn identity(
    field: &Field<TextOr<Box<IdentityTable>>>,
    key: &str,
    notes: &mut Notes,
) -> Option<IdentityHeaderSettings> {
    let found = field.given()?;
    match &found.value {
        TextOr::Text(name) => named(name, &found.place, key, notes),
        TextOr::Table(table) => Some(from_table(table, key, notes)),
    }
}

/// The headers of a route that says nothing.
pub(super) fn default_identity() -> IdentityHeaderSettings {
    IdentityHeaderSettings::named("default").unwrap_or_default()
}

fn named(name: &str, place: &Place, key: &str, notes: &mut Notes) -> Option<IdentityHeaderSettings> {
    let set = IdentityHeaderSettings::named(name);
    if set.is_none() {
        let names: Vec<&str> = IdentityHeaderSettings::names().collect();
        let meant =
            nearest(name, names.iter().copied()).map(|meant| format!("did you mean \"{meant}\"? ")).unwrap_or_default();
        let message = format!("`{key}` names no set of headers: \"{}\"", name.escape_default());
        notes.error(
            Code::UnknownWord,
            place,
            message,
            format!("{meant}The sets are {}", listed(names.iter().copied())),
        );
    }
    set
}

/// A set, and what differs from it.
fn from_table(table: &IdentityTable, key: &str, notes: &mut Notes) -> IdentityHeaderSettings {
    let set = table.set.given().and_then(|found| named(&found.value, &found.place, &format!("{key}.set"), notes));
    let mut settings = set.unwrap_or_else(default_identity);
    let mut own: Vec<(HeaderName, &Place)> = Vec::new();
    for (name, value) in table.headers.value().into_iter().flat_map(Named::given) {
        let Some(header) = header_name(name, key, notes) else { continue };
        if let Some((_, first)) = own.iter().find(|(other, _)| are_one(other, &header)) {
            let message = format!("`{key}.headers` names `{}` twice", name.value.escape_default());
            let diagnostic = Diagnostic::error(Code::BadHeader, &name.place, message).also(first, "here first");
            notes.note(diagnostic.reason("many applications cannot tell them apart").help("remove one of them"));
            continue;
        }
        own.push((header.clone(), &name.place));
        let Some(value) = header_value(value, key, notes) else { continue };
        settings.headers.retain(|(other, _)| !are_one(other, &header));
        settings.headers.push((header, value));
    }
    settings.groups_only = groups_only(&table.groups_only, key, notes);
    if let Some(found) = table.separator.given() {
        check_separator(&found.value.0, &found.place, key, notes);
        settings.separator.clone_from(&found.value.0);
    }
    if let Some(word) = table.authorization.value() {
        settings.authorization = *word;
    }
    settings
}

fn groups_only(field: &Field<OneOrMany<String>>, key: &str, notes: &mut Notes) -> Vec<GroupPattern> {
    let key = format!("{key}.groups_only");
    let items = filled(field, &key, "leave the key out to send all groups", notes).unwrap_or_default();
    let mut patterns = Vec::new();
    for item in items {
        let pattern = GroupPattern::parse(&item.value);
        if pattern.is_none() {
            let message = format!("`{key}` cannot be \"{}\"", item.value.escape_default());
            let diagnostic = Diagnostic::error(Code::BadValue, &item.place, message);
            notes.note(
                diagnostic
                    .reason("an item is the name of a group, or the beginning of names with a star at its end")
                    .help("write such as \"staff\" or \"wiki-*\"; leave the key out to send all groups"),
            );
        }
        patterns.extend(pattern);
    }
    patterns
}

fn check_separator(text: &str, place: &Place, key: &str, notes: &mut Notes) {
    if text.len() > MAX_SEPARATOR || !text.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
        notes.error(
            Code::BadHeader,
            place,
            format!("`{key}.separator` cannot stand in a header"),
            "write one to eight visible ASCII characters, such as \",\" or \"|\"",
        );
    } else if text.bytes().any(|b| b == b'%' || b.is_ascii_alphanumeric()) {
        let message = format!("`{key}.separator` holds a letter, a digit or `%`");
        let diagnostic = Diagnostic::error(Code::BadHeader, place, message);
        notes.note(
            diagnostic
                .reason("where an item holds the separator it is percent-encoded, as in \"%2C\", and could not be told apart")
                .help("write \",\", \"|\", \";\" or another sign"),
        );
    }
}

fn header_name(found: &Found<String>, key: &str, notes: &mut Notes) -> Option<HeaderName> {
    let name = HeaderName::from_bytes(found.value.as_bytes()).ok();
    let Some(name) = name else {
        let message = format!("`{key}.headers` names \"{}\", which cannot be a header", found.value.escape_default());
        notes.error(Code::BadHeader, &found.place, message, "use letters, digits and dashes, such as \"X-User\"");
        return None;
    };
    if name == http::header::AUTHORIZATION {
        let message = format!("`{key}.headers` cannot set `Authorization`");
        notes.error(
            Code::BadHeader,
            &found.place,
            message,
            "write authorization = \"access_token\", \"id_token\", \"remove\" or \"keep\" in the identity table",
        );
        return None;
    }
    if STEERING.iter().any(|steering| are_one(&HeaderName::from_static(steering), &name))
        || name.as_str().starts_with("proxy-")
    {
        let message = format!("`{key}.headers` cannot set `{}`", found.value.escape_default());
        let diagnostic = Diagnostic::error(Code::BadHeader, &found.place, message);
        notes.note(
            diagnostic
                .reason("this header steers the connection, or is vestibule's own")
                .help("choose another name, such as \"X-User\""),
        );
        return None;
    }
    Some(name)
}

fn header_value(found: &Found<String>, key: &str, notes: &mut Notes) -> Option<IdentityValue> {
    let text = found.value.as_str();
    if let Some(claim) = text.strip_prefix("claim:") {
        return match ClaimPath::parse(claim) {
            Ok(path) => Some(IdentityValue::Claim(path)),
            Err(error) => {
                let message = format!("`{key}.headers` does not name a claim: {error}");
                notes.error(
                    Code::BadClaim,
                    &found.place,
                    message,
                    "write \"claim:department\" or \"claim:/realm_access/roles\"",
                );
                None
            }
        };
    }
    if let Some(literal) = text.strip_prefix("text:") {
        if HeaderValue::from_str(literal).is_err() {
            notes.error(
                Code::BadHeader,
                &found.place,
                format!("`{key}.headers` holds a text that cannot stand in a header"),
                "use visible ASCII characters and spaces",
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
        let message = format!("`{key}.headers` cannot hold \"{}\"", text.escape_default());
        notes.error(
            Code::BadHeader,
            &found.place,
            message,
            format!("{meant} The values are {}, \"claim:NAME\" and \"text:WORDS\"", listed(words())),
        );
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
const STEERING: [&str; 21] = [
    "host",
    "connection",
    "content-length",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "upgrade",
    "te",
    "trailer",
    "keep-alive",
    "expect",
    "cookie",
    "set-cookie",
    "via",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-groups-overflow",
    "x-request-id",
];
const MAX_SEPARATOR: usize = 8;
