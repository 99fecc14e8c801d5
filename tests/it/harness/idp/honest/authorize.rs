//! The authorization endpoint: who is asking, who is signing in, and back with a code.

use http::StatusCode;
use http::header::SET_COOKIE;
use url::Url;

use super::grants::{BrowserSession, Grant};
use super::request::IdpRequest;
use super::response::IdpResponse;
use super::settings::{Client, Mode, Pkce};
use super::{CODE_LIFE, Idp, IdpState, pages};
use vestibule::clock::UnixTime;

/// An authorization request whose client and redirect URI are known to belong together, so that errors may be sent there.
struct AuthorizeRequest {
    /// The query as it came, for the page to send back.
    query: String,
    client: Client,
    redirect_uri: String,
    state: Option<String>,
    scope: String,
    nonce: Option<String>,
    challenge: Option<String>,
    prompt: String,
    max_age: Option<u64>,
    /// Whether the answer is to be posted (OAuth 2.0 Form Post Response Mode).
    form_post: bool,
}

/// What is wrong with an authorization request.
enum AuthorizeFault {
    /// Nobody may be sent anywhere ([RFC 6749 section 4.1.2.1](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2.1)): a page
    /// says why.
    Page(&'static str),
    /// To be reported to the client.
    Client(Box<AuthorizeRequest>, &'static str, &'static str),
}

impl Idp {
    pub(super) fn authorize(&self, asked: &IdpRequest) -> IdpResponse {
        let mut state = self.state();
        let request = match AuthorizeRequest::read(&state, &asked.query) {
            Ok(request) => request,
            Err(fault) => return self.refuse(&state, fault),
        };
        match browser_session(&state, asked).filter(|(_, session)| request.is_served_by(session, self.now())) {
            Some((sid, session)) => self.grant(&mut state, &request, &sid, &session),
            None if request.prompts("none") => {
                self.send_error(&state, &request, "login_required", "nobody is signed in")
            }
            None => pages::choose(&request.client.id, &request.query, &state.settings.people, None),
        }
    }

    /// The page's form: somebody has chosen to be somebody.
    pub(super) fn choose(&self, asked: &IdpRequest) -> IdpResponse {
        let mut state = self.state();
        let query = asked.field("request").unwrap_or_default();
        let request = match AuthorizeRequest::read(&state, &query) {
            Ok(request) => request,
            Err(fault) => return self.refuse(&state, fault),
        };
        let chosen = asked.field("person").unwrap_or_default();
        if chosen.is_empty() {
            return self.send_error(&state, &request, "access_denied", "The person did not want to sign in");
        }
        if !state.settings.people.iter().any(|person| person.sub == chosen) {
            let complaint = Some("Nobody of that name is known here.");
            return pages::choose(&request.client.id, &request.query, &state.settings.people, complaint);
        }
        let session = BrowserSession { sub: chosen, auth_time: self.now() };
        let sid = state.grants.begin_browser_session(session.clone());
        let cookie = format!("{BROWSER_COOKIE}={sid}; Path=/sso; HttpOnly; SameSite=Lax");
        self.grant(&mut state, &request, &sid, &session).with(SET_COOKIE, cookie)
    }

    fn grant(
        &self,
        state: &mut IdpState,
        request: &AuthorizeRequest,
        sid: &str,
        session: &BrowserSession,
    ) -> IdpResponse {
        let grant = Grant {
            client_id: request.client.id.clone(),
            sub: session.sub.clone(),
            scope: request.scope.clone(),
            nonce: request.nonce.clone(),
            auth_time: session.auth_time,
            sid: sid.to_owned(),
        };
        let expires = self.now().plus(CODE_LIFE);
        let code = state.grants.give_code(grant, request.redirect_uri.clone(), request.challenge.clone(), expires);
        self.send_back(state, request, vec![("code".to_owned(), code)])
    }

    fn refuse(&self, state: &IdpState, fault: AuthorizeFault) -> IdpResponse {
        match fault {
            AuthorizeFault::Page(reason) => pages::refused(reason),
            AuthorizeFault::Client(request, error, description) => self.send_error(state, &request, error, description),
        }
    }

    fn send_error(&self, state: &IdpState, request: &AuthorizeRequest, error: &str, description: &str) -> IdpResponse {
        let said = [("error", error), ("error_description", description)];
        self.send_back(state, request, said.map(|(name, text)| (name.to_owned(), text.to_owned())).into())
    }

    fn send_back(
        &self,
        state: &IdpState,
        request: &AuthorizeRequest,
        mut params: Vec<(String, String)>,
    ) -> IdpResponse {
        params.extend(request.state.clone().map(|value| ("state".to_owned(), value)));
        if state.settings.iss_in_callback {
            params.push(("iss".to_owned(), self.issuer().to_owned()));
        }
        let Ok(mut to) = Url::parse(&request.redirect_uri) else {
            return pages::refused("The redirect URI is no URL.");
        };
        if request.form_post {
            return pages::post_back(&request.redirect_uri, &params);
        }
        to.query_pairs_mut().extend_pairs(&params);
        // RFC 9700 section 4.12: 303 after a POST, so that the form is not sent on.
        IdpResponse::redirect(StatusCode::SEE_OTHER, to.as_str())
    }
}

impl AuthorizeRequest {
    fn read(state: &IdpState, query: &str) -> Result<Self, AuthorizeFault> {
        let params: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let one = |name: &str| params.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        let id = one("client_id").ok_or(AuthorizeFault::Page("No client_id was sent."))?;
        let known = state.settings.clients.iter().find(|client| client.id == id);
        let client = known.cloned().ok_or(AuthorizeFault::Page("No such client is registered."))?;
        let redirect_uri = one("redirect_uri").ok_or(AuthorizeFault::Page("No redirect_uri was sent."))?;
        if !client.redirect_uris.contains(&redirect_uri) {
            return Err(AuthorizeFault::Page("The redirect_uri is not registered for this client."));
        }
        let request = Self {
            query: query.to_owned(),
            client,
            redirect_uri,
            state: one("state"),
            scope: one("scope").unwrap_or_default(),
            nonce: one("nonce"),
            challenge: one("code_challenge"),
            prompt: one("prompt").unwrap_or_default(),
            max_age: one("max_age").and_then(|age| age.parse().ok()),
            form_post: one("response_mode").as_deref() == Some("form_post"),
        };
        match request.fault(state, &params) {
            Some((error, description)) => Err(AuthorizeFault::Client(Box::new(request), error, description)),
            None => Ok(request),
        }
    }

    fn fault(&self, state: &IdpState, params: &[(String, String)]) -> Option<(&'static str, &'static str)> {
        let one = |name: &str| params.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        // `resource` alone may come several times (RFC 8707 section 2).
        let repeated = |name: &str| name != "resource" && params.iter().filter(|(known, _)| known == name).count() > 1;
        if params.iter().any(|(name, _)| repeated(name)) {
            return Some(("invalid_request", "a parameter is repeated"));
        }
        if one("response_type") != Some("code") {
            return Some(("unsupported_response_type", "only response_type=code is served"));
        }
        if state.settings.mode == Mode::OpenId && !self.scope.split(' ').any(|scope| scope == "openid") {
            return Some(("invalid_scope", "the scope openid is missing"));
        }
        if !matches!(one("response_mode"), None | Some("query" | "form_post")) {
            return Some(("invalid_request", "only the response modes query and form_post are served"));
        }
        match (self.client.pkce, &self.challenge) {
            (Pkce::Refused, Some(_)) => Some(("invalid_request", "code_challenge is not known here")),
            (Pkce::Required, None) => Some(("invalid_request", "code_challenge is missing")),
            // PK-05: `plain`, also by leaving the method out, is not taken.
            (_, Some(_)) if one("code_challenge_method") != Some("S256") => {
                Some(("invalid_request", "code_challenge_method must be S256"))
            }
            (_, Some(challenge)) if challenge.len() != CHALLENGE_LENGTH => {
                Some(("invalid_request", "code_challenge is not a SHA-256 in base64url"))
            }
            _ => None,
        }
    }

    /// Whether somebody who is signed in in this browser need not be asked again.
    fn is_served_by(&self, session: &BrowserSession, now: UnixTime) -> bool {
        let asks = self.prompts("login") || self.prompts("select_account") || self.prompts("consent");
        let old = self.max_age.is_some_and(|age| now.since(session.auth_time).as_secs() > age);
        !asks && !old
    }

    fn prompts(&self, wanted: &str) -> bool {
        self.prompt.split(' ').any(|prompt| prompt == wanted)
    }
}

fn browser_session(state: &IdpState, asked: &IdpRequest) -> Option<(String, BrowserSession)> {
    let sid = browser_sid(asked)?;
    let session = state.grants.browser_session(&sid)?;
    Some((sid, session))
}

/// The single-sign-on cookie's value.
pub(super) fn browser_sid(asked: &IdpRequest) -> Option<String> {
    let cookies = asked.headers.get_all(http::header::COOKIE).into_iter().filter_map(|field| field.to_str().ok());
    let mut pairs = cookies.flat_map(|field| field.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == BROWSER_COOKIE).map(|(_, value)| value.to_owned())
}

pub(super) const BROWSER_COOKIE: &str = "demo_provider";
const CHALLENGE_LENGTH: usize = 43;
