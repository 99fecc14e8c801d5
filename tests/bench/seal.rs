//! `bench-seal KEY_FILE COOKIE_HEADER CLIENT_ID COUNT`: the cookies of COUNT people at `localhost`, one a line, each sealed with the
//! key and like the one session in COOKIE_HEADER but for who it is. For requests whose session no cache can know.

use std::error::Error;
use std::io::{self, BufWriter, Write as _};
use std::sync::Arc;

use serde_json::Value;

use vestibule::clock::SystemClock;
use vestibule::config::{Config, Sources};
use vestibule::provider::Provider;
use vestibule::request::cookies::OwnCookies;
use vestibule::request::host::Host;
use vestibule::seal::{KeyRing, parse_key};
use vestibule::session::SessionId;
use vestibule::session::cookie_store::SessionSealer;
use vestibule::session::settings::{CookieSettings, SameSite, TokenKinds};
use vestibule::session::store::Site;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let [Some(key), Some(cookie), Some(client_id), Some(count)] = std::array::from_fn(|_| arguments.next()) else {
        return Err("usage: bench-seal KEY_FILE COOKIE_HEADER CLIENT_ID COUNT".into());
    };
    let key = parse_key(&std::fs::read_to_string(key)?)?;
    let (name, sealed) = cookie
        .split("; ")
        .filter_map(|pair| pair.split_once('='))
        .find(|(name, _)| name.ends_with("vestibule"))
        .ok_or("the header holds no session")?;
    let settings = CookieSettings {
        name: name.to_owned(),
        domain: None,
        secure: false,
        same_site: SameSite::Lax,
        partitioned: false,
    };
    let ring = Arc::new(KeyRing::new(vec![key])?);
    let sealer = SessionSealer::new(&settings, &OwnCookies::new(name, &["corp".into()]), ring);
    let file = CONFIG.replace("CLIENT_ID", &client_id);
    let sources = Sources { file: Some(("seal.toml".to_owned(), file)), ..Sources::default() };
    let provider = Config::load(&sources).map_err(|report| report.render(false))?.providers.remove(0);
    let provider = Arc::new(Provider::new(provider, SystemClock::shared())?);
    let host = Host::parse("localhost", false).ok_or("no host")?;
    let site = Site { provider: &provider, host: &host };
    let now = SystemClock::shared().now();
    let mut session = sealer.open(site, sealed, TokenKinds::ALL, now)?.session;
    let expires = session.access_expires.unwrap_or(now);
    let mut out = BufWriter::new(io::stdout().lock());
    for number in 0..count.parse::<u32>()? {
        session.id = SessionId::random();
        session.claims.insert("name".to_owned(), Value::from(format!("Person {number}")));
        writeln!(out, "{name}={}", sealer.seal(site, &session, expires, now).as_str())?;
    }
    Ok(out.flush()?)
}

/// The provider of the session: of all this, only its name and the client identifier are part of the seal.
const CONFIG: &str = r#"
[server]
listen = "127.0.0.1:0"
public_url = "http://localhost"

[session]
keys = ["a8Jx0W1uQ2m7r5TqP4vYb3nLh6ZsXc9EdF2gKi0oNjM="]

[provider.corp]
issuer = "https://login.example.com/realms/corp"
client_id = "CLIENT_ID"
client_auth = "none"

[route.wiki]
upstream = "static:204"
"#;
