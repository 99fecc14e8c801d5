//! One pass over the Cookie header: which cookies are ours, and what is left for the application.
//!
//! Names are compared byte for byte (AT-CS-14). What is ours only to a lenient reader (blanks around its name) is neither believed
//! nor passed on. What is not ours reaches the application byte for byte and in order (CK-18).

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use smallvec::SmallVec;

/// The names of our own cookies.
#[derive(Clone, Debug)]
pub struct OwnCookies {
    base: Arc<str>,
    /// As it was before a reload.
    former: Option<Arc<str>>,
    /// The names of the providers, in the order of the configuration: their sessions have one cookie each.
    providers: Arc<[Arc<str>]>,
    rounds: Arc<str>,
}

/// What the Cookie header held.
#[derive(Clone, Debug)]
pub struct CookieScan {
    /// Pieces of session cookies in the order they came; repeated names are all here, because order is not to be trusted (CK-12).
    pub sessions: SmallVec<[SessionPiece; 1]>,
    /// There were more pieces than are looked at, so that the person's own may not be among them (AT-CS-12).
    pub crowded: bool,
    /// Login attempts.
    pub attempts: Vec<AttemptPiece>,
    /// Markers that count rounds of a login loop.
    pub rounds: Vec<CookieText>,
    /// What the application gets to see.
    pub for_upstream: Forward,
}

impl CookieScan {
    /// The value of the only cookie that may be a session of the provider at this place, if it is whole.
    pub fn lone_session(&self, provider: usize) -> Option<&CookieText> {
        let mut pieces = self.sessions.iter().filter(|piece| piece.owner.may_be(provider));
        let first = pieces.next().filter(|piece| piece.chunk.is_none() && !self.crowded)?;
        pieces.next().is_none().then_some(&first.value)
    }
}

/// A session cookie, or a chunk of one.
#[derive(Clone, Debug)]
pub struct SessionPiece {
    /// Whose it is, by its name.
    pub owner: Owner,
    /// Number of the chunk, from 1; `None` for a whole cookie.
    pub chunk: Option<u8>,
    /// Its value.
    pub value: CookieText,
}

/// Whose session a cookie is by its name. The names depend on whether there are several providers: where one was added or
/// removed, browsers still hold cookies under the other name, which open as well.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Owner {
    /// The provider at this place among those that the names are for.
    Provider(usize),
    /// The same, which had others beside it when the cookie was set.
    Formerly(usize),
    /// The one provider that there was when the cookie was set: only opening it shows which.
    Unnamed,
}

impl Owner {
    /// Whether the cookie may be a session of the provider at this place.
    pub fn may_be(self, provider: usize) -> bool {
        match self {
            Self::Provider(known) | Self::Formerly(known) => known == provider,
            Self::Unnamed => true,
        }
    }
}

/// The cookie of a login attempt.
#[derive(Clone, Debug)]
pub struct AttemptPiece {
    /// The attempt's identifier: 8 to 16 characters of the base64url alphabet.
    pub id: CookieText,
    /// Its value.
    pub value: CookieText,
}

/// What becomes of the Cookie header on its way to the application.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Forward {
    /// It stays as it is: there is none, or a single one without any cookie of ours.
    Unchanged,
    /// It is removed: all cookies were ours.
    Nothing,
    /// It is replaced by this: the others' cookies, several fields joined into one (PX-45).
    Value(HeaderValue),
}

/// A part of a Cookie header, without a copy of it.
#[derive(Clone)]
pub struct CookieText {
    field: HeaderValue,
    range: Range<usize>,
}

impl CookieText {
    /// The bytes, for a look-up.
    pub fn as_bytes(&self) -> &[u8] {
        self.field.as_bytes().get(self.range.clone()).unwrap_or_default()
    }

    /// The text; empty where the bytes are no UTF-8, which no value of ours is.
    pub fn as_str(&self) -> &str {
        str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

impl std::fmt::Debug for CookieText {
    /// The values are credentials.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{} bytes]", self.range.len())
    }
}

impl OwnCookies {
    /// The names for these providers, in the order of the configuration.
    pub fn new(base: &str, providers: &[Arc<str>]) -> Self {
        Self { base: base.into(), former: None, providers: providers.into(), rounds: format!("{base}.rounds").into() }
    }

    /// The same after a reload: login attempts that began under the names of before are found, and no application gets to see what
    /// else has those names.
    #[must_use]
    pub fn after(self, before: &Self) -> Self {
        let former = if before.base == self.base { before.former.clone() } else { Some(Arc::clone(&before.base)) };
        Self { former: former.filter(|former| *former != self.base), ..self }
    }

    /// The session cookie of the provider of this name.
    pub fn session_name(&self, provider: &str) -> Cow<'_, str> {
        if self.is_alone() { Cow::Borrowed(&self.base) } else { self.name_among_several(provider).into() }
    }

    /// Chunk `number`, from 1, of the session cookie of the provider of this name.
    pub fn chunk_name(&self, provider: &str, number: u8) -> String {
        format!("{}~{number}", self.session_name(provider))
    }

    /// A cookie as it was named that [`scan`](Self::scan) found and that [may be](Owner::may_be) of the provider of this name: a
    /// whole one, or a chunk.
    pub fn found_name(&self, provider: &str, owner: Owner, chunk: Option<u8>) -> String {
        let name = match owner {
            Owner::Provider(_) => self.session_name(provider),
            Owner::Formerly(_) => self.name_among_several(provider).into(),
            Owner::Unnamed => Cow::Borrowed(&*self.base),
        };
        chunk.map_or_else(|| name.to_string(), |number| format!("{name}~{number}"))
    }

    /// The name of the cookies that are not of one provider.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Whether there is one provider only, whose session cookie does not name it.
    fn is_alone(&self) -> bool {
        self.providers.len() == 1
    }

    /// The session cookie of a provider that is not the only one.
    fn name_among_several(&self, provider: &str) -> String {
        format!("{}-{provider}", self.base)
    }

    /// The cookie of a login attempt.
    pub fn attempt_name(&self, id: &str) -> String {
        format!("{}.login.{id}", self.base)
    }

    /// The cookie that counts rounds of a login loop.
    pub fn rounds_name(&self) -> &str {
        &self.rounds
    }

    /// Whether a cookie of this name is ours: an application cannot set it (CK-19), and does not get to see it.
    pub fn is_ours(&self, name: &str) -> bool {
        self.recognise(name.as_bytes().trim_ascii()).is_some()
    }

    /// Reads all Cookie fields.
    pub fn scan(&self, headers: &HeaderMap) -> CookieScan {
        let mut scan = CookieScan {
            sessions: SmallVec::new(),
            crowded: false,
            attempts: Vec::new(),
            rounds: Vec::new(),
            for_upstream: Forward::Unchanged,
        };
        let is_joined = headers.get_all(COOKIE).iter().nth(1).is_some();
        let mut rest = Rest { is_other: is_joined, ..Rest::default() };
        for (number, field) in headers.get_all(COOKIE).iter().enumerate() {
            let bytes = field.as_bytes();
            let mut start = 0;
            while start <= bytes.len() {
                let end = find(bytes, start, b';').unwrap_or(bytes.len());
                let is_own = self.scan_pair(field, start..end, &mut scan);
                if is_own && !rest.is_other {
                    rest.differ_from(bytes, start);
                } else if !is_own && rest.is_other {
                    rest.keep(bytes, start..bytes.len().min(end + 1), number);
                }
                start = end + 1;
            }
        }
        scan.for_upstream = rest.into_forward();
        scan
    }

    /// Whether the pair is one of ours; noted down if it is exactly so.
    fn scan_pair(&self, field: &HeaderValue, pair: Range<usize>, scan: &mut CookieScan) -> bool {
        let text = field.as_bytes().get(pair.clone()).unwrap_or_default();
        let lead = text.iter().take_while(|b| is_blank(**b)).count();
        let is_base = |base: &Arc<str>| text.get(lead..).is_some_and(|text| text.starts_with(base.as_bytes()));
        // Nearly every cookie of others leaves here.
        if !is_base(&self.base) && !self.former.as_ref().is_some_and(is_base) {
            return false;
        }
        let equals = find(text, lead, b'=').unwrap_or(text.len());
        let name = text.get(lead..equals).unwrap_or_default();
        let Some(own) = self.recognise(name.trim_ascii()) else {
            return false;
        };
        let exact =
            lead <= 1 && text.first() != Some(&b'\t') && name.trim_ascii().len() == name.len() && equals < text.len();
        let value_start = pair.start + equals + 1;
        let value_end = pair.start + text.len() - text.iter().rev().take_while(|b| is_blank(**b)).count();
        if exact && value_start <= value_end {
            let part = |range| CookieText { field: field.clone(), range };
            let value = part(value_start..value_end);
            match own {
                Own::Session(owner, chunk) => {
                    if scan.sessions.len() >= MOST_PIECES {
                        scan.crowded = true;
                        scan.sessions.remove(0);
                    }
                    scan.sessions.push(SessionPiece { owner, chunk, value });
                }
                Own::Attempt(length) => {
                    let name_end = pair.start + equals;
                    let id = part(name_end - length..name_end);
                    push_newest(&mut scan.attempts, MOST_ATTEMPTS, AttemptPiece { id, value });
                }
                Own::Rounds => push_newest(&mut scan.rounds, MOST_ROUNDS, value),
                Own::Stale => {}
            }
        }
        true
    }

    /// What the cookie of this name is; none for those of others.
    fn recognise(&self, name: &[u8]) -> Option<Own> {
        self.recognise_present(name).or_else(|| self.recognise_former(name))
    }

    /// The same for names of before a reload.
    fn recognise_former(&self, name: &[u8]) -> Option<Own> {
        let suffix = name.strip_prefix(self.former.as_ref()?.as_bytes())?;
        match suffix.strip_prefix(b".login.") {
            Some(id) => Some(attempt(id)),
            None => matches!(suffix, [] | [b'~' | b'-', ..] | b".rounds").then_some(Own::Stale),
        }
    }

    /// The same for names of now.
    fn recognise_present(&self, name: &[u8]) -> Option<Own> {
        let suffix = name.strip_prefix(self.base.as_bytes())?;
        if suffix == b".rounds" {
            return Some(Own::Rounds);
        }
        if let Some(id) = suffix.strip_prefix(b".login.") {
            return Some(attempt(id));
        }
        let tilde = suffix.iter().rposition(|b| *b == b'~');
        let (session, number) = match tilde.and_then(|at| suffix.split_at_checked(at)) {
            Some((session, number)) => (session, Some(chunk_number(number.get(1..)?)?)),
            None => (suffix, None),
        };
        let owner = match session {
            [] if self.is_alone() => Owner::Provider(0),
            // As it was named before a provider was added or removed.
            [] => Owner::Unnamed,
            [b'-', provider @ ..] => {
                let place = self.providers.iter().position(|known| known.as_bytes() == provider)?;
                // The same.
                if self.is_alone() { Owner::Formerly(place) } else { Owner::Provider(place) }
            }
            _ => return None,
        };
        Some(Own::Session(owner, number))
    }
}

/// What a cookie with a name of ours is.
enum Own {
    Session(Owner, Option<u8>),
    Attempt(usize),
    Rounds,
    Stale,
}

/// The cookie of a login attempt, by what stands behind its prefix.
fn attempt(id: &[u8]) -> Own {
    let is_id =
        (8..=16).contains(&id.len()) && id.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if is_id { Own::Attempt(id.len()) } else { Own::Stale }
}

/// Canonical numbers only, so that one chunk has one name.
fn chunk_number(digits: &[u8]) -> Option<u8> {
    match digits {
        [b'1'..=b'9'] | [b'1'..=b'9', b'0'..=b'9'] => str::from_utf8(digits).ok()?.parse().ok(),
        _ => None,
    }
}

/// What is left for the application: the cookies of others, each with the separator that stood behind it.
#[derive(Default)]
struct Rest {
    /// Nothing as long as it is the one field that came: then nothing is copied.
    bytes: Vec<u8>,
    /// The number of the field that the last of them was in.
    field: Option<usize>,
    /// Whether it is anything else than the one field that came.
    is_other: bool,
}

impl Rest {
    /// At `start` of the only field stands the first cookie that is not left.
    fn differ_from(&mut self, field: &[u8], start: usize) {
        self.is_other = true;
        if start > 0 {
            self.keep(field, 0..start, 0);
        }
    }

    /// Keeps a part of a field: cookies that stand there one behind the other.
    fn keep(&mut self, bytes: &[u8], part: Range<usize>, field: usize) {
        let (leads, is_behind, left) = (self.field != Some(field), part.start > 0, bytes.len() - part.start);
        let cookies = bytes.get(part).unwrap_or_default();
        // The blank belonged to a separator that went with our cookie.
        let cookies = if leads && is_behind { cookies.strip_prefix(b" ").unwrap_or(cookies) } else { cookies };
        if cookies.iter().all(|byte| is_blank(*byte)) {
            return;
        }
        if leads {
            // One allocation for all that may come of the field; and none for copies of the value, as some of it stays unused.
            self.bytes.reserve(left + 2);
            if !self.bytes.is_empty() {
                drop_separator(&mut self.bytes);
                self.bytes.extend_from_slice(b"; ");
            }
        }
        self.field = Some(field);
        self.bytes.extend_from_slice(cookies);
    }

    /// What the application gets.
    fn into_forward(mut self) -> Forward {
        if !self.is_other {
            return Forward::Unchanged;
        }
        drop_separator(&mut self.bytes);
        if self.bytes.iter().all(|byte| is_blank(*byte) || *byte == b';') {
            return Forward::Nothing;
        }
        // Parts of valid values, joined by "; ", are a valid value; the other arm cannot be reached, and shows nothing.
        HeaderValue::from_maybe_shared(Bytes::from(self.bytes)).map_or(Forward::Nothing, Forward::Value)
    }
}

/// Behind the last cookie there is nothing to separate.
fn drop_separator(bytes: &mut Vec<u8>) {
    if bytes.ends_with(b";") {
        bytes.pop();
    }
}

/// The next place of a byte.
fn find(bytes: &[u8], from: usize, wanted: u8) -> Option<usize> {
    memchr::memchr(wanted, bytes.get(from..)?).map(|offset| from + offset)
}

/// A blank or a tab.
fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// Browsers send what they were given last at the end
/// ([RFC 6265 section 5.4](https://www.rfc-editor.org/rfc/rfc6265#section-5.4)): what we set a moment ago is never among the pieces that a bomb of
/// old ones crowds out.
fn push_newest<T>(pieces: &mut Vec<T>, most: usize, piece: T) {
    if pieces.len() >= most {
        pieces.remove(0);
    }
    pieces.push(piece);
}

/// AT-CS-15: a cookie bomb is scanned once, and not kept.
const MOST_PIECES: usize = 32;
/// A browser that opens all of last week's tabs at once starts an attempt in each, and may come back with any of them (AT-LF-19).
const MOST_ATTEMPTS: usize = 128;
/// Markers of a login loop that are looked at.
const MOST_ROUNDS: usize = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BASE: &str = "__Host-vestibule";

    fn one() -> OwnCookies {
        OwnCookies::new(BASE, &["corp".into()])
    }

    fn two() -> OwnCookies {
        OwnCookies::new(BASE, &["corp".into(), "corp-b".into()])
    }

    fn headers(fields: &[&str]) -> HeaderMap {
        fields.iter().map(|field| (COOKIE, HeaderValue::from_bytes(field.as_bytes()).unwrap())).collect()
    }

    fn pieces(scan: &CookieScan) -> Vec<(usize, Option<u8>, &str)> {
        let index = |owner| if let Owner::Provider(index) = owner { index } else { panic!("{owner:?}") };
        scan.sessions.iter().map(|p| (index(p.owner), p.chunk, p.value.as_str())).collect()
    }

    fn forwarded(fields: &[&str]) -> Forward {
        two().scan(&headers(fields)).for_upstream
    }

    fn value(text: &str) -> Forward {
        Forward::Value(HeaderValue::from_bytes(text.as_bytes()).unwrap())
    }

    #[test]
    fn names_follow_the_number_of_providers() {
        assert_eq!((one().session_name("corp"), &*one().chunk_name("corp", 2)), (BASE.into(), "__Host-vestibule~2"));
        assert_eq!(
            (two().session_name("corp-b"), &*two().chunk_name("corp-b", 1)),
            ("__Host-vestibule-corp-b".into(), "__Host-vestibule-corp-b~1")
        );
        assert_eq!(one().attempt_name("abcdefgh"), "__Host-vestibule.login.abcdefgh");
        for own in [one(), two()] {
            for name in [
                own.session_name("corp").into_owned(),
                own.chunk_name("corp", 3),
                own.attempt_name("abcd-_12"),
                own.rounds_name().to_owned(),
            ] {
                assert!(own.is_ours(&name), "{name}"); // CK-19
            }
        }
    }

    #[test]
    fn our_cookies_are_found_in_one_pass() {
        let scan = two().scan(&headers(&[
            "a=1; __Host-vestibule-corp=AAA; __Host-vestibule-corp-b~1=B1; __Host-vestibule-corp-b~2=B2; \
             __Host-vestibule.login.abcdefgh=att; __Host-vestibule.rounds=2; z=26",
        ]));
        assert_eq!(pieces(&scan), [(0, None, "AAA"), (1, Some(1), "B1"), (1, Some(2), "B2")]);
        assert_eq!((scan.attempts[0].id.as_str(), scan.attempts[0].value.as_str()), ("abcdefgh", "att"));
        assert_eq!(scan.rounds[0].as_str(), "2");
        assert_eq!(scan.for_upstream, value("a=1; z=26"));
    }

    #[test]
    fn repeated_names_are_all_kept() {
        // CK-12, AT-CS-12: whoever opens them decides, not their order
        let scan = one().scan(&headers(&["__Host-vestibule=planted; __Host-vestibule=real", "__Host-vestibule=third"]));
        assert_eq!(pieces(&scan), [(0, None, "planted"), (0, None, "real"), (0, None, "third")]);
        assert_eq!(scan.for_upstream, Forward::Nothing);
    }

    #[test]
    fn names_are_compared_byte_for_byte() {
        // AT-CS-14
        for field in [
            "__host-vestibule=x",
            "__HOST-VESTIBULE=x",
            "%5F_Host-vestibule=x",
            "__Host-vestibule2=x",
            "__Host-vestibule-other=x",
            "x__Host-vestibule=x",
            "__Host-vestibule%=x",
        ] {
            let scan = one().scan(&headers(&[field]));
            assert!(scan.sessions.is_empty() && scan.for_upstream == Forward::Unchanged, "{field}");
        }
        // Ours to a reader that trims: not believed, and not shown to the application either.
        for field in [
            "a=1;  __Host-vestibule=x",
            "a=1;\t__Host-vestibule=x",
            "a=1; __Host-vestibule =x",
            "a=1; __Host-vestibule\t=x",
            "a=1; __Host-vestibule",
        ] {
            let scan = one().scan(&headers(&[field]));
            assert!(scan.sessions.is_empty(), "{field:?}");
            assert_eq!(scan.for_upstream, value("a=1"), "{field:?}");
        }
    }

    #[test]
    fn stale_and_odd_names_of_ours_are_not_shown_to_the_application() {
        // AT-CS-20
        for field in ["__Host-vestibule.login.short=x", "__Host-vestibule.login.=x"] {
            let scan = two().scan(&headers(&[field]));
            assert!(
                scan.sessions.is_empty() && scan.attempts.is_empty() && scan.for_upstream == Forward::Nothing,
                "{field}"
            );
        }
        for name in [
            "__Host-vestibule~0",
            "__Host-vestibule~01",
            "__Host-vestibule~100",
            "__Host-vestibule~",
            "__Host-vestibule~x",
        ] {
            assert!(!one().is_ours(name), "{name}");
        }
    }

    #[test]
    fn names_of_before_a_provider_came_or_went_are_known() {
        for (own, field, owner, chunk) in [
            (two(), "__Host-vestibule", Owner::Unnamed, None),
            (two(), "__Host-vestibule~2", Owner::Unnamed, Some(2)),
            (one(), "__Host-vestibule-corp", Owner::Formerly(0), None),
            (one(), "__Host-vestibule-corp~1", Owner::Formerly(0), Some(1)),
        ] {
            let scan = own.scan(&headers(&[&format!("{field}=x")]));
            assert_eq!((scan.sessions[0].owner, scan.sessions[0].chunk), (owner, chunk), "{field}");
            assert_eq!(own.found_name("corp", owner, chunk), field);
            assert_eq!(scan.for_upstream, Forward::Nothing);
            assert!(scan.sessions[0].owner.may_be(0));
        }
    }

    #[test]
    fn attempts_under_the_name_of_before_a_reload_are_found() {
        let secure = || OwnCookies::new("__Secure-vestibule", &["corp".into()]);
        let field = "a=1; __Host-vestibule.login.abcdefgh=att; __Host-vestibule=x; __Host-vestibule~1=x; __Host-vestibule.rounds=1";
        for own in [secure().after(&one()), secure().after(&secure().after(&one()))] {
            let scan = own.scan(&headers(&[field]));
            assert_eq!((scan.attempts[0].id.as_str(), scan.attempts[0].value.as_str()), ("abcdefgh", "att"));
            assert!(scan.sessions.is_empty() && scan.rounds.is_empty() && scan.for_upstream == value("a=1"));
        }
        assert_eq!(secure().scan(&headers(&[field])).for_upstream, Forward::Unchanged);
        assert!(one().after(&secure().after(&one())).former.is_some());
        assert!(one().after(&one()).former.is_none());
    }

    #[test]
    fn cookies_of_others_pass_byte_for_byte_and_in_order() {
        // CK-18, AT-CS-20
        for (field, left) in [
            ("__Host-vestibule-corp=x; b=2", value("b=2")),
            ("a=1; __Host-vestibule-corp=x", value("a=1")),
            (
                "a=1; __Host-vestibule-corp=x; b=2;c=\"q q\" ;  d=\u{e9}==; e",
                value("a=1; b=2;c=\"q q\" ;  d=\u{e9}==; e"),
            ),
            ("a=1;__Host-vestibule-corp=x;b=2", value("a=1;b=2")),
            ("a=1; __Host-vestibule-corp=x; __Host-vestibule-corp=y; a=1", value("a=1; a=1")),
            ("a=1; __Host-vestibule-corp=x;", value("a=1")),
            ("__Host-vestibule-corp=x;", Forward::Nothing),
            ("__Host-vestibule-corp=x; __Host-vestibule.rounds=1", Forward::Nothing),
            ("a=1;; b", Forward::Unchanged),
            ("", Forward::Unchanged),
        ] {
            assert_eq!(forwarded(&[field]), left, "{field:?}");
        }
        assert_eq!(forwarded(&[]), Forward::Unchanged);
    }

    #[test]
    fn several_cookie_fields_are_joined() {
        // PX-45
        assert_eq!(forwarded(&["a=1", "b=2", "c=3"]), value("a=1; b=2; c=3"));
        assert_eq!(forwarded(&["a=1;", "__Host-vestibule-corp=x", "b=2"]), value("a=1; b=2"));
        assert_eq!(forwarded(&["__Host-vestibule-corp=x", "__Host-vestibule-corp~1=y"]), Forward::Nothing);
    }

    #[test]
    fn a_cookie_bomb_is_not_kept() {
        // AT-CS-15
        let bomb = "__Host-vestibule=x; __Host-vestibule.login.abcdefgh=y; ".repeat(3000);
        let scan = one().scan(&headers(&[&bomb]));
        assert_eq!(
            (scan.sessions.len(), scan.attempts.len(), scan.for_upstream),
            (MOST_PIECES, MOST_ATTEMPTS, Forward::Nothing)
        );
    }

    #[test]
    fn debug_shows_no_values() {
        let scan = one().scan(&headers(&["__Host-vestibule=hunter2"]));
        assert!(!format!("{:?}", scan.sessions).contains("hunter2"));
    }

    #[test]
    fn long_values_are_found_whole() {
        let long = "x".repeat(3000);
        let scan = one().scan(&headers(&[&format!("a={long}; __Host-vestibule={long}; b={long}")]));
        assert_eq!(pieces(&scan), [(0, None, long.as_str())]);
        assert_eq!(scan.for_upstream, value(&format!("a={long}; b={long}")));
    }

    proptest! {
        /// CK-18: against the plain reading, cookie by cookie.
        #[test]
        fn what_is_left_is_what_was_not_ours(cookies in proptest::collection::vec(("(__Host-vestibule|a|__Host-vestibule~1|bc)", "[a-z=\"]{0,4}"), 1..8)) {
            let pairs: Vec<String> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let scan = one().scan(&headers(&[&pairs.join("; ")]));
            let kept: Vec<&str> = pairs.iter().map(String::as_str).filter(|p| !p.starts_with(BASE)).collect();
            let expected = match kept.len() {
                n if n == pairs.len() => Forward::Unchanged,
                0 => Forward::Nothing,
                _ => value(&kept.join("; ")),
            };
            prop_assert_eq!(scan.for_upstream, expected);
            prop_assert_eq!(scan.sessions.len(), pairs.len() - kept.len());
        }

        #[test]
        fn any_bytes_are_scanned_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(field) = HeaderValue::from_bytes(&bytes) {
                let mut headers = HeaderMap::new();
                headers.append(COOKIE, field);
                one().scan(&headers);
            }
        }
    }
}
