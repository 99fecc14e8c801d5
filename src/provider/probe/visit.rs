//! One visit to an endpoint for browsers, as a browser without cookies makes it.
//!
//! Redirects are followed within the endpoint's own origin, with the cookies that it sets on the way: many servers check
//! by a redirect whether cookies are kept. Nothing of the visit is kept afterwards.

use cookie::{Cookie, CookieJar};
use http::header::{LOCATION, SET_COOKIE};
use url::{Url, form_urlencoded};

use super::ResponseParameters;
use crate::provider::error::{Endpoint, ProviderError};
use crate::provider::reply::Reply;
use crate::provider::transport::Transport;

/// Where a visit ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// At our own address, with these parameters.
    Returned(ResponseParameters),
    /// On the way, at a URL that carries an error.
    Refused(ResponseParameters),
    /// At another origin, without an error: somebody is to be asked there.
    SentTo(Url),
    /// With a page.
    Page(Reply),
    /// Nowhere: too many redirects, or one to no URL.
    Nowhere,
}

/// Visits `url`. `ours` is the address to which the provider is to send the browser back.
pub(super) async fn visit(
    transport: &Transport,
    endpoint: Endpoint,
    url: String,
    ours: &Url,
) -> Result<Ended, ProviderError> {
    let Ok(url) = Url::parse(&url) else { return Ok(Ended::Nowhere) };
    let origin = url.origin();
    let (mut at, mut cookies) = (url, CookieJar::new());
    for _ in 0..MOST_REQUESTS {
        let reply = transport.visit(endpoint, &at, &cookie_field(&cookies)).await?;
        if !reply.status.is_redirection() {
            return Ok(posted_back(&reply, ours).map_or(Ended::Page(reply), Ended::Returned));
        }
        let location = reply.headers.get(LOCATION).and_then(|location| location.to_str().ok());
        let Some(to) = location.and_then(|location| at.join(location).ok()) else { return Ok(Ended::Nowhere) };
        if is_same_place(&to, ours) {
            return Ok(Ended::Returned(parameters(&to)));
        }
        let said = parameters(&to);
        if !said.error().is_empty() {
            return Ok(Ended::Refused(said));
        }
        if to.origin() != origin {
            return Ok(Ended::SentTo(to));
        }
        keep_cookies(&mut cookies, &reply);
        at = to;
    }
    Ok(Ended::Nowhere)
}

/// The cookies of a visit as they are sent.
fn cookie_field(cookies: &CookieJar) -> String {
    let pairs: Vec<String> = cookies.iter().map(|cookie| cookie.stripped().to_string()).collect();
    pairs.join("; ")
}

/// Keeps the cookies that an answer sets; an empty value ends one.
fn keep_cookies(cookies: &mut CookieJar, reply: &Reply) {
    for field in reply.headers.get_all(SET_COOKIE).iter().filter_map(|field| field.to_str().ok()) {
        match Cookie::parse(field.to_owned()) {
            Ok(cookie) if cookie.value().is_empty() => cookies.force_remove(cookie.name()),
            Ok(cookie) => cookies.add_original(cookie),
            Err(_) => {}
        }
    }
}

/// Whether both name the same page.
fn is_same_place(a: &Url, b: &Url) -> bool {
    a.origin() == b.origin() && a.path() == b.path()
}

/// Of the query, and of the fragment, which some servers take for errors.
fn parameters(url: &Url) -> ResponseParameters {
    let fragment = url.fragment().unwrap_or_default().as_bytes();
    let both = [url.query().unwrap_or_default().as_bytes(), fragment];
    ResponseParameters(both.into_iter().flat_map(|part| form_urlencoded::parse(part).into_owned()).collect())
}

/// The fields of a page that sends itself on to our address (`response_mode=form_post`).
fn posted_back(reply: &Reply, ours: &Url) -> Option<ResponseParameters> {
    let html = std::str::from_utf8(&reply.body).ok()?;
    let tags = || html.split('<').skip(1).filter_map(|rest| rest.split('>').next());
    let is_tag = |tag: &str, name: &str| tag.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    let form = tags().find(|tag| is_tag(tag, "form"))?;
    let action = Url::parse(&attribute(form, "action")?).ok()?;
    let fields = tags().filter(|tag| is_tag(tag, "input"));
    let fields = fields.filter_map(|tag| Some((attribute(tag, "name")?, attribute(tag, "value")?)));
    is_same_place(&action, ours).then(|| ResponseParameters(fields.collect()))
}

/// An attribute's value, quoted in any way, with the usual references resolved.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let found = tag.match_indices(name).find_map(|(at, _)| {
        let starts = tag.get(..at)?.ends_with(|c: char| c.is_ascii_whitespace());
        let value = tag.get(at + name.len()..)?.trim_start().strip_prefix('=')?.trim_start();
        starts.then_some(value)
    })?;
    let value = match found.chars().next()? {
        quote @ ('"' | '\'') => found.get(1..)?.split(quote).next(),
        _ => found.split_ascii_whitespace().next(),
    }?;
    const REFERENCES: [(&str, &str); 5] =
        [("&#x2F;", "/"), ("&#47;", "/"), ("&#x3A;", ":"), ("&quot;", "\""), ("&amp;", "&")];
    Some(REFERENCES.iter().fold(value.to_owned(), |value, (reference, sign)| value.replace(reference, sign)))
}

/// What is said of [`Ended::Nowhere`].
pub(super) const LEADS_NOWHERE: &str = "too many redirects, or one that leads nowhere";
/// Redirects are followed until then.
const MOST_REQUESTS: usize = 8;
