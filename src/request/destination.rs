//! `Destination`: where `COPY` and `MOVE` write to ([RFC 4918 section 10.3](https://www.rfc-editor.org/rfc/rfc4918#section-10.3)).

use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::host::Host;
use super::mapping::PathMapping;
use super::path::CanonicalPath;

/// Where something is to be copied or moved to: a URL, or a path at the host that was asked.
#[derive(Clone, Debug)]
pub struct Destination {
    origin: Option<(Scheme, Authority)>,
    target: PathAndQuery,
}

/// Why a `Destination` cannot be judged.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DestinationError {
    /// It stands there more than once.
    #[error("there is more than one Destination field")]
    Repeated,
    /// It is neither an absolute path nor an http URL, or has a fragment.
    #[error("the Destination is neither an absolute path nor an http URL")]
    Malformed,
}

impl Destination {
    /// Whether the field means something to this method. To others it does not, and no application gets it there.
    pub fn counts_for(method: &Method) -> bool {
        matches!(method.as_str(), "COPY" | "MOVE")
    }

    /// The field of a request; `None` where it has none.
    ///
    /// # Errors
    /// [`DestinationError`].
    pub fn of(headers: &HeaderMap) -> Result<Option<Self>, DestinationError> {
        let mut fields = headers.get_all(&DESTINATION).iter();
        let Some(field) = fields.next() else { return Ok(None) };
        if fields.next().is_some() {
            return Err(DestinationError::Repeated);
        }
        Self::parse(field.as_bytes()).map(Some).ok_or(DestinationError::Malformed)
    }

    /// A path or a URL, without a fragment.
    fn parse(field: &[u8]) -> Option<Self> {
        let uri = Uri::try_from(field).ok().filter(|_| !field.contains(&b'#'))?.into_parts();
        let origin = match (uri.scheme, uri.authority) {
            (None, None) => None,
            (Some(scheme), Some(authority)) if scheme == Scheme::HTTP || scheme == Scheme::HTTPS => {
                Some((scheme, authority))
            }
            _ => return None,
        };
        let target = uri.path_and_query.filter(|target| target.as_str().starts_with('/'))?;
        Some(Self { origin, target })
    }

    /// The host that it names, where it names one. Not valid: `Some(None)`.
    pub fn host(&self) -> Option<Option<Host>> {
        let parse =
            |(scheme, authority): &(Scheme, Authority)| Host::parse(authority.as_str(), *scheme == Scheme::HTTPS);
        self.origin.as_ref().map(parse)
    }

    /// What is judged; `None` where it is no path that may be sent at all.
    pub fn path(&self) -> Option<CanonicalPath> {
        CanonicalPath::new(&self.target).ok()
    }

    /// What an application gets in its place: mapped like a target and, where it names a host, at the one that it gets to see.
    pub fn mapped(&self, mapping: &PathMapping, host: Option<&HeaderValue>) -> Option<Self> {
        let seen = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
        let origin = self.origin.clone().map(|(scheme, authority)| (scheme, seen.unwrap_or(authority)));
        Some(Self { origin, target: mapping.target_to_application(&self.target)? })
    }

    /// As a field.
    pub fn to_field(&self) -> Option<HeaderValue> {
        let target = self.target.as_str();
        let text = match &self.origin {
            Some((scheme, authority)) => format!("{scheme}://{authority}{target}"),
            None => target.to_owned(),
        };
        HeaderValue::try_from(text).ok()
    }
}

/// The name of the field.
pub static DESTINATION: HeaderName = HeaderName::from_static("destination");

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fields: &[&str]) -> Result<Option<Destination>, DestinationError> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(&DESTINATION, HeaderValue::from_str(field).unwrap());
        }
        Destination::of(&headers)
    }

    #[test]
    fn a_path_or_a_web_url_is_taken_once() {
        assert!(of(&[]).unwrap().is_none());
        for (field, host) in [("/a?b", false), ("http://x/a", true), ("HTTPS://x:8443/a/../b", true), ("//x/a", false)]
        {
            assert_eq!(of(&[field]).unwrap().unwrap().host().is_some(), host, "{field}");
        }
        for field in ["", "a", "a b", "/a#b", "ftp://x/a", "x:80", "*", "mailto:a@x", "/a?\"b\"", "http:/a", "?a"] {
            assert_eq!(of(&[field]).unwrap_err(), DestinationError::Malformed, "{field}");
        }
        assert_eq!(of(&["/a", "/a"]).unwrap_err(), DestinationError::Repeated);
    }

    #[test]
    fn it_is_mapped_like_a_target_and_keeps_its_form() {
        let mapping = PathMapping::new("/wiki", "/base");
        for (field, host, sent) in [
            ("/wiki/a%20b?c", None, "/base/a%20b?c"),
            ("/wiki", None, "/base"),
            ("https://x/wiki/a", None, "https://x/base/a"),
            ("https://x/wiki/a", Some("app:3000"), "https://app:3000/base/a"),
            ("/wiki/a", Some("app:3000"), "/base/a"),
        ] {
            let host = host.map(HeaderValue::from_static);
            let mapped = of(&[field]).unwrap().unwrap().mapped(&mapping, host.as_ref()).unwrap();
            assert_eq!(mapped.to_field().unwrap(), sent, "{field}");
        }
        assert!(of(&["/wikis/a"]).unwrap().unwrap().mapped(&mapping, None).is_none());
    }

    #[test]
    fn it_counts_for_copy_and_move_as_they_are_written() {
        for (method, counts) in [("COPY", true), ("MOVE", true), ("move", false), ("GET", false), ("PUT", false)] {
            assert_eq!(Destination::counts_for(&Method::from_bytes(method.as_bytes()).unwrap()), counts, "{method}");
        }
    }
}
