//! How the provider is set up: its clients, its people, and how it behaves while it is honest.

use std::time::Duration;

use super::people::Person;

/// The provider as a whole; every part may be changed while it serves ([`Idp::configure`](super::Idp::configure)).
#[derive(Clone, Debug)]
pub(crate) struct IdpSettings {
    /// OpenID Connect or plain OAuth 2.0.
    pub(crate) mode: Mode,
    /// Who may ask.
    pub(crate) clients: Vec<Client>,
    /// Who can be chosen on the page.
    pub(crate) people: Vec<Person>,
    /// Life of an access token; `None`: the token response carries no `expires_in`, and tokens live an hour.
    pub(crate) access_life: Option<Duration>,
    /// Whether a refresh gives a new refresh token and spends the old one.
    pub(crate) rotation: bool,
    /// Whether a refresh gives a new ID token.
    pub(crate) id_token_at_refresh: bool,
    /// Whether `iss` comes with the callback, and is announced in the metadata
    /// ([RFC 9207](https://www.rfc-editor.org/rfc/rfc9207)).
    pub(crate) iss_in_callback: bool,
    /// Whether ID tokens carry no claim about the person but `sub`, so that userinfo must be asked.
    pub(crate) thin_id_tokens: bool,
}

/// What kind of server it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mode {
    /// OpenID Connect: discovery, key set, ID tokens, logout.
    OpenId,
    /// None of these: [RFC 6749](https://www.rfc-editor.org/rfc/rfc6749) alone.
    PlainOAuth2,
}

/// A registered client.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// Its identifier.
    pub(crate) id: String,
    /// How it proves itself; any other method is refused.
    pub(crate) proof: AuthMethod,
    /// Where sign-ins may come back to; compared byte for byte.
    pub(crate) redirect_uris: Vec<String>,
    /// Where sign-outs may come back to; compared byte for byte.
    pub(crate) post_logout_redirect_uris: Vec<String>,
    /// What it must do about PKCE.
    pub(crate) pkce: Pkce,
}

/// How a client proves itself.
#[derive(Clone, Debug)]
pub(crate) enum AuthMethod {
    /// `client_secret_basic`, with both halves form-urlencoded.
    Basic(String),
    /// `client_secret_post`.
    Post(String),
    /// `none`.
    Public,
}

/// What a client must do about PKCE ([RFC 7636](https://www.rfc-editor.org/rfc/rfc7636)).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Pkce {
    /// S256 always.
    Required,
    /// As it likes; what it sends is verified.
    Optional,
    /// A provider that knows nothing of it and refuses the parameter.
    Refused,
}

impl Client {
    /// A client with a secret, by `client_secret_basic`, with PKCE, and no addresses yet.
    pub(crate) fn with_secret(id: &str, secret: &str) -> Self {
        Self::proving(id, AuthMethod::Basic(secret.to_owned()))
    }

    /// A client that proves itself in another way.
    pub(crate) fn proving(id: &str, proof: AuthMethod) -> Self {
        Self {
            id: id.to_owned(),
            proof,
            redirect_uris: Vec::new(),
            post_logout_redirect_uris: Vec::new(),
            pkce: Pkce::Required,
        }
    }
}

impl Default for IdpSettings {
    fn default() -> Self {
        Self {
            mode: Mode::OpenId,
            clients: Vec::new(),
            people: Person::two(),
            access_life: Some(Duration::from_secs(60)),
            rotation: true,
            id_token_at_refresh: true,
            iss_in_callback: true,
            thin_id_tokens: false,
        }
    }
}

impl IdpSettings {
    /// A plain OAuth 2.0 server with the code grant: no `iss` in the callback, no ID token, no discovery.
    pub(crate) fn plain_oauth2() -> Self {
        Self { mode: Mode::PlainOAuth2, iss_in_callback: false, ..Self::default() }
    }
}
