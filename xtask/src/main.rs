//! Chores of this repository: `cargo run -p xtask -- <chore>`.
//!
//! * `codegen` writes the Rust code of the `.proto` files anew. The code is committed, so nobody who only builds
//!   needs this, and nobody at all needs `protoc`: the files are compiled by protox.
//! * `codegen --check` writes nothing and fails if what is committed is not what would be written.
#![forbid(unsafe_code)]

mod codegen;

use std::{env, error::Error};

const USAGE: &str = "usage: cargo run -p xtask -- codegen [--check]";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["codegen"] => codegen::write(),
        ["codegen", "--check"] => codegen::check(),
        _ => Err(USAGE.into()),
    }
}
