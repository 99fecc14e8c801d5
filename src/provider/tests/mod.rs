//! The steps of a provider, against one whose answers are scripted.

mod authorize;
mod client_auth;
mod discovery;
mod double;
mod exchange;
pub(crate) mod fixture;
mod hints;
mod id_token;
mod introspect;
mod keys;
mod logout;
mod plain;
mod probe;
mod quirks;
mod refresh;
mod signing;
mod steps;
mod tenants;
mod userinfo;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use serde_json::{Value, json};
use url::{Url, form_urlencoded};

use self::double::{Answer, DISCOVERY, Double, openid, token_answer};
use self::fixture::{Fixture, NONCE, REDIRECT, START, settings};
use self::signing::{TestKey, b64};
use crate::clock::{Clock as _, ManualClock, UnixTime};
use crate::provider::settings::{
    ClientAuth, Endpoints, LogoutStyle, OAuth2Identity, ProviderKind, ProviderSettings, UserinfoUse,
};
use crate::provider::{FailureClass, ProbeRequest, Provider, ProviderError, RefreshRequest};
use crate::secret::Secret;

#[tokio::test]
async fn no_secret_is_in_what_is_printed() {
    // OA-25
    let double = Double::start().await;
    double.on("/token", [Answer::json(&token_answer(&json!({})))]);
    let fixture = Fixture::plain_with(&double, OAuth2Identity::Nobody, |_| {});
    let sign_in = fixture.redeem().await.unwrap();
    let printed = format!("{:?} {sign_in:?}", fixture.provider);
    let basic = double.seen("/token")[0].authorization().unwrap()[6..].to_owned();
    for secret in ["client-secret-of", "access-1", "refresh-1", &basic] {
        assert!(!printed.contains(secret), "{printed}");
    }
    let hmac = Fixture::openid_with(&double, |s| s.id_token_algorithms = vec!["HS256".to_owned()]);
    assert!(!format!("{:?}", hmac.provider).contains("client-secret-of"));
}

#[test]
fn calls_can_be_made_from_any_thread() {
    fn is_send<T: Send>(_: &T) {}
    fn is_shared<T: Send + Sync + 'static>() {}
    is_shared::<Provider>();
    fn all(fixture: &Fixture) {
        is_send(&fixture.redeem());
        is_send(&fixture.refresh(&Value::Null));
        is_send(&fixture.provider.probe(&ProbeRequest::default()));
        is_send(&fixture.provider.end_session_url(None, "", ""));
        is_send(&fixture.provider.sign_out(None, None));
    }
    let _ = all;
}
