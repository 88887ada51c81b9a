//! Where the functions of a source file are.

use std::ops::Range;

/// The text without what is only said in it: comments, strings and characters are blanks, and everything else is where
/// it was.
pub(crate) fn code(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match &bytes[at..] {
            [b'/', b'/', ..] => end_of(bytes, at, b"\n"),
            [b'/', b'*', ..] => end_of(bytes, at + 2, b"*/"),
            [b'r', b'"' | b'#', ..] if !is_word(bytes, at.wrapping_sub(1)) => end_of_raw(bytes, at),
            [b'"', ..] => end_of_string(bytes, at),
            [b'\'', b'\\', ..] => end_of(bytes, at + 3, b"'"),
            [b'\'', _, b'\'', ..] => at + 3,
            _ => at,
        };
        for byte in &mut code[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end.max(at + 1);
    }
    code
}

/// The insides of the bodies of all functions, those inside of others left out, and `const` ones: in those nothing can
/// be decided when they run.
pub(crate) fn bodies(code: &[u8]) -> Vec<Range<usize>> {
    let mut bodies = Vec::new();
    let mut item = 0;
    let mut at = 0;
    while at < code.len() {
        match code[at] {
            b';' | b'{' | b'}' => item = at + 1,
            b'f' if is_function(code, at) => {
                let Some(open) = body_of(code, at) else {
                    at += 2;
                    continue;
                };
                let close = matching(code, open);
                if !words(&code[item..at]).any(|word| word == b"const") {
                    bodies.push(open + 1..close);
                }
                at = close;
                item = close + 1;
            }
            _ => {}
        }
        at += 1;
    }
    bodies
}

/// Whether `fn` and a name stand here.
fn is_function(code: &[u8], at: usize) -> bool {
    code[at..].starts_with(b"fn ") && !is_word(code, at.wrapping_sub(1)) && is_word(code, at + 3)
}

/// Where the body of a function begins, if it has one.
fn body_of(code: &[u8], from: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, byte) in code.iter().enumerate().skip(from) {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.checked_sub(1)?,
            b';' | b'}' if depth == 0 => return None,
            b'{' if depth == 0 => return Some(at),
            _ => {}
        }
    }
    None
}

/// The end of the block that begins at `open`.
fn matching(code: &[u8], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in code.iter().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => continue,
        }
        if depth == 0 {
            return at;
        }
    }
    code.len()
}

fn words(code: &[u8]) -> impl Iterator<Item = &[u8]> {
    code.split(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_')
}

fn is_word(bytes: &[u8], at: usize) -> bool {
    bytes
        .get(at)
        .is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

fn end_of(bytes: &[u8], from: usize, mark: &[u8]) -> usize {
    let found = bytes
        .get(from..)
        .and_then(|rest| rest.windows(mark.len()).position(|w| w == mark));
    found.map_or(bytes.len(), |found| from + found + mark.len())
}

fn end_of_string(bytes: &[u8], from: usize) -> usize {
    let mut at = from + 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

/// The end of `r#"..."#`, or where it began if it is none.
fn end_of_raw(bytes: &[u8], from: usize) -> usize {
    let hashes = bytes[from + 1..].iter().take_while(|byte| **byte == b'#').count();
    if bytes.get(from + 1 + hashes) != Some(&b'"') {
        return from;
    }
    let mark: Vec<u8> = std::iter::once(b'"')
        .chain(std::iter::repeat_n(b'#', hashes))
        .collect();
    end_of(bytes, from + 2 + hashes, &mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        bodies(&code(text)).into_iter().map(|body| &text[body]).collect()
    }

    #[test]
    fn a_body_is_what_stands_between_its_braces() {
        assert_eq!(
            found("impl A { fn a(&self) -> [u8; 2] {x} fn b() {y} }"),
            ["x", "y"]
        );
        assert_eq!(found("trait A { fn a(); fn b() where Self: Sized {y} }"), ["y"]);
    }

    #[test]
    fn what_is_inside_of_another_belongs_to_that() {
        assert_eq!(found("fn a() { fn b() {} }"), [" fn b() {} "]);
    }

    #[test]
    fn braces_that_are_only_said_do_not_count() {
        let text = "fn a() { \"}\"; r#\"}\"#; '}'; '\\''; b'}'; f::<'a>() // }\n /* } */ }";
        assert_eq!(found(text), [&text[8..text.len() - 1]]);
    }

    #[test]
    fn a_constant_function_and_a_pointer_are_none() {
        assert_eq!(
            found("pub const fn a() {x} fn b(f: fn(u8)) {y} const C: u8 = 1; fn d() {z}"),
            ["y", "z"]
        );
    }
}
