//! A provider whose answers the test writes: it records what it is asked.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use url::{Url, form_urlencoded};

use super::fixture::{NONCE, START};
use super::signing::TestKey;

/// A provider's double.
#[derive(Clone)]
pub(super) struct Double {
    pub(super) origin: String,
    script: Arc<Mutex<Script>>,
}

#[derive(Default)]
struct Script {
    answers: HashMap<String, Vec<Answer>>,
    seen: Vec<Seen>,
}

/// One request as the double saw it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Seen {
    pub(super) fn form(&self) -> Vec<(String, String)> {
        form_urlencoded::parse(self.body.as_bytes()).into_owned().collect()
    }

    pub(super) fn field(&self, name: &str) -> Option<String> {
        self.form().into_iter().find(|(n, _)| n == name).map(|(_, v)| v)
    }

    pub(super) fn authorization(&self) -> Option<&str> {
        self.headers.get("authorization").map(|v| v.to_str().unwrap())
    }
}

/// Puts parameters of a request where an answer's header field names them: `{state}`, `{redirect_uri}`.
fn echoing(query: &str) -> impl Fn(&str) -> String {
    let pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    move |text| pairs.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}

/// What the double answers; a header field may name parameters of the request: `{state}`.
#[derive(Clone)]
pub(super) enum Answer {
    Whole { status: u16, headers: Vec<(&'static str, String)>, body: Bytes },
    Never,
}

impl Answer {
    pub(super) fn json(body: &Value) -> Self {
        Self::status(200, body)
    }

    pub(super) fn status(status: u16, body: &Value) -> Self {
        Self::typed(status, "application/json", body.to_string())
    }

    pub(super) fn typed(status: u16, media_type: &str, body: impl Into<Bytes>) -> Self {
        Self::Whole { status, headers: vec![("content-type", media_type.to_owned())], body: body.into() }
    }

    pub(super) fn with(mut self, name: &'static str, value: &str) -> Self {
        if let Self::Whole { headers, .. } = &mut self {
            headers.push((name, value.to_owned()));
        }
        self
    }
}

impl Double {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let double = Self { origin, script: Arc::default() };
        let served = double.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let double = served.clone();
                let service = service_fn(move |request| double.clone().answer(request));
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        double
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let (parts, body) = request.into_parts();
        let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        let path = parts.uri.path().to_owned();
        let echo = echoing(parts.uri.query().unwrap_or_default());
        let answer = {
            let mut script = self.script.lock().unwrap();
            let query = parts.uri.query().map(str::to_owned);
            script.seen.push(Seen { method: parts.method, path: path.clone(), query, headers: parts.headers, body });
            match script.answers.get_mut(&path) {
                Some(answers) if answers.len() > 1 => answers.remove(0),
                Some(answers) => answers[0].clone(),
                None => Answer::status(404, &json!({})),
            }
        };
        let Answer::Whole { status, headers, body } = answer else { return std::future::pending().await };
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        for (name, value) in headers {
            response.headers_mut().append(name, echo(&value).parse().unwrap());
        }
        Ok(response)
    }

    /// Answers `path` with these in turn; the last one stays.
    pub(super) fn on(&self, path: &str, answers: impl Into<Vec<Answer>>) -> &Self {
        self.script.lock().unwrap().answers.insert(path.to_owned(), answers.into());
        self
    }

    pub(super) fn seen(&self, path: &str) -> Vec<Seen> {
        self.script.lock().unwrap().seen.iter().filter(|s| s.path == path).cloned().collect()
    }

    pub(super) fn count(&self, path: &str) -> usize {
        self.seen(path).len()
    }

    pub(super) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    pub(super) fn url(&self, path: &str) -> Url {
        Url::parse(&self.at(path)).unwrap()
    }

    pub(super) fn document(&self) -> Value {
        json!({
            "issuer": self.origin,
            "authorization_endpoint": self.at("/authorize"),
            "token_endpoint": self.at("/token"),
            "userinfo_endpoint": self.at("/userinfo"),
            "introspection_endpoint": self.at("/introspect"),
            "revocation_endpoint": self.at("/revoke"),
            "end_session_endpoint": self.at("/end"),
            "jwks_uri": self.at("/jwks"),
            "id_token_signing_alg_values_supported": ["none", "HS256", "RS256", "ES256"],
        })
    }

    /// An OpenID provider with this key.
    pub(super) async fn openid(key: &TestKey) -> Self {
        let double = Self::start().await;
        double.on(DISCOVERY, [Answer::json(&double.document())]);
        double.on("/jwks", [Answer::json(&json!({ "keys": [key.jwk] }))]);
        double
    }

    /// Claims of a good ID token for [`NONCE`].
    pub(super) fn claims(&self) -> Value {
        json!({
            "iss": self.origin, "sub": "alice", "aud": "client", "nonce": NONCE,
            "iat": START, "exp": START + 300, "email": "alice@example.com",
        })
    }

    /// Lets the token endpoint answer with an ID token of these claims.
    pub(super) fn issues(&self, key: &TestKey, claims: &Value) -> &Self {
        self.on("/token", [Answer::json(&token_answer(&json!({ "id_token": key.sign(claims) })))])
    }
}

pub(super) const DISCOVERY: &str = "/.well-known/openid-configuration";

/// An OpenID provider with a key of its own.
pub(super) async fn openid() -> (TestKey, Double) {
    let key = TestKey::es256("k1");
    let double = Double::openid(&key).await;
    (key, double)
}

/// A good answer of the token endpoint, with more members.
pub(super) fn token_answer(more: &Value) -> Value {
    let mut answer = json!({
        "access_token": "access-1", "token_type": "Bearer", "refresh_token": "refresh-1", "expires_in": 300,
    });
    answer.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    answer
}
