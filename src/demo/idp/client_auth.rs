//! Client authentication, really verified: exactly one method, and the registered one (RFC 6749 section 2.3).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use http::header::WWW_AUTHENTICATE;

use crate::demo::idp::answer::Answer;
use crate::demo::idp::request::IdpRequest;
use crate::demo::idp::settings::{Client, ClientProof};
use crate::demo::idp::{Idp, State};
use crate::secret::constant_time_eq;

/// Why a client was not believed; the reason goes into `error_description`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct NotBelieved(&'static str);

/// What a request says about its client.
enum Shown {
    Basic { id: String, secret: String },
    Post { id: String, secret: String },
    Bare { id: String },
}

impl Idp {
    /// The client that makes this request, proven.
    pub(super) fn client(&self, state: &mut State, asked: &IdpRequest) -> Result<Client, NotBelieved> {
        let shown = Shown::of(asked)?;
        let id = match &shown {
            Shown::Basic { id, .. } | Shown::Post { id, .. } | Shown::Bare { id } => id.clone(),
        };
        let known = state.settings.clients.iter().find(|client| client.id == id);
        let client = known.cloned().ok_or(NotBelieved("no such client"))?;
        match (&client.proof, &shown) {
            (ClientProof::Basic(known), Shown::Basic { secret, .. })
            | (ClientProof::Post(known), Shown::Post { secret, .. }) => {
                let same = constant_time_eq(known.as_bytes(), secret.as_bytes());
                same.then_some(client).ok_or(NotBelieved("the secret is wrong"))
            }
            (ClientProof::Public, Shown::Bare { .. }) => Ok(client),
            _ => Err(NotBelieved("the client is registered with another authentication method")),
        }
    }
}

impl NotBelieved {
    /// RFC 6749 section 5.2: 401, and the scheme that was tried.
    pub(super) fn answer(self) -> Answer {
        Answer::oauth_error(StatusCode::UNAUTHORIZED, "invalid_client", self.0)
            .with(WWW_AUTHENTICATE, "Basic realm=\"demo provider\"")
    }
}

impl Shown {
    fn of(asked: &IdpRequest) -> Result<Self, NotBelieved> {
        let basic = asked.header("authorization").map(basic_credentials).transpose()?;
        let secret = asked.field("client_secret");
        let id = asked.field("client_id");
        match (basic, secret) {
            (Some((basic_id, secret)), None) if id.as_ref().is_none_or(|id| *id == basic_id) => {
                Ok(Self::Basic { id: basic_id, secret })
            }
            (None, Some(secret)) => Ok(Self::Post { id: id.ok_or(NotBelieved("no client_id"))?, secret }),
            (None, None) => Ok(Self::Bare { id: id.ok_or(NotBelieved("no client_id"))? }),
            _ => Err(NotBelieved("more than one kind of client authentication")),
        }
    }
}

/// OA-12: each half is form-urlencoded before they are joined (RFC 6749 section 2.3.1).
fn basic_credentials(header: &str) -> Result<(String, String), NotBelieved> {
    let malformed = NotBelieved("the Authorization header is not Basic credentials");
    let encoded = header.strip_prefix("Basic ").ok_or(malformed)?;
    let text = String::from_utf8(STANDARD.decode(encoded).map_err(|_| malformed)?).map_err(|_| malformed)?;
    let (id, secret) = text.split_once(':').ok_or(malformed)?;
    Ok((form_decoded(id), form_decoded(secret)))
}

fn form_decoded(half: &str) -> String {
    // As the value of a parameter whose name is empty; what is not encoded (`&`, `=`) would be cut off, and so not be believed.
    url::form_urlencoded::parse(format!("={half}").as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}
