//! The targets, with what is in their corpora, with that changed at random, and with any bytes.

use std::{fs, path::PathBuf};

use buttress_fuzz::{TARGETS, Target};
use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
    test_runner::{Config, TestRunner},
};

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(name);
    let found = fs::read_dir(&folder).unwrap_or_else(|problem| panic!("{}: {problem}", folder.display()));
    let mut files: Vec<PathBuf> = found.map(|entry| entry.expect("it can be read").path()).collect();
    files.sort();
    files
        .iter()
        .map(|file| fs::read(file).expect("it can be read"))
        .collect()
}

/// A few bytes of a seed replaced, removed, or put in twice.
fn changed(seed: Vec<u8>, changes: Vec<(u8, Index, u8)>) -> Vec<u8> {
    changes.into_iter().fold(seed, |mut bytes, (kind, at, byte)| {
        let at = at.index(bytes.len() + 1);
        match kind % 4 {
            0 => bytes.insert(at, byte),
            1 if at < bytes.len() => drop(bytes.remove(at)),
            2 if at < bytes.len() => bytes[at] = byte,
            _ => {
                let tail = bytes[at..].to_vec();
                bytes.extend(tail);
            }
        }
        bytes.truncate(4096);
        bytes
    })
}

fn run(name: &str) {
    let (_, target): Target = *TARGETS
        .iter()
        .find(|(found, _)| *found == name)
        .expect("it is a target");
    let seeds = corpus(name);
    assert!(!seeds.is_empty(), "a corpus without a seed");
    for seed in &seeds {
        target(seed);
    }
    let near = (
        select(seeds),
        vec((any::<u8>(), any::<Index>(), any::<u8>()), 0..6),
    )
        .prop_map(|(seed, changes)| changed(seed, changes));
    let bytes = prop_oneof![3 => near, 1 => vec(any::<u8>(), 0..200)];
    let config = Config {
        failure_persistence: None,
        ..Config::default()
    };
    let done = TestRunner::new(config).run(&bytes, |bytes| {
        target(&bytes);
        Ok(())
    });
    if let Err(problem) = done {
        panic!("{problem}");
    }
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            run(stringify!($name));
        })*

        #[test]
        fn every_target_is_here() {
            let here = [$(stringify!($name)),*];
            assert!(TARGETS.iter().map(|(name, _)| *name).eq(here));
        }
    };
}

targets! {
    traceparent trace_headers retry_after rate_limit priority grpc_timeout forwarded_for config observed_body replayed_body
}
