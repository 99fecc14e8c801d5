//! What is forgiven a provider, and that nothing is unless it is named.

use super::*;
use crate::provider::settings::Quirk;

#[tokio::test]
async fn a_departure_is_forgiven_only_where_it_is_named() {
    // OA-16, OA-17: at a sign-in and at a refresh
    let double = Double::start().await;
    let body = token_answer(&json!({}));
    let typed = |kind: &Value| token_answer(&json!({ "token_type": kind }));
    let mut silent = body.clone();
    silent.as_object_mut().unwrap().remove("token_type");
    let html = |body: &Value| Answer::typed(200, "text/html; charset=utf-8", body.to_string());
    let form = "access_token=access-1&token_type=bearer";
    let (no_type, no_json) = ([Quirk::MissingTokenType], [Quirk::TokenContentType]);
    let both = [Quirk::MissingTokenType, Quirk::TokenContentType];
    for (answer, quirks, expected) in [
        (Answer::json(&silent), &[][..], Some("answer_token_type")),
        (Answer::json(&silent), &no_json, Some("answer_token_type")),
        (Answer::json(&silent), &no_type, None),
        (Answer::json(&typed(&Value::Null)), &no_type, None),
        // What is said is never overheard.
        (Answer::json(&typed(&json!("mac"))), &both, Some("answer_token_type")),
        (Answer::json(&typed(&json!(""))), &both, Some("answer_token_type")),
        (Answer::json(&typed(&json!(7))), &both, Some("answer_token_type")),
        (html(&body), &[], Some("answer_content_type")),
        (html(&body), &no_type, Some("answer_content_type")),
        (html(&body), &no_json, None),
        (Answer::typed(200, "text/plain", body.to_string()), &no_json, None),
        (html(&silent), &no_json, Some("answer_token_type")),
        (html(&silent), &both, None),
        (Answer::typed(200, "application/x-www-form-urlencoded", form), &both, Some("answer_json")),
        (Answer::typed(200, "text/html", "<html>"), &both, Some("answer_json")),
    ] {
        double.on("/token", [answer]);
        let fixture = Fixture::plain_with(&double, OAuth2Identity::Nobody, |s| s.quirks = quirks.to_vec());
        let redeemed = fixture.redeem().await.err().map(|error| error.code());
        let refreshed = fixture.refresh(&json!({})).await.err().map(|error| error.code());
        assert_eq!((redeemed, refreshed), (expected, expected), "{quirks:?}");
    }
}
