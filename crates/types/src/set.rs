//! Small closed vocabularies and sets of them, kept as bits.

use core::marker::PhantomData;

use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use serde::{Deserialize, Serialize};

use crate::id::Compartment;

/// A member of a closed vocabulary of at most 32 words.
pub trait Word: Copy + Eq + 'static {
    /// How many words there are; they are numbered from 0.
    const COUNT: u32;

    /// The word's number.
    fn number(self) -> u32;

    /// The word numbered `number`, if there is one.
    fn from_number(number: u32) -> Option<Self>;
}

/// A set of words.
#[derive(Debug, Hash, Ord, PartialEq, PartialOrd, Eq)]
pub struct Set<T>(u32, PhantomData<T>);

impl<T> Clone for Set<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Set<T> {}

impl<T: Word> Default for Set<T> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<T: Word> Set<T> {
    /// The set of nothing.
    pub const EMPTY: Self = Self(0, PhantomData);

    /// The set of all words.
    pub const fn all() -> Self {
        Self(u32::MAX >> (32 - T::COUNT), PhantomData)
    }

    /// The set of the words numbered by the bits of `bits`, if each of them is known.
    pub const fn from_bits(bits: u32) -> Option<Self> {
        if bits & !Self::all().0 == 0 { Some(Self(bits, PhantomData)) } else { None }
    }

    /// One bit for each word.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// This set with `word` in it.
    #[must_use]
    pub fn with(self, word: T) -> Self {
        Self(self.0 | 1 << word.number(), PhantomData)
    }

    /// Whether `word` is in it.
    pub fn contains(self, word: T) -> bool {
        self.0 & 1 << word.number() != 0
    }

    /// Whether each word of `other` is in it.
    pub const fn includes(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    /// The words in both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0, PhantomData)
    }

    /// The words in either.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0, PhantomData)
    }

    /// The words in this set and not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0, PhantomData)
    }

    /// How many words it has.
    pub const fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// Whether it has none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its words, in order of their numbers.
    pub fn iter(self) -> impl Iterator<Item = T> {
        (0..T::COUNT).filter(move |number| self.0 & 1 << number != 0).filter_map(T::from_number)
    }
}

impl<T: Word> FromIterator<T> for Set<T> {
    fn from_iter<I: IntoIterator<Item = T>>(words: I) -> Self {
        words.into_iter().fold(Self::EMPTY, Self::with)
    }
}

impl<C, T: Word> Encode<C> for Set<T> {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.u32(self.0)?.ok()
    }
}

impl<'b, C, T: Word> Decode<'b, C> for Set<T> {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let at = d.position();
        Self::from_bits(d.u32()?)
            .ok_or_else(|| decode::Error::message("unknown word in a set").at(at))
    }
}

impl<T: Word + Serialize> Serialize for Set<T> {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(self.iter())
    }
}

impl<'de, T: Word + Deserialize<'de>> Deserialize<'de> for Set<T> {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Ok(alloc::vec::Vec::<T>::deserialize(d)?.into_iter().collect())
    }
}

impl Word for Compartment {
    const COUNT: u32 = crate::limits::COMPARTMENTS as u32;

    fn number(self) -> u32 {
        u32::from(self.index())
    }

    fn from_number(number: u32) -> Option<Self> {
        u8::try_from(number).ok().and_then(Self::new)
    }
}

/// Compartments of a chart.
pub type CompartmentSet = Set<Compartment>;
/// Kinds of records.
pub type KindSet = Set<crate::record::RecordKind>;
/// What a proxy may do.
pub type PowerSet = Set<crate::proxy::Power>;
/// Purposes of use.
pub type PurposeSet = Set<crate::access::Purpose>;
/// Restrictions of a record.
pub type RestrictionSet = Set<crate::record::Restriction>;
/// Roles of a member.
pub type RoleSet = Set<crate::member::Role>;

/// Defines a vocabulary: an enum without fields, its names, and its numbers from 0.
macro_rules! vocabulary {
    ($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $word:ident = $number:literal, $text:literal;)+ }) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, minicbor::Decode, minicbor::Encode, Eq, Hash, Ord, PartialEq,
            PartialOrd, serde::Deserialize, serde::Serialize,
        )]
        #[cbor(index_only)]
        pub enum $name {
            $($(#[$word_doc])* #[n($number)] #[serde(rename = $text)] $word,)+
        }

        impl $name {
            /// Every word, in order of its number.
            pub const ALL: &[Self] = &[$(Self::$word),+];

            /// The word as people and JSON write it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$word => $text,)+ }
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl core::str::FromStr for $name {
            type Err = $crate::set::UnknownWord;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($text => Ok(Self::$word),)+
                    _ => Err($crate::set::UnknownWord { known: &[$($text),+] }),
                }
            }
        }

        impl $crate::set::Word for $name {
            const COUNT: u32 = Self::ALL.len() as u32;

            fn number(self) -> u32 {
                match self { $(Self::$word => $number,)+ }
            }

            fn from_number(number: u32) -> Option<Self> {
                match number { $($number => Some(Self::$word),)+ _ => None }
            }
        }
    };
}

pub(crate) use vocabulary;

/// A word that its vocabulary does not have.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UnknownWord {
    /// The words it has.
    pub known: &'static [&'static str],
}

impl core::fmt::Display for UnknownWord {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "not one of: {}", self.known.join(", "))
    }
}

impl core::error::Error for UnknownWord {}
