//! vestibule: a reverse-proxy authentication gateway.

pub mod clock;
pub mod secret;
