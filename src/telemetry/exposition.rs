//! The form of `/metrics`: OpenMetrics for who asks for it, else the older text format that everything reads.

use std::fmt::Write as _;

/// Whether an `Accept` asks for OpenMetrics: names it, with at least the weight of plain text.
pub fn is_open_metrics_wanted(accept: &str) -> bool {
    let weight = |wanted: &str| {
        let of_range = |range: &str| {
            let mut parts = range.split(';').map(str::trim);
            if !parts.next().is_some_and(|name| name.eq_ignore_ascii_case(wanted)) {
                return None;
            }
            let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
            Some(weight.map_or(1.0, |weight| weight.parse::<f32>().unwrap_or(0.0)))
        };
        accept.split(',').filter_map(of_range).fold(0.0, f32::max)
    };
    let open_metrics = weight("application/openmetrics-text");
    open_metrics > 0.0 && open_metrics >= weight("text/plain")
}

/// OpenMetrics in the
/// [text format 0.0.4](https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format): there, a counter's name holds its
/// `_total` everywhere and an `_info` is a gauge.
pub(super) fn as_plain_text(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    // The help of a family comes before its type, which says how its name is to be written.
    let mut help = "";
    for line in open_metrics.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(_), words) => help = words.unwrap_or_default(),
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                let (end, kind) = match kind {
                    "counter" => ("_total", kind),
                    "info" => ("_info", "gauge"),
                    "unknown" => ("", "untyped"),
                    _ => ("", kind),
                };
                _ = writeln!(text, "# HELP {name}{end} {help}\n# TYPE {name}{end} {kind}");
            }
            (Some("#"), ..) => {}
            _ => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_for_open_metrics_gets_it() {
        for (accept, wanted) in [
            ("", false),
            ("*/*", false),
            ("text/plain", false),
            ("text/html, */*;q=0.1", false),
            ("application/openmetrics-text", true),
            ("application/openmetrics-text; version=1.0.0; charset=utf-8", true),
            ("application/openmetrics-text;q=0", false),
            ("text/plain;version=0.0.4;q=0.9, application/openmetrics-text;version=1.0.0;q=0.3", false),
            // As Prometheus asks.
            (
                "application/openmetrics-text;version=1.0.0;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1",
                true,
            ),
        ] {
            assert_eq!(is_open_metrics_wanted(accept), wanted, "{accept}");
        }
    }

    #[test]
    fn the_older_format_names_counters_and_infos_whole() {
        let open = "# HELP a What a is.\n# TYPE a counter\na_total{x=\"# y\"} 1\n# HELP b B.\n# TYPE b info\nb_info{v=\"1\"} 1\n\
                    # HELP c_seconds C.\n# TYPE c_seconds histogram\n# UNIT c_seconds seconds\nc_seconds_bucket{le=\"+Inf\"} 2\n# EOF\n";
        let plain = "# HELP a_total What a is.\n# TYPE a_total counter\na_total{x=\"# y\"} 1\n# HELP b_info B.\n# TYPE b_info gauge\n\
                     b_info{v=\"1\"} 1\n# HELP c_seconds C.\n# TYPE c_seconds histogram\nc_seconds_bucket{le=\"+Inf\"} 2\n";
        assert_eq!(as_plain_text(open), plain);
    }
}
