//! `held-copy-gentle`: [`held_copy`] past the page cache, and at a pace that others do not feel.
//!
//! **What it is for:** a backup while everybody works, of a database of which memory holds a part, and on a disk that
//! the commits need, too.
//!
//! **What it costs:** it takes some times as long as `held-copy`, and under WAL the log grows for as long. In rollback modes, where
//! nobody can commit until the copy is done, it copies as `held-copy` does, and is gentle only in what it writes to the disk
//! when the lock has been given back.

use serde_json::json;

use super::held_copy;
use crate::snapshot::{definition::Definition, past_cache::CacheUse};

/// The row of the table of strategies.
pub const DEFINITION: Definition = Definition {
    procedure: |site| held_copy::procedure(site, site.options.held_copy_gentle.or(CacheUse::Neutral)),
    options: |options| json!(options.held_copy_gentle.or(CacheUse::Neutral)),
    check: |options, _| held_copy::check(&KEYS, options.held_copy_gentle),
    ..held_copy::DEFINITION
};

/// The keys of its options.
const KEYS: held_copy::Keys = held_copy::Keys {
    busy_timeout: "snapshots.options.held-copy-gentle.busy_timeout_ms",
    max_rate: "snapshots.options.held-copy-gentle.max_rate_bytes_s",
    writeback: "snapshots.options.held-copy-gentle.writeback_bytes",
    wal_max: "snapshots.options.held-copy-gentle.wal_bytes_max",
};
