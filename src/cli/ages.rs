//! Times in words: how long ago, or how far ahead.

use std::time::Duration;

use crate::clock::UnixTime;

/// `3 min ago`, `in 2 h`, `now`.
pub(super) fn relative(at: UnixTime, now: UnixTime) -> String {
    if at > now {
        return format!("in {}", span(at.since(now)));
    }
    match now.since(at) {
        Duration::ZERO => "now".to_owned(),
        past => format!("{} ago", span(past)),
    }
}

/// A moment with its distance: `2026-11-30T12:00:00Z (3 min ago)`.
pub(super) fn dated(at: UnixTime, now: UnixTime) -> String {
    format!("{} ({})", at.rfc3339(), relative(at, now))
}

/// The largest unit that fits, and the next one while the number is small: `1 h 30 min`, `3 days`.
pub(super) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let fits = |(_, unit): &(&str, u64)| seconds >= *unit;
    let at = UNITS.iter().position(fits).unwrap_or(UNITS.len() - 1);
    let Some((name, unit)) = UNITS.get(at) else { return String::new() };
    let count = seconds / unit;
    let first = counted(count, name);
    match UNITS.get(at + 1).map(|(name, smaller)| (name, seconds % unit / smaller)) {
        Some((name, rest)) if count < FEW && rest > 0 => format!("{first} {}", counted(rest, name)),
        _ => first,
    }
}

fn counted(count: u64, unit: &str) -> String {
    let ending = if unit == "day" && count != 1 { "s" } else { "" };
    format!("{count} {unit}{ending}")
}

const UNITS: [(&str, u64); 4] = [("day", 86_400), ("h", 3600), ("min", 60), ("s", 1)];
const FEW: u64 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_as_exact_as_somebody_wants_to_know() {
        for (seconds, words) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (90, "1 min 30 s"),
            (200, "3 min"),
            (5400, "1 h 30 min"),
            (86_400, "1 day"),
            (90_000, "1 day 1 h"),
            (86_400 * 40, "40 days"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), words);
        }
        let now = UnixTime::from_secs(1000);
        assert_eq!(relative(UnixTime::from_secs(820), now), "3 min ago");
        assert_eq!(relative(UnixTime::from_secs(1180), now), "in 3 min");
        assert_eq!(relative(now, now), "now");
    }
}
