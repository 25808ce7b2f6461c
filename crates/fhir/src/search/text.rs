//! Text and codes in the one form in which they are compared.
//!
//! # Invariants
//!
//! * Normalising twice is normalising once.
//!
//! Not here: letters that Unicode does not take apart: `ł` is no `l`.

use alloc::string::String;

use unicode_normalization::{UnicodeNormalization as _, char::is_combining_mark};

/// Without case, accents and punctuation, and with single spaces (R4 Search, "string").
pub(super) fn normal(text: &str) -> String {
    let mut normal = String::with_capacity(text.len());
    let letters = text.nfkd().flat_map(char::to_lowercase).nfkd();
    for letter in letters.filter(|it| !is_combining_mark(*it)) {
        if letter.is_whitespace() {
            if !normal.is_empty() && !normal.ends_with(' ') {
                normal.push(' ');
            }
        } else if letter.is_alphanumeric() {
            normal.push(letter);
        }
    }
    normal.truncate(normal.trim_end().len());
    normal
}

/// A code without case: R4 asks for it where nobody knows whether a code system tells cases apart (Search,
/// "token").
pub(super) fn code(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

/// Whether `text` without case is `wanted`, which has none.
pub(super) fn is_code(wanted: &str, text: &str) -> bool {
    wanted.chars().eq(text.chars().flat_map(char::to_lowercase))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_compared_without_case_accents_and_punctuation() {
        for (text, expected) in [
            ("  Jürgen   MÜLLER ", "jurgen muller"),
            ("O'Brien-Smith, Jr.", "obriensmith jr"),
            ("Ångström\t\u{feff}x", "angstrom x"),
            ("ﬁne İ", "fine i"),
            ("Łukasz", "łukasz"),
            ("山田 太郎", "山田 太郎"),
            ("--", ""),
        ] {
            assert_eq!(normal(text), expected, "{text}");
            assert_eq!(normal(expected), expected, "twice is once");
        }
    }
}
