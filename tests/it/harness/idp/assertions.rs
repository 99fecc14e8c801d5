//! Clients that prove themselves by a signed assertion (`private_key_jwt`), verified by a library that the gateway does not use.

use std::collections::{HashMap, HashSet};

use super::{IdpRequest, paths};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{DecodingKey, Validation};
use serde_json::{Map, Value};

/// The keys of such clients, and the assertions that have been used.
#[derive(Debug, Default)]
pub(super) struct Assertions {
    keys: HashMap<String, Value>,
    used: HashSet<String>,
}

impl Assertions {
    /// A client proves itself with the private half of this JWK, which has `alg`.
    pub(super) fn expect(&mut self, client_id: &str, jwk: Value) {
        self.keys.insert(client_id.to_owned(), jwk);
    }

    /// A request with the assertion of a client in the form in which the honest provider knows it: with the secret that stands
    /// for it. RFC 7523 section 3, CA-01, CA-03.
    pub(super) fn translated(
        &mut self,
        asked: &IdpRequest,
        issuer: &str,
        now: u64,
    ) -> Result<IdpRequest, &'static str> {
        let Some(jwt) = asked.field("client_assertion") else { return Ok(asked.clone()) };
        if asked.field("client_assertion_type").as_deref() != Some(JWT_BEARER) {
            return Err("client_assertion_type is another");
        }
        if asked.header("authorization").is_some() || asked.field("client_secret").is_some() {
            return Err("more than one kind of client authentication");
        }
        let claimed: Map<String, Value> =
            jsonwebtoken::dangerous::insecure_decode_claims(&jwt).map_err(|_| "the assertion is not a JWT")?;
        let id = claimed.get("iss").and_then(Value::as_str).ok_or("the assertion has no iss")?.to_owned();
        let key = self.keys.get(&id).ok_or("no such client")?;
        let claims = verified(key, &jwt).ok_or("the assertion's signature is wrong")?;
        self.check(&claims, &id, issuer, now)?;
        Ok(with_secret(asked, &id))
    }

    fn check(&mut self, claims: &Map<String, Value>, id: &str, issuer: &str, now: u64) -> Result<(), &'static str> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        if text("sub") != Some(id) {
            return Err("iss and sub of the assertion must be the client");
        }
        let token_endpoint = format!("{issuer}{}", paths::TOKEN);
        let audiences: Vec<&str> = match claims.get("aud") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        if !audiences.iter().any(|audience| *audience == issuer || *audience == token_endpoint) {
            return Err("the assertion is for somebody else");
        }
        match claims.get("exp").and_then(Value::as_u64) {
            None => return Err("the assertion has no exp"),
            Some(exp) if exp <= now => return Err("the assertion has expired"),
            Some(exp) if exp > now + LONGEST_LIFE => return Err("the assertion lives too long"),
            Some(_) => {}
        }
        let jti = text("jti").ok_or("the assertion has no jti")?;
        self.used.insert(format!("{id} {jti}")).then_some(()).ok_or("the assertion was used before")
    }
}

/// The secret by which the honest provider knows a client that proves itself by assertions.
pub(super) const STANDS_FOR_ASSERTION: &str = "an assertion was verified";

fn verified(key: &Value, jwt: &str) -> Option<Map<String, Value>> {
    let jwk: Jwk = serde_json::from_value(key.clone()).ok()?;
    let mut signature_only = Validation::new(key.get("alg")?.as_str()?.parse().ok()?);
    // Times are judged by the provider's own clock; who it is for, by the caller.
    signature_only.required_spec_claims.clear();
    signature_only.validate_exp = false;
    signature_only.validate_aud = false;
    Some(jsonwebtoken::decode(jwt, &DecodingKey::from_jwk(&jwk).ok()?, &signature_only).ok()?.claims)
}

fn with_secret(asked: &IdpRequest, id: &str) -> IdpRequest {
    let mut asked = asked.clone();
    let left = asked.form().into_iter().filter(|(name, _)| !name.starts_with("client_"));
    asked.body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(left).finish().into();
    let half = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let basic = format!("Basic {}", STANDARD.encode(format!("{}:{}", half(id), half(STANDS_FOR_ASSERTION))));
    asked.headers.insert(AUTHORIZATION, basic.parse().unwrap());
    asked
}

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const LONGEST_LIFE: u64 = 600;
