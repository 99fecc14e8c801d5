//! The ways in which programs read one path: the choices that they are known to make, and the text that each choice gives.

use std::slice;

use super::path::{PathError, check, hex};

/// One byte of a path, and whether it was written as an escape.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Unit {
    byte: u8,
    encoded: bool,
}

impl Unit {
    /// The byte that is meant.
    pub(super) fn byte(self) -> u8 {
        self.byte
    }

    fn is(self, byte: u8) -> bool {
        self.byte == byte
    }

    // An escaped `?` or `#`: to a program that decodes before it takes the query off, the path ends here (CVE-2024-38474).
    fn ends_path(self) -> bool {
        self.encoded && (self.is(b'?') || self.is(b'#'))
    }
}

/// What a program does with a path before it looks anything up.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Choices {
    encoded_slash_separates: bool,
    backslash_separates: bool,
    encoded_backslash_separates: bool,
    dots: Dots,
    empty: Step,
    params: Params,
    cut_at_query: bool,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Dots {
    #[default]
    Kept,
    PlainResolved,
    AllResolved,
}

// Where a step stands in relation to resolving dot segments: `/a//../b` is `/b` or `/a/b`, by that.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Step {
    #[default]
    Never,
    Before,
    After,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Params {
    stripped: Step,
    encoded_too: bool,
}

impl Choices {
    /// Which choices make a difference for a path: every one that is not its default.
    pub(super) fn open_in(units: &[Unit]) -> Self {
        let has = |byte, encoded| units.iter().any(|u| u.is(byte) && u.encoded == encoded);
        let is_separator = |u: &Unit| u.is(b'/') || u.is(b'\\');
        let segments = || units.split(is_separator);
        let semicolon = units.iter().any(|u| u.is(b';'));
        let dots = segments().any(|s| is_dots(cut(s, true)).is_some());
        // The first segment stands before the leading slash, and an empty last one is just a trailing slash.
        let inner = segments().count().saturating_sub(2);
        let empty = segments().skip(1).take(inner).any(|s| cut(s, true).is_empty());
        Self {
            encoded_slash_separates: has(b'/', true),
            backslash_separates: has(b'\\', false),
            encoded_backslash_separates: has(b'\\', true),
            dots: if dots { Dots::AllResolved } else { Dots::Kept },
            empty: if empty { Step::After } else { Step::Never },
            params: Params {
                stripped: if semicolon { Step::After } else { Step::Never },
                encoded_too: has(b';', true),
            },
            cut_at_query: units.iter().any(|u| u.ends_path()),
        }
    }

    /// Whether anything is open at all.
    pub(super) fn any(self) -> bool {
        self != Self::default()
    }

    /// Every combination of the choices that are open here, the default one first.
    pub(super) fn each(self) -> impl Iterator<Item = Self> {
        let steps = [Step::Never, Step::Before, Step::After];
        let all = (0..2 * 2 * 2 * 3 * 3 * 3 * 2 * 2).map(move |n| Self {
            encoded_slash_separates: n % 2 == 1,
            backslash_separates: n / 2 % 2 == 1,
            encoded_backslash_separates: n / 4 % 2 == 1,
            dots: *[Dots::Kept, Dots::PlainResolved, Dots::AllResolved].get(n / 8 % 3).unwrap_or(&Dots::Kept),
            empty: *steps.get(n / 24 % 3).unwrap_or(&Step::Never),
            params: Params { stripped: *steps.get(n / 72 % 3).unwrap_or(&Step::Never), encoded_too: n / 216 % 2 == 1 },
            cut_at_query: n / 432 % 2 == 1,
        });
        all.filter(move |choices| choices.is_within(self))
    }

    fn is_within(self, open: Self) -> bool {
        let step = |chosen: Step, open: Step| chosen == Step::Never || open != Step::Never;
        (!self.encoded_slash_separates || open.encoded_slash_separates)
            && (!self.backslash_separates || open.backslash_separates)
            && (!self.encoded_backslash_separates || open.encoded_backslash_separates)
            && (self.dots == Dots::Kept || open.dots != Dots::Kept)
            && step(self.empty, open.empty)
            && step(self.params.stripped, open.params.stripped)
            && (!self.cut_at_query || open.cut_at_query)
            && (!self.params.encoded_too || (open.params.encoded_too && self.params.stripped != Step::Never))
    }

    fn separates(self, unit: Unit) -> bool {
        match (unit.byte, unit.encoded) {
            (b'/', encoded) => !encoded || self.encoded_slash_separates,
            (b'\\', false) => self.backslash_separates,
            (b'\\', true) => self.encoded_backslash_separates,
            _ => false,
        }
    }
}

/// Takes a path apart, reading each escape once.
pub(super) fn units(path: &[u8]) -> Result<Vec<Unit>, PathError> {
    let mut units = Vec::with_capacity(path.len());
    let mut bytes = path.iter().copied();
    while let Some(byte) = bytes.next() {
        let unit = if byte == b'%' {
            let (high, low) = bytes.next().zip(bytes.next()).ok_or(PathError::BrokenEscape)?;
            Unit { byte: hex(high, low).ok_or(PathError::BrokenEscape)?, encoded: true }
        } else {
            Unit { byte, encoded: false }
        };
        units.push(unit);
    }
    check(&units)?;
    Ok(units)
}

/// Whether any segment is `..`, by whichever choices.
pub(super) fn leads_upwards(units: &[Unit]) -> bool {
    units.split(|u| u.is(b'/') || u.is(b'\\') || u.ends_path()).any(|segment| is_dots(cut(segment, true)) == Some(2))
}

/// The path as a program with these choices reads it.
pub(super) fn read(units: &[Unit], choices: Choices) -> String {
    let end = units.iter().position(|u| choices.cut_at_query && u.ends_path()).unwrap_or(units.len());
    let units = units.get(..end).unwrap_or(units);
    // A path starts with a slash, so what stands before its first separator is nothing.
    let mut segments: Vec<&[Unit]> = units.split(|u| choices.separates(*u)).skip(1).collect();
    tidy(&mut segments, choices, Step::Before);
    if choices.dots != Dots::Kept {
        segments = resolve(&segments, choices.dots);
    }
    tidy(&mut segments, choices, Step::After);
    let mut text = Vec::with_capacity(units.len());
    for segment in segments {
        text.push(b'/');
        text.extend(segment.iter().flat_map(|u| if u.is(b'/') { b"%2F".as_slice() } else { slice::from_ref(&u.byte) }));
    }
    if text.is_empty() {
        text.push(b'/');
    }
    to_text(&text)
}

fn tidy(segments: &mut Vec<&[Unit]>, choices: Choices, now: Step) {
    if choices.params.stripped == now {
        for segment in segments.iter_mut() {
            *segment = cut(segment, choices.params.encoded_too);
        }
    }
    if choices.empty == now {
        let last = segments.len().saturating_sub(1);
        let mut at = 0..;
        segments.retain(|s| at.next() == Some(last) || !s.is_empty());
    }
}

// RFC 3986 section 5.2.4, on segments.
fn resolve<'a>(segments: &[&'a [Unit]], which: Dots) -> Vec<&'a [Unit]> {
    let mut kept: Vec<&[Unit]> = Vec::with_capacity(segments.len());
    let last = segments.len().saturating_sub(1);
    for (at, segment) in segments.iter().enumerate() {
        let plain_enough = which == Dots::AllResolved || segment.iter().all(|u| !u.encoded);
        match is_dots(segment).filter(|_| plain_enough) {
            None => kept.push(segment),
            Some(dots) => {
                if dots == 2 {
                    kept.pop();
                }
                if at == last {
                    kept.push(&[]);
                }
            }
        }
    }
    kept
}

fn is_dots(segment: &[Unit]) -> Option<usize> {
    let dots = segment.len();
    ((1..=2).contains(&dots) && segment.iter().all(|u| u.is(b'.'))).then_some(dots)
}

// Path parameters, as servlet containers take them off: "..;x" is ".." to them.
fn cut(segment: &[Unit], encoded_too: bool) -> &[Unit] {
    segment.split(|u| u.is(b';') && (encoded_too || !u.encoded)).next().unwrap_or_default()
}

// Bytes that are no UTF-8 stay escapes: two different paths never become one text.
fn to_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}
