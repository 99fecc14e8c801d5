//! Client authentication, as the provider sees it.

use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;

use super::*;
use crate::secret::PrivateKey;

#[tokio::test]
async fn basic_credentials_are_form_encoded_first() {
    // OA-12, RFC 6749 section 2.3.1 and appendix B
    let (key, double) = openid().await;
    let mut claims = double.claims();
    claims["aud"] = json!("a:b c");
    double.issues(&key, &claims);
    let fixture = Fixture::openid_with(&double, |s| {
        s.client_id = "a:b c".to_owned();
        s.client_auth = ClientAuth::Basic(Secret::from("p:%+ é-long-enough-to-be-a-secret-key"));
    });
    fixture.redeem().await.unwrap();
    let seen = &double.seen("/token")[0];
    let encoded = seen.authorization().unwrap().strip_prefix("Basic ").unwrap();
    let decoded = base64::engine::general_purpose::STANDARD.decode(encoded).unwrap();
    assert_eq!(String::from_utf8(decoded).unwrap(), "a%3Ab+c:p%3A%25%2B+%C3%A9-long-enough-to-be-a-secret-key");
}

#[tokio::test]
async fn each_request_carries_one_proof_only() {
    // OA-13, OA-14, OA-15
    let (key, double) = openid().await;
    double.issues(&key, &double.claims());
    let post = Fixture::openid_with(&double, |s| s.client_auth = ClientAuth::Post(Secret::from("s3cret")));
    post.redeem().await.unwrap();
    let public = Fixture::openid_with(&double, |s| s.client_auth = ClientAuth::Public);
    public.redeem().await.unwrap();
    let [post, public] = &double.seen("/token")[..] else { panic!() };
    assert_eq!((post.authorization(), post.query.as_deref()), (None, None));
    assert_eq!(post.field("client_secret").as_deref(), Some("s3cret"));
    assert_eq!(post.field("client_id").as_deref(), Some("client"));
    assert_eq!(public.authorization(), None);
    assert_eq!(public.field("client_id").as_deref(), Some("client"));
    assert_eq!(public.field("client_secret"), None);
}

#[tokio::test]
async fn an_assertion_is_made_anew_for_each_request() {
    // CA-01, CA-02, CA-03, CA-04, CA-05, AT-TP-32
    let (_, double) = openid().await;
    double.on("/token", [Answer::status(503, &json!({}))]);
    let fixture = Fixture::openid_with(&double, |s| {
        s.client_auth = ClientAuth::PrivateKeyJwt { key: ec_key(), key_id: Some("mine".to_owned()) };
    });
    for _ in 0..2 {
        assert_eq!(fixture.refusal().await, "provider_server_error");
    }
    let mut ids = Vec::new();
    for seen in double.seen("/token") {
        assert_eq!(seen.authorization(), None);
        assert_eq!(
            seen.field("client_assertion_type").unwrap(),
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        );
        let assertion = seen.field("client_assertion").unwrap();
        let parts: Vec<Value> = assertion
            .split('.')
            .take(2)
            .map(|p| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(p).unwrap()).unwrap())
            .collect();
        assert_eq!(parts[0], json!({ "alg": "ES256", "typ": "JWT", "kid": "mine" }));
        let claims = &parts[1];
        assert_eq!(
            (&claims["iss"], &claims["sub"], &claims["aud"]),
            (&json!("client"), &json!("client"), &json!(double.origin))
        );
        assert_eq!((&claims["iat"], &claims["exp"]), (&json!(START), &json!(START + 60)));
        ids.push(claims["jti"].as_str().unwrap().to_owned());
    }
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test]
async fn an_assertion_is_signed_with_what_the_provider_takes() {
    // CA-04
    let (_, double) = openid().await;
    let mut document = double.document();
    document["token_endpoint_auth_signing_alg_values_supported"] = json!(["RS256"]);
    double.on(DISCOVERY, [Answer::json(&document)]);
    let fixture = Fixture::openid_with(&double, |s| {
        s.client_auth = ClientAuth::PrivateKeyJwt { key: ec_key(), key_id: None };
    });
    assert_eq!(fixture.refusal().await, "client_assertion_alg");
    assert_eq!(double.count("/token"), 0);
}

#[tokio::test]
async fn a_client_key_of_each_kind_is_taken() {
    // CA-04, SB-06
    use aws_lc_rs::encoding::{AsDer as _, EcPrivateKeyRfc5915Der, Pkcs8V1Der};
    let ec = EcdsaKeyPair::generate(&signature::ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
    let sec1: EcPrivateKeyRfc5915Der<'_> = ec.private_key().as_der().unwrap();
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let rsa: Pkcs8V1Der<'_> = rsa.as_der().unwrap();
    let ed = Ed25519KeyPair::generate().unwrap();
    let ed: Pkcs8V1Der<'_> = ed.as_der().unwrap();
    let pems = [
        (pem("EC PRIVATE KEY", sec1.as_ref()), "ES384"),
        (pem("PRIVATE KEY", rsa.as_ref()), "RS256"),
        (pem("PRIVATE KEY", ed.as_ref()), "EdDSA"),
    ];
    for (pem, alg) in pems {
        let (_, double) = openid().await;
        double.on("/token", [Answer::status(503, &json!({}))]);
        let auth = ClientAuth::PrivateKeyJwt { key: private_key(&pem), key_id: None };
        let fixture = Fixture::openid_with(&double, |s| s.client_auth = auth);
        assert_eq!(fixture.refusal().await, "provider_server_error");
        let assertion = double.seen("/token")[0].field("client_assertion").unwrap();
        let header = URL_SAFE_NO_PAD.decode(assertion.split('.').next().unwrap()).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&header).unwrap(), json!({ "alg": alg, "typ": "JWT" }));
    }
}

fn ec_key() -> PrivateKey {
    let pair = EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    private_key(&pem("PRIVATE KEY", pair.to_pkcs8v1().unwrap().as_ref()))
}

fn private_key(pem: &[u8]) -> PrivateKey {
    Arc::new(Secret::new(PrivateKeyDer::from_pem_slice(pem).unwrap()))
}

fn pem(label: &str, der: &[u8]) -> Vec<u8> {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|l| std::str::from_utf8(l).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n")).into_bytes()
}
