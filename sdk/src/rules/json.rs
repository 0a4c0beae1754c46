//! JSON into CEL's values and back.

use std::collections::HashMap;
use std::fmt;

use cel::Value;
use cel::common::types::{
    CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt,
};
use cel::common::value::Val;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// Decodes a JSON document; none where it is none. Nesting is limited by the JSON reader.
pub(super) fn decode(bytes: &[u8]) -> Option<Box<dyn Val>> {
    serde_json::from_slice::<Decoded>(bytes).ok().map(|decoded| decoded.0)
}

/// A value as JSON, with the keys of its maps sorted: they have no order of their own, and a batch
/// that is processed again has to give the same bytes. None for what JSON cannot say.
pub(super) fn from_value(value: Value) -> Option<serde_json::Value> {
    Some(match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => value.into(),
        Value::Int(value) => value.into(),
        Value::UInt(value) => value.into(),
        Value::Float(value) => serde_json::Number::from_f64(value)?.into(),
        Value::String(text) => text.as_str().into(),
        Value::Bytes(bytes) => crate::Value::Binary(bytes.to_vec()).to_string().into(),
        Value::List(list) => list.iter().cloned().map(from_value).collect::<Option<_>>()?,
        Value::Map(map) => {
            let entry = |(key, value): (&cel::objects::Key, &Value)| {
                Some((key.to_string(), from_value(value.clone())?))
            };
            let mut entries: Vec<_> = map.map.iter().map(entry).collect::<Option<_>>()?;
            entries.sort_by(|left, right| left.0.cmp(&right.0));
            serde_json::Value::Object(entries.into_iter().collect())
        }
        _ => return None,
    })
}

/// Built while the bytes are read: a document in between would cost as much again.
struct Decoded(Box<dyn Val>);

impl<'de> Deserialize<'de> for Decoded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue).map(Self)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Box<dyn Val>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Box::new(CelNull))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Box::new(CelBool::from(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Box::new(CelInt::from(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(match i64::try_from(value) {
            Ok(value) => Box::new(CelInt::from(value)),
            Err(_) => Box::new(CelUInt::from(value)),
        })
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Box::new(CelDouble::from(value)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Box::new(CelString::from(text.to_owned())))
    }

    fn visit_string<E>(self, text: String) -> Result<Self::Value, E> {
        Ok(Box::new(CelString::from(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Decoded(element)) = elements.next_element()? {
            list.push(element);
        }
        Ok(Box::new(CelList::from(list)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut map = HashMap::new();
        while let Some((name, Decoded(value))) = members.next_entry::<String, _>()? {
            map.insert(CelMapKey::from(name), value);
        }
        Ok(Box::new(CelMap::from(map)))
    }
}
