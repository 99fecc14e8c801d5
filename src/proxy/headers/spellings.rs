//! Which header names mean something to a proxy, in every spelling that an application could take for the same.
//!
//! CGI, WSGI, Rack and PHP all fold `-` and `_` (some of them every character that is no letter or digit) into one, so
//! `X_Forwarded_User` is `X-Forwarded-User` to them (CVE-2025-64484, FW-01). Names are compared folded. Most names of most
//! requests are settled by four of their letters and their length alone.

use std::cmp::Ordering;

use http::HeaderName;

pub use crate::proxy::headers::names::Class;
use crate::proxy::headers::names::{FAMILIES, Family};

/// The names, compiled.
pub struct Spellings {
    /// For each slot, a bit for each length that a name of this slot has: what finds no bit is none of the names.
    lengths: Box<[u64; SLOTS]>,
    exact: Vec<(Box<str>, Class)>,
    prefixes: Vec<(&'static str, Class)>,
}

impl Spellings {
    /// The well-known names and the configured ones, which only the gateway may send.
    pub fn new(configured: &[HeaderName]) -> Self {
        let mut exact: Vec<(Box<str>, Class)> =
            PROTOCOL.iter().map(|(name, class)| (Box::from(*name), *class)).collect();
        let configured = configured.iter().map(|name| (folded(name.as_str()), Class::Identity));
        let known = FAMILIES.iter().flat_map(|family| family.names().map(|name| (Box::from(name), family.class)));
        for (name, class) in configured.chain(known) {
            // A configured name keeps its meaning in HTTP; any other meaning it loses.
            if !exact.iter().any(|(known, _)| *known == name) {
                exact.push((name, class));
            }
        }
        exact.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let of = |family: &'static Family| family.prefixes().map(|prefix| (prefix, family.class));
        let mut prefixes: Vec<(&str, Class)> = FAMILIES.iter().flat_map(of).collect();
        prefixes.sort_unstable_by_key(|(prefix, _)| *prefix);
        let mut lengths = Box::new([0; SLOTS]);
        for (name, _) in &exact {
            mark(&mut lengths, name, bit(name.len()));
        }
        for (prefix, _) in &prefixes {
            let longer = !(bit(prefix.len()) - 1);
            mark(&mut lengths, prefix, longer);
            // The fourth letter may lie behind the prefix.
            for next in FOLDED.iter().map(|byte| char::from(*byte)) {
                mark(&mut lengths, &format!("{prefix}{next}"), longer);
            }
        }
        Self { lengths, exact, prefixes }
    }

    /// What the field with this name is. The name is lower-case, as `http` keeps it.
    #[inline]
    pub fn class(&self, name: &str) -> Class {
        let lengths = self.lengths.get(slot(name)).copied().unwrap_or_default();
        if lengths & bit(name.len()) == 0 {
            Class::EndToEnd
        } else {
            of_http(name).unwrap_or_else(|| self.look_up(name))
        }
    }

    /// The class of a name, without the sieve.
    fn look_up(&self, name: &str) -> Class {
        if let Ok(found) = self.exact.binary_search_by(|(known, _)| compare(known, name)) {
            return match self.exact.get(found) {
                // What HTTP defines has one spelling; another is a name like any other to HTTP, but not to every application.
                Some((known, _)) if of_http(known).is_some() => Class::Misspelled,
                Some((_, class)) => *class,
                None => Class::EndToEnd,
            };
        }
        // No prefix is the beginning of another, so that only the last one before the name can be the beginning of it.
        let after = self.prefixes.partition_point(|(prefix, _)| compare(prefix, name) != Ordering::Greater);
        match after.checked_sub(1).and_then(|at| self.prefixes.get(at)) {
            Some((prefix, class)) if begins_with(name, prefix) => *class,
            _ => Class::EndToEnd,
        }
    }
}

/// What usually sets the field of this name, for messages; none where nothing is known to.
pub fn usual_source(name: &str) -> Option<&'static str> {
    let exact = |family: &&Family| family.names().any(|known| compare(known, name) == Ordering::Equal);
    let prefixed = |family: &&Family| family.prefixes().any(|prefix| begins_with(name, prefix));
    let family = FAMILIES.iter().find(exact).or_else(|| FAMILIES.iter().find(prefixed));
    family.map(|family| family.source)
}

/// Whether some application takes these two for one name.
pub fn are_one(a: &HeaderName, b: &HeaderName) -> bool {
    a.as_str().bytes().map(fold).eq(b.as_str().bytes().map(fold))
}

/// Whether this is a field that proxies add to what they pass on, and that clients have no reason to send: whatever a route sends by
/// that name itself.
pub fn is_of_proxies(name: &str) -> bool {
    let addresses = || FAMILIES.iter().filter(|family| family.class == Class::Address);
    name == "via"
        || addresses().flat_map(Family::names).any(|known| compare(known, name).is_eq())
        || addresses().flat_map(Family::prefixes).chain(OF_PROXIES).any(|start| begins_with(name, start))
}

/// The class of a name of HTTP itself. Looked up first: nearly every answer has such names, and finding them here is cheaper than among all.
fn of_http(name: &str) -> Option<Class> {
    PROTOCOL.iter().find(|(known, _)| *known == name).map(|(_, class)| *class)
}

/// Whether the folded name begins so.
fn begins_with(name: &str, prefix: &str) -> bool {
    name.len() >= prefix.len() && name.bytes().take(prefix.len()).map(fold).eq(prefix.bytes())
}

/// The order of a folded name beside a known one.
fn compare(known: &str, name: &str) -> Ordering {
    known.bytes().cmp(name.bytes().map(fold))
}

/// The name as it is compared.
fn folded(name: &str) -> Box<str> {
    name.bytes().map(|byte| char::from(fold(byte))).collect::<String>().into()
}

/// A byte as it is compared.
#[expect(clippy::indexing_slicing, reason = "the table has an entry for every byte")]
fn fold(byte: u8) -> u8 {
    FOLDS[usize::from(byte)]
}

/// The bit of a length.
fn bit(length: usize) -> u64 {
    1 << length.min(63)
}

/// The first four letters, hashed; of names that begin with `x-`, the four that follow.
fn slot(name: &str) -> usize {
    let (salt, telling) = match name.as_bytes() {
        [b'x', mark, rest @ ..] if !mark.is_ascii_alphanumeric() => (1 << 31, rest),
        all => (0, all),
    };
    let letters = match telling {
        [a, b, c, d, ..] => [fold(*a), fold(*b), fold(*c), fold(*d)],
        short => {
            let mut letters = [0; 4];
            letters.iter_mut().zip(short).for_each(|(letter, byte)| *letter = fold(*byte));
            letters
        }
    };
    let hash = (u32::from_be_bytes(letters) | salt).wrapping_mul(SPREAD);
    // The upper bits of a product are the well-mixed ones; ten of them are a slot.
    usize::try_from(hash >> (u32::BITS - SLOTS.ilog2())).unwrap_or_default()
}

/// Notes lengths in the slot of a name.
fn mark(lengths: &mut [u64; SLOTS], name: &str, bits: u64) {
    if let Some(slot) = lengths.get_mut(slot(name)) {
        *slot |= bits;
    }
}

/// What every proxy knows by name, and what frames a message.
const PROTOCOL: [(&str, Class); 16] = [
    ("connection", Class::Connection),
    ("content-encoding", Class::EndToEnd),
    ("content-length", Class::EndToEnd),
    ("content-type", Class::EndToEnd),
    ("expect", Class::Expect),
    ("http2-settings", Class::Hop),
    ("keep-alive", Class::Hop),
    ("max-forwards", Class::MaxForwards),
    ("proxy-connection", Class::Hop),
    ("te", Class::Te),
    ("traceparent", Class::Trace),
    ("tracestate", Class::Trace),
    ("trailer", Class::Trailer),
    ("transfer-encoding", Class::Hop),
    ("upgrade", Class::Hop),
    ("via", Class::Via),
];

/// How further fields begin that proxies add, folded. `CDN-Loop` is that of
/// [RFC 8586](https://www.rfc-editor.org/rfc/rfc8586).
const OF_PROXIES: [&str; 5] = ["forwarded", "x-forwarded", "x-real-", "x-envoy-", "cdn-loop"];

/// Letters in lower case, digits, and a dash for everything else. A table, because every name of every request is folded.
#[expect(clippy::indexing_slicing, reason = "computed while compiling")]
const FOLDS: [u8; 256] = {
    let mut folds = [b'-'; 256];
    let mut byte = 0;
    while byte < 128 {
        if (byte as u8).is_ascii_alphanumeric() {
            folds[byte] = (byte as u8).to_ascii_lowercase();
        }
        byte += 1;
    }
    folds
};
/// Every byte that [`fold`] gives.
const FOLDED: &[u8; 37] = b"-0123456789abcdefghijklmnopqrstuvwxyz";
/// How many slots the sieve has.
const SLOTS: usize = 1024;
/// An odd number under which ordinary names share few slots with the listed ones; found by trying.
const SPREAD: u32 = 0xf2a4_d27b;

#[cfg(test)]
mod tests {
    use super::*;

    /// A name as a client may write it: each dash as some other sign.
    fn spelled(name: &str, sign: char) -> String {
        name.replace('-', &sign.to_string())
    }

    #[test]
    fn every_listed_name_is_known_in_every_spelling() {
        // FW-01
        let names = Spellings::new(&[HeaderName::from_static("x_team"), HeaderName::from_static("x-client-ip")]);
        for family in &FAMILIES {
            let below = family
                .prefixes()
                .flat_map(|prefix| ["", "x", "-x", "9", "user-name"].map(|rest| format!("{prefix}{rest}")));
            // What is below a prefix may be listed by itself; that is another test.
            let below = below.filter(|name| names.exact.iter().all(|(known, _)| **known != **name));
            for name in family.names().map(str::to_owned).chain(below).filter(|name| name != "x-client-ip") {
                for sign in ['-', '_', '.', '!', '~'] {
                    assert_eq!(names.class(&spelled(&name, sign)), family.class, "{name} with {sign}");
                }
                assert_eq!(usual_source(&name), Some(family.source), "{name}");
            }
        }
        for name in ["x_team", "x-team", "x-client-ip", "x_client_ip"] {
            assert_eq!(names.class(name), Class::Identity, "{name}");
        }
    }

    #[test]
    fn what_proxies_add_is_told_from_what_clients_send() {
        // FW-06
        for name in [
            "via",
            "forwarded",
            "x-forwarded-for",
            "x_forwarded_for",
            "x-forwarded",
            "x-forwarded-proto",
            "x-forwarded-host",
            "x-real-ip",
            "x.real.ip",
            "x-client-ip",
            "true-client-ip",
            "cf-connecting-ip",
            "cf_connecting_ipv6",
            "x-envoy-external-address",
            "cdn-loop",
            "x-original-forwarded-for",
            "forwarded-for",
        ] {
            assert!(is_of_proxies(name), "{name}");
        }
        for name in [
            "host",
            "user-agent",
            "accept",
            "cookie",
            "authorization",
            "x-requested-with",
            "x-request-id",
            "traceparent",
            "origin",
            "referer",
            "sec-fetch-mode",
            "sec-websocket-key",
            "upgrade-insecure-requests",
            "content-type",
            "x-csrf-token",
            "dnt",
            "x-api-key",
            "te",
        ] {
            assert!(!is_of_proxies(name), "{name}");
        }
    }

    #[test]
    fn what_frames_a_message_has_one_spelling() {
        let names = Spellings::new(&[HeaderName::from_static("content-type"), HeaderName::from_static("via")]);
        for (name, class) in PROTOCOL {
            assert_eq!(names.class(name), class);
            for sign in ['_', '.'] {
                let class = if name.contains('-') { Class::Misspelled } else { class };
                assert_eq!(names.class(&spelled(name, sign)), class, "{name}");
            }
        }
    }

    #[test]
    fn a_name_is_sifted_out_by_its_letters_only_where_it_is_none_of_them() {
        // The sieve saves work and must not change an answer.
        let names = Spellings::new(&[]);
        let letters = ["x-", "remote", "-", "user", "_", "id", "token", "client", "s", "a", "forwarded", "host", "9"];
        for one in letters {
            for two in letters {
                for three in letters {
                    let name = format!("{one}{two}{three}");
                    assert_eq!(names.class(&name), names.look_up(&name), "{name}");
                }
            }
        }
    }

    #[test]
    fn few_fields_of_ordinary_requests_are_looked_up() {
        let names = Spellings::new(&[]);
        let ordinary = "host user-agent accept accept-language accept-encoding referer cookie dnt priority cache-control pragma \
             sec-fetch-mode sec-fetch-site sec-fetch-dest sec-fetch-user sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform origin \
             upgrade-insecure-requests if-none-match if-modified-since range authorization x-requested-with x-csrf-token \
             content-disposition sec-gpc sec-websocket-key sec-websocket-version sec-websocket-extensions x-api-key";
        let looked_up = |name: &&str| names.lengths[slot(name)] & bit(name.len()) != 0;
        let found: Vec<&str> = ordinary.split_ascii_whitespace().filter(looked_up).collect();
        // A slot may be shared by chance; where many are, choose another `SPREAD`.
        assert!(found.len() <= 4, "{found:?}");
    }
}
