//! The fields `traceparent` and `tracestate`, read strictly ([W3C Trace Context](https://www.w3.org/TR/trace-context/)).

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

/// `traceparent`.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// `tracestate`.
pub(super) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Names a trace: never all zeros.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct TraceId(pub(super) [u8; 16]);

/// Names a span within its trace: never all zeros.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct SpanId(pub(super) [u8; 8]);

/// Where in which trace a request was sent from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TraceParent {
    /// The trace.
    pub trace: TraceId,
    /// The span that the request was sent from.
    pub span: SpanId,
    /// Whether the sender records the trace.
    pub sampled: bool,
}

impl TraceId {
    /// Its bytes.
    pub fn bytes(self) -> [u8; 16] {
        self.0
    }

    /// Its 32 digits.
    pub fn digits(self) -> [[u8; 2]; 16] {
        self.0.map(digits)
    }
}

impl SpanId {
    /// Its bytes.
    pub fn bytes(self) -> [u8; 8] {
        self.0
    }
}

impl TraceParent {
    /// What a request says; nothing where it says it twice, or not as the standard has it.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let first = values.next()?;
        if values.next().is_some() { None } else { Self::parse(first.as_bytes()) }
    }

    /// `VERSION-TRACE-SPAN-FLAGS`. Later versions may have more behind it
    /// ([section 4.3](https://www.w3.org/TR/trace-context/#versioning-of-traceparent)).
    fn parse(text: &[u8]) -> Option<Self> {
        let (head, rest) = text.split_at_checked(LENGTH)?;
        let mut parts = head.split(|byte| *byte == b'-');
        let mut next = || parts.next();
        let (version, trace, span, flags) = (next()?, next()?, next()?, next()?);
        let [version] = from_hex(version)?;
        let is_whole = if version == 0 { rest.is_empty() } else { rest.is_empty() || rest.starts_with(b"-") };
        if version == 0xff || !is_whole || next().is_some() {
            return None;
        }
        let (trace, span, [flags]) = (from_hex(trace)?, from_hex(span)?, from_hex(flags)?);
        if trace == [0; 16] || span == [0; 8] {
            return None;
        }
        Some(Self { trace: TraceId(trace), span: SpanId(span), sampled: flags & SAMPLED != 0 })
    }

    /// One that nobody had before, made of random bytes; nobody records it.
    pub fn drawn(random: [u8; 24]) -> Self {
        let (trace, span) = random.split_at(16);
        Self { trace: TraceId(not_zero(trace)), span: SpanId(not_zero(span)), sampled: false }
    }

    /// Says it in the fields of a request, in the place of what they said before.
    pub fn write(self, headers: &mut HeaderMap) {
        headers.insert(TRACEPARENT, self.to_header());
    }

    /// The field's value.
    fn to_header(self) -> HeaderValue {
        let (trace, span) = (self.trace.digits(), self.span.0.map(digits));
        let flags: &[u8] = if self.sampled { b"01" } else { b"00" };
        let text = [b"00", trace.as_flattened(), span.as_flattened(), flags].join(b"-".as_slice());
        // Hex digits and dashes are always a valid value.
        HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static(""))
    }
}

/// What other tracers have to say of the trace; nothing where it is longer than anybody has to carry.
pub(super) fn state_of(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut values = headers.get_all(TRACESTATE).iter();
    let first = values.next()?;
    let rest: Vec<&HeaderValue> = values.collect();
    if rest.is_empty() {
        return Some(first.clone()).filter(|state| state.len() <= LONGEST_STATE);
    }
    let all: Vec<&[u8]> = std::iter::once(first).chain(rest).map(HeaderValue::as_bytes).collect();
    HeaderValue::from_bytes(&all.join(b",".as_slice())).ok().filter(|state| state.len() <= LONGEST_STATE)
}

/// Lower-case digits, two a byte; no others.
fn from_hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_chunks::<2>();
    if !rest.is_empty() || pairs.len() != N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = (digit(*high)? << 4) | digit(*low)?;
    }
    Some(bytes)
}

/// All zeros would mean none.
fn not_zero<const N: usize>(random: &[u8]) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.iter_mut().zip(random).for_each(|(to, from)| *to = *from);
    if bytes == [0; N] { [1; N] } else { bytes }
}

/// Two digits, lower-case.
fn digits(byte: u8) -> [u8; 2] {
    let digit = |half: u8| if half < 10 { b'0' + half } else { b'a' + half - 10 };
    [digit(byte >> 4), digit(byte & 0xf)]
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(self.digits().as_flattened()).unwrap_or_default())
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(self.0.map(digits).as_flattened()).unwrap_or_default())
    }
}

/// Of a `traceparent` of version 00.
const LENGTH: usize = 55;
/// The flag of a trace that is recorded.
const SAMPLED: u8 = 1;
/// [Section 3.3.1.5](https://www.w3.org/TR/trace-context/#tracestate-limits): what has to be carried.
const LONGEST_STATE: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn read(values: &[&str]) -> Option<TraceParent> {
        let fields = values.iter().map(|value| (TRACEPARENT, HeaderValue::from_str(value).unwrap()));
        TraceParent::of(&HeaderMap::from_iter(fields))
    }

    #[test]
    fn a_parent_is_read_as_it_is_written() {
        let parent = read(&[GOOD]).unwrap();
        assert_eq!(parent.to_header(), GOOD);
        assert_eq!(format!("{:?}", parent.trace), "0af7651916cd43dd8448eb211c80319c");
        let unsampled = GOOD.replace("-01", "-00");
        assert_eq!(read(&[&unsampled]).unwrap().to_header(), *unsampled);
        // Bits that this version does not know are not passed on.
        assert_eq!(read(&[&GOOD.replace("-01", "-ff")]).unwrap().to_header(), GOOD);
        // A later version is read as far as it is known.
        assert_eq!(read(&[&format!("cc{}-what-is-new", &GOOD[2..])]), Some(parent));
    }

    #[test]
    fn what_is_not_as_the_standard_has_it_begins_no_trace() {
        for bad in [
            "".to_owned(),
            GOOD.to_ascii_uppercase(),
            format!("{GOOD}-"),
            format!("{GOOD} "),
            GOOD[..54].to_owned(),
            format!("ff{}", &GOOD[2..]),
            format!("cc{}x", &GOOD[2..]),
            GOOD.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            GOOD.replace("b7ad6b7169203331", &"0".repeat(16)),
            GOOD.replace('-', "_"),
            GOOD.replace("-b7ad6b7169203331", "b-7ad6b7169203331"),
            GOOD.replace("0af", "xyz"),
        ] {
            assert_eq!(read(&[&bad]), None, "{bad}");
        }
        assert_eq!(read(&[GOOD, GOOD]), None);
    }

    #[test]
    fn states_in_several_fields_are_one_and_too_long_ones_are_none() {
        let state = |values: &[&str]| {
            let fields = values.iter().map(|value| (TRACESTATE, HeaderValue::from_str(value).unwrap()));
            state_of(&HeaderMap::from_iter(fields))
        };
        assert_eq!(state(&["a=1", "b=2"]).unwrap(), "a=1,b=2");
        assert_eq!(state(&["a=1"]).unwrap(), "a=1");
        assert_eq!(state(&[]), None);
        assert_eq!(state(&[&"x".repeat(513)]), None);
    }
}
