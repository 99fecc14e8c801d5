//! Signing out at the provider.

use super::*;

const AFTER: &str = "https://app.example.com/_vestibule/signed-out";

#[tokio::test]
async fn the_browser_is_sent_to_the_end_session_endpoint() {
    // LO-01, LO-02, LO-06
    let (key, double) = openid().await;
    let mut document = double.document();
    document["end_session_endpoint"] = json!(format!("{}/end?tenant=a", double.origin));
    double.on(DISCOVERY, [Answer::json(&document)]);
    let provider = Fixture::openid(&double).provider;
    let signed = key.sign(&double.claims());
    let hint = Secret::from(signed.as_str());
    let url = Url::parse(&provider.end_session_url(Some(&hint), AFTER, "st").await.unwrap()).unwrap();
    let query: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let expected = [
        ("tenant", "a"),
        ("id_token_hint", signed.as_str()),
        ("client_id", "client"),
        ("post_logout_redirect_uri", AFTER),
        ("state", "st"),
    ];
    assert_eq!(query, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
    let mut large = double.claims();
    large["blob"] = json!("x".repeat(9000));
    // Too long for servers; signed with a key that was withdrawn, or that nobody knows; no token at all.
    for hint in [key.sign(&large), TestKey::es256("k0").sign(&double.claims()), "id.to.ken".to_owned()] {
        let url = provider.end_session_url(Some(&Secret::new(hint)), AFTER, "st").await.unwrap();
        assert!(url.len() < 1000 && url.contains("client_id=client") && !url.contains("id_token_hint"));
    }
}

#[tokio::test]
async fn parameters_of_the_endpoint_stay_and_none_is_said_twice() {
    // LO-02: whatever they are called there
    let (_, double) = openid().await;
    let provider = Fixture::openid(&double).provider;
    let all = ["id_token_hint", "client_id", "post_logout_redirect_uri", "state"];
    for (written, left_out) in [
        ("", vec![]),
        ("?", vec![]),
        ("?tenant=a&x=", vec![]),
        ("?client_id=abc%201&logout_uri=https%3A%2F%2Fwiki.example%2F%3Fa%3D1", vec![1, 2]),
        ("?client%5Fid=x", vec![1]),
        ("?Client_ID=x&clientId=y", vec![1]),
        ("?client-id=x&postLogoutRedirectUri=https://x.example", vec![1, 2]),
        ("?post%5flogout%5Fredirect_uri=x&STATE=s", vec![2, 3]),
        ("?returnTo=https://x.example", vec![2]),
        ("?redirect_uri=https://x.example", vec![2]),
        ("?id_token_hint", vec![0]),
    ] {
        let end = Url::parse(&format!("{}/end{written}", double.origin)).unwrap();
        let url = provider.logout_url(&end, Some("id.to.ken"), AFTER, "st");
        let url = Url::parse(&url).unwrap();
        let theirs: Vec<String> =
            form_urlencoded::parse(written.trim_start_matches('?').as_bytes()).map(|(name, _)| name.into()).collect();
        let ours = (0..all.len()).filter(|at| !left_out.contains(at)).map(|at| all[at].to_owned());
        let expected: Vec<String> = theirs.into_iter().chain(ours).collect();
        let names: Vec<String> = url.query_pairs().map(|(name, _)| name.into_owned()).collect();
        assert_eq!(names, expected, "{written}");
        assert!(url.as_str().starts_with(&double.at(&format!("/end{written}"))), "{url}");
    }
}

#[tokio::test]
async fn without_an_endpoint_or_by_setting_it_is_local() {
    // LO-04
    let (_, double) = openid().await;
    for style in [LogoutStyle::RevokeOnly, LogoutStyle::None] {
        let provider = Fixture::openid_with(&double, |s| s.logout = style).provider;
        assert_eq!(provider.end_session_url(None, AFTER, "st").await, None);
    }
    let mut document = double.document();
    document.as_object_mut().unwrap().remove("end_session_endpoint");
    document.as_object_mut().unwrap().remove("revocation_endpoint");
    double.on(DISCOVERY, [Answer::json(&document)]);
    let provider = Fixture::openid(&double).provider;
    assert_eq!(provider.end_session_url(None, AFTER, "st").await, None);
    assert!(provider.sign_out(Some(&Secret::from("r")), Some(&Secret::from("a"))).await.is_ok());
    assert_eq!(double.count("/revoke"), 0);
}

#[tokio::test]
async fn the_refresh_token_is_revoked_and_the_access_token_where_there_is_none() {
    // TK-05, RF-13, RFC 7009 section 2.1
    let (_, double) = openid().await;
    double.on("/revoke", [Answer::typed(200, "text/plain", "")]);
    let provider = Fixture::openid(&double).provider;
    provider.sign_out(Some(&Secret::from("refresh-1")), Some(&Secret::from("access-1"))).await.unwrap();
    provider.sign_out(None, Some(&Secret::from("access-2"))).await.unwrap();
    let seen = double.seen("/revoke");
    let tokens: Vec<_> =
        seen.iter().map(|s| (s.field("token").unwrap(), s.field("token_type_hint").unwrap())).collect();
    assert_eq!(
        tokens,
        [("refresh-1", "refresh_token"), ("access-2", "access_token")].map(|(a, b)| (a.to_owned(), b.to_owned()))
    );
    assert!(seen.iter().all(|s| s.method == Method::POST && s.query.is_none() && s.authorization().is_some()));
    let off = Fixture::openid_with(&double, |s| s.logout = LogoutStyle::None).provider;
    off.sign_out(Some(&Secret::from("refresh-1")), None).await.unwrap();
    assert_eq!(double.count("/revoke"), 2);
}

#[tokio::test]
async fn a_revocation_that_failed_is_told_and_may_be_tried_later() {
    // TK-06, TK-07
    let (_, double) = openid().await;
    let provider = Fixture::openid(&double).provider;
    let busy = Answer::status(503, &json!({})).with("date", "Fri, 15 Jan 2027 08:00:00 GMT");
    double.on("/revoke", [busy.with("retry-after", "Fri, 15 Jan 2027 08:00:30 GMT")]);
    let error = provider.sign_out(Some(&Secret::from("r")), Some(&Secret::from("a"))).await.unwrap_err();
    assert!(error.is_outage());
    assert_eq!(error.retry_after(), Some(Duration::from_secs(30)));
    assert_eq!(double.count("/revoke"), 1);
    double.on("/revoke", [Answer::status(400, &json!({ "error": "unsupported_token_type" }))]);
    assert!(provider.sign_out(None, Some(&Secret::from("a"))).await.is_ok());
    double.on("/revoke", [Answer::status(401, &json!({ "error": "invalid_client" }))]);
    assert_eq!(provider.sign_out(None, Some(&Secret::from("a"))).await.unwrap_err().code(), "invalid_client");
}
