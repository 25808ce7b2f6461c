//! Reading Rust source well enough to find words in it: comments, strings and test code left out.
//!
//! This is a scanner, not a parser. It errs on the side of reporting: a word that a macro would
//! remove is still found.

/// A word, number or punctuation mark, with the line it stands in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Token<'a> {
    pub(crate) line: usize,
    pub(crate) text: &'a str,
}

/// Splits `source` into tokens. Comments, strings, characters and lifetimes are none.
pub(crate) fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = source;
    let mut line = 1;
    while let Some(first) = rest.chars().next() {
        let (length, is_token) = piece(rest, first, tokens.last().copied());
        let (text, after) = rest.split_at(length);
        if is_token {
            tokens.push(Token { line, text });
        }
        line += text.matches('\n').count();
        rest = after;
    }
    tokens
}

/// Length of the piece that `rest` begins with, and whether it is a token.
fn piece(rest: &str, first: char, before: Option<Token<'_>>) -> (usize, bool) {
    if rest.starts_with("//") {
        (rest.find('\n').unwrap_or(rest.len()), false)
    } else if rest.starts_with("/*") {
        (block_comment(rest), false)
    } else if first == '"' {
        (1 + string(&rest[1..]), false)
    } else if first == '\'' {
        (character_or_lifetime(rest), false)
    } else if let Some(length) = prefixed_string(rest) {
        (length, false)
    } else if first.is_ascii_digit() {
        // `pair.0.1` is two fields, not a float.
        (number(rest, before.is_some_and(|token| token.text == ".")), true)
    } else if is_word(first) {
        (rest.find(|c| !is_word(c)).unwrap_or(rest.len()), true)
    } else {
        (first.len_utf8(), !first.is_whitespace())
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// Length of the rest of a string after its opening quote, closing quote included.
fn string(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// Length of a string with a prefix: `r"..."`, `r#"..."#`, `b"..."`, `br#"..."#`, `c"..."`.
fn prefixed_string(rest: &str) -> Option<usize> {
    let prefix = ["br", "cr", "r", "b", "c"].into_iter().find(|prefix| {
        rest.strip_prefix(prefix).is_some_and(|after| after.starts_with(['"', '#']))
    })?;
    let after = &rest[prefix.len()..];
    let hashes = after.len() - after.trim_start_matches('#').len();
    let body = after[hashes..].strip_prefix('"')?;
    let opening = prefix.len() + hashes + 1;
    if !prefix.ends_with('r') {
        return (hashes == 0).then(|| opening + string(body));
    }
    let closing = format!("\"{}", "#".repeat(hashes));
    Some(opening + body.find(&closing).map_or(body.len(), |at| at + closing.len()))
}

fn character_or_lifetime(rest: &str) -> usize {
    let inner = &rest[1..];
    if let Some(escape) = inner.strip_prefix('\\') {
        // The escaped character may itself be a quote.
        let skipped = escape.chars().next().map_or(0, char::len_utf8);
        return 2 + skipped + escape[skipped..].find('\'').map_or(0, |at| at + 1);
    }
    let first = inner.chars().next().map_or(0, char::len_utf8);
    if inner[first..].starts_with('\'') {
        return 1 + first + 1;
    }
    1 + inner.find(|c| !is_word(c)).unwrap_or(inner.len())
}

/// Length of a number. A point belongs to it if a digit follows and it is not a field's name.
fn number(rest: &str, is_field: bool) -> usize {
    let whole = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
    let fraction = rest[whole..].strip_prefix('.').unwrap_or_default();
    if is_field || !fraction.starts_with(|c: char| c.is_ascii_digit()) {
        return whole;
    }
    whole + 1 + fraction.find(|c| !is_word(c)).unwrap_or(fraction.len())
}

/// The tokens that are built into the product: items under `#[cfg(test)]` are left out.
///
/// Also returns the names of modules that are declared under `#[cfg(test)]` and live in files of
/// their own.
pub(crate) fn product<'a>(tokens: &[Token<'a>]) -> (Vec<Token<'a>>, Vec<&'a str>) {
    let mut kept = Vec::new();
    let mut test_modules = Vec::new();
    let mut rest = tokens;
    while let Some((first, after)) = rest.split_first() {
        if !begins(rest, &["#", "[", "cfg", "(", "test", ")", "]"]) {
            kept.push(*first);
            rest = after;
            continue;
        }
        let item = skip_attributes(rest);
        if begins(item, &["mod"]) && item.get(2).is_some_and(|token| token.text == ";") {
            test_modules.push(item[1].text);
        }
        rest = skip_item(item);
    }
    (kept, test_modules)
}

fn begins(tokens: &[Token<'_>], texts: &[&str]) -> bool {
    tokens.len() >= texts.len() && tokens.iter().zip(texts).all(|(token, text)| token.text == *text)
}

fn skip_attributes<'t, 'a>(mut tokens: &'t [Token<'a>]) -> &'t [Token<'a>] {
    while begins(tokens, &["#", "["]) {
        tokens = skip_group(&tokens[1..]);
    }
    tokens
}

/// Skips one item: up to its `;`, or to the end of its braces.
fn skip_item<'t, 'a>(tokens: &'t [Token<'a>]) -> &'t [Token<'a>] {
    let mut rest = tokens;
    while let Some((first, after)) = rest.split_first() {
        match first.text {
            ";" => return after,
            "{" => {
                let after = skip_group(rest);
                // `use a::{b};` goes on after its braces.
                return if begins(after, &[";"]) { &after[1..] } else { after };
            }
            "(" | "[" => rest = skip_group(rest),
            _ => rest = after,
        }
    }
    rest
}

/// Skips a bracketed group that `tokens` begins with.
fn skip_group<'t, 'a>(tokens: &'t [Token<'a>]) -> &'t [Token<'a>] {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return &tokens[at + 1..];
        }
    }
    &[]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(source: &str) -> Vec<&str> {
        tokens(source).iter().map(|token| token.text).collect()
    }

    fn built(source: &str) -> String {
        let tokens = tokens(source);
        product(&tokens).0.iter().map(|token| token.text).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_is_no_code_is_no_token() {
        let cases: [(&str, &[&str]); 13] = [
            ("a // f64\nb", &["a", "b"]),
            ("a /* f64 /* f64 */ f64 */ b", &["a", "b"]),
            (r#"a "f64 \" f64" b"#, &["a", "b"]),
            (r##"a r#"f64 " f64"# b"##, &["a", "b"]),
            (r#"a b"f64" c"f64" d"#, &["a", "d"]),
            (r#"a br"f64\" b"#, &["a", "b"]),
            (r"a '\'' 'f' '\u{66}' b", &["a", "b"]),
            ("a: &'f64 str", &["a", ":", "&", "str"]),
            ("0..5", &["0", ".", ".", "5"]),
            ("1.5e3", &["1.5e3"]),
            ("pair.0.1", &["pair", ".", "0", ".", "1"]),
            ("0xf64", &["0xf64"]),
            ("ä \"unterminated", &["ä"]),
        ];
        for (source, expected) in cases {
            assert_eq!(words(source), expected, "{source}");
        }
    }

    #[test]
    fn lines_are_counted_through_comments_and_strings() {
        let source = "/* 1\n2 */ a\n\"3\n4\" b";
        let lines: Vec<_> = tokens(source).iter().map(|token| token.line).collect();
        assert_eq!(lines, [2, 4]);
    }

    #[test]
    fn test_code_is_left_out_and_nothing_else() {
        let cases = [
            ("#[cfg(test)] mod tests { fn a() { std } } fn b() {}", "fn b ( ) { }"),
            ("#[cfg(test)] extern crate std; fn b() {}", "fn b ( ) { }"),
            ("#[cfg(test)] #[allow(x)] fn a() -> [u8; 2] { std } b", "b"),
            ("#[cfg(test)] use std::{a, b}; c", "c"),
            ("#[cfg(not(test))] fn a() {}", "# [ cfg ( not ( test ) ) ] fn a ( ) { }"),
        ];
        for (source, expected) in cases {
            assert_eq!(built(source), expected, "{source}");
        }
    }

    #[test]
    fn test_modules_in_files_are_named() {
        let source = tokens("#[cfg(test)] mod tests; mod other; #[cfg(test)] mod inline {}");
        assert_eq!(product(&source).1, ["tests"]);
    }
}
