//! `token inspect`: header, claims and signature of a token.

use std::ffi::OsString;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use serde_json::{Map, Value};

use super::pasted::pasted;
use super::words::{Findings, Shown};
use crate::cli::sources::ConfigSource;
use crate::cli::{ConfigArguments, Exit, Format, ages, complain};
use crate::clock::{Clock as _, SystemClock, UnixTime};
use crate::config::Config;
use crate::provider::settings::ProviderSettings;
use crate::provider::{Provider, ProviderError, printable};

/// How a token is looked at.
#[derive(Args, Clone, Debug)]
pub struct TokenArguments {
    /// The configuration whose provider's keys the signature is verified with; without one it is only decoded.
    #[command(flatten)]
    pub config: ConfigArguments,
    /// The provider that should have signed it. Default: the one whose issuer the token names, or the only one
    #[arg(long, value_name = "NAME")]
    pub provider: Option<String>,
    /// Ask nobody: decode only
    #[arg(long)]
    pub offline: bool,
    /// Show the values of claims about people, too; the signature is never shown
    #[arg(long)]
    pub show_claims: bool,
    /// How it is written
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub format: Format,
    /// Nothing: the token is read from standard input.
    #[arg(hide = true)]
    pub refused: Vec<OsString>,
}

/// Prints what the token on standard input says.
pub(super) fn inspect(arguments: &TokenArguments) -> Exit {
    inspected(arguments).unwrap_or_else(|exit| exit)
}

fn inspected(arguments: &TokenArguments) -> Result<Exit, Exit> {
    let given = pasted("a token", &arguments.refused)?;
    let token = without_scheme(given.expose());
    if token.contains(char::is_whitespace) {
        return Err(Exit::bad_input("this is not one token: there are blanks in it"));
    }
    let now = SystemClock.now();
    let (mut findings, parts) = (Findings::default(), token.split('.').collect::<Vec<_>>());
    findings.part("token");
    let mut exit = Exit::Ok;
    match parts.as_slice() {
        [header, claims, signature] => {
            let (header, claims) = (object(header, "header")?, object(claims, "claims")?);
            let form = if signature.is_empty() { "JWT without a signature" } else { "JWT, signed (JWS)" };
            findings.line("form", form);
            findings.line("length", size(token.len()));
            add_header(&header, &mut findings);
            add_claims(&claims, arguments.show_claims, now, &mut findings);
            findings.part("signature");
            exit = verify(arguments, token, &claims, &mut findings)?;
        }
        [header, _, _, _, _] => {
            let header = object(header, "header")?;
            findings.line("form", "JWT, encrypted (JWE): only who has the key can read its claims");
            findings.line("length", size(token.len()));
            add_header(&header, &mut findings);
        }
        _ => {
            findings.line("form", "opaque: only its issuer knows what it stands for (introspection, userinfo)");
            findings.line("length", size(token.len()));
        }
    }
    match arguments.format {
        Format::Human => findings.say(),
        Format::Json => findings.say_json(),
    }
    Ok(exit)
}

/// As it is copied from a request: `Authorization: Bearer TOKEN`.
fn without_scheme(text: &str) -> &str {
    let strip = |text: &'_ str, start: &str| {
        let head = text.get(..start.len()).filter(|head| head.eq_ignore_ascii_case(start));
        head.map(|_| start.len())
    };
    let text = strip(text, "authorization:").and_then(|at| text.get(at..)).unwrap_or(text).trim_start();
    strip(text, "bearer ").and_then(|at| text.get(at..)).unwrap_or(text).trim_start()
}

fn object(part: &str, name: &str) -> Result<Map<String, Value>, Exit> {
    let bytes = URL_SAFE_NO_PAD.decode(part).ok();
    let object = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    object.ok_or_else(|| {
        Exit::bad_input(format!(
            "this has the dots of a JWT, but its {name} is no JSON object in unpadded base64url: was it copied whole?"
        ))
    })
}

fn size(length: usize) -> Shown {
    Shown::with(length.into(), format!("{length} bytes"))
}

fn add_header(header: &Map<String, Value>, findings: &mut Findings) {
    findings.part("header");
    for (name, value) in header {
        findings.line(name, Shown::foreign(value));
    }
}

/// Times in words; of the rest what is about the token, and only the shape of what is about a person.
fn add_claims(claims: &Map<String, Value>, show: bool, now: UnixTime, findings: &mut Findings) {
    findings.part("claims");
    for (name, value) in claims {
        let time = value.as_f64().filter(|at| TIMES.contains(&name.as_str()) && *at >= 0.0);
        let shown = match time {
            // Fractions are allowed, and say nothing to people.
            Some(at) => Shown::with(value.clone(), told(name, UnixTime::from_secs(at as u64), now)),
            None if show || ABOUT_THE_TOKEN.contains(&name.as_str()) => Shown::foreign(value),
            None => Shown::redacted(value),
        };
        findings.line(name, shown);
    }
}

fn told(name: &str, at: UnixTime, now: UnixTime) -> String {
    let (is_past, relative) = (at <= now, ages::relative(at, now));
    let words = match (name, is_past) {
        ("exp", true) => format!("expired {relative}"),
        ("exp", false) => format!("expires {relative}"),
        ("nbf", true) => format!("valid since {relative}"),
        ("nbf", false) => format!("not valid yet: {relative}"),
        ("iat", true) => format!("issued {relative}"),
        ("auth_time", true) => format!("signed in {relative}"),
        ("iat" | "auth_time", false) => format!("{relative}: compare the clocks"),
        _ => relative,
    };
    format!("{} ({words})", at.rfc3339())
}

/// Verifies the signature where a provider is named, and compares issuer and audience.
fn verify(
    arguments: &TokenArguments,
    token: &str,
    claims: &Map<String, Value>,
    findings: &mut Findings,
) -> Result<Exit, Exit> {
    if arguments.config.config.is_none() && arguments.config.set.is_empty() && arguments.provider.is_none() {
        findings.line("verified", Shown::with(Value::Null, "no: name the configuration of its provider with --config"));
        return Ok(Exit::Ok);
    }
    let (config, _) = ConfigSource::from(arguments.config.clone()).load()?;
    let settings = chosen(&config, arguments.provider.as_deref(), claims)?;
    findings.line("provider", settings.name.to_string());
    let provider = Provider::new(settings.clone(), SystemClock::shared())
        .map_err(|error| Exit::config(format!("provider.{}: {error}", settings.name)))?;
    let exit = if arguments.offline {
        findings.line("verified", Shown::with(Value::Null, "no: --offline"));
        Exit::Ok
    } else {
        signature(provider, token, findings)?
    };
    compare(settings, claims, findings);
    Ok(exit)
}

fn signature(provider: Provider, token: &str, findings: &mut Findings) -> Result<Exit, Exit> {
    let internal = |error: std::io::Error| Exit::internal(format!("the provider cannot be asked: {error}"));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().map_err(internal)?;
    let provider = Arc::new(provider);
    let found = runtime.block_on(provider.signature_of(token));
    // A look-up that hangs in the resolver must not keep the command from ending.
    runtime.shutdown_background();
    Ok(match found {
        Ok(algorithm) => {
            findings.line(
                "verified",
                Shown::with(true.into(), format!("yes, {algorithm}, by a key that the provider publishes now")),
            );
            Exit::Ok
        }
        Err(error @ ProviderError::IdToken(_)) => {
            findings.line("verified", Shown::with(false.into(), format!("NO: {error}")));
            Exit::BadInput
        }
        Err(error) => {
            findings.line("verified", Shown::with(Value::Null, "no: the key set cannot be read"));
            complain(&format!("error: {error}\n"));
            Exit::Unavailable
        }
    })
}

/// The provider that is named, or that the token names, or the only one.
fn chosen<'a>(
    config: &'a Config,
    name: Option<&str>,
    claims: &Map<String, Value>,
) -> Result<&'a ProviderSettings, Exit> {
    let all = &config.providers;
    let names = || all.iter().map(|it| &*it.name).collect::<Vec<_>>().join(", ");
    if let Some(name) = name {
        let found = all.iter().find(|it| &*it.name == name);
        return found.ok_or_else(|| Exit::usage(format!("there is no provider {name}; there are: {}", names())));
    }
    let issuer = claims.get("iss").and_then(Value::as_str).unwrap_or_default();
    let is_named = |it: &&ProviderSettings| {
        Provider::new((*it).clone(), SystemClock::shared()).is_ok_and(|provider| provider.is_named_by(issuer))
    };
    match (all.iter().find(is_named), all.as_slice()) {
        (Some(found), _) | (None, [found]) => Ok(found),
        (None, _) => {
            Err(Exit::usage(format!("the token names no configured issuer: choose one with --provider: {}", names())))
        }
    }
}

fn compare(settings: &ProviderSettings, claims: &Map<String, Value>, findings: &mut Findings) {
    let Ok(provider) = Provider::new(settings.clone(), SystemClock::shared()) else { return };
    let issuer = claims.get("iss").and_then(Value::as_str).map(|iss| match provider.is_named_by(iss) {
        true => "as configured".to_owned(),
        false => format!("another than the configured {}", printable(provider.issuer(), 200)),
    });
    findings.line("issuer", issuer.unwrap_or_else(|| "not named".to_owned()));
    let names_client = |audience: &Value| match audience {
        Value::String(one) => *one == settings.client_id,
        Value::Array(several) => several.iter().any(|one| one.as_str() == Some(&settings.client_id)),
        _ => false,
    };
    let audience = claims.get("aud").map(|audience| match names_client(audience) {
        true => "names this client",
        false => "does not name this client: as an ID token it is refused",
    });
    findings.line("audience", audience.unwrap_or("not named"));
}

/// Claims whose values are times.
const TIMES: [&str; 6] = ["exp", "iat", "nbf", "auth_time", "updated_at", "rat"];
/// Claims that say nothing of a person.
const ABOUT_THE_TOKEN: [&str; 16] = [
    "iss",
    "aud",
    "azp",
    "typ",
    "acr",
    "amr",
    "scope",
    "scp",
    "client_id",
    "cid",
    "token_use",
    "ver",
    "at_hash",
    "c_hash",
    "email_verified",
    "tid",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_taken_as_it_is_copied() {
        for text in ["a.b.c", "Bearer a.b.c", "authorization: bearer  a.b.c", "Authorization:a.b.c"] {
            assert_eq!(without_scheme(text), "a.b.c");
        }
    }

    #[test]
    fn times_are_told_in_words() {
        let (now, at) = (UnixTime::from_secs(10_000), |seconds| UnixTime::from_secs(seconds));
        for (name, time, words) in [
            ("exp", 9_820, "expired 3 min ago"),
            ("exp", 10_180, "expires in 3 min"),
            ("iat", 9_820, "issued 3 min ago"),
            ("iat", 10_180, "compare the clocks"),
            ("nbf", 10_180, "not valid yet: in 3 min"),
            ("auth_time", 9_820, "signed in 3 min ago"),
        ] {
            assert!(told(name, at(time), now).contains(words), "{}", told(name, at(time), now));
        }
    }
}
