//! An application behind the gateway: which of its equal addresses is next, and which are put aside for a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use crate::proxy::settings::{UpstreamAddress, UpstreamProtocol, UpstreamSettings};
use crate::proxy::tls::{TlsClient, UpstreamSetupError};

/// An application, shared by all workers: its settings, its TLS, and which addresses have failed. Connections are each
/// worker's own.
#[derive(Debug)]
pub struct Upstream {
    settings: UpstreamSettings,
    tls: Option<TlsClient>,
    health: Box<[AddressHealth]>,
    started: Instant,
}

/// Whether an address is in good standing.
#[derive(Debug, Default)]
struct AddressHealth {
    /// In a row.
    failures: AtomicU32,
    /// Milliseconds since `started`; zero for an address that is not put aside.
    aside_until: AtomicU64,
}

impl Upstream {
    /// Prepares an application: reads certificates, connects nothing.
    ///
    /// # Errors
    /// No address, certificates or keys that cannot be used, a server name that is none.
    pub fn new(settings: UpstreamSettings) -> Result<Arc<Self>, UpstreamSetupError> {
        if settings.addresses.is_empty() {
            return Err(UpstreamSetupError::new("upstream_without_address", "the application has no address"));
        }
        let needs_tls = settings.addresses.iter().any(|address| address.protocol == UpstreamProtocol::Tls);
        let tls = if needs_tls { Some(TlsClient::new(&settings.tls)?) } else { None };
        let health = settings.addresses.iter().map(|_| AddressHealth::default()).collect();
        Ok(Arc::new(Self { settings, tls, health, started: Instant::now() }))
    }

    /// What it was made of.
    pub fn settings(&self) -> &UpstreamSettings {
        &self.settings
    }

    /// The addresses that are put aside right now.
    #[cfg(test)]
    pub(super) fn aside(&self) -> Vec<&UpstreamAddress> {
        let addresses = self.settings.addresses.iter().enumerate();
        addresses.filter(|(index, _)| self.is_aside(*index)).map(|(_, address)| address).collect()
    }

    /// TLS, where any address asks for it.
    pub(super) fn tls(&self) -> Option<&TlsClient> {
        self.tls.as_ref()
    }

    /// Every address once, beginning with the `turn`th: those in good standing first, then, because a wrong guess must not
    /// take the application down, those put aside.
    pub(super) fn candidates(&self, turn: usize) -> impl Iterator<Item = (usize, &UpstreamAddress)> {
        let count = self.settings.addresses.len();
        let round = move || (0..count).map(move |step| turn.wrapping_add(step) % count);
        let good = round().filter(|index| !self.is_aside(*index));
        let aside = round().filter(move |index| count > 1 && self.is_aside(*index));
        good.chain(aside).filter_map(|index| Some((index, self.settings.addresses.get(index)?)))
    }

    /// The address has answered.
    pub(super) fn succeeded(&self, index: usize) {
        let Some(health) = self.health.get(index) else { return };
        // A read first: the line is shared by all workers and hardly ever changes.
        if health.failures.load(Ordering::Relaxed) != 0 {
            health.failures.store(0, Ordering::Relaxed);
        }
    }

    /// The address has not answered.
    pub(super) fn failed(&self, index: usize) {
        let Some(health) = self.health.get(index) else { return };
        let failures = health.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if self.health.len() > 1 && self.settings.eject_after > 0 && failures >= self.settings.eject_after {
            let span = u64::try_from(self.settings.eject_for.as_millis()).unwrap_or(u64::MAX);
            health.aside_until.store(self.millis().saturating_add(span).max(1), Ordering::Relaxed);
            health.failures.store(0, Ordering::Relaxed);
            let address = self.settings.addresses.get(index).map(UpstreamAddress::place).unwrap_or_default();
            tracing::warn!(code = "upstream_ejected", %address, "address put aside after {failures} failures in a row");
        }
    }

    /// Whether the address is put aside.
    fn is_aside(&self, index: usize) -> bool {
        let until = self.health.get(index).map_or(0, |health| health.aside_until.load(Ordering::Relaxed));
        until != 0 && self.millis() < until
    }

    /// Since it was made.
    fn millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::proxy::tests::{settings, tcp};

    fn upstream(eject_for: Duration) -> Arc<Upstream> {
        let addresses = [1, 2, 3].map(tcp).to_vec();
        Upstream::new(UpstreamSettings { eject_after: 2, eject_for, ..settings(addresses) }).unwrap()
    }

    fn order(upstream: &Upstream, turn: usize) -> Vec<usize> {
        upstream.candidates(turn).map(|(index, _)| index).collect()
    }

    #[test]
    fn turns_go_round() {
        let upstream = upstream(Duration::from_secs(10));
        assert_eq!(order(&upstream, 0), [0, 1, 2]);
        assert_eq!(order(&upstream, 4), [1, 2, 0]);
        assert_eq!(order(&upstream, usize::MAX).len(), 3);
    }

    #[test]
    fn failures_in_a_row_put_an_address_last_for_a_while() {
        let upstream = upstream(Duration::from_secs(1000));
        upstream.failed(0);
        upstream.succeeded(0);
        upstream.failed(0);
        assert_eq!(order(&upstream, 0), [0, 1, 2], "two failures, but not in a row");
        upstream.failed(0);
        assert_eq!(order(&upstream, 0), [1, 2, 0]);
        assert_eq!(upstream.aside().len(), 1);
    }

    #[test]
    fn ejection_ends() {
        let upstream = upstream(Duration::ZERO);
        upstream.failed(0);
        upstream.failed(0);
        while upstream.millis() < 2 {
            std::hint::spin_loop();
        }
        assert_eq!(order(&upstream, 0), [0, 1, 2]);
    }

    #[test]
    fn an_application_without_address_is_refused() {
        assert_eq!(Upstream::new(settings(Vec::new())).unwrap_err().code(), "upstream_without_address");
    }
}
