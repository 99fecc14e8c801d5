//! One visit to an endpoint for browsers, as a browser without cookies makes it.
//!
//! Redirects are followed within the endpoint's own origin, with the cookies that it sets on the way: many servers check
//! by a redirect whether cookies are kept. Nothing of the visit is kept afterwards.

use http::header::{LOCATION, SET_COOKIE};
use url::{Url, form_urlencoded};

use super::Parameters;
use crate::provider::error::{Endpoint, ProviderError};
use crate::provider::reply::Reply;
use crate::provider::transport::Transport;

/// Where a visit ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// At our own address, with these parameters.
    Returned(Parameters),
    /// On the way, at a URL that carries an error.
    Refused(Parameters),
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
    let (mut at, mut cookies) = (url, Cookies::default());
    for _ in 0..MOST_REQUESTS {
        let reply = transport.visit(endpoint, &at, &cookies.field()).await?;
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
        cookies.take(&reply);
        at = to;
    }
    Ok(Ended::Nowhere)
}

/// The cookies of one visit, by name.
#[derive(Default)]
struct Cookies(Vec<(String, String)>);

impl Cookies {
    fn take(&mut self, reply: &Reply) {
        for field in reply.headers.get_all(SET_COOKIE).iter().filter_map(|field| field.to_str().ok()) {
            let pair = field.split(';').next().unwrap_or_default();
            let Some((name, value)) = pair.split_once('=') else { continue };
            self.0.retain(|(known, _)| known != name.trim());
            if !value.trim().is_empty() {
                self.0.push((name.trim().to_owned(), value.trim().to_owned()));
            }
        }
    }

    fn field(&self) -> String {
        self.0.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }
}

fn is_same_place(a: &Url, b: &Url) -> bool {
    a.origin() == b.origin() && a.path() == b.path()
}

/// Of the query, and of the fragment, which some servers take for errors.
fn parameters(url: &Url) -> Parameters {
    let fragment = url.fragment().unwrap_or_default().as_bytes();
    let both = [url.query().unwrap_or_default().as_bytes(), fragment];
    Parameters(both.into_iter().flat_map(|part| form_urlencoded::parse(part).into_owned()).collect())
}

/// The fields of a page that sends itself on to our address (`response_mode=form_post`).
fn posted_back(reply: &Reply, ours: &Url) -> Option<Parameters> {
    let html = std::str::from_utf8(&reply.body).ok()?;
    let tags = || html.split('<').skip(1).filter_map(|rest| rest.split('>').next());
    let is_tag = |tag: &str, name: &str| tag.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    let form = tags().find(|tag| is_tag(tag, "form"))?;
    let action = Url::parse(&attribute(form, "action")?).ok()?;
    let fields = tags().filter(|tag| is_tag(tag, "input"));
    let fields = fields.filter_map(|tag| Some((attribute(tag, "name")?, attribute(tag, "value")?)));
    is_same_place(&action, ours).then(|| Parameters(fields.collect()))
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
const MOST_REQUESTS: usize = 8;
