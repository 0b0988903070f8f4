//! What follows from results: pure functions, without a clock, a file or a random number.
//!
//! How it is said is the business of [`crate::report`].

mod caveats;

pub use caveats::{of_environment, warnings};
