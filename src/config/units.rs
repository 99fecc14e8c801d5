//! The types of values: durations, sizes, URLs, networks, files, lists, tables of names. Each reads itself, or reports why not.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};
use rustls_pki_types::CertificateDer;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use url::Url;

use super::files::{read_file, warn_of_readers};
use super::input::{Input, read_entry, read_items};
use super::kinds;
use super::problems::{Flaw, first_flaw};
use super::reading::{Field, Found, Refused, already_refused, below, refused, with, wrong_type};
use super::tree::{Node, NodeValue};
use crate::pem;
use crate::secret::{PrivateKey, Secret};

/// One value or a list of them.
// The list may be empty: what that means is for the key's owner to judge. `WITH_EMPTY`: in a variable, what stands between two commas
// is an item even where it is nothing, and refused as such.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, bound = "T: JsonSchema")]
pub(super) struct OneOrMany<T, const WITH_EMPTY: bool = false>(
    #[schemars(schema_with = "one_or_many::<T>")] pub(super) Vec<Found<T>>,
);

/// Always a list; of tables, where messages shall say so.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline)]
pub(super) struct List<T, const OF_TABLES: bool = false>(#[schemars(with = "Vec<T>")] pub(super) Vec<Found<T>>);

/// A table that says something: an empty one could mean nobody or everybody.
#[derive(Clone, Debug, Default, JsonSchema)]
#[schemars(inline)]
pub(super) struct Filled<T>(pub(super) T);

/// Values by names of the operator's choice, in the order of the file; tables, where messages shall say so.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline)]
pub(super) struct Named<T, const OF_TABLES: bool = false>(
    #[schemars(with = "HashMap<String, T>")] pub(super) Vec<(Found<String>, Field<T>)>,
);

/// A text, or a table that says more.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(untagged, inline)]
pub(super) enum TextOr<T> {
    /// The text.
    Text(String),
    /// The table.
    Table(T),
}

/// A duration, or a table that says more.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(untagged, inline)]
pub(super) enum SpanOr<T> {
    /// The duration.
    Span(Timespan),
    /// The table.
    Table(T),
}

/// One of some words, or a table that says more.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(untagged, inline)]
pub(super) enum WordOr<W, T> {
    /// The word.
    Word(W),
    /// The table.
    Table(T),
}

/// A duration: `"1h 30m"`.
#[derive(Clone, Copy, Debug, Eq, JsonSchema, PartialEq)]
#[schemars(inline, extend("examples" = ["500ms", "30s", "15m", "1h 30m"]))]
pub(super) struct Timespan(#[schemars(with = "String")] pub(super) Duration);

/// A number of bytes: `"8KiB"`, `8192`.
#[derive(Clone, Copy, Debug, JsonSchema)]
#[schemars(inline, extend("type" = ["string", "integer"], "minimum" = 0, "examples" = ["8KiB", "10MiB"]))]
pub(super) struct ByteSize(#[schemars(with = "String")] pub(super) u64);

/// The mode of a file, as `chmod` takes it: octal digits in quotes, `"0660"`.
#[derive(Clone, Copy, Debug, Eq, JsonSchema, PartialEq)]
#[schemars(inline, extend("pattern" = "^(0o|0)?[0-7]{3}$"))]
pub(super) struct FileMode(#[schemars(with = "String")] pub(super) u32);

/// A URL of a server that can be called.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, extend("format" = "uri"))]
pub(super) struct WebUrl(#[schemars(with = "String")] pub(super) Url);

/// A CIDR, or an address as the network of itself.
#[derive(Clone, Copy, Debug, JsonSchema)]
#[schemars(inline, extend("examples" = ["10.0.0.0/8"]))]
pub(super) struct Network(#[schemars(with = "String")] pub(super) IpNet);

/// What a claim may equal: a string, an integer or a boolean.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, extend("type" = ["string", "integer", "boolean"]))]
pub(super) struct ClaimValue(#[schemars(with = "String")] pub(super) serde_json::Value);

/// A text in which white space counts.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline)]
pub(super) struct RawText(pub(super) String);

/// A file of certificates, PEM.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, with = "String")]
pub(super) struct CertificatesFile {
    /// Where it is.
    pub(super) path: PathBuf,
    /// At least one.
    pub(super) certificates: Vec<CertificateDer<'static>>,
}

/// A file with a private key, PEM.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, with = "String")]
pub(super) struct KeyFile {
    /// Where it is.
    pub(super) path: PathBuf,
    /// The key itself.
    pub(super) key: PrivateKey,
}

/// A value, or a list of such.
fn one_or_many<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let one = generator.subschema_for::<T>();
    json_schema!({ "anyOf": [one, { "type": "array", "items": one }] })
}

/// Lets serde read a type that is made of a value of the file, whatever type that has: what is being read is known without serde.
macro_rules! read_from_node {
    ($type:ident $(<$of:ident $(, $flag:ident)?>)?, $read:expr) => {
        impl<'de $(, $of: Deserialize<'de> $(, const $flag: bool)?)?> Deserialize<'de> for $type $(<$of $(, $flag)?>)? {
            fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
                let read: fn(Node) -> Result<Self, Refused> = $read;
                read(with(|reading| reading.node())).map_err(|_| already_refused())
            }
        }
    };
}

read_from_node!(List<T, OF_TABLES>, |node| {
    let wanted = if OF_TABLES { "a list of tables" } else { "a list" };
    read_items(node.items(false).ok_or_else(|| wrong_type(&node, wanted))?).map(Self)
});

read_from_node!(OneOrMany<T, WITH_EMPTY>, |node| {
    read_items(node.items(WITH_EMPTY).unwrap_or_else(|| vec![node])).map(Self)
});

impl<T, const OF_TABLES: bool> Default for Named<T, OF_TABLES> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, const OF_TABLES: bool> Named<T, OF_TABLES> {
    /// Those that could be read.
    pub(super) fn given(&self) -> impl Iterator<Item = (&Found<String>, &Found<T>)> {
        self.0.iter().filter_map(|(name, value)| Some((name, value.given()?)))
    }
}

read_from_node!(Named<T, OF_TABLES>, |node| {
    let wanted = if OF_TABLES { "a table of tables" } else { "a table" };
    let mut named = Vec::new();
    for entry in Input(node).table(wanted)?.entries {
        let key = below(Some(&entry.key), &entry.place, &entry.node, || with(|reading| reading.key()));
        let name = Found { value: entry.key.clone(), place: entry.place.clone(), key };
        named.push((name, read_entry(entry, Field::deserialize)?));
    }
    Ok(Self(named))
});

read_from_node!(Filled<T>, |node| match node.structured().as_ref().unwrap_or(&node).value {
    NodeValue::Table(ref table) if table.entries.is_empty() => {
        Err(refused(Flaw::new(kinds::EMPTY_TABLE, "is empty")))
    }
    _ => T::deserialize(Input(node)).map(Self),
});

read_from_node!(TextOr<T>, |node| match &node.value {
    NodeValue::Table(_) => T::deserialize(Input(node)).map(Self::Table),
    NodeValue::Untyped(_) if node.structured().is_some() => T::deserialize(Input(node)).map(Self::Table),
    NodeValue::Untyped(_) | NodeValue::String(_) => Input(node).filled_text().map(Self::Text),
    _ => Err(wrong_type(&node, "a string or a table")),
});

read_from_node!(SpanOr<T>, |node| match &node.value {
    NodeValue::Table(_) => T::deserialize(Input(node)).map(Self::Table),
    NodeValue::Untyped(_) if node.structured().is_some() => T::deserialize(Input(node)).map(Self::Table),
    _ => Timespan::deserialize(Input(node)).map(Self::Span),
});

impl<'de, W: Deserialize<'de>, T: Deserialize<'de>> Deserialize<'de> for WordOr<W, T> {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        let node = with(|reading| reading.node());
        let read = match node.structured().as_ref().unwrap_or(&node).value {
            NodeValue::Table(_) => T::deserialize(Input(node)).map(Self::Table),
            NodeValue::Untyped(_) | NodeValue::String(_) => W::deserialize(Input(node)).map(Self::Word),
            _ => Err(wrong_type(&node, "a string or a table")),
        };
        read.map_err(|_| already_refused())
    }
}

/// A text, which may be empty; `wanted` says what it holds.
fn text<'a>(node: &'a Node, wanted: &str) -> Result<&'a str, Refused> {
    node.text().ok_or_else(|| wrong_type(node, wanted))
}

read_from_node!(RawText, |node| text(&node, "a string").map(|text| Self(text.to_owned())));

read_from_node!(Timespan, |node| match humantime::parse_duration(text(&node, "a duration in quotes")?) {
    Ok(span) if span <= LONGEST => Ok(Self(span)),
    Ok(_) => Err(refused(Flaw::new(kinds::DURATION_TOO_LONG, "is longer than ten years"))),
    Err(error) => Err(refused(Flaw::new(kinds::NO_DURATION, "is not a duration").label(error.to_string()))),
});

/// Beyond this, sums of times and durations are not sure to stay in range.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 86_400);

read_from_node!(ByteSize, |node| {
    let size = match &node.value {
        NodeValue::Integer(number) => u64::try_from(*number).ok(),
        _ => parse_size(text(&node, "a size in bytes")?),
    };
    size.map(Self).ok_or_else(|| refused(Flaw::new(kinds::NO_SIZE, "is not a size")))
});

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

read_from_node!(FileMode, |node| {
    // Without quotes nobody could tell whether 660 is meant as octal.
    let text = text(&node, "a mode in quotes, such as \"0660\"")?;
    let flaw = || Flaw::of(kinds::NO_FILE_MODE, "cannot be", text).label("not the mode of a socket");
    parse_mode(text).map(Self).ok_or_else(|| refused(flaw()))
});

/// Three digits, with or without the zero before them; the owner has to be able to connect.
fn parse_mode(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let fits = matches!(digits.len(), 3 | 4) && digits.bytes().all(|b| matches!(b, b'0'..=b'7'));
    let mode = u32::from_str_radix(digits, 8).ok().filter(|_| fits)?;
    (mode <= 0o777 && mode & 0o600 == 0o600).then_some(mode)
}

read_from_node!(WebUrl, |node| {
    let flaw = match Url::parse(&Input(node).filled_text()?) {
        Ok(url) => match url_flaw(&url) {
            None => return Ok(Self(url)),
            Some(flaw) => flaw.to_owned(),
        },
        Err(url::ParseError::RelativeUrlWithoutBase) => "it has no scheme".to_owned(),
        Err(error) => error.to_string(),
    };
    Err(refused(Flaw::new(kinds::NO_URL, format!("is not a URL that can be used: {flaw}"))))
});

/// Why a well-formed URL is not one of a server that can be called.
fn url_flaw(url: &Url) -> Option<&'static str> {
    first_flaw([
        (!matches!(url.scheme(), "http" | "https"), "its scheme is neither https nor http"),
        (url.host().is_none(), "it has no host"),
        (!url.username().is_empty() || url.password().is_some(), "it holds a user name or password"),
        (url.fragment().is_some(), "it has a fragment"),
    ])
}

read_from_node!(Network, |node| {
    let flaw = || refused(Flaw::new(kinds::NO_NETWORK, "holds something that is not a network"));
    parse_network(&Input(node).filled_text()?).map(Self).ok_or_else(flaw)
});

/// A CIDR, or an address as the network of itself. Bits below the mask are cut off. IPv4-mapped IPv6 is read as IPv4, which is
/// how addresses are compared.
pub(super) fn parse_network(text: &str) -> Option<IpNet> {
    // Not every parser of networks minds zeros before a number, with which other programs read it as octal: 010.0.0.0 is 8.0.0.0 there.
    let address: IpAddr = text.split('/').next()?.parse().ok()?;
    let network = if text.contains('/') { text.parse().ok()? } else { IpNet::from(address) };
    Some(unmapped(network).trunc())
}

/// An IPv4-mapped network as that of IPv4 ([RFC 4291 section 2.5.5.2](https://www.rfc-editor.org/rfc/rfc4291#section-2.5.5.2)).
fn unmapped(network: IpNet) -> IpNet {
    let IpNet::V6(mapped) = network else { return network };
    let length = mapped.prefix_len().checked_sub(MAPPED_BITS);
    let address = mapped.addr().to_ipv4_mapped();
    length.zip(address).and_then(|(length, address)| Ipv4Net::new(address, length).ok()).map_or(network, IpNet::V4)
}

/// The bits before the IPv4 address in an IPv4-mapped one.
const MAPPED_BITS: u8 = 96;

read_from_node!(ClaimValue, |node| {
    Ok(Self(match &node.value {
        NodeValue::Integer(number) => (*number).into(),
        NodeValue::Boolean(yes) => (*yes).into(),
        _ => text(&node, "a string, an integer or a boolean")?.into(),
    }))
});

read_from_node!(CertificatesFile, |node| {
    let (path, pem) = read_file(&Input(node).filled_text()?)?;
    let nothing = |_| refused(Flaw::new(kinds::NO_CERTIFICATE, "holds no certificate"));
    Ok(Self { path, certificates: pem::certificates(&pem).map_err(nothing)? })
});

read_from_node!(KeyFile, |node| {
    let (path, pem) = read_file(&Input(node).filled_text()?)?;
    let key = private_key(Secret::new(pem).expose()).map_err(refused::<Refused>)?;
    with(|reading| {
        warn_of_readers(&path, &reading.place(), reading);
        reading.note_secret_file();
    });
    Ok(Self { path, key })
});

/// The private key of a PEM.
pub(super) fn private_key(pem: &[u8]) -> Result<PrivateKey, Flaw> {
    pem::private_key(pem).map_err(|_| Flaw::new(kinds::NO_PRIVATE_KEY, "holds no private key"))
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
        for bad in
            ["10.1.2", "010.1.2.0/24", "10.1.2.3/33", "10.1.2.3/", "10.1.2.3/+8", "10.1.2.3/ 8", "fd00::/129", "/8"]
        {
            assert_eq!(parse_network(bad), None, "{bad}");
        }
    }

    #[test]
    fn ipv4_mapped_networks_are_those_of_ipv4() {
        for (written, read) in [
            ("::ffff:10.1.2.3/104", "10.0.0.0/8"),
            ("::ffff:10.1.2.3", "10.1.2.3/32"),
            ("::ffff:0a01:0203/120", "10.1.2.0/24"),
            ("::ffff:0.0.0.0/96", "0.0.0.0/0"),
            // Larger than all of IPv4, and no IPv4 any more.
            ("::ffff:0:0/95", "::fffe:0:0/95"),
            ("::10.1.2.3/104", "::a00:0/104"),
        ] {
            assert_eq!(parse_network(written).map(|it| it.to_string()).as_deref(), Some(read), "{written}");
        }
    }

    #[test]
    fn urls_with_credentials_or_odd_schemes_are_refused() {
        assert!(url_flaw(&Url::parse("https://a:b@example.com").unwrap()).is_some());
        assert!(url_flaw(&Url::parse("ftp://example.com").unwrap()).is_some());
        assert!(url_flaw(&Url::parse("https://example.com/#x").unwrap()).is_some());
        assert!(url_flaw(&Url::parse("https://example.com/x?y").unwrap()).is_none());
    }

    #[test]
    fn a_mode_is_three_octal_digits_that_let_the_owner_in() {
        for (text, mode) in [("0660", 0o660), ("660", 0o660), ("0600", 0o600), ("0o666", 0o666), ("0777", 0o777)] {
            assert_eq!(parse_mode(text), Some(mode), "{text}");
        }
        for bad in
            ["", "66", "0668", "1660", "4755", "0060", "0400", "rw-rw----", "0x660", " 660", "+660", "-660", "00660"]
        {
            assert_eq!(parse_mode(bad), None, "{bad}");
        }
    }
}
