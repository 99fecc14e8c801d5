//! Whether a query could lead a program out of it that resolves dot segments before it takes the query off.

use super::steps::decode_all;

/// How often a query is decoded: each escape of an escape takes one time.
const MOST_DECODED: usize = 4;

/// Whether some `..` in a query could undo the segment that the question mark stands in.
///
/// This is generous: it only saves the work of going through every reading where no program can find such a thing.
pub(super) fn climbs(query: &[u8]) -> bool {
    may_hold_dots(query) && decoded(query).is_none_or(|query| leads_out(&query))
}

/// Two dots in a row, or something between them that may be dropped, or an escape that comes to be a dot: most queries have none.
fn may_hold_dots(query: &[u8]) -> bool {
    memchr::memchr2_iter(b'.', b'%', query).any(|at| {
        let behind = query.get(at..).unwrap_or_default();
        matches!(behind, [b'.', b'.' | b'%' | b'+', ..] | [b'%', b'2', b'5' | b'e' | b'E', ..])
    })
}

/// The query with everything decoded; `None` when there is no end to it.
fn decoded(query: &[u8]) -> Option<Vec<u8>> {
    let mut text = query.to_vec();
    for _ in 0..MOST_DECODED {
        let mut next = Vec::with_capacity(text.len());
        decode_all(&text, &mut next);
        if next == text {
            return Some(text);
        }
        text = next;
    }
    None
}

/// Whether more segments are undone than there are.
fn leads_out(query: &[u8]) -> bool {
    let mut depth = 0_usize;
    let mut after_slash = false;
    // What stands before the first slash belongs to the segment of the question mark.
    for segment in query.split(|byte| matches!(byte, b'/' | b'\\')).skip(1) {
        let name: Vec<u8> = segment
            .iter()
            .copied()
            .take_while(|byte| !matches!(byte, b';' | b'?' | b'#'))
            .filter(|byte| *byte > b' ' && *byte != b'+')
            .collect();
        match name.as_slice() {
            b".." if depth == 0 => return true,
            b".." => depth -= 1,
            b"" | b"." => {}
            // Behind two slashes it may be an authority, and no segment.
            _ => depth += usize::from(!after_slash),
        }
        after_slash = segment.is_empty();
    }
    false
}
