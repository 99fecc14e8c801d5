//! What somebody tries who does not ask nicely: another host, large cookies, forged identity headers, and the application's own door.

use http::StatusCode;
use http::header::COOKIE;
use url::Url;

use super::Examination;
use super::faults::Fault;
use super::visitor::{Answer, NoAnswer};
use crate::hex;
use crate::seal;

impl Examination<'_> {
    /// Whoever calls from outside must not choose the host that sign-ins come back to (AT-OR-10).
    pub(super) async fn try_other_host(&mut self, asked: &Url, before: &Answer, leads: &Url) {
        let fields = [
            ("x-forwarded-host", STRANGER.to_owned()),
            ("forwarded", format!("host={STRANGER}")),
            ("x-original-host", STRANGER.to_owned()),
        ];
        let names_stranger = |url: &Url| url.query_pairs().any(|(_, value)| value.contains(STRANGER));
        let message = match self.deployment.opens(asked, &fields).await {
            Ok(answer) => match answer.location() {
                Some(location) if names_stranger(&location) || location.host_str() == Some(STRANGER) => {
                    format!("a client that sends X-Forwarded-Host: {STRANGER} is led there after its sign-in")
                }
                Some(location) if location.host_str() == leads.host_str() => {
                    self.findings.good("host", "what clients say of the host is not believed");
                    return;
                }
                _ if answer.status == StatusCode::MISDIRECTED_REQUEST || answer.status != before.status => format!(
                    "with X-Forwarded-Host: {STRANGER} the answer is {} instead of {}",
                    answer.status.as_u16(),
                    before.status.as_u16()
                ),
                _ => {
                    self.findings.good("host", "what clients say of the host changes nothing");
                    return;
                }
            },
            Err(why) => format!("with X-Forwarded-Host: {STRANGER} there is no answer: {}", why.cause()),
        };
        self.findings.wrong("host", Fault::HostBelieved, message);
    }

    /// A session of several tokens comes as up to 8 KiB of cookies in one field, which common proxies refuse as they are set up.
    pub(super) async fn try_large_cookies(&mut self, asked: &Url, before: &Answer) {
        let cookie = format!("doctor={}", "x".repeat(COOKIES - "doctor=".len()));
        let message = match self.deployment.opens(asked, &[(COOKIE.as_str(), cookie)]).await {
            Ok(answer) if answer.status == before.status => {
                self.findings
                    .good("header buffers", format!("a request with {} KiB of cookies passes", COOKIES / 1024));
                return;
            }
            Ok(answer) => format!(
                "with {} KiB of cookies the answer is {} instead of {}",
                COOKIES / 1024,
                answer.status.as_u16(),
                before.status.as_u16()
            ),
            Err(why) => format!("with {} KiB of cookies there is no answer: {}", COOKIES / 1024, why.cause()),
        };
        self.findings.wrong("header buffers", Fault::HeaderBuffers, message);
    }

    /// An identity that a client sends must not arrive. Only a page that shows what arrived can tell.
    pub(super) async fn try_forged_headers(&mut self, page: &Answer) {
        let mut url = self.arguments.url.clone();
        match &self.arguments.echo {
            Some(path) => match url.join(path) {
                Ok(joined) => url = joined,
                Err(_) => url.set_path(path),
            },
            None if page.status.is_success() => {}
            None => {
                let message = "whether a forged header arrives cannot be seen from outside: name a public page that shows its request headers with --echo PATH";
                self.findings.unseen("forged headers", message);
                return;
            }
        }
        let mark = hex::encode(&seal::random::<8>());
        let fields: Vec<(&'static str, String)> = IDENTITY
            .iter()
            .zip(0..)
            .map(|(name, at): (_, u8)| (*name, format!("doctor-{mark}-{at}@example.invalid")))
            .collect();
        let answer = match self.deployment.opens(&url, &fields).await {
            Ok(answer) if answer.status.is_success() => answer,
            Ok(answer) => {
                let message = format!(
                    "{} answers {}, so nothing can be seen there: --echo names a public page",
                    url.path(),
                    answer.status.as_u16()
                );
                self.findings.unseen("forged headers", message);
                return;
            }
            Err(why) => {
                self.findings.unseen("forged headers", format!("{} is not answered: {}", url.path(), why.cause()));
                return;
            }
        };
        let body = String::from_utf8_lossy(&answer.body);
        let arrived: Vec<&str> =
            fields.iter().filter(|(_, value)| body.contains(value)).map(|(name, _)| *name).collect();
        if !arrived.is_empty() {
            let message = format!("the application gets what a client sends as {}", arrived.join(", "));
            self.findings.wrong("forged headers", Fault::ForgedHeader, message);
        } else if self.arguments.echo.is_some() {
            self.findings.good("forged headers", format!("none of {} arrives at {}", fields.len(), url.path()));
        } else {
            self.findings.unseen(
                "forged headers",
                "the page shows none of them, which says little unless it shows its request headers: --echo PATH",
            );
        }
    }

    /// The application's own address, around the gateway.
    pub(super) async fn go_around(&mut self) {
        let Some(url) = self.arguments.upstream.clone() else {
            self.findings.unseen(
                "application",
                "whether it can be reached around the gateway: name its own address with --upstream URL",
            );
            return;
        };
        let place = url.origin().ascii_serialization();
        match self.elsewhere.opens(&url, &[]).await {
            Ok(answer)
                if answer.location().is_some_and(|to| to.query_pairs().any(|(name, _)| name == "code_challenge")) =>
            {
                self.findings.good("application", format!("{place} asks for a sign-in itself"));
            }
            Ok(answer) => {
                let message = format!(
                    "{place} answers {} from here, without any sign-in: whoever gets there can be anybody",
                    answer.status.as_u16()
                );
                self.findings.wrong("application", Fault::Around, message);
            }
            Err(NoAnswer::Certificate(_)) => {
                let message = format!(
                    "{place} can be reached from here (its certificate is refused here, which an attacker ignores)"
                );
                self.findings.wrong("application", Fault::Around, message);
            }
            Err(NoAnswer::Handshake(why)) => {
                self.findings.good("application", format!("{place} refuses the TLS connection from here: {why}"));
            }
            Err(NoAnswer::Nobody(why)) => {
                self.findings.good("application", format!("{place} cannot be reached from here: {why}"));
            }
        }
    }
}

/// A name that nobody can have ([RFC 2606](https://www.rfc-editor.org/rfc/rfc2606)).
const STRANGER: &str = "doctor.invalid";
const COOKIES: usize = 8 * 1024;
/// Fields in which applications look for who somebody is, in the spellings that gateways forget.
const IDENTITY: [&str; 12] = [
    "x-forwarded-user",
    "x-forwarded-email",
    "x-forwarded-groups",
    "x-forwarded-preferred-username",
    "x_forwarded_user",
    "x-auth-request-user",
    "x-auth-request-email",
    "remote-user",
    "remote_user",
    "x-remote-user",
    "x-webauth-user",
    "x-userinfo",
];
