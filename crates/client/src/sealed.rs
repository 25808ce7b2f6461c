//! Values sealed to a public key, as they are handed from person to person.

use keepwell_crypto::seal::{self, ENCAPSULATED_BYTES, OpenError, SealingKey, SealingPublic};
use keepwell_types::encoding::Blob;
use minicbor::{Decode, Encode};
use zeroize::Zeroizing;

use crate::client::rng;

/// Bytes of a sealed value.
const SEALED_BYTES_MAX: usize = 64 * 1024;
/// Bytes of its ciphertext: what the encapsulation and the frame leave.
const CIPHERTEXT_BYTES_MAX: usize = SEALED_BYTES_MAX - ENCAPSULATED_BYTES - 16;

/// A value that one key opens, in one context.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub(crate) struct Sealed {
    #[n(0)]
    encapsulated: Blob<ENCAPSULATED_BYTES>,
    #[n(1)]
    ciphertext: Blob<CIPHERTEXT_BYTES_MAX>,
}

impl Sealed {
    pub(crate) fn seal<T: Encode<()>>(
        to: &SealingPublic,
        domain: &str,
        parts: &[&[u8]],
        value: &T,
    ) -> Self {
        let plain = Zeroizing::new(keepwell_types::encode(value));
        let (encapsulated, ciphertext) = seal::seal(&mut rng(), to, domain, parts, &plain);
        Self {
            encapsulated: Blob::from_vec(encapsulated).expect("X-Wing's length"),
            ciphertext: Blob::from_vec(ciphertext)
                .expect("what is sealed here has limits of its own, far below"),
        }
    }

    pub(crate) fn open<T>(
        &self,
        key: &SealingKey,
        domain: &str,
        parts: &[&[u8]],
    ) -> Result<T, OpenError>
    where
        T: Encode<()> + for<'b> Decode<'b, ()>,
    {
        let plain = seal::open(key, domain, parts, &self.encapsulated, &self.ciphertext)?;
        Ok(keepwell_types::decode(&plain, SEALED_BYTES_MAX)?)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, OpenError> {
        Ok(keepwell_types::decode(bytes, SEALED_BYTES_MAX)?)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        keepwell_types::encode(self)
    }
}
