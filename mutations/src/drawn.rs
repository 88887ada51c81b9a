//! Mistakes that a tool has thought up: what `cargo mutants --list --json` says.

use std::{fs, path::Path};

use serde_json::Value;

use crate::{
    list::{Change, Mutation},
    workshop::Failed,
};

/// Whose tests may find mistakes in what concerns share, beside its own.
const USERS: [(&str, &[&str]); 5] = [
    ("budget", &["retry"]),
    ("duration", &["config"]),
    ("histogram", &["hedge", "metrics"]),
    ("striped", &["metrics"]),
    ("wait_line", &["priority", "rate_limit"]),
];

/// The mutations of the file at `path`. Any test of the concern may find one.
pub(crate) fn read(path: &Path, root: &Path) -> Result<Vec<Mutation>, Failed> {
    let drawn: Vec<Value> = serde_json::from_str(&fs::read_to_string(path)?)?;
    drawn.iter().map(|mutant| parse(mutant, root)).collect()
}

fn parse(mutant: &Value, root: &Path) -> Result<Mutation, Failed> {
    let file = mutant["file"].as_str().ok_or("a mutant without a file")?;
    let text = fs::read_to_string(root.join(file))?;
    let place = |end: &str| {
        let end = &mutant["span"][end];
        offset(&text, end["line"].as_u64()?, end["column"].as_u64()?)
    };
    let (start, end) = place("start")
        .zip(place("end"))
        .ok_or("a mutant without a place")?;
    let below = file
        .strip_prefix("crates/buttress/src/")
        .ok_or_else(|| format!("{file} is not the library's"))?;
    let concern = below.split(['/', '.']).next().unwrap_or(below);
    let users = USERS.iter().find(|(shared, _)| *shared == concern);
    let users = users.map_or(&[][..], |(_, users)| users);
    Ok(Mutation {
        list: "drawn".to_owned(),
        title: mutant["name"].as_str().unwrap_or_default().to_owned(),
        changes: vec![Change {
            file: below.to_owned(),
            old: text[start..end].to_owned(),
            new: mutant["replacement"].as_str().unwrap_or_default().to_owned(),
            at: Some(start..end),
        }],
        tests: [concern]
            .iter()
            .chain(users)
            .map(|concern| format!("{concern}::"))
            .collect(),
        is_found_by_any: true,
    })
}

/// Lines and columns are counted from 1, columns in characters.
fn offset(text: &str, line: u64, column: u64) -> Option<usize> {
    let before: usize = text
        .split_inclusive('\n')
        .take(usize::try_from(line).ok()?.checked_sub(1)?)
        .map(str::len)
        .sum();
    let characters = usize::try_from(column).ok()?.checked_sub(1)?;
    let within = text[before..].char_indices().nth(characters)?.0;
    Some(before + within)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_counted_in_lines_and_characters() {
        let text = "a\né b\n";
        assert_eq!(offset(text, 1, 1), Some(0));
        assert_eq!(offset(text, 2, 3), Some(5));
        assert_eq!(offset(text, 9, 1), None);
    }
}
