//! The flags of `init`: every question has one.

use std::path::PathBuf;

use clap::Args;

/// The answers that are known beforehand. On a terminal, what is missing is asked for.
#[derive(Args, Clone, Debug, Default)]
pub struct InitArguments {
    /// keycloak, entra, okta, google, auth0, github, gitlab, dex, oidc (any other OpenID provider), oauth2 (any other server)
    #[arg(long, value_name = "PROVIDER")]
    pub provider: Option<String>,
    /// The issuer of the provider, for OpenID Connect
    #[arg(long, value_name = "URL")]
    pub issuer: Option<String>,
    /// Where an OAuth 2.0 server sends people to sign in
    #[arg(long, value_name = "URL")]
    pub authorization_endpoint: Option<String>,
    /// Where an OAuth 2.0 server gives tokens
    #[arg(long, value_name = "URL")]
    pub token_endpoint: Option<String>,
    /// Where an OAuth 2.0 server says who somebody is; "none" where it does not
    #[arg(long, value_name = "URL")]
    pub userinfo_endpoint: Option<String>,
    /// The member of that answer that names a person for ever
    #[arg(long, value_name = "CLAIM")]
    pub subject: Option<String>,
    /// The client that is, or will be, registered at the provider
    #[arg(long, value_name = "ID")]
    pub client_id: Option<String>,
    /// What people type, without a path
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// Where the application listens
    #[arg(long, value_name = "URL")]
    pub upstream: Option<String>,
    /// Secrets as credentials of systemd, which vestibule.service loads from files in /etc/vestibule
    #[arg(long)]
    pub credentials: bool,
    /// The folder to write into; it is made where it is not there
    #[arg(long, default_value = ".", value_name = "FOLDER")]
    pub dir: PathBuf,
}
