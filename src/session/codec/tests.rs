//! What the codec promises: everything comes back, in few bytes, and nothing broken is believed.

use serde_json::json;

use super::*;
use crate::session::samples::{self, NOW};

fn bare() -> Session {
    Session {
        id: SessionId::from_bytes(*b"0123456789abcdef"),
        provider: "corp".into(),
        issuer: "https://login.example.com".into(),
        created: NOW,
        active: NOW,
        auth_time: None,
        tokens: Tokens::default(),
        access_issued: NOW,
        access_expires: None,
        generation: 0,
        claims: Claims::new(),
        asked: None,
        nonce: None,
        scope: None,
    }
}

fn claims(value: Value) -> Claims {
    let Value::Object(claims) = value else { panic!("no object") };
    claims
}

#[test]
fn a_bare_session_comes_back() {
    let session = bare();
    assert_eq!(decode(&encode(&session), TokenKinds::ALL).as_ref(), Ok(&session));
}

#[test]
fn every_sample_comes_back_byte_for_byte() {
    for sample in samples::all() {
        let session = sample.session();
        assert_eq!(decode(&encode(&session), TokenKinds::ALL).as_ref(), Ok(&session), "set {}", sample.name);
    }
}

#[test]
fn every_field_comes_back_even_at_its_edges() {
    let mut session = bare();
    session.created = UnixTime::from_millis(u64::MAX);
    session.active = UnixTime::from_millis(0);
    session.auth_time = Some(UnixTime::from_millis(1));
    session.access_issued = UnixTime::from_millis(u64::MAX / 2);
    session.access_expires = Some(UnixTime::from_millis(u64::MAX));
    session.generation = u32::MAX;
    session.asked =
        Some(AskedClaims { names: vec!["deep".into(), "\u{e9}".into()], due: Some(UnixTime::from_millis(5)) });
    session.nonce = Some("not a claim".into());
    session.scope = Some(String::new());
    session.tokens.access = Some(Secret::from("opaque \u{e9} token"));
    session.tokens.refresh = Some(Secret::from(""));
    session.tokens.id_token = Some(Secret::from("e30.e30."));
    session.claims = claims(json!({"sub": "a", "deep": {"list": [1, -1, 1.5, null, true]}, "": ""}));
    assert_eq!(decode(&encode(&session), TokenKinds::ALL).as_ref(), Ok(&session));
}

#[test]
fn claims_of_the_id_token_are_not_stored_twice() {
    let mut session = samples::padded().session();
    let alone = encode(&session).len();
    session.claims.insert("from_userinfo".into(), "x".into());
    session.claims.remove("at_hash");
    let changed = encode(&session);
    assert!(changed.len() <= alone + BLOCK, "{} after {alone}", changed.len());
    assert_eq!(decode(&changed, TokenKinds::ALL).unwrap().claims, session.claims);
    session.tokens.id_token = None;
    assert_eq!(decode(&encode(&session), TokenKinds::ALL).unwrap().claims, session.claims);
}

#[test]
fn the_nonce_is_stored_once() {
    let mut session = samples::padded().session();
    let with_claim = encode(&session).len();
    session.nonce = Some(samples::noise(96));
    assert!(encode(&session).len() > with_claim);
    assert_eq!(decode(&encode(&session), TokenKinds::ALL).unwrap().nonce, session.nonce);
}

#[test]
fn length_is_a_multiple_of_64() {
    for len in 0..130 {
        let mut session = bare();
        session.tokens.refresh = Some(Secret::new(samples::noise(len)));
        let bytes = encode(&session);
        assert_eq!(bytes.len() % BLOCK, 0);
        assert_eq!(decode(&bytes, TokenKinds::ALL).as_ref(), Ok(&session));
    }
}

// AT-CS-02, below the seal: no cut and no change makes it panic.
#[test]
fn cut_and_changed_bytes_never_panic() {
    let session = samples::padded().session();
    let bytes = encode(&session);
    for cut in 0..bytes.len() {
        assert_ne!(decode(&bytes[..cut], TokenKinds::ALL).as_ref(), Ok(&session), "cut to {cut}");
    }
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 0x55;
        assert_ne!(decode(&changed, TokenKinds::ALL).as_ref(), Ok(&session), "changed at {at}");
    }
    let mut longer = bytes;
    longer.extend([0; BLOCK]);
    assert_eq!(decode(&longer, TokenKinds::ALL), Err(DecodeError::Malformed));
    assert_eq!(decode(&[], TokenKinds::ALL), Err(DecodeError::Malformed));
    assert_eq!(decode(&[FORMAT + 1, 1], TokenKinds::ALL), Err(DecodeError::Format(FORMAT + 1)));
    assert_eq!(decode(&[FORMAT, 99], TokenKinds::ALL), Err(DecodeError::Dictionary(99)));
}

// AT-CS-17: by our own key, to the highest ratio.
#[test]
fn a_decompression_bomb_stops_at_the_cap() {
    let dictionary = dictionary::numbered(dictionary::CURRENT).unwrap();
    let mut bomb = Vec::with_capacity(1 << 20);
    let mut compress = Compress::new(Compression::best(), false);
    compress.set_dictionary(dictionary).unwrap();
    let zeros = vec![b'0'; 8 << 20];
    assert_eq!(compress.compress_vec(&zeros, &mut bomb, FlushCompress::Finish).unwrap(), Status::StreamEnd);
    assert!(bomb.len() < 10_000);
    // It says how large it is, or lies about it.
    assert_eq!(inflate(&bomb, 8 << 20, dictionary), Err(DecodeError::TooLarge));
    assert_eq!(inflate(&bomb, u32::MAX, dictionary), Err(DecodeError::TooLarge));
    assert_eq!(inflate(&bomb, 1000, dictionary), Err(DecodeError::Deflate));
    assert_eq!(inflate(&[], 1000, dictionary), Err(DecodeError::Deflate));
}

#[test]
fn a_text_beyond_the_cap_is_kept_so_that_the_session_is_too_large_rather_than_unreadable() {
    let mut session = bare();
    session.claims = claims(json!({"sub": "a", "groups": vec!["the same group"; 6000]}));
    let bytes = encode(&session);
    assert!(bytes.len() > INFLATED_MAX);
    assert_eq!(decode(&bytes, TokenKinds::ALL).as_ref(), Ok(&session));
}

// A compressor is used again and again: nothing of one session may reach another's cookie, not even in how it is packed.
#[test]
fn a_text_is_packed_the_same_whatever_was_packed_before() {
    let fresh = |text: &[u8]| std::thread::scope(|scope| scope.spawn(|| deflate(text).into_owned()).join().unwrap());
    let (usual, other) = (samples::padded().id_token, samples::all().remove(0).access);
    let texts =
        [usual.repeat(3), samples::noise(2000), other, String::new(), "a".repeat(60_000), usual, samples::noise(9)];
    for text in texts.iter().chain(texts.iter().rev()) {
        assert_eq!(deflate(text.as_bytes()), fresh(text.as_bytes()));
    }
}

proptest::proptest! {
    #[test]
    fn garbage_is_refused_without_panic(bytes in proptest::collection::vec(0u8.., 0..400)) {
        let mut framed = vec![FORMAT, dictionary::CURRENT];
        framed.extend(&bytes);
        proptest::prop_assert!(decode(&bytes, TokenKinds::ALL).is_err());
        let _ = decode(&framed, TokenKinds::ALL);
    }
}
