//! `bench-seal KEY_FILE COOKIE_HEADER CLIENT_ID COUNT`: the cookies of COUNT people at `localhost`, one a line, each sealed with the
//! key and like the one session in COOKIE_HEADER but for who it is. For requests whose session no cache can know.

use std::error::Error;
use std::io::{self, BufWriter, Write as _};
use std::sync::Arc;

use serde_json::Value;

use vestibule::clock::SystemClock;
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
    let sealer = SessionSealer::new(&settings, OwnCookies::new(name, &["corp".into()]), vec![client_id], ring);
    let host = Host::parse("localhost", false).ok_or("no host")?;
    let site = Site { provider: 0, host: &host };
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
