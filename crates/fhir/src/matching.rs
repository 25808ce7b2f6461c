//! By what a patient is compared with the patients of other organisations: exact keys, made so that two
//! desks that write one person down in their own ways make the same.
//!
//! ```text
//! identifier              system|value              of a national or insurance identifier, not a record number;
//!                                                   of the social security number only if it is whole
//! last_four_and_birth     4321|1980-02-29           of the social security number
//! sound_and_birth         b620|1980-02-29|female    Soundex of the family name
//! name_birth_and_postal   brown|maryann|1980-02-29|02139
//! ```
//!
//! Names are compared as NFKC without case, diacritics, optional vowel points, spaces and punctuation. Soundex
//! knows Latin letters only: a family name in another script is its own sound.
//!
//! # Invariants
//!
//! * A key is made of nothing but what the resource says, and not made where a part of it is missing, is
//!   unknown or is no whole date.
//! * A patient has at most [`KEYS_MAX`] keys, whatever the resource holds.
//!
//! Not here: fuzzy comparison. A key that says how near two names are can be worked backwards.

use alloc::{format, string::String, vec::Vec};

use keepwell_types::matching::MatchRule;
use thiserror::Error;
use unicode_normalization::{UnicodeNormalization as _, char::is_combining_mark};

use crate::{
    bundle::DEPTH_MAX,
    tree::{Tree, too_deep},
};

/// Identifiers of one patient that keys are made of.
const IDENTIFIERS_MAX: usize = 4;
/// Keys of one patient: one for each identifier, and one for each other rule.
pub const KEYS_MAX: usize = IDENTIFIERS_MAX + 3;
/// Bytes of the text of one key; what is longer is no name and no identifier.
const TEXT_BYTES_MAX: usize = 512;

/// Types of identifiers (HL7 v2 table 0203) that more than one organisation knows.
const SHARED_TYPES: [&str; 8] = ["SS", "NI", "NIIP", "PPN", "HC", "JHN", "SB", "DL"];
/// The systems of the social security number of the United States.
const SSN_SYSTEMS: [&str; 2] = ["http://hl7.org/fhir/sid/us-ssn", "urn:oid:2.16.840.1.113883.4.1"];

/// One exact key of one patient.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct MatchKey {
    /// By which rule.
    pub rule: MatchRule,
    /// The canonical text.
    pub text: String,
}

/// Not a Patient resource: the fault of whoever chose the file.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("this is not a FHIR Patient resource in JSON; name a file that is one")]
pub struct NotAPatient;

/// What is compared of a patient.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Demographics {
    /// The family name.
    pub family: String,
    /// Given names, in order.
    pub given: Vec<String>,
    /// `YYYY-MM-DD`.
    pub birth_date: String,
    /// `male`, `female` or `other`.
    pub sex: String,
    /// The postal code of the first address.
    pub postal_code: String,
    /// Identifiers that others know too: system and value.
    pub identifiers: Vec<(String, String)>,
    /// The social security number, or its last four digits.
    pub ssn: String,
}

/// The keys of the Patient resource in `json`.
pub fn keys(json: &[u8]) -> Result<Vec<MatchKey>, NotAPatient> {
    Ok(Demographics::of(json)?.keys())
}

impl Demographics {
    /// Reads a Patient resource.
    pub fn of(json: &[u8]) -> Result<Self, NotAPatient> {
        let tree: Option<Tree> = match too_deep(json, DEPTH_MAX) {
            Some(_) => None,
            None => serde_json::from_slice(json).ok(),
        };
        let is_patient = |tree: &Tree| tree.text_of("resourceType") == Some("Patient");
        let tree = tree.filter(is_patient).ok_or(NotAPatient)?;
        let text = |name| tree.text_of(name).map(String::from).unwrap_or_default();
        let name = name(&tree);
        let given = name.map_or(&[][..], |name| name.items_of("given"));
        let family = name.and_then(|name| name.text_of("family")).unwrap_or_default();
        let address = tree.items_of("address").first();
        let postal_code = address.and_then(|it| it.text_of("postalCode")).unwrap_or_default();
        let (identifiers, ssn) = identifiers(&tree);
        Ok(Self {
            family: family.into(),
            given: given.iter().filter_map(Tree::text).map(String::from).collect(),
            birth_date: text("birthDate"),
            sex: text("gender"),
            postal_code: postal_code.into(),
            identifiers,
            ssn,
        })
    }

    /// Its keys, none twice.
    pub fn keys(&self) -> Vec<MatchKey> {
        let identifiers = self.identifiers.iter().take(IDENTIFIERS_MAX).map(|(system, value)| {
            let is_one = !SSN_SYSTEMS.contains(&system.as_str()) || is_ones_own(&digits(value));
            let value = letters(value);
            let text = || format!("{system}|{value}");
            let is_whole = is_one && !value.is_empty() && !system.is_empty();
            (MatchRule::Identifier, is_whole.then(text))
        });
        let others = [
            (MatchRule::LastFourAndBirth, self.last_four_and_birth()),
            (MatchRule::SoundAndBirth, self.sound_and_birth()),
            (MatchRule::NameBirthAndPostal, self.name_birth_and_postal()),
        ];
        let mut keys: Vec<_> = identifiers
            .chain(others)
            .filter_map(|(rule, text)| Some(MatchKey { rule, text: text? }))
            .filter(|key| key.text.len() <= TEXT_BYTES_MAX)
            .collect();
        keys.sort();
        keys.dedup();
        keys
    }

    fn last_four_and_birth(&self) -> Option<String> {
        let digits = digits(&self.ssn);
        let last = match digits.len() {
            4 if digits != "0000" => &digits[..],
            9 if is_ones_own(&digits) => &digits[5..],
            _ => return None,
        };
        Some(format!("{last}|{}", self.born()?))
    }

    fn sound_and_birth(&self) -> Option<String> {
        let family = letters(&self.family);
        let sex = ["male", "female", "other"].into_iter().find(|it| *it == self.sex)?;
        if family.is_empty() {
            return None;
        }
        let sound = soundex(&family).unwrap_or(family);
        Some(format!("{sound}|{}|{sex}", self.born()?))
    }

    fn name_birth_and_postal(&self) -> Option<String> {
        let family = letters(&self.family);
        let given: String = self.given.iter().map(|name| letters(name)).collect();
        let postal = letters(&self.postal_code);
        if family.is_empty() || given.is_empty() || postal.is_empty() {
            return None;
        }
        // ZIP+4 says more than most desks know.
        let is_zip_4 = postal.len() == 9 && postal.bytes().all(|it| it.is_ascii_digit());
        let postal = if is_zip_4 { &postal[..5] } else { &postal };
        Some(format!("{family}|{given}|{}|{postal}", self.born()?))
    }

    /// The date of birth, if it is a whole one.
    fn born(&self) -> Option<&str> {
        let bytes = self.birth_date.as_bytes();
        let fits = bytes.len() == 10
            && bytes.iter().enumerate().all(|(place, byte)| match place {
                4 | 7 => *byte == b'-',
                _ => byte.is_ascii_digit(),
            });
        let number =
            |range: core::ops::Range<usize>| self.birth_date.get(range)?.parse::<u8>().ok();
        let whole = fits
            && (1..=12).contains(&number(5..7).unwrap_or_default())
            && (1..=31).contains(&number(8..10).unwrap_or_default());
        whole.then_some(&self.birth_date)
    }
}

fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

/// Whether these are the nine digits of one person: the Social Security Administration issues no number with a group of
/// zeros, and desks that do not know a number write one digit nine times. Areas from 900 on are taxpayers' numbers,
/// each as much one person's.
fn is_ones_own(digits: &str) -> bool {
    let [Some(area), Some(group), Some(serial)] = [0..3, 3..5, 5..9].map(|range| digits.get(range))
    else {
        return false;
    };
    let is_filler = digits.bytes().all(|it| digits.starts_with(char::from(it)));
    digits.len() == 9 && !is_filler && area != "000" && group != "00" && serial != "0000"
}

/// The official name, or the first.
fn name(patient: &Tree) -> Option<&Tree> {
    let names = patient.items_of("name");
    let official = names.iter().find(|name| name.text_of("use") == Some("official"));
    official.or_else(|| names.first())
}

/// Identifiers that others know too, and the social security number.
fn identifiers(patient: &Tree) -> (Vec<(String, String)>, String) {
    let (mut shared, mut ssn) = (Vec::new(), String::new());
    for item in patient.items_of("identifier") {
        let (Some(system), Some(value)) = (item.text_of("system"), item.text_of("value")) else {
            continue;
        };
        let is_ssn = SSN_SYSTEMS.contains(&system);
        if is_ssn && ssn.is_empty() {
            ssn = value.into();
        }
        let codings = item.field("type").map_or(&[][..], |kind| kind.items_of("coding"));
        let codes = codings.iter().filter_map(|coding| coding.text_of("code"));
        if is_ssn || codes.into_iter().any(|code| SHARED_TYPES.contains(&code)) {
            let system = if is_ssn { SSN_SYSTEMS[0] } else { system };
            shared.push((system.into(), value.into()));
        }
    }
    shared.sort();
    shared.dedup();
    (shared, ssn)
}

/// What is left of a name or number when only what tells apart is kept.
pub fn letters(text: &str) -> String {
    let kept = text.nfkd().filter(|letter| !is_optional(*letter));
    let folded = kept.flat_map(char::to_uppercase).flat_map(char::to_lowercase).flat_map(plain);
    folded.filter(|it| it.is_alphanumeric() || is_combining_mark(*it)).nfkc().collect()
}

/// Marks that some write and others do not: diacritics, and the vowel points of Hebrew and Arabic.
const fn is_optional(letter: char) -> bool {
    matches!(letter,
        '\u{0300}'..='\u{036f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
        | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}'
        | '\u{0591}'..='\u{05c7}' | '\u{064b}'..='\u{065f}' | '\u{0670}' | '\u{0640}')
}

/// Letters that no normalisation takes apart, as they are written where they are not at hand.
fn plain(letter: char) -> impl Iterator<Item = char> {
    let written: &[char] = match letter {
        'æ' => &['a', 'e'],
        'œ' => &['o', 'e'],
        'ø' => &['o'],
        'đ' | 'ð' => &['d'],
        'ł' => &['l'],
        'þ' => &['t', 'h'],
        'ħ' => &['h'],
        'ı' => &['i'],
        _ => &[],
    };
    let itself = written.is_empty().then_some(letter);
    written.iter().copied().chain(itself)
}

/// American Soundex (as the National Archives describe it) of a folded name; nothing if it has letters that
/// are not Latin.
fn soundex(name: &str) -> Option<String> {
    let name: Vec<u8> = name.bytes().filter(|byte| !byte.is_ascii_digit()).collect();
    if !name.iter().all(u8::is_ascii_lowercase) {
        return None;
    }
    let (first, rest) = name.split_first()?;
    let mut sound = String::from(char::from(*first));
    let mut before = code(*first);
    for letter in rest {
        let code = code(*letter);
        match code {
            // A vowel parts two letters of one code; h and w do not.
            None if matches!(letter, b'h' | b'w') => {}
            None => before = None,
            Some(digit) => {
                if before != code {
                    sound.push(digit);
                }
                before = code;
            }
        }
        if sound.len() == 4 {
            break;
        }
    }
    while sound.len() < 4 {
        sound.push('0');
    }
    Some(sound)
}

const fn code(letter: u8) -> Option<char> {
    match letter {
        b'b' | b'f' | b'p' | b'v' => Some('1'),
        b'c' | b'g' | b'j' | b'k' | b'q' | b's' | b'x' | b'z' => Some('2'),
        b'd' | b't' => Some('3'),
        b'l' => Some('4'),
        b'm' | b'n' => Some('5'),
        b'r' => Some('6'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use alloc::{string::ToString, vec};

    use super::*;

    #[test]
    fn names_fold_to_what_tells_them_apart() {
        for (written, folded) in [
            ("O'Brien", "obrien"),
            ("O’BRIEN", "obrien"),
            ("Mary Ann", "maryann"),
            ("mary-ann", "maryann"),
            ("José", "jose"),
            ("Jose\u{301}", "jose"),
            ("Müller", "muller"),
            ("Straße", "strasse"),
            ("STRASSE", "strasse"),
            ("Łukasz Wałęsa", "lukaszwalesa"),
            ("Bjørn Ångström", "bjornangstrom"),
            ("Þórðr", "thordr"),
            ("Æsa", "aesa"),
            ("İbrahim", "ibrahim"),
            ("Yıldız", "yildiz"),
            ("Đorđević", "dordevic"),
            ("Ｓｍｉｔｈ", "smith"),
            ("ﬁsher", "fisher"),
            ("Σοφός", "σοφοσ"),
            ("ΣΟΦΟΣ", "σοφοσ"),
            ("Ёлкин", "елкин"),
            ("Nguyễn", "nguyen"),
            ("山田", "山田"),
            ("ﾀﾞｲｽｹ", "ダイスケ"),
            ("ダイスケ", "ダイスケ"),
            ("김", "김"),
            ("김", "김"),
            ("मोहन", "मोहन"),
            ("مُحَمَّد", "محمد"),
            ("شِ", "ش"),
            (" , . - ", ""),
        ] {
            assert_eq!(letters(written), folded, "{written}");
            assert_eq!(letters(folded), folded, "folding {folded} again changes nothing");
        }
    }

    #[test]
    fn sounds_are_those_of_the_national_archives() {
        for (name, sound) in [
            ("robert", "r163"),
            ("rupert", "r163"),
            ("rubin", "r150"),
            ("ashcraft", "a261"),
            ("ashcroft", "a261"),
            ("tymczak", "t522"),
            ("pfister", "p236"),
            ("honeyman", "h555"),
            ("jackson", "j250"),
            ("lee", "l000"),
            ("gutierrez", "g362"),
            ("vandeusen", "v532"),
            ("abbott509", "a130"),
        ] {
            assert_eq!(soundex(name).as_deref(), Some(sound), "{name}");
        }
        assert_eq!(soundex("σοφοσ"), None);
        assert_eq!(soundex("509"), None);
    }

    fn ana() -> Demographics {
        Demographics {
            family: "Brown-O'Neill".into(),
            given: vec!["Ána".into(), "María".into()],
            birth_date: "1980-02-29".into(),
            sex: "female".into(),
            postal_code: "02139-1234".into(),
            identifiers: vec![("http://hl7.org/fhir/sid/us-ssn".into(), "123-45-4321".into())],
            ssn: "123-45-4321".into(),
        }
    }

    fn texts(demographics: &Demographics) -> Vec<String> {
        let keys = demographics.keys();
        keys.iter().map(|key| [key.rule.as_str(), &key.text].join(" ")).collect()
    }

    #[test]
    fn a_patient_has_several_exact_keys() {
        assert_eq!(
            texts(&ana()),
            [
                "identifier http://hl7.org/fhir/sid/us-ssn|123454321",
                "last_four_and_birth 4321|1980-02-29",
                "sound_and_birth b655|1980-02-29|female",
                "name_birth_and_postal brownoneill|anamaria|1980-02-29|02139",
            ]
        );
    }

    #[test]
    fn what_two_desks_write_differently_is_the_same() {
        let other = Demographics {
            family: "BROWN ONEILL".into(),
            given: vec!["Ana Maria".into()],
            postal_code: "02139".into(),
            ssn: "123454321".into(),
            identifiers: vec![("http://hl7.org/fhir/sid/us-ssn".into(), "123454321".into())],
            ..ana()
        };
        assert_eq!(other.keys(), ana().keys());
        let last_four = Demographics { ssn: "4321".into(), ..ana() };
        assert_eq!(last_four.keys(), ana().keys());
    }

    #[test]
    fn a_key_with_a_part_missing_is_not_made() {
        let rules = |change: fn(&mut Demographics)| {
            let mut demographics = ana();
            change(&mut demographics);
            let keys = demographics.keys();
            keys.iter().map(|key| key.rule.as_str()).collect::<Vec<_>>().join(" ")
        };
        let all = "identifier last_four_and_birth sound_and_birth name_birth_and_postal";
        assert_eq!(rules(|_| {}), all);
        for (change, expected) in [
            ((|it| it.birth_date = "1980".into()) as fn(&mut Demographics), "identifier"),
            (|it| it.birth_date = "1980-13-01".into(), "identifier"),
            (|it| it.birth_date = "1980-00-01".into(), "identifier"),
            (|it| it.birth_date = "1980/01/01".into(), "identifier"),
            (
                |it| it.sex = "unknown".into(),
                "identifier last_four_and_birth name_birth_and_postal",
            ),
            (|it| it.family = " - ".into(), "identifier last_four_and_birth"),
            (|it| it.given.clear(), "identifier last_four_and_birth sound_and_birth"),
            (|it| it.postal_code.clear(), "identifier last_four_and_birth sound_and_birth"),
            (|it| it.ssn = "12345".into(), "identifier sound_and_birth name_birth_and_postal"),
            (|it| it.ssn = "0000".into(), "identifier sound_and_birth name_birth_and_postal"),
            (
                |it| it.identifiers.clear(),
                "last_four_and_birth sound_and_birth name_birth_and_postal",
            ),
            (
                |it| it.identifiers[0].1 = "x".repeat(TEXT_BYTES_MAX),
                "last_four_and_birth sound_and_birth name_birth_and_postal",
            ),
        ] {
            assert_eq!(rules(change), expected);
        }
    }

    /// The last four digits, and what stands where nobody knows the number, are those of many.
    #[test]
    fn what_is_no_whole_social_security_number_is_no_identifier() {
        for (ssn, expected) in [
            ("123-45-4321", "identifier last_four_and_birth"),
            ("4321", "last_four_and_birth"),
            ("12345", ""),
            ("***-**-4321", "last_four_and_birth"),
            ("XXX-XX-4321", "last_four_and_birth"),
            ("000-00-0000", ""),
            ("000-45-4321", ""),
            ("999-99-9999", ""),
            ("111111111", ""),
            ("999-45-4321", "identifier last_four_and_birth"),
            ("123-00-4321", ""),
            ("123-45-0000", ""),
        ] {
            for system in SSN_SYSTEMS {
                let json = format!(
                    r#"{{"resourceType":"Patient","birthDate":"1980-02-29","identifier":[{{"system":"{system}","value":"{ssn}"}}]}}"#
                );
                let keys = keys(json.as_bytes()).unwrap();
                let rules: Vec<_> = keys.iter().map(|key| key.rule.as_str()).collect();
                assert_eq!(rules.join(" "), expected, "{ssn}");
            }
        }
    }

    #[test]
    fn a_patient_resource_is_read() {
        let json = br#"{"resourceType":"Patient",
            "identifier":[
                {"system":"urn:hospital","value":"77","type":{"coding":[{"code":"MR"}]}},
                {"system":"urn:oid:2.16.840.1.113883.4.1","value":"123-45-4321"},
                {"system":"urn:passports","value":"X 1","type":{"coding":[{"code":"PPN"}]}},
                {"value":"no system","type":{"coding":[{"code":"SS"}]}}],
            "name":[{"use":"nickname","family":"Bee"},
                {"use":"official","family":"Brown-O'Neill","given":["Ana","Maria"]}],
            "gender":"female","birthDate":"1980-02-29","address":[{"postalCode":"02139"}]}"#;
        let mut expected = texts(&ana());
        expected.insert(1, "identifier urn:passports|x1".to_string());
        assert_eq!(texts(&Demographics::of(json).unwrap()), expected);
        for not in [
            &b"{}"[..],
            b"",
            b"[]",
            br#"{"resourceType":"Observation"}"#,
            br#"{"resourceType":"Patient","resourceType":"Patient"}"#,
            &b"[".repeat(100_000),
        ] {
            assert_eq!(keys(not), Err(NotAPatient));
        }
        assert_eq!(keys(br#"{"resourceType":"Patient"}"#), Ok(vec![]));
    }

    #[test]
    fn a_patient_has_no_more_keys_than_there_may_be() {
        let identifiers = (0..100).map(|at| ("urn:a".to_string(), at.to_string())).collect();
        assert_eq!(Demographics { identifiers, ..ana() }.keys().len(), KEYS_MAX);
    }
}
