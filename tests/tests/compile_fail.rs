//! The mistakes that people make, and what the compiler tells them: it says what to add.
//!
//! After a change of wording: `TRYBUILD=overwrite cargo test -p buttress-tests --test compile_fail`, and read what
//! changed as somebody who has just made the mistake.

#[test]
fn mistakes_are_explained() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
