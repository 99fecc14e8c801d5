//! An answer of a provider: what its head and body say, and what of it may be logged.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::{self, HeaderMap, HeaderValue};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use url::{Url, form_urlencoded};

use crate::clock::UnixTime;
use crate::identity::Claims;
use crate::provider::error::AnswerFault;
use crate::provider::json;
use crate::provider::words::Words;
use crate::secret::Secret;

/// A whole answer that is not an outage.
#[derive(Debug)]
pub(super) struct Reply {
    /// The URL of the request.
    pub(super) url: Url,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// The secrets that the request carried: they are redacted from what the answer says.
    pub(super) sent: Vec<Secret<String>>,
}

impl Reply {
    /// Where the endpoint is, for messages.
    pub(super) fn place(&self) -> Box<str> {
        place(&self.url)
    }

    /// The media type without parameters, in lower case.
    pub(super) fn media_type(&self) -> Option<String> {
        let value = self.headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
        Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
    }

    /// The body as a JSON object. An answer that names no media type is read as what was asked for; one that names another
    /// is refused.
    pub(super) fn json(&self) -> Result<Claims, AnswerFault> {
        let is_json =
            self.media_type().is_none_or(|m| m == "application/json" || m == "text/json" || m.ends_with("+json"));
        if !is_json {
            return Err(AnswerFault::ContentType);
        }
        self.json_of_any_type()
    }

    /// The same, whatever media type it goes by.
    pub(super) fn json_of_any_type(&self) -> Result<Claims, AnswerFault> {
        json::object(&self.body).map_err(|_| AnswerFault::Json)
    }

    /// The provider's own clock, where it shows it.
    pub(super) fn date(&self) -> Option<UnixTime> {
        http_date(self.headers.get(header::DATE)?)
    }

    /// `max-age` of `Cache-Control`.
    pub(super) fn max_age(&self) -> Option<Duration> {
        let value = self.headers.get(header::CACHE_CONTROL)?.to_str().ok()?;
        value.split(',').find_map(|part| {
            let seconds = part.trim().to_ascii_lowercase().strip_prefix("max-age=")?.parse().ok()?;
            Some(Duration::from_secs(seconds))
        })
    }

    /// How long the provider asks to wait.
    pub(super) fn retry_after(&self, now: UnixTime) -> Option<Duration> {
        let value = self.headers.get(header::RETRY_AFTER)?;
        let seconds = value.to_str().ok()?.trim().parse().ok().map(Duration::from_secs);
        // By the clock that wrote it, where the answer has a `Date`.
        let wait = || Some(http_date(value)?.since(self.date().unwrap_or(now)));
        seconds.or_else(wait).map(|d| d.min(MAX_RETRY_AFTER))
    }

    /// What goes with an error code that was found in an answer, wherever that was.
    pub(super) fn words_with(&self, code: &str) -> Words {
        let said = self.words();
        let description = if said.error().is_empty() { "" } else { said.description() };
        Words::new(code, Some(description)).without(&self.sent)
    }

    /// What an answer says: in `WWW-Authenticate` ([RFC 6750 section 3](https://www.rfc-editor.org/rfc/rfc6750#section-3)), as
    /// members of a JSON object or of a form, or as the text of a page. Empty when it says nothing.
    pub(super) fn words(&self) -> Words {
        if let Some(words) = challenge(&self.headers) {
            return words.without(&self.sent);
        }
        let words = match json::object(&self.body) {
            Ok(answer) => {
                let text = |name: &str| answer.get(name).and_then(Value::as_str);
                let description = text("error_description").or_else(|| text("message")).or_else(|| text("detail"));
                Words::new(text("error").unwrap_or_default(), description)
            }
            Err(_) => {
                let start = self.body.get(..LONGEST_PAGE).unwrap_or(&self.body);
                let form: Vec<_> = form_urlencoded::parse(start).collect();
                let field = |name: &str| form.iter().find(|(known, _)| known == name).map(|(_, value)| &**value);
                match field("error").filter(|_| !start.contains(&b'<')) {
                    Some(error) => Words::new(error, field("error_description")),
                    None => Words::new("", Some(&page_text(&String::from_utf8_lossy(start)))),
                }
            }
        };
        words.without(&self.sent)
    }
}

/// A URL for messages: without the query, which may hold secrets.
pub(super) fn place(url: &Url) -> Box<str> {
    let mut url = url.clone();
    url.set_query(None);
    String::from(url).into()
}

/// The error of a protected resource ([RFC 6750 section 3.1](https://www.rfc-editor.org/rfc/rfc6750#section-3.1),
/// [RFC 9449 section 7.1](https://www.rfc-editor.org/rfc/rfc9449#section-7.1)).
fn challenge(headers: &HeaderMap) -> Option<Words> {
    let field = headers.get(header::WWW_AUTHENTICATE)?.to_str().ok()?;
    let parameter = |name: &str| {
        let (_, rest) = field.split_once(&format!("{name}=\""))?;
        rest.split('"').next()
    };
    Some(Words::new(parameter("error")?, parameter("error_description")))
}

/// What a person would read on a page: its text without tags, scripts and styles.
fn page_text(html: &str) -> String {
    let mut text = String::new();
    let mut rest = html;
    while let Some((before, tag)) = rest.split_once('<') {
        text.push_str(before);
        text.push(' ');
        let skipped = ["script", "style"].into_iter().find(|name| {
            let start = tag.get(..name.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(name))
        });
        rest = match skipped {
            Some(name) => after(tag, &format!("</{name}")).and_then(|rest| after(rest, ">")),
            None => tag.split_once('>').map(|(_, rest)| rest),
        }
        .unwrap_or_default();
    }
    text.push_str(rest);
    text.replace("&quot;", "'").replace("&#39;", "'").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

/// What follows the first `end`, whatever its case.
fn after<'a>(text: &'a str, end: &str) -> Option<&'a str> {
    let at = text.to_ascii_lowercase().find(end)?;
    text.get(at + end.len()..)
}

/// A date of a header field.
fn http_date(value: &HeaderValue) -> Option<UnixTime> {
    let at = OffsetDateTime::parse(value.to_str().ok()?, &Rfc2822).ok()?;
    u64::try_from(at.unix_timestamp()).ok().map(UnixTime::from_secs)
}

/// The longest wait that is believed.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// How much of a page is read.
const LONGEST_PAGE: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::words::printable;

    #[test]
    fn a_page_is_read_without_its_markup() {
        let page = "<!doctype html><style>a{b:c}</style><TITLE>Error</TITLE><script>var x='<p>';</SCRIPT ><h1>Sorry</h1>\n<p>Invalid parameter: redirect_uri &amp; &#39;x&#39;";
        assert_eq!(printable(&page_text(page), 200), "Error Sorry Invalid parameter: redirect_uri & 'x'");
        for broken in ["<", "<script", "<script>", "<a", "x<", "é<é", "<style>é"] {
            page_text(broken);
        }
    }
}
