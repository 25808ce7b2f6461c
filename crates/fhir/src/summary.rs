//! One line that tells a person what a resource is: its type, day, name and value, and what turns them round.
//!
//! # Invariants
//!
//! * Any bytes give a line; it never holds a control or direction-changing character, so what a sender
//!   wrote cannot move a terminal's cursor or disguise the line.
//! * A line has at most [`LINE_CHARS_MAX`] characters.
//! * What was ruled out, not done, withdrawn or not to be done does not look as if it were: the line says so before
//!   the name, where nothing is cut.
//!
//! Not here: the narrative, which is for a browser.

use alloc::{
    format,
    string::{String, ToString},
};

use crate::{
    bundle::DEPTH_MAX,
    tree::{Tree, too_deep},
};

/// Characters of a line.
pub const LINE_CHARS_MAX: usize = 100;
/// The longest type of R4 has 35.
const TYPE_CHARS_MAX: usize = 40;
/// `2024-05-01`.
const DAY_CHARS: usize = 10;
const VALUE_CHARS_MAX: usize = 40;

/// Where a resource says when it was, the most telling element first.
const DATES: [&[&str]; 15] = [
    &["effectiveDateTime"],
    &["effectivePeriod", "start"],
    &["onsetDateTime"],
    &["performedDateTime"],
    &["performedPeriod", "start"],
    &["occurrenceDateTime"],
    &["period", "start"],
    &["billablePeriod", "start"],
    &["started"],
    &["authoredOn"],
    &["recordedDate"],
    &["created"],
    &["date"],
    &["issued"],
    &["birthDate"],
];

/// Where a resource says what it is.
const CONCEPTS: [&str; 8] = [
    "code",
    "medicationCodeableConcept",
    "vaccineCode",
    "description",
    "title",
    "type",
    "category",
    "class",
];

/// Words of a status by which what is named is not so, or is void.
const TURNED: [&str; 8] = [
    "entered-in-error",
    "refuted",
    "not-done",
    "not-taken",
    "cancelled",
    "declined",
    "rejected",
    "revoked",
];

/// A line about the resource in `json`, such as `Observation  2024-05-01  Body weight 71.3 kg`.
pub fn one_line(json: &[u8]) -> String {
    let tree: Option<Tree> = match too_deep(json, DEPTH_MAX) {
        Some(_) => None,
        None => serde_json::from_slice(json).ok(),
    };
    let Some(tree) = tree.filter(|tree| matches!(tree, Tree::Object(_))) else {
        return format!("unreadable  {} bytes", json.len());
    };
    let resource_type = tree.text_of("resourceType").unwrap_or("no resourceType");
    let mut line = printable(resource_type, TYPE_CHARS_MAX);
    if let Some(date) = DATES.iter().find_map(|path| tree.at(path)?.text()) {
        let day = date.get(..DAY_CHARS).unwrap_or(date);
        line = format!("{line}  {}", printable(day, DAY_CHARS));
    }
    if let Some(words) = turned(&tree) {
        line = format!("{line}  {words}");
    }
    // There is room for the name, be it one character.
    let room = LINE_CHARS_MAX.saturating_sub(line.chars().count() + 4);
    let value =
        value(&tree).map(|value| format!(" {}", printable(&value, VALUE_CHARS_MAX.min(room))));
    let value = value.unwrap_or_default();
    if let Some(name) = person_name(&tree).or_else(|| concept_name(&tree)) {
        // A long name gives way to the value: the value is what the reader looks for.
        let taken = line.chars().count() + value.chars().count() + 2;
        line = format!("{line}  {}", printable(&name, LINE_CHARS_MAX.saturating_sub(taken)));
    }
    line + &value
}

/// What turns the meaning of the rest round, if anything does.
fn turned(tree: &Tree) -> Option<&'static str> {
    let plain = ["status", "lifecycleStatus"].iter().filter_map(|name| tree.text_of(name));
    let codings = tree.items_of("verificationStatus").iter().flat_map(|it| it.items_of("coding"));
    let codes = plain.chain(codings.filter_map(|coding| coding.text_of("code")));
    // An order not to do something may itself be void.
    let is_not_to_be = matches!(tree.field("doNotPerform"), Some(Tree::Bool(true)));
    let void = codes.into_iter().find_map(|code| TURNED.into_iter().find(|word| *word == code));
    void.or_else(|| is_not_to_be.then_some("do not perform"))
}

/// The official name of a Patient, or the plain name of an Organization.
fn person_name(tree: &Tree) -> Option<String> {
    let name = tree.items_of("name").first()?;
    if let Some(text) = name.text().or_else(|| name.text_of("text")) {
        return Some(text.to_string());
    }
    let given = name.items_of("given").iter().filter_map(Tree::text);
    let family = name.text_of("family").into_iter();
    let words: alloc::vec::Vec<_> = given.chain(family).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

fn concept_name(tree: &Tree) -> Option<String> {
    CONCEPTS.iter().find_map(|element| tree.items_of(element).iter().find_map(concept))
}

/// The words of a CodeableConcept, a Coding or a plain string.
fn concept(concept: &Tree) -> Option<String> {
    let coding = concept.items_of("coding").first();
    let words = concept
        .text()
        .or_else(|| concept.text_of("text"))
        .or_else(|| concept.text_of("display"))
        .or_else(|| coding?.text_of("display"))
        .or_else(|| coding?.text_of("code"))
        .or_else(|| concept.text_of("code"))?;
    Some(words.to_string())
}

/// What was measured: one value, or those of the components.
fn value(tree: &Tree) -> Option<String> {
    if let Some(value) = single_value(tree) {
        return Some(value);
    }
    let values: alloc::vec::Vec<_> =
        tree.items_of("component").iter().filter_map(single_value).collect();
    (!values.is_empty()).then(|| values.join(", "))
}

fn single_value(tree: &Tree) -> Option<String> {
    if let Some(quantity) = tree.field("valueQuantity").or_else(|| tree.field("total")) {
        let Tree::Number(digits) = quantity.field("value")? else { return None };
        let unit = ["unit", "code", "currency"].iter().find_map(|name| quantity.text_of(name));
        let value = format!("{digits} {}", unit.unwrap_or_default());
        // Less than 5 is not 5.
        let comparator = quantity.text_of("comparator").map(|it| format!("{it} "));
        return Some(comparator.unwrap_or_default() + value.trim_end());
    }
    if let Some(words) = tree.field("valueCodeableConcept").and_then(concept) {
        return Some(words);
    }
    match ["valueInteger", "valueString", "valueBoolean"]
        .iter()
        .find_map(|name| tree.field(name))?
    {
        Tree::Number(digits) => Some(digits.clone()),
        Tree::Text(text) => Some(text.clone()),
        Tree::Bool(value) => Some(value.to_string()),
        Tree::Null | Tree::List(_) | Tree::Object(_) => None,
    }
}

/// `text` without what is not to be printed, cut at `chars_max` characters.
pub fn printable(text: &str, chars_max: usize) -> String {
    let mut kept: String = text.chars().filter(|c| !is_hidden(*c)).take(chars_max + 1).collect();
    if let Some((last, _)) = kept.char_indices().nth(chars_max) {
        let end = kept[..last].char_indices().next_back().map_or(0, |(at, _)| at);
        kept.truncate(end);
        kept.push('…');
    }
    kept
}

/// Control characters, line separators, and the marks that reorder or hide text.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
        || matches!(c, '\u{e0000}'..='\u{e007f}')
}
