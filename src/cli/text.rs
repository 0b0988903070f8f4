//! Text of a width that any terminal has.

/// Columns of a line at most.
pub(super) const COLUMNS: u16 = 80;

/// Breaks a text between words into lines of at most [`COLUMNS`]; all but the first are indented. A word is never broken.
pub(super) fn wrap(text: &str, indent: &str) -> String {
    let mut wrapped = String::new();
    let mut columns = 0;
    for (number, word) in text.split(' ').enumerate() {
        let length = word.chars().count();
        if number > 0 && columns > 0 && columns + 1 + length > usize::from(COLUMNS) {
            wrapped.push('\n');
            wrapped.push_str(indent);
            columns = indent.len();
        } else if number > 0 {
            wrapped.push(' ');
            columns += 1;
        }
        wrapped.push_str(word);
        columns += length;
    }
    wrapped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_spaces_stay() {
        let text = format!("ok   {}", "word ".repeat(40).trim_end());
        let wrapped = wrap(&text, "     ");
        assert!(wrapped.starts_with("ok   word word"), "{wrapped}");
        assert!(wrapped.lines().count() == 3 && wrapped.lines().all(|line| line.chars().count() <= 80), "{wrapped}");
        assert!(wrapped.lines().skip(1).all(|line| line.starts_with("     word")), "{wrapped}");
        let long = "x".repeat(200);
        assert_eq!(wrap(&long, " "), long);
    }
}
