//! `response_headers` of a route: fields of the application's answers that are set, added or removed.

use http::header::{HeaderName, HeaderValue, SET_COOKIE, STRICT_TRANSPORT_SECURITY};

use super::super::answers::ResponseHeadersTable;
use super::super::units::{Named, OneOrMany, RawText};
use super::{Field, Flaw, Found, Place, Problems, filled, kinds, opened};
use crate::gateway::settings::RouteSettings;
use crate::proxy::headers::caching::is_shareable;
use crate::proxy::headers::cookie_name;
use crate::proxy::headers::response_headers::{HeaderChange, ResponseHeaders, why_fixed};
use crate::request::cookies::OwnCookies;

/// The changes, and where each was written.
#[derive(Default)]
pub(super) struct CheckedChanges {
    changes: Vec<(Found<HeaderName>, HeaderChange)>,
}

/// What a route changes.
pub(super) fn response_headers(field: &Field<ResponseHeadersTable>, problems: &mut Problems) -> CheckedChanges {
    let mut checked = CheckedChanges::default();
    let Some(table) = opened(field.clone(), problems) else { return checked };
    for (named, change) in [(&table.value.set, HeaderChange::Set as fn(_) -> _), (&table.value.add, HeaderChange::Add)]
    {
        for (name, field) in named.value().into_iter().flat_map(Named::given) {
            // Messages name the table: the name of a field says where in it.
            let key = named.given().map_or("", |found| found.key.as_str()).to_owned();
            let name = Found { key: key.clone(), ..name.clone() };
            let values = values(&name.value, &Found { key, ..field.clone() }, problems);
            if let Some(values) = values {
                checked.add(&name, change(values), problems);
            }
        }
    }
    for name in filled(&table.value.remove, kinds::EMPTY_REMOVE, problems).unwrap_or_default() {
        checked.add(name, HeaderChange::Remove, problems);
    }
    checked
}

impl CheckedChanges {
    /// One more, of a name that has none yet.
    fn add(&mut self, name: &Found<String>, change: HeaderChange, problems: &mut Problems) {
        let Some(header) = problems.sound(name, field_name(&name.value)) else { return };
        if let Some((first, _)) = self.changes.iter().find(|(known, _)| known.value == header) {
            let what = format!("names \"{}\", which was changed already", name.value.escape_default());
            problems.on(kinds::CHANGED_TWICE, name, what).also(&first.place, "here first");
            return;
        }
        self.changes.push((name.with(header), change));
    }

    /// As the gateway makes them.
    pub(super) fn settings(&self) -> ResponseHeaders {
        let changes = self.changes.iter();
        ResponseHeaders::new(changes.map(|(name, change)| (name.value.clone(), change.clone())).collect())
    }

    /// What contradicts the rest of the configuration: the sessions' cookies, and the `hsts` that stands at `hsts`.
    pub(super) fn check(&self, route: &RouteSettings, own: &OwnCookies, hsts: Option<&Place>, problems: &mut Problems) {
        let is_ours = |name: &str| own.is_ours(name) || own.is_ours(without_prefix(name));
        let sessions = route.rules().any(|rule| rule.access.looks_at_session());
        for (name, change) in &self.changes {
            if let (Some(hsts), true) = (hsts, name.value == STRICT_TRANSPORT_SECURITY) {
                let what = "changes \"Strict-Transport-Security\", which `server.hsts` sets on every answer";
                problems.on(kinds::HSTS_CHANGED, name, what).also(hsts, "set here");
            }
            let ours = change.values().iter().find(|value| cookie_name(value).is_some_and(is_ours));
            if let Some(name) = ours.filter(|_| name.value == SET_COOKIE).and_then(cookie_name).map(|it| name.with(it))
            {
                let what = format!("sets the cookie \"{}\"", name.value.escape_default());
                problems.on(kinds::OWN_COOKIE_SET, &name, what);
            }
            if sessions && change.values().iter().any(|value| is_shareable(&name.value, value)) {
                let what = format!("lets caches share what one person is shown: \"{}\"", name.value);
                problems.on(kinds::SHARED_CACHE, name, what);
            }
        }
    }
}

/// The name of a cookie without what browsers hold against it: where `public_url` is http, ours has no such prefix. It is to be no
/// error only once `public_url` is https.
fn without_prefix(name: &str) -> &str {
    ["__Host-", "__Secure-"].iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name)
}

/// A field that a route may change.
fn field_name(text: &str) -> Result<HeaderName, Flaw> {
    let shown = text.escape_default();
    let unfit = |_| Flaw::new(kinds::NO_HEADER_NAME, format!("names \"{shown}\", which cannot be a header"));
    let name = HeaderName::from_bytes(text.as_bytes()).map_err(unfit)?;
    match why_fixed(&name) {
        Some(reason) => Err(Flaw::new(kinds::FIXED_HEADER, format!("cannot change \"{shown}\"")).reason(reason)),
        None => Ok(name),
    }
}

/// The values of a field; all of them or none.
fn values(name: &str, field: &Found<OneOrMany<RawText>>, problems: &mut Problems) -> Option<Vec<HeaderValue>> {
    let items = &field.value.0;
    if items.is_empty() {
        problems.on(kinds::EMPTY_VALUES, field, format!("has an empty list for \"{}\"", name.escape_default()));
    }
    let of = |item: &Found<RawText>| {
        let item = Found { key: field.key.clone(), ..item.clone() };
        problems.sound(&item, field_value(name, &item.value.0))
    };
    let values: Vec<_> = items.iter().filter_map(of).collect();
    (!values.is_empty() && values.len() == items.len()).then_some(values)
}

/// A value that arrives as it is written (RFC 9110 section 5.5).
fn field_value(name: &str, text: &str) -> Result<HeaderValue, Flaw> {
    let flaw = |kind, what: &str| Flaw::new(kind, format!("{what} \"{}\"", name.escape_default()));
    let fits = text.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) && text.trim() == text;
    let value = HeaderValue::from_str(text).ok().filter(|_| fits);
    let value = value.ok_or_else(|| flaw(kinds::HEADER_VALUE_UNFIT, "has a value that cannot stand in a header:"))?;
    // https://www.w3.org/TR/clear-site-data/#header
    let clears = |word: &str| ["\"cookies\"", "\"*\""].iter().any(|known| word.trim().eq_ignore_ascii_case(known));
    if name.eq_ignore_ascii_case("clear-site-data") && text.split(',').any(clears) {
        return Err(flaw(kinds::COOKIES_CLEARED, "has browsers drop all cookies with"));
    }
    Ok(value)
}
