//! Text as a terminal may have it: what would move its cursor, change its colours or turn its words around becomes an escape.
//!
//! Words from files (a scenario, results, the name of a file, what a child process said) go to the terminal with everything
//! else that is printed. All of that comes through here, on its way to standard output in [`crate::cli`] and to standard error
//! in [`crate::progress`]. What is written to a file is not changed.

use std::{borrow::Cow, fmt::Write as _};

/// The text, with an escape in the place of each control character but line feed and tab, and of each character that
/// overrides the direction of writing. The escapes are those of JSON, so that JSON stays JSON.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if is_unsafe(character) {
            // Writing to a string does not fail.
            let _ = write!(escaped, "\\u{:04x}", u32::from(character));
        } else {
            escaped.push(character);
        }
    }
    Cow::Owned(escaped)
}

fn is_unsafe(character: char) -> bool {
    match character {
        '\n' | '\t' => false,
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        other => other.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_escaped_and_nothing_else() {
        for (text, expected) in [
            ("wal ▁█ é\t1\n", "wal ▁█ é\t1\n"),
            ("\u{1b}[2J\u{1b}]0;x\u{7}", "\\u001b[2J\\u001b]0;x\\u0007"),
            ("a\rb\u{8}\0\u{7f}", "a\\u000db\\u0008\\u0000\\u007f"),
            ("\u{80}\u{9b}31m\u{9f}\u{a0}", "\\u0080\\u009b31m\\u009f\u{a0}"),
            ("\u{202a}\u{202e}\u{2066}\u{2069}", "\\u202a\\u202e\\u2066\\u2069"),
            ("\u{2029}\u{202f}\u{2065}\u{206a}", "\u{2029}\u{202f}\u{2065}\u{206a}"),
        ] {
            assert_eq!(printable(text), expected);
        }
        let json = serde_json::to_string("\u{1b}\u{7f}\u{85}\u{202e}").unwrap();
        assert_eq!(serde_json::from_str::<String>(&printable(&json)).unwrap(), "\u{1b}\u{7f}\u{85}\u{202e}");
    }
}
