//! What stands above a table: what it shows, and what its words mean. Each format explains a note once: where it stands first, or
//! in a footnote.

/// What stands above a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Without its full stop.
    pub title: String,
    /// What has to be known to read the table; empty where nothing has to.
    pub explanation: String,
}

impl Note {
    /// A title without its full stop, and what has to be known to read the table, if anything.
    pub fn new(title: &str, explanation: &str) -> Self {
        Self { title: title.to_owned(), explanation: explanation.to_owned() }
    }
}
