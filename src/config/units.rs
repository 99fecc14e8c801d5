//! One parser for each kind of value: texts, numbers, durations, sizes, URLs, networks, lists, tables of names.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use url::Url;

use super::diagnostics::{Code, Diagnostic};
use super::reading::{Field, Found, FromNode, Reading, Section, Shape};
use super::secrets::readable_by_others;
use super::tree::{Node, Value};
use crate::secret::Secret;

/// One value or a list of them; the list may be empty, which is for the key's owner to judge.
#[derive(Clone, Debug)]
pub(super) struct OneOrMany<T>(pub(super) Vec<Found<T>>);

/// Always a list.
#[derive(Clone, Debug)]
pub(super) struct List<T>(pub(super) Vec<Found<T>>);

/// A table that says something: an empty one could mean nobody or everybody.
#[derive(Clone, Debug, Default)]
pub(super) struct Filled<T>(pub(super) T);

/// Tables by names of the operator's choice; `None` for one that is no table, which was noted.
#[derive(Clone, Debug)]
pub(super) struct Named<T>(pub(super) Vec<(Found<String>, Option<T>)>);

/// A list of tables.
#[derive(Clone, Debug)]
pub(super) struct Tables<T>(pub(super) Vec<Found<T>>);

/// Texts by names of the operator's choice.
#[derive(Clone, Debug)]
pub(super) struct Texts(pub(super) Vec<(Found<String>, Found<String>)>);

/// A number of bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct ByteSize(pub(super) u64);

/// Any JSON-like value: what a claim may equal.
#[derive(Clone, Debug)]
pub(super) struct AnyScalar(pub(super) serde_json::Value);

/// A file that the server reads itself, later and again: proven to be there.
#[derive(Clone, Debug)]
pub(super) struct FilePath(pub(super) PathBuf);

/// The certificates of a file, as PEM.
#[derive(Clone, Debug)]
pub(super) struct CertificatePem(pub(super) Vec<u8>);

/// The private key of a file, as PEM.
#[derive(Clone, Debug)]
pub(super) struct KeyPem(pub(super) Secret<Vec<u8>>);

/// A text in which white space counts.
#[derive(Clone, Debug)]
pub(super) struct RawText(pub(super) String);

impl Node {
    /// The text of a string, or of a variable or flag.
    fn text(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) | Value::Untyped(text) => Some(text),
            _ => None,
        }
    }
}

impl FromNode for String {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        let Some(text) = node.text() else {
            reading.wrong_type(node, "a string");
            return None;
        };
        if text.trim().is_empty() {
            let message = format!("`{}` is empty", reading.key());
            reading.report(
                Diagnostic::error(Code::BadValue, &node.place, message).help("write a value, or leave the key out"),
            );
            return None;
        }
        Some(text.to_owned())
    }
}

impl FromNode for bool {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        match &node.value {
            Value::Boolean(yes) => return Some(*yes),
            Value::Untyped(text) if text == "true" => return Some(true),
            Value::Untyped(text) if text == "false" => return Some(false),
            _ => {}
        }
        reading.wrong_type(node, "true or false");
        None
    }
}

impl FromNode for u32 {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        let number = match &node.value {
            Value::Integer(number) => Some(*number),
            Value::Untyped(text) => text.trim().parse().ok(),
            _ => None,
        };
        let Some(number) = number else {
            reading.wrong_type(node, "an integer");
            return None;
        };
        Self::try_from(number).ok().or_else(|| {
            let message = format!("`{}` cannot be {number}", reading.key());
            reading.report(
                Diagnostic::error(Code::BadValue, &node.place, message)
                    .help("write a number that is not negative and below four billion"),
            );
            None
        })
    }
}

impl FromNode for Duration {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        let Some(text) = node.text() else {
            reading.wrong_type(node, "a duration in quotes");
            return None;
        };
        match humantime::parse_duration(text) {
            Ok(span) if span <= LONGEST => Some(span),
            Ok(_) => {
                let message = format!("`{}` is longer than ten years", reading.key());
                reading.report(
                    Diagnostic::error(Code::BadValue, &node.place, message)
                        .help("write a shorter duration: \"500ms\", \"30s\", \"15m\", \"12h\", \"30d\""),
                );
                None
            }
            Err(error) => {
                let message = format!("`{}` is not a duration", reading.key());
                reading.report(
                    Diagnostic::error(Code::BadValue, &node.place, message)
                        .label(format!("{error}"))
                        .help("durations are numbers with units: \"500ms\", \"30s\", \"15m\", \"12h\", \"1h 30m\""),
                );
                None
            }
        }
    }
}

/// Beyond this, sums of times and durations are not sure to stay in range.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 86_400);

impl FromNode for ByteSize {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        let size = match &node.value {
            Value::Integer(number) => u64::try_from(*number).ok(),
            Value::String(text) | Value::Untyped(text) => parse_size(text),
            _ => {
                reading.wrong_type(node, "a size in bytes");
                return None;
            }
        };
        if size.is_none() {
            let message = format!("`{}` is not a size", reading.key());
            reading.report(
                Diagnostic::error(Code::BadValue, &node.place, message)
                    .help("sizes are bytes, or numbers with a unit: 4096, \"8KiB\", \"10MiB\", \"1GB\""),
            );
        }
        size.map(ByteSize)
    }
}

/// `8KiB`, `10 MB`, `512`: whole numbers with decimal or binary units.
fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1000,
        "kib" => 1 << 10,
        "m" | "mb" => 1_000_000,
        "mib" => 1 << 20,
        "g" | "gb" => 1_000_000_000,
        "gib" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

impl FromNode for Url {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        let text = String::from_node(node, reading)?;
        let key = reading.key();
        let problem = match Self::parse(&text) {
            Ok(url) => match url_flaw(&url) {
                None => return Some(url),
                Some(flaw) => flaw.to_owned(),
            },
            Err(url::ParseError::RelativeUrlWithoutBase) => "it has no scheme".to_owned(),
            Err(error) => error.to_string(),
        };
        reading.report(
            Diagnostic::error(Code::BadUrl, &node.place, format!("`{key}` is not a URL that can be used: {problem}"))
                .help("write an absolute URL: \"https://login.example.com/path\""),
        );
        None
    }
}

/// Why a well-formed URL is not one of a server that can be called.
fn url_flaw(url: &Url) -> Option<&'static str> {
    if !matches!(url.scheme(), "http" | "https") {
        return Some("its scheme is neither https nor http");
    }
    if url.host().is_none() {
        return Some("it has no host");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Some("it holds a user name or password");
    }
    url.fragment().map(|_| "it has a fragment")
}

impl FromNode for IpNet {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        let text = String::from_node(node, reading)?;
        if let Some(network) = parse_network(&text) {
            return Some(network);
        }
        let message = format!("`{}` holds something that is not a network", reading.key());
        reading.report(
            Diagnostic::error(Code::BadAddress, &node.place, message)
                .help("write a network such as \"10.0.0.0/8\" or \"fd00::/8\", or a single address"),
        );
        None
    }
}

/// A CIDR, or an address as the network of itself. Bits below the mask are cut off.
pub(super) fn parse_network(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>().map(|network| network.trunc()).ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

impl FromNode for AnyScalar {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        Some(Self(match &node.value {
            Value::String(text) | Value::Untyped(text) => text.as_str().into(),
            Value::Integer(number) => (*number).into(),
            Value::Boolean(yes) => (*yes).into(),
            _ => {
                reading.wrong_type(node, "a string, an integer or a boolean");
                return None;
            }
        }))
    }
}

impl FromNode for FilePath {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        let path = String::from_node(node, reading)?;
        let path = reading.resolve(&path);
        // Not watched here: the server looks after its certificates itself.
        let read = std::fs::read(&path);
        told_read(read, &path, node, reading).map(|_| Self(path))
    }
}

impl FromNode for CertificatePem {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        let path = String::from_node(node, reading)?;
        let path = reading.resolve(&path);
        let pem = read_file(&path, node, reading)?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        if certificates.is_ok_and(|certificates| !certificates.is_empty()) {
            return Some(Self(pem));
        }
        let message = format!("`{}` holds no certificate", path.display());
        reading.report(
            Diagnostic::error(Code::BadPem, &node.place, message)
                .help("a PEM file holds one or several blocks that start with -----BEGIN CERTIFICATE-----"),
        );
        None
    }
}

impl FromNode for KeyPem {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        let path = String::from_node(node, reading)?;
        let path = reading.resolve(&path);
        let warning = readable_by_others(&path, &reading.key(), &node.place);
        reading.problems.extend(warning);
        let pem = Secret::new(read_file(&path, node, reading)?);
        if PrivateKeyDer::from_pem_slice(pem.expose()).is_ok() {
            return Some(Self(pem));
        }
        let message = format!("`{}` holds no private key", path.display());
        reading.report(
            Diagnostic::error(Code::BadPem, &node.place, message)
                .help("a PEM file holds a block such as -----BEGIN PRIVATE KEY-----; encrypted keys are not taken"),
        );
        None
    }
}

impl FromNode for RawText {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        let text = node.text().map(str::to_owned);
        if text.is_none() {
            reading.wrong_type(node, "a string");
        }
        text.map(Self)
    }
}

/// Reads a file that the configuration names, or notes why not.
fn read_file(path: &Path, node: &Node, reading: &mut Reading<'_>) -> Option<Vec<u8>> {
    let read = reading.read(path);
    told_read(read, path, node, reading)
}

fn told_read(read: std::io::Result<Vec<u8>>, path: &Path, node: &Node, reading: &mut Reading<'_>) -> Option<Vec<u8>> {
    let error = match read {
        Ok(bytes) => return Some(bytes),
        Err(error) => error,
    };
    let message = format!("`{}` names a file that cannot be read", reading.key());
    reading.report(
        Diagnostic::error(Code::FileUnreadable, &node.place, message)
            .label(why_unreadable(&error))
            .help(format!("looked for {}; it must be readable by the user that runs vestibule", path.display())),
    );
    None
}

/// The reason in words that are the same on every system.
pub(super) fn why_unreadable(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file",
        std::io::ErrorKind::PermissionDenied => "this user may not read it",
        std::io::ErrorKind::IsADirectory => "this is a folder",
        _ => "reading it fails",
    }
}

/// The same of a file that is to be written.
pub(super) fn why_unwritable(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such folder".to_owned(),
        std::io::ErrorKind::NotADirectory => "its folder is a file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "this user may not write there".to_owned(),
        std::io::ErrorKind::IsADirectory => "this is a folder".to_owned(),
        _ => error.to_string(),
    }
}

impl<T: FromNode> FromNode for OneOrMany<T> {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        match items(node) {
            Some(items) => read_items(&items, reading).map(Self),
            None => T::from_node(node, reading).map(|value| Self(vec![Found { value, place: node.place.clone() }])),
        }
    }
}

impl<T: FromNode> FromNode for List<T> {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        let Some(items) = items(node) else {
            reading.wrong_type(node, "a list");
            return None;
        };
        read_items(&items, reading).map(Self)
    }
}

/// The items of a list; the text of a variable or flag is split at its commas.
fn items(node: &Node) -> Option<Vec<Node>> {
    match &node.value {
        Value::Array(items) => Some(items.clone()),
        Value::Untyped(text) => Some(match node.structured() {
            Some(Node { value: Value::Array(items), .. }) => items,
            Some(table) => vec![table],
            None => text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(|item| Node { place: node.place.clone(), value: Value::Untyped(item.to_owned()) })
                .collect(),
        }),
        _ => None,
    }
}

/// Reads all items, so that every wrong one is noted.
fn read_items<T: FromNode>(items: &[Node], reading: &mut Reading<'_>) -> Option<Vec<Found<T>>> {
    let read: Vec<Option<Found<T>>> = items
        .iter()
        .enumerate()
        .map(|(index, item)| {
            reading.places.note(format!("{}[{index}]", reading.key()), &item.place);
            T::from_node(item, reading).map(|value| Found { value, place: item.place.clone() })
        })
        .collect();
    read.into_iter().collect()
}

impl<T: Section> FromNode for Tables<T> {
    fn shape() -> Shape {
        Shape::Tables(T::keys())
    }

    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        let structured = node.structured();
        let Value::Array(items) = &structured.as_ref().unwrap_or(node).value else {
            reading.wrong_type(node, "a list of tables");
            return None;
        };
        let read: Vec<Option<Found<T>>> = items
            .iter()
            .map(|item| reading.section(item).map(|value| Found { value, place: item.place.clone() }))
            .collect();
        read.into_iter().collect::<Option<Vec<_>>>().map(Self)
    }
}

impl<T: Section> FromNode for Filled<T> {
    fn shape() -> Shape {
        Shape::Table(T::keys())
    }

    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        let structured = node.structured();
        if let Value::Table(table) = &structured.as_ref().unwrap_or(node).value
            && table.entries.is_empty()
        {
            let message = format!("`{}` is empty", reading.key());
            reading.report(
                Diagnostic::error(Code::EmptyList, &node.place, message)
                    .reason("it could mean nobody or everybody")
                    .help("leave the table out to ask nothing, or write access = \"deny\" to let nobody pass"),
            );
            return None;
        }
        reading.section(node).map(Self)
    }
}

impl<T: Section> FromNode for Named<T> {
    fn shape() -> Shape {
        Shape::Named(T::keys())
    }

    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        let structured = node.structured();
        let Value::Table(table) = &structured.as_ref().unwrap_or(node).value else {
            reading.wrong_type(node, "a table of tables");
            return None;
        };
        let mut named = Vec::new();
        for entry in &table.entries {
            let section = reading.below(&entry.key, |reading| {
                reading.places.note(reading.key(), &entry.place);
                reading.section(&entry.node)
            });
            let name = Found { value: entry.key.clone(), place: entry.place.clone() };
            named.push((name, section));
        }
        Some(Self(named))
    }
}

impl FromNode for Texts {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        let structured = node.structured();
        let Value::Table(table) = &structured.as_ref().unwrap_or(node).value else {
            reading.wrong_type(node, "a table");
            return None;
        };
        let mut texts = Vec::new();
        for entry in &table.entries {
            if let Field::Given(text) = reading.field::<String>(table, &entry.key) {
                texts.push((Found { value: entry.key.clone(), place: entry.place.clone() }, text));
            }
        }
        Some(Self(texts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_and_decimal_units() {
        assert_eq!(parse_size("8KiB"), Some(8192));
        assert_eq!(parse_size("8 kb"), Some(8000));
        assert_eq!(parse_size("512"), Some(512));
        assert_eq!(parse_size("1.5MiB"), None);
        assert_eq!(parse_size("99999999999GiB"), None);
        assert_eq!(parse_size("-1"), None);
        assert_eq!(parse_size("KiB"), None);
    }

    #[test]
    fn single_addresses_are_networks_and_host_bits_are_cut() {
        assert_eq!(parse_network("10.1.2.3").map(|it| it.to_string()).as_deref(), Some("10.1.2.3/32"));
        assert_eq!(parse_network("10.1.2.3/8").map(|it| it.to_string()).as_deref(), Some("10.0.0.0/8"));
        assert_eq!(parse_network("fd00::1").map(|it| it.to_string()).as_deref(), Some("fd00::1/128"));
        assert_eq!(parse_network("10.1.2"), None);
    }

    #[test]
    fn urls_with_credentials_or_odd_schemes_are_refused() {
        assert!(url_flaw(&Url::parse("https://a:b@example.com").unwrap()).is_some());
        assert!(url_flaw(&Url::parse("ftp://example.com").unwrap()).is_some());
        assert!(url_flaw(&Url::parse("https://example.com/#x").unwrap()).is_some());
        assert!(url_flaw(&Url::parse("https://example.com/x?y").unwrap()).is_none());
    }
}
