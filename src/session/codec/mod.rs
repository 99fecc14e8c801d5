//! The compact binary form of a session, which is what a sealed cookie holds.
//!
//! ```text
//!   format 1 | dictionary 1 | Wire, as postcard writes it | AskedDue, if any claims were asked for | zeros to a multiple of 64 bytes
//!
//!   Wire: id, times, generation, nonce, the tokens' parts, lengths of the text's parts, the deflated text
//!   text: JSON parts of the ID token, access token and refresh token; provider; issuer; scope; claims to set; names of claims to
//!         remove; names of claims that were asked for
//! ```
//!
//! 1. What compresses (claims, names) is one deflated text with a preset dictionary; what is secret or random (signatures,
//!    opaque tokens, ids, the nonce) stands beside it, so that the cookie's length says nothing about a secret. Nothing that
//!    an outsider chooses for somebody else (a return-to, a state) is part of it.
//! 2. Claims that stand in the kept ID token are not stored twice.
//! 3. A change of any of this is a new format number; the golden cookies of the tests say so.

use std::borrow::Cow;
use std::cell::RefCell;

use flate2::{Compress, Compression, Decompress, DecompressError, FlushCompress, FlushDecompress, Status};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::UnixTime;
use crate::identity::Claims;
use crate::provider::AskedClaims;
use crate::secret::Secret;
use crate::session::settings::TokenKinds;
use crate::session::{Session, SessionId, Tokens};

use self::tokens::{INFLATED_MAX, Part};

mod dictionary;
mod tokens;

/// The session as bytes, to be sealed: a multiple of 64 of them.
pub(super) fn encode(session: &Session) -> Vec<u8> {
    let mut text = String::with_capacity(TEXT_USUAL);
    let Tokens { id_token, access, refresh } = &session.tokens;
    let tokens = [split(id_token, &mut text), split(access, &mut text), split(refresh, &mut text)];
    let base = claims_in(&tokens, &text);
    let (extra, removed) = difference(&base, &session.claims);
    let asked = session.asked.iter().flat_map(|asked| asked.names.iter().map(String::as_str));
    let asked = asked.collect::<Vec<_>>().join("\0");
    let nonce_is_claim = session.nonce.is_some() && session.nonce.as_deref() == nonce_claim(&session.claims);
    let mut push = |part: &str| {
        text.push_str(part);
        u32::try_from(part.len()).unwrap_or(u32::MAX)
    };
    let lengths = Lengths {
        provider: push(&session.provider),
        issuer: push(&session.issuer),
        scope: session.scope.as_deref().map(&mut push),
        extra: push(&extra),
        removed: push(&removed),
    };
    push(&asked);
    let wire = Wire {
        id: *session.id.bytes(),
        created: session.created.millis(),
        active: after(session.active, session.created),
        auth_time: session.auth_time.map(|time| after(time, session.created)),
        access_issued: after(session.access_issued, session.created),
        access_expires: session.access_expires.map(|time| after(time, session.access_issued)),
        generation: session.generation,
        nonce_is_claim,
        nonce: session.nonce.as_deref().filter(|_| !nonce_is_claim).map(tokens::pack),
        tokens,
        lengths,
        text_len: u32::try_from(text.len()).unwrap_or(u32::MAX),
        packed: deflate(text.as_bytes()),
    };
    // Only writing to a buffer that is full can fail, and this one grows.
    let mut bytes = postcard::to_extend(&wire, vec![FORMAT, dictionary::CURRENT]).unwrap_or_default();
    if let Some(asked) = &session.asked {
        let due: AskedDue = Some(asked.due.map(|due| after(due, session.created)));
        bytes = postcard::to_extend(&due, bytes).unwrap_or_default();
    }
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes
}

/// The session that [`encode`] made these bytes of, with the `wanted` tokens: putting them together takes as long as all the rest.
/// The bytes have been authenticated; even so nothing in them can make this panic, or use more memory than a fixed cap (AT-CS-17).
///
/// # Errors
/// The bytes are not those of a session, or are in a format that this version does not read.
pub(super) fn decode(bytes: &[u8], wanted: TokenKinds) -> Result<Session, DecodeError> {
    let (&[format, dictionary], body) = bytes.split_first_chunk().ok_or(DecodeError::Malformed)?;
    if format != FORMAT {
        return Err(DecodeError::Format(format));
    }
    let dictionary = dictionary::numbered(dictionary).ok_or(DecodeError::Dictionary(dictionary))?;
    let (wire, rest) = postcard::take_from_bytes::<Wire<'_>>(body).map_err(|_| DecodeError::Malformed)?;
    let (asked, padding) = match rest.first() {
        None | Some(0) => (None, rest),
        Some(_) => postcard::take_from_bytes::<AskedDue>(rest).map_err(|_| DecodeError::Malformed)?,
    };
    if !bytes.len().is_multiple_of(BLOCK) || padding.len() >= BLOCK || padding.iter().any(|byte| *byte != 0) {
        return Err(DecodeError::Malformed);
    }
    let text = inflate(&wire.packed, wire.text_len, dictionary)?;
    restore(&wire, asked, &text, wanted)
}

/// One text, compressed as a session's is: for another value that has to fit into a cookie.
#[derive(Deserialize, Serialize)]
pub(super) struct PackedText {
    dictionary: u8,
    len: u32,
    packed: Vec<u8>,
}

impl PackedText {
    /// Compresses a text.
    pub(super) fn new(text: &str) -> Self {
        let len = u32::try_from(text.len()).unwrap_or(u32::MAX);
        Self { dictionary: dictionary::CURRENT, len, packed: deflate(text.as_bytes()).into_owned() }
    }

    /// The text again.
    ///
    /// # Errors
    /// The bytes are not what [`new`](Self::new) made, or were made with a dictionary that this version does not have.
    pub(super) fn text(&self) -> Result<Cow<'_, str>, DecodeError> {
        let dictionary = dictionary::numbered(self.dictionary).ok_or(DecodeError::Dictionary(self.dictionary))?;
        inflate(&self.packed, self.len, dictionary)
    }
}

/// Why bytes are no session.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DecodeError {
    /// Written by another version of this program.
    #[error("the session is in format {0}, which this version does not read")]
    Format(u8),
    /// Written with a dictionary that this version does not have.
    #[error("the session was compressed with dictionary {0}, which this version does not have")]
    Dictionary(u8),
    /// The fields do not make a session.
    #[error("the session's fields are malformed")]
    Malformed,
    /// The text is larger than a session can be.
    #[error("the session's text would be larger than {INFLATED_MAX} bytes")]
    TooLarge,
    /// The compressed text is broken.
    #[error("the session's text does not inflate to what it should")]
    Deflate,
}

impl DecodeError {
    /// A stable reason for logs and metrics.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Format(_) => "session_format",
            Self::Dictionary(_) => "session_dictionary",
            Self::Malformed => "session_malformed",
            Self::TooLarge => "session_text_too_large",
            Self::Deflate => "session_deflate",
        }
    }
}

/// The fields as postcard writes them, in this order. Times are milliseconds, most of them counted from another one.
#[derive(Deserialize, Serialize)]
struct Wire<'a> {
    id: [u8; 16],
    created: u64,
    active: i64,
    auth_time: Option<i64>,
    access_issued: i64,
    access_expires: Option<i64>,
    generation: u32,
    nonce_is_claim: bool,
    #[serde(borrow)]
    nonce: Option<Part<'a>>,
    #[serde(borrow)]
    tokens: PackedTokens<'a>,
    lengths: Lengths,
    text_len: u32,
    /// As long as the text: the text itself.
    #[serde(borrow, serialize_with = "tokens::as_bytes")]
    packed: Cow<'a, [u8]>,
}

/// Behind the fields, for a session whose claims were partly asked for: when they are due again. Their names are the end of the
/// text, with zeros between them. Nothing at all, for any other session, looks like the padding.
type AskedDue = Option<Option<i64>>;

/// ID token, access token, refresh token.
type PackedTokens<'a> = [Option<PackedToken<'a>>; 3];
/// The parts of a token.
type PackedToken<'a> = Vec<Part<'a>>;

/// How much of the text each part takes, behind the JSON parts of the tokens.
#[derive(Deserialize, Serialize)]
struct Lengths {
    provider: u32,
    issuer: u32,
    scope: Option<u32>,
    /// A JSON object of the claims that are not those of the ID token; empty for none.
    extra: u32,
    /// A JSON list of names that the ID token has and the session has not; empty for none.
    removed: u32,
}

/// The session of these fields.
fn restore(wire: &Wire<'_>, asked: AskedDue, mut text: &str, wanted: TokenKinds) -> Result<Session, DecodeError> {
    let base = claims_in(&wire.tokens, text);
    let text = &mut text;
    let tokens = restore_tokens(&wire.tokens, text, wanted).ok_or(DecodeError::Malformed)?;
    let mut take = |len: u32| tokens::take(text, len).ok_or(DecodeError::Malformed);
    let (provider, issuer) = (take(wire.lengths.provider)?.into(), take(wire.lengths.issuer)?.into());
    let scope = wire.lengths.scope.map(&mut take).transpose()?.map(str::to_owned);
    let (extra, removed) = (take(wire.lengths.extra)?, take(wire.lengths.removed)?);
    let claims = merged(base, extra, removed).ok_or(DecodeError::Malformed)?;
    let nonce = match &wire.nonce {
        Some(part) => tokens::join(std::slice::from_ref(part), &mut ""),
        None if wire.nonce_is_claim => nonce_claim(&claims).map(str::to_owned),
        None => None,
    };
    let created = UnixTime::from_millis(wire.created);
    let access_issued = at(created, wire.access_issued);
    Ok(Session {
        id: SessionId::from_bytes(wire.id),
        provider,
        issuer,
        created,
        active: at(created, wire.active),
        auth_time: wire.auth_time.map(|millis| at(created, millis)),
        tokens,
        access_issued,
        access_expires: wire.access_expires.map(|millis| at(access_issued, millis)),
        generation: wire.generation,
        asked: asked.map(|due| AskedClaims {
            names: text.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
            due: due.map(|millis| at(created, millis)),
        }),
        claims,
        nonce,
        scope,
    })
}

/// In the order in which they stand in the text; `None` where that is too short.
fn restore_tokens(
    [id_token, access, refresh]: &PackedTokens<'_>,
    text: &mut &str,
    wanted: TokenKinds,
) -> Option<Tokens> {
    let mut token = |parts: &Option<PackedToken<'_>>, wanted: bool| match parts {
        None => Some(None),
        Some(parts) if wanted => tokens::join(parts, text).map(|token| Some(Secret::new(token))),
        // Its part of the text goes too.
        Some(parts) => tokens::pass(parts, text).map(|()| None),
    };
    let (id_token, access) = (token(id_token, wanted.id_token)?, token(access, wanted.access)?);
    Some(Tokens { id_token, access, refresh: token(refresh, wanted.refresh)? })
}

/// Takes a token apart, if there is one.
fn split<'a>(token: &'a Option<Secret<String>>, text: &mut String) -> Option<Vec<Part<'a>>> {
    token.as_ref().map(|token| tokens::split(token.expose(), text))
}

/// The claims in the payload of an ID token that is a JWS; none when it is anything else. The ID token is the first of the
/// tokens, so what is its JSON stands at the front of the text, and needs no base64 undone again.
fn claims_in([id_token, ..]: &PackedTokens<'_>, text: &str) -> Claims {
    id_token.as_deref().and_then(|parts| payload_of(parts, text)).unwrap_or_default()
}

/// The claims of a token that is a JWS, without a look at its signature; `None` when it is anything else.
pub(super) fn payload(token: &str) -> Option<Claims> {
    let mut text = String::new();
    let parts = tokens::split(token, &mut text);
    payload_of(&parts, &text)
}

/// The payload among the parts of a JWS, whose JSON stands at the front of the text.
fn payload_of(parts: &[Part<'_>], mut text: &str) -> Option<Claims> {
    let [Part::Json(header), Part::Json(payload), _] = parts else { return None };
    tokens::take(&mut text, *header)?;
    serde_json::from_str(tokens::take(&mut text, *payload)?).ok()
}

/// The nonce among the claims.
fn nonce_claim(claims: &Claims) -> Option<&str> {
    claims.get("nonce").and_then(Value::as_str)
}

/// What makes `claims` of `base`: the claims to set, and the names to remove, as JSON.
fn difference(base: &Claims, claims: &Claims) -> (String, String) {
    let mut extra = claims.clone();
    extra.retain(|name, value| base.get(name) != Some(value));
    let removed: Vec<Value> =
        base.keys().filter(|name| !claims.contains_key(*name)).map(|name| name.as_str().into()).collect();
    let extra = if extra.is_empty() { String::new() } else { Value::Object(extra).to_string() };
    (extra, if removed.is_empty() { String::new() } else { Value::Array(removed).to_string() })
}

/// The other way round.
fn merged(mut base: Claims, extra: &str, removed: &str) -> Option<Claims> {
    if !removed.is_empty() {
        for name in serde_json::from_str::<Vec<String>>(removed).ok()? {
            base.remove(&name);
        }
    }
    if !extra.is_empty() {
        base.extend(serde_json::from_str::<Claims>(extra).ok()?);
    }
    Some(base)
}

/// The text compressed, or as it is where that is no longer. A text beyond the cap of [`inflate`] stays as it is too: such a
/// session is then too large for cookies, instead of one that never opens.
fn deflate(text: &[u8]) -> Cow<'_, [u8]> {
    if text.len() > INFLATED_MAX {
        return text.into();
    }
    let mut packed = Vec::with_capacity(text.len());
    let status = COMPRESS.with_borrow_mut(|compress| {
        // Whatever became of the text before: a reset forgets it.
        compress.reset();
        dictionary::numbered(dictionary::CURRENT)
            .and_then(|dictionary| compress.set_dictionary(dictionary).ok())
            .and_then(|_| compress.compress_vec(text, &mut packed, FlushCompress::Finish).ok())
    });
    // With as much room as the text has, the end is not reached where compressing would not help.
    if status == Some(Status::StreamEnd) && packed.len() < text.len() { packed.into() } else { text.into() }
}

/// The text again.
fn inflate<'a>(packed: &'a [u8], len: u32, dictionary: &[u8]) -> Result<Cow<'a, str>, DecodeError> {
    let len = usize::try_from(len).map_err(|_| DecodeError::TooLarge)?;
    if packed.len() == len {
        return std::str::from_utf8(packed).map(Cow::Borrowed).map_err(|_| DecodeError::Deflate);
    }
    if len > INFLATED_MAX {
        return Err(DecodeError::TooLarge);
    }
    let mut text = Vec::with_capacity(len);
    let (status, read) = DECOMPRESS
        .with_borrow_mut(|decompress| {
            decompress.reset(false);
            decompress.set_dictionary(dictionary)?;
            // It writes no further than the capacity, and must end exactly where the authenticated length says.
            let status = decompress.decompress_vec(packed, &mut text, FlushDecompress::Finish)?;
            Ok((status, decompress.total_in()))
        })
        .map_err(|_: DecompressError| DecodeError::Deflate)?;
    if status != Status::StreamEnd || text.len() != len || usize::try_from(read) != Ok(packed.len()) {
        return Err(DecodeError::Deflate);
    }
    String::from_utf8(text).map(Cow::Owned).map_err(|_| DecodeError::Deflate)
}

thread_local! {
    /// Tables of 350 KiB, of which a reset clears a third and making them anew all. Only threads that ever seal have them.
    static COMPRESS: RefCell<Compress> = RefCell::new(Compress::new(Compression::new(LEVEL), false));
    /// A window of 32 KiB, which takes longer to make than most sessions to inflate.
    static DECOMPRESS: RefCell<Decompress> = RefCell::new(Decompress::new(false));
}

/// How many milliseconds after `start`.
fn after(time: UnixTime, start: UnixTime) -> i64 {
    time.millis().wrapping_sub(start.millis()).cast_signed()
}

/// The moment so many milliseconds after `start`.
fn at(start: UnixTime, millis: i64) -> UnixTime {
    UnixTime::from_millis(start.millis().wrapping_add(millis.cast_unsigned()))
}

/// The format that is written and read.
const FORMAT: u8 = 1;
/// The length of a cookie gives the length of a session away no better than this.
const BLOCK: usize = 64;
/// Level 9 saves two bytes more and costs a tenth more time.
const LEVEL: u32 = 6;
/// Bytes of a usual text.
const TEXT_USUAL: usize = 4096;

#[cfg(test)]
mod tests;
