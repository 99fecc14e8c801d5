//! Which header names mean something to a proxy, in every spelling that an application could take for the same.
//!
//! CGI, WSGI, Rack and PHP all fold `-` and `_` (some of them every character that is no letter or digit) into one, so
//! `X_Forwarded_User` is `X-Forwarded-User` to them (CVE-2025-64484, FW-01). Names are compared folded. Most names of most
//! requests are settled by three of their letters and their length alone.

use std::cmp::Ordering;

use http::HeaderName;

/// What a proxy does with a field.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Class {
    /// Nothing.
    EndToEnd,
    /// Only the gateway may say it.
    Ours,
    /// `Connection`.
    Connection,
    /// Another hop-by-hop field.
    Hop,
    /// `TE`.
    Te,
    /// `Via`.
    Via,
    /// `Max-Forwards`.
    MaxForwards,
    /// `Expect`.
    Expect,
    /// `Trailer`.
    Trailer,
    /// `traceparent`, `tracestate`.
    Trace,
}

/// The names, compiled.
pub struct Spellings {
    /// By first byte.
    sieves: [Sieve; 128],
    exact: Vec<(Box<str>, Class)>,
}

impl Spellings {
    /// The well-known names and the configured ones.
    pub fn new(configured: &[HeaderName]) -> Self {
        let ours = OURS.iter().copied().chain(configured.iter().map(HeaderName::as_str));
        let mut exact: Vec<(Box<str>, Class)> =
            PROTOCOL.iter().map(|(name, class)| (Box::from(*name), *class)).collect();
        for name in ours {
            let folded: String = name.bytes().map(|byte| char::from(fold(byte))).collect();
            // A configured name does not stop being what HTTP says it is.
            if !exact.iter().any(|(known, _)| **known == *folded) {
                exact.push((folded.into(), Class::Ours));
            }
        }
        exact.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let mut sieves = [Sieve::default(); 128];
        for (name, _) in &exact {
            mark(&mut sieves, name, bit(name.len()));
        }
        for family in FAMILIES {
            mark(&mut sieves, family, !(bit(family.len()) - 1));
        }
        Self { sieves, exact }
    }

    /// What the field with this name is. The name is lower-case, as `http` keeps it.
    #[inline]
    pub fn class(&self, name: &str) -> Class {
        let first = name.as_bytes().first().map_or(0, |byte| usize::from(*byte));
        match self.sieves.get(first) {
            Some(sieve) if sieve.passes(name) => self.look_up(name),
            _ => Class::EndToEnd,
        }
    }

    fn look_up(&self, name: &str) -> Class {
        if let Ok(found) = self.exact.binary_search_by(|(known, _)| compare(known, name)) {
            // Hop-by-hop fields have one spelling; another is a name like any other to every recipient.
            return match self.exact.get(found) {
                Some((_, Class::Ours)) => Class::Ours,
                Some((known, class)) if **known == *name => *class,
                _ => Class::EndToEnd,
            };
        }
        let folded = || name.bytes().map(fold);
        let is_of = |family: &&str| name.len() > family.len() && folded().take(family.len()).eq(family.bytes());
        if FAMILIES.iter().any(is_of) { Class::Ours } else { Class::EndToEnd }
    }
}

/// Whether a field that only we may send tells of the way here rather than of a person: honest proxies that nobody
/// configured as trusted send these, too.
pub fn is_of_the_way(name: &str) -> bool {
    WAY.iter().any(|known| compare(known, name) == Ordering::Equal)
}

/// What the names with one first byte have in common: whatever does not pass is none of them. A name that passes may still be
/// none of them.
#[derive(Clone, Copy, Default)]
struct Sieve {
    /// A bit for each length that some name has.
    lengths: u64,
    /// The same for the third and fourth bytes.
    third: u64,
    fourth: u64,
}

impl Sieve {
    fn passes(&self, name: &str) -> bool {
        self.lengths & bit(name.len()) != 0 && self.third & letter(name, 2) != 0 && self.fourth & letter(name, 3) != 0
    }
}

fn compare(known: &str, name: &str) -> Ordering {
    known.bytes().cmp(name.bytes().map(fold))
}

fn fold(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' }
}

fn bit(length: usize) -> u64 {
    1 << length.min(63)
}

/// A bit for the byte at a place; several bytes share one, and all that is beyond the end has one, too.
fn letter(name: &str, place: usize) -> u64 {
    1 << (name.as_bytes().get(place).map_or(0, |byte| fold(*byte)) % 64)
}

fn mark(sieves: &mut [Sieve; 128], name: &str, lengths: u64) {
    let first = name.as_bytes().first().map_or(0, |byte| usize::from(*byte));
    if let Some(sieve) = sieves.get_mut(first) {
        sieve.lengths |= lengths;
        sieve.third |= letter(name, 2);
        sieve.fourth |= letter(name, 3);
    }
}

const PROTOCOL: [(&str, Class); 13] = [
    ("connection", Class::Connection),
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

/// Names that only the gateway may use towards an application, folded.
const OURS: [&str; 16] = [
    "client-cert",
    "client-cert-chain",
    "forwarded",
    "gap-auth",
    // "httpoxy": CGI makes HTTP_PROXY of it (CVE-2016-5385).
    "proxy",
    "sm-user",
    "x-client-cert",
    "x-forwarded",
    "x-jwt-assertion",
    // Some frameworks route by these instead of the path that was judged.
    "x-original-uri",
    "x-original-url",
    "x-proxy-roles",
    "x-proxy-user",
    "x-real-ip",
    "x-request-id",
    "x-rewrite-url",
];

/// Those that tell of the way here, folded, and credentials for proxies.
const WAY: [&str; 19] = [
    "forwarded",
    "proxy",
    "proxy-authenticate",
    "proxy-authorization",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-method",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-scheme",
    "x-forwarded-server",
    "x-forwarded-ssl",
    "x-forwarded-uri",
    "x-original-uri",
    "x-original-url",
    "x-real-ip",
    "x-request-id",
    "x-rewrite-url",
];

/// Prefixes of such names, folded: other gateways' identity headers, assertions, client certificates, forwarded fields.
const FAMILIES: [&str; 20] = [
    "cf-access-",
    "proxy-",
    "remote-",
    "ssl-client-",
    "tailscale-",
    "vestibule-",
    "x-amzn-ava-",
    "x-amzn-oidc-",
    "x-auth-request-",
    "x-authentik-",
    "x-client-cert-",
    "x-forwarded-",
    "x-goog-authenticated-user-",
    "x-goog-iap-",
    "x-ms-client-principal",
    "x-pomerium-",
    "x-remote-",
    "x-ssl-client-",
    "x-vestibule-",
    "x-webauth-",
];
