//! Letters from a member to a member of another organisation: signed, sealed, handed over as files.
//!
//! ```text
//! file    = sealed to the receiver [from, to, body, signature]
//! signed  = digest(use, chain, from, to, body)
//! ```
//!
//! # Invariants
//!
//! * A letter opens for one member, in one consortium, for one use; its writer is whom the ledger says the key
//!   belongs to now.
//! * What a letter says is believed of its writer only. Whatever the ledger commits to is compared with it.
//!
//! Not here: how the file travels.

use keepwell_crypto::{
    hash::digest,
    seal::{self, ENCAPSULATED_BYTES, SealingPublic},
    sign,
};
use keepwell_ledger::state::Member;
use keepwell_types::{
    encoding::Blob,
    id::{ChainId, Digest, MemberId, PublicKey, Signature},
    time::BlockTime,
};
use minicbor::{Decode, Encode};
use zeroize::Zeroizing;

use crate::{
    Client,
    client::{now, rng},
    error::{ClientError, UsageError},
    identity::MemberIdentity,
};

/// Bytes of what a letter says.
pub const LETTER_BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of the whole letter, sealed.
pub const LETTER_BYTES_MAX: usize = LETTER_BODY_BYTES_MAX + 4_096;
const SIGNATURE_DOMAIN: &str = "keepwell/client/letter/v1";

/// A letter, opened and not yet believed: [`Client::writer_of`] says whose it is.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub struct Letter {
    #[n(0)]
    from: MemberId,
    #[n(1)]
    to: MemberId,
    #[n(2)]
    body: Blob<LETTER_BODY_BYTES_MAX>,
    #[n(3)]
    signature: Signature,
}

#[derive(Decode, Encode)]
struct SealedLetter {
    #[n(0)]
    encapsulated: Blob<ENCAPSULATED_BYTES>,
    #[n(1)]
    ciphertext: Blob<LETTER_BYTES_MAX>,
}

/// Who wrote a letter, as the ledger has it.
#[derive(Clone, Debug)]
pub struct Writer {
    /// The member.
    pub member: MemberId,
    /// What the ledger says of it.
    pub entry: Member,
}

fn message(purpose: &str, chain: &ChainId, from: MemberId, to: MemberId, body: &[u8]) -> Digest {
    let parts: [&[u8]; 5] = [purpose.as_bytes(), &chain.0, &from.0, &to.0, body];
    digest("keepwell/client/letter-message/v1", &parts)
}

impl Letter {
    /// Writes `value` to a member: the bytes of the file.
    pub fn write<T: Encode<()>>(
        writer: &MemberIdentity,
        (to, key): (MemberId, &SealingPublic),
        purpose: &str,
        value: &T,
    ) -> Result<Vec<u8>, UsageError> {
        let (chain, from) = (writer.chain(), writer.member());
        let too_long = |_| UsageError::LetterTooLong { max: LETTER_BODY_BYTES_MAX };
        let body = Blob::from_vec(keepwell_types::encode(value)).map_err(too_long)?;
        let message = message(purpose, &chain, from, to, &body);
        let signature = writer.actor().key().sign(SIGNATURE_DOMAIN, message.as_bytes());
        let plain = Zeroizing::new(keepwell_types::encode(&Self { from, to, body, signature }));
        let (encapsulated, ciphertext) = seal::seal(&mut rng(), key, purpose, &[&chain.0], &plain);
        Ok(keepwell_types::encode(&SealedLetter {
            encapsulated: Blob::from_vec(encapsulated).expect("X-Wing's length"),
            ciphertext: Blob::from_vec(ciphertext).map_err(too_long)?,
        }))
    }

    /// Opens a file for its receiver.
    pub fn open(
        receiver: &MemberIdentity,
        purpose: &str,
        bytes: &[u8],
    ) -> Result<Self, UsageError> {
        let sealed: SealedLetter =
            keepwell_types::decode(bytes, LETTER_BYTES_MAX + 2 * ENCAPSULATED_BYTES)
                .map_err(|error| UsageError::NotA { what: "a sealed letter", error })?;
        let (key, chain) = (receiver.sealing(), receiver.chain());
        let plain =
            seal::open(&key, purpose, &[&chain.0], &sealed.encapsulated, &sealed.ciphertext)
                .map_err(|_| UsageError::Letter)?;
        let letter: Self = keepwell_types::decode(&plain, LETTER_BYTES_MAX)
            .map_err(|error| UsageError::NotA { what: "a letter", error })?;
        if letter.to != receiver.member() {
            return Err(UsageError::Letter);
        }
        Ok(letter)
    }

    /// What it says, if `writer` has signed it with a key that counts at `now`.
    pub fn read<T>(
        &self,
        chain: &ChainId,
        purpose: &str,
        writer: &Member,
        now: BlockTime,
    ) -> Result<T, UsageError>
    where
        T: Encode<()> + for<'b> Decode<'b, ()>,
    {
        let message = message(purpose, chain, self.from, self.to, &self.body);
        let signed_with = |key: &PublicKey| {
            sign::verify(key, SIGNATURE_DOMAIN, message.as_bytes(), &self.signature).is_ok()
        };
        if !writer.keys_at(now).any(signed_with) {
            return Err(UsageError::Letter);
        }
        keepwell_types::decode(&self.body, LETTER_BODY_BYTES_MAX)
            .map_err(|error| UsageError::NotA { what: "a letter of that kind", error })
    }
}

impl Client {
    /// Writes to a member whose public key a node has.
    pub async fn write_letter<T: Encode<()>>(
        &self,
        writer: &MemberIdentity,
        to: MemberId,
        purpose: &str,
        value: &T,
    ) -> Result<Vec<u8>, ClientError> {
        let key = self.member_key(&writer.actor(), to).await?;
        Ok(Letter::write(writer, (to, &key), purpose, value)?)
    }

    /// Opens a letter and asks the ledger whose it is.
    pub async fn read_letter<T>(
        &self,
        receiver: &MemberIdentity,
        purpose: &str,
        bytes: &[u8],
    ) -> Result<(Writer, T), ClientError>
    where
        T: Encode<()> + for<'b> Decode<'b, ()>,
    {
        let letter = Letter::open(receiver, purpose, bytes)?;
        let writer = self.writer_of(receiver, &letter).await?;
        let value = letter.read(&receiver.chain(), purpose, &writer.entry, now())?;
        Ok((writer, value))
    }

    /// Who a letter says wrote it, as the ledger has that member.
    pub async fn writer_of(
        &self,
        receiver: &MemberIdentity,
        letter: &Letter,
    ) -> Result<Writer, ClientError> {
        let member = letter.from;
        let entry = self.member(&receiver.actor(), member).await?;
        if entry.suspended {
            return Err(UsageError::SuspendedWriter(member).into());
        }
        Ok(Writer { member, entry })
    }
}
