//! What programs are known to do to a path before they look anything up, one step each.
//!
//! A step takes a path and writes the path that a program makes of it; `readings` applies every step to the result of every
//! other. [`open_in`] says which steps can make a difference, so that the others cost nothing.

/// Reads a path that starts with a slash; appends one that starts with a slash to the empty buffer.
pub(super) type Step = fn(&[u8], &mut Vec<u8>);

/// Stands for the question mark before the query in a text that holds both. No decoded text holds this byte.
pub(super) const QUERY_MARK: u8 = 0xff;

/// There is an escape.
const DECODE: u32 = 1 << 0;
/// There is an escape such as `%u0041`.
const UNICODE_ESCAPE: u32 = 1 << 1;
/// There is a backslash.
const BACKSLASH: u32 = 1 << 2;
/// Two slashes stand together.
const EMPTY_SEGMENT: u32 = 1 << 3;
/// It begins as a URL does.
const SCHEME: u32 = 1 << 4;
/// There is a dot segment.
const DOTS: u32 = 1 << 5;
/// There is a dot beside a blank.
const BLANK_DOTS: u32 = 1 << 6;
/// A name ends in a dot or blank, or has a stream.
const NAMES: u32 = 1 << 7;
/// There is a semicolon.
const PARAMETERS: u32 = 1 << 8;
/// There is a question mark.
const CUT_QUERY: u32 = 1 << 9;
/// There is a number sign.
const CUT_FRAGMENT: u32 = 1 << 10;
/// There is a control character.
const CONTROL: u32 = 1 << 11;
/// There is a character that may be taken for one of ASCII.
const ASCII_FORMS: u32 = 1 << 12;
/// It is not UTF-8.
const LATIN_1: u32 = 1 << 13;

/// What shortens a path most stands first: a path that leads elsewhere is then found out early.
const STEPS: &[(u32, Step)] = &[
    (DECODE, decode_all),
    (DECODE, decode_but_slash),
    (DOTS, dots),
    (EMPTY_SEGMENT, authority),
    (EMPTY_SEGMENT, empty_authority),
    (EMPTY_SEGMENT, merge),
    (SCHEME, scheme),
    (BACKSLASH, backslashes),
    (PARAMETERS, parameters),
    // Apache Shiro, and programs that take `;jsessionid` off, cut the whole path at its first parameter.
    (PARAMETERS, |text, out| cut(text, out, b';')),
    // CVE-2024-38474: decoded before the query is taken off.
    (CUT_QUERY, |text, out| cut(text, out, b'?')),
    (CUT_FRAGMENT, |text, out| cut(text, out, b'#')),
    (BLANK_DOTS, blank_dots),
    (NAMES, names),
    (CONTROL, |text, out| cut(text, out, 0)),
    (CONTROL, line_breaks),
    (UNICODE_ESCAPE, unicode_escapes),
    (ASCII_FORMS, ascii_forms),
    (LATIN_1, latin_1),
];

/// Which steps may change a path, as a set for [`steps`]: zero where there is nothing to argue about, as in nearly every request.
pub(super) fn open_in(path: &[u8]) -> u32 {
    let mut open = 0;
    let mut start = 1; // of the segment
    let mut is_ascii = true;
    for (at, &byte) in path.iter().enumerate().skip(1) {
        let (last, next) = (|| path.get(at - 1).copied().unwrap_or(b'/'), || path.get(at + 1).copied().unwrap_or(b'/'));
        open |= match byte {
            b'/' => {
                let segment = path.get(start..at).unwrap_or_default();
                start = at + 1;
                if segment.is_empty() { EMPTY_SEGMENT } else { open_at_end(segment) }
            }
            b'.' if is_blank(last()) || is_blank(next()) => BLANK_DOTS,
            b'%' if matches!(next(), b'u' | b'U') => DECODE | UNICODE_ESCAPE,
            b'%' => DECODE,
            b'\\' => BACKSLASH,
            b';' => PARAMETERS,
            b'?' => CUT_QUERY,
            b'#' => CUT_FRAGMENT,
            b':' if next() == b'$' => NAMES,
            0..0x20 | 0x7f => CONTROL,
            0x80.. => {
                is_ascii = false;
                if may_stand_for_ascii(byte) { ASCII_FORMS } else { 0 }
            }
            _ => 0,
        };
    }
    open |= open_at_end(path.get(start..).unwrap_or_default());
    if scheme_in(path).is_some() {
        open |= SCHEME;
    }
    if !is_ascii && std::str::from_utf8(path).is_err() {
        open |= LATIN_1;
    }
    open
}

/// The same for a segment and what stands at its end.
fn open_at_end(segment: &[u8]) -> u32 {
    match segment {
        b"." | b".." => DOTS,
        [.., b'.' | 0..=b' '] => NAMES,
        _ => 0,
    }
}

/// The steps of a set that [`open_in`] gave.
pub(super) fn steps(open: u32) -> impl Iterator<Item = Step> {
    STEPS.iter().filter(move |(bit, _)| open & bit != 0).map(|(_, step)| *step)
}

/// Decodes only what cannot stand in a path unescaped: it cannot mean anything else.
pub(super) fn decode_necessary(text: &[u8], out: &mut Vec<u8>) {
    let necessary =
        |byte: u8| matches!(byte, b' ' | b'"' | b'<' | b'>' | b'[' | b']' | b'^' | b'`' | b'{' | b'|' | b'}' | 0x80..);
    decode(text, out, necessary);
}

/// Decodes every escape once: nginx's `$uri`, WSGI, PHP, `decodeURIComponent`.
pub(super) fn decode_all(text: &[u8], out: &mut Vec<u8>) {
    decode(text, out, |_| true);
}

/// Decodes everything but an encoded slash: what rules are matched on.
pub(super) fn decode_but_slash(text: &[u8], out: &mut Vec<u8>) {
    decode(text, out, |byte| byte != b'/');
}

/// A percent-escape's value, `None` when the two bytes are not hex digits.
pub(super) fn hex(high: u8, low: u8) -> Option<u8> {
    let digit = |byte| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
}

/// A broken escape stays what it is.
fn decode(text: &[u8], out: &mut Vec<u8>, decodes: impl Fn(u8) -> bool) {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'%', rest) {
        let (before, escape) = rest.split_at(at);
        out.extend_from_slice(before);
        rest = match escape {
            [_, high, low, after @ ..] => match hex(*high, *low) {
                Some(byte) if decodes(byte) => {
                    // The mark is ours; neither byte is part of any text.
                    out.push(if byte == QUERY_MARK { 0xfe } else { byte });
                    after
                }
                Some(_) => {
                    out.extend([b'%', high.to_ascii_uppercase(), low.to_ascii_uppercase()]);
                    after
                }
                None => keep_one(escape, out),
            },
            _ => keep_one(escape, out),
        };
    }
    out.extend_from_slice(rest);
}

/// Passes one byte on; the rest.
fn keep_one<'a>(text: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let (first, rest) = text.split_at(text.len().min(1));
    out.extend_from_slice(first);
    rest
}

/// `unescape` of JavaScript, IIS.
fn unicode_escapes(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while !rest.is_empty() {
        if let [b'%', b'u' | b'U', a, b, c, d, after @ ..] = rest
            && let (Some(high), Some(low)) = (hex(*a, *b), hex(*c, *d))
            && let Some(char) = char::from_u32(u32::from(high) << 8 | u32::from(low))
        {
            push(char, out);
            rest = after;
        } else {
            rest = keep_one(rest, out);
        }
    }
}

/// WHATWG URL, Windows.
fn backslashes(text: &[u8], out: &mut Vec<u8>) {
    out.extend(text.iter().map(|&byte| if byte == b'\\' { b'/' } else { byte }));
}

/// Nginx, Apache, Go's ServeMux, file systems.
fn merge(text: &[u8], out: &mut Vec<u8>) {
    for &byte in text {
        if byte != b'/' || out.last() != Some(&b'/') {
            out.push(byte);
        }
    }
}

/// [RFC 3986 section 4.2](https://www.rfc-editor.org/rfc/rfc3986#section-4.2): what follows two slashes is an authority. Also
/// further in: an application that is mounted below a prefix does not see the prefix. WHATWG URL takes any number of slashes for
/// two.
fn authority(text: &[u8], out: &mut Vec<u8>) {
    let (before, from) = at_empty_segment(text);
    out.extend_from_slice(before);
    let first = from.iter().position(|&byte| byte != b'/').unwrap_or(from.len());
    let behind = from.get(first..).unwrap_or_default();
    out.extend_from_slice(memchr::memchr(b'/', behind).and_then(|at| behind.get(at..)).unwrap_or(b"/"));
}

/// RFC 3986, Python's `urlsplit`: of three slashes, two stand before an authority that is empty.
fn empty_authority(text: &[u8], out: &mut Vec<u8>) {
    let (before, from) = at_empty_segment(text);
    out.extend_from_slice(before);
    out.extend_from_slice(from.strip_prefix(b"//").filter(|rest| rest.starts_with(b"/")).unwrap_or(from));
}

/// The text before its first empty segment, and from there on.
fn at_empty_segment(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.windows(2).position(|pair| pair == b"//").unwrap_or(text.len()))
}

/// `/http://host/path` is a URL to programs that take the first slash off. WHATWG URL needs no slashes behind the colon.
fn scheme(text: &[u8], out: &mut Vec<u8>) {
    let Some(behind) = scheme_in(text) else { return out.extend_from_slice(text) };
    out.extend_from_slice(b"//");
    out.extend_from_slice(behind.get(behind.iter().take_while(|&&byte| byte == b'/').count()..).unwrap_or_default());
}

/// What stands behind `http:` or `https:` at the beginning of a path.
fn scheme_in(path: &[u8]) -> Option<&[u8]> {
    let name = path.get(path.iter().take_while(|&&byte| byte == b'/').count()..)?;
    if !name.first()?.eq_ignore_ascii_case(&b'h') {
        return None;
    }
    let (http, rest) = name.split_at_checked(4)?;
    let rest = rest.strip_prefix(b"s").or_else(|| rest.strip_prefix(b"S")).unwrap_or(rest);
    rest.strip_prefix(b":").filter(|_| http.eq_ignore_ascii_case(b"http"))
}

/// [RFC 3986 section 5.2.4](https://www.rfc-editor.org/rfc/rfc3986#section-5.2.4), on segments.
fn dots(text: &[u8], out: &mut Vec<u8>) {
    let mut ends_in_dots = false;
    for segment in segments(text) {
        ends_in_dots = matches!(segment, b"." | b"..");
        if !ends_in_dots {
            out.push(b'/');
            out.extend_from_slice(segment);
        } else if segment.len() == 2 {
            out.truncate(memchr::memrchr(b'/', out).unwrap_or(0));
        }
    }
    if ends_in_dots || out.is_empty() {
        out.push(b'/');
    }
}

/// A dot segment with blanks around it, to programs that trim; a plus is a blank to decoders of forms.
fn blank_dots(text: &[u8], out: &mut Vec<u8>) {
    for segment in segments(text) {
        let is_edge = |byte: &u8| is_blank(*byte);
        let first = segment.iter().position(|byte| !is_edge(byte)).unwrap_or(segment.len());
        let last = segment.iter().rposition(|byte| !is_edge(byte)).map_or(first, |at| at + 1);
        let inner = segment.get(first..last).unwrap_or_default();
        out.push(b'/');
        out.extend_from_slice(if matches!(inner, b"." | b"..") { inner } else { segment });
    }
}

/// Windows: blanks and dots at the end of a name are not part of it, and `name::$INDEX_ALLOCATION` is the folder `name`.
fn names(text: &[u8], out: &mut Vec<u8>) {
    for segment in segments(text) {
        out.push(b'/');
        if matches!(segment, b"." | b"..") {
            out.extend_from_slice(segment);
            continue;
        }
        let has_stream = segment.windows(2).any(|pair| pair == b":$");
        let name = if has_stream { segment.split(|&byte| byte == b':').next().unwrap_or(segment) } else { segment };
        let end = name.iter().rposition(|&byte| byte != b'.' && byte > b' ').map_or(0, |at| at + 1);
        out.extend_from_slice(name.get(..end).unwrap_or_default());
    }
}

/// Servlet containers take parameters off each segment: `..;x` is `..` to them.
fn parameters(text: &[u8], out: &mut Vec<u8>) {
    for segment in segments(text) {
        out.push(b'/');
        out.extend_from_slice(segment.split(|&byte| byte == b';').next().unwrap_or_default());
    }
}

/// Up to the first byte of this kind.
fn cut(text: &[u8], out: &mut Vec<u8>, at: u8) {
    out.extend_from_slice(text.split(|&byte| byte == at).next().unwrap_or_default());
}

/// WHATWG URL drops tabs and line breaks wherever they stand.
fn line_breaks(text: &[u8], out: &mut Vec<u8>) {
    out.extend(text.iter().filter(|byte| !matches!(byte, b'\t' | b'\r' | b'\n')));
}

/// Overlong UTF-8 ([RFC 3629 section 10](https://www.rfc-editor.org/rfc/rfc3629#section-10)), and characters that NFKC or a
/// best-fit code page makes ASCII of.
fn ascii_forms(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(&lead) = rest.first() {
        let (length, bits) = match lead {
            0xc0..=0xdf => (2, lead & 0x1f),
            0xe0..=0xef => (3, lead & 0x0f),
            0xf0..=0xf7 => (4, lead & 0x07),
            _ => (1, lead),
        };
        let value = rest
            .get(1..length)
            .filter(|tail| tail.iter().all(|byte| byte & 0xc0 == 0x80))
            .map(|tail| tail.iter().fold(u32::from(bits), |value, byte| value << 6 | u32::from(byte & 0x3f)));
        match value.filter(|_| length > 1).and_then(ascii_form) {
            Some((ascii, times)) => {
                out.extend(std::iter::repeat_n(ascii, times));
                rest = rest.get(length..).unwrap_or_default();
            }
            None => rest = keep_one(rest, out),
        }
    }
}

/// The ASCII byte that some programs read this character as, and how often.
fn ascii_form(value: u32) -> Option<(u8, usize)> {
    match value {
        0..=0x7f => Some((u8::try_from(value).ok()?, 1)),
        0xff01..=0xff5e => Some((u8::try_from(value - 0xfee0).ok()?, 1)),
        0x2024..=0x2026 => Some((b'.', usize::try_from(value - 0x2023).ok()?)),
        0xfe52 => Some((b'.', 1)),
        0xfe54 => Some((b';', 1)),
        0x2044 | 0x2215 => Some((b'/', 1)),
        0xa5 | 0x2216 | 0xfe68 => Some((b'\\', 1)),
        _ => char::from_u32(value).filter(|char| char.is_whitespace()).map(|_| (b' ', 1)),
    }
}

/// Whether a character (or overlong sequence) that [`ascii_form`] knows may start with this byte.
fn may_stand_for_ascii(lead: u8) -> bool {
    matches!(lead, 0xc0..=0xc2 | 0xe0..=0xe3 | 0xef | 0xf0)
}

/// Old servlet containers, WSGI.
fn latin_1(text: &[u8], out: &mut Vec<u8>) {
    for chunk in text.utf8_chunks() {
        out.extend_from_slice(chunk.valid().as_bytes());
        for &byte in chunk.invalid() {
            if byte == QUERY_MARK { out.push(byte) } else { push(char::from(byte), out) }
        }
    }
}

/// What stands between slashes.
fn segments(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&byte| byte == b'/').skip(1)
}

/// What programs trim.
fn is_blank(byte: u8) -> bool {
    matches!(byte, 0..=b' ' | b'+')
}

/// Appends a character as UTF-8.
fn push(char: char, out: &mut Vec<u8>) {
    out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
}
