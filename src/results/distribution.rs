//! A distribution of times: its percentiles, and the histogram that they come from.
//!
//! A histogram in a file may be anything: its header can ask for a range that takes gigabytes, and a few bytes of deflate can
//! stand for millions. So it is inflated up to a bound, and its header is read here before the library builds what it asks for.

use std::io::{self, Read as _};

use base64::{DecodeError, Engine, prelude::BASE64_STANDARD};
use flate2::read::ZlibDecoder;
use hdrhistogram::{
    Histogram,
    serialization::{DeserializeError, Deserializer, Serializer, V2DeflateSerializer},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::measure::Percentile;

/// A distribution of times. A percentile is `None` where its rank falls among operations that were not served, or where
/// nothing was due.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Distribution {
    /// Median.
    pub p50_us: Option<u64>,
    /// 90th percentile.
    pub p90_us: Option<u64>,
    /// 99th percentile.
    pub p99_us: Option<u64>,
    /// 99.9th percentile; `None` also where fewer than 10,000 operations were due.
    pub p999_us: Option<u64>,
    /// Largest.
    pub max_us: Option<u64>,
    /// Base64 of a compressed `HdrHistogram` V2, in microseconds.
    #[schemars(extend("contentEncoding" = "base64"))]
    pub histogram: String,
}

impl Distribution {
    /// The distribution of `histogram`, with percentiles ranked over `total` operations.
    #[must_use]
    pub fn new(histogram: &Histogram<u64>, total: u64) -> Self {
        let value = |percentile: Percentile| percentile.of(histogram, total);
        Self {
            p50_us: value(Percentile::P50),
            p90_us: value(Percentile::P90),
            p99_us: value(Percentile::P99),
            // The others hold what was seen, however little it says; a report leaves them out.
            p999_us: value(Percentile::P999).filter(|_| total >= Percentile::P999.least()),
            max_us: value(Percentile::Max),
            histogram: encode(histogram),
        }
    }

    /// The value of a percentile, in microseconds.
    #[must_use]
    pub fn get(&self, percentile: Percentile) -> Option<u64> {
        match percentile {
            Percentile::P50 => self.p50_us,
            Percentile::P90 => self.p90_us,
            Percentile::P99 => self.p99_us,
            Percentile::P999 => self.p999_us,
            Percentile::Max => self.max_us,
        }
    }

    /// The histogram again, in microseconds: of the response times of operations that were served, for example.
    ///
    /// # Errors
    /// [`HistogramError`], where the text is not what [`Self::new`] writes.
    pub fn histogram(&self) -> Result<Histogram<u64>, HistogramError> {
        let bytes = inflated(&BASE64_STANDARD.decode(&self.histogram)?)?;
        check_header(&bytes)?;
        Ok(Deserializer::new().deserialize(&mut bytes.as_slice())?)
    }
}

/// Why a histogram could not be read back.
#[derive(Debug, thiserror::Error)]
pub enum HistogramError {
    /// It is no Base64.
    #[error("not Base64")]
    Text(#[from] DecodeError),
    /// It is no compressed `HdrHistogram` V2.
    #[error("not a compressed HdrHistogram V2")]
    Bytes(#[from] DeserializeError),
    /// It is longer, inflated, than one of times can be.
    #[error("more than {INFLATED_MOST} bytes long, inflated")]
    TooLong,
    /// Its bounds are not those of times.
    #[error(
        "from {low} to {high} us in {digits} digits: expected from 1 to at most {HIGH_MOST} us in at most {DIGITS_MOST} digits"
    )]
    Bounds {
        /// The least time that it tells from 0.
        low: u64,
        /// The largest time that it holds.
        high: u64,
        /// Significant digits.
        digits: u32,
    },
    /// It says that it has another length than it has, or a number that no count is.
    #[error("a header or a count that no histogram has")]
    Impossible,
}

/// Cookies of the two formats: the compressed one is a header of 8 bytes, and the plain one deflated.
const COMPRESSED_COOKIE: u32 = 0x1c84_9314;
const COMPRESSED_HEADER_BYTES: usize = 8;
/// Bytes before the counts of the plain format.
const HEADER_BYTES: usize = 40;
/// Bytes of the plain format at most: all counts of a histogram of times, at nine bytes each, take less.
const INFLATED_MOST: u64 = 1 << 19;
/// Microseconds: twelve days, of which the counts take a quarter of a megabyte.
const HIGH_MOST: u64 = 1 << 40;
const DIGITS_MOST: u32 = 3;

/// The plain format in the compressed one.
fn inflated(bytes: &[u8]) -> Result<Vec<u8>, HistogramError> {
    let no_histogram = || HistogramError::Bytes(DeserializeError::InvalidCookie);
    let (header, deflated) = bytes.split_at_checked(COMPRESSED_HEADER_BYTES).ok_or_else(no_histogram)?;
    if !header.starts_with(&COMPRESSED_COOKIE.to_be_bytes()) {
        return Err(no_histogram());
    }
    let length = u32::try_from(deflated.len()).map_err(|_| HistogramError::TooLong)?;
    if !header.ends_with(&length.to_be_bytes()) {
        return Err(HistogramError::Impossible);
    }
    let mut plain = Vec::new();
    let read = ZlibDecoder::new(deflated).take(INFLATED_MOST + 1).read_to_end(&mut plain);
    read.map_err(|error: io::Error| HistogramError::Bytes(error.into()))?;
    if plain.len() as u64 > INFLATED_MOST { Err(HistogramError::TooLong) } else { Ok(plain) }
}

/// Refuses what the library would take too much memory for, or panic at.
fn check_header(plain: &[u8]) -> Result<(), HistogramError> {
    let number = |at: usize| plain.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
    let long = |at: usize| plain.get(at..)?.first_chunk().map(|bytes| u64::from_be_bytes(*bytes));
    // After the cookie: the length of the counts, an offset, digits, bounds, a ratio.
    let fields = (number(4), number(12), long(16), long(24), plain.get(HEADER_BYTES..));
    let (Some(length), Some(digits), Some(low), Some(high), Some(counts)) = fields else {
        return Err(HistogramError::Impossible);
    };
    if low == 0 || high > HIGH_MOST || digits > DIGITS_MOST {
        return Err(HistogramError::Bounds { low, high, digits });
    }
    // A run of 2^63 zeros, in nine bytes, has no negative in the library.
    let has_endless_run = counts.windows(9).any(|bytes| bytes == [0xff; 9]);
    if length as usize != counts.len() || has_endless_run { Err(HistogramError::Impossible) } else { Ok(()) }
}

fn encode(histogram: &Histogram<u64>) -> String {
    let mut bytes = Vec::new();
    // Writing to memory fails for no histogram of these bounds.
    match V2DeflateSerializer::new().serialize(histogram, &mut bytes) {
        Ok(_) => BASE64_STANDARD.encode(bytes),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, read::ZlibEncoder};

    use super::*;
    use crate::measure::histogram;

    #[test]
    fn what_is_written_is_read_back() {
        let mut times = histogram();
        for time in [1, 10, 100, 1_000, 119_000_000] {
            times.record_n(time, 3).unwrap();
        }
        let written = Distribution::new(&times, 20);
        assert_eq!(written.histogram().unwrap(), times);
        assert_eq!((written.p50_us, written.p99_us), (Some(1_000), None), "five of twenty have no answer");
    }

    fn read(text: &str) -> Result<Histogram<u64>, HistogramError> {
        Distribution { histogram: text.to_owned(), ..Distribution::default() }.histogram()
    }

    /// What is read of a plain histogram of one count, once it was changed.
    fn read_changed(change: impl FnOnce(&mut Vec<u8>)) -> Result<Histogram<u64>, HistogramError> {
        let mut times = histogram();
        times.record(5).unwrap();
        let mut plain = inflated(&BASE64_STANDARD.decode(encode(&times)).unwrap()).unwrap();
        change(&mut plain);
        let mut deflated = Vec::new();
        ZlibEncoder::new(plain.as_slice(), Compression::best()).read_to_end(&mut deflated).unwrap();
        let length = u32::try_from(deflated.len()).unwrap().to_be_bytes();
        let bytes = [&COMPRESSED_COOKIE.to_be_bytes()[..], &length, &deflated].concat();
        read(&BASE64_STANDARD.encode(bytes))
    }

    #[test]
    fn damage_is_an_error() {
        assert!(matches!(read("?"), Err(HistogramError::Text(_))));
        assert!(matches!(read(""), Err(HistogramError::Bytes(_))));
        assert!(matches!(read("AAAA"), Err(HistogramError::Bytes(_))));
        assert!(matches!(read("AAAAAAAAAAAAAAAA"), Err(HistogramError::Bytes(_))));
        assert_eq!(read_changed(|_| ()).unwrap().len(), 1);
        assert!(matches!(read_changed(|plain| plain[0] = 0), Err(HistogramError::Bytes(_))));
        assert!(matches!(read_changed(|plain| plain.truncate(39)), Err(HistogramError::Impossible)));
        let mut bytes = BASE64_STANDARD.decode(encode(&histogram())).unwrap();
        bytes.push(0);
        assert!(matches!(read(&BASE64_STANDARD.encode(bytes)), Err(HistogramError::Impossible)), "more than it says");
    }

    #[test]
    fn what_would_take_too_much_is_refused_before_it_is_made() {
        let bounds = |low, high, digits| {
            move |plain: &mut Vec<u8>| {
                plain[12..16].copy_from_slice(&u32::to_be_bytes(digits));
                plain[16..24].copy_from_slice(&u64::to_be_bytes(low));
                plain[24..32].copy_from_slice(&u64::to_be_bytes(high));
            }
        };
        assert!(read_changed(bounds(1, HIGH_MOST, 3)).is_ok());
        for (low, high, digits) in [(0, 100, 3), (1, HIGH_MOST + 1, 3), (1, u64::MAX, 5), (1, 100, 4)] {
            let error = read_changed(bounds(low, high, digits)).unwrap_err();
            assert!(matches!(error, HistogramError::Bounds { .. }), "{low} {high} {digits}: {error}");
        }
        assert!(matches!(read_changed(|plain| plain.resize((1 << 19) + 1, 0)), Err(HistogramError::TooLong)));
        let longer = |plain: &mut Vec<u8>| plain[4..8].fill(0xff);
        assert!(matches!(read_changed(longer), Err(HistogramError::Impossible)), "four gigabytes of counts");
        let endless = |plain: &mut Vec<u8>| {
            plain.truncate(HEADER_BYTES);
            plain.extend([0xff; 9]);
            plain[4..8].copy_from_slice(&9_u32.to_be_bytes());
        };
        assert!(matches!(read_changed(endless), Err(HistogramError::Impossible)), "2^63 zeros");
    }
}
