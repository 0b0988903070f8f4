//! The order of keys, as SQLite compares them: NULL, numbers, texts, blobs; texts as the collation of their column says.

use std::cmp::Ordering;

use rusqlite::types::ValueRef;

use crate::pages::read::{PageFault, Values};

/// How texts of a column are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Collation {
    /// Byte by byte.
    Binary,
    /// As binary, with the letters A to Z as their small ones.
    NoCase,
    /// As binary, without the spaces at the end.
    RTrim,
}

/// A column of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KeyColumn {
    pub collation: Collation,
    pub descending: bool,
}

/// How the keys of a tree ascend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Order {
    pub columns: Vec<KeyColumn>,
    /// As many columns at the front are never the same twice, unless one of them is NULL.
    pub unique: Option<usize>,
}

impl Collation {
    /// The collation of this name; `None` where it is an application's own.
    pub fn named(name: &str) -> Option<Self> {
        let named = [("BINARY", Self::Binary), ("NOCASE", Self::NoCase), ("RTRIM", Self::RTrim)];
        named.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, collation)| collation)
    }

    fn compare(self, one: &[u8], other: &[u8]) -> Ordering {
        match self {
            Self::Binary => one.cmp(other),
            Self::NoCase => compare_no_case(one, other),
            Self::RTrim => trimmed(one).cmp(trimmed(other)),
        }
    }
}

/// As SQLite does it, which looks at nothing but the lengths after a zero byte in both.
fn compare_no_case(one: &[u8], other: &[u8]) -> Ordering {
    for (one, other) in one.iter().zip(other) {
        match one.to_ascii_lowercase().cmp(&other.to_ascii_lowercase()) {
            Ordering::Equal if *one == 0 => break,
            Ordering::Equal => {}
            differs => return differs,
        }
    }
    one.len().cmp(&other.len())
}

fn trimmed(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
    &text[..end]
}

impl Order {
    /// Refuses a key that does not come after the one before it.
    ///
    /// # Errors
    /// What is wrong with the two, or with the record of one of them.
    pub fn check(&self, before: &[u8], after: &[u8]) -> Result<(), PageFault> {
        let (mut befores, mut afters) = (Values::new(before)?, Values::new(after)?);
        let mut has_null = false;
        for (place, column) in self.columns.iter().enumerate() {
            let (Some(one), Some(other)) = (befores.next().transpose()?, afters.next().transpose()?) else {
                return Err("it holds a key with too few columns".into());
            };
            has_null |= self.unique.is_some_and(|unique| place < unique) && one == ValueRef::Null;
            let ordering = compare(one, other, column.collation);
            match if column.descending { ordering.reverse() } else { ordering } {
                Ordering::Greater => return Err("its keys are out of order".into()),
                Ordering::Less => return Ok(()),
                Ordering::Equal if self.unique == Some(place + 1) && !has_null => {
                    return Err("it holds a key twice that is to be unique".into());
                }
                Ordering::Equal => {}
            }
        }
        Err("it holds a key twice".into())
    }
}

fn compare(one: ValueRef<'_>, other: ValueRef<'_>, collation: Collation) -> Ordering {
    let rank = |value: &ValueRef<'_>| match value {
        ValueRef::Null => 0,
        ValueRef::Integer(_) | ValueRef::Real(_) => 1,
        ValueRef::Text(_) => 2,
        ValueRef::Blob(_) => 3,
    };
    match (one, other) {
        (ValueRef::Integer(one), ValueRef::Integer(other)) => one.cmp(&other),
        (ValueRef::Real(one), ValueRef::Real(other)) => one.partial_cmp(&other).unwrap_or(Ordering::Equal),
        (ValueRef::Integer(integer), ValueRef::Real(real)) => compare_mixed(integer, real),
        (ValueRef::Real(real), ValueRef::Integer(integer)) => compare_mixed(integer, real).reverse(),
        (ValueRef::Text(one), ValueRef::Text(other)) => collation.compare(one, other),
        (ValueRef::Blob(one), ValueRef::Blob(other)) => one.cmp(other),
        (one, other) => rank(&one).cmp(&rank(&other)),
    }
}

/// Compares without the rounding of large integers.
#[expect(clippy::cast_possible_truncation, reason = "within the bounds that were compared before")]
fn compare_mixed(integer: i64, real: f64) -> Ordering {
    /// 2^63, the first that is no 64-bit integer any more.
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;

    if real >= BEYOND {
        Ordering::Less
    } else if real < -BEYOND {
        Ordering::Greater
    } else {
        let whole = real.trunc();
        integer.cmp(&(whole as i64)).then_with(|| 0.0_f64.total_cmp(&(real - whole + 0.0)))
    }
}

/// A value as table and index both have it: SQLite stores a whole number of a REAL column as an integer, in one of the two or
/// in both.
#[expect(clippy::cast_possible_truncation, reason = "within the bounds that were compared before")]
pub(super) fn normal(value: ValueRef<'_>) -> ValueRef<'_> {
    /// 2^53: up to it every whole number is exact in both.
    const EXACT: f64 = 9_007_199_254_740_992.0;

    match value {
        ValueRef::Real(real) if real.fract().abs() <= 0.0 && real.abs() <= EXACT => ValueRef::Integer(real as i64),
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) | ValueRef::Text(_) | ValueRef::Blob(_) => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::push_record;

    fn check(order: &Order, before: &[ValueRef<'_>], after: &[ValueRef<'_>]) -> Result<(), String> {
        let (mut one, mut other) = (Vec::new(), Vec::new());
        push_record(&mut one, before);
        push_record(&mut other, after);
        order.check(&one, &other).map_err(|fault| fault.to_string())
    }

    fn order(collation: Collation, descending: bool, unique: Option<usize>) -> Order {
        let id = KeyColumn { collation: Collation::Binary, descending: false };
        Order { columns: vec![KeyColumn { collation, descending }, id], unique }
    }

    #[test]
    fn values_ascend_as_sqlite_has_them() {
        let (text, id) = (|text: &'static str| ValueRef::Text(text.as_bytes()), ValueRef::Integer(1));
        let values = [
            ValueRef::Null,
            ValueRef::Real(-1e300),
            ValueRef::Integer(i64::MIN),
            ValueRef::Integer(-1),
            ValueRef::Real(-0.5),
            ValueRef::Integer(0),
            ValueRef::Real(0.5),
            ValueRef::Integer(1),
            ValueRef::Real(1.5),
            ValueRef::Integer(i64::MAX),
            ValueRef::Real(1e19),
            text(""),
            text("A"),
            text("a"),
            text("a "),
            ValueRef::Blob(b""),
            ValueRef::Blob(b"a"),
        ];
        let (up, down) = (order(Collation::Binary, false, None), order(Collation::Binary, true, None));
        for pair in values.windows(2) {
            assert_eq!(check(&up, &[pair[0], id], &[pair[1], id]), Ok(()), "{pair:?}");
            assert_eq!(check(&down, &[pair[1], id], &[pair[0], id]), Ok(()), "{pair:?}");
            assert!(check(&up, &[pair[1], id], &[pair[0], id]).is_err(), "{pair:?}");
        }
    }

    #[test]
    fn collations_and_unique_keys() {
        let text = |text: &'static str| ValueRef::Text(text.as_bytes());
        let (one, two) = (ValueRef::Integer(1), ValueRef::Integer(2));
        let no_case = order(Collation::NoCase, false, None);
        assert_eq!(check(&no_case, &[text("B"), one], &[text("b"), two]), Ok(()));
        assert_eq!(check(&no_case, &[text("a"), one], &[text("B"), one]), Ok(()));
        assert!(check(&no_case, &[text("b"), one], &[text("B"), one]).unwrap_err().contains("twice"));
        let trimmed = order(Collation::RTrim, false, Some(1));
        assert!(check(&trimmed, &[text("a "), one], &[text("a"), two]).unwrap_err().contains("to be unique"));
        let null = ValueRef::Null;
        assert_eq!(check(&trimmed, &[null, one], &[null, two]), Ok(()));
        assert!(check(&trimmed, &[null, two], &[null, one]).is_err());
        assert_eq!(
            check(&trimmed, &[text("a")], &[text("a")]).unwrap_err(),
            "it holds a key twice that is to be unique"
        );
        assert_eq!(normal(ValueRef::Real(5.0)), ValueRef::Integer(5));
        assert_eq!(normal(ValueRef::Real(5.5)), ValueRef::Real(5.5));
    }
}
