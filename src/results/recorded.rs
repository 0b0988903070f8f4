//! A value that older results files lack.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a results file says of something, or that it says nothing, because the program that wrote it did not record it.
///
/// As a field it takes `#[serde(default, skip_serializing_if = "Recorded::is_unknown")]`: a file without the name is unknown,
/// one with a null says that there is none ([`Recorded`] of an [`Option`]).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Recorded<T> {
    /// The file does not say.
    #[default]
    Unknown,
    /// What it says.
    Known(T),
}

impl<T> Recorded<T> {
    /// Whether the file does not say.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.known().is_none()
    }

    /// What the file says, where it does.
    #[must_use]
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Unknown => None,
            Self::Known(value) => Some(value),
        }
    }

    /// The same of what is made of the value.
    pub fn map<'a, U>(&'a self, of: impl FnOnce(&'a T) -> U) -> Recorded<U> {
        match self {
            Self::Unknown => Recorded::Unknown,
            Self::Known(value) => Recorded::Known(of(value)),
        }
    }
}

impl<T> Recorded<Option<T>> {
    /// What there is, as far as the file says.
    #[must_use]
    pub fn found(&self) -> Option<&T> {
        self.known().and_then(Option::as_ref)
    }
}

impl<T> Recorded<Vec<T>> {
    /// All that there are, as far as the file says.
    #[must_use]
    pub fn entries(&self) -> &[T] {
        self.known().map_or(&[], Vec::as_slice)
    }
}

impl<T> From<T> for Recorded<T> {
    fn from(value: T) -> Self {
        Self::Known(value)
    }
}

impl<T: Serialize> Serialize for Recorded<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            // Only where a field is not skipped as it should be.
            Self::Unknown => serializer.serialize_none(),
            Self::Known(value) => value.serialize(serializer),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Recorded<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self::Known)
    }
}

/// That of the value: whether there is one is a matter of the field.
impl<T: JsonSchema> JsonSchema for Recorded<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Outer {
        #[serde(flatten)]
        inner: Inner,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Inner {
        #[serde(default, skip_serializing_if = "Recorded::is_unknown")]
        count: Recorded<u64>,
        #[serde(default, skip_serializing_if = "Recorded::is_unknown")]
        time_s: Recorded<Option<f64>>,
    }

    #[test]
    fn absent_null_and_there_are_three_things_and_stay_so() {
        for (json, count, time_s) in [
            (json!({}), Recorded::Unknown, Recorded::Unknown),
            (json!({"count": 0, "time_s": null}), Recorded::Known(0), Recorded::Known(None)),
            (json!({"count": 7, "time_s": 0.5}), Recorded::Known(7), Recorded::Known(Some(0.5))),
        ] {
            let read: Outer = serde_json::from_value(json.clone()).unwrap();
            assert_eq!(read, Outer { inner: Inner { count, time_s } });
            assert_eq!(serde_json::to_value(&read).unwrap(), json);
        }
        assert!(serde_json::from_value::<Outer>(json!({"count": Value::Null})).is_err());
    }
}
