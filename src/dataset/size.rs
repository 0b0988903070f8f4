//! Sizes as people write them: `17GB`.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Size {
    /// The bytes.
    pub bytes: u64,
}

/// Why a text is no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no size: expected a number and kB, MB, GB, TB, KiB, MiB, GiB or TiB, as in 17GB")]
pub struct SizeError(String);

const UNITS: [(&str, u64); 10] = [
    ("", 1),
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let refuse = || SizeError(text.to_owned());
        let at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
        let (number, unit) = (text[..at].trim(), text[at..].trim());
        let (_, factor) = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).ok_or_else(refuse)?;
        let number: f64 = number.parse().map_err(|_| refuse())?;
        let bytes = (number * *factor as f64).round();
        // Exact below 2^53 bytes, and more than any file.
        if !(1.0..=9e15).contains(&bytes) {
            return Err(refuse());
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 1 to 9e15")]
        Ok(Self { bytes: bytes as u64 })
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = UNITS[1..6].iter().rev();
        match units.clone().find(|(_, factor)| self.bytes >= *factor) {
            Some((name, factor)) if self.bytes.is_multiple_of(*factor) => write!(f, "{}{name}", self.bytes / factor),
            _ => write!(f, "{}B", self.bytes),
        }
    }
}

impl TryFrom<String> for Size {
    type Error = SizeError;

    fn try_from(text: String) -> Result<Self, SizeError> {
        text.parse()
    }
}

impl From<Size> for String {
    fn from(size: Size) -> Self {
        size.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_decimal_or_binary() {
        for (text, bytes) in [
            ("17GB", 17_000_000_000),
            ("17 gb", 17_000_000_000),
            ("1.5MB", 1_500_000),
            ("2KiB", 2_048),
            ("4096", 4_096),
            ("1TiB", 1 << 40),
        ] {
            let size = Size { bytes };
            assert_eq!(text.parse::<Size>(), Ok(size), "{text}");
            assert_eq!(size.to_string().parse::<Size>(), Ok(size), "{text}");
        }
        for text in ["", "GB", "0GB", "-1GB", "1.5XB", "1e30GB", "nanGB", "infTB", "seventeen", "1 G B", "\u{e9}1GB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
        assert_eq!(Size { bytes: 17_000_000_000 }.to_string(), "17GB");
    }
}
