//! What comes back to the redirect URI, changed on purpose: a redirect, or a form that is posted.

use super::{IdpRequest, IdpResponse, paths};
use bytes::Bytes;
use http::StatusCode;
use http::header::LOCATION;
use url::Url;

use super::faults::CallbackFaults;

/// The authorization request as the honest provider would refuse it, where one of its parameters is not to be known there.
pub(super) fn refused(asked: &IdpRequest, faults: &CallbackFaults) -> Option<IdpRequest> {
    let query = if asked.path == paths::CHOOSE { asked.field("request")? } else { asked.query.clone() };
    let mut params: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let one = |name: &str| params.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let is_refused = |refused: &String| match refused.split_once('=') {
        Some((name, word)) => one(name).is_some_and(|value| value.split(' ').any(|found| found == word)),
        None => one(refused).is_some(),
    };
    if !faults.refused.iter().any(is_refused) {
        return None;
    }
    for (name, value) in &mut params {
        if name == "response_type" {
            *value = NOT_KNOWN.to_owned();
        }
    }
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(params).finish();
    Some(IdpRequest { method: "GET".to_owned(), path: paths::AUTHORIZE.to_owned(), query, ..asked.clone() })
}

/// The refusal of [`refused`] in the words of a provider that does not know the parameter.
pub(super) fn says_not_supported(answer: IdpResponse) -> IdpResponse {
    changed(answer, |params| {
        let is_ours = |(name, value): &(String, String)| name == "error" && value == "unsupported_response_type";
        if params.iter().any(is_ours) {
            params.retain(|(name, _)| name != "error" && name != "error_description");
            let said = [("error", "invalid_request"), ("error_description", "a parameter is not supported")];
            params.splice(0..0, said.map(|(name, text)| (name.to_owned(), text.to_owned())));
        }
    })
}

/// The answer with what is wrong on purpose.
pub(super) fn broken(answer: IdpResponse, faults: &CallbackFaults) -> IdpResponse {
    changed(answer, |params| {
        let code = params.iter().position(|(name, _)| name == "code");
        if let (Some((error, description)), Some(code)) = (&faults.error, code) {
            let description = description.iter().map(|text| ("error_description".to_owned(), text.clone()));
            let said: Vec<_> = std::iter::once(("error".to_owned(), error.clone())).chain(description).collect();
            params.splice(code..=code, said);
        }
        faults.params.apply_to_params(params);
        params.extend(faults.added.iter().cloned());
    })
}

fn changed(mut answer: IdpResponse, change: impl FnOnce(&mut Vec<(String, String)>)) -> IdpResponse {
    if let Some((_, location)) = answer.headers.iter_mut().find(|(name, _)| name == LOCATION) {
        let mut to = Url::parse(location).unwrap();
        let mut params: Vec<(String, String)> = to.query_pairs().into_owned().collect();
        change(&mut params);
        to.query_pairs_mut().clear().extend_pairs(&params);
        *location = to.to_string();
    } else if answer.status == StatusCode::OK
        && let Some((action, mut params)) = posted_form(&answer.body)
    {
        change(&mut params);
        let inputs: Vec<String> = params
            .iter()
            .map(|(name, value)| {
                format!("<input type=\"hidden\" name=\"{}\" value=\"{}\">", escaped(name), escaped(value))
            })
            .collect();
        let form = format!("<form method=\"post\" action=\"{}\">{}</form>", escaped(&action), inputs.concat());
        answer.body = form.into();
    }
    answer
}

/// Where the form of a page goes and what it sends, if it goes back to a client.
pub(super) fn posted_form(page: &Bytes) -> Option<(String, Vec<(String, String)>)> {
    let page = std::str::from_utf8(page).ok()?;
    let attribute = |tag: &str, name: &str| -> Option<String> {
        let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
        Some(unescaped(rest.split_once('"')?.0))
    };
    let (_, form) = page.split_once("<form ")?;
    let action = attribute(&format!(" {form}"), "action").filter(|action| action.starts_with("http"))?;
    let inputs = form.split("<input").skip(1);
    let params = inputs.filter_map(|input| Some((attribute(input, "name")?, attribute(input, "value")?))).collect();
    Some((action, params))
}

pub(super) fn escaped(text: &str) -> String {
    ENTITIES.iter().fold(text.to_owned(), |text, (sign, entity)| text.replace(sign, entity))
}

fn unescaped(text: &str) -> String {
    ENTITIES.iter().rev().fold(text.to_owned(), |text, (sign, entity)| text.replace(entity, sign))
}

const ENTITIES: [(&str, &str); 5] = [("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\"", "&quot;"), ("'", "&#39;")];
const NOT_KNOWN: &str = "not-known-here";
