//! Switches for each fault that a gateway must survive: on the wire, in documents, in tokens, in the callback.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName};
use http::{HeaderValue, Response, StatusCode};
use http_body::Frame;
use http_body_util::StreamBody;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::{IdpRequest, IdpResponse, paths};
use vestibule::body::{Body, BodyError};

use super::serve::BreakOff;
use super::signing::Signing;

/// Everything that is wrong at the moment; [`Default`] is honest.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    /// The discovery document.
    pub(crate) discovery: EndpointFaults,
    /// The key set. Keys made up or left out: edit its member `keys`.
    pub(crate) key_set: EndpointFaults,
    /// Keys and tokens without `kid`.
    pub(crate) keys_without_kid: bool,
    /// The token endpoint, for code exchanges.
    pub(crate) token: EndpointFaults,
    /// The token endpoint, for refreshes.
    pub(crate) refresh: EndpointFaults,
    /// Userinfo (edits apply before it is signed).
    pub(crate) userinfo: EndpointFaults,
    /// Introspection.
    pub(crate) introspection: EndpointFaults,
    /// Revocation.
    pub(crate) revocation: EndpointFaults,
    /// ID tokens of code exchanges.
    pub(crate) id_token: TokenFaults,
    /// ID tokens of refreshes.
    pub(crate) refreshed_id_token: TokenFaults,
    /// What comes back to the redirect URI.
    pub(crate) callback: CallbackFaults,
}

/// What is wrong with one endpoint.
#[derive(Clone, Debug, Default)]
pub(crate) struct EndpointFaults {
    /// On the wire.
    pub(crate) breakage: Option<Breakage>,
    /// How many more requests meet the breakage before it heals; `None`: all.
    pub(crate) times: Option<u32>,
    /// Members of the JSON that are set, removed or moved.
    pub(crate) members: Edits,
    /// Header fields beside the honest ones (`Retry-After`, …).
    pub(crate) headers: Vec<(String, String)>,
}

/// A breakage on the wire.
#[derive(Clone, Debug)]
pub(crate) enum Breakage {
    /// This status with a short body, in place of the work.
    Status(u16),
    /// This very answer, in place of the work.
    Answer {
        /// Its status.
        status: u16,
        /// Its content type.
        content_type: String,
        /// Its body.
        body: String,
    },
    /// A page that says 200, in place of the work: a captive portal.
    Html,
    /// No answer at all; the work is not done.
    Hang,
    /// The connection is reset; the work is not done.
    Reset,
    /// The work waits until the gate is opened, and is honest then.
    Hold(Gate),
    /// The work is done, but the connection is reset before the answer.
    AnswerLost,
    /// The honest body under another content type.
    ContentType(String),
    /// Half of the honest body under its whole length, then the end.
    Truncated,
    /// The honest body after this many bytes of white space.
    Padded(usize),
    /// The honest body, a byte at a time.
    Drip(Duration),
}

/// Holds requests back until it is opened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate(CancellationToken);

/// What is wrong with an ID token.
#[derive(Clone, Debug, Default)]
pub(crate) struct TokenFaults {
    /// Claims that are set, removed or moved, after all honest ones are in.
    pub(crate) claims: Edits,
    /// The same for the header.
    pub(crate) header: Edits,
    /// The signature.
    pub(crate) signing: Signing,
}

/// What is wrong with the callback.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallbackFaults {
    /// An error in place of the code, and its description.
    pub(crate) error: Option<(String, Option<String>)>,
    /// Parameters that are set or removed (`iss`, `state`, `code`, `error_uri`, …).
    pub(crate) params: Edits,
    /// Parameters added at the end, repeats included.
    pub(crate) added: Vec<(String, String)>,
    /// Parameters of the authorization request that are refused with `invalid_request`: a name, or a name and one of the words
    /// of its value (`prompt=select_account`).
    pub(crate) refused: Vec<String>,
}

/// Changes to named values, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Edits(Vec<(String, Edit)>);

/// One change.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Edit {
    /// To this value.
    Set(Value),
    /// Gone.
    Remove,
    /// A number moved by so much (`exp`, `iat`, `auth_time`).
    Move(i64),
}

impl EndpointFaults {
    /// Breaks every request from now on.
    pub(crate) fn break_with(&mut self, breakage: Breakage) {
        self.breakage = Some(breakage);
        self.times = None;
    }

    /// Breaks the next `times` requests.
    pub(crate) fn break_times(&mut self, times: u32, breakage: Breakage) {
        self.breakage = Some(breakage);
        self.times = Some(times);
    }

    /// These faults as the next request meets them.
    pub(super) fn for_next(&mut self) -> Self {
        let met = Self { breakage: if self.times == Some(0) { None } else { self.breakage.clone() }, ..self.clone() };
        self.times = self.times.map(|left| left.saturating_sub(1));
        met
    }

    /// Answers with `work`, as far as the faults let it.
    pub(super) async fn play(self, work: impl FnOnce() -> IdpResponse) -> Result<Response<Body>, BreakOff> {
        let Some(breakage) = self.breakage.clone() else {
            return Ok(self.edited(work()).into_response());
        };
        match breakage {
            Breakage::Status(status) => Ok(self
                .edited(IdpResponse::new(code(status), "text/plain; charset=utf-8", "broken on purpose\n"))
                .into_response()),
            Breakage::Answer { status, content_type, body } => {
                Ok(self.edited(IdpResponse::new(code(status), &content_type, body)).into_response())
            }
            Breakage::Html => Ok(IdpResponse::new(StatusCode::OK, "text/html; charset=utf-8", PORTAL).into_response()),
            Breakage::Hang => std::future::pending().await,
            Breakage::Reset => Err(BreakOff),
            Breakage::Hold(gate) => {
                gate.0.cancelled().await;
                Ok(self.edited(work()).into_response())
            }
            Breakage::AnswerLost => {
                let _ = work();
                Err(BreakOff)
            }
            Breakage::ContentType(content_type) => {
                let mut answer = self.edited(work());
                answer.headers.retain(|(name, _)| name != CONTENT_TYPE);
                answer.headers.push((CONTENT_TYPE, content_type));
                Ok(answer.into_response())
            }
            Breakage::Truncated => Ok(truncated(self.edited(work()))),
            Breakage::Padded(bytes) => {
                let mut answer = self.edited(work());
                answer.body = [" ".repeat(bytes).as_bytes(), &answer.body].concat().into();
                Ok(answer.into_response())
            }
            Breakage::Drip(every) => Ok(dripping(self.edited(work()), every)),
        }
    }

    fn edited(&self, mut answer: IdpResponse) -> IdpResponse {
        if !self.members.is_empty()
            && let Ok(Value::Object(mut members)) = serde_json::from_slice(&answer.body)
        {
            self.members.apply(&mut members);
            answer.body = Value::Object(members).to_string().into();
        }
        for (name, value) in &self.headers {
            if let Ok(name) = HeaderName::try_from(name.as_str()) {
                answer.headers.push((name, value.clone()));
            }
        }
        answer
    }
}

impl Faults {
    /// What this request meets; counts it where faults are counted.
    pub(super) fn for_request(&mut self, asked: &IdpRequest) -> EndpointFaults {
        match asked.path.as_str() {
            paths::DISCOVERY => self.discovery.for_next(),
            paths::KEY_SET => self.key_set.for_next(),
            paths::TOKEN if asked.field("grant_type").as_deref() == Some("refresh_token") => self.refresh.for_next(),
            paths::TOKEN => self.token.for_next(),
            paths::USERINFO => self.userinfo.for_next(),
            paths::INTROSPECT => self.introspection.for_next(),
            paths::REVOKE => self.revocation.for_next(),
            _ => EndpointFaults::default(),
        }
    }
}

impl Breakage {
    /// The token endpoint's refusal: `invalid_grant`, `invalid_client` (401), ….
    pub(crate) fn oauth_error(error: &str) -> Self {
        let status = if error == "invalid_client" { 401 } else { 400 };
        Self::Answer {
            status,
            content_type: "application/json".to_owned(),
            body: json!({ "error": error }).to_string(),
        }
    }
}

impl Gate {
    /// A closed gate.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Lets everything through, now and later.
    pub(crate) fn open(&self) {
        self.0.cancel();
    }
}

impl Edits {
    /// Sets `name` to a value of any kind.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<Value>) -> &mut Self {
        self.push(name, Edit::Set(value.into()))
    }

    /// Removes `name`.
    pub(crate) fn remove(&mut self, name: &str) -> &mut Self {
        self.push(name, Edit::Remove)
    }

    /// Moves the number `name` by so much.
    pub(crate) fn shift(&mut self, name: &str, by: i64) -> &mut Self {
        self.push(name, Edit::Move(by))
    }

    /// Whether nothing is changed.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn apply(&self, to: &mut Map<String, Value>) {
        for (name, edit) in &self.0 {
            match edit {
                Edit::Set(value) => {
                    to.insert(name.clone(), value.clone());
                }
                Edit::Remove => {
                    to.remove(name);
                }
                Edit::Move(by) => {
                    let moved = to.get(name).and_then(Value::as_i64).unwrap_or_default().saturating_add(*by);
                    to.insert(name.clone(), moved.into());
                }
            }
        }
    }

    /// The same on a list of parameters.
    pub(super) fn apply_to_params(&self, params: &mut Vec<(String, String)>) {
        for (name, edit) in &self.0 {
            params.retain(|(known, _)| known != name);
            if let Edit::Set(value) = edit {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                params.push((name.clone(), text));
            }
        }
    }

    fn push(&mut self, name: &str, edit: Edit) -> &mut Self {
        self.0.push((name.to_owned(), edit));
        self
    }
}

fn truncated(answer: IdpResponse) -> Response<Body> {
    let whole = answer.body.len();
    let half = answer.body.slice(..whole / 2);
    let broken = stream::iter([Ok(Frame::data(half)), Err(BodyError::from(BreakOff))]);
    let mut response = answer.into_response();
    *response.body_mut() = Body::stream(StreamBody::new(broken));
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(whole));
    response
}

fn dripping(answer: IdpResponse, every: Duration) -> Response<Body> {
    let drops = stream::unfold(answer.body.clone(), move |mut rest: Bytes| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(every).await;
        let drop = rest.split_to(1);
        Some((Ok(Frame::data(drop)), rest))
    });
    let mut response = answer.into_response();
    *response.body_mut() = Body::stream(StreamBody::new(drops));
    response
}

fn code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

const PORTAL: &str = "<!doctype html><title>Welcome</title><p>Welcome to the airport's network.";
