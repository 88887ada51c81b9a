use std::{fs, ops::Range, path::Path};

use crate::workshop::Failed;

/// One mistake.
#[derive(Debug, Default)]
pub(crate) struct Mutation {
    /// The name of the file that it stands in.
    pub(crate) list: String,
    pub(crate) title: String,
    pub(crate) changes: Vec<Change>,
    pub(crate) tests: Vec<String>,
    /// One test that fails is enough, or else all of them must.
    pub(crate) is_found_by_any: bool,
}

/// One place in which it changes the source.
#[derive(Debug, Default)]
pub(crate) struct Change {
    pub(crate) file: String,
    pub(crate) old: String,
    pub(crate) new: String,
    /// Where it is, if it is known; or else wherever it reads `old`.
    pub(crate) at: Option<Range<usize>>,
}

impl Change {
    /// Where it is in the text of its file, if that is one place.
    pub(crate) fn place(&self, text: &str) -> Option<Range<usize>> {
        if let Some(at) = &self.at {
            return Some(at.clone());
        }
        let mut places = text.match_indices(&self.old);
        let (start, old) = places.next()?;
        places.next().is_none().then(|| start..start + old.len())
    }

    /// The same without the lines in front and behind that stay as they are, and only say where it is.
    pub(crate) fn narrowed(&self, text: &str) -> Option<(Range<usize>, &str)> {
        let place = self.place(text)?;
        let (old, new) = (&text[place.clone()], self.new.as_str());
        let front: usize = old
            .split_inclusive('\n')
            .zip(new.split_inclusive('\n'))
            .take_while(|(a, b)| a == b && a.ends_with('\n'))
            .map(|(a, _)| a.len())
            .sum();
        let (old, new) = (&old[front..], &new[front..]);
        let back: usize = old
            .rsplit('\n')
            .zip(new.rsplit('\n'))
            .take_while(|(a, b)| a == b)
            .map(|(a, _)| a.len() + 1)
            .sum();
        let back = back.min(old.len()).min(new.len());
        Some((place.start + front..place.end - back, &new[..new.len() - back]))
    }
}

impl Mutation {
    /// Whether the word is in its list's name, in its title, or in the name of a test or file of it.
    pub(crate) fn mentions(&self, word: &str) -> bool {
        self.list.contains(word)
            || self.title.contains(word)
            || self.tests.iter().any(|test| test.contains(word))
            || self.changes.iter().any(|change| change.file.contains(word))
    }
}

/// The mutations of every list in `folder`.
pub(crate) fn read(folder: &Path) -> Result<Vec<Mutation>, Failed> {
    let mut lists: Vec<_> = fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "txt"))
        .collect();
    lists.sort();
    let mut mutations = Vec::new();
    for list in lists {
        let text = fs::read_to_string(&list)?;
        for block in text.split("\n\n").filter(|block| !block.trim().is_empty()) {
            let mut mutation =
                parse(block).map_err(|Failed(why)| format!("{}: {why} in\n{block}", list.display()))?;
            if let Some(name) = list.file_name() {
                mutation.list = name.to_string_lossy().into_owned();
            }
            mutations.push(mutation);
        }
    }
    Ok(mutations)
}

fn parse(block: &str) -> Result<Mutation, Failed> {
    let mut mutation = Mutation::default();
    let mut file = String::new();
    let mut replaced = true;
    for line in block.lines() {
        if let Some(title) = line.strip_prefix("# ") {
            if !mutation.title.is_empty() {
                mutation.title.push(' ');
            }
            mutation.title.push_str(title);
            continue;
        }
        let (key, value) = line.split_once(':').ok_or("a line without a key")?;
        let value = value.strip_prefix(' ').unwrap_or(value);
        match key {
            "file" => {
                file = value.to_owned();
                replaced = true;
            }
            "old" => {
                if replaced {
                    mutation.changes.push(Change {
                        file: file.clone(),
                        ..Change::default()
                    });
                    replaced = false;
                }
                let change = mutation.changes.last_mut().ok_or("an `old` without a `file`")?;
                append(&mut change.old, value);
            }
            "new" => {
                replaced = true;
                let change = mutation.changes.last_mut().ok_or("a `new` without an `old`")?;
                append(&mut change.new, value);
            }
            "test" => mutation.tests.push(value.to_owned()),
            other => return Err(format!("unknown key `{other}`").into()),
        }
    }
    let complete = !mutation.title.is_empty()
        && !mutation.tests.is_empty()
        && !mutation.changes.is_empty()
        && mutation
            .changes
            .iter()
            .all(|c| !c.file.is_empty() && !c.old.is_empty());
    if complete {
        Ok(mutation)
    } else {
        Err("a title, `file`, `old` or `test` is missing".into())
    }
}

fn append(text: &mut String, line: &str) {
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(line);
}
