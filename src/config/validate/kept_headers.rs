//! `insecure_keep_headers` of a route: fields that clients send and only gateways should, kept for an application that needs them.

use http::HeaderName;

use super::{Field, Flaw, Found, OneOrMany, Problems, filled, given_twice, kinds};
use crate::gateway::settings::RuleSettings;
use crate::proxy::headers::spellings::{Class, Spellings, are_one, usual_source};
use crate::proxy::identity_headers::OVERFLOW;

/// The names; each is warned about. `rules` are those of the route and of its `paths`.
pub(super) fn kept_headers(
    field: &Field<OneOrMany<String>>,
    rules: &[&RuleSettings],
    problems: &mut Problems,
) -> Vec<HeaderName> {
    let names = Spellings::new(&[]);
    let mut kept: Vec<HeaderName> = Vec::new();
    for item in filled(field, kinds::EMPTY_KEPT_HEADERS, problems).unwrap_or_default() {
        if let Some(name) = problems.sound(item, kept_header(&item.value, &kept, &names, rules)) {
            warn(item, &name, problems);
            kept.push(name);
        }
    }
    kept
}

/// A field that may be kept, and is not kept yet.
fn kept_header(
    text: &str,
    kept: &[HeaderName],
    names: &Spellings,
    rules: &[&RuleSettings],
) -> Result<HeaderName, Flaw> {
    let shown = text.escape_default();
    let unfit = |_| Flaw::new(kinds::NO_KEPT_HEADER, format!("names \"{shown}\", which cannot be a header"));
    let name = HeaderName::from_bytes(text.as_bytes()).map_err(unfit)?;
    if kept.contains(&name) {
        return Err(given_twice(text));
    }
    if let Some(reason) = never_kept(names, &name) {
        return Err(Flaw::new(kinds::NEVER_KEPT, format!("cannot keep \"{shown}\"")).reason(reason));
    }
    let sends = |rule: &RuleSettings| rule.identity.headers.iter().any(|(sent, _)| are_one(sent, &name));
    if rules.iter().any(|rule| rule.access.looks_at_session() && sends(rule)) {
        let what = format!("keeps \"{shown}\", by which the route itself says who is signed in");
        return Err(Flaw::new(kinds::KEPT_AND_SENT, what));
    }
    Ok(name)
}

/// Every kept field is warned about, with the gateway that usually sets it.
fn warn(item: &Found<String>, name: &HeaderName, problems: &mut Problems) {
    let what = format!("lets every client send \"{}\"", item.value.escape_default());
    let reason = usual_source(name.as_str()).map_or_else(
        || "vestibule removes it only where another route sends it".to_owned(),
        |source| format!("it is usually set by {source}; an application that believes it believes every client"),
    );
    problems.on(kinds::KEPT_HEADER, item, what).reason(reason);
}

/// Why no route can keep this field.
fn never_kept(names: &Spellings, name: &HeaderName) -> Option<&'static str> {
    if are_one(&OVERFLOW, name) {
        return Some("by this field vestibule says that groups were left out");
    }
    match names.class(name.as_str()) {
        Class::EndToEnd | Class::Identity | Class::Address | Class::Trace | Class::Destination => None,
        Class::Way => {
            let own = WRITTEN.iter().any(|written| are_one(&HeaderName::from_static(written), name));
            own.then_some("vestibule writes this field itself")
        }
        Class::Host => Some("it names a host, and could name another than the one that was judged"),
        Class::Method => {
            Some("it is removed only where rules name `methods`, and could override the method that was judged")
        }
        Class::Misspelled => Some("some applications take it for the field that frames the request"),
        _ => Some("it is for one connection only, and is never forwarded"),
    }
}

/// What the gateway sets on every request.
const WRITTEN: [&str; 5] = ["forwarded", "x-forwarded-for", "x-forwarded-port", "x-forwarded-proto", "x-request-id"];
