//! The `Path` of a cookie, as browsers read it (RFC 6265bis section 5.6).

use super::places::Places;

/// What takes the place of a `Set-Cookie`; `None` where it stays as it is: a `__Host-` cookie, or one without a path, which holds where
/// the browser is.
pub(super) fn mapped(places: &Places<'_>, value: &[u8]) -> Option<Vec<u8>> {
    let mut parts = value.split(|byte| *byte == b';');
    let pair = parts.next()?;
    // The prefix asks for `Path=/`.
    if pair.trim_ascii_start().get(..HOST_PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(HOST_PREFIX)) {
        return None;
    }
    let mut changed = false;
    let mut new = pair.to_vec();
    for part in parts {
        new.push(b';');
        match path_in(part).and_then(|path| Some((path, places.cookie_path_for_browser(path)?))) {
            Some((path, mapped)) if path != mapped => {
                changed = true;
                let blanks = part.len() - part.trim_ascii_start().len();
                new.extend_from_slice(part.get(..blanks).unwrap_or_default());
                new.extend_from_slice(b"Path=");
                new.extend_from_slice(mapped.as_bytes());
            }
            _ => new.extend_from_slice(part),
        }
    }
    changed.then_some(new)
}

/// The path of an attribute, if it is one that browsers heed.
fn path_in(attribute: &[u8]) -> Option<&str> {
    let (name, value) = attribute.split_at(attribute.iter().position(|byte| *byte == b'=')?);
    let value = value.get(1..)?.trim_ascii();
    let is_path = name.trim_ascii().eq_ignore_ascii_case(b"path") && value.starts_with(b"/");
    str::from_utf8(value).ok().filter(|_| is_path)
}

/// Cookies for one host and all of its paths.
const HOST_PREFIX: &[u8] = b"__Host-";
