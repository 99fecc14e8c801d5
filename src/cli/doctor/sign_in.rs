//! The sign-in, from the page that asks for one to the page of the provider.

use std::collections::HashMap;

use http::StatusCode;
use http::header::SET_COOKIE;
use url::Url;

use super::Examination;
use super::faults::Fault;
use super::visitor::Answer;
use crate::provider::printable;
use crate::session::settings::domain_reaches;

impl Examination<'_> {
    /// The URL that begins a sign-in, and where it leads; none where no sign-in begins.
    pub(super) async fn find_sign_in(&mut self, page: &Answer) -> Option<(Url, Url)> {
        let url = self.arguments.url.clone();
        if let Some(leads) = page.location().filter(is_authorization) {
            self.findings.good("page", "asks for a sign-in");
            return Some((url, leads));
        }
        if page.status == StatusCode::UNAUTHORIZED {
            self.findings.good("page", "asks for a sign-in before it leads to one");
        }
        if page.status.is_success() {
            let message = format!(
                "{} answers {} to whoever asks: is that page meant to be public?",
                url.path(),
                page.status.as_u16()
            );
            self.findings.wrong("page", Fault::PageOpen, message);
        }
        let mut login = url;
        login.set_path(&format!("{}/login", self.arguments.prefix.trim_end_matches('/')));
        login.set_query(None);
        login.query_pairs_mut().append_pair("rd", "/");
        if let Some(provider) = &self.arguments.provider {
            login.query_pairs_mut().append_pair("provider", provider);
        }
        let message = match self.deployment.opens(&login, &[]).await {
            Ok(answer) => match answer.location().filter(is_authorization) {
                Some(leads) => return Some((login, leads)),
                None => format!("{} answers {}, not a redirect to a provider", login.path(), answer.status.as_u16()),
            },
            Err(why) => format!("{} is not answered: {}", login.path(), why.cause()),
        };
        self.findings.wrong("sign-in", Fault::NoSignIn, message);
        None
    }

    /// The authorization request.
    pub(super) fn look_at_request(&mut self, leads: &Url, answer: &Answer) {
        let sent: HashMap<String, String> = leads.query_pairs().into_owned().collect();
        let asked = |name: &str| sent.get(name).filter(|value| !value.is_empty());
        if asked("request_uri").is_some() {
            self.findings.unseen(
                "sign-in",
                "the request was handed to the provider beforehand (PAR): its parameters do not pass here",
            );
            return;
        }
        self.look_at_redirect_uri(asked("redirect_uri").map(String::as_str), answer);
        let is_openid = asked("scope").is_some_and(|scope| scope.split(' ').any(|scope| scope == "openid"));
        let has_pkce =
            asked("code_challenge").is_some() && asked("code_challenge_method").is_some_and(|it| it == "S256");
        let wanted = [
            ("state", asked("state").is_some()),
            ("PKCE with S256", has_pkce),
            ("nonce", !is_openid || asked("nonce").is_some()),
        ];
        let missing: Vec<_> = wanted.iter().filter(|(_, is_there)| !is_there).map(|(name, _)| *name).collect();
        if missing.is_empty() {
            let with = if is_openid { "state, nonce and PKCE" } else { "state and PKCE" };
            self.findings.good("sign-in", format!("leads to {} with {with}", leads.origin().ascii_serialization()));
        } else {
            let message =
                format!("the request to {} is without {}", leads.origin().ascii_serialization(), missing.join(", "));
            self.findings.wrong("sign-in", Fault::Unprotected, message);
        }
    }

    /// Scheme and host have to be those that people typed, or of one cookie domain with them.
    fn look_at_redirect_uri(&mut self, uri: Option<&str>, answer: &Answer) {
        let url = &self.arguments.url;
        let Some(uri) = uri.and_then(|uri| Url::parse(uri).ok()) else {
            self.findings.wrong("redirect_uri", Fault::RedirectUri, "the request names no URL to come back to");
            return;
        };
        let shown = printable(uri.as_str(), SHOWN);
        let domains = || set_cookies(answer).filter_map(|cookie| cookie.attribute("domain").map(str::to_owned));
        let shares = |host: &str| {
            domains().any(|domain| {
                [host, url.host_str().unwrap_or_default()]
                    .iter()
                    .all(|it| domain_reaches(domain.trim_start_matches('.'), it))
            })
        };
        if uri.origin() == url.origin() {
            self.findings.good("redirect_uri", shown);
        } else if uri.scheme() == url.scheme() && uri.host_str().is_some_and(shares) {
            self.findings.good("redirect_uri", format!("{shown}, a host of the same cookie domain"));
        } else {
            let origin = url.origin().ascii_serialization();
            let message = format!("people come back to {shown} and not to {origin}, where their cookie is");
            self.findings.wrong("redirect_uri", Fault::RedirectUri, message);
        }
    }

    /// The cookies of the attempt.
    pub(super) fn look_at_cookies(&mut self, answer: &Answer) {
        let is_https = self.arguments.url.scheme() == "https";
        let cookies: Vec<Cookie> = set_cookies(answer).filter(|cookie| !cookie.is_deleted()).collect();
        if cookies.is_empty() {
            self.findings.wrong(
                "cookies",
                Fault::CookieFlags,
                "the redirect sets no cookie that binds the sign-in to this browser",
            );
            return;
        }
        let mut is_good = true;
        for cookie in &cookies {
            let name = printable(&cookie.name, SHOWN);
            let flaws = cookie.flaws(is_https);
            if !flaws.is_empty() {
                self.findings.wrong("cookies", Fault::CookieFlags, format!("{name} is without {}", flaws.join(", ")));
                is_good = false;
            }
            if cookie.length > LINE_MAX {
                let message = format!("{name} takes {} bytes; browsers drop cookies above {LINE_MAX}", cookie.length);
                self.findings.wrong("cookies", Fault::CookieSize, message);
                is_good = false;
            }
        }
        if is_good {
            let longest = cookies.iter().map(|cookie| cookie.length).max().unwrap_or_default();
            self.findings
                .good("cookies", format!("{}, the longest of {longest} bytes, with the right flags", cookies.len()));
        }
    }

    /// The page of the provider, as a browser would get it.
    pub(super) async fn visit_provider(&mut self, leads: &Url) {
        let place = format!("{}{}", leads.origin().ascii_serialization(), leads.path());
        let answer = match self.elsewhere.opens(leads, &[]).await {
            Ok(answer) => answer,
            Err(why) => {
                let message = format!("{place} cannot be reached from here: {}", why.cause());
                self.findings.wrong("provider", Fault::ProviderRefuses, message);
                return;
            }
        };
        let error = answer
            .location()
            .and_then(|back| back.query_pairs().find(|(name, _)| name == "error").map(|(_, error)| error.into_owned()));
        match error {
            Some(error) => {
                let message = format!("{place} sends people back with the error {}", printable(&error, SHOWN));
                self.findings.wrong("provider", Fault::ProviderRefuses, message);
            }
            None if answer.status.is_client_error() || answer.status.is_server_error() => {
                let message = format!("{place} answers {} to the request", answer.status.as_u16());
                self.findings.wrong("provider", Fault::ProviderRefuses, message);
            }
            None => {
                self.findings.good("provider", format!("{place} answers {} to the request", answer.status.as_u16()));
            }
        }
    }
}

/// Whether a URL is an authorization request ([RFC 6749 section 4.1.1](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.1)).
fn is_authorization(url: &Url) -> bool {
    url.query_pairs().any(|(name, _)| name == "client_id")
}

fn set_cookies(answer: &Answer) -> impl Iterator<Item = Cookie> {
    answer.headers.get_all(SET_COOKIE).iter().filter_map(|line| Cookie::read(line.to_str().ok()?))
}

/// A `Set-Cookie` line.
struct Cookie {
    name: String,
    value: String,
    /// Names in lower case.
    attributes: Vec<(String, String)>,
    length: usize,
}

impl Cookie {
    fn read(line: &str) -> Option<Self> {
        let mut parts = line.split(';');
        let (name, value) = parts.next()?.split_once('=')?;
        let attributes = parts.map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (name.trim().to_ascii_lowercase(), value.trim().to_owned())
        });
        let (name, value) = (name.trim().to_owned(), value.trim().to_owned());
        Some(Self { name, value, attributes: attributes.collect(), length: line.len() })
    }

    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn is_deleted(&self) -> bool {
        self.value.is_empty() || self.attribute("max-age") == Some("0")
    }

    /// What is missing of the attributes without which another site, a script or a listener gets at the cookie.
    fn flaws(&self, is_https: bool) -> Vec<&'static str> {
        let has = |name: &str| self.attribute(name).is_some();
        let same_site = self.attribute("samesite").unwrap_or_default().to_ascii_lowercase();
        let is_bound = self.name.starts_with("__Host-") || (has("domain") && self.name.starts_with("__Secure-"));
        let wanted = [
            (!is_https || has("secure"), "Secure"),
            (has("httponly"), "HttpOnly"),
            (["lax", "strict", "none"].contains(&same_site.as_str()), "SameSite"),
            (self.attribute("path") == Some("/"), "Path=/"),
            (!is_https || is_bound, "the prefix __Host-"),
        ];
        wanted.into_iter().filter(|(is_there, _)| !is_there).map(|(_, name)| name).collect()
    }
}

const SHOWN: usize = 300;
/// What browsers take as one cookie ([RFC 6265 section 6.1](https://www.rfc-editor.org/rfc/rfc6265#section-6.1)).
const LINE_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_missing_attribute_is_named() {
        let flaws = |line: &str, is_https| Cookie::read(line).unwrap().flaws(is_https).join(", ");
        let good = "__Host-vestibule.login.a=x; Path=/; Secure; HttpOnly; SameSite=Lax";
        assert_eq!(flaws(good, true), "");
        assert_eq!(flaws("__Secure-a=x; Domain=example.com; Path=/; Secure; HttpOnly; SameSite=Lax", true), "");
        assert_eq!(flaws("vestibule=x; path=/; httponly; samesite=lax", false), "");
        assert_eq!(flaws("vestibule=x; path=/; httponly; samesite=lax", true), "Secure, the prefix __Host-");
        assert_eq!(flaws("__Host-a=x; Path=/a; Secure", true), "HttpOnly, SameSite, Path=/");
        assert!(Cookie::read("a=; Path=/").unwrap().is_deleted());
    }
}
