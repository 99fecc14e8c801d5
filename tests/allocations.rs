//! How often a request of somebody who is signed in asks for memory. A count, not a time: it is the same on every machine.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests say what they expect by failing"
)]

#[path = "bench/indoors.rs"]
mod indoors;

use indoors::{Indoors, NOW};
use vestibule::clock::SystemClock;
use vestibule::identity::{ClaimMapping, Identity};
use vestibule::proxy::identity_headers::IdentityHeaderSets;
use vestibule::proxy::settings::IdentityHeaderSettings;
use vestibule::session::live::LiveSession;
use vestibule::session::registry::Registry;
use vestibule::session::settings::TokenKinds;
use vestibule::session::weight;
use vestibule::telemetry::metrics::Metrics;

/// Allocations of one exchange on this thread, hyper's included, on average over many.
fn allocations(mut gateway: Indoors) -> u64 {
    let counted = allocation_counter::measure(|| {
        for _ in 0..REQUESTS {
            gateway.exchange();
        }
    });
    counted.count_total / REQUESTS
}

#[test]
fn a_warm_request_stays_within_its_budget() {
    let hyper = allocations(Indoors::hyper().warm("204"));
    let decided = allocations(Indoors::gateway("static:204").warm("204")) - hyper;
    let forwarded = allocations(Indoors::gateway(&indoors::application()).warm("204")) - hyper;
    println!("hyper's server {hyper}; deciding {decided}; deciding and forwarding {forwarded}");
    assert!(decided <= DECIDING, "{decided} allocations to decide about a request");
    assert!(forwarded <= FORWARDING, "{forwarded} allocations to decide about a request and forward it");
}

/// The cache of sessions is bounded in bytes, so what it counts for one must be what one takes: held against what a crowd leaves
/// behind, cache and registry included, with the 16 bytes that an allocator adds to each piece.
#[test]
fn a_session_weighs_what_it_takes() {
    let (gateway, people) = Indoors::crowd(PEOPLE);
    let mut gateway = gateway.warm("204");
    let counted = allocation_counter::measure(|| {
        for request in &people {
            gateway.send(request);
            gateway.exchange();
        }
    });
    let taken = (counted.bytes_current + 16 * counted.count_current) / i64::try_from(PEOPLE).unwrap();
    let weight = i64::try_from(weight()).unwrap();
    println!("a session takes {taken} bytes and weighs {weight}");
    assert!(weight * 10 >= taken * 9 && weight * 10 <= taken * 13, "it takes {taken} bytes and weighs {weight}");
}

fn weight() -> usize {
    let config = indoors::configuration("static:204");
    let (sealer, session) = (indoors::sealer(&config), indoors::session(10));
    let sealed = sealer.seal(indoors::site(), &session, session.ends(&config.session), NOW);
    let wanted = TokenKinds { refresh: true, ..TokenKinds::default() };
    let mut opened = sealer.open(indoors::site(), sealed.as_str(), wanted, NOW).unwrap().session;
    let (name, issuer, claims) = (opened.provider.clone(), opened.issuer.clone(), std::mem::take(&mut opened.claims));
    let identity = Identity::from_claims(name, issuer, claims, &ClaimMapping::default()).unwrap();
    let clock = SystemClock::shared();
    let cell = Registry::new(&clock, &Metrics::new(NOW)).cell(&opened.id);
    let mut sets = IdentityHeaderSets::default();
    sets.add(&IdentityHeaderSettings::named("default").unwrap());
    let headers = sets.render(&identity, None, None);
    weight::of(&LiveSession::new(opened, identity, headers, sealed, indoors::site(), cell, &config.session))
}

const PEOPLE: usize = 2000;
const REQUESTS: u64 = 200;
/// Raise these only with a reason that is worth it on every request.
const DECIDING: u64 = 4;
const FORWARDING: u64 = 8;
