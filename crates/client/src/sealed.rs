//! Values sealed to a public key, as they are handed from person to person, and the version that letters begin with.

use keepwell_crypto::seal::{self, ENCAPSULATED_BYTES, OpenError, SealingKey, SealingPublic};
use keepwell_types::encoding::Blob;
use minicbor::{Decode, Decoder, Encode, Encoder, encode};
use zeroize::Zeroizing;

use crate::client::rng;

/// Bytes of a sealed value.
const SEALED_BYTES_MAX: usize = 64 * 1024;
/// Bytes of its ciphertext: what the encapsulation and the frame leave.
const CIPHERTEXT_BYTES_MAX: usize = SEALED_BYTES_MAX - ENCAPSULATED_BYTES - 16;

/// The version of a letter, of which there is one so far: another is refused as the letter is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Version1;

impl<C> Encode<C> for Version1 {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.u8(1)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Version1 {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        let at = d.position();
        match d.u8()? {
            1 => Ok(Self),
            _ => Err(minicbor::decode::Error::message("a later version").at(at)),
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_version() {
        assert_eq!(keepwell_types::encode(&Version1), [1]);
        assert_eq!(keepwell_types::decode(&[1], 1), Ok(Version1));
        for other in [&[0][..], &[2], &[0x18, 1], &[0x20], &[0x61, b'1'], &[]] {
            assert!(keepwell_types::decode::<Version1>(other, 2).is_err(), "{other:?}");
        }
    }
}
