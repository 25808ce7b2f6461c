//! The head of a DICOM file (PS3.10, 7): what says whose it is and what, read up to where its image begins.
//!
//! ```text
//! 128 bytes, "DICM", group 0002 in explicit VR little endian, data set in the transfer syntax that (0002,0010) names
//! ```
//!
//! # Invariants
//!
//! * No length that stands in a file is ever allocated: what is not wanted is passed over as it comes, and what is wanted
//!   has [`VALUE_BYTES_MAX`].
//! * So many bytes are looked at, inflated ones too, and so many items are nested: a file that goes on is refused.
//! * Nothing behind (0020,0013) is looked at.
//!
//! Not here: values that nobody asks for, sequences, and files without the meta information, which PS3.10 requires.

use std::io::{self, Read};

use flate2::read::DeflateDecoder;
use thiserror::Error;

use super::Uid;

/// Bytes of a value that is wanted.
const VALUE_BYTES_MAX: u64 = 1_024;
/// Bytes before what is wanted ends, as they are after inflating.
const HEAD_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Sequences inside one another.
const DEPTH_MAX: u32 = 16;
const UNDEFINED: u32 = u32::MAX;

const TRANSFER_SYNTAX: Tag = (0x0002, 0x0010);
const CHARACTER_SET: Tag = (0x0008, 0x0005);
const SOP_CLASS: Tag = (0x0008, 0x0016);
const SOP_INSTANCE: Tag = (0x0008, 0x0018);
const STUDY_DATE: Tag = (0x0008, 0x0020);
const STUDY_TIME: Tag = (0x0008, 0x0030);
const MODALITY: Tag = (0x0008, 0x0060);
const ZONE: Tag = (0x0008, 0x0201);
const PATIENT_ID: Tag = (0x0010, 0x0020);
const ISSUER: Tag = (0x0010, 0x0021);
const STUDY: Tag = (0x0020, 0x000D);
const SERIES: Tag = (0x0020, 0x000E);
const SERIES_NUMBER: Tag = (0x0020, 0x0011);
const INSTANCE_NUMBER: Tag = (0x0020, 0x0013);
const WANTED: [Tag; 13] = [
    CHARACTER_SET,
    SOP_CLASS,
    SOP_INSTANCE,
    STUDY_DATE,
    STUDY_TIME,
    MODALITY,
    ZONE,
    PATIENT_ID,
    ISSUER,
    STUDY,
    SERIES,
    SERIES_NUMBER,
    INSTANCE_NUMBER,
];
const DEFLATED: &str = "1.2.840.10008.1.2.1.99";
const IMPLICIT: &str = "1.2.840.10008.1.2";
const BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";

type Tag = (u16, u16);

/// Why a file is not taken.
#[derive(Debug, Error)]
pub(super) enum Fault {
    #[error("this is no DICOM file with meta information")]
    NotDicom,
    #[error("the file ends before what it is, or is damaged")]
    Damaged(#[source] io::Error),
    #[error("the file is longer, or more nested, than is read")]
    TooMuch,
    #[error("it lacks ({:04X},{:04X}), or what is there is none", .0.0, .0.1)]
    Missing(Tag),
    #[error("its transfer syntax is none that is read")]
    Syntax,
    #[error("its PatientID is in a character set that is not read")]
    CharacterSet,
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Damaged(error)
    }
}

/// What a file says it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Head {
    pub(super) class: Uid,
    pub(super) instance: Uid,
    pub(super) study: Uid,
    pub(super) series: Uid,
    pub(super) patient: Option<String>,
    pub(super) issuer: Option<String>,
    pub(super) modality: Option<String>,
    /// When the study began: a FHIR dateTime.
    pub(super) started: Option<String>,
    pub(super) series_number: Option<u32>,
    pub(super) number: Option<u32>,
}

/// What is known of an instance that is refused.
pub(super) type Named = (Option<Uid>, Option<Uid>);

impl Head {
    /// Reads a file's head. Where it is refused, what was read of its class and its UID is given.
    pub(super) fn read(file: impl Read) -> Result<Self, (Fault, Named)> {
        let mut values = Vec::new();
        let read = read_values(file, &mut values);
        let all = Values(values);
        let named = (all.uid(SOP_CLASS).ok(), all.uid(SOP_INSTANCE).ok());
        match read.and_then(|()| all.head()) {
            Ok(head) => Ok(head),
            Err(fault) => Err((fault, named)),
        }
    }
}

fn read_values(mut file: impl Read, values: &mut Vec<(Tag, Vec<u8>)>) -> Result<(), Fault> {
    let mut preamble = [0; 132];
    file.read_exact(&mut preamble).map_err(|_| Fault::NotDicom)?;
    if !preamble.ends_with(b"DICM") {
        return Err(Fault::NotDicom);
    }
    let syntax = meta(&mut file)?;
    let uid = Uid::parse(&syntax).ok_or(Fault::Syntax)?;
    let encoding =
        Encoding { is_explicit: uid.as_str() != IMPLICIT, is_big: uid.as_str() == BIG_ENDIAN };
    if uid.as_str() == DEFLATED {
        let source = DeflateDecoder::new(file);
        return Elements { source, encoding, left: HEAD_BYTES_MAX }.wanted(values);
    }
    Elements { source: file, encoding, left: HEAD_BYTES_MAX }.wanted(values)
}

/// The transfer syntax that the meta information names. Its length stands first (PS3.10, 7.1).
fn meta(file: &mut impl Read) -> Result<String, Fault> {
    let encoding = Encoding { is_explicit: true, is_big: false };
    let mut elements = Elements { source: file, encoding, left: HEAD_BYTES_MAX };
    let Some((tag, 4)) = elements.element()? else { return Err(Fault::NotDicom) };
    let length = elements.value(4)?;
    let length = u32::from_le_bytes(length.try_into().map_err(|_| Fault::NotDicom)?);
    if tag != (0x0002, 0x0000) {
        return Err(Fault::NotDicom);
    }
    let (mut syntax, end) = (None, elements.left.saturating_sub(length.into()));
    while elements.left > end {
        let Some((tag, length)) = elements.element()? else { return Err(Fault::NotDicom) };
        if tag == TRANSFER_SYNTAX {
            syntax = Some(text_of(&elements.value(length)?, Charset::Ascii).ok_or(Fault::Syntax)?);
        } else {
            elements.pass(length, 0)?;
        }
    }
    let is_whole = elements.left == end;
    syntax.filter(|_| is_whole).ok_or(Fault::Missing(TRANSFER_SYNTAX))
}

/// How elements are written (PS3.5, 7.1).
#[derive(Clone, Copy, Debug)]
struct Encoding {
    is_explicit: bool,
    is_big: bool,
}

impl Encoding {
    fn short(self, bytes: [u8; 2]) -> u16 {
        if self.is_big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }

    fn long(self, bytes: [u8; 4]) -> u32 {
        if self.is_big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }
}

/// The elements of a data set, in turn.
struct Elements<R> {
    source: R,
    encoding: Encoding,
    /// Bytes that may still be looked at.
    left: u64,
}

impl<R: Read> Elements<R> {
    /// Keeps the values that are wanted.
    fn wanted(mut self, values: &mut Vec<(Tag, Vec<u8>)>) -> Result<(), Fault> {
        while let Some((tag, length)) = self.element()? {
            if tag > INSTANCE_NUMBER {
                break;
            }
            if WANTED.contains(&tag) {
                if values.iter().any(|(it, _)| *it == tag) {
                    return Err(Fault::Missing(tag));
                }
                let value = self.value(length)?;
                values.push((tag, value));
            } else {
                self.pass(length, 0)?;
            }
        }
        Ok(())
    }

    /// The tag and the length of the next element; nothing at the end of the data set.
    fn element(&mut self) -> Result<Option<(Tag, u32)>, Fault> {
        let mut first = [0; 1];
        if self.source.read(&mut first)? == 0 {
            return Ok(None);
        }
        self.count(1)?;
        let [second, third, fourth] = self.bytes()?;
        let group = self.encoding.short([first[0], second]);
        let tag = (group, self.encoding.short([third, fourth]));
        // Items and their ends have no representation.
        if !self.encoding.is_explicit || group == 0xFFFE {
            let length = self.bytes()?;
            return Ok(Some((tag, self.encoding.long(length))));
        }
        let representation: [u8; 2] = self.bytes()?;
        let is_long = matches!(
            &representation,
            b"OB"
                | b"OD"
                | b"OF"
                | b"OL"
                | b"OV"
                | b"OW"
                | b"SQ"
                | b"SV"
                | b"UC"
                | b"UN"
                | b"UR"
                | b"UT"
                | b"UV"
        );
        if is_long {
            let _: [u8; 2] = self.bytes()?;
            let length = self.bytes()?;
            return Ok(Some((tag, self.encoding.long(length))));
        }
        let length = self.bytes()?;
        Ok(Some((tag, self.encoding.short(length).into())))
    }

    /// A value that is wanted.
    fn value(&mut self, length: u32) -> Result<Vec<u8>, Fault> {
        if u64::from(length) > VALUE_BYTES_MAX {
            return Err(Fault::TooMuch);
        }
        self.count(length.into())?;
        let mut value = vec![0; length as usize];
        self.source.read_exact(&mut value)?;
        Ok(value)
    }

    /// Passes over a value, whose length may be undefined (PS3.5, 7.5).
    fn pass(&mut self, length: u32, depth: u32) -> Result<(), Fault> {
        if length != UNDEFINED {
            self.count(length.into())?;
            let passed = io::copy(&mut (&mut self.source).take(length.into()), &mut io::sink())?;
            let is_whole = passed == u64::from(length);
            return is_whole
                .then_some(())
                .ok_or_else(|| Fault::Damaged(io::ErrorKind::UnexpectedEof.into()));
        }
        if depth >= DEPTH_MAX {
            return Err(Fault::TooMuch);
        }
        loop {
            let cut = || Fault::Damaged(io::ErrorKind::UnexpectedEof.into());
            match self.element()?.ok_or_else(cut)? {
                // The end of a sequence, or of an item.
                ((0xFFFE, 0xE0DD | 0xE00D), _) => return Ok(()),
                (_, length) => self.pass(length, depth + 1)?,
            }
        }
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        self.count(N as u64)?;
        let mut bytes = [0; N];
        self.source.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn count(&mut self, bytes: u64) -> Result<(), Fault> {
        self.left = self.left.checked_sub(bytes).ok_or(Fault::TooMuch)?;
        Ok(())
    }
}

/// The character set of texts (PS3.3, C.12.1.1.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Charset {
    Ascii,
    Latin1,
    Utf8,
}

/// A text without what pads it.
fn text_of(bytes: &[u8], charset: Charset) -> Option<String> {
    let text = match charset {
        Charset::Utf8 => std::str::from_utf8(bytes).ok()?.to_owned(),
        Charset::Ascii if !bytes.is_ascii() => return None,
        Charset::Ascii | Charset::Latin1 => bytes.iter().map(|it| char::from(*it)).collect(),
    };
    let text = text.trim_matches([' ', '\0']);
    (!text.chars().any(char::is_control)).then(|| text.to_owned())
}

struct Values(Vec<(Tag, Vec<u8>)>);

impl Values {
    fn bytes(&self, tag: Tag) -> Option<&[u8]> {
        self.0.iter().find(|it| it.0 == tag).map(|it| &*it.1)
    }

    /// A text of plain characters, if there is one.
    fn plain(&self, tag: Tag) -> Option<String> {
        text_of(self.bytes(tag)?, Charset::Ascii).filter(|it| !it.is_empty())
    }

    fn uid(&self, tag: Tag) -> Result<Uid, Fault> {
        self.plain(tag).and_then(|it| Uid::parse(&it)).ok_or(Fault::Missing(tag))
    }

    fn number(&self, tag: Tag) -> Option<u32> {
        self.plain(tag)?.trim_start_matches('+').parse().ok().filter(|it| *it <= i32::MAX as u32)
    }

    fn charset(&self) -> Charset {
        match self.plain(CHARACTER_SET).as_deref() {
            Some("ISO_IR 100") => Charset::Latin1,
            Some("ISO_IR 192") => Charset::Utf8,
            _ => Charset::Ascii,
        }
    }

    /// A text in the file's character set, if there is one.
    fn text(&self, tag: Tag) -> Result<Option<String>, Fault> {
        let Some(bytes) = self.bytes(tag) else { return Ok(None) };
        let text = text_of(bytes, self.charset()).ok_or(Fault::CharacterSet)?;
        Ok(Some(text).filter(|it| !it.is_empty()))
    }

    fn head(&self) -> Result<Head, Fault> {
        Ok(Head {
            class: self.uid(SOP_CLASS)?,
            instance: self.uid(SOP_INSTANCE)?,
            study: self.uid(STUDY)?,
            series: self.uid(SERIES)?,
            patient: self.text(PATIENT_ID)?,
            issuer: self.text(ISSUER)?,
            modality: self.plain(MODALITY).filter(|it| is_code(it)),
            started: self.started(),
            series_number: self.number(SERIES_NUMBER),
            number: self.number(INSTANCE_NUMBER),
        })
    }

    /// When the study began, as far as it is said: a time is one of FHIR's only with a zone.
    fn started(&self) -> Option<String> {
        let date = self.plain(STUDY_DATE)?;
        let date: String = date.chars().filter(|it| *it != '.').collect();
        let is_date = date.len() == 8 && date.bytes().all(|it| it.is_ascii_digit());
        let (month, day) = (date.get(4..6)?, date.get(6..8)?);
        if !is_date || !("01"..="12").contains(&month) || !("01"..="31").contains(&day) {
            return None;
        }
        let date = format!("{}-{month}-{day}", &date[..4]);
        let (Some(time), Some(zone)) = (self.plain(STUDY_TIME), self.plain(ZONE)) else {
            return Some(date);
        };
        let is_time = time.len() >= 6 && time.bytes().take(6).all(|it| it.is_ascii_digit());
        let is_zone = zone.len() == 5
            && zone.starts_with(['+', '-'])
            && zone.bytes().skip(1).all(|it| it.is_ascii_digit())
            && ("00".."15").contains(&&zone[1..3])
            && ("00".."60").contains(&&zone[3..5]);
        if !is_time || !is_zone || &time[..2] > "23" || &time[2..4] > "59" || &time[4..6] > "59" {
            return Some(date);
        }
        let (hour, minute, second) = (&time[..2], &time[2..4], &time[4..6]);
        Some(format!("{date}T{hour}:{minute}:{second}{}:{}", &zone[..3], &zone[3..5]))
    }
}

fn is_code(text: &str) -> bool {
    text.len() <= 16
        && text.chars().all(|it| it.is_ascii_uppercase() || it.is_ascii_digit() || it == '_')
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    fn explicit(tag: Tag, representation: &[u8; 2], value: &[u8]) -> Vec<u8> {
        let mut bytes = [tag.0.to_le_bytes(), tag.1.to_le_bytes(), *representation].concat();
        if matches!(representation, b"OB" | b"SQ" | b"UN") {
            bytes.extend_from_slice(&[0, 0]);
            bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
        } else {
            bytes.extend_from_slice(&(value.len() as u16).to_le_bytes());
        }
        bytes.extend_from_slice(value);
        bytes
    }

    fn file(syntax: &str, data: &[u8]) -> Vec<u8> {
        let syntax = explicit(TRANSFER_SYNTAX, b"UI", syntax.as_bytes());
        let length = explicit((2, 0), b"UL", &(syntax.len() as u32).to_le_bytes());
        [&[0; 128], &b"DICM"[..], &length, &syntax, data].concat()
    }

    fn data(patient: &[u8], between: &[u8]) -> Vec<u8> {
        [
            explicit(SOP_CLASS, b"UI", b"1.2.840.10008.5.1.4.1.1.2\0"),
            explicit(SOP_INSTANCE, b"UI", b"1.2.3.4"),
            explicit(STUDY_DATE, b"DA", b"20260102"),
            explicit(STUDY_TIME, b"TM", b"030405.67"),
            explicit(MODALITY, b"CS", b"CT"),
            explicit(ZONE, b"SH", b"+0100"),
            explicit(PATIENT_ID, b"LO", patient),
            between.to_vec(),
            explicit(STUDY, b"UI", b"1.2.3\0"),
            explicit(SERIES, b"UI", b"1.2.3.1"),
            explicit(INSTANCE_NUMBER, b"IS", b" 7"),
            explicit((0x7FE0, 0x0010), b"OB", &[1; 10]),
        ]
        .concat()
    }

    fn deflated(data: &[u8]) -> Vec<u8> {
        let mut encoder =
            flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    const EXPLICIT: &str = "1.2.840.10008.1.2.1";

    #[test]
    fn a_head_says_whose_it_is_and_what() {
        let nested = [
            &[0x10, 0, 2, 0, b'S', b'Q', 0, 0, 255, 255, 255, 255][..],
            &[0xFE, 0xFF, 0, 0xE0, 255, 255, 255, 255],
            &explicit((8, 0x18), b"UI", b"9.9"),
            &[0xFE, 0xFF, 0x0D, 0xE0, 0, 0, 0, 0],
            &[0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0],
        ]
        .concat();
        let private = explicit((0x11, 0x10), b"OB", &vec![5; 1_000_000]);
        for between in [vec![], nested, private] {
            let data = data(b"P-1 ", &between);
            for (syntax, data) in [(EXPLICIT, data.clone()), (DEFLATED, deflated(&data))] {
                let head = Head::read(&*file(syntax, &data)).unwrap();
                assert_eq!(head.patient.as_deref(), Some("P-1"));
                assert_eq!(head.instance.as_str(), "1.2.3.4");
                assert_eq!(head.study.as_str(), "1.2.3");
                assert_eq!(head.started.as_deref(), Some("2026-01-02T03:04:05+01:00"));
                assert_eq!((head.number, head.modality.as_deref()), (Some(7), Some("CT")));
            }
        }
    }

    fn fault(file: &[u8]) -> String {
        let fault = Head::read(file).unwrap_err().0;
        format!("{fault:?}").split(['(', ' ']).next().unwrap().to_owned()
    }

    #[test]
    fn what_is_no_such_file_is_refused() {
        let good = data(b"P", b"");
        // An absurd length allocates nothing; a sequence that never ends, and one inside the other, end.
        let absurd = [&[0x11, 0, 0x10, 0, b'O', b'B', 0, 0, 0xFE, 255, 255, 255][..]].concat();
        let open = [0x11, 0, 0x10, 0, b'S', b'Q', 0, 0, 255, 255, 255, 255];
        let deep = [&open[..], &[0xFE, 0xFF, 0, 0xE0, 255, 255, 255, 255]].concat().repeat(100_000);
        let bomb = data(b"P", &explicit((0x11, 0x10), b"OB", &vec![0; HEAD_BYTES_MAX as usize]));
        let long = data(&[b'P'; 2_000], b"");
        for (name, file, expected) in [
            ("empty", vec![], "NotDicom"),
            ("text", vec![b'a'; 1_000], "NotDicom"),
            ("no meta", [&[0; 128][..], b"DICM", &good].concat(), "NotDicom"),
            (
                "no syntax",
                [&[0; 128][..], b"DICM", &explicit((2, 0), b"UL", &[0; 4])].concat(),
                "Missing",
            ),
            ("a path", file("../../etc", &good), "Syntax"),
            ("nothing else", file(EXPLICIT, b""), "Missing"),
            ("cut", file(EXPLICIT, &good[..30]), "Damaged"),
            ("absurd length", file(EXPLICIT, &data(b"P", &absurd)), "TooMuch"),
            ("open", file(EXPLICIT, &data(b"P", &open)), "Damaged"),
            ("deep", file(EXPLICIT, &data(b"P", &deep)), "TooMuch"),
            ("bomb", file(DEFLATED, &deflated(&bomb)), "TooMuch"),
            ("not deflated", file(DEFLATED, &good), "Damaged"),
            ("long", file(EXPLICIT, &long), "TooMuch"),
            ("twice", file(EXPLICIT, &data(b"P", &explicit(PATIENT_ID, b"LO", b"Q"))), "Missing"),
            ("charset", file(EXPLICIT, &data(b"\xc4", b"")), "CharacterSet"),
            (
                "a path for a UID",
                file(
                    EXPLICIT,
                    &[
                        explicit(SOP_CLASS, b"UI", b"1.2"),
                        explicit(SOP_INSTANCE, b"UI", b"../../x"),
                    ]
                    .concat(),
                ),
                "Missing",
            ),
        ] {
            assert_eq!(fault(&file), expected, "{name}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused(at in 128usize..400, byte: u8, cut in 0usize..500) {
            for syntax in [EXPLICIT, IMPLICIT, BIG_ENDIAN] {
                let mut file = file(syntax, &data(b"P", b""));
                let place = at % file.len();
                file[place] = byte;
                file.truncate(file.len().saturating_sub(cut % 300));
                drop(Head::read(&*file));
            }
        }
    }
}
