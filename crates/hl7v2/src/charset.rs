//! Character sets of messages (MSH-18, HL7 table 0211).
//!
//! A wrong guess turns names into other names without a sound, so there is none: a message says its character set,
//! or its feed has one by agreement, and its bytes must be text in that.
//!
//! # Invariants
//!
//! * Bytes that are not text in the set they are said to be in are refused, with the first such byte.
//! * Bytes declared as ISO 8859 that read as UTF-8 throughout are refused: a text in 8859 does so by accident about
//!   never, and a mislabelled feed always.
//!
//! Not here: the other parts of ISO 8859, the sets of Chinese, Japanese and Korean, and UTF-16, which cannot be told
//! from the bytes before MSH-18. They are refused by name; their senders have UTF-8.

use alloc::{string::String, vec::Vec};

use thiserror::Error;

/// How the bytes of a message are text.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum CharacterSet {
    /// Seven bits.
    Ascii,
    /// `8859/1`: Western Europe.
    Latin1,
    /// `8859/9`: the same with Turkish for Icelandic.
    Latin5,
    /// `8859/15`: the same with the euro sign.
    Latin9,
    /// `UNICODE UTF-8`.
    Utf8,
}

/// Why bytes are no text.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum CharacterSetError {
    /// MSH-18 names a set that is not read here.
    #[error(
        "MSH-18 names a character set that is not read; send UNICODE UTF-8, 8859/1, 8859/9, 8859/15 or ASCII"
    )]
    Unknown,

    /// The message begins with the mark of UTF-16 or UTF-32.
    #[error("the message is in UTF-16 or UTF-32; send it in UTF-8, and UNICODE UTF-8 in MSH-18")]
    Wide,

    /// A byte is no text in the set.
    #[error("byte {at} is not text in {}; name the character set that the bytes are in, in MSH-18", .set.name())]
    NotText {
        /// The first such byte, from the beginning of the message.
        at: usize,
        /// The set that was declared or agreed.
        set: CharacterSet,
    },

    /// The bytes are UTF-8, and MSH-18 says otherwise.
    #[error("MSH-18 says {} and byte {at} begins a character in UTF-8; say which it is", .set.name())]
    IsUtf8 {
        /// The first byte beyond ASCII.
        at: usize,
        /// The set that was declared or agreed.
        set: CharacterSet,
    },
}

/// Where ISO 8859-9 differs from 8859-1.
const LATIN_5: [(u8, char); 6] =
    [(0xd0, 'Ğ'), (0xdd, 'İ'), (0xde, 'Ş'), (0xf0, 'ğ'), (0xfd, 'ı'), (0xfe, 'ş')];
/// Where ISO 8859-15 differs from 8859-1.
const LATIN_9: [(u8, char); 8] = [
    (0xa4, '€'),
    (0xa6, 'Š'),
    (0xa8, 'š'),
    (0xb4, 'Ž'),
    (0xb8, 'ž'),
    (0xbc, 'Œ'),
    (0xbd, 'œ'),
    (0xbe, 'Ÿ'),
];

impl CharacterSet {
    /// The set that MSH-18 names, by table 0211 or one of the spellings that senders use for it.
    pub fn named(name: &str) -> Option<Self> {
        let plain: String = name
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .map(|c| c.to_ascii_uppercase())
            .collect();
        match plain.as_str() {
            "ASCII" | "USASCII" => Some(Self::Ascii),
            "88591" | "ISO88591" | "LATIN1" => Some(Self::Latin1),
            "88599" | "ISO88599" => Some(Self::Latin5),
            "885915" | "ISO885915" => Some(Self::Latin9),
            "UNICODEUTF8" | "UTF8" => Some(Self::Utf8),
            _ => None,
        }
    }

    /// Its name in table 0211.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ascii => "ASCII",
            Self::Latin1 => "8859/1",
            Self::Latin5 => "8859/9",
            Self::Latin9 => "8859/15",
            Self::Utf8 => "UNICODE UTF-8",
        }
    }

    /// The text of a few bytes, if they are text in this set.
    pub fn decode(self, bytes: &[u8]) -> Option<String> {
        match self {
            Self::Ascii => {
                bytes.is_ascii().then(|| bytes.iter().copied().map(char::from).collect())
            }
            Self::Latin1 | Self::Latin5 | Self::Latin9 => {
                bytes.iter().map(|byte| self.character(*byte)).collect()
            }
            Self::Utf8 => core::str::from_utf8(bytes).ok().map(String::from),
        }
    }

    /// The bytes of `text`; characters that the set does not have become `?`.
    pub fn encode(self, text: &str) -> Vec<u8> {
        match self {
            Self::Utf8 => text.as_bytes().to_vec(),
            Self::Ascii | Self::Latin1 | Self::Latin5 | Self::Latin9 => {
                text.chars().map(|character| self.byte(character).unwrap_or(b'?')).collect()
            }
        }
    }

    /// The text of a whole message.
    pub(crate) fn read(self, bytes: &[u8]) -> Result<String, CharacterSetError> {
        let beyond_ascii = bytes.iter().position(|byte| !byte.is_ascii());
        let not_text = |at| CharacterSetError::NotText { at, set: self };
        match (self, beyond_ascii) {
            (Self::Utf8, _) => {
                let text = core::str::from_utf8(bytes).map_err(|e| not_text(e.valid_up_to()))?;
                Ok(String::from(text))
            }
            (Self::Ascii, Some(at)) => Err(not_text(at)),
            (Self::Latin1 | Self::Latin5 | Self::Latin9, Some(at))
                if core::str::from_utf8(bytes).is_ok() =>
            {
                Err(CharacterSetError::IsUtf8 { at, set: self })
            }
            (Self::Ascii | Self::Latin1 | Self::Latin5 | Self::Latin9, _) => {
                let text = |(at, byte): (usize, &u8)| self.character(*byte).ok_or(not_text(at));
                bytes.iter().enumerate().map(text).collect()
            }
        }
    }

    fn character(self, byte: u8) -> Option<char> {
        // 0x80 to 0x9F are letters in Windows' sets only, and a sender of those says 8859.
        if matches!(byte, 0x80..=0x9f) {
            return None;
        }
        let own = self.differences().iter().find(|(other, _)| *other == byte);
        Some(own.map_or(char::from(byte), |(_, character)| *character))
    }

    fn byte(self, character: char) -> Option<u8> {
        let own = self.differences().iter().find(|(_, other)| *other == character);
        let byte =
            own.map_or_else(|| u8::try_from(u32::from(character)).ok(), |(byte, _)| Some(*byte))?;
        let is_same = self.character(byte) == Some(character);
        (is_same && (self != Self::Ascii || byte.is_ascii())).then_some(byte)
    }

    const fn differences(self) -> &'static [(u8, char)] {
        match self {
            Self::Latin5 => &LATIN_5,
            Self::Latin9 => &LATIN_9,
            Self::Ascii | Self::Latin1 | Self::Utf8 => &[],
        }
    }
}
