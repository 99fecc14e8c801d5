//! The types of values: durations, sizes, URLs, networks, files, lists, tables of names. Each reads itself, or reports why not.

use std::fmt;
use std::marker::PhantomData;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use schemars::JsonSchema;
use serde::de::{MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};
use url::Url;

use super::files::{read_file, warn_of_readers};
use super::input::{ONE_OR_MANY, ONE_OR_MANY_WITH_EMPTY};
use super::kinds;
use super::reading::{Field, Found, already_refused, refused, refused_with, with};
use super::tree::Value;
use crate::secret::{PrivateKey, Secret};

/// One value or a list of them; the list may be empty, which is for the key's owner to judge.
#[derive(Clone, Debug)]
pub(super) struct OneOrMany<T>(pub(super) Vec<Found<T>>);

/// The same; in a variable, what stands between two commas is an item even where it is nothing, and refused as such.
#[derive(Clone, Debug)]
pub(super) struct OneOrManyWithEmpty<T>(pub(super) Vec<Found<T>>);

/// Always a list; of tables, where messages shall say so.
#[derive(Clone, Debug)]
pub(super) struct List<T, const OF_TABLES: bool = false>(pub(super) Vec<Found<T>>);

/// A table that says something: an empty one could mean nobody or everybody.
#[derive(Clone, Debug, Default)]
pub(super) struct Filled<T>(pub(super) T);

/// Values by names of the operator's choice, in the order of the file; tables, where messages shall say so.
#[derive(Clone, Debug)]
pub(super) struct Named<T, const OF_TABLES: bool = false>(pub(super) Vec<(Found<String>, Field<T>)>);

/// A text, or a table that says more.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename = "$text or table")]
#[schemars(untagged, inline)]
pub(super) enum TextOr<T> {
    /// The text.
    Text(String),
    /// The table.
    Table(T),
}

/// A duration: `"1h 30m"`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Timespan(pub(super) Duration);

/// A number of bytes: `"8KiB"`, `8192`.
#[derive(Clone, Copy, Debug)]
pub(super) struct ByteSize(pub(super) u64);

/// The mode of a file, as `chmod` takes it: octal digits in quotes, `"0660"`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct FileMode(pub(super) u32);

/// A URL of a server that can be called.
#[derive(Clone, Debug)]
pub(super) struct WebUrl(pub(super) Url);

/// A CIDR, or an address as the network of itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Network(pub(super) IpNet);

/// What a claim may equal: a string, an integer or a boolean.
#[derive(Clone, Debug)]
pub(super) struct ClaimValue(pub(super) serde_json::Value);

/// A text in which white space counts.
#[derive(Clone, Debug)]
pub(super) struct RawText(pub(super) String);

/// A file that is not watched, because whoever uses it reads it again.
#[derive(Clone, Debug)]
pub(super) struct Unwatched<T>(pub(super) T);

/// A file of certificates, PEM.
#[derive(Clone, Debug)]
pub(super) struct CertificatesFile {
    pub(super) path: PathBuf,
    /// At least one.
    pub(super) certificates: Vec<CertificateDer<'static>>,
}

/// A file with a private key, PEM.
#[derive(Clone, Debug)]
pub(super) struct KeyFile {
    pub(super) path: PathBuf,
    pub(super) key: PrivateKey,
}

impl<'de, T: Deserialize<'de>, const OF_TABLES: bool> Deserialize<'de> for List<T, OF_TABLES> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wanted = if OF_TABLES { "a list of tables" } else { "a list" };
        deserializer.deserialize_seq(ListVisitor(wanted, PhantomData)).map(Self)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(ONE_OR_MANY, ListVisitor("a list", PhantomData)).map(Self)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrManyWithEmpty<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(ONE_OR_MANY_WITH_EMPTY, ListVisitor("a list", PhantomData)).map(Self)
    }
}

/// Reads all items, so that every wrong one is reported.
struct ListVisitor<T>(&'static str, PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
    type Value = Vec<Found<T>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let (mut found, mut is_whole) = (Vec::new(), true);
        while let Some(item) = items.next_element::<Field<T>>()? {
            match item {
                Field::Given(item) => found.push(item),
                Field::Absent | Field::Wrong => is_whole = false,
            }
        }
        if is_whole { Ok(found) } else { Err(already_refused()) }
    }
}

impl<T, const OF_TABLES: bool> Named<T, OF_TABLES> {
    /// Those that could be read.
    pub(super) fn given(&self) -> impl Iterator<Item = (&Found<String>, &Found<T>)> {
        self.0.iter().filter_map(|(name, value)| Some((name, value.given()?)))
    }
}

impl<'de, T: Deserialize<'de>, const OF_TABLES: bool> Deserialize<'de> for Named<T, OF_TABLES> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wanted = if OF_TABLES { "a table of tables" } else { "a table" };
        deserializer.deserialize_map(NamedVisitor(wanted, PhantomData)).map(Self)
    }
}

/// Reads the entries of a table in the order of the file.
struct NamedVisitor<T>(&'static str, PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for NamedVisitor<T> {
    type Value = Vec<(Found<String>, Field<T>)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut named = Vec::new();
        while let Some(name) = entries.next_key()? {
            named.push((name, entries.next_value()?));
        }
        Ok(named)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Filled<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let node = with(|reading| reading.node());
        if matches!(node.structured().unwrap_or(node).value, Value::Table(table) if table.entries.is_empty()) {
            return Err(refused(kinds::EMPTY_TABLE, |key| format!("`{key}` is empty")));
        }
        T::deserialize(deserializer).map(Self)
    }
}

/// A text, which may be empty; `self` says what is wanted.
struct TextVisitor(&'static str);

impl Visitor<'_> for TextVisitor {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }
}

impl<'de> Deserialize<'de> for RawText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor("a string")).map(Self)
    }
}

impl<'de> Deserialize<'de> for Timespan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = deserializer.deserialize_str(TextVisitor("a duration in quotes"))?;
        match humantime::parse_duration(&text) {
            Ok(span) if span <= LONGEST => Ok(Self(span)),
            Ok(_) => Err(refused(kinds::DURATION_TOO_LONG, |key| format!("`{key}` is longer than ten years"))),
            Err(error) => Err(refused_with(
                kinds::NO_DURATION,
                |key| format!("`{key}` is not a duration"),
                |diagnostic| diagnostic.label(error.to_string()),
            )),
        }
    }
}

/// Beyond this, sums of times and durations are not sure to stay in range.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 86_400);

/// A string, an integer or a boolean; the text says what is wanted, and whether a boolean is.
struct ScalarVisitor(&'static str, bool);

impl Visitor<'_> for ScalarVisitor {
    type Value = serde_json::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(text.into())
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(number.into())
    }

    fn visit_bool<E: serde::de::Error>(self, yes: bool) -> Result<Self::Value, E> {
        if self.1 { Ok(yes.into()) } else { Err(E::invalid_type(Unexpected::Bool(yes), &self)) }
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = deserializer.deserialize_any(ScalarVisitor("a size in bytes", false))?;
        let size = value.as_str().map_or_else(|| value.as_u64(), parse_size);
        size.map(Self).ok_or_else(|| refused(kinds::NO_SIZE, |key| format!("`{key}` is not a size")))
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

impl<'de> Deserialize<'de> for FileMode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Without quotes nobody could tell whether 660 is meant as octal.
        let text = deserializer.deserialize_str(TextVisitor("a mode in quotes, such as \"0660\""))?;
        parse_mode(&text).map(Self).ok_or_else(|| {
            let message = |key: &str| format!("`{key}` cannot be \"{}\"", text.escape_default());
            refused_with(kinds::NO_FILE_MODE, message, |diagnostic| diagnostic.label("not the mode of a socket"))
        })
    }
}

/// Three digits, with or without the zero before them; the owner has to be able to connect.
fn parse_mode(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let fits = matches!(digits.len(), 3 | 4) && digits.bytes().all(|b| matches!(b, b'0'..=b'7'));
    let mode = u32::from_str_radix(digits, 8).ok().filter(|_| fits)?;
    (mode <= 0o777 && mode & 0o600 == 0o600).then_some(mode)
}

impl<'de> Deserialize<'de> for WebUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let flaw = match Url::parse(&text) {
            Ok(url) => match url_flaw(&url) {
                None => return Ok(Self(url)),
                Some(flaw) => flaw.to_owned(),
            },
            Err(url::ParseError::RelativeUrlWithoutBase) => "it has no scheme".to_owned(),
            Err(error) => error.to_string(),
        };
        Err(refused(kinds::NO_URL, |key| format!("`{key}` is not a URL that can be used: {flaw}")))
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

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let message = |key: &str| format!("`{key}` holds something that is not a network");
        parse_network(&text).map(Self).ok_or_else(|| refused(kinds::NO_NETWORK, message))
    }
}

/// A CIDR, or an address as the network of itself. Bits below the mask are cut off.
pub(super) fn parse_network(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>().map(|network| network.trunc()).ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

impl<'de> Deserialize<'de> for ClaimValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor("a string, an integer or a boolean", true)).map(Self)
    }
}

impl<'de> Deserialize<'de> for CertificatesFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let path = String::deserialize(deserializer)?;
        let (path, pem) = read_file(&path)?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        match certificates {
            Ok(certificates) if !certificates.is_empty() => Ok(Self { path, certificates }),
            _ => Err(refused(kinds::NO_CERTIFICATE, |key| format!("`{key}` holds no certificate"))),
        }
    }
}

impl<'de> Deserialize<'de> for KeyFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let path = String::deserialize(deserializer)?;
        let (path, pem) = read_file(&path)?;
        let pem = Secret::new(pem);
        let Ok(key) = PrivateKeyDer::from_pem_slice(pem.expose()) else {
            return Err(refused(kinds::NO_PRIVATE_KEY, |key| format!("`{key}` holds no private key")));
        };
        with(|reading| warn_of_readers(&path, &reading.place(), reading));
        Ok(Self { path, key: Arc::new(Secret::new(key)) })
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Unwatched<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let watched = with(|reading| reading.files.len());
        let file = T::deserialize(deserializer);
        with(|reading| reading.files.truncate(watched));
        file.map(Self)
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
