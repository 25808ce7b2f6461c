//! What is signed as JSON: a JWS in compact form (RFC 7515) with Ed25519 (RFC 8037, RFC 9864), read strictly.
//!
//! ```text
//! JWS = base64url(header) . base64url(payload) . base64url(signature over the two, with the dot between)
//! ```
//!
//! # Invariants
//!
//! * A JWS is verified with the key that the caller trusts and as Ed25519, whatever its header says: a header
//!   that names another algorithm, none, or an extension that must be understood is refused, and no key
//!   in a header is looked at.
//! * JSON is read in one way only: no name twice in an object, no surrogate alone, no bytes after the value, no
//!   nesting deeper than [`DEPTH_MAX`]. What two readers could take for different values is no value.
//! * base64url has no padding, no other alphabet and no bits left over.
//!
//! A signature of Keepwell's own is over 32 bytes ([`crate::sign`]), that of a JWS over far more: one cannot be
//! taken for the other, so that a member's key signs both.
//!
//! Not here: what is in the JSON ([`crate::sd_jwt`]).

use alloc::{borrow::ToOwned as _, format, string::String, vec::Vec};
use core::fmt::Write as _;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use keepwell_types::id::{PublicKey, Signature};
use thiserror::Error;

use crate::sign::{SigningKey, verify_foreign};

/// How deep arrays and objects may be nested.
pub const DEPTH_MAX: usize = 16;
/// The algorithm as RFC 8037 calls it, and as most software does.
const EDDSA: &str = "EdDSA";
/// The algorithm as RFC 9864 calls it.
const ED25519: &str = "Ed25519";

/// Why a text is not a JWS that counts: the fault of whoever made it.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum JoseError {
    /// Not three parts in base64url.
    #[error("it is not a JWS in compact form; take the file as its issuer gave it")]
    Form,
    /// Not JSON, or JSON that can be read in two ways.
    #[error("its JSON is malformed, or names something twice; take the file as its issuer gave it")]
    Json,
    /// The header names another algorithm.
    #[error(
        "it is not signed with Ed25519, the one algorithm that is taken (EdDSA or Ed25519 in its header)"
    )]
    Algorithm,
    /// The header has an extension that must be understood.
    #[error("its header asks for an extension that is not known here (crit)")]
    Critical,
    /// The type is another one.
    #[error("it is of another type than it should be (typ)")]
    Type,
    /// The signature does not fit.
    #[error("its signature is not by this key; check the key, and whether the file was changed")]
    Signature,
}

/// A value of JSON (RFC 8259).
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, as it was written.
    Number(String),
    /// A string.
    String(String),
    /// An array.
    Array(Vec<Json>),
    /// An object: names are unique, and in the order in which they were written.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// A string.
    pub fn text(text: impl Into<String>) -> Self {
        Self::String(text.into())
    }

    /// A whole number.
    pub fn number(number: u64) -> Self {
        Self::Number(format!("{number}"))
    }

    /// An object of these members.
    pub fn object<const N: usize>(members: [(&str, Self); N]) -> Self {
        Self::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// Reads a whole text.
    pub fn parse(bytes: &[u8]) -> Result<Self, JoseError> {
        let text = core::str::from_utf8(bytes).map_err(|_| JoseError::Json)?;
        let mut reader = Reader { rest: text };
        let value = reader.value(0).ok_or(JoseError::Json)?;
        reader.skip();
        if reader.rest.is_empty() { Ok(value) } else { Err(JoseError::Json) }
    }

    /// The member of an object.
    pub fn get(&self, name: &str) -> Option<&Self> {
        let members = self.as_object()?;
        members.iter().find_map(|(known, value)| (known == name).then_some(value))
    }

    /// The members of an object.
    pub fn as_object(&self) -> Option<&[(String, Self)]> {
        if let Self::Object(members) = self { Some(members) } else { None }
    }

    /// The items of an array.
    pub fn as_array(&self) -> Option<&[Self]> {
        if let Self::Array(items) = self { Some(items) } else { None }
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// A whole number that is not negative, and has neither a fraction nor an exponent.
    pub fn as_u64(&self) -> Option<u64> {
        if let Self::Number(digits) = self { digits.parse().ok() } else { None }
    }

    fn write(&self, text: &mut String) {
        match self {
            Self::Null => text.push_str("null"),
            Self::Bool(true) => text.push_str("true"),
            Self::Bool(false) => text.push_str("false"),
            Self::Number(digits) => text.push_str(digits),
            Self::String(string) => write_string(string, text),
            Self::Array(items) => {
                text.push('[');
                for (place, item) in items.iter().enumerate() {
                    separate(place, text);
                    item.write(text);
                }
                text.push(']');
            }
            Self::Object(members) => {
                text.push('{');
                for (place, (name, value)) in members.iter().enumerate() {
                    separate(place, text);
                    write_string(name, text);
                    text.push(':');
                    value.write(text);
                }
                text.push('}');
            }
        }
    }
}

impl core::fmt::Display for Json {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut text = String::new();
        self.write(&mut text);
        f.write_str(&text)
    }
}

fn separate(place: usize, text: &mut String) {
    if place > 0 {
        text.push(',');
    }
}

fn write_string(string: &str, text: &mut String) {
    text.push('"');
    for character in string.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\u{0}'..='\u{1f}' => {
                write!(text, "\\u{:04x}", u32::from(character)).expect("memory takes every text");
            }
            other => text.push(other),
        }
    }
    text.push('"');
}

/// Reads JSON from the front; nothing where there is none.
struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn skip(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    fn take(&mut self, token: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(token)?;
        Some(())
    }

    fn next(&mut self) -> Option<char> {
        let mut characters = self.rest.chars();
        let next = characters.next()?;
        self.rest = characters.as_str();
        Some(next)
    }

    fn value(&mut self, depth: usize) -> Option<Json> {
        if depth > DEPTH_MAX {
            return None;
        }
        self.skip();
        match self.rest.as_bytes().first()? {
            b'n' => self.take("null").map(|()| Json::Null),
            b't' => self.take("true").map(|()| Json::Bool(true)),
            b'f' => self.take("false").map(|()| Json::Bool(false)),
            b'"' => self.string().map(Json::String),
            b'[' => self.array(depth),
            b'{' => self.object(depth),
            _ => self.number(),
        }
    }

    fn array(&mut self, depth: usize) -> Option<Json> {
        self.take("[")?;
        let mut items = Vec::new();
        self.skip();
        if self.take("]").is_some() {
            return Some(Json::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.skip();
            if self.take("]").is_some() {
                return Some(Json::Array(items));
            }
            self.take(",")?;
        }
    }

    fn object(&mut self, depth: usize) -> Option<Json> {
        self.take("{")?;
        let mut members: Vec<(String, Json)> = Vec::new();
        self.skip();
        if self.take("}").is_some() {
            return Some(Json::Object(members));
        }
        loop {
            self.skip();
            let name = self.string()?;
            if members.iter().any(|(known, _)| *known == name) {
                return None;
            }
            self.skip();
            self.take(":")?;
            members.push((name, self.value(depth + 1)?));
            self.skip();
            if self.take("}").is_some() {
                return Some(Json::Object(members));
            }
            self.take(",")?;
        }
    }

    fn string(&mut self) -> Option<String> {
        self.take("\"")?;
        let mut string = String::new();
        loop {
            match self.next()? {
                '"' => return Some(string),
                '\\' => string.push(self.escaped()?),
                '\u{0}'..='\u{1f}' => return None,
                other => string.push(other),
            }
        }
    }

    fn escaped(&mut self) -> Option<char> {
        match self.next()? {
            character @ ('"' | '\\' | '/') => Some(character),
            'b' => Some('\u{8}'),
            'f' => Some('\u{c}'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'u' => {
                let first = self.unit()?;
                if !(0xd800..0xdc00).contains(&first) {
                    return char::from_u32(first);
                }
                self.take("\\u")?;
                let second = self.unit().filter(|it| (0xdc00..0xe000).contains(it))?;
                char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))
            }
            _ => None,
        }
    }

    /// Four hexadecimal digits.
    fn unit(&mut self) -> Option<u32> {
        let digits = self.rest.get(..4).filter(|it| it.bytes().all(|it| it.is_ascii_hexdigit()))?;
        let unit = u32::from_str_radix(digits, 16).ok()?;
        self.rest = &self.rest[4..];
        Some(unit)
    }

    fn number(&mut self) -> Option<Json> {
        let is_part = |it: char| it.is_ascii_digit() || matches!(it, '-' | '+' | '.' | 'e' | 'E');
        let len = self.rest.find(|it| !is_part(it)).unwrap_or(self.rest.len());
        let (number, rest) = self.rest.split_at(len);
        if !is_number(number) {
            return None;
        }
        self.rest = rest;
        Some(Json::Number(number.to_owned()))
    }
}

/// Whether a text is a number by the grammar of RFC 8259, section 6.
fn is_number(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    let text = text.strip_prefix('-').unwrap_or(text);
    let (text, exponent) = match text.split_once(['e', 'E']) {
        Some((text, exponent)) => {
            (text, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent)))
        }
        None => (text, None),
    };
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text, None),
    };
    let leads_with_zero = whole.len() > 1 && whole.starts_with('0');
    digits(whole) && !leads_with_zero && fraction.is_none_or(digits) && exponent.is_none_or(digits)
}

/// Bytes in base64url, without padding.
pub fn base64url(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// The bytes of a text in base64url.
pub fn from_base64url(text: &str) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD.decode(text).ok()
}

/// Signs a payload as a JWS of a type.
pub fn sign_jws(key: &SigningKey, typ: &str, payload: &Json) -> String {
    let header = Json::object([("alg", Json::text(EDDSA)), ("typ", Json::text(typ))]);
    let mut jws = base64url(format!("{header}").as_bytes());
    jws.push('.');
    jws.push_str(&base64url(format!("{payload}").as_bytes()));
    let signature = key.sign_raw(jws.as_bytes());
    jws.push('.');
    jws.push_str(&base64url(&signature.0));
    jws
}

/// The payload of a JWS, as it is said to be: nobody has verified it yet.
pub fn unverified_payload(jws: &str) -> Result<Json, JoseError> {
    let payload = jws.split('.').nth(1).and_then(from_base64url).ok_or(JoseError::Form)?;
    Json::parse(&payload)
}

/// The payload of a JWS, if it is of one of these types and signed by this key.
pub fn verify_jws(key: &PublicKey, types: &[&str], jws: &str) -> Result<Json, JoseError> {
    let (signed, signature) = jws.rsplit_once('.').ok_or(JoseError::Form)?;
    let (header, payload) = signed.split_once('.').ok_or(JoseError::Form)?;
    // A fourth part leaves a dot in the payload, which is no digit of base64url.
    let header = from_base64url(header).ok_or(JoseError::Form)?;
    let payload = from_base64url(payload).ok_or(JoseError::Form)?;
    let signature = from_base64url(signature).ok_or(JoseError::Form)?;
    let signature = Signature(signature.as_slice().try_into().map_err(|_| JoseError::Form)?);
    check_header(&Json::parse(&header)?, types)?;
    verify_foreign(key, signed.as_bytes(), &signature).map_err(|_| JoseError::Signature)?;
    Json::parse(&payload)
}

fn check_header(header: &Json, types: &[&str]) -> Result<(), JoseError> {
    let algorithm = header.get("alg").and_then(Json::as_str);
    if !algorithm.is_some_and(|it| it == EDDSA || it == ED25519) {
        return Err(JoseError::Algorithm);
    }
    // RFC 7797 changes what is signed, and has to be named as critical too.
    if header.get("crit").is_some() || header.get("b64").is_some() {
        return Err(JoseError::Critical);
    }
    let typ = header.get("typ").and_then(Json::as_str);
    if typ.is_some_and(|it| types.contains(&it)) { Ok(()) } else { Err(JoseError::Type) }
}

/// A public key as a JWK (RFC 8037, section 2).
pub fn jwk(key: &PublicKey) -> Json {
    Json::object([
        ("kty", Json::text("OKP")),
        ("crv", Json::text("Ed25519")),
        ("x", Json::text(base64url(&key.0))),
    ])
}

/// The public key of a JWK. One with its private part is refused: it is nobody's alone any more.
pub fn from_jwk(jwk: &Json) -> Option<PublicKey> {
    let is = |name, value| jwk.get(name).and_then(Json::as_str) == Some(value);
    if !is("kty", "OKP") || !is("crv", "Ed25519") || jwk.get("d").is_some() {
        return None;
    }
    let x = from_base64url(jwk.get("x")?.as_str()?)?;
    Some(PublicKey(x.as_slice().try_into().ok()?))
}
