//! Sessions for tests: token sets with real signatures, their claims shaped like those of the product named. The values are
//! random, so that they compress as badly as real ones; none of them is in the dictionary.

use std::sync::{Arc, LazyLock};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{Session, SessionId, Tokens};
use crate::clock::{SystemClock, UnixTime};
use crate::identity::Claims;
use crate::provider::Provider;
use crate::provider::settings::{Endpoints, ProviderKind, ProviderSettings};
use crate::provider::tests::fixture;
use crate::seal;
use crate::secret::Secret;

/// Claims in the order in which a product writes them, which a JSON map of ours would not keep.
type Ordered = Vec<(&'static str, Value)>;

macro_rules! ordered {
    ($($name:literal: $value:expr),* $(,)?) => { vec![$(($name, json!($value))),*] };
}

/// When everything in the samples happens.
pub(crate) const NOW: UnixTime = UnixTime::from_secs(1_780_000_000);

/// A token set as a provider would send it.
pub(crate) struct Sample {
    pub(crate) name: &'static str,
    pub(crate) issuer: String,
    pub(crate) id_token: String,
    pub(crate) access: String,
    pub(crate) refresh: String,
}

impl Sample {
    /// The session that signing in with these tokens gives.
    pub(crate) fn session(&self) -> Session {
        let mut claims = claims_in(&self.id_token);
        let nonce = claims.get("nonce").and_then(Value::as_str).map(str::to_owned);
        // What userinfo repeats changes nothing.
        claims.insert("sub".into(), claims.get("sub").cloned().unwrap());
        Session {
            id: SessionId::random(),
            provider: "corp".into(),
            issuer: self.issuer.as_str().into(),
            created: NOW,
            active: NOW,
            auth_time: claims.get("auth_time").and_then(Value::as_u64).map(UnixTime::from_secs),
            tokens: Tokens {
                access: Some(Secret::new(self.access.clone())),
                refresh: Some(Secret::new(self.refresh.clone())),
                id_token: Some(Secret::new(self.id_token.clone())),
            },
            access_issued: NOW,
            access_expires: Some(UnixTime::from_secs(NOW.secs() + 300)),
            generation: 0,
            asked: None,
            claims,
            nonce,
            scope: Some("openid profile email offline_access".into()),
        }
    }

    /// Bytes of all tokens.
    pub(crate) fn len(&self) -> usize {
        self.id_token.len() + self.access.len() + self.refresh.len()
    }
}

/// A provider of this name, at this place among the providers.
pub(crate) fn provider(name: &str, client_id: &str, place: usize) -> Arc<Provider> {
    let kind = ProviderKind::Oidc { issuer: "https://login.example.com".into(), overrides: Endpoints::default() };
    let settings = ProviderSettings { name: name.into(), client_id: client_id.to_owned(), ..fixture::settings(kind) };
    Arc::new(Provider::new(settings, SystemClock::shared()).unwrap().at_place(place))
}

/// The sets A, B, B2, C and D.
pub(crate) fn all() -> Vec<Sample> {
    let mut a = keycloak("A");
    let mut b = keycloak("B");
    a.refresh = hs512(keycloak_refresh(&a.issuer));
    b.refresh = rs256(&keycloak_header(), &pad(keycloak_refresh(&b.issuer), 568, "ext"));
    vec![a, b, padded(), entra(), small()]
}

/// B2: three RS256 tokens of 1.2 KB each.
pub(crate) fn padded() -> Sample {
    let mut set = keycloak("B2");
    let header = keycloak_header();
    let mut id = keycloak_id(&set.issuer);
    for long in ["groups", "given_name", "family_name", "auth_time", "at_hash", "email_verified"] {
        id.retain(|(name, _)| *name != long);
    }
    set.id_token = rs256(&header, &pad(id, 559, "ext"));
    set.access = rs256(&header, &pad(keycloak_access_small(&set.issuer), 559, "ext"));
    set.refresh = rs256(&header, &pad(keycloak_refresh(&set.issuer), 559, "ext"));
    set
}

fn keycloak(name: &'static str) -> Sample {
    let issuer = format!("https://sso.{}.example.net/realms/{}", word(6), word(5));
    let header = keycloak_header();
    let id_token = rs256(&header, &pad(keycloak_id(&issuer), 691, "ext"));
    let access = rs256(&header, &pad(keycloak_access(&issuer), 849, "ext"));
    Sample { name, id_token, access, refresh: String::new(), issuer }
}

fn keycloak_header() -> String {
    static KID: LazyLock<String> = LazyLock::new(|| noise(43));
    format!(r#"{{"alg":"RS256","typ" : "JWT","kid" : "{}"}}"#, *KID)
}

fn keycloak_id(issuer: &str) -> Ordered {
    let person = Person::of(issuer);
    ordered![
        "exp": 1_780_000_300, "iat": 1_780_000_000, "auth_time": 1_779_999_998, "jti": uuid(), "iss": issuer, "aud": "wiki",
        "sub": person.sub, "typ": "ID", "azp": "wiki", "nonce": noise(22), "sid": person.sid, "at_hash": noise(22),
        "acr": "1", "email_verified": true, "name": person.name(), "groups": json!(["/staff", format!("/{}", person.team)]),
        "preferred_username": person.login, "given_name": person.first, "family_name": person.last, "email": person.email(),
    ]
}

fn keycloak_access(issuer: &str) -> Ordered {
    let mut claims = keycloak_access_small(issuer);
    let realm = issuer.rsplit('/').next().unwrap();
    let roles = [&format!("default-roles-{realm}"), "offline_access", "uma_authorization"];
    let own = json!({"account": {"roles": ["manage-account", "manage-account-links", "view-profile"]}});
    claims.extend(ordered![
        "allowed-origins": ["https://wiki.example.net"], "realm_access": json!({"roles": roles}), "resource_access": own,
    ]);
    claims
}

fn keycloak_access_small(issuer: &str) -> Ordered {
    let person = Person::of(issuer);
    ordered![
        "exp": 1_780_000_300, "iat": 1_780_000_000, "auth_time": 1_779_999_998, "jti": uuid(), "iss": issuer,
        "aud": "account", "sub": person.sub, "typ": "Bearer", "azp": "wiki", "sid": person.sid, "acr": "1",
        "scope": "openid profile email offline_access", "email_verified": true, "name": person.name(),
        "preferred_username": person.login, "given_name": person.first, "family_name": person.last, "email": person.email(),
    ]
}

fn keycloak_refresh(issuer: &str) -> Ordered {
    let person = Person::of(issuer);
    ordered![
        "exp": 1_780_001_800, "iat": 1_780_000_000, "jti": uuid(), "iss": issuer, "aud": issuer, "sub": person.sub,
        "typ": "Refresh", "azp": "wiki", "sid": person.sid, "scope": "openid profile email offline_access",
    ]
}

fn entra() -> Sample {
    let (tenant, oid) = (uuid(), uuid());
    let issuer = format!("https://login.microsoftonline.com/{tenant}/v2.0");
    let person = Person::of(&issuer);
    let header = format!(r#"{{"typ":"JWT","alg":"RS256","kid":"{}"}}"#, noise(27));
    let access_header =
        format!(r#"{{"typ":"JWT","nonce":"{}","alg":"RS256","x5t":"{}","kid":"{}"}}"#, noise(43), noise(27), noise(27));
    let groups: Vec<String> = (0..10).map(|_| uuid()).collect();
    let id = ordered![
        "aud": uuid(), "iss": issuer, "iat": 1_780_000_000, "nbf": 1_780_000_000, "exp": 1_780_003_900, "aio": noise(108),
        "groups": groups, "name": person.name(), "nonce": noise(22), "oid": oid, "preferred_username": person.email(),
        "rh": format!("0.{}.", noise(43)), "sid": uuid(), "sub": noise(43), "tid": tenant, "uti": noise(22), "ver": "2.0",
        "wids": [uuid()],
    ];
    let access = ordered![
        "aud": "00000003-0000-0000-c000-000000000000", "iss": format!("https://sts.windows.net/{tenant}/"),
        "iat": 1_780_000_000, "nbf": 1_780_000_000, "exp": 1_780_005_000, "acct": 0, "acr": "1", "aio": noise(88),
        "amr": ["pwd", "mfa"], "app_displayname": "Wiki", "appid": uuid(), "appidacr": "1", "family_name": person.last,
        "given_name": person.first, "idtyp": "user", "ipaddr": "203.0.113.9", "name": person.name(), "oid": oid, "platf": "3",
        "puid": "10032000A1B2C3D4", "rh": format!("0.{}.", noise(43)), "scp": "email offline_access openid profile User.Read",
        "sid": uuid(), "signin_state": ["kmsi"], "sub": noise(43), "tenant_region_scope": "EU", "tid": tenant,
        "unique_name": person.email(), "upn": person.email(), "uti": noise(22), "ver": "1.0",
        "wids": json!([uuid(), "b79fbf4d-3ef9-4689-8143-76b194e85509"]), "xms_st": json!({"sub": noise(43)}), "xms_tcdt": 1_500_000_000,
    ];
    Sample {
        name: "C",
        id_token: rs256(&header, &pad(id, 1076, "xms_ext")),
        access: rs256(&access_header, &pad(access, 1287, "xms_ext")),
        refresh: format!("1.{}.{}", noise(90), noise(1011)),
        issuer,
    }
}

fn small() -> Sample {
    let issuer = format!("https://id.{}.example.org", word(6));
    let person = Person::of(&issuer);
    let id = ordered![
        "iss": issuer, "sub": person.sub, "aud": "wiki", "exp": 1_780_003_600, "iat": 1_780_000_000,
        "auth_time": 1_779_999_998, "nonce": noise(22), "at_hash": noise(22), "name": person.name(), "email": person.email(),
        "email_verified": true, "groups": json!(["staff", person.team]),
    ];
    let access = ordered![
        "iss": issuer, "sub": person.sub, "aud": "wiki", "client_id": "wiki", "exp": 1_780_003_600, "iat": 1_780_000_000,
        "jti": noise(22), "scope": "openid profile email",
    ];
    let kid = noise(12);
    Sample {
        name: "D",
        id_token: es256(&format!(r#"{{"alg":"ES256","typ":"JWT","kid":"{kid}"}}"#), &pad(id, 368, "ext")),
        access: es256(&format!(r#"{{"alg":"ES256","typ":"at+jwt","kid":"{kid}"}}"#), &text(&access)),
        refresh: noise(86),
        issuer,
    }
}

struct Person {
    sub: String,
    sid: String,
    login: String,
    first: String,
    last: String,
    team: String,
}

impl Person {
    /// One person for each issuer: tokens of one set share their claims.
    fn of(issuer: &str) -> Self {
        use std::collections::HashMap;
        use std::sync::Mutex;
        static KNOWN: LazyLock<Mutex<HashMap<String, [String; 6]>>> = LazyLock::new(Mutex::default);
        let mut known = KNOWN.lock().unwrap();
        let [sub, sid, login, first, last, team] = known
            .entry(issuer.to_owned())
            .or_insert_with(|| [uuid(), uuid(), word(7), word(6), word(8), word(9)])
            .clone();
        Self { sub, sid, login, first, last, team }
    }

    fn name(&self) -> String {
        format!("{} {}", self.first, self.last)
    }

    fn email(&self) -> String {
        format!("{}.{}@example.net", self.first, self.last)
    }
}

/// The claims as text, with a random claim that makes it `len` long.
fn pad(mut claims: Ordered, len: usize, name: &'static str) -> String {
    let short = text(&claims).len() + name.len() + 6;
    if let Some(more) = len.checked_sub(short) {
        claims.push((name, noise(more).into()));
    }
    text(&claims)
}

fn text(claims: &Ordered) -> String {
    let fields: Vec<String> = claims.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", fields.join(","))
}

fn rs256(header: &str, claims: &str) -> String {
    static KEY: LazyLock<RsaKeyPair> = LazyLock::new(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap());
    signed(header, claims, |input| {
        let mut signature = vec![0; KEY.public_modulus_len()];
        KEY.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input, &mut signature).unwrap();
        signature
    })
}

/// A token with these claims.
pub(crate) fn jws(claims: &Claims) -> String {
    rs256(&keycloak_header(), &Value::Object(claims.clone()).to_string())
}

fn es256(header: &str, claims: &str) -> String {
    static KEY: LazyLock<EcdsaKeyPair> =
        LazyLock::new(|| EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap());
    signed(header, claims, |input| KEY.sign(&SystemRandom::new(), input).unwrap().as_ref().to_vec())
}

fn hs512(claims: Ordered) -> String {
    use aws_lc_rs::hmac;
    let key = hmac::Key::new(hmac::HMAC_SHA512, &seal::random::<64>());
    let header = format!(r#"{{"alg":"HS512","typ" : "JWT","kid" : "{}"}}"#, uuid());
    signed(&header, &pad(claims, 392, "ext"), |input| hmac::sign(&key, input).as_ref().to_vec())
}

fn signed(header: &str, claims: &str, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(input.as_bytes()));
    format!("{input}.{signature}")
}

fn claims_in(token: &str) -> Claims {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

/// Random base64url of this length.
pub(crate) fn noise(len: usize) -> String {
    let mut text = String::new();
    while text.len() < len {
        text.push_str(&URL_SAFE_NO_PAD.encode(seal::random::<48>()));
    }
    text.truncate(len);
    text
}

fn word(len: usize) -> String {
    seal::random::<16>().iter().cycle().take(len).map(|b| char::from(b'a' + b % 26)).collect()
}

fn uuid() -> String {
    let hex: String = seal::random::<16>().iter().map(|b| format!("{b:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
