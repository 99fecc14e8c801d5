//! vestibule: a reverse-proxy authentication gateway.

pub mod body;
pub mod clock;
pub mod config;
pub mod control;
pub mod gateway;
pub mod identity;
pub mod policy;
pub mod provider;
pub mod proxy;
pub mod request;
pub mod seal;
pub mod secret;
pub mod server;
pub mod session;
pub mod telemetry;
