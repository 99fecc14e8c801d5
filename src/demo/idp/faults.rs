//! Switches for each fault that a gateway must survive: on the wire, in documents, in tokens, in the callback.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::header::{CONTENT_LENGTH, HeaderName};
use http::{HeaderValue, Response, StatusCode};
use http_body::Frame;
use http_body_util::StreamBody;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use crate::body::{Body, BodyError};
use crate::demo::idp::answer::Answer;
use crate::demo::idp::paths;
use crate::demo::idp::recorder::Seen;
use crate::demo::serve::BreakOff;

/// Everything that is wrong at the moment; [`Default`] is honest.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// The discovery document.
    pub discovery: EndpointFaults,
    /// The key set. Keys made up or left out: edit its member `keys`.
    pub key_set: EndpointFaults,
    /// Keys and tokens without `kid`.
    pub keys_without_kid: bool,
    /// The token endpoint, for code exchanges.
    pub token: EndpointFaults,
    /// The token endpoint, for refreshes.
    pub refresh: EndpointFaults,
    /// Userinfo (edits apply before it is signed).
    pub userinfo: EndpointFaults,
    /// Introspection.
    pub introspection: EndpointFaults,
    /// Revocation.
    pub revocation: EndpointFaults,
    /// ID tokens of code exchanges.
    pub id_token: TokenFaults,
    /// ID tokens of refreshes.
    pub refreshed_id_token: TokenFaults,
    /// What comes back to the redirect URI.
    pub callback: CallbackFaults,
}

/// What is wrong with one endpoint.
#[derive(Clone, Debug, Default)]
pub struct EndpointFaults {
    /// On the wire.
    pub breakage: Option<Breakage>,
    /// How many more requests meet the breakage before it heals; `None`: all.
    pub times: Option<u32>,
    /// Members of the JSON that are set, removed or moved.
    pub members: Edits,
    /// Header fields beside the honest ones (`Retry-After`, …).
    pub headers: Vec<(String, String)>,
}

/// A breakage on the wire.
#[derive(Clone, Debug)]
pub enum Breakage {
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
pub struct Gate(CancellationToken);

/// What is wrong with an ID token.
#[derive(Clone, Debug, Default)]
pub struct TokenFaults {
    /// Claims that are set, removed or moved, after all honest ones are in.
    pub claims: Edits,
    /// The same for the header.
    pub header: Edits,
    /// The signature.
    pub signing: Signing,
}

/// How a token is signed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Signing {
    /// With our key.
    #[default]
    Honest,
    /// With our key, and then one bit is turned.
    Flipped,
    /// The signature is empty, the header as if it were there.
    Missing,
    /// `alg` is `none`, the signature is empty.
    Unsigned,
    /// `alg` is `HS256`, keyed with our public key, written in this way.
    HmacOfPublicKey(KeyForm),
    /// `alg` is `HS256`, keyed with this text: the client's secret, say.
    HmacOf(String),
    /// These bytes as the signature, whatever they sign.
    Bytes(Vec<u8>),
    /// With our key, over this text as the payload in place of the claims.
    Payload(String),
    /// With a key that nobody knows, under our `kid`.
    ForeignKey,
    /// With a key that nobody knows, which the header brings along as `jwk`.
    EmbeddedKey,
    /// Not a token at all: this text in its place.
    Text(String),
}

/// How a public key is written where it is mistaken for a shared secret.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KeyForm {
    /// As PEM, with the last line's end.
    Pem,
    /// As DER.
    Der,
    /// As the text of its JWK in the key set.
    Jwk,
}

/// What is wrong with the callback.
#[derive(Clone, Debug, Default)]
pub struct CallbackFaults {
    /// An error in place of the code, and its description.
    pub error: Option<(String, Option<String>)>,
    /// Parameters that are set or removed (`iss`, `state`, `code`, `error_uri`, …).
    pub params: Edits,
    /// Parameters added at the end, repeats included.
    pub added: Vec<(String, String)>,
    /// Parameters of the authorization request that are refused with `invalid_request`: a name, or a name and one of the words
    /// of its value (`prompt=select_account`).
    pub refused: Vec<String>,
}

/// Changes to named values, in order.
#[derive(Clone, Debug, Default)]
pub struct Edits(Vec<(String, Edit)>);

/// One change.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    /// To this value.
    Set(Value),
    /// Gone.
    Remove,
    /// A number moved by so much (`exp`, `iat`, `auth_time`).
    Move(i64),
}

impl EndpointFaults {
    /// Breaks every request from now on.
    pub fn break_with(&mut self, breakage: Breakage) {
        self.breakage = Some(breakage);
        self.times = None;
    }

    /// Breaks the next `times` requests.
    pub fn break_times(&mut self, times: u32, breakage: Breakage) {
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
    pub(super) async fn play(self, work: impl FnOnce() -> Answer) -> Result<Response<Body>, BreakOff> {
        let Some(breakage) = self.breakage.clone() else {
            return Ok(self.dressed(work()).into_response());
        };
        match breakage {
            Breakage::Status(status) => {
                Ok(self.dressed(Answer::text(code(status), "broken on purpose\n")).into_response())
            }
            Breakage::Answer { status, content_type, body } => {
                Ok(self.dressed(Answer::new(code(status), &content_type, body)).into_response())
            }
            Breakage::Html => Ok(Answer::html(StatusCode::OK, PORTAL.to_owned()).into_response()),
            Breakage::Hang => std::future::pending().await,
            Breakage::Reset => Err(BreakOff),
            Breakage::Hold(gate) => {
                gate.0.cancelled().await;
                Ok(self.dressed(work()).into_response())
            }
            Breakage::AnswerLost => {
                let _ = work();
                Err(BreakOff)
            }
            Breakage::ContentType(content_type) => Ok(self.dressed(work()).retyped(&content_type).into_response()),
            Breakage::Truncated => Ok(truncated(self.dressed(work()))),
            Breakage::Padded(bytes) => {
                let mut answer = self.dressed(work());
                answer.body = [" ".repeat(bytes).as_bytes(), &answer.body].concat().into();
                Ok(answer.into_response())
            }
            Breakage::Drip(every) => Ok(dripping(self.dressed(work()), every)),
        }
    }

    fn dressed(&self, mut answer: Answer) -> Answer {
        if !self.members.is_empty()
            && let Ok(Value::Object(mut members)) = serde_json::from_slice(&answer.body)
        {
            self.members.apply(&mut members);
            answer.body = Value::Object(members).to_string().into();
        }
        for (name, value) in &self.headers {
            if let Ok(name) = HeaderName::try_from(name.as_str()) {
                answer = answer.with(name, value.as_str());
            }
        }
        answer
    }
}

impl Faults {
    /// What this request meets; counts it where faults are counted.
    pub(super) fn for_request(&mut self, seen: &Seen) -> EndpointFaults {
        match seen.path.as_str() {
            paths::DISCOVERY => self.discovery.for_next(),
            paths::KEY_SET => self.key_set.for_next(),
            paths::TOKEN if seen.field("grant_type").as_deref() == Some("refresh_token") => self.refresh.for_next(),
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
    pub fn oauth_error(error: &str) -> Self {
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
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets everything through, now and later.
    pub fn open(&self) {
        self.0.cancel();
    }
}

impl Edits {
    /// Sets `name` to a value of any kind.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) -> &mut Self {
        self.push(name, Edit::Set(value.into()))
    }

    /// Removes `name`.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.push(name, Edit::Remove)
    }

    /// Moves the number `name` by so much.
    pub fn shift(&mut self, name: &str, by: i64) -> &mut Self {
        self.push(name, Edit::Move(by))
    }

    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
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

fn truncated(answer: Answer) -> Response<Body> {
    let whole = answer.body.len();
    let half = answer.body.slice(..whole / 2);
    let broken = stream::iter([Ok(Frame::data(half)), Err(BodyError::from(BreakOff))]);
    let mut response = answer.with_body(Body::stream(StreamBody::new(broken)));
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(whole));
    response
}

fn dripping(answer: Answer, every: Duration) -> Response<Body> {
    let drops = stream::unfold(answer.body.clone(), move |mut rest: Bytes| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(every).await;
        let drop = rest.split_to(1);
        Some((Ok(Frame::data(drop)), rest))
    });
    answer.with_body(Body::stream(StreamBody::new(drops)))
}

fn code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

const PORTAL: &str = "<!doctype html><title>Welcome</title><p>Welcome to the airport's network.";
