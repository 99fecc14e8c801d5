//! RP-initiated logout (OpenID Connect RP-Initiated Logout 1.0).

use http::StatusCode;
use http::header::SET_COOKIE;
use serde_json::{Map, Value};
use url::Url;

use super::authorize::{BROWSER_COOKIE, browser_sid};
use super::request::IdpRequest;
use super::response::IdpResponse;
use super::{Idp, IdpState, pages};

impl Idp {
    pub(super) fn end_session(&self, asked: &IdpRequest) -> IdpResponse {
        let mut state = self.state();
        let said = |name: &str| asked.query_field(name).or_else(|| asked.field(name));
        // An expired hint is still a hint (section 2).
        let hint = said("id_token_hint").and_then(|token| state.keys.iter().find_map(|key| key.own_claims(&token)));
        if said("id_token_hint").is_some() && hint.is_none() {
            return pages::refused("The id_token_hint is not an ID token of this provider.");
        }
        let client = said("client_id").or_else(|| hint.as_ref().and_then(|hint| text(hint, "aud")));
        if let (Some(hint), Some(client)) = (&hint, &client)
            && text(hint, "aud").as_ref() != Some(client)
        {
            return pages::refused("The id_token_hint was given to another client.");
        }
        let back = match back_to(&state, client.as_deref(), said("post_logout_redirect_uri").as_deref(), said("state"))
        {
            Ok(back) => back,
            Err(reason) => return pages::refused(reason),
        };
        // Without a hint anybody could have sent the browser here: the person is asked (section 6).
        if hint.is_none() && asked.method == "GET" {
            return pages::confirm_sign_out(&asked.query);
        }
        let hinted = hint.as_ref().and_then(|hint| text(hint, "sid"));
        for sid in [hinted, browser_sid(asked)].into_iter().flatten() {
            state.grants.end_browser_session(&sid);
        }
        let gone = format!("{BROWSER_COOKIE}=; Path=/sso; Max-Age=0; HttpOnly; SameSite=Lax");
        back.map_or_else(pages::signed_out, |to| IdpResponse::redirect(StatusCode::SEE_OTHER, to.as_str()))
            .with(SET_COOKIE, gone)
    }
}

/// The registered address to go back to, with the state; none when none was asked for.
fn back_to(
    state: &IdpState,
    client_id: Option<&str>,
    wanted: Option<&str>,
    echoed: Option<String>,
) -> Result<Option<Url>, &'static str> {
    let Some(wanted) = wanted else { return Ok(None) };
    let client = state.settings.clients.iter().find(|client| Some(client.id.as_str()) == client_id);
    let registered = client.is_some_and(|client| client.post_logout_redirect_uris.iter().any(|known| known == wanted));
    if !registered {
        return Err("The post_logout_redirect_uri is not registered for this client.");
    }
    let mut to = Url::parse(wanted).map_err(|_| "The post_logout_redirect_uri is no URL.")?;
    if let Some(echoed) = echoed {
        to.query_pairs_mut().append_pair("state", &echoed);
    }
    Ok(Some(to))
}

fn text(claims: &Map<String, Value>, name: &str) -> Option<String> {
    claims.get(name)?.as_str().map(str::to_owned)
}
