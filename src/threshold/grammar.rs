//! The grammar: text in, a tree out in which figures are names still.
//!
//! ```text
//! threshold = sum comparison sum                      comparison = "<" | "<=" | ">" | ">=" | "==" | "!="
//! sum       = product { ("+" | "-") product }         product    = operand { ("*" | "/") operand }
//! operand   = number | name | "(" sum ")"             number     = ["-"] digits ["." digits] [exponent]
//! name      = letter { letter | digit | "_" | "." | "-" before a letter }
//! ```
//!
//! Space may stand between any two of them. It must where a minus is followed by a name, as strategies have a `-` in theirs.

use std::ops::Range;

use winnow::{
    ModalResult, Parser as _,
    ascii::{digit1, multispace0},
    combinator::{Infix, alt, cut_err, delimited, eof, expression, fail, opt, peek, preceded, repeat},
    error::{ContextError, ErrMode, StrContext, StrContextValue},
    stream::LocatingSlice,
    token::{one_of, take_while},
};

use super::{
    ThresholdError,
    tree::{Comparison, Operator, Term},
};

/// Bytes of an expression, and opening parentheses in it, at most: what is read is as deep as these say.
const BYTES_MOST: usize = 1_000;
const PARENTHESES_MOST: usize = 30;

/// The name of a figure, as it stands in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// What it is.
    pub text: String,
    /// Where it begins, in bytes.
    pub at: usize,
}

/// What was read of an expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// What stands before the comparison.
    pub left: Term<Name>,
    /// What is said of both sides.
    pub comparison: Comparison,
    /// Where that stands, in bytes.
    pub comparison_at: usize,
    /// What stands after it.
    pub right: Term<Name>,
}

type Input<'a> = LocatingSlice<&'a str>;

/// Reads an expression.
///
/// # Errors
/// Where it is none, and what may stand there.
pub fn parse(text: &str) -> Result<Parsed, ThresholdError> {
    if text.len() > BYTES_MOST || text.matches('(').count() > PARENTHESES_MOST {
        let most = format!("expected at most {BYTES_MOST} bytes and {PARENTHESES_MOST} pairs of parentheses");
        return Err(ThresholdError::at(text, 0, most));
    }
    threshold.parse(Input::new(text)).map_err(|error| {
        let at = text.len().min(error.offset());
        let found = match text[at..].split_whitespace().next() {
            Some(word) => format!("found `{word}`"),
            None => "the expression ends".to_owned(),
        };
        let space = text[at..].len() - text[at..].trim_start().len();
        ThresholdError::at(text, at + space, format!("{found}, expected {}", expected(error.inner())))
    })
}

/// What the place of an error says that it may have; the innermost stands first.
fn expected(error: &ContextError) -> String {
    let described = error.context().find_map(|context| match context {
        StrContext::Expected(value) => Some(value.to_string()),
        _ => None,
    });
    described.unwrap_or_else(|| "something else".to_owned())
}

fn describe(words: &'static str) -> StrContext {
    StrContext::Expected(StrContextValue::Description(words))
}

fn threshold(input: &mut Input<'_>) -> ModalResult<Parsed> {
    let end = || eof.context(describe("one of + - * / or the end, after the one comparison"));
    (sum, comparison.with_span(), sum, end())
        .map(|(left, (comparison, span), right, _): (_, (_, Range<usize>), _, _)| Parsed {
            left,
            comparison,
            comparison_at: span.start,
            right,
        })
        .parse_next(input)
}

fn comparison(input: &mut Input<'_>) -> ModalResult<Comparison> {
    alt((
        "<=".value(Comparison::AtMost),
        "<".value(Comparison::Less),
        ">=".value(Comparison::AtLeast),
        ">".value(Comparison::Greater),
        "==".value(Comparison::Equal),
        "!=".value(Comparison::Different),
        fail.context(describe("one of + - * / < <= > >= == !=")),
    ))
    .parse_next(input)
}

fn sum(input: &mut Input<'_>) -> ModalResult<Term<Name>> {
    type Operation<'a> = Infix<Input<'a>, Term<Name>, ErrMode<ContextError>>;

    fn operation<'a>(input: &mut Input<'a>) -> ModalResult<Operation<'a>> {
        alt((
            '+'.value(Infix::Left(1, |_: &mut _, left, right| Ok(Term::combined(Operator::Add, left, right)))),
            '-'.value(Infix::Left(1, |_: &mut _, left, right| Ok(Term::combined(Operator::Subtract, left, right)))),
            '*'.value(Infix::Left(3, |_: &mut _, left, right| Ok(Term::combined(Operator::Multiply, left, right)))),
            '/'.value(Infix::Left(3, |_: &mut _, left, right| Ok(Term::combined(Operator::Divide, left, right)))),
        ))
        .parse_next(input)
    }

    // Where there is no operand, a prefix is asked for, of which there is none.
    let nothing = preceded(multispace0, fail.context(describe("a number, the name of a figure or `(`")));
    expression(delimited(multispace0, operand, multispace0)).prefix(nothing).infix(operation).parse_next(input)
}

fn operand(input: &mut Input<'_>) -> ModalResult<Term<Name>> {
    alt((
        number.map(Term::Number),
        name.map(Term::Figure),
        preceded('(', (cut_err(sum), cut_err(')').context(describe("one of + - * / or `)`")))).map(|(sum, _)| sum),
    ))
    .parse_next(input)
}

fn number(input: &mut Input<'_>) -> ModalResult<f64> {
    let fraction = opt(('.', digit1));
    let exponent = opt((one_of(['e', 'E']), opt(one_of(['+', '-'])), digit1));
    (opt('-'), digit1, fraction, exponent)
        .take()
        .parse_to::<f64>()
        .verify(|number: &f64| number.is_finite())
        .parse_next(input)
}

fn name(input: &mut Input<'_>) -> ModalResult<Name> {
    let is_letter = |c: char| c.is_ascii_alphabetic();
    let more = take_while(1.., |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.');
    let joined = ('-', peek(one_of(is_letter))).take();
    (one_of(is_letter), repeat::<_, _, (), _, _>(0.., alt((more, joined))))
        .take()
        .with_span()
        .map(|(text, span): (&str, Range<usize>)| Name { text: text.to_owned(), at: span.start })
        .parse_next(input)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree with a pair of parentheses around every two terms.
    fn drawn(term: &Term<Name>) -> String {
        match term {
            Term::Number(number) => number.to_string(),
            Term::Figure(name) => name.text.clone(),
            Term::Combined { operator, left, right } => {
                let sign = match operator {
                    Operator::Add => '+',
                    Operator::Subtract => '-',
                    Operator::Multiply => '*',
                    Operator::Divide => '/',
                };
                format!("({} {sign} {})", drawn(left), drawn(right))
            }
        }
    }

    #[test]
    fn products_come_before_sums_and_all_from_the_left() {
        for (text, tree) in [
            ("a < 1", "a < 1"),
            (" a<=-1.5e-3 ", "a <= -0.0015"),
            ("a + b * c > 0", "(a + (b * c)) > 0"),
            ("a * b + c > 0", "((a * b) + c) > 0"),
            ("a - b - c >= 0", "((a - b) - c) >= 0"),
            ("a / b / c == 0", "((a / b) / c) == 0"),
            ("a / b * c - 1 / 2 != 0", "(((a / b) * c) - (1 / 2)) != 0"),
            ("a - (b - c) < 0", "(a - (b - c)) < 0"),
            ("(a + b) * 2 < ( c )", "((a + b) * 2) < c"),
            ("5000 > wal.commit.service.p99_us", "5000 > wal.commit.service.p99_us"),
            ("snapshot.held-copy.wal.exact_share==1", "snapshot.held-copy.wal.exact_share == 1"),
            ("a-b < 1", "a-b < 1"),
            ("a - b < 1", "(a - b) < 1"),
            ("a -b < 1", "(a - b) < 1"),
            ("a-1 < 2-1", "(a - 1) < (2 - 1)"),
            ("a - -1 < 1", "(a - -1) < 1"),
            ("a\n<\t1", "a < 1"),
        ] {
            let parsed = parse(text).unwrap();
            assert_eq!(format!("{} {} {}", drawn(&parsed.left), parsed.comparison, drawn(&parsed.right)), tree);
        }
        let parsed = parse("a.b / c > 1").unwrap();
        let names: Vec<_> = parsed.left.figures().iter().map(|name| (name.text.as_str(), name.at)).collect();
        assert_eq!((names, parsed.comparison_at), (vec![("a.b", 0), ("c", 6)], 8));
    }

    #[test]
    fn an_error_says_where_and_what_may_stand_there() {
        let operand = "expected a number, the name of a figure or `(`";
        let comparison = "expected one of + - * / < <= > >= == !=";
        let end = "expected one of + - * / or the end, after the one comparison";
        for (text, column, found, expected) in [
            ("", 1, "the expression ends", operand),
            ("  ", 3, "the expression ends", operand),
            ("a", 2, "the expression ends", comparison),
            ("a 1 < 2", 3, "found `1`", comparison),
            ("a = 1", 3, "found `=`", comparison),
            ("a =< 1", 3, "found `=<`", comparison),
            ("a <", 4, "the expression ends", operand),
            ("a < >", 5, "found `>`", operand),
            ("a + < 3", 5, "found `<`", operand),
            ("* a < 3", 1, "found `*`", operand),
            ("a < -b", 5, "found `-b`", operand),
            ("a < 1 < 2", 7, "found `<`", end),
            ("a < 1 and b < 2", 7, "found `and`", end),
            ("a < 5000us", 9, "found `us`", end),
            ("(a + 1 < 2", 8, "found `<`", "expected one of + - * / or `)`"),
            ("(a + ) < 2", 6, "found `)`", operand),
            ("() < 2", 2, "found `)`", operand),
            ("a < 1e999", 5, "found `1e999`", operand),
            ("a < .5", 5, "found `.5`", operand),
            ("é < 1", 1, "found `é`", operand),
            ("a < é", 5, "found `é`", operand),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.to_string(), format!("column {column}: {found}, {expected}"), "{text}");
        }
    }

    #[test]
    fn what_would_nest_too_deep_is_refused() {
        let nested = |depth: usize| format!("{}a{} < 1", "(".repeat(depth), ")".repeat(depth));
        assert!(parse(&nested(PARENTHESES_MOST)).is_ok());
        let error = parse(&nested(PARENTHESES_MOST + 1)).unwrap_err().to_string();
        assert_eq!(error, "column 1: expected at most 1000 bytes and 30 pairs of parentheses");
        let long = |terms: usize| format!("{} < 1", vec!["a"; terms].join("+"));
        assert_eq!(parse(&long(498)).unwrap().left.figures().len(), 498);
        assert!(parse(&long(501)).is_err());
    }
}
