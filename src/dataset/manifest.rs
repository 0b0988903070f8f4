//! What is known of a dataset without reading its file.

use std::path::PathBuf;

use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use super::{Dataset, FORMAT, ROWS_MOST, content::Sum};
use crate::{
    digest::Digest,
    pages::header::Header,
    random::mix,
    torrents::{Sample, Torrents},
};

/// Bytes of a manifest's file at most: that of an adopted database holds a sample of a million rows, in 48 MB.
pub(crate) const MANIFEST_BYTES_MOST: u64 = 64 << 20;

/// What is known of the database that a trial starts from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The format of datasets when it was made.
    pub format: u32,
    /// Where it comes from.
    pub origin: Origin,
    /// Rows of `torrents`.
    pub rows: u64,
    /// Size of the file.
    pub bytes: u64,
    /// Sum over all rows of all tables: D(0).
    pub digest: Digest,
    /// Sum over the rows of `torrents` whose count is zero; see [`Self::zeros`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) zeros: Option<Digest>,
    /// What `sqlite_sequence` says of `torrents`: at least its largest id.
    pub sequence: i64,
    /// The total of downloads, where the database keeps one.
    pub aggregate: Option<Aggregate>,
    /// The rows of `sqlite_schema`, in the order of their rowids.
    pub schema: Vec<SchemaRow>,
    /// The file's first bytes.
    pub header: Header,
}

/// Why a text is no manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is no JSON of one.
    #[error(transparent)]
    Format(#[from] serde_json::Error),
    /// It has a number that no database has.
    #[error("{0}")]
    Value(String),
}

/// Where a dataset comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// It was generated from this description.
    Generated(Dataset),
    /// It is a copy of somebody's own database.
    Adopted(Adopted),
}

/// A copy of somebody's own database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adopted {
    /// The files that were copied, the database first.
    pub files: Vec<Stamp>,
    /// The torrents that operations are about.
    pub sample: Sample,
}

/// What tells a file from what it was before: a write to it changes one of these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Where it is, without symbolic links.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// When it was last modified, in nanoseconds since 1970.
    pub modified_ns: i64,
}

/// The row of `torrent_aggregate_metrics` named [`DOWNLOADS_TOTAL`](super::DOWNLOADS_TOTAL).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aggregate {
    /// Its id.
    pub id: i64,
    /// Its value; in a generated dataset the sum of `completed` over all torrents.
    pub value: i64,
}

impl Manifest {
    /// That of a generated dataset.
    pub(super) fn generated(dataset: &Dataset, bytes: u64, sum: Sum, schema: Vec<SchemaRow>, header: Header) -> Self {
        Self {
            format: FORMAT,
            origin: Origin::Generated(*dataset),
            rows: dataset.rows,
            bytes,
            digest: sum.digest,
            zeros: Some(sum.zeros),
            sequence: dataset.rows.cast_signed(),
            aggregate: Some(Aggregate { id: 1, value: sum.downloads }),
            schema,
            header,
        }
    }

    /// Reads one that was written as JSON.
    ///
    /// # Errors
    /// [`ManifestError`].
    pub fn parse(json: &[u8]) -> Result<Self, ManifestError> {
        let manifest: Self = serde_json::from_slice(json)?;
        manifest.check().map_err(ManifestError::Value)?;
        Ok(manifest)
    }

    /// Refuses numbers that no database has, so that a replay may count on from them.
    ///
    /// # Errors
    /// What was found, and what is expected.
    pub(super) fn check(&self) -> Result<(), String> {
        /// Commits add at most one for each of their records, of which no ledger has so many.
        const MOST: i64 = 1 << 61;

        let within = |name: &str, value: i64, least: i64, most: i64| {
            if (least..=most).contains(&value) {
                Ok(())
            } else {
                Err(format!("{name} = {value}: expected {least} to {most}"))
            }
        };
        within("sequence", self.sequence, 0, MOST)?;
        if let Some(aggregate) = self.aggregate {
            within("aggregate.value", aggregate.value, -MOST, MOST)?;
        }
        match &self.origin {
            Origin::Generated(dataset) if dataset.rows != self.rows => {
                Err(format!("rows = {}: expected {}, of which it was generated", self.rows, dataset.rows))
            }
            Origin::Generated(_) => within("rows", self.rows.cast_signed(), 1, ROWS_MOST.cast_signed()),
            Origin::Adopted(adopted) => {
                let counts = adopted.sample.rows().iter().map(|row| row.completed.unsigned_abs());
                let all = counts.fold(0, u64::saturating_add);
                within("the sum of the counts", i64::try_from(all).unwrap_or(i64::MAX), 0, MOST)
            }
        }
    }

    /// Sum over the rows of `torrents` whose count is zero; `None` where an older version made the manifest of a database that may
    /// have some.
    #[must_use]
    pub fn zeros(&self) -> Option<Digest> {
        let none_has = matches!(&self.origin, Origin::Generated(dataset) if dataset.zero_share_ppm == 0);
        self.zeros.or(none_has.then(Digest::default))
    }

    /// The torrents that operations are about.
    #[must_use]
    pub fn torrents(&self) -> Torrents {
        /// Any number: it keeps the torrents that the database does not have apart from other uses of its digest.
        const UNSEEN: u64 = 0x6164_6f70;

        match &self.origin {
            Origin::Generated(dataset) => dataset.torrents(),
            // From its content: had the seed been the same for all, the torrents that one run adds to a database would be
            // no news to a run that adopts it.
            Origin::Adopted(adopted) => {
                let seed = mix(UNSEEN ^ self.digest.low_bits());
                Torrents::Sampled { sample: adopted.sample.clone(), seed }
            }
        }
    }
}

/// A row of `sqlite_schema`, without its root page, which VACUUM may change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SchemaRow {
    /// `table`, `index`, `view` or `trigger`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The table that it belongs to; its own name, where it is one.
    #[serde(rename = "tbl_name")]
    pub table: String,
    /// The text that made it; none for the index of a UNIQUE column.
    pub sql: Option<String>,
}

impl SchemaRow {
    /// Those of a database, in the order of their rowids.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn read_all(connection: &Connection) -> rusqlite::Result<Vec<Self>> {
        let mut statement = connection.prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY rowid")?;
        let rows = statement.query_map([], |row| {
            Ok(Self { kind: row.get(0)?, name: row.get(1)?, table: row.get(2)?, sql: row.get(3)? })
        })?;
        rows.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        dataset::generate,
        torrents::{Sampled, Sampler},
    };

    #[test]
    fn numbers_that_no_database_has_are_refused() {
        type Change<'a> = &'a dyn Fn(&mut Manifest);

        let folder = tempfile::tempdir().unwrap();
        let dataset = Dataset { rows: 10, seed: 310, page_size_bytes: 1024, zero_share_ppm: 0 };
        let manifest = generate(&dataset, &folder.path().join("x.db"), &Arc::default(), &mut |_| ()).unwrap();
        let parse = |change: &dyn Fn(&mut Manifest)| {
            let mut changed = manifest.clone();
            change(&mut changed);
            Manifest::parse(&serde_json::to_vec(&changed).unwrap()).map_err(|error| error.to_string())
        };
        assert_eq!(parse(&|_| ()).unwrap(), manifest);
        let generated = |rows: u64| Origin::Generated(Dataset { rows, ..dataset });
        let adopted = |counts: &[i64]| {
            let mut sampler = Sampler::new(9);
            (1..)
                .zip(counts)
                .for_each(|(id, count)| sampler.offer(Sampled { id, completed: *count, info_hash: [0; 20] }));
            Origin::Adopted(Adopted { files: Vec::new(), sample: sampler.finish().unwrap() })
        };
        assert!(parse(&|one| one.origin = adopted(&[1 << 60, -(1 << 60)])).is_ok());
        let cases: [(Change<'_>, &str); 6] = [
            (&|one| one.rows = 11, "rows = 11: expected 10"),
            (&|one| (one.rows, one.origin) = (0, generated(0)), "rows = 0: expected 1 to"),
            (&|one| (one.rows, one.origin) = (1 << 41, generated(1 << 41)), "rows = 2199023255552: expected 1 to"),
            (&|one| one.sequence = i64::MAX, "sequence = 9223372036854775807"),
            (
                &|one| one.aggregate = Some(Aggregate { id: 1, value: i64::MAX }),
                "aggregate.value = 9223372036854775807",
            ),
            (&|one| one.origin = adopted(&[i64::MIN]), "the sum of the counts = 9223372036854775807"),
        ];
        for (change, expected) in cases {
            let error = parse(change).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        assert!(Manifest::parse(b"{}").is_err());
    }
}
