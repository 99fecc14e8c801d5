//! How many bytes a session takes in a cookie and how long it takes to seal and open one, printed as a table:
//! `cargo test --release -- --ignored --nocapture session_sizes`. Asserts sizes, never times.

use std::hint::black_box;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use serde_json::{Value, json};

use super::samples::{self, NOW, Sample};
use super::settings::TokenKinds;
use super::{Session, Tokens, codec};
use crate::seal::{KeyRing, Purpose, Sealer};
use crate::secret::Secret;

// The issue's own bound: three RS256 tokens of 1.2 KB each in one cookie under 4096 bytes.
#[test]
fn three_rs256_tokens_take_one_cookie() {
    let sample = samples::padded();
    for token in [&sample.id_token, &sample.access, &sample.refresh] {
        assert!((1200..=1215).contains(&token.len()), "{}", token.len());
    }
    let bytes = cookie_bytes(codec::encode(&sample.session()).len());
    assert!(bytes < 2400, "{bytes} bytes");
}

#[test]
#[ignore = "prints a table and takes times"]
fn session_sizes() {
    let samples = samples::all();
    row("", &samples, |sample| sample.name.to_owned());
    row("bytes of tokens", &samples, |sample| sample.len().to_string());
    row("JSON, tokens as strings, no compression", &samples, |s| marked(cookie_bytes(json_of(s).len())));
    row("JSON + deflate 9", &samples, |s| marked(cookie_bytes(deflated(json_of(s).as_bytes()))));
    row("JSON with tokens decoded + deflate 9", &samples, |s| marked(cookie_bytes(deflated(&json_decoded(s)))));
    row("as chosen", &samples, |s| marked(cookie_bytes(codec::encode(&s.session()).len())));
    row("as chosen, before it is padded", &samples, |s| {
        let bytes = codec::encode(&s.session());
        let padding = bytes.iter().rev().take_while(|byte| **byte == 0).count();
        marked(cookie_bytes(bytes.len() - padding))
    });
    row("as chosen, without the ID token's text", &samples, |s| {
        let mut session = s.session();
        session.tokens.id_token = None;
        marked(cookie_bytes(codec::encode(&session).len()))
    });
    row("as chosen, refresh token and claims only", &samples, |s| {
        let mut session = s.session();
        session.tokens = Tokens { refresh: session.tokens.refresh, ..Tokens::default() };
        marked(cookie_bytes(codec::encode(&session).len()))
    });
    let sealer = sealer();
    row("encode, microseconds", &samples, |s| timed(&s.session(), |session| drop(black_box(codec::encode(session)))));
    row("encode and seal, microseconds", &samples, |s| {
        timed(&s.session(), |session| drop(black_box(sealer.seal(&codec::encode(session), later(), NOW))))
    });
    row("decode, microseconds", &samples, |s| {
        let bytes = codec::encode(&s.session());
        timed(&bytes, |bytes| drop(black_box(codec::decode(bytes, TokenKinds::ALL))))
    });
    row("open and decode, microseconds", &samples, |s| {
        let sealed = sealer.seal(&codec::encode(&s.session()), later(), NOW);
        timed(&sealed, |sealed| {
            drop(black_box(codec::decode(&sealer.open(sealed, NOW).unwrap().plaintext, TokenKinds::ALL)));
        })
    });
}

fn row(title: &str, samples: &[Sample], cell: impl Fn(&Sample) -> String) {
    let mut line = format!("| {title:<42} |");
    for sample in samples {
        line.push_str(&format!(" {:>7} |", cell(sample)));
    }
    writeln!(std::io::stdout(), "{line}").unwrap();
}

/// Name, `=`, and base64url of the sealed value.
fn cookie_bytes(payload: usize) -> usize {
    "__Host-vestibule=".len() + ((payload + ENVELOPE) * 4).div_ceil(3)
}

fn marked(bytes: usize) -> String {
    format!("{bytes}{}", if bytes > 4096 { " x" } else { "" })
}

fn json_of(sample: &Sample) -> String {
    let Session { issuer, nonce, scope, .. } = sample.session();
    json!({
        "id": samples::noise(22), "provider": "corp", "issuer": *issuer, "created": NOW.millis(), "active": NOW.millis(),
        "expires": NOW.millis(), "nonce": nonce, "scope": scope, "id_token": sample.id_token, "access": sample.access,
        "refresh": sample.refresh,
    })
    .to_string()
}

fn json_decoded(sample: &Sample) -> Vec<u8> {
    let mut bytes = Vec::new();
    for token in [&sample.id_token, &sample.access, &sample.refresh] {
        for part in token.split('.') {
            bytes.extend(URL_SAFE_NO_PAD.decode(part).unwrap_or_else(|_| part.into()));
        }
    }
    bytes.extend(Value::from(&*sample.issuer).to_string().bytes());
    bytes
}

fn deflated(bytes: &[u8]) -> usize {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap().len()
}

/// The best of several rounds, per operation.
fn timed<T>(input: &T, run: impl Fn(&T)) -> String {
    let best = (0..20)
        .map(|_| {
            let start = Instant::now();
            (0..50).for_each(|_| run(black_box(input)));
            start.elapsed() / 50
        })
        .min()
        .unwrap_or_default();
    format!("{:.1}", best.as_secs_f64() * 1e6)
}

/// What sealing adds: header, nonce and tag.
const ENVELOPE: usize = 11 + 12 + 16;

fn later() -> crate::clock::UnixTime {
    NOW.plus(Duration::from_secs(3600))
}

fn sealer() -> Sealer {
    let ring = KeyRing::new(vec![Secret::new(crate::seal::random())]).unwrap();
    Arc::new(ring).sealer(Purpose::Session, "__Host-vestibule")
}
