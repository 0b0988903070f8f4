//! `none`: takes no snapshot.
//!
//! **What it is for:** the control. It shows what the load alone does to response times, for as long as a trial with snapshots
//! lasts.
//!
//! **What it costs:** nothing.

use serde_json::json;

use crate::{
    snapshot::definition::{Definition, Isolation, LiveCopy, Procedure, WriterRole},
    torrents::Portion,
};

/// The row of the table of strategies.
pub const DEFINITION: Definition = Definition {
    isolation: Isolation::Unknown,
    writers: WriterRole::None,
    takes_snapshots: false,
    portion: Portion::Whole,
    begins_again: false,
    syncs_after: false,
    procedure: |_| Procedure::Nothing,
    options: |_| json!({}),
    check: |_, _| Ok(()),
    live_copy: |_| LiveCopy::Refused("takes no copy"),
};
