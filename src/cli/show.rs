//! `vestibule show`: the configuration, key by key, and where each value came from.

use clap::{Args, ValueEnum};
use serde_json::{Value as Json, json};
use toml_edit::{DocumentMut, Item, Table, Value};

use super::sources::ConfigSource;
use super::{ConfigArguments, Exit, complain, say, stderr_color};
use crate::config::diagnostics::Place;
use crate::config::{Config, SecretSource, Setting, settings};
use crate::provider::outgoing_proxy::ProxyChoice;
use crate::provider::settings::ProviderSettings;

/// What is shown, and how.
#[derive(Args, Clone, Debug)]
pub struct ShowArguments {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub config: ConfigArguments,
    /// Show the defaults, too
    #[arg(long)]
    pub effective: bool,
    /// Say of each value where it came from
    #[arg(long)]
    pub origin: bool,
    /// How it is written
    #[arg(long, value_enum, default_value_t = ShowFormat::Toml)]
    pub format: ShowFormat,
}

/// How a configuration is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum ShowFormat {
    /// As a configuration file.
    Toml,
    /// One JSON object; with --origin a list of keys.
    Json,
}

/// Prints what the sources say; a configuration that cannot be used is reported instead.
pub(super) fn show(arguments: &ShowArguments) -> Exit {
    let source = ConfigSource::from(arguments.config.clone());
    let config = match source.load() {
        Ok((config, _)) => config,
        Err(exit) => return exit,
    };
    let found = source.gather().and_then(|sources| settings(&sources, Some(&config)));
    let mut found = match found {
        Ok(found) => found,
        Err(report) => {
            complain(&report.render(stderr_color()));
            return Exit::Config;
        }
    };
    if arguments.effective {
        found.extend(config.providers.iter().filter_map(proxy_of_variables));
    }
    found.retain(|setting| arguments.effective || setting.origin.is_some());
    warn(&config);
    say(&match arguments.format {
        ShowFormat::Toml => as_toml(&found, arguments.origin).to_string(),
        ShowFormat::Json => format!("{:#}\n", as_json(&found, arguments.origin)),
    });
    Exit::Ok
}

/// What a variable that is meant for every program of the machine says of a provider's `outgoing_proxy`, for its first endpoint.
fn proxy_of_variables(provider: &ProviderSettings) -> Option<Setting> {
    let (value, variable) = match provider.outgoing.choice(&provider.first_endpoint()?) {
        ProxyChoice::Through(proxy) => (proxy.url(), proxy.named_by()),
        ProxyChoice::Excepted(variable) => ("none".to_owned(), variable),
        ProxyChoice::NotNamed | ProxyChoice::SwitchedOff(_) => return None,
    };
    let is_variable = PROXY_VARIABLES.contains(&variable.to_ascii_uppercase().as_str());
    is_variable.then(|| Setting {
        path: ["provider", &provider.name, "outgoing_proxy"].map(str::to_owned).to_vec(),
        value: value.into(),
        origin: Some(Place::Variable(variable.to_owned())),
        secrets: Vec::new(),
    })
}

/// The variables that hold where the key is left out, in either case.
const PROXY_VARIABLES: [&str; 3] = ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"];

/// Warnings do not keep a configuration from being shown.
fn warn(config: &Config) {
    for warning in &config.warnings {
        complain(&format!("{warning}\n"));
    }
}

/// Where a value came from, in a few words.
pub(super) fn origin(setting: &Setting) -> String {
    let mut text = match &setting.origin {
        None => "default".to_owned(),
        Some(place @ Place::File { .. }) => match (place.line_and_column(), place.to_string()) {
            (Some((line, column)), place) => {
                let name = place.strip_suffix(&format!(":{line}:{column}")).unwrap_or(&place);
                format!("{name}:{line}")
            }
            (None, place) => place,
        },
        Some(Place::Variable(name)) => name.clone(),
        Some(Place::Flag(name)) => name.clone(),
        Some(place) => place.to_string(),
    };
    for secret in &setting.secrets {
        text.push_str(&match secret {
            SecretSource::File(path) => format!(", file {}", path.display()),
            SecretSource::Variable(name) => format!(", variable {name}"),
            SecretSource::Credential(path) => format!(", credential {}", path.display()),
            SecretSource::Literal => ", written there".to_owned(),
        });
    }
    text
}

/// As a configuration file.
fn as_toml(found: &[Setting], with_origin: bool) -> DocumentMut {
    let mut document = DocumentMut::new();
    for setting in found {
        let Some((key, tables)) = setting.path.split_last() else { continue };
        let mut table = document.as_table_mut();
        for name in tables {
            let below = table.entry(name).or_insert_with(|| {
                let mut below = Table::new();
                below.set_implicit(true);
                Item::Table(below)
            });
            let Some(below) = below.as_table_mut() else { return document };
            table = below;
        }
        table.set_implicit(false);
        let mut value = setting.value.clone();
        if with_origin {
            value.decor_mut().set_suffix(format!(" # {}", origin(setting)));
        }
        value.decor_mut().set_prefix(" ");
        table.insert(key, Item::Value(value));
    }
    document
}

/// For programs: nested as the file is, or a list in which each key says where it came from.
fn as_json(found: &[Setting], with_origin: bool) -> Json {
    if with_origin {
        let entry = |setting: &Setting| {
            let place = setting.origin.as_ref().map_or_else(|| json!("default"), Place::to_json);
            json!({ "key": crate::config::dotted(&setting.path), "value": json_of(&setting.value), "origin": origin(setting), "place": place })
        };
        return found.iter().map(entry).collect();
    }
    let mut root = json!({});
    for setting in found {
        let pointer = setting.path.iter().fold(&mut root, |table, key| {
            if !table.is_object() {
                *table = json!({});
            }
            &mut table[key.as_str()]
        });
        *pointer = json_of(&setting.value);
    }
    root
}

/// A value as JSON has it.
fn json_of(value: &Value) -> Json {
    match value {
        Value::String(text) => json!(text.value()),
        Value::Integer(number) => json!(number.value()),
        Value::Boolean(yes) => json!(yes.value()),
        Value::Array(items) => items.iter().map(json_of).collect(),
        Value::InlineTable(table) => table.iter().map(|(key, value)| (key.to_owned(), json_of(value))).collect(),
        // No key takes one.
        other => json!(other.to_string().trim()),
    }
}
