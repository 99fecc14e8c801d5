//! `[session.cookie]`.

use super::super::diagnostics::{Code, Diagnostic};
use super::super::file::CookieTable;
use super::super::reading::{Field, Found};
use super::Notes;
use crate::gateway::settings::PublicUrl;
use crate::session::settings::{CookieSettings, SameSite, domain_reaches};

/// `None` where the public URL is not known: nothing can be judged without it.
pub(super) fn cookie(keys: &CookieTable, public_url: Option<&PublicUrl>, notes: &mut Notes) -> Option<CookieSettings> {
    let public_url = public_url?;
    let secure = public_url.https;
    let domain = domain(&keys.domain, host_of(&public_url.authority), notes);
    let name = name(&keys.name, secure, !keys.domain.is_absent(), notes);
    if let Some(found) = keys.same_site.given()
        && found.value == SameSite::None
        && !secure
    {
        let diagnostic =
            Diagnostic::error(Code::Conflict, &found.place, "`session.cookie.same_site` cannot be \"none\" over http");
        notes.note(
            diagnostic
                .reason("browsers refuse such a cookie unless it is Secure")
                .help("write same_site = \"lax\", or serve https"),
        );
    }
    if let Some(Found { value: true, place }) = keys.partitioned.given()
        && !secure
    {
        let diagnostic =
            Diagnostic::error(Code::Conflict, place, "`session.cookie.partitioned` cannot be set over http");
        notes.note(
            diagnostic
                .reason("browsers refuse such a cookie unless it is Secure")
                .help("remove the key, or serve https"),
        );
    }
    Some(CookieSettings {
        name,
        domain,
        secure,
        same_site: keys.same_site.or(SameSite::Lax),
        partitioned: keys.partitioned.or(false),
    })
}

/// The host of an authority, without its port.
pub(super) fn host_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => host,
        _ => authority,
    }
}

fn domain(field: &Field<String>, public_host: &str, notes: &mut Notes) -> Option<String> {
    let found = field.given()?;
    let domain = found.value.trim_start_matches('.').to_ascii_lowercase();
    let address = domain.parse::<std::net::IpAddr>().is_ok() || domain.starts_with('[');
    let flaw = if address {
        Some("it is an address, and cookies of addresses have no domain")
    } else if !domain.contains('.') {
        Some("it is a single label, and browsers refuse cookies for those")
    } else if domain.contains([':', '/', '*', ' ']) {
        Some("it is not a plain domain name")
    } else if !domain_reaches(&domain, public_host) {
        Some("it is neither the host of `server.public_url` nor a domain above it")
    } else {
        None
    };
    if let Some(flaw) = flaw {
        let diagnostic = Diagnostic::error(
            Code::CookieDomain,
            &found.place,
            format!("`session.cookie.domain` cannot be used: {flaw}"),
        );
        notes.note(
            diagnostic
                .reason("browsers would drop the session cookie, and people would sign in without end")
                .help("write the domain that all hosts share, such as \"example.com\", or leave the key out for one sign-in per host"),
        );
        return None;
    }
    Some(domain)
}

/// The prefixes tell the browser to refuse a cookie that another host could have planted (RFC 6265bis section 4.1.3, CK-01, CK-02).
fn name(field: &Field<String>, secure: bool, domain: bool, notes: &mut Notes) -> String {
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
        notes.error(
            Code::CookieName,
            &found.place,
            message,
            "use letters, digits, `-`, `_` and `.`, at most 64 of them",
        );
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
        let diagnostic = Diagnostic::error(
            Code::CookieName,
            &found.place,
            format!("`session.cookie.name` contradicts the cookie's attributes: {why}"),
        );
        let bare = name.trim_start_matches("__Host-").trim_start_matches("__Secure-");
        notes.note(
            diagnostic.reason("browsers would refuse the session cookie").help(format!("write \"{fitting}{bare}\"")),
        );
    } else if secure && !prefixed {
        let diagnostic = Diagnostic::warning(
            Code::CookieName,
            &found.place,
            "`session.cookie.name` has no `__Host-` or `__Secure-` prefix",
        );
        notes.note(
            diagnostic
                .reason("without it, another host of the same site could plant a session cookie here")
                .help(format!("write \"{fitting}{name}\"")),
        );
    }
    name.to_owned()
}

const MAX_NAME: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_cut_from_authorities() {
        assert_eq!(host_of("a.example:8443"), "a.example");
        assert_eq!(host_of("a.example"), "a.example");
        assert_eq!(host_of("[::1]:80"), "[::1]");
        assert_eq!(host_of("[::1]"), "[::1]");
    }
}
