//! A distribution of times: its percentiles, and the histogram that they come from.

use base64::{DecodeError, Engine, prelude::BASE64_STANDARD};
use hdrhistogram::{
    Histogram,
    serialization::{DeserializeError, Deserializer, Serializer, V2DeflateSerializer},
};
use serde::{Deserialize, Serialize};

use crate::measure::Percentile;

/// A distribution of times. A percentile is `None` where its rank falls among operations that were not served, or where
/// nothing was due.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
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
        let bytes = BASE64_STANDARD.decode(&self.histogram)?;
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

    #[test]
    fn damage_is_an_error() {
        let read = |text: &str| Distribution { histogram: text.to_owned(), ..Distribution::default() }.histogram();
        assert!(matches!(read("?"), Err(HistogramError::Text(_))));
        assert!(matches!(read("AAAA"), Err(HistogramError::Bytes(_))));
    }
}
