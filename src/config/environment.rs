//! Values from the environment and from flags, laid over the file: `VESTIBULE__PROVIDER__CORP__CLIENT_ID`, `--set server.listen=…`.

use super::Sources;
use super::diagnostics::{Diagnostic, Place};
use super::kinds;
use super::problems::Problems;
use super::tree::{self, Node, NodeValue, Table, TableEntry};
use super::unknown::{PREFIX, variable_meant};

/// The file with the environment and the flags laid over it, and the place of what is missing altogether.
pub(super) fn laid_over(sources: &Sources, problems: &mut Problems) -> Result<(Node, Place), Vec<Diagnostic>> {
    let (mut root, whole) = match &sources.file {
        Some((name, text)) => tree::parse(name, text).map(|(root, source)| (root, Place::Whole(source)))?,
        None => (Node::empty(Place::Nowhere), Place::Nowhere),
    };
    overlay_environment(&mut root, &sources.env, problems);
    overlay_flags(&mut root, &sources.flags);
    Ok((root, whole))
}

/// Lays the variables that are ours over the tree, in the order of their names, so that a table comes before its keys.
fn overlay_environment(root: &mut Node, env: &[(String, String)], problems: &mut Problems) {
    let mut ours: Vec<&(String, String)> = env.iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
    ours.sort();
    for (name, value) in ours {
        let place = Place::Variable(name.clone());
        let path: Vec<&str> = name.get(PREFIX.len()..).unwrap_or_default().split("__").collect();
        if path.iter().any(|segment| segment.is_empty()) {
            problems.add(kinds::VARIABLE_WITH_EMPTY_PART, &place, format!("`{name}` does not name a key"));
            continue;
        }
        set(root, &path, value, &place);
    }
    for (name, meant) in env.iter().filter_map(|(name, _)| Some((name, half_written(name)?))) {
        let place = Place::Variable(name.clone());
        let message = format!("`{name}` is not read");
        problems.add(kinds::HALF_WRITTEN_VARIABLE, &place, message).help(format!("did you mean `{meant}`?"));
    }
}

/// Lays flags over the tree; a later one wins.
fn overlay_flags(root: &mut Node, flags: &[(String, String)]) {
    for (key, value) in flags {
        let path: Vec<&str> = key.split('.').collect();
        set(root, &path, value, &Place::Flag(format!("--set {key}")));
    }
}

/// Lays the variables of
/// [OpenTelemetry](https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/) under the tree: they hold where the
/// key that says the same is left out, because they are meant for every program of a machine.
pub(super) fn underlay_telemetry(root: &mut Node, env: &[(String, String)]) {
    for (name, key, unit) in TELEMETRY {
        let Some((_, value)) = env.iter().find(|(variable, value)| variable == name && !value.trim().is_empty()) else {
            continue;
        };
        if !has(root, &["telemetry", key]) {
            let value = if *name == DISABLED { is_not(value) } else { format!("{}{unit}", value.trim()) };
            set(root, &["telemetry", key], &value, &Place::Variable((*name).to_owned()));
        }
    }
}

/// The specification takes only "true", in any case, for true.
fn is_not(value: &str) -> String {
    (!value.trim().eq_ignore_ascii_case("true")).to_string()
}

/// Whether something stands at a path.
fn has(node: &Node, path: &[&str]) -> bool {
    let Some((first, rest)) = path.split_first() else { return true };
    match &node.value {
        NodeValue::Table(table) => table.entries.iter().any(|entry| entry.key == *first && has(&entry.node, rest)),
        // What is wrong with it is said where it is read.
        _ => true,
    }
}

/// Switches everything off, where it is true.
const DISABLED: &str = "OTEL_SDK_DISABLED";
/// Variable, key, and the unit that the variable leaves out.
const TELEMETRY: &[(&str, &str, &str)] = &[
    (DISABLED, "enabled", ""),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "endpoint", ""),
    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "traces_endpoint", ""),
    ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "metrics_endpoint", ""),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "protocol", ""),
    ("OTEL_EXPORTER_OTLP_HEADERS", "headers", ""),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "timeout", "ms"),
    ("OTEL_SERVICE_NAME", "service_name", ""),
    ("OTEL_RESOURCE_ATTRIBUTES", "resource_attributes", ""),
    ("OTEL_TRACES_SAMPLER", "sampler", ""),
    ("OTEL_TRACES_SAMPLER_ARG", "sampler_arg", ""),
    ("OTEL_BSP_MAX_QUEUE_SIZE", "span_queue", ""),
    ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "span_batch", ""),
    ("OTEL_BSP_SCHEDULE_DELAY", "span_delay", "ms"),
    ("OTEL_METRIC_EXPORT_INTERVAL", "metrics_interval", "ms"),
];

/// Sets the value at a path, over whatever stands there.
fn set(node: &mut Node, path: &[&str], text: &str, place: &Place) {
    let Some((first, rest)) = path.split_first() else {
        node.value = NodeValue::Untyped(text.to_owned());
        node.place = place.clone();
        return;
    };
    if let Some(table) = node.structured() {
        *node = table;
    }
    if !matches!(node.value, NodeValue::Table(_)) {
        *node = Node::empty(place.clone());
    }
    let NodeValue::Table(table) = &mut node.value else { return };
    set(entry(table, first, place), rest, text, place);
}

/// The entry that a part of a variable's name means: shells have no dashes and no lower case in names, so both count as the same.
fn entry<'a>(table: &'a mut Table, segment: &str, place: &Place) -> &'a mut Node {
    let folded = segment.to_ascii_lowercase().replace('-', "_");
    let known = table.entries.iter().position(|entry| entry.key.to_ascii_lowercase().replace('-', "_") == folded);
    let index = known.unwrap_or_else(|| {
        let key = segment.to_ascii_lowercase();
        table.entries.push(TableEntry { key, place: place.clone(), node: Node::empty(place.clone()) });
        table.entries.len() - 1
    });
    #[expect(clippy::indexing_slicing, reason = "the index was found or pushed just above")]
    &mut table.entries[index].node
}

/// What was meant: `VESTIBULE_SERVER_LISTEN` is surely for us. What Kubernetes sets for a Service of our name is not.
fn half_written(name: &str) -> Option<String> {
    if name.starts_with(PREFIX) {
        return None;
    }
    let upper = name.to_ascii_uppercase();
    let rest = upper.strip_prefix("VESTIBULE_")?;
    if ["CONFIG", "SERVICE", "PORT"].contains(&rest) || rest.contains("SERVICE_") || rest.contains("PORT_") {
        return None;
    }
    variable_meant(rest)
}

#[cfg(test)]
mod tests {
    use super::super::diagnostics::DiagnosticCode;
    use super::*;

    fn overlaid(variables: &[(&str, &str)]) -> (Node, Vec<Diagnostic>) {
        let mut problems = Problems::default();
        let (mut root, _) = tree::parse("a.toml", "[provider.my-corp]\nclient_id = \"a\"\n").unwrap();
        let env: Vec<_> = variables.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        overlay_environment(&mut root, &env, &mut problems);
        (root, problems.list)
    }

    fn at<'a>(root: &'a Node, path: &str) -> &'a NodeValue {
        let mut node = root;
        for key in path.split('/') {
            let NodeValue::Table(table) = &node.value else { panic!("{key}: no table") };
            node = &table.entries.iter().find(|entry| entry.key == key).unwrap().node;
        }
        &node.value
    }

    #[test]
    fn a_variable_overrides_the_file_and_finds_dashed_names() {
        let (root, problems) = overlaid(&[("VESTIBULE__PROVIDER__MY_CORP__CLIENT_ID", "b"), ("HOME", "/root")]);
        assert!(matches!(at(&root, "provider/my-corp/client_id"), NodeValue::Untyped(text) if text == "b"));
        assert!(problems.is_empty());
    }

    #[test]
    fn a_table_in_a_variable_takes_keys_of_its_own() {
        let (root, _) = overlaid(&[
            ("VESTIBULE__ROUTE__WIKI__ALLOW", "{ groups = ['a'] }"),
            ("VESTIBULE__ROUTE__WIKI__ALLOW__USERS", "x"),
        ]);
        assert!(matches!(at(&root, "route/wiki/allow/groups"), NodeValue::Array(_)));
        assert!(matches!(at(&root, "route/wiki/allow/users"), NodeValue::Untyped(_)));
    }

    #[test]
    fn single_underscores_are_told_but_what_kubernetes_sets_is_not() {
        let (_, problems) = overlaid(&[
            ("VESTIBULE_SERVER_LISTEN", "x"),
            ("VESTIBULE_CONFIG", "a.toml"),
            ("VESTIBULE_PORT", "tcp://10.0.0.1:4180"),
            ("VESTIBULE_TEST_OF_SOMEBODY", "x"),
            ("VESTIBULE_SERVICE_HOST", "10.0.0.1"),
            ("VESTIBULE_ADMIN_SERVICE_PORT", "80"),
            ("VESTIBULE_PORT_4180_TCP", "tcp://10.0.0.1:4180"),
        ]);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].help.as_deref(), Some("did you mean `VESTIBULE__SERVER__LISTEN`?"));
        let (_, problems) = overlaid(&[("vestibule__server__listen", "x")]);
        assert_eq!(problems[0].help.as_deref(), Some("did you mean `VESTIBULE__SERVER__LISTEN`?"));
    }

    #[test]
    fn an_empty_part_is_refused() {
        let (_, problems) = overlaid(&[("VESTIBULE__SERVER____LISTEN", "x")]);
        assert_eq!(problems[0].code, DiagnosticCode::UnknownVariable);
    }
}
