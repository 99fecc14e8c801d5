//! Client authentication, really verified: exactly one method, and the registered one (RFC 6749 section 2.3).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use http::header::WWW_AUTHENTICATE;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{DecodingKey, Validation};
use serde_json::{Map, Value};

use crate::demo::idp::answer::Answer;
use crate::demo::idp::recorder::Seen;
use crate::demo::idp::settings::{Client, ClientProof};
use crate::demo::idp::{Idp, State, paths};
use crate::secret::constant_time_eq;

/// Why a client was not believed; the reason goes into `error_description`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct NotBelieved(&'static str);

/// What a request says about its client.
enum Shown {
    Basic { id: String, secret: String },
    Post { id: String, secret: String },
    Assertion { id: Option<String>, jwt: String },
    Bare { id: String },
}

impl Idp {
    /// The client that makes this request, proven.
    pub(super) fn client(&self, state: &mut State, seen: &Seen) -> Result<Client, NotBelieved> {
        let shown = Shown::of(seen)?;
        let id = match &shown {
            Shown::Basic { id, .. } | Shown::Post { id, .. } | Shown::Bare { id } => id.clone(),
            Shown::Assertion { id, jwt } => id.clone().map_or_else(|| issuer_of(jwt), Ok)?,
        };
        let known = state.settings.clients.iter().find(|client| client.id == id);
        let client = known.cloned().ok_or(NotBelieved("no such client"))?;
        match (&client.proof, &shown) {
            (ClientProof::Basic(known), Shown::Basic { secret, .. })
            | (ClientProof::Post(known), Shown::Post { secret, .. }) => {
                let same = constant_time_eq(known.as_bytes(), secret.as_bytes());
                same.then_some(client).ok_or(NotBelieved("the secret is wrong"))
            }
            (ClientProof::PrivateKeyJwt(key), Shown::Assertion { jwt, .. }) => {
                self.check_assertion(state, key, jwt, &client.id)?;
                Ok(client)
            }
            (ClientProof::Public, Shown::Bare { .. }) => Ok(client),
            _ => Err(NotBelieved("the client is registered with another authentication method")),
        }
    }

    /// RFC 7523 section 3, CA-01, CA-03.
    fn check_assertion(&self, state: &mut State, key: &Value, jwt: &str, client_id: &str) -> Result<(), NotBelieved> {
        let claims = verified(key, jwt).ok_or(NotBelieved("the assertion's signature is wrong"))?;
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        if text("iss") != Some(client_id) || text("sub") != Some(client_id) {
            return Err(NotBelieved("iss and sub of the assertion must be the client"));
        }
        let token_endpoint = self.url(paths::TOKEN);
        let audiences: Vec<&str> = match claims.get("aud") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        if !audiences.iter().any(|audience| *audience == self.issuer() || *audience == token_endpoint) {
            return Err(NotBelieved("the assertion is for somebody else"));
        }
        let now = self.now().secs();
        let number = |name: &str| claims.get(name).and_then(Value::as_u64);
        match number("exp") {
            None => return Err(NotBelieved("the assertion has no exp")),
            Some(exp) if exp <= now => return Err(NotBelieved("the assertion has expired")),
            Some(exp) if exp > now + ASSERTION_SECONDS => return Err(NotBelieved("the assertion lives too long")),
            Some(_) => {}
        }
        let jti = text("jti").ok_or(NotBelieved("the assertion has no jti"))?;
        let first = state.grants.first_use_of(format!("{client_id} {jti}"));
        first.then_some(()).ok_or(NotBelieved("the assertion was used before"))
    }
}

impl NotBelieved {
    /// RFC 6749 section 5.2: 401, and the scheme that was tried.
    pub(super) fn answer(self) -> Answer {
        Answer::oauth_error(StatusCode::UNAUTHORIZED, "invalid_client", self.0)
            .with(WWW_AUTHENTICATE, "Basic realm=\"demo provider\"")
    }
}

impl Shown {
    fn of(seen: &Seen) -> Result<Self, NotBelieved> {
        let basic = seen.header("authorization").map(basic_credentials).transpose()?;
        let secret = seen.field("client_secret");
        let assertion = seen.field("client_assertion");
        let id = seen.field("client_id");
        match (basic, secret, assertion) {
            (Some((basic_id, secret)), None, None) if id.as_ref().is_none_or(|id| *id == basic_id) => {
                Ok(Self::Basic { id: basic_id, secret })
            }
            (None, Some(secret), None) => Ok(Self::Post { id: id.ok_or(NotBelieved("no client_id"))?, secret }),
            (None, None, Some(jwt)) if seen.field("client_assertion_type").as_deref() == Some(JWT_BEARER) => {
                Ok(Self::Assertion { id, jwt })
            }
            (None, None, None) => Ok(Self::Bare { id: id.ok_or(NotBelieved("no client_id"))? }),
            _ => Err(NotBelieved("more than one kind of client authentication")),
        }
    }
}

/// OA-12: each half is form-urlencoded before they are joined (RFC 6749 section 2.3.1).
fn basic_credentials(header: &str) -> Result<(String, String), NotBelieved> {
    let malformed = NotBelieved("the Authorization header is not Basic credentials");
    let encoded = header.strip_prefix("Basic ").ok_or(malformed)?;
    let text = String::from_utf8(STANDARD.decode(encoded).map_err(|_| malformed)?).map_err(|_| malformed)?;
    let (id, secret) = text.split_once(':').ok_or(malformed)?;
    Ok((form_decoded(id), form_decoded(secret)))
}

fn form_decoded(half: &str) -> String {
    // As the value of a parameter whose name is empty; what is not encoded (`&`, `=`) would be cut off, and so not be believed.
    url::form_urlencoded::parse(format!("={half}").as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

fn verified(key: &Value, jwt: &str) -> Option<Map<String, Value>> {
    let jwk: Jwk = serde_json::from_value(key.clone()).ok()?;
    let mut signature_only = Validation::new(key.get("alg")?.as_str()?.parse().ok()?);
    // Times are judged by the provider's own clock; who it is for, by the caller.
    signature_only.required_spec_claims.clear();
    signature_only.validate_exp = false;
    signature_only.validate_aud = false;
    Some(jsonwebtoken::decode(jwt, &DecodingKey::from_jwk(&jwk).ok()?, &signature_only).ok()?.claims)
}

fn issuer_of(jwt: &str) -> Result<String, NotBelieved> {
    let claims: Map<String, Value> =
        jsonwebtoken::dangerous::insecure_decode_claims(jwt).map_err(|_| NotBelieved("the assertion is not a JWT"))?;
    claims.get("iss").and_then(Value::as_str).map(str::to_owned).ok_or(NotBelieved("the assertion has no iss"))
}

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const ASSERTION_SECONDS: u64 = 600;
