//! Many mistakes in one build: every function that has some in it decides by a number which of its bodies runs.
//!
//! Building the tests takes a hundred times as long as running the few that are named for a mistake.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    ops::Range,
};

use crate::{
    list::{Change, Mutation},
    source,
};

/// The variable that says which mistake is made, by its number.
pub(crate) const VARIABLE: &str = "BUTTRESS_PLANTED";

/// What is added to the library to read it, once, where nobody counts what that allocates.
pub(crate) const SWITCH: &str = r#"
#[cfg(test)]
pub(crate) fn planted() -> usize {
    static NUMBER: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    if NUMBER.get().is_none() {
        allocation_counter::opt_out(|| {
            let number = std::env::var("BUTTRESS_PLANTED").ok().and_then(|number| number.parse().ok());
            let _ = NUMBER.set(number.unwrap_or(usize::MAX));
        });
    }
    NUMBER.get().copied().unwrap_or(usize::MAX)
}
"#;

/// A file with mistakes in it.
#[derive(Debug)]
pub(crate) struct Grafted {
    pub(crate) text: String,
    /// The lines of each mistake, counted from 1.
    lines: Vec<(Range<usize>, usize)>,
}

impl Grafted {
    /// The mistake that a line belongs to.
    pub(crate) fn on_line(&self, line: usize) -> Option<usize> {
        let found = self.lines.iter().find(|(lines, _)| lines.contains(&line));
        found.map(|(_, number)| *number)
    }
}

/// The other bodies of a function, each with the number of its mistake.
type Bodies = BTreeMap<usize, String>;

/// A change of a function.
#[derive(Debug)]
struct Piece {
    file: String,
    function: usize,
    place: Range<usize>,
    new: String,
}

/// Where mistakes go, in files as they are.
#[derive(Debug, Default)]
pub(crate) struct Orchard {
    /// By the file's name.
    files: HashMap<String, Trunk>,
}

#[derive(Debug)]
struct Trunk {
    text: String,
    functions: Vec<Range<usize>>,
    /// By the place of the function among all.
    others: BTreeMap<usize, Bodies>,
}

impl Orchard {
    /// Whether the file is known, or else it has to be [shown](Self::show).
    pub(crate) fn knows(&self, file: &str) -> bool {
        self.files.contains_key(file)
    }

    /// The files as they were shown.
    pub(crate) fn as_they_were(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files
            .iter()
            .map(|(file, trunk)| (file.as_str(), trunk.text.as_str()))
    }

    pub(crate) fn show(&mut self, file: &str, text: String) {
        let functions = source::bodies(&source::code(&text));
        let trunk = Trunk {
            text,
            functions,
            others: BTreeMap::new(),
        };
        self.files.insert(file.to_owned(), trunk);
    }

    /// Plants a mistake, if all its places are inside of functions and read as it says.
    pub(crate) fn plant(&mut self, number: usize, mutation: &Mutation) -> bool {
        let mut pieces = Vec::new();
        for change in &mutation.changes {
            let Some(piece) = self.piece(change) else {
                return false;
            };
            pieces.push(piece);
        }
        // From the end, so that places do not move.
        pieces.sort_by_key(|piece| std::cmp::Reverse(piece.place.start));
        for piece in pieces {
            let Some(trunk) = self.files.get_mut(&piece.file) else {
                return false;
            };
            let body = &trunk.functions[piece.function];
            let bodies = trunk.others.entry(piece.function).or_default();
            let own = bodies
                .entry(number)
                .or_insert_with(|| trunk.text[body.clone()].to_owned());
            own.replace_range(
                piece.place.start - body.start..piece.place.end - body.start,
                &piece.new,
            );
        }
        true
    }

    fn piece(&self, change: &Change) -> Option<Piece> {
        let trunk = self.files.get(&change.file)?;
        let (place, new) = change.narrowed(&trunk.text)?;
        let inside = |body: &Range<usize>| body.start <= place.start && place.end <= body.end;
        Some(Piece {
            file: change.file.clone(),
            function: trunk.functions.iter().position(inside)?,
            place,
            new: new.to_owned(),
        })
    }

    pub(crate) fn uproot(&mut self, number: usize) {
        for trunk in self.files.values_mut() {
            for others in trunk.others.values_mut() {
                others.remove(&number);
            }
        }
    }

    /// All files as they are to be built.
    pub(crate) fn grafted(&self) -> HashMap<&str, Grafted> {
        self.files
            .iter()
            .map(|(file, trunk)| (file.as_str(), trunk.grafted()))
            .collect()
    }
}

impl Trunk {
    fn grafted(&self) -> Grafted {
        let mut text = String::new();
        let mut lines = Vec::new();
        let mut done = 0;
        for (function, others) in self.others.iter().filter(|(_, others)| !others.is_empty()) {
            let body = &self.functions[*function];
            text.push_str(&self.text[done..body.start]);
            text.push_str("match crate::planted() {\n");
            for (number, other) in others {
                let first = text.matches('\n').count() + 1;
                let _ = write!(text, "{number} => {{\n{other}\n}}\n");
                let last = text.matches('\n').count() + 1;
                lines.push((first..last, *number));
            }
            let _ = write!(text, "_ => {{\n{}\n}}\n}}\n", &self.text[body.clone()]);
            done = body.end;
        }
        text.push_str(&self.text[done..]);
        Grafted { text, lines }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "const A: u8 = 1;\nfn a() -> u8 {\n    1 + 2\n}\n";

    fn orchard() -> Orchard {
        let mut orchard = Orchard::default();
        orchard.show("a.rs", TEXT.to_owned());
        orchard
    }

    fn mutation(changes: &[(&str, &str)]) -> Mutation {
        let change = |(old, new): &(&str, &str)| Change {
            file: "a.rs".to_owned(),
            old: (*old).to_owned(),
            new: (*new).to_owned(),
            ..Change::default()
        };
        Mutation {
            changes: changes.iter().map(change).collect(),
            ..Mutation::default()
        }
    }

    #[test]
    fn the_number_decides_which_body_runs() {
        let mut orchard = orchard();
        assert!(orchard.plant(7, &mutation(&[("1 + 2", "1 - 2")])));
        let grafted = orchard.grafted();
        let text = &grafted["a.rs"].text;
        assert!(text.contains("7 => {\n\n    1 - 2\n\n}"), "{text}");
        assert!(text.contains("_ => {\n\n    1 + 2\n\n}"), "{text}");
        assert_eq!(grafted["a.rs"].on_line(5), Some(7));
    }

    #[test]
    fn lines_that_only_say_where_it_is_may_be_outside() {
        let mut orchard = orchard();
        let changes = [("fn a() -> u8 {\n    1 + 2", "fn a() -> u8 {\n    3")];
        assert!(orchard.plant(7, &mutation(&changes)));
        let grafted = orchard.grafted();
        assert!(
            grafted["a.rs"].text.contains("7 => {\n\n    3\n\n}"),
            "{grafted:?}"
        );
    }

    #[test]
    fn what_is_outside_of_functions_or_not_there_once_is_not_planted() {
        let mut orchard = orchard();
        assert!(!orchard.plant(1, &mutation(&[("A: u8 = 1", "A: u8 = 2")])));
        assert!(!orchard.plant(1, &mutation(&[("1 - 2", "")])));
        assert!(!orchard.plant(1, &mutation(&[("1", "2")])));
    }
}
