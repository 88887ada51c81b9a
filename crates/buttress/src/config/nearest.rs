/// Longer words are not compared: nobody mistypes one of those, and comparing costs the product of the lengths.
const LONGEST: usize = 64;

/// The candidate that `word` was probably meant to be.
///
/// Letter case, `-` and `_` do not count (`openFor` is `open_for`); beyond those, one edit is forgiven for every
/// three letters.
pub(super) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > LONGEST {
        return None;
    }
    let word = letters(word);
    candidates
        .filter(|c| c.len() <= LONGEST)
        .filter_map(|candidate| {
            let letters = letters(candidate);
            let edits = edits(&word, &letters);
            (edits <= word.len().max(letters.len()) / 3).then_some((edits, candidate))
        })
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

fn letters(word: &str) -> Vec<char> {
    word.chars()
        .filter(|c| !matches!(c, '-' | '_'))
        .flat_map(char::to_lowercase)
        .collect()
}

/// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`: the optimal string
/// alignment distance (Damerau 1964, Wagner and Fischer 1974).
fn edits(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let replaced = last[j] + usize::from(x != y);
            let mut least = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let known = ["open_for", "half_open_probes", "full", "on"];
        for (word, meant) in [
            ("open_fro", Some("open_for")),
            ("openFor", Some("open_for")),
            ("OPEN-FOR", Some("open_for")),
            ("opened_for", Some("open_for")),
            ("half_open_probe", Some("half_open_probes")),
            ("ful", Some("full")),
            ("of", None),
            ("window", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known.into_iter()), meant, "{word}");
        }
    }

    #[test]
    fn counts_edits() {
        let chars = |s: &str| s.chars().collect::<Vec<_>>();
        for (a, b, n) in [
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("fro", "for", 1),
        ] {
            assert_eq!(edits(&chars(a), &chars(b)), n, "{a} {b}");
        }
    }
}
