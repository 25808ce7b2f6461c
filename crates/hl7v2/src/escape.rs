//! Escape sequences: how text holds separators, lines and bytes (HL7 v2, chapter 2, "Use of escape sequences").
//!
//! ```text
//! \F\ \S\ \T\ \R\ \E\ \P\   the separators, the escape and the truncation character
//! \X0D0A\                   bytes in hexadecimal, in the message's character set
//! \.br\ \.sp 2\ \.ce\       new lines
//! \.in 4\ \.ti 2\ \.fi\ \.nf\ \.sk 3\ \H\ \N\   looks, of which plain text has none
//! ```
//!
//! # Invariants
//!
//! * What is not known, is not closed or is not text in the character set stays as it was written, and is said.
//! * Text has no control characters but tab and line ends: FHIR allows no others. They become U+FFFD.
//!
//! Not here: `\C..\` and `\M..\`, which change to another character set in the middle of a text, and `\Z..\`, which
//! the sender defined. They stay as written.

use alloc::{string::String, vec::Vec};

use crate::{charset::CharacterSet, limits::SPACE_LINES_MAX, message::Separators};

/// Text out of a message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Decoded {
    /// The text.
    pub text: String,
    /// Every escape sequence was known and closed.
    pub is_whole: bool,
}

/// The text that `raw` stands for.
pub fn decode(raw: &str, separators: &Separators, set: CharacterSet) -> Decoded {
    let mut text = String::with_capacity(raw.len());
    let mut is_whole = true;
    let mut rest = raw;
    while let Some((before, after)) = rest.split_once(separators.escape) {
        push(&mut text, before);
        let sequence = after.split_once(separators.escape);
        let known =
            sequence.and_then(|(sequence, next)| Some((meaning(sequence, separators, set)?, next)));
        match known {
            Some((meaning, next)) => {
                push(&mut text, &meaning);
                rest = next;
            }
            None => {
                text.push(separators.escape);
                is_whole = false;
                rest = after;
            }
        }
    }
    push(&mut text, rest);
    Decoded { text, is_whole }
}

/// Appends `text` to `out` so that it reads as one value; line ends become `\X0D\` and `\X0A\`.
pub fn encode(text: &str, separators: &Separators, out: &mut String) {
    for character in text.chars() {
        let sequence = match character {
            '\r' => "X0D",
            '\n' => "X0A",
            _ if character == separators.field => "F",
            _ if character == separators.component => "S",
            _ if character == separators.subcomponent => "T",
            _ if character == separators.repetition => "R",
            _ if character == separators.escape => "E",
            _ => {
                out.push(character);
                continue;
            }
        };
        out.push(separators.escape);
        out.push_str(sequence);
        out.push(separators.escape);
    }
}

fn meaning(sequence: &str, separators: &Separators, set: CharacterSet) -> Option<String> {
    let one = |character: char| Some(String::from(character));
    match sequence {
        "F" => one(separators.field),
        "S" => one(separators.component),
        "T" => one(separators.subcomponent),
        "R" => one(separators.repetition),
        "E" => one(separators.escape),
        "P" => one(separators.truncation.unwrap_or('#')),
        "H" | "N" => Some(String::new()),
        _ => match sequence.split_at_checked(1)? {
            ("X", digits) => set.decode(&hexadecimal(digits)?),
            (".", command) => formatting(command),
            _ => None,
        },
    }
}

fn formatting(command: &str) -> Option<String> {
    let (name, argument) = command.split_at_checked(2)?;
    let argument = argument.trim().trim_start_matches('+');
    let count = if argument.is_empty() { Some(1) } else { argument.parse::<usize>().ok() };
    match name {
        "br" | "ce" if argument.is_empty() => Some(String::from("\n")),
        "sp" => Some("\n".repeat(count?.min(SPACE_LINES_MAX))),
        "sk" => Some(" ".repeat(count?.min(SPACE_LINES_MAX))),
        "fi" | "nf" | "in" | "ti" => Some(String::new()),
        _ => None,
    }
}

fn hexadecimal(digits: &str) -> Option<Vec<u8>> {
    if digits.is_empty() || !digits.len().is_multiple_of(2) {
        return None;
    }
    digits
        .as_bytes()
        .chunks_exact(2)
        .map(|pair| {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()
        })
        .collect()
}

fn push(text: &mut String, part: &str) {
    let allowed = |character: char| !character.is_control() || "\t\r\n".contains(character);
    text.extend(part.chars().map(|c| if allowed(c) { c } else { char::REPLACEMENT_CHARACTER }));
}
