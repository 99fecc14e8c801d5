//! `session inspect`: what a session cookie holds, and whether it would be accepted.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::sync::Arc;

use clap::Args;
use http::{HeaderMap, HeaderValue, header};
use serde_json::Value;

use super::pasted::pasted;
use super::words::{Findings, Shown};
use crate::cli::sources::ConfigSource;
use crate::cli::{ConfigArguments, Exit, Format, ages};
use crate::clock::{Clock as _, SystemClock, UnixTime};
use crate::config::Config;
use crate::gateway::settings::HostPattern;
use crate::provider::Provider;
use crate::request::cookies::{CookieScan, OwnCookies};
use crate::request::host::Host;
use crate::seal::{self, KeyRing, OpenError, Sealer};
use crate::session::Session;
use crate::session::cookie_store::SessionSealer;
use crate::session::jar::Jar;
use crate::session::settings::TokenKinds;
use crate::session::store::{LoadError, Site, Stored};

/// How a session is looked at.
#[derive(Args, Clone, Debug)]
pub struct SessionArguments {
    /// The configuration whose keys open it.
    #[command(flatten)]
    pub config: ConfigArguments,
    /// The host that it was sent to, where the configuration names none or many
    #[arg(long)]
    pub host: Option<String>,
    /// How it is written
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub format: Format,
    /// Nothing: the cookie is read from standard input.
    #[arg(hide = true)]
    pub refused: Vec<OsString>,
}

/// Prints what the session on standard input holds; never its tokens.
pub(super) fn inspect(arguments: &SessionArguments) -> Exit {
    inspected(arguments).err().unwrap_or(Exit::Ok)
}

fn inspected(arguments: &SessionArguments) -> Result<(), Exit> {
    let given = pasted("a Cookie header, or the value of a session cookie", &arguments.refused)?;
    let (config, _) = ConfigSource::from(arguments.config.clone()).load()?;
    let reader = Reader::new(&config, arguments.host.as_deref())?;
    let handles = reader.handles(given.expose())?;
    let now = SystemClock.now();
    let mut refusals = BTreeSet::new();
    for (provider, handle) in &handles {
        match reader.open(provider, handle, now) {
            Ok(opened) => {
                let findings = reader.findings(&opened, handle, now);
                match arguments.format {
                    Format::Human => findings.say(),
                    Format::Json => findings.say_json(),
                }
                return Ok(());
            }
            Err(why) => refusals.insert(why),
        };
    }
    let why: Vec<_> = refusals.into_iter().collect();
    Err(Exit::bad_input(format!("no session opens: {}", why.join("; "))))
}

/// Everything that opens a session, as the gateway has it.
struct Reader<'a> {
    config: &'a Config,
    providers: Vec<Arc<Provider>>,
    names: OwnCookies,
    jar: Jar,
    sealer: SessionSealer,
    hosts: Vec<Host>,
}

/// A session that opened.
struct OpenedSession<'a> {
    stored: Stored,
    provider: &'a Arc<Provider>,
    host: &'a Host,
}

impl<'a> Reader<'a> {
    fn new(config: &'a Config, host: Option<&str>) -> Result<Self, Exit> {
        let ring = KeyRing::new(config.keys.clone()).map_err(|error| Exit::config(format!("session.keys: {error}")))?;
        let made = config.providers.iter().enumerate().map(|(place, settings)| {
            let provider = Provider::new(settings.clone(), SystemClock::shared());
            let provider = provider.map_err(|error| Exit::config(format!("provider.{}: {error}", settings.name)))?;
            Ok(Arc::new(provider.at_place(place)))
        });
        let providers = made.collect::<Result<Vec<_>, Exit>>()?;
        let provider_names: Vec<Arc<str>> = providers.iter().map(|it| Arc::clone(it.name())).collect();
        let (cookie, names) = (&config.session.cookie, OwnCookies::new(&config.session.cookie.name, &provider_names));
        let https = config.gateway.public_url.https;
        let hosts = match host {
            Some(host) => vec![host.to_owned()],
            None => known_hosts(config),
        };
        Ok(Self {
            jar: Jar::new(cookie, names.clone()),
            sealer: SessionSealer::new(cookie, &names, Arc::new(ring)),
            providers,
            names,
            config,
            hosts: hosts.iter().filter_map(|host| Host::parse(host, https)).collect(),
        })
    }

    /// The sealed values that were pasted, each with the provider whose it may be.
    fn handles(&self, pasted: &str) -> Result<Vec<(&Arc<Provider>, String)>, Exit> {
        let fields = pasted.lines().map(|line| {
            let is_cookie = line.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("cookie:"));
            if is_cookie { line.get(7..).unwrap_or_default().trim() } else { line.trim() }
        });
        let mut headers = HeaderMap::new();
        for field in fields {
            // A value alone has no name.
            let is_pairs = field.split_once('=').is_some_and(|(name, value)| !name.contains(' ') && !value.is_empty());
            if !is_pairs {
                return Ok(self.providers.iter().map(|provider| (provider, field.to_owned())).collect());
            }
            let value = HeaderValue::from_str(field).map_err(|_| Exit::bad_input("this is no Cookie header"))?;
            headers.append(header::COOKIE, value);
        }
        let scan: CookieScan = self.names.scan(&headers);
        let mut found = Vec::new();
        for provider in &self.providers {
            let handles = self.jar.handles(&scan, provider).unwrap_or_default();
            found.extend(handles.into_iter().map(|handle| (provider, handle.into_owned())));
        }
        if !found.is_empty() {
            return Ok(found);
        }
        Err(Exit::bad_input(if scan.sessions.is_empty() {
            let names: Vec<_> = self.providers.iter().map(|it| self.names.session_name(it.name())).collect();
            format!("there is no session cookie in it; here it is named {}", names.join(" or "))
        } else {
            "the session is split over several cookies that are not all there, or there are more than the gateway looks at"
                .to_owned()
        }))
    }

    /// Tries every host that the configuration knows.
    fn open<'b>(
        &'b self,
        provider: &'b Arc<Provider>,
        handle: &str,
        now: UnixTime,
    ) -> Result<OpenedSession<'b>, String> {
        let mut last = LoadError::Seal(OpenError::Malformed);
        for host in &self.hosts {
            match self.sealer.open(Site { provider, host }, handle, TokenKinds::ALL, now) {
                Ok(stored) => return Ok(OpenedSession { stored, provider, host }),
                Err(error) => last = error,
            }
        }
        let key = Sealer::peek_key(handle).unwrap_or_default();
        Err(match last {
            LoadError::Seal(OpenError::UnknownKey) => format!(
                "it was sealed with key {key}, which is none of `session.keys` ({})",
                self.config.keys.iter().map(seal::fingerprint).collect::<Vec<_>>().join(", ")
            ),
            LoadError::Seal(OpenError::Tampered) => format!(
                "key {key} is here, but the value belongs to another host, provider or client_id, or was not copied whole (hosts tried: {}; name another with --host)",
                self.hosts.iter().map(Host::name).collect::<Vec<_>>().join(", ")
            ),
            LoadError::Seal(error) => error.to_string(),
            LoadError::Decode(error) => error.to_string(),
        })
    }

    fn findings(&self, opened: &OpenedSession<'_>, handle: &str, now: UnixTime) -> Findings {
        let OpenedSession { stored: Stored { session, .. }, provider, host } = opened;
        let mut findings = Findings::default();
        findings.part("session");
        findings.line("id", session.id.short());
        findings.line("provider", session.provider.to_string());
        findings.line("issuer", Shown::foreign(&Value::from(&*session.issuer)));
        findings.line("host", host.to_string());
        findings.line("generation", Shown::with(session.generation.into(), session.generation.to_string()));
        findings.part("times");
        let settings = &self.config.session;
        let mut time = |name: &str, at: Option<UnixTime>| {
            if let Some(at) = at {
                findings.line(name, Shown::with(at.rfc3339().into(), ages::dated(at, now)));
            }
        };
        time("signed in", Some(session.created));
        time("last active", Some(session.active));
        time("proved who they are", session.auth_time);
        time("access token from", Some(session.access_issued));
        time("access token until", session.access_expires);
        time("over unless used", Some(session.ends(settings)));
        time("over in any case", Some(session.absolute_end(settings)));
        self.add_contents(session, provider, handle, &mut findings);
        findings.part("accepted");
        let refusals = self.refusals(opened);
        let verdict = if refusals.is_empty() {
            "yes, unless it was signed out or renewed since: only the running gateway knows"
        } else {
            "no"
        };
        findings.line("would be", Shown::with(refusals.is_empty().into(), verdict));
        if !refusals.is_empty() {
            findings.line("because", refusals.join("; "));
        }
        findings
    }

    fn add_contents(&self, session: &Session, provider: &Provider, handle: &str, findings: &mut Findings) {
        findings.part("contents");
        let key = Sealer::peek_key(handle).unwrap_or_default();
        let place = self.config.keys.iter().position(|known| seal::fingerprint(known) == key).map_or(0, |at| at + 1);
        findings.line("key", format!("{key}, number {place} of session.keys"));
        let lines = self.jar.set_cookies(provider, &handle.into(), &self.names.scan(&HeaderMap::new()), false);
        let (count, bytes) = lines.map_or((0, handle.len()), |lines| {
            let pair = |line: &HeaderValue| line.as_bytes().iter().take_while(|byte| **byte != b';').count();
            (lines.len(), lines.iter().map(pair).sum())
        });
        findings.line(
            "cookies",
            Shown::with(
                serde_json::json!({ "count": count, "bytes": bytes }),
                format!("{count}, {bytes} bytes with their names"),
            ),
        );
        let tokens = &session.tokens;
        let kept = [("access", &tokens.access), ("refresh", &tokens.refresh), ("ID", &tokens.id_token)];
        for (name, token) in kept {
            let told = token
                .as_ref()
                .map_or_else(|| "none".to_owned(), |token| format!("there, {} bytes", token.expose().len()));
            findings.line(&format!("{name} token"), told);
        }
        let names: Vec<&str> = session.claims.keys().map(String::as_str).collect();
        findings.line("claims", Shown::foreign(&Value::from(names.join(", "))));
    }

    /// Why the gateway would not accept it, as far as its configuration tells.
    fn refusals(&self, opened: &OpenedSession<'_>) -> Vec<String> {
        let OpenedSession { stored: Stored { session, lapsed }, provider, .. } = opened;
        let mut why: Vec<String> = lapsed.iter().map(|error| format!("{}: {error}", error.code())).collect();
        let belongs = *provider.name() == session.provider && provider.is_named_by(&session.issuer);
        if !belongs {
            why.push("session_of_another_provider: the provider's name or issuer has changed since".to_owned());
        }
        why
    }
}

fn known_hosts(config: &Config) -> Vec<String> {
    let exact = config.gateway.routes.iter().flat_map(|route| &route.hosts).filter_map(|host| match host {
        HostPattern::Exact(name) => Some(name.clone()),
        HostPattern::Suffix(_) => None,
    });
    std::iter::once(config.gateway.public_url.host().to_owned()).chain(exact).collect()
}
