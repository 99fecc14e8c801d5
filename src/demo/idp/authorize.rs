//! The authorization endpoint: who is asking, who is signing in, and back with a code.

use cookie::Cookie;
use http::header::{COOKIE, LOCATION, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use url::Url;

use crate::body::Body;
use crate::clock::UnixTime;
use crate::demo::answer::answer;
use crate::demo::idp::grants::{BrowserSession, Grant, Grants, IssuedKind};
use crate::demo::idp::people::PEOPLE;
use crate::demo::idp::{CODE_LIFE, Client, Idp, Params, pages, params};

/// An authorization request whose client and redirect URI are known to belong together, so that errors may be sent there.
struct ReceivedRequest<'a> {
    /// The query as it came, for the page to send back.
    query: &'a str,
    params: Params,
}

impl Idp {
    /// The authorization endpoint; `query` is the request.
    pub(super) fn authorize(&self, headers: &HeaderMap, query: &str) -> Response<Body> {
        self.serve(query, |request| {
            let mut grants = self.grants();
            let session = browser_sid(headers).and_then(|sid| grants.signed_in(&sid)).cloned();
            match session.filter(|session| request.is_served_by(session, self.clock.now())) {
                Some(session) => self.grant(&mut grants, request, session),
                None if request.prompts("none") => self.send_error(request, "login_required", "nobody is signed in"),
                None => pages::choose(&self.client.id, query, None),
            }
        })
    }

    /// The page's form: somebody has chosen to be somebody.
    pub(super) fn choose(&self, form: &Params) -> Response<Body> {
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        self.serve(field("request"), |request| {
            let chosen = field("person");
            if chosen.is_empty() {
                return self.send_error(request, "access_denied", "The person did not want to sign in");
            }
            let Some(person) = PEOPLE.iter().find(|person| person.sub == chosen) else {
                return pages::choose(&self.client.id, request.query, Some("Nobody of that name is known here."));
            };
            let mut grants = self.grants();
            let session = grants.sign_in(person, self.clock.now());
            let cookie = browser_cookie(&session.sid, "");
            let mut answer = self.grant(&mut grants, request, session);
            answer.headers_mut().extend(cookie);
            answer
        })
    }

    /// Answers a request that has no fault.
    fn serve(&self, query: &str, work: impl FnOnce(&ReceivedRequest<'_>) -> Response<Body>) -> Response<Body> {
        match ReceivedRequest::read(&self.client, query) {
            // Nobody may be sent anywhere (RFC 6749 section 4.1.2.1): a page says why.
            Err(reason) => pages::refused(reason),
            Ok(request) => match request.fault() {
                Some((error, description)) => self.send_error(&request, error, description),
                None => work(&request),
            },
        }
    }

    /// Keeps what was granted, and sends a code for it back.
    fn grant(&self, grants: &mut Grants, request: &ReceivedRequest<'_>, session: BrowserSession) -> Response<Body> {
        let text = |name: &str| request.get(name).unwrap_or_default().to_owned();
        let nonce = request.get("nonce").map(str::to_owned);
        let grant = grants.begin(Grant { session, scope: text("scope"), nonce, challenge: text("code_challenge") });
        let code = grants.issue(IssuedKind::Code, &grant, Some(self.clock.now().plus(CODE_LIFE)));
        self.send_back(request, &[("code", &code)])
    }

    /// Reports an error to the client.
    fn send_error(&self, request: &ReceivedRequest<'_>, error: &str, description: &str) -> Response<Body> {
        self.send_back(request, &[("error", error), ("error_description", description)])
    }

    /// Sends the browser back with parameters, `state` and `iss` among them.
    fn send_back(&self, request: &ReceivedRequest<'_>, params: &[(&str, &str)]) -> Response<Body> {
        let state = request.get("state").map(|state| ("state", state));
        let iss = ("iss", self.issuer.as_str());
        redirect(&self.client.redirect_uri, params.iter().copied().chain(state).chain([iss]))
    }
}

impl<'a> ReceivedRequest<'a> {
    /// Reads a request of the client. The error is for a page.
    fn read(client: &Client, query: &'a str) -> Result<Self, &'static str> {
        let request = Self { query, params: params(query.as_bytes()).ok_or("A parameter is repeated.")? };
        if request.get("client_id") != Some(&client.id) {
            return Err("No such client is registered.");
        }
        if request.get("redirect_uri") != Some(&client.redirect_uri) {
            return Err("The redirect_uri is not registered for this client.");
        }
        Ok(request)
    }

    /// A parameter.
    fn get(&self, name: &str) -> Option<&str> {
        self.params.get(name).map(String::as_str)
    }

    /// What is wrong with it, as `error` and `error_description`.
    fn fault(&self) -> Option<(&'static str, &'static str)> {
        if self.get("response_type") != Some("code") {
            Some(("unsupported_response_type", "only response_type=code is served"))
        } else if !matches!(self.get("response_mode"), None | Some("query")) {
            Some(("invalid_request", "only response_mode=query is served"))
        } else if !self.has_word("scope", "openid") {
            Some(("invalid_scope", "the scope openid is missing"))
        } else if self.get("code_challenge").is_none_or(|challenge| challenge.len() != CHALLENGE_LENGTH) {
            Some(("invalid_request", "code_challenge is not a SHA-256 in base64url"))
        } else if self.get("code_challenge_method") != Some("S256") {
            // PK-05: `plain`, also by leaving the method out, is not taken.
            Some(("invalid_request", "code_challenge_method must be S256"))
        } else {
            None
        }
    }

    /// Whether somebody who is signed in in this browser need not be asked again.
    fn is_served_by(&self, session: &BrowserSession, now: UnixTime) -> bool {
        let max_age = self.get("max_age").and_then(|age| age.parse::<u64>().ok());
        let is_old = max_age.is_some_and(|age| now.since(session.auth_time).as_secs() > age);
        !is_old && !["login", "select_account", "consent"].into_iter().any(|prompt| self.prompts(prompt))
    }

    /// Whether this word is in `prompt`.
    fn prompts(&self, prompt: &str) -> bool {
        self.has_word("prompt", prompt)
    }

    /// Whether a parameter that is a list has this word in it.
    fn has_word(&self, name: &str, wanted: &str) -> bool {
        self.get(name).is_some_and(|list| list.split(' ').any(|word| word == wanted))
    }
}

/// Sends a browser back to the client with more parameters: by 303, so that a form is not sent on
/// ([RFC 9700 section 4.12](https://www.rfc-editor.org/rfc/rfc9700#section-4.12)).
pub(super) fn redirect<'a>(uri: &str, params: impl Iterator<Item = (&'a str, &'a str)>) -> Response<Body> {
    let to = Url::parse_with_params(uri, params).ok().and_then(|to| HeaderValue::from_str(to.as_str()).ok());
    let Some(to) = to else { return pages::refused("The redirect URI is no URL.") };
    let mut response = answer(StatusCode::SEE_OTHER, "text/plain", "");
    response.headers_mut().insert(LOCATION, to);
    response
}

/// The value of the single-sign-on cookie.
pub(super) fn browser_sid(headers: &HeaderMap) -> Option<String> {
    let fields = headers.get_all(COOKIE).into_iter().filter_map(|field| field.to_str().ok());
    let mut cookies = fields.flat_map(Cookie::split_parse).filter_map(Result::ok);
    cookies.find(|cookie| cookie.name() == BROWSER_COOKIE).map(|cookie| cookie.value().to_owned())
}

/// The field that sets it; `more` are attributes.
pub(super) fn browser_cookie(value: &str, more: &str) -> Option<(HeaderName, HeaderValue)> {
    let field = format!("{BROWSER_COOKIE}={value}; Path=/sso; HttpOnly; SameSite=Lax{more}");
    Some((SET_COOKIE, HeaderValue::from_str(&field).ok()?))
}

/// The name of the single-sign-on cookie.
const BROWSER_COOKIE: &str = "demo_provider";
/// Of a SHA-256 in base64url.
const CHALLENGE_LENGTH: usize = 43;
