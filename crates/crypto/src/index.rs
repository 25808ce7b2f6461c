//! An organisation's own index of what it may read: what is looked up, and what is read back.
//!
//! ```text
//! term  = 16 bytes of HKDF(key, "keepwell/index/term/v1", parts)        what is looked up
//! row   = nonce (12) ‖ ChaCha20-Poly1305(HKDF(key, "keepwell/index/row/v1", [record]), nonce, padded)
//! padded = length (4, big endian) ‖ bytes ‖ zeros up to Padmé(4 + length)
//! tag   = 32 bytes of HKDF(key, "keepwell/index/unique/v1", parts)      on the ledger: decides races
//! ```
//!
//! Whoever takes the index without the key learns how many rows there are, roughly how long, and which of them share
//! a term; nothing of what is in them. A tag stands on the ledger, where it is equal to another one only if the
//! same organisation made both of the same parts.
//!
//! # Invariants
//!
//! * Each row has a key of its own, bound to its record: one that is moved to another record does not open.
//! * Terms, rows and tags come of one key, and none says anything of another.
//!
//! Not here: which terms a resource has, and where rows are kept.

use alloc::{vec, vec::Vec};

use chacha20poly1305::{
    ChaCha20Poly1305, KeyInit as _,
    aead::{Aead as _, Payload},
};
use keepwell_types::id::{RecordId, UniquenessTag};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::{
    hash::derive,
    padding::padded_len,
    seal::{OpenError, TAG_BYTES},
    secret::secret,
};

/// Bytes of a term: two of 2^32 are equal by chance with a probability of 2^-64.
pub const TERM_BYTES: usize = 16;
const NONCE_BYTES: usize = 12;
const LENGTH_BYTES: usize = 4;

/// What something is looked up by.
pub type Term = [u8; TERM_BYTES];

secret! {
    /// The key of an organisation's index and of its uniqueness tags.
    IndexKey, 32
}

impl IndexKey {
    /// What stands for these parts in the index.
    pub fn term(&self, parts: &[&[u8]]) -> Term {
        *derive(self.as_bytes(), "keepwell/index/term/v1", parts)
    }

    /// What stands for these parts on the ledger, where only one live record of the organisation may have it.
    pub fn tag(&self, parts: &[&[u8]]) -> UniquenessTag {
        UniquenessTag(*derive(self.as_bytes(), "keepwell/index/unique/v1", parts))
    }

    /// Seals what the index keeps of a record.
    ///
    /// # Panics
    ///
    /// If `plain` has 4 GiB or more: no row does.
    pub fn seal(&self, rng: &mut impl CryptoRng, record: &RecordId, plain: &[u8]) -> Vec<u8> {
        let len = u32::try_from(plain.len()).expect("a row is shorter than 4 GiB");
        let padded = padded_len((LENGTH_BYTES + plain.len()) as u64) as usize;
        let mut text = Zeroizing::new(vec![0; padded]);
        text[..LENGTH_BYTES].copy_from_slice(&len.to_be_bytes());
        text[LENGTH_BYTES..LENGTH_BYTES + plain.len()].copy_from_slice(plain);
        let mut nonce = [0; NONCE_BYTES];
        rng.fill_bytes(&mut nonce);
        let sealed = self
            .cipher(record)
            .encrypt(&nonce.into(), Payload { msg: &text, aad: &[] })
            .expect("a row is shorter than the cipher's limit");
        [&nonce[..], &sealed].concat()
    }

    /// Opens what [`IndexKey::seal`] sealed for the same record.
    ///
    /// # Errors
    ///
    /// [`OpenError::WrongKey`] if it was sealed with another key or for another record, or is damaged;
    /// [`OpenError::Padding`] if whoever sealed it did not do it so.
    pub fn open(&self, record: &RecordId, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let (nonce, sealed) =
            sealed.split_first_chunk::<NONCE_BYTES>().ok_or(OpenError::WrongKey)?;
        if sealed.len() < LENGTH_BYTES + TAG_BYTES {
            return Err(OpenError::WrongKey);
        }
        let text = self
            .cipher(record)
            .decrypt(&(*nonce).into(), Payload { msg: sealed, aad: &[] })
            .map_err(|_| OpenError::WrongKey)?;
        let text = Zeroizing::new(text);
        let (len, rest) = text.split_first_chunk().ok_or(OpenError::Padding)?;
        let plain = rest.get(..u32::from_be_bytes(*len) as usize).ok_or(OpenError::Padding)?;
        Ok(Zeroizing::new(plain.to_vec()))
    }

    fn cipher(&self, record: &RecordId) -> ChaCha20Poly1305 {
        let key: Zeroizing<[u8; 32]> =
            derive(self.as_bytes(), "keepwell/index/row/v1", &[&record.0]);
        ChaCha20Poly1305::new((&*key).into())
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    use super::*;

    fn key(of: u8) -> IndexKey {
        IndexKey::from_bytes(&[of; 32])
    }

    fn rng() -> ChaCha20Rng {
        ChaCha20Rng::from_seed([9; 32])
    }

    #[test]
    fn a_row_opens_with_its_key_for_its_record() {
        let (here, there) = (RecordId([1; 32]), RecordId([2; 32]));
        for plain in [&b""[..], b"{}", &[7; 5_000]] {
            let row = key(1).seal(&mut rng(), &here, plain);
            assert_eq!(*key(1).open(&here, &row).unwrap(), plain);
            assert_eq!(key(1).open(&there, &row).unwrap_err(), OpenError::WrongKey);
            assert_eq!(key(2).open(&here, &row).unwrap_err(), OpenError::WrongKey);
        }
    }

    #[test]
    fn a_row_that_was_changed_does_not_open() {
        let record = RecordId([1; 32]);
        let row = key(1).seal(&mut rng(), &record, b"{\"resourceType\":\"Patient\"}");
        for at in 0..row.len() {
            let mut changed = row.clone();
            changed[at] ^= 1;
            assert_eq!(key(1).open(&record, &changed).unwrap_err(), OpenError::WrongKey, "{at}");
            assert_eq!(key(1).open(&record, &row[..at]).unwrap_err(), OpenError::WrongKey, "{at}");
        }
    }

    #[test]
    fn rows_say_little_of_their_length() {
        let record = RecordId([1; 32]);
        let len = |bytes: usize| key(1).seal(&mut rng(), &record, &vec![0; bytes]).len();
        assert_eq!(len(1_000), len(1_010));
        assert!(len(10_000) > len(1_000));
    }

    #[test]
    fn terms_and_tags_differ_by_key_by_use_and_by_how_parts_are_cut() {
        let term = key(1).term(&[b"code", b"a"]);
        assert_eq!(term, key(1).term(&[b"code", b"a"]));
        assert_ne!(term, key(2).term(&[b"code", b"a"]));
        assert_ne!(term, key(1).term(&[b"codea", b""]));
        assert_ne!(term, key(1).tag(&[b"code", b"a"]).0[..TERM_BYTES]);
    }
}
