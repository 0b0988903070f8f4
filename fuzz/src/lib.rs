//! What the targets do with bytes: the property tests of the program do the same.

#[path = "../../tests/suite/common/bad_input.rs"]
pub mod bad_input;
