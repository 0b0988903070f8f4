//! What stands above a table: what it shows, and once in a report, what its words mean.

use super::figures::Block;

/// What stands above a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    title: String,
    explanation: String,
}

impl Note {
    /// A title without its full stop, and what has to be known to read the table, if anything.
    pub fn new(title: &str, explanation: &str) -> Self {
        Self { title: title.to_owned(), explanation: explanation.to_owned() }
    }

    /// The title alone.
    fn title(&self) -> String {
        format!("{}:", self.title)
    }

    /// All of it.
    pub fn first(&self) -> String {
        if self.explanation.is_empty() { self.title() } else { format!("{}. {}", self.title, self.explanation) }
    }
}

/// The notes of one report: each is explained where it stands first.
#[derive(Default)]
pub struct Notes {
    said: Vec<Note>,
}

impl Notes {
    /// The paragraph above a table.
    pub fn above(&mut self, note: Note) -> Block {
        if self.said.contains(&note) {
            return Block::Paragraph(note.title());
        }
        let text = note.first();
        self.said.push(note);
        Block::Paragraph(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_explained_once() {
        let mut notes = Notes::default();
        let note = || Note::new("Times", "They are in seconds.");
        assert_eq!(notes.above(note()), Block::Paragraph("Times. They are in seconds.".to_owned()));
        assert_eq!(notes.above(note()), Block::Paragraph("Times:".to_owned()));
        assert_eq!(notes.above(Note::new("Sizes", "")), Block::Paragraph("Sizes:".to_owned()));
    }
}
