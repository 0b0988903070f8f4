//! What an expression is made of, whatever its figures are: numbers, figures, what combines two of them, and the comparison.

use std::fmt;

/// One side of a threshold, with figures of some type in it.
#[derive(Debug, Clone, PartialEq)]
pub enum Term<F> {
    /// A number.
    Number(f64),
    /// A figure.
    Figure(F),
    /// Two terms, combined.
    Combined {
        /// How.
        operator: Operator,
        /// What stands before the operator.
        left: Box<Term<F>>,
        /// What stands after it.
        right: Box<Term<F>>,
    },
}

/// What combines two terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
}

/// What must be true of two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
    /// `==`
    Equal,
    /// `!=`
    Different,
}

impl<F> Term<F> {
    /// Two terms, combined.
    pub(super) fn combined(operator: Operator, left: Self, right: Self) -> Self {
        Self::Combined { operator, left: left.into(), right: right.into() }
    }

    /// The same with other figures.
    pub(super) fn try_map<G, E>(self, of: &mut impl FnMut(F) -> Result<G, E>) -> Result<Term<G>, E> {
        Ok(match self {
            Self::Number(number) => Term::Number(number),
            Self::Figure(figure) => Term::Figure(of(figure)?),
            Self::Combined { operator, left, right } => Term::combined(operator, left.try_map(of)?, right.try_map(of)?),
        })
    }

    /// Its value, where `of` gives that of a figure. It is no number where it divides by 0 or takes two infinite figures from
    /// each other.
    ///
    /// # Errors
    /// The first that `of` gives.
    pub(crate) fn evaluate<E>(&self, of: &mut impl FnMut(&F) -> Result<f64, E>) -> Result<f64, E> {
        match self {
            Self::Number(number) => Ok(*number),
            Self::Figure(figure) => of(figure),
            Self::Combined { operator, left, right } => Ok(operator.apply(left.evaluate(of)?, right.evaluate(of)?)),
        }
    }

    /// Its value, where it has no figure in it.
    pub(super) fn constant(&self) -> Option<f64> {
        self.evaluate(&mut |_| Err(())).ok()
    }

    /// All figures in it, from left to right.
    pub(crate) fn figures(&self) -> Vec<&F> {
        match self {
            Self::Number(_) => Vec::new(),
            Self::Figure(figure) => vec![figure],
            Self::Combined { left, right, .. } => [left.figures(), right.figures()].concat(),
        }
    }
}

impl Operator {
    fn apply(self, left: f64, right: f64) -> f64 {
        match self {
            Self::Add => left + right,
            Self::Subtract => left - right,
            Self::Multiply => left * right,
            // An infinite figure has no answer; a quotient without a value is something else.
            Self::Divide if right == 0.0 => f64::NAN,
            Self::Divide => left / right,
        }
    }
}

impl Comparison {
    /// Whether it is true.
    #[must_use]
    #[expect(clippy::float_cmp, reason = "it is asked for of counts and of shares of counts, which are what they are")]
    pub fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Self::Less => left < right,
            Self::AtMost => left <= right,
            Self::Greater => left > right,
            Self::AtLeast => left >= right,
            Self::Equal => left == right,
            Self::Different => left != right,
        }
    }

    /// Whether it says that both are the same, or that they are not.
    pub(super) fn is_of_equality(self) -> bool {
        match self {
            Self::Equal | Self::Different => true,
            Self::Less | Self::AtMost | Self::Greater | Self::AtLeast => false,
        }
    }

    /// The comparison that is true with its sides exchanged where this one is true.
    pub(super) fn mirrored(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::AtMost => Self::AtLeast,
            Self::Greater => Self::Less,
            Self::AtLeast => Self::AtMost,
            Self::Equal => Self::Equal,
            Self::Different => Self::Different,
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
            Self::Equal => "==",
            Self::Different => "!=",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comparison_holds_with_its_sides_exchanged_where_its_mirror_does() {
        for (comparison, words, holds) in [
            (Comparison::Less, "<", [true, false, false]),
            (Comparison::AtMost, "<=", [true, true, false]),
            (Comparison::Greater, ">", [false, false, true]),
            (Comparison::AtLeast, ">=", [false, true, true]),
            (Comparison::Equal, "==", [false, true, false]),
            (Comparison::Different, "!=", [true, false, true]),
        ] {
            assert_eq!(comparison.to_string(), words);
            for (left, holds) in [1.0, 2.0, 3.0].into_iter().zip(holds) {
                assert_eq!(comparison.holds(left, 2.0), holds, "{left} {comparison} 2");
                assert_eq!(comparison.mirrored().holds(2.0, left), holds, "2 {} {left}", comparison.mirrored());
            }
            assert!(!comparison.holds(f64::NAN, 2.0) || comparison == Comparison::Different);
        }
    }

    #[test]
    fn what_has_no_value_is_no_number() {
        let of = |operator, left, right| {
            Term::<()>::combined(operator, Term::Number(left), Term::Number(right)).constant().unwrap()
        };
        assert!(of(Operator::Divide, 1.0, 0.0).is_nan());
        assert!(of(Operator::Subtract, f64::INFINITY, f64::INFINITY).is_nan());
        assert!(of(Operator::Divide, f64::INFINITY, f64::INFINITY).is_nan());
        assert!(of(Operator::Divide, f64::INFINITY, 5.0).is_infinite(), "no answer, whatever it is divided by");
        assert!(of(Operator::Divide, 5.0, f64::INFINITY).abs() < 1e-12);
    }
}
