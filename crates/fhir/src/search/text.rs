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
    let mut has_marks = false;
    let letters = text.nfkd().flat_map(char::to_lowercase).nfkd();
    for letter in letters.filter(|it| !is_accent(*it)) {
        if letter.is_whitespace() {
            if !normal.is_empty() && !normal.ends_with(' ') {
                normal.push(' ');
            }
        } else if letter.is_alphanumeric() || is_combining_mark(letter) {
            has_marks |= is_combining_mark(letter);
            normal.push(letter);
        }
    }
    normal.truncate(normal.trim_end().len());
    // Marks that something was left out between have come together, and have an order among themselves.
    if has_marks { normal.nfkd().collect() } else { normal }
}

/// Whether `mark` is written or left out at will: accents, and the points of Hebrew and Arabic. Other combining
/// marks, as the vowels of Indic scripts and of Thai, make one word another.
fn is_accent(mark: char) -> bool {
    is_combining_mark(mark)
        && matches!(mark,
            '\u{300}'..='\u{36f}'
            | '\u{591}'..='\u{5c7}'
            | '\u{64b}'..='\u{65f}'
            | '\u{670}'
            | '\u{1ab0}'..='\u{1aff}'
            | '\u{1dc0}'..='\u{1dff}'
            | '\u{20d0}'..='\u{20ff}'
            | '\u{fe20}'..='\u{fe2f}')
}

/// A code without case: R4 asks for it where nobody knows whether a code system tells cases apart (Search,
/// "token").
pub(crate) fn code(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

/// Whether `text` without case is `wanted`, which has none.
pub(super) fn is_code(wanted: &str, text: &str) -> bool {
    wanted.chars().eq(text.chars().flat_map(char::to_lowercase))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
            ("राम", "राम"),
            ("ดี", "ดี"),
            ("--", ""),
        ] {
            assert_eq!(normal(text), expected, "{text}");
            assert_eq!(normal(expected), expected, "twice is once");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4_096, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn normalising_twice_is_normalising_once(
            texts in prop::collection::vec(
                prop_oneof![
                    any::<String>(),
                    // Marks of several orders, and what is left out between them.
                    "[a\u{5d0}\u{915} -]?[\u{301}\u{93c}\u{94d}\u{1d165}\u{e38}\u{327}'-]{0,4}",
                ],
                0..4,
            ),
        ) {
            let once = normal(&texts.concat());
            prop_assert_eq!(normal(&once), once);
        }

        #[test]
        fn a_code_without_case_is_itself(text in any::<String>()) {
            prop_assert!(is_code(&code(&text), &text));
        }
    }
}
