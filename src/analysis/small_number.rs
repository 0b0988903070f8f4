//! How a number is written that is so small that a fixed number of decimals would leave nothing of it, or a false digit.

/// What is closer to nothing is not told from it.
const LEAST: f64 = 1e-6;

/// So many decimals at least, so that small numbers stand beside each other alike.
const DECIMALS_LEAST: usize = 3;

/// A number between -0.1 and 0.1, with two significant digits.
pub fn small_number(number: f64) -> String {
    let size = number.abs();
    if size > 0.0 && size < LEAST {
        return if number > 0.0 { format!("<{LEAST:.6}") } else { format!(">-{LEAST:.6}") };
    }
    // 0.01 and more has its second digit in the third decimal, and each power of ten below has it one further.
    let (mut decimals, mut least) = (DECIMALS_LEAST, 1e-2);
    while size > 0.0 && size < least {
        (decimals, least) = (decimals + 1, least / 10.0);
    }
    let mut text = format!("{number:.decimals$}");
    while decimals > DECIMALS_LEAST && text.ends_with('0') {
        text.pop();
        decimals -= 1;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_numbers_have_two_digits() {
        for (number, text) in [
            (0.0, "0.000"),
            (0.0996, "0.100"),
            (0.05, "0.050"),
            (0.0123, "0.012"),
            (0.005, "0.005"),
            (0.0051, "0.0051"),
            (0.00166, "0.0017"),
            (-0.00166, "-0.0017"),
            (0.000_996, "0.001"),
            (0.000_52, "0.00052"),
            (0.000_5, "0.0005"),
            (0.000_001, "0.000001"),
            (0.000_000_9, "<0.000001"),
            (-0.000_000_9, ">-0.000001"),
        ] {
            assert_eq!(small_number(number), text, "{number}");
        }
    }
}
