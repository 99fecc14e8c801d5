//! Client authentication, really verified: exactly one method, and the registered one
//! ([RFC 6749 section 2.3](https://www.rfc-editor.org/rfc/rfc6749#section-2.3)).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use http::header::WWW_AUTHENTICATE;

use super::request::IdpRequest;
use super::response::IdpResponse;
use super::settings::{AuthMethod, Client};
use super::{Idp, IdpState};
use vestibule::secret::constant_time_eq;

/// What a request says about its client.
enum Presented {
    Basic { id: String, secret: String },
    Post { id: String, secret: String },
    Bare { id: String },
}

impl Idp {
    /// The client that makes this request, proven.
    pub(super) fn client(&self, state: &mut IdpState, asked: &IdpRequest) -> Result<Client, IdpResponse> {
        let shown = Presented::of(asked)?;
        let id = match &shown {
            Presented::Basic { id, .. } | Presented::Post { id, .. } | Presented::Bare { id } => id.clone(),
        };
        let known = state.settings.clients.iter().find(|client| client.id == id);
        let client = known.cloned().ok_or_else(|| refused("no such client"))?;
        match (&client.proof, &shown) {
            (AuthMethod::Basic(known), Presented::Basic { secret, .. })
            | (AuthMethod::Post(known), Presented::Post { secret, .. }) => {
                let same = constant_time_eq(known.as_bytes(), secret.as_bytes());
                same.then_some(client).ok_or_else(|| refused("the secret is wrong"))
            }
            (AuthMethod::Public, Presented::Bare { .. }) => Ok(client),
            _ => Err(refused("the client is registered with another authentication method")),
        }
    }
}

/// The answer to a client that is not believed: 401, and the scheme that was tried
/// ([RFC 6749 section 5.2](https://www.rfc-editor.org/rfc/rfc6749#section-5.2)).
fn refused(reason: &str) -> IdpResponse {
    IdpResponse::oauth_error(StatusCode::UNAUTHORIZED, "invalid_client", reason)
        .with(WWW_AUTHENTICATE, "Basic realm=\"demo provider\"")
}

impl Presented {
    fn of(asked: &IdpRequest) -> Result<Self, IdpResponse> {
        let basic = asked.header("authorization").map(basic_credentials).transpose()?;
        let secret = asked.field("client_secret");
        let id = asked.field("client_id");
        match (basic, secret) {
            (Some((basic_id, secret)), None) if id.as_ref().is_none_or(|id| *id == basic_id) => {
                Ok(Self::Basic { id: basic_id, secret })
            }
            (None, Some(secret)) => Ok(Self::Post { id: id.ok_or_else(|| refused("no client_id"))?, secret }),
            (None, None) => Ok(Self::Bare { id: id.ok_or_else(|| refused("no client_id"))? }),
            _ => Err(refused("more than one kind of client authentication")),
        }
    }
}

/// OA-12: each half is form-urlencoded before they are joined
/// ([RFC 6749 section 2.3.1](https://www.rfc-editor.org/rfc/rfc6749#section-2.3.1)).
fn basic_credentials(header: &str) -> Result<(String, String), IdpResponse> {
    let malformed = || refused("the Authorization header is not Basic credentials");
    let encoded = header.strip_prefix("Basic ").ok_or_else(malformed)?;
    let text = String::from_utf8(STANDARD.decode(encoded).map_err(|_| malformed())?).map_err(|_| malformed())?;
    let (id, secret) = text.split_once(':').ok_or_else(malformed)?;
    Ok((form_decoded(id), form_decoded(secret)))
}

fn form_decoded(half: &str) -> String {
    // As the value of a parameter whose name is empty; what is not encoded (`&`, `=`) would be cut off, and so not be believed.
    url::form_urlencoded::parse(format!("={half}").as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}
