//! A shard: every N-th block of pairs of a scenario, so that several machines can share its trials.
//!
//! A block is the trials that differ in their journal mode alone. What is believed of the modes is the ratio of their figures
//! within a block, so a block is never divided: its trials run on one machine, next to each other. Blocks are numbered in
//! the order in which they run (`trial_order`), and dealt out to the shards one by one.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many numbers are named in a sentence.
const NAMED: usize = 8;

/// One of so many parts of a scenario's trials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Numbers")]
pub struct Shard {
    /// Which it is, from 1.
    number: u32,
    /// How many there are.
    of: u32,
}

/// A shard as it stands in a results file.
#[derive(Deserialize, JsonSchema)]
struct Numbers {
    /// Which it is, from 1.
    number: u32,
    /// How many there are.
    of: u32,
}

/// It is no shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected I/N with I from 1 to N, as in 1/4")]
pub struct ShardError;

impl Shard {
    /// Shard `number` (from 1) of so many.
    ///
    /// # Errors
    /// [`ShardError`] where there is no such shard.
    pub fn new(number: u32, of: u32) -> Result<Self, ShardError> {
        if (1..=of).contains(&number) { Ok(Self { number, of }) } else { Err(ShardError) }
    }

    /// Which it is, from 1.
    #[must_use]
    pub fn number(self) -> u32 {
        self.number
    }

    /// How many there are.
    #[must_use]
    pub fn of(self) -> u32 {
        self.of
    }

    /// Whether a block, numbered from 0, is one of its own.
    pub(super) fn has(self, block: usize) -> bool {
        block as u64 % u64::from(self.of) == u64::from(self.number) - 1
    }

    /// How many of so many blocks are its own.
    pub(super) fn count(self, blocks: usize) -> usize {
        (0..blocks).filter(|block| self.has(*block)).count()
    }
}

impl TryFrom<Numbers> for Shard {
    type Error = ShardError;

    fn try_from(Numbers { number, of }: Numbers) -> Result<Self, ShardError> {
        Self::new(number, of)
    }
}

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        let (number, of) = text.split_once('/').ok_or(ShardError)?;
        let parse = |text: &str| text.parse().map_err(|_| ShardError);
        Self::new(parse(number)?, parse(of)?)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

/// Some of so many shards, in words: the first of them by number.
#[must_use]
pub(crate) fn named(numbers: &[u32], of: u32) -> String {
    let shown: Vec<_> = numbers.iter().take(NAMED).map(ToString::to_string).collect();
    let (word, more) = (if numbers.len() == 1 { "shard" } else { "shards" }, numbers.len() - shown.len());
    let shown = match shown.split_last() {
        _ if more > 0 => format!("{} and {more} more", shown.join(", ")),
        Some((last, before)) if !before.is_empty() => format!("{} and {last}", before.join(", ")),
        _ => shown.concat(),
    };
    format!("{word} {shown} of {of}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_a_shard_is_one() {
        for (text, expected) in [("1/1", (1, 1)), ("1/4", (1, 4)), ("4/4", (4, 4)), ("7/4294967295", (7, u32::MAX))] {
            let shard: Shard = text.parse().unwrap();
            assert_eq!((shard.number(), shard.of()), expected, "{text}");
            assert_eq!(shard.to_string(), text);
            let json = serde_json::to_value(shard).unwrap();
            assert_eq!(json, serde_json::json!({"number": expected.0, "of": expected.1}));
            assert_eq!(serde_json::from_value::<Shard>(json).unwrap(), shard);
        }
        for text in
            ["0/4", "5/4", "1/0", "0/0", "", "/", "1", "1/", "/4", "1/4/4", "a/b", " 1/4", "-1/4", "1/4294967296"]
        {
            assert_eq!(text.parse::<Shard>(), Err(ShardError), "{text}");
        }
        let none = serde_json::from_value::<Shard>(serde_json::json!({"number": 5, "of": 4})).unwrap_err();
        assert!(none.to_string().contains("expected I/N"), "{none}");
    }

    #[test]
    fn some_shards_are_named() {
        let first = |many| (1..=many).collect::<Vec<_>>();
        for (numbers, expected) in [
            (vec![2], "shard 2 of 40"),
            (vec![1, 3], "shards 1 and 3 of 40"),
            (vec![1, 3, 4], "shards 1, 3 and 4 of 40"),
            (first(8), "shards 1, 2, 3, 4, 5, 6, 7 and 8 of 40"),
            (first(10), "shards 1, 2, 3, 4, 5, 6, 7, 8 and 2 more of 40"),
        ] {
            assert_eq!(named(&numbers, 40), expected);
        }
    }
}
