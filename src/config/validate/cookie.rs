//! `[session.cookie]`.

use super::super::file::CookieTable;
use super::{Field, Problems, first_flaw, kinds};
use crate::gateway::settings::PublicUrl;
use crate::session::settings::{CookieSettings, SameSite, domain_reaches};

/// `None` where the public URL is not known: nothing can be judged without it.
pub(super) fn cookie(
    keys: &CookieTable,
    public_url: Option<&PublicUrl>,
    problems: &mut Problems,
) -> Option<CookieSettings> {
    let public_url = public_url?;
    let secure = public_url.https;
    let domain = domain(&keys.domain, public_url.host(), problems);
    let name = name(&keys.name, secure, !keys.domain.is_absent(), problems);
    if !secure {
        let (same_site, partitioned) = (kinds::SAME_SITE_NONE_OVER_HTTP, kinds::PARTITIONED_OVER_HTTP);
        keys.same_site.noted(&SameSite::None, same_site, "cannot be \"none\" over http", problems);
        keys.partitioned.noted(&true, partitioned, "cannot be set over http", problems);
    }
    Some(CookieSettings {
        name,
        domain,
        secure,
        same_site: keys.same_site.or(SameSite::Lax),
        partitioned: keys.partitioned.or(false),
    })
}

/// A domain that browsers take for a cookie, and that reaches the public host.
fn domain(field: &Field<String>, public_host: &str, problems: &mut Problems) -> Option<String> {
    let found = field.given()?;
    let domain = found.value.trim_start_matches('.').to_ascii_lowercase();
    let is_address = domain.parse::<std::net::IpAddr>().is_ok() || domain.starts_with('[');
    let flaw = first_flaw([
        (is_address, "it is an address, and cookies of addresses have no domain"),
        (!domain.contains('.'), "it is a single label, and browsers refuse cookies for those"),
        (domain.contains([':', '/', '*', ' ']), "it is not a plain domain name"),
        (!domain_reaches(&domain, public_host), "it is neither the host of `server.public_url` nor a domain above it"),
    ]);
    if let Some(flaw) = flaw {
        problems.on(kinds::COOKIE_DOMAIN_BAD, found, format!("cannot be used: {flaw}"));
        return None;
    }
    Some(domain)
}

/// The prefixes tell the browser to refuse a cookie that another host could have planted (CK-01, CK-02,
/// [RFC 6265bis section 4.1.3](https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis#section-4.1.3)).
fn name(field: &Field<String>, secure: bool, domain: bool, problems: &mut Problems) -> String {
    let fitting = match (secure, domain) {
        (true, false) => "__Host-",
        (true, true) => "__Secure-",
        (false, _) => "",
    };
    let Some(found) = field.given() else { return format!("{fitting}vestibule") };
    let name = found.value.as_str();
    let token = |b: u8| b.is_ascii_alphanumeric() || b"-_.!#$&'*+^`|".contains(&b);
    if name.len() > MAX_NAME || !name.bytes().all(token) {
        let message = format!("\"{}\" cannot be the name of a cookie", name.escape_default());
        problems.add(kinds::COOKIE_NAME_BAD, &found.place, message);
        return name.to_owned();
    }
    // Browsers compare the prefixes without regard to case.
    let lower = name.to_ascii_lowercase();
    let refused = match lower.as_str() {
        it if it.starts_with("__host-") && !secure => Some("`__Host-` needs https"),
        it if it.starts_with("__host-") && domain => Some("`__Host-` forbids `session.cookie.domain`"),
        it if it.starts_with("__secure-") && !secure => Some("`__Secure-` needs https"),
        _ => None,
    };
    let prefixed = lower.starts_with("__host-") || lower.starts_with("__secure-");
    if let Some(why) = refused {
        let bare = name.trim_start_matches("__Host-").trim_start_matches("__Secure-");
        problems
            .on(kinds::COOKIE_NAME_REFUSED, found, format!("contradicts the cookie's attributes: {why}"))
            .help(format!("write \"{fitting}{bare}\""));
    } else if secure && !prefixed {
        problems
            .on(kinds::COOKIE_NAME_WITHOUT_PREFIX, found, "has no `__Host-` or `__Secure-` prefix")
            .help(format!("write \"{fitting}{name}\""));
    }
    name.to_owned()
}

/// The longest name of a cookie.
const MAX_NAME: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_cut_from_authorities() {
        let host = |text: &str| PublicUrl { https: true, authority: text.to_owned() }.host().to_owned();
        assert_eq!(host("a.example:8443"), "a.example");
        assert_eq!(host("a.example"), "a.example");
        assert_eq!(host("[::1]:80"), "[::1]");
        assert_eq!(host("[::1]"), "[::1]");
    }
}
