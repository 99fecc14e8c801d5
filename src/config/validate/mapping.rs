//! Another path towards the application: `strip_prefix`, and the path of an upstream URL.

use percent_encoding::percent_decode_str;

use super::super::file::RouteTable;
use super::{Field, Flaw, Found, Problems, first_flaw, kinds, matching};
use crate::proxy::settings::UpstreamAddress;
use crate::request::path::is_read_alike;

/// `strip_prefix`, without the last slash; empty where nothing is taken off. `route_path` is the route's, if it could be read.
pub(super) fn strip_prefix(table: &RouteTable, route_path: Option<&str>, problems: &mut Problems) -> String {
    let Some(found) = table.strip_prefix.given() else { return String::new() };
    let Some(prefix) = matching::path(found, &found.key, problems) else { return String::new() };
    if prefix == "/" {
        let flaw = Flaw::new(kinds::NOTHING_STRIPPED, "names no segment to take off");
        problems.flaw(flaw, &found.place, &found.key);
    } else if let Some(route_path) = route_path {
        check_covers(&prefix, route_path, found, &table.path, problems);
    }
    prefix
}

/// Every request of the route has to begin with the prefix.
fn check_covers(prefix: &str, route_path: &str, found: &Found<String>, path: &Field<String>, problems: &mut Problems) {
    let covers = route_path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if covers {
        return;
    }
    let what = format!("is \"{prefix}\", with which the route's path \"{route_path}\" does not begin");
    let help = format!("write path = \"{prefix}\", or take off what the path begins with");
    let diagnostic = problems.on(kinds::STRIP_OUTSIDE, found, what).help(help);
    if let Some(path) = path.given() {
        diagnostic.also(&path.place, "the route's path");
    }
}

/// Where answers are to stay as they are although nothing is mapped, the key says nothing.
pub(super) fn check_rewrite(table: &RouteTable, addresses: &[UpstreamAddress], problems: &mut Problems) {
    // `true` is the default, which `show` writes down everywhere.
    if addresses.iter().all(|address| address.mapping.is_identity()) {
        table.rewrite_answers.noted(&false, kinds::NOTHING_REWRITTEN, "is set where paths are not mapped", problems);
    }
}

/// The decoded path of an upstream URL, without the last slash, of the text as it was written: a parser of URLs resolves dot
/// segments and drops tabs, so that `http://app/base/../x` would be `/x` without a word.
///
/// # Errors
/// What is wrong with it.
pub(super) fn base_path(written: &str) -> Result<String, &'static str> {
    if matches!(written, "" | "/") {
        return Ok(String::new());
    }
    let decoded = percent_decode_str(written).decode_utf8().map_err(|_| "its path is not UTF-8")?;
    let is_dots = |segment: &str| matches!(segment, "." | "..");
    let has_encoded_slash = decoded.matches('/').count() != written.matches('/').count();
    let flaw = first_flaw([
        (
            decoded.contains(|c: char| c.is_whitespace() || c.is_control()),
            "its path holds a blank or a control character",
        ),
        (decoded.split(['/', '\\']).any(is_dots), "its path holds dot segments"),
        (has_encoded_slash, "its path holds an encoded slash"),
        (decoded.contains('\\'), "its path holds a backslash"),
        (decoded.contains("//"), "its path holds an empty segment (`//`)"),
        (decoded.contains('%') || !is_read_alike(&decoded), "programs differ in how they read its path"),
    ]);
    flaw.map_or_else(|| Ok(decoded.trim_end_matches('/').to_owned()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_path_is_taken_only_where_every_program_reads_it_alike() {
        for (written, base) in [
            ("", ""),
            ("/", ""),
            ("/base", "/base"),
            ("/base/", "/base"),
            ("/v1.2/a-b_c~d", "/v1.2/a-b_c~d"),
            ("/caf%C3%A9", "/café"),
        ] {
            assert_eq!(base_path(written).unwrap(), base, "{written}");
        }
        for wrong in [
            "/base/../x",
            "/base/.",
            "/..",
            "/%2e%2e/x",
            "/base/%2E/x",
            "/base/.%2e",
            "/a%2fb",
            "/a%2Fb",
            "/a%5cb",
            "/a\\b",
            "/a\\..\\b",
            "//",
            "/base//",
            "//base",
            "/a b",
            "/a%20b",
            "/a\tb",
            "/a%09b",
            " /a",
            "/a ",
            "/a%00",
            "/a%zz",
            "/a%252e",
            "/a;b",
            "/a%3fb",
            "/a%23b",
            "/a.",
            "/%ff",
            "/a%EF%BC%8Fb",
            "/.\t./x",
        ] {
            assert!(base_path(wrong).is_err(), "{wrong:?}");
        }
    }
}
