//! How often a request of somebody who is signed in asks for memory. A count, not a time: it is the same on every machine.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests say what they expect by failing"
)]

#[path = "bench/indoors.rs"]
mod indoors;

use indoors::Indoors;

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

const REQUESTS: u64 = 200;
/// Raise these only with a reason that is worth it on every request.
const DECIDING: u64 = 8;
const FORWARDING: u64 = 12;
