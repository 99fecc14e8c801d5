//! The demo's provider as tests start it: with one client, and a clock that they move.

use std::ops::Deref;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use vestibule::clock::ManualClock;
use vestibule::demo::idp::{Client, Idp, IdpSettings, Mode};
use vestibule::demo::start_idp;

/// A running provider; everything that [`Idp`] can do, it can.
pub(crate) struct TestIdp {
    idp: Arc<Idp>,
    /// The provider's clock, to be shared with the gateway.
    pub(crate) clock: Arc<ManualClock>,
    /// Whether it is a plain OAuth 2.0 server.
    pub(crate) plain: bool,
    _until_dropped: DropGuard,
}

impl TestIdp {
    /// An OpenID provider with the client [`CLIENT_ID`].
    pub(crate) async fn start() -> Self {
        Self::with(IdpSettings::default()).await
    }

    /// A plain OAuth 2.0 server with the same client.
    pub(crate) async fn plain_oauth2() -> Self {
        Self::with(IdpSettings::plain_oauth2()).await
    }

    /// A provider that is set up otherwise; the client is added unless there is one.
    pub(crate) async fn with(settings: IdpSettings) -> Self {
        Self::sharing(settings, super::clock()).await
    }

    /// A second provider with the same clock as another one.
    pub(crate) async fn sharing(mut settings: IdpSettings, clock: Arc<ManualClock>) -> Self {
        if settings.clients.is_empty() {
            settings.clients.push(Client::with_secret(CLIENT_ID, CLIENT_SECRET));
        }
        let plain = settings.mode == Mode::PlainOAuth2;
        let shutdown = CancellationToken::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let idp = start_idp(listener, settings, clock.clone(), shutdown.clone()).unwrap();
        Self { idp, clock, plain, _until_dropped: shutdown.drop_guard() }
    }

    /// The provider itself, to be held elsewhere.
    pub(crate) fn shared(&self) -> Arc<Idp> {
        Arc::clone(&self.idp)
    }
}

impl Deref for TestIdp {
    type Target = Idp;

    fn deref(&self) -> &Idp {
        &self.idp
    }
}

pub(crate) const CLIENT_ID: &str = "test app";
/// With every character that tells form-urlencoding from its absence (OA-12).
pub(crate) const CLIENT_SECRET: &str = "s:e%c r+é&t=";
