//! vestibule: a reverse-proxy authentication gateway.
//!
//! It stands in front of applications that know nothing of OAuth, sends people through the authorization code flow, keeps their
//! tokens in sealed session cookies, renews them, and forwards each request with identity headers.
//!
//! # Layers
//!
//! Modules import downward only; `tests/layers.rs` holds the same table and fails on an import that points up or sideways.
//!
//! | | modules | |
//! |---|---|---|
//! | 9 | `main` | arguments in, exit code out |
//! | 8 | [`cli`], [`demo`] | the commands; a provider and an application to try them with |
//! | 7 | [`app`] | the composition root, and reload |
//! | 6 | [`config`] | file, environment and flags, turned into the settings of every module, with all problems reported at once |
//! | 5 | [`gateway`] | the pipeline, our own endpoints, errors turned into responses |
//! | 4 | [`session`] | lifetimes, cookies, refresh |
//! | 3 | [`provider`], [`policy`], [`proxy`], [`server`] | calls to providers; who may pass; forwarding to applications; the listening side |
//! | 2 | [`seal`], [`remembered`] | values sealed for the browser to keep; what has to be remembered for security, in bounded memory |
//! | 1 | [`identity`], [`request`], [`backoff`], [`body`], [`control`], [`pem`], [`telemetry`] | claims and identities; the canonical request; when to try again; bodies and their limits; the runtime for everything but forwarding; certificates and keys in files; logs, metrics and audit events |
//! | 0 | [`budget`], [`byte_stream`], [`clock`], [`codes`], [`flood`], [`followed`], [`hex`], [`keep_alive`], [`local_executor`], [`nearest`], [`secret`], [`single_flight`], [`stall`], [`tls_version`], [`trace`], [`trust`] | how many connections there may be; the bytes of a connection; time as an argument; every code with its explanation; HTTP/2 floods; files that somebody else keeps; bytes as digits; peers that are gone; tasks of one worker; which word was meant; values that are never shown; work that is done once for all who ask; bodies that stall; which versions of TLS are spoken; which trace a request belongs to; the authorities that we trust as a TLS client |
//!
//! # One request
//!
//! A worker of [`server`] accepts it and hands it to [`gateway::Gateway::handle`], which lists the stages: the canonical request
//! ([`request::RequestMeta`], made once); its judgement ([`gateway::Gateway::judge`]: the route, the session of
//! [`session::sessions::Sessions`] and its renewal where due, the decision); and the application ([`proxy::Forwarder`]). A request
//! that needs a sign-in becomes a login attempt ([`session::attempt`]) and a redirect to the provider; the callback turns the code
//! into a session.
//!
//! Workers forward and share nothing; whatever else has to wait for somebody runs on the [`control`] runtime.
//!
//! # Where to start reading
//!
//! `gateway/mod.rs`, then the stage that interests you. For the flow: `gateway/login.rs` and `gateway/callback.rs`. For what a
//! cookie holds: `session/codec`. For why a setting is refused: `config/validate`. What an id in a comment means, such as `CK-12`:
//! `tests/requirements.md`.

pub mod app;
pub mod backoff;
pub mod body;
pub mod budget;
pub mod byte_stream;
pub mod cli;
pub mod clock;
pub mod codes;
pub mod config;
pub mod control;
pub mod demo;
pub mod flood;
pub mod followed;
pub mod gateway;
pub mod hex;
pub mod identity;
pub mod keep_alive;
pub mod local_executor;
pub mod nearest;
pub mod pem;
pub mod policy;
pub mod provider;
pub mod proxy;
pub mod remembered;
pub mod request;
pub mod seal;
pub mod secret;
pub mod server;
pub mod session;
pub mod single_flight;
pub mod stall;
pub mod telemetry;
pub mod tls_version;
pub mod trace;
pub mod trust;
