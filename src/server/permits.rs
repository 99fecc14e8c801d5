//! The places for connections: how many there are in all, and how many of them one peer may take.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use ipnet::IpNet;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::budget::Places;
use crate::request::Peer;

/// What counts as one peer: an IPv4 address, or the /64 of an IPv6 address, of which one host has as many as it likes.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct PeerNetwork(IpAddr);

impl PeerNetwork {
    /// The peer with this address.
    pub(super) fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
            v4 => v4,
        })
    }
}

impl std::fmt::Display for PeerNetwork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            IpAddr::V4(v4) => v4.fmt(f),
            IpAddr::V6(v6) => write!(f, "{v6}/64"),
        }
    }
}

/// Peers that may take as many places as there are: the proxies in front (`trusted_proxies`), behind each of which there are many
/// people. A reload changes them.
#[derive(Debug, Default)]
pub(super) struct UncappedPeers(ArcSwap<Vec<IpNet>>);

impl UncappedPeers {
    pub(super) fn new(networks: &[IpNet]) -> Arc<Self> {
        Arc::new(Self(ArcSwap::from_pointee(networks.to_vec())))
    }

    /// From now on these.
    pub(super) fn become_these(&self, networks: &[IpNet]) {
        self.0.store(Arc::new(networks.to_vec()));
    }

    /// Whether the peer with this address is one of them.
    fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.load().iter().any(|network| network.contains(&address))
    }
}

/// All places.
#[derive(Debug)]
pub(super) struct ConnectionLimits {
    places: Places,
    uncapped: Arc<UncappedPeers>,
    taken: Mutex<HashMap<PeerNetwork, usize>>,
}

/// A place among those of its peer; none of a peer that may take them all.
#[derive(Debug)]
pub(super) struct PeerPermit(Option<(Arc<ConnectionLimits>, PeerNetwork)>);

impl PeerPermit {
    /// For a peer that may have any number.
    pub(super) fn uncapped() -> Self {
        Self(None)
    }
}

impl ConnectionLimits {
    pub(super) fn new(connections: usize, uncapped: Arc<UncappedPeers>) -> Arc<Self> {
        Arc::new(Self { places: Places::of(sane(connections)), uncapped, taken: Mutex::default() })
    }

    /// Makes it so many.
    pub(super) fn resize(&self, connections: usize) {
        self.places.resize(sane(connections));
    }

    /// How many are taken, and how many there are.
    pub(super) fn taken_of(&self) -> (usize, usize) {
        (self.places.taken(), self.places.most())
    }

    /// The places that nobody has.
    pub(super) fn free(&self) -> &Arc<Semaphore> {
        self.places.free()
    }

    /// A quarter of all, which one peer may take.
    pub(super) fn cap(&self) -> usize {
        (self.places.most() / 4).max(1)
    }

    /// A permit for a connection of this peer; or the peer, if it has as many as it may.
    pub(super) fn peer_permit(self: &Arc<Self>, peer: Peer) -> Result<PeerPermit, PeerNetwork> {
        let Peer::Ip(socket) = peer else { return Ok(PeerPermit::uncapped()) };
        if self.uncapped.contains(socket.ip()) {
            return Ok(PeerPermit::uncapped());
        }
        let peer = PeerNetwork::of(socket.ip());
        let mut taken = self.taken();
        let count = taken.entry(peer).or_default();
        if *count >= self.cap() {
            return Err(peer);
        }
        *count += 1;
        Ok(PeerPermit(Some((Arc::clone(self), peer))))
    }

    /// A permit in place of another one of the same peer that is just being given up.
    pub(super) fn replacing_permit(self: &Arc<Self>, peer: PeerNetwork) -> PeerPermit {
        *self.taken().entry(peer).or_default() += 1;
        PeerPermit(Some((Arc::clone(self), peer)))
    }

    /// How many each peer has.
    fn taken(&self) -> MutexGuard<'_, HashMap<PeerNetwork, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As many as there can be.
fn sane(connections: usize) -> usize {
    connections.clamp(1, Semaphore::MAX_PERMITS)
}

impl Drop for PeerPermit {
    fn drop(&mut self) {
        let Some((places, peer)) = &self.0 else { return };
        let mut taken = places.taken();
        if let Some(count) = taken.get_mut(peer) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                taken.remove(peer);
            }
        }
    }
}

/// The place of one connection among all that may be open; it goes with the stream.
#[derive(Debug)]
pub(super) struct ConnectionPermit {
    of_peer: PeerPermit,
    _permit: OwnedSemaphorePermit,
    _of_worker: TaskTrackerToken,
}

impl ConnectionPermit {
    /// For a connection of the worker whose connections are counted here, upgraded ones included.
    pub(super) fn new(of_worker: &TaskTracker, permit: OwnedSemaphorePermit, of_peer: PeerPermit) -> Self {
        Self { of_peer, _permit: permit, _of_worker: of_worker.token() }
    }

    /// Whose it is, if its peer's places are counted.
    pub(super) fn peer(&self) -> Option<PeerNetwork> {
        self.of_peer.0.as_ref().map(|(_, peer)| *peer)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn peer(address: &str) -> Peer {
        Peer::Ip(SocketAddr::new(address.parse().unwrap(), 1))
    }

    #[test]
    fn a_peer_gets_a_quarter_and_those_in_front_get_all() {
        // AT-SM-25
        let uncapped = UncappedPeers::new(&["192.0.2.0/24".parse().unwrap(), "2001:db8:f::/48".parse().unwrap()]);
        let places = ConnectionLimits::new(8, Arc::clone(&uncapped));
        for (first, second, same) in [
            ("198.51.100.1", "198.51.100.1", true),
            ("198.51.100.2", "198.51.100.3", false),
            // On a socket that listens for both, an IPv4 address is IPv4-mapped.
            ("198.51.100.4", "::ffff:198.51.100.4", true),
            ("2001:db8::1", "2001:db8::ffff:0:0:1", true),
            ("2001:db8:0:1::1", "2001:db8:0:2::1", false),
        ] {
            let permits = [places.peer_permit(peer(first)).unwrap(), places.peer_permit(peer(first)).unwrap()];
            assert_eq!(places.peer_permit(peer(second)).is_err(), same, "{first} {second}");
            drop(permits);
            assert!(places.peer_permit(peer(second)).is_ok(), "{first} {second}");
        }
        for all in [peer("192.0.2.9"), peer("::ffff:192.0.2.9"), peer("2001:db8:f::1"), Peer::Unix] {
            let permits: Vec<_> = (0..8).map(|_| places.peer_permit(all).unwrap()).collect();
            assert!(permits.iter().all(|permit| permit.0.is_none()), "{all:?}");
        }
        assert!(places.taken().is_empty(), "who has no connection is not remembered");
        uncapped.become_these(&[]);
        let _permits = [places.peer_permit(peer("192.0.2.9")).unwrap(), places.peer_permit(peer("192.0.2.9")).unwrap()];
        assert!(places.peer_permit(peer("192.0.2.9")).is_err(), "a reload took it out");
    }

    #[test]
    fn a_peer_gets_one_place_where_there_are_few() {
        let places = ConnectionLimits::new(1, UncappedPeers::new(&[]));
        let _permit = places.peer_permit(peer("192.0.2.1")).unwrap();
        assert!(places.peer_permit(peer("192.0.2.1")).is_err());
        assert!(places.peer_permit(peer("192.0.2.2")).is_ok());
    }
}
