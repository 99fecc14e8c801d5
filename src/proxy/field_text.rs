//! Which text may stand in an identity header.

/// No control characters, and no white space at the ends: HTTP strips it, and ` admin` would arrive as `admin`. Other text
/// goes as UTF-8.
pub(super) fn is_plain(text: &str) -> bool {
    let trimmed = text.trim_matches(char::is_whitespace).len() == text.len();
    trimmed && !text.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'))
}

/// The longest identity header: more breaks the header limits of common application servers, so a longer one is left out as
/// a whole. Half a list would be another list.
pub(super) const LONGEST: usize = 8 * 1024;
