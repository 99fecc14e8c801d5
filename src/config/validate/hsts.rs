//! `hsts` of `[server]`.

use std::time::Duration;

use http::HeaderValue;

use super::super::answers::HstsTable;
use super::super::units::SpanOr;
use super::{Field, Found, Problems, Timespan, kinds};

/// The field of every answer; `None` where there is none to send, or something is wrong with it.
pub(super) fn hsts(
    field: &Field<SpanOr<HstsTable>>,
    https: Option<bool>,
    problems: &mut Problems,
) -> Option<HeaderValue> {
    let found = field.given()?;
    let (max_age, include_subdomains, preload) = match &found.value {
        SpanOr::Span(span) => (found.with(*span), false, false),
        SpanOr::Table(table) => {
            let max_age =
                table.max_age.required(kinds::HSTS_WITHOUT_AGE, (&found.place, &found.key), "max_age", problems)?;
            (max_age.clone(), table.include_subdomains.or(false), table.preload.or(false))
        }
    };
    if max_age.value.0.subsec_nanos() != 0 {
        problems.on(kinds::HSTS_PART_OF_SECOND, &max_age, "is not a number of whole seconds");
    }
    if let SpanOr::Table(HstsTable { preload: Field::Given(preload @ Found { value: true, .. }), .. }) = &found.value {
        check_preload(preload, &max_age, include_subdomains, problems);
    }
    if https == Some(false) {
        problems.on(kinds::HSTS_OVER_HTTP, found, "is set, but `server.public_url` is http");
        return None;
    }
    let mut text = format!("max-age={}", max_age.value.0.as_secs());
    for (is_set, directive) in [(include_subdomains, "; includeSubDomains"), (preload, "; preload")] {
        text.push_str(if is_set { directive } else { "" });
    }
    HeaderValue::try_from(text).ok()
}

/// What the list asks of the domains on it (<https://hstspreload.org>).
fn check_preload(preload: &Found<bool>, max_age: &Found<Timespan>, include_subdomains: bool, problems: &mut Problems) {
    if max_age.value.0 < YEAR {
        let what = "needs a `max_age` of at least \"365d\"";
        problems.on(kinds::HSTS_PRELOAD, preload, what).also(&max_age.place, "shorter than a year");
    }
    if !include_subdomains {
        problems.on(kinds::HSTS_PRELOAD, preload, "needs `include_subdomains = true`");
    }
}

/// 31536000 seconds.
const YEAR: Duration = Duration::from_secs(365 * 86_400);
