//! Histograms by method and status over closed lists, resolved once and then reached by index.

use std::sync::OnceLock;
use std::time::Duration;

use http::{Method, StatusCode};

use crate::telemetry::shards::Durations;

/// A histogram for each method and status, made when first seen. Both lists are closed: what is not on them counts as
/// `_OTHER` (as OpenTelemetry has it) and as its class, so that neither clients nor upstreams can make up label values.
pub(super) struct Outcomes(Box<[OnceLock<Durations>]>);

impl Default for Outcomes {
    fn default() -> Self {
        Self((0..METHODS.len() * STATUSES.len()).map(|_| OnceLock::new()).collect())
    }
}

impl Outcomes {
    pub(super) fn observe(
        &self,
        method: &Method,
        status: Option<StatusCode>,
        took: Duration,
        resolve: impl FnOnce(&'static str, String) -> Durations,
    ) {
        let method = METHODS.iter().position(|known| *known == method.as_str()).unwrap_or(METHODS.len() - 1);
        let status = status_place(status);
        let Some(slot) = self.0.get(method * STATUSES.len() + status) else { return };
        let durations = slot.get_or_init(|| {
            let status = STATUSES.get(status).copied().unwrap_or(NO_ANSWER);
            resolve(METHODS.get(method).copied().unwrap_or("_OTHER"), shown_status(status))
        });
        durations.observe(took);
    }
}

fn status_place(status: Option<StatusCode>) -> usize {
    let code = status.map_or(NO_ANSWER, |status| status.as_u16());
    let exact = STATUSES.iter().position(|known| *known == code);
    exact.or_else(|| STATUSES.iter().position(|known| *known == code / 100)).unwrap_or(0)
}

fn shown_status(status: u16) -> String {
    match status {
        NO_ANSWER => String::new(),
        class @ 1..=9 => format!("{class}xx"),
        code => code.to_string(),
    }
}

const METHODS: [&str; 9] = ["GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "_OTHER"];
/// Status codes that are told apart, most frequent first; numbers below 10 are classes.
const STATUSES: [u16; 38] = [
    NO_ANSWER, 200, 304, 302, 303, 404, 401, 403, 204, 206, 201, 202, 101, 301, 307, 308, 400, 405, 408, 409, 410, 412,
    413, 415, 421, 422, 429, 431, 500, 501, 502, 503, 504, 1, 2, 3, 4, 5,
];
/// The "status" of a call that got no answer.
const NO_ANSWER: u16 = 0;
