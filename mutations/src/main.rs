//! Breaks the library on purpose, one mistake at a time, and demands that the test named for it goes red.
//!
//! `cargo run -p buttress-mutations` tries all of `mutations/*.txt`, `cargo run -p buttress-mutations -- WORD...` those
//! whose list, title, file or test has one of the words in it. It works on a copy of the repository below `target/mutations`, so
//! nothing here is touched. Exit code 1 if a mutation survived, did not compile, or did not find its place.
//!
//! # The lists
//!
//! Blocks parted by blank lines, in each:
//!
//! ```text
//! # What goes wrong, in a sentence.
//! file: the file below crates/buttress/src
//! old: text that must be there exactly once; more such lines belong to it
//! new: what stands there instead; left out, nothing does
//! test: a test that must fail, by as much of its path as no other has; more such lines, each must
//! ```
//!
//! After a `new:` (or a second `file:`) the next `old:` begins a further change of the same mutation.
#![allow(clippy::print_stdout)]

mod list;
mod workshop;

use std::{env, path::Path, process::ExitCode};

use crate::{
    list::Mutation,
    workshop::{Failed, Workshop},
};

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(Failed(why)) => {
            println!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<bool, Failed> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .ok_or("the manifest has no folder above it")?;
    let words: Vec<String> = env::args().skip(1).collect();
    let mutations: Vec<Mutation> = list::read(&root.join("mutations"))?
        .into_iter()
        .filter(|m| words.is_empty() || words.iter().any(|word| m.mentions(word)))
        .collect();
    if mutations.is_empty() {
        return Err(format!("no mutation mentions {}", words.join(", ")).into());
    }
    let mut workshop = Workshop::open(root)?;
    workshop.expect_green(mutations.iter().flat_map(|m| &m.tests))?;

    let mut survivors = 0;
    for mutation in &mutations {
        let verdict = match workshop.try_out(mutation) {
            Ok(alive) if alive.is_empty() => "killed".to_owned(),
            Ok(alive) => {
                survivors += 1;
                format!("SURVIVED {}", alive.join(", "))
            }
            Err(Failed(why)) => {
                survivors += 1;
                format!("INVALID {why}")
            }
        };
        println!("{verdict:<10} {}", mutation.title);
    }
    println!(
        "{} of {} mutations killed",
        mutations.len() - survivors,
        mutations.len()
    );
    Ok(survivors == 0)
}
