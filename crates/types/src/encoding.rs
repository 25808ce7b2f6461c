//! The one encoding: CBOR arrays (RFC 8949), shortest integers, definite lengths, no maps, no floats.
//!
//! [`decode`] reads leniently and then encodes again: bytes that come out different were not
//! canonical and are refused. So nobody can make two byte strings, and two digests, of one value.

use alloc::{string::String, vec::Vec};

use minicbor::{Decode, Decoder, Encode, Encoder, decode as reading, encode as writing};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Room for most values: commands have some 400 bytes.
const BYTES_USUAL: usize = 512;

/// Why bytes were not a value.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum DecodeError {
    /// Longer than any value of this type may be.
    #[error("{len} bytes are more than the {max} that this value may have")]
    TooLong {
        /// Bytes given.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// Not CBOR, cut off, of another type, or over a limit.
    #[error("the bytes are cut off, damaged or of another type (at byte {at})")]
    Malformed {
        /// Offset of the first byte that could not be read, as far as it is known.
        at: usize,
    },
    /// A value, followed by something else.
    #[error("{extra} bytes follow the value")]
    Trailing {
        /// Bytes left over.
        extra: usize,
    },
    /// A value, but not in its one encoding.
    #[error("the bytes are not in canonical form")]
    NotCanonical,
}

/// Encodes `value` in its canonical form.
pub fn encode<T: Encode<()>>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(BYTES_USUAL);
    match minicbor::encode(value, &mut bytes) {
        Ok(()) => bytes,
        // A `Vec` accepts every write, and no value of ours refuses to be encoded.
        Err(error) => unreachable!("encoding into memory failed: {error:?}"),
    }
}

/// Takes what is written as long as it is what is expected, so that nothing is kept of it.
struct Expected<'b>(&'b [u8]);

impl writing::Write for Expected<'_> {
    type Error = Unexpected;

    fn write_all(&mut self, written: &[u8]) -> Result<(), Unexpected> {
        self.0 = self.0.strip_prefix(written).ok_or(Unexpected)?;
        Ok(())
    }
}

/// Something else was written.
struct Unexpected;

/// Decodes a canonical value of at most `max` bytes.
pub fn decode<'b, T>(bytes: &'b [u8], max: usize) -> Result<T, DecodeError>
where
    T: Decode<'b, ()> + Encode<()>,
{
    if bytes.len() > max {
        return Err(DecodeError::TooLong { len: bytes.len(), max });
    }
    let mut decoder = Decoder::new(bytes);
    let value: T = decoder
        .decode()
        .map_err(|error| DecodeError::Malformed { at: error.position().unwrap_or(bytes.len()) })?;
    let extra = bytes.len() - decoder.position();
    if extra > 0 {
        return Err(DecodeError::Trailing { extra });
    }
    let mut rest = Expected(bytes);
    match minicbor::encode(&value, &mut rest) {
        Ok(()) if rest.0.is_empty() => Ok(value),
        _ => Err(DecodeError::NotCanonical),
    }
}

/// A list of at most `MAX` items.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct List<T, const MAX: usize>(Vec<T>);

/// More items than a [`List`] may hold, or more bytes than a [`Blob`] or [`Text`] may hold.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("{len} items or bytes are more than the {max} allowed")]
pub struct OverLimit {
    /// Given.
    pub len: usize,
    /// Allowed.
    pub max: usize,
}

impl<T, const MAX: usize> List<T, MAX> {
    /// The empty list.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Takes `items`, or refuses them if there are more than `MAX`.
    pub fn from_vec(items: Vec<T>) -> Result<Self, OverLimit> {
        if items.len() > MAX {
            return Err(OverLimit { len: items.len(), max: MAX });
        }
        Ok(Self(items))
    }

    /// Takes out the item at `place`; the ones after it move up. It must be there.
    pub fn remove(&mut self, place: usize) -> T {
        self.0.remove(place)
    }

    /// Appends `item` if there is room.
    pub fn push(&mut self, item: T) -> Result<(), OverLimit> {
        if self.0.len() == MAX {
            return Err(OverLimit { len: MAX + 1, max: MAX });
        }
        self.0.push(item);
        Ok(())
    }

    /// The items, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut()
    }

    /// Keeps the items for which `keep` holds.
    pub fn retain(&mut self, keep: impl FnMut(&T) -> bool) {
        self.0.retain(keep);
    }

    /// The items.
    pub fn into_vec(self) -> Vec<T> {
        self.0
    }
}

impl<T, const MAX: usize> Default for List<T, MAX> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, const MAX: usize> core::ops::Deref for List<T, MAX> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T, const MAX: usize> TryFrom<Vec<T>> for List<T, MAX> {
    type Error = OverLimit;

    fn try_from(items: Vec<T>) -> Result<Self, OverLimit> {
        Self::from_vec(items)
    }
}

impl<'a, T, const MAX: usize> IntoIterator for &'a List<T, MAX> {
    type Item = &'a T;
    type IntoIter = core::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<C, T: Encode<C>, const MAX: usize> Encode<C> for List<T, MAX> {
    fn encode<W: writing::Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), writing::Error<W::Error>> {
        e.array(self.0.len() as u64)?;
        self.0.iter().try_for_each(|item| item.encode(e, ctx))
    }
}

impl<'b, C, T: Decode<'b, C>, const MAX: usize> Decode<'b, C> for List<T, MAX> {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, reading::Error> {
        let at = d.position();
        let len = d.array()?.ok_or_else(|| reading::Error::message("indefinite length").at(at))?;
        if len > MAX as u64 {
            return Err(reading::Error::message("too many items").at(at));
        }
        (0..len).map(|_| T::decode(d, ctx)).collect::<Result<_, _>>().map(Self)
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for List<T, MAX> {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Self::from_vec(Vec::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}

/// Opaque bytes, at most `MAX` of them.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Blob<const MAX: usize>(Vec<u8>);

impl<const MAX: usize> Blob<MAX> {
    /// No bytes.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Takes `bytes`, or refuses them if there are more than `MAX`.
    pub fn from_vec(bytes: Vec<u8>) -> Result<Self, OverLimit> {
        if bytes.len() > MAX {
            return Err(OverLimit { len: bytes.len(), max: MAX });
        }
        Ok(Self(bytes))
    }

    /// The bytes.
    pub fn into_vec(self) -> Vec<u8> {
        self.0
    }
}

impl<const MAX: usize> Default for Blob<MAX> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const MAX: usize> core::fmt::Debug for Blob<MAX> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Blob({} bytes)", self.0.len())
    }
}

impl<const MAX: usize> core::ops::Deref for Blob<MAX> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl<C, const MAX: usize> Encode<C> for Blob<MAX> {
    fn encode<W: writing::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), writing::Error<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C, const MAX: usize> Decode<'b, C> for Blob<MAX> {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, reading::Error> {
        let at = d.position();
        Self::from_vec(d.bytes()?.to_vec())
            .map_err(|_| reading::Error::message("too many bytes").at(at))
    }
}

impl<const MAX: usize> Serialize for Blob<MAX> {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&hex::encode(&self.0))
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Blob<MAX> {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let bytes = hex::decode(String::deserialize(d)?).map_err(serde::de::Error::custom)?;
        Self::from_vec(bytes).map_err(serde::de::Error::custom)
    }
}

/// UTF-8 text of at most `MAX` bytes, for public names only: nothing about a patient is ever one.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Text<const MAX: usize>(String);

impl<const MAX: usize> Text<MAX> {
    /// Takes `text`, or refuses it if it has more than `MAX` bytes.
    pub fn from_string(text: String) -> Result<Self, OverLimit> {
        if text.len() > MAX {
            return Err(OverLimit { len: text.len(), max: MAX });
        }
        Ok(Self(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> core::fmt::Display for Text<MAX> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.0)
    }
}

impl<C, const MAX: usize> Encode<C> for Text<MAX> {
    fn encode<W: writing::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), writing::Error<W::Error>> {
        e.str(&self.0)?.ok()
    }
}

impl<'b, C, const MAX: usize> Decode<'b, C> for Text<MAX> {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, reading::Error> {
        let at = d.position();
        Self::from_string(String::from(d.str()?))
            .map_err(|_| reading::Error::message("text too long").at(at))
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Text<MAX> {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Self::from_string(String::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}
