//! A provider of several tenants: one document, one key set, and an issuer for each.

use rustls_pki_types::PrivateKeyDer;

use super::*;

const OURS: &str = "9d9a7c1e-2f6b-4a51-b0f4-6c6f3c1f5a2d";
const ALSO_OURS: &str = "77";
const STRANGER: &str = "11111111-2f6b-4a51-b0f4-6c6f3c1f5a2d";

struct Tenants {
    key: TestKey,
    double: Double,
    fixture: Fixture,
}

impl Tenants {
    async fn start() -> Self {
        let (key, double) = openid().await;
        let template = format!("{}/{{tenantid}}/v2.0", double.origin);
        let mut document = double.document();
        document["issuer"] = json!(template);
        document["authorization_response_iss_parameter_supported"] = json!(false);
        double.on("/common/v2.0/.well-known/openid-configuration", [Answer::json(&document)]);
        let kind = ProviderKind::Oidc { issuer: template, overrides: Endpoints::default() };
        let fixture = Fixture::new(kind, |s| s.allowed_tenants = vec![OURS.to_owned(), ALSO_OURS.to_owned()]);
        Self { key, double, fixture }
    }

    fn issuer(&self, tenant: &str) -> String {
        format!("{}/{tenant}/v2.0", self.double.origin)
    }

    fn claims(&self, iss: &str, tid: &Value) -> Value {
        let mut claims = self.double.claims();
        claims["iss"] = json!(self.issuer(iss));
        match tid {
            Value::Null => {}
            tid => claims["tid"] = tid.clone(),
        }
        claims
    }

    fn issues(&self, iss: &str, tid: &Value) {
        self.double.issues(&self.key, &self.claims(iss, tid));
    }
}

#[tokio::test]
async fn the_issuer_is_that_of_the_tokens_tenant_and_the_tenant_is_let_in() {
    // ID-02, ID-18
    let all = Tenants::start().await;
    for tenant in [OURS, ALSO_OURS] {
        all.issues(tenant, &json!(tenant));
        let sign_in = all.fixture.redeem().await.unwrap();
        assert_eq!(*sign_in.issuer, *all.issuer(tenant), "the person's key names the tenant");
    }
    let upper = OURS.to_uppercase();
    for (iss, tid, code) in [
        (STRANGER, json!(STRANGER), "id_token_tenant"),
        (OURS, json!(STRANGER), "id_token_tenant"),
        (STRANGER, json!(OURS), "id_token_iss"),
        (ALSO_OURS, json!(OURS), "id_token_iss"),
        (OURS, Value::Null, "id_token_tid"),
        (OURS, json!([OURS]), "id_token_tid"),
        (ALSO_OURS, json!(77), "id_token_tid"),
        (OURS, json!(true), "id_token_tid"),
        (OURS, json!(""), "id_token_tenant"),
        (OURS, json!(upper), "id_token_tenant"),
        (upper.as_str(), json!(OURS), "id_token_iss"),
        ("{tenantid}", Value::Null, "id_token_tid"),
        ("{tenantid}", json!("{tenantid}"), "id_token_tenant"),
        ("{tenantid}", json!(OURS), "id_token_iss"),
        ("common", json!("common"), "id_token_tenant"),
        ("common", json!(OURS), "id_token_iss"),
    ] {
        all.issues(iss, &tid);
        assert_eq!(all.fixture.refusal().await, code, "{iss} {tid}");
    }
}

#[tokio::test]
async fn a_document_of_another_issuer_is_refused() {
    // DI-02
    let all = Tenants::start().await;
    all.issues(OURS, &json!(OURS));
    for issuer in [all.issuer(OURS), all.issuer("common"), all.issuer("{tenantid}") + "/", all.issuer("{tid}")] {
        let mut document = all.double.document();
        document["issuer"] = json!(issuer);
        let double = &all.double;
        double.on("/doc", [Answer::json(&document)]);
        let kind = ProviderKind::Oidc { issuer: all.issuer("{tenantid}"), overrides: Endpoints::default() };
        let fixture = Fixture::new(kind, |s| {
            s.allowed_tenants = vec![OURS.to_owned()];
            s.discovery_url = Some(double.url("/doc"));
        });
        assert_eq!(fixture.refusal().await, "discovery_issuer_mismatch", "{issuer}");
    }
}

#[tokio::test]
async fn the_callbacks_iss_and_the_token_name_one_tenant() {
    // IS-02, IS-04
    let all = Tenants::start().await;
    all.issues(OURS, &json!(OURS));
    let own = all.issuer(OURS);
    assert!(all.fixture.redeem_iss(Some(&own)).await.is_ok());
    assert!(all.fixture.provider.is_named_by(&own));
    let before = all.double.count("/token");
    for iss in [all.issuer(STRANGER), format!("{own}/"), all.double.origin.clone(), String::new()] {
        assert_eq!(all.fixture.redeem_iss(Some(&iss)).await.unwrap_err().code(), "iss_mismatch", "{iss}");
        assert!(!all.fixture.provider.is_named_by(&iss));
    }
    assert_eq!(all.double.count("/token"), before, "refused before the code is sent");
    // Both are let in, but they contradict each other.
    let other = all.fixture.redeem_iss(Some(&all.issuer(ALSO_OURS))).await;
    assert_eq!(other.unwrap_err().code(), "iss_mismatch");
}

#[tokio::test]
async fn a_refresh_stays_in_its_tenant() {
    // RF-08, AT-TP-17
    let all = Tenants::start().await;
    let before = all.claims(OURS, &json!(OURS));
    all.issues(OURS, &json!(OURS));
    assert!(all.fixture.refresh(&before).await.is_ok());
    for (iss, tid) in [(ALSO_OURS, json!(ALSO_OURS)), (STRANGER, json!(STRANGER)), (OURS, Value::Null)] {
        all.issues(iss, &tid);
        let error = all.fixture.refresh(&before).await.unwrap_err();
        assert_eq!(error.class(), FailureClass::Over, "{error}");
    }
}

#[tokio::test]
async fn a_client_assertion_is_made_for_the_endpoint_where_the_issuer_is_a_template() {
    // CA-01, CA-05
    let all = Tenants::start().await;
    all.issues(OURS, &json!(OURS));
    let pair = rcgen::KeyPair::generate().unwrap();
    let kind = ProviderKind::Oidc { issuer: all.issuer("{tenantid}"), overrides: Endpoints::default() };
    let fixture = Fixture::new(kind, |s| {
        s.allowed_tenants = vec![OURS.to_owned()];
        let key = PrivateKeyDer::try_from(pair.serialize_der()).unwrap();
        s.client_auth = ClientAuth::PrivateKeyJwt { key: Arc::new(Secret::new(key)), key_id: None };
    });
    fixture.redeem().await.unwrap();
    let assertion = all.double.seen("/token")[0].field("client_assertion").unwrap();
    let claims = URL_SAFE_NO_PAD.decode(assertion.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["aud"], all.double.at("/token"));
}
