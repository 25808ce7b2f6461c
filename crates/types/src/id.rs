//! Identifiers, keys and digests. All are opaque bytes; random ones carry no meaning.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{bytes::bytes_newtype, limits};

/// Text that is not an identifier.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("an identifier here is {digits} hexadecimal digits")]
pub struct ParseIdError {
    /// Digits expected.
    pub digits: usize,
}

bytes_newtype!(
    /// A SHA-256 digest.
    Digest, 32
);
bytes_newtype!(
    /// The consortium: the digest of its canonical genesis file.
    ChainId, 32
);
bytes_newtype!(
    /// A block: the digest of its header.
    BlockId, 32
);
bytes_newtype!(
    /// A random id that makes a command single-use within its window.
    CommandId, 16
);
bytes_newtype!(
    /// A transaction, chosen at random by its first signer, whom others cannot take it from: it means something beside
    /// that signer only.
    TransactionId, 16
);
bytes_newtype!(
    /// The digest of a command's canonical bytes, without signatures.
    CommandDigest, 32
);
bytes_newtype!(
    /// An organisation.
    OrganisationId, 16
);
bytes_newtype!(
    /// A person or device that acts for an organisation.
    MemberId, 16
);
bytes_newtype!(
    /// One patient's care relationship with one organisation. Random; links to nothing.
    ChartId, 32
);
bytes_newtype!(
    /// One document or resource in a chart; derived from the command that adds it.
    RecordId, 32
);
bytes_newtype!(
    /// A grant, chosen at random by whoever gives it; unique within its chart.
    GrantId, 16
);
bytes_newtype!(
    /// A clinician's request for a grant, chosen at random; unique within its chart.
    RequestId, 16
);
bytes_newtype!(
    /// A patient's case with an organisation, chosen at random; unique within its chart.
    CaseId, 16
);
bytes_newtype!(
    /// A credential, chosen at random by the board that issues it; unique for its holder.
    CredentialId, 16
);
bytes_newtype!(
    /// A link between a chart of one organisation and one of another, chosen at random; names no chart.
    LinkId, 16
);
bytes_newtype!(
    /// A person in a sheet of tokens that is shown to another organisation: random, and good for that sheet.
    MatchSubject, 16
);
bytes_newtype!(
    /// What matching makes of one key of one person: equal where the key is, and says nothing else. Kept and
    /// exchanged off the ledger, sealed.
    MatchToken, 32
);
bytes_newtype!(
    /// A care team of one chart, chosen at random by whoever controls it.
    TeamId, 16
);
bytes_newtype!(
    /// A proxy, chosen at random by whoever names it; unique among those of its chart.
    ProxyId, 16
);
bytes_newtype!(
    /// A motion of the consortium's administrators, chosen at random by whoever makes it.
    MotionId, 16
);
bytes_newtype!(
    /// A group of members of one organisation, bound to purposes of use.
    GroupId, 16
);
bytes_newtype!(
    /// The salted digest of a capsule: says nothing once the salt is gone.
    Commitment, 32
);
bytes_newtype!(
    /// Random bytes that keep what is digested with them from being guessed.
    Salt, 32
);
bytes_newtype!(
    /// A record's identifier in some system, as an HMAC under the organisation's key.
    UniquenessTag, 32
);
bytes_newtype!(
    /// A committee that releases: the digest of its public key, stable when shares are dealt anew.
    CommitteeId, 32
);
bytes_newtype!(
    /// A public key: Ed25519 in suite 1.
    PublicKey, 32
);
bytes_newtype!(
    /// A signature: Ed25519, strictly verified, in suite 1.
    Signature, 64
);

/// Which algorithms a signed object uses. Suite 2 (ML-DSA beside Ed25519) has its number reserved.
#[derive(
    Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
#[cbor(index_only)]
pub enum Suite {
    /// Strict Ed25519, SHA-256, X-Wing with HKDF-SHA256 and ChaCha20-Poly1305, AES-256-GCM bodies.
    #[n(1)]
    One,
}

/// A compartment of a chart: an opaque number below [`limits::COMPARTMENTS`].
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Compartment(u8);

impl Compartment {
    /// The compartment numbered `index`, if there is one.
    pub const fn new(index: u8) -> Option<Self> {
        if (index as usize) < limits::COMPARTMENTS { Some(Self(index)) } else { None }
    }

    /// Its number.
    pub const fn index(self) -> u8 {
        self.0
    }

    /// All compartments of a chart, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..limits::COMPARTMENTS as u8).map(Self)
    }
}

impl<C> Encode<C> for Compartment {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.u8(self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Compartment {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        let at = d.position();
        Self::new(d.u8()?)
            .ok_or_else(|| minicbor::decode::Error::message("no such compartment").at(at))
    }
}

impl<'de> Deserialize<'de> for Compartment {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Self::new(u8::deserialize(d)?)
            .ok_or_else(|| serde::de::Error::custom("a compartment is a number from 0 to 15"))
    }
}

/// Defines a newtype over an integer.
macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $of:ty) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Decode, Default, Deserialize, Encode, Eq, Hash, Ord, PartialEq,
            PartialOrd, Serialize,
        )]
        #[cbor(transparent)]
        #[serde(transparent)]
        pub struct $name(#[n(0)] pub $of);

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// A generation of a compartment's key, counted from 0.
    Epoch, u32
);
number!(
    /// A version of a record, counted from 1.
    Version, u32
);
number!(
    /// A block's place in the chain; the block of the genesis entries is 1.
    Height, u64
);
number!(
    /// An outcome's place in the log of a chart, counted from 0.
    LogPosition, u64
);
number!(
    /// A version of the ledger's rules, counted from 1; see [`crate::protocol`].
    Protocol, u16
);

/// Where an entry stands in the chain.
#[derive(
    Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
pub struct Location {
    /// The block.
    #[n(0)]
    pub height: Height,
    /// The entry's place in the block, counted from 0.
    #[n(1)]
    pub index: u32,
}
