//! How large a text of rules may be inside: bounds on nesting and on the length of one rule.
//!
//! Cedar walks expressions by recursion and stops where the stack ends, which is not the same place everywhere. These
//! bounds keep every text far from there, so that it means the same on every machine (I8, I10).

/// Why a text is too large to be read, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TooLarge {
    pub(super) what: &'static str,
    pub(super) line: usize,
}

/// Where each rule begins: its line, and its part of the text.
pub(super) type Parts = Vec<(usize, std::ops::Range<usize>)>;

/// Measures a text outside of its comments; texts in quotes and commas count nothing, so that lists may be long.
pub(super) fn measure(text: &str) -> Result<Parts, TooLarge> {
    let (mut depth, mut tokens, mut line) = (0_usize, 0_usize, 1_usize);
    let (mut parts, mut begin) = (Parts::new(), None);
    let mut in_word = false;
    let mut chars = text.char_indices().peekable();
    while let Some((at, char)) = chars.next() {
        let comments = char == '/' && chars.peek().is_some_and(|(_, next)| *next == '/');
        if begin.is_none() && !char.is_ascii_whitespace() && !comments {
            begin = Some((line, at));
        }
        let is_word = char.is_ascii_alphanumeric() || char == '_';
        let new_word = is_word && !in_word;
        in_word = is_word;
        match char {
            '\n' => line += 1,
            '/' if comments => {
                while chars.peek().is_some_and(|(_, next)| *next != '\n') {
                    chars.next();
                }
            }
            '"' => line += skip_quoted(&mut chars),
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            ';' => {
                let (line, start) = begin.take().unwrap_or((line, at));
                parts.push((line, start..at + 1));
                tokens = 0;
            }
            ',' | ' ' | '\t' => {}
            _ if is_word && !new_word => {}
            _ => tokens += 1,
        }
        let too_large = |what| Err(TooLarge { what, line });
        match () {
            () if depth > MAX_DEPTH => return too_large("brackets stand too deep in each other"),
            () if tokens > MAX_TOKENS => return too_large("one rule is too long; make two of it"),
            () if parts.len() > MAX_RULES => return too_large("there are too many rules"),
            () => {}
        }
    }
    parts.extend(begin.map(|(line, start)| (line, start..text.len())));
    Ok(parts)
}

// Skips to the end of a quoted text; how many lines it went through.
fn skip_quoted(chars: &mut std::iter::Peekable<std::str::CharIndices<'_>>) -> usize {
    let mut lines = 0;
    while let Some((_, char)) = chars.next() {
        match char {
            '"' => break,
            '\\' => drop(chars.next()),
            '\n' => lines += 1,
            _ => {}
        }
    }
    lines
}

/// The deepest that brackets may stand in each other.
pub(super) const MAX_DEPTH: usize = 16;
/// The most words and signs of one rule.
pub(super) const MAX_TOKENS: usize = 256;
/// The most rules of one text.
pub(super) const MAX_RULES: usize = 256;
