//! [RP-initiated logout](https://openid.net/specs/openid-connect-rpinitiated-1_0.html).

use http::{HeaderMap, Response};
use serde_json::Value;

use crate::body::Body;
use crate::demo::idp::authorize::{browser_cookie, browser_sid, redirect};
use crate::demo::idp::{Idp, Params, pages};

impl Idp {
    /// Ends the session of a browser. `unconfirmed`: the query, where the person has not confirmed it on our page.
    pub(super) fn end_session(&self, headers: &HeaderMap, said: &Params, unconfirmed: Option<&str>) -> Response<Body> {
        // An expired hint is still a hint (section 2).
        let hint = said.get("id_token_hint").map(|token| self.key.own_claims(token));
        if matches!(hint, Some(None)) {
            return pages::refused("The id_token_hint is not an ID token of this provider.");
        }
        let back = said.get("post_logout_redirect_uri");
        if back.is_some_and(|back| *back != self.client.post_logout_redirect_uri) {
            return pages::refused("The post_logout_redirect_uri is not registered for this client.");
        }
        // Without a hint anybody could have sent the browser here: the person is asked (section 6).
        if let (None, Some(query)) = (&hint, unconfirmed) {
            return pages::confirm_sign_out(query);
        }
        let hinted = hint.flatten().and_then(|claims| claims.get("sid").and_then(Value::as_str).map(str::to_owned));
        for sid in hinted.into_iter().chain(browser_sid(headers)) {
            self.grants().sign_out(&sid);
        }
        let state = said.get("state").map(|state| ("state", state.as_str()));
        let mut answer = back.map_or_else(pages::signed_out, |back| redirect(back, state.into_iter()));
        answer.headers_mut().extend(browser_cookie("", "; Max-Age=0"));
        answer
    }
}
