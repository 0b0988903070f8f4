//! Reading records: the values of a row or of an entry of an index.

use rusqlite::types::ValueRef;

use super::read::PageFault;

/// The most columns that a table or index of a tracker's database, SQLite's own tables included, has.
const COLUMNS_MAX: usize = 5;

/// The values of a record of any number of columns, one after the other. The last one is followed by a fault where bytes are
/// left that belong to no value.
#[derive(Debug)]
pub(crate) struct Values<'p> {
    types: &'p [u8],
    body: &'p [u8],
}

impl<'p> Values<'p> {
    /// Those of a record that is `payload` to its last byte.
    ///
    /// # Errors
    /// Where the header is longer than the record.
    #[inline]
    pub fn new(payload: &'p [u8]) -> Result<Self, PageFault> {
        let mut rest = payload;
        let header_bytes = take_varint(&mut rest).and_then(|bytes| usize::try_from(bytes).ok());
        let taken = payload.len() - rest.len();
        let header_bytes = header_bytes.filter(|bytes| (taken..=payload.len()).contains(bytes));
        let header_bytes = header_bytes.ok_or("a record's header is longer than the record")?;
        Ok(Self { types: &payload[taken..header_bytes], body: &payload[header_bytes..] })
    }
}

impl<'p> Iterator for Values<'p> {
    type Item = Result<ValueRef<'p>, PageFault>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.types.is_empty() {
            let left = !std::mem::take(&mut self.body).is_empty();
            return left.then(|| Err("a record has bytes that belong to no value".into()));
        }
        let Some(serial) = take_varint(&mut self.types) else {
            (self.types, self.body) = (&[], &[]);
            return Some(Err("a record's header ends inside a serial type".into()));
        };
        let value = take_value(serial, &mut self.body);
        if value.is_none() {
            (self.types, self.body) = (&[], &[]);
        }
        Some(value.ok_or_else(|| PageFault(format!("a value of serial type {serial} does not fit its record"))))
    }
}

/// The values of a record.
#[derive(Debug, Clone, Copy)]
pub struct Record<'p> {
    values: [ValueRef<'p>; COLUMNS_MAX],
    columns: usize,
}

impl<'p> Record<'p> {
    /// Decodes a record that must be `payload` to its last byte.
    ///
    /// # Errors
    /// Where header and body do not add up, or a serial type is none.
    #[inline]
    pub(crate) fn decode(payload: &'p [u8]) -> Result<Self, PageFault> {
        let mut record = Self { values: [ValueRef::Null; COLUMNS_MAX], columns: 0 };
        for value in Values::new(payload)? {
            let slot = record.values.get_mut(record.columns).ok_or("a record has more columns than any table")?;
            *slot = value?;
            record.columns += 1;
        }
        Ok(record)
    }

    /// The values in column order.
    #[must_use]
    pub fn values(&self) -> &[ValueRef<'p>] {
        &self.values[..self.columns]
    }

    /// Puts the rowid where the column that stands for it has NULL.
    #[inline]
    pub(crate) fn set_first(&mut self, value: ValueRef<'p>) {
        self.values[0] = value;
    }
}

#[inline]
fn take_value<'p>(serial: u64, body: &mut &'p [u8]) -> Option<ValueRef<'p>> {
    let bytes = match serial {
        0 | 8 | 9 => 0,
        1..=4 => serial,
        5 => 6,
        6 | 7 => 8,
        10 | 11 => return None,
        _ => (serial - 12) / 2,
    };
    let (value, after) = body.split_at_checked(usize::try_from(bytes).ok()?)?;
    *body = after;
    let integer = || {
        let sign = if value.first().is_some_and(|byte| *byte >= 0x80) { -1 } else { 0 };
        value.iter().fold(sign, |number: i64, byte| number << 8 | i64::from(*byte))
    };
    Some(match serial {
        0 => ValueRef::Null,
        8 => ValueRef::Integer(0),
        9 => ValueRef::Integer(1),
        7 => ValueRef::Real(f64::from_bits(integer().cast_unsigned())),
        1..=6 => ValueRef::Integer(integer()),
        _ if serial.is_multiple_of(2) => ValueRef::Blob(value),
        _ => ValueRef::Text(value),
    })
}

/// Takes a varint off the front; `None` where the bytes end inside it.
#[inline]
pub(crate) fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let first = *bytes.first()?;
    if first < 0x80 {
        *bytes = &bytes[1..];
        return Some(u64::from(first));
    }
    let mut value = 0;
    for (position, byte) in bytes.iter().enumerate().take(9) {
        let last = position == 8;
        value = if last { value << 8 | u64::from(*byte) } else { value << 7 | u64::from(byte & 0x7f) };
        if last || *byte < 0x80 {
            *bytes = &bytes[position + 1..];
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{
        super::{push_record, push_varint},
        *,
    };

    #[test]
    fn every_value_survives_its_record() {
        for number in [0, 1, -1, 127, -128, 128, 32_768, -8_388_608, 1 << 31, 1 << 47, i64::MIN, i64::MAX] {
            let mut record = Vec::new();
            let values = [ValueRef::Integer(number), ValueRef::Real(-0.5), ValueRef::Blob(b"\0b"), ValueRef::Null];
            push_record(&mut record, &values);
            assert_eq!(Record::decode(&record).unwrap().values(), values, "{number}");
        }
    }

    #[test]
    fn varints_that_end_too_early_are_none() {
        for value in [0, 127, 128, 1 << 56, u64::MAX] {
            let mut bytes = Vec::new();
            push_varint(&mut bytes, value);
            let mut rest = bytes.as_slice();
            assert_eq!((take_varint(&mut rest), rest.len()), (Some(value), 0));
            assert_eq!(take_varint(&mut &bytes[..bytes.len() - 1]), None, "{value}");
        }
    }
}
