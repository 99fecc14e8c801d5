//! JSON from a provider, strictly: an object with a member twice is refused, because two readers could take different ones
//! ([RFC 7515 section 4](https://www.rfc-editor.org/rfc/rfc7515#section-4),
//! [RFC 7519 section 4](https://www.rfc-editor.org/rfc/rfc7519#section-4), ID-20). Depth and numbers are bounded by the parser.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::identity::Claims;

/// Reads an object.
pub(super) fn object(bytes: &[u8]) -> Result<Claims, serde_json::Error> {
    match serde_json::from_slice::<Strict>(bytes)?.0 {
        Value::Object(members) => Ok(members),
        _ => Err(serde_json::Error::custom("not an object")),
    }
}

/// A value without repeated members, at any depth.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

/// Makes a value of what the parser meets.
struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((name, Strict(value))) = members.next_entry::<String, Strict>()? {
            if map.insert(name, value).is_some() {
                return Err(A::Error::custom("a member twice"));
            }
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicate_members_are_refused_at_any_depth() {
        // ID-20
        assert!(object(br#"{"a":1,"b":{"a":1}}"#).is_ok());
        assert!(object(br#"{"a":1,"a":1}"#).is_err());
        assert!(object(br#"{"a":[{"b":1,"b":2}]}"#).is_err());
        assert!(object(br#"{"a":1,"\u0061":2}"#).is_err());
    }

    #[test]
    fn what_is_not_a_bounded_object_is_refused() {
        // AT-TP-12
        assert!(object(b"[]").is_err());
        assert!(object(b"\"x\"").is_err());
        assert!(object(b"{} x").is_err());
        assert!(object(b"{\"exp\":1e400}").is_err());
        assert!(object(b"{\"exp\":NaN}").is_err());
        assert!(object(b"{\"a\":\"\xff\"}").is_err());
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
        assert!(object(deep.as_bytes()).is_err());
    }
}
