//! Whether every rule of `rules.md` has a mistake that breaks it, or else something that holds it.

use std::{fs, path::Path};

use crate::list;

/// Every file with tests, as one text.
fn sources(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|e| e == "rs") {
            text.push_str(&fs::read_to_string(path).expect("a source"));
        }
    }
}

#[test]
fn every_rule_is_held_by_something() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mutations = list::read(here).unwrap_or_else(|why| panic!("{why:?}"));
    let mut tests = String::new();
    for folder in ["../crates", "../tests", "../benches"] {
        sources(&here.join(folder), &mut tests);
    }
    let rules = fs::read_to_string(here.join("rules.md")).expect("the rules");
    let mut missing = Vec::new();
    for rule in rules.split("\n* ").skip(1) {
        let mut lines = rule.lines().take_while(|line| !line.is_empty());
        let rule = lines.next().unwrap_or_default();
        let mut held = 0;
        for line in lines {
            let by = line.strip_prefix("  - ").and_then(|line| line.split_once(": "));
            let found = match by {
                Some(("command", name)) => here.join("..").join(name).exists(),
                Some(("test", name)) => tests.contains(&format!("fn {name}(")),
                Some((list, title)) => mutations
                    .iter()
                    .any(|m| m.title == title && m.list.strip_suffix(".txt") == Some(list)),
                None => false,
            };
            held += usize::from(found);
            if !found {
                missing.push(format!("{rule} {line}"));
            }
        }
        if held == 0 {
            missing.push(rule.to_owned());
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn no_mistake_is_listed_twice() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mutations = list::read(here).unwrap_or_else(|why| panic!("{why:?}"));
    let mut names: Vec<_> = mutations.iter().map(|m| (&m.list, &m.title)).collect();
    names.sort();
    for pair in names.windows(2) {
        assert_ne!(pair[0], pair[1]);
    }
}
