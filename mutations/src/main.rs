//! Breaks the library on purpose, one mistake at a time, and demands that the test named for it goes red.
//!
//! `cargo run -p buttress-mutations` tries all of `mutations/*.txt`, `cargo run -p buttress-mutations -- WORD...` those
//! whose list, title, file or test has one of the words in it. `--drawn FILE` comes first where the mutations are those
//! that `cargo mutants --list --json` has printed, and any test may find them. It works on a copy of the repository below
//! `target/mutations`, so nothing here is touched. Exit code 1 if a mutation survived, did not compile, or did not find
//! its place.
//!
//! All mutations inside of functions are built at once, and switched on one at a time. The others (of types, constants,
//! macros and whole functions) are built one by one, which takes far longer: put one inside of a function if you can.
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
// A test that hangs is found by the machine's clock.
#![allow(clippy::disallowed_types)]

mod drawn;
mod graft;
mod list;
#[cfg(test)]
mod rules;
mod source;
mod workshop;

use std::{
    env,
    num::NonZero,
    path::Path,
    process::ExitCode,
    sync::{
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc,
    },
    thread,
};

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
    let mut words: Vec<String> = env::args().skip(1).collect();
    let mut mutations = if words.first().is_some_and(|word| word == "--drawn") {
        let file = words.get(1).ok_or("`--drawn` needs a file")?.clone();
        words.drain(..2);
        drawn::read(Path::new(&file), root)?
    } else {
        list::read(&root.join("mutations"))?
    };
    mutations.retain(|m| words.is_empty() || words.iter().any(|word| m.mentions(word)));
    if mutations.is_empty() {
        return Err(format!("no mutation mentions {}", words.join(", ")).into());
    }
    let workshop = Workshop::open(root)?;
    let mut survivors = 0;
    let mut tell = |mutation: &Mutation, result: Result<Vec<String>, Failed>| {
        let verdict = match result {
            Ok(alive) if alive.is_empty() => "killed".to_owned(),
            Ok(_) if mutation.is_found_by_any => "SURVIVED".to_owned(),
            Ok(alive) => format!("SURVIVED {}", alive.join(", ")),
            Err(Failed(why)) => format!("INVALID {why}"),
        };
        survivors += usize::from(verdict != "killed");
        println!("{verdict:<10} {}", mutation.title);
    };

    let (mut together, mut planted, outside) = workshop.plant(&mutations)?;
    let red = together.expect_green(tests(&mutations, |number| planted.contains(&number)))?;
    let built = planted.len();
    // What the build of all has changed, a size or an instant, may not be in one of its own.
    planted.retain(|number| !mutations[*number].tests.iter().any(|test| red.contains_key(test)));
    let numbers: Vec<usize> = (0..mutations.len())
        .filter(|number| planted.contains(number))
        .collect();
    let next = AtomicUsize::new(0);
    let (results, told) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
            let (results, next, numbers, mutations, together) =
                (results.clone(), &next, &numbers, &mutations, &together);
            scope.spawn(move || {
                while let Some(&number) = numbers.get(next.fetch_add(1, Relaxed)) {
                    // Whoever listens is there until all is told.
                    let _ = results.send((number, together.alive(&mutations[number], Some(number))));
                }
            });
        }
        drop(results);
        for (number, result) in told {
            tell(&mutations[number], result);
        }
    });

    // There are too many of those to build one by one, and most are left over because they do not compile.
    if mutations.iter().any(|mutation| mutation.is_found_by_any) {
        for why in red.values() {
            println!("{:<10} those of a concern: {why}", "UNTRIED");
        }
        for number in &outside {
            println!("{:<10} {}", "UNTRIED", mutations[*number].title);
        }
        println!(
            "{} of {} mutations killed, {} not tried, and {} do not compile",
            planted.len() - survivors,
            planted.len(),
            built - planted.len() + outside.len(),
            mutations.len() - built - outside.len()
        );
        return Ok(survivors == 0);
    }
    if planted.len() < mutations.len() {
        let mut sound = workshop.sound()?;
        let red = sound.expect_green(tests(&mutations, |number| !planted.contains(&number)))?;
        for (number, mutation) in mutations.iter().enumerate() {
            if planted.contains(&number) {
                continue;
            }
            match mutation.tests.iter().find_map(|test| red.get(test)) {
                Some(why) => tell(mutation, Err(why.into())),
                None => tell(mutation, workshop.try_alone(mutation, &sound)),
            }
        }
    }
    println!(
        "{} of {} mutations killed",
        mutations.len() - survivors,
        mutations.len()
    );
    Ok(survivors == 0)
}

/// The tests of the mutations with such numbers.
fn tests(mutations: &[Mutation], is_meant: impl Fn(usize) -> bool) -> impl Iterator<Item = &String> {
    mutations
        .iter()
        .enumerate()
        .filter(move |(number, _)| is_meant(*number))
        .flat_map(|(_, mutation)| &mutation.tests)
}
