//! Escrow: a secret shared out among holders, of whom a threshold gives it back.
//!
//! This is Shamir's sharing of one random scalar, under whose key the secret lies. A share is sealed to
//! each holder with X-Wing, and only digests are public, so nothing here waits for a quantum computer.
//!
//! ```text
//! Escrow = [suite, threshold, check, [digest of share j, ...], [sealed share j, ...], ciphertext]
//! s      = P(0)         share j = P(j), j from 1         check = digest(binding, s)
//! key    = HKDF(s, binding)       ciphertext = ChaCha20-Poly1305(key, secret); the nonce is 0, since s is fresh
//! binding                         digest of the context and of what everybody sees but the ciphertext
//! ```
//!
//! Groups of holders nest: a [`Share`] has bytes, which can be the secret of another escrow.
//!
//! # Invariants
//!
//! * Fewer shares than the threshold say nothing about the secret.
//! * What is dealt in one context opens in no other.
//! * A false share is told from a good one before it is used, and names its holder. Shares that are all
//!   good and give no secret prove that the dealer dealt wrongly.
//!
//! Not here: who may ask holders for their shares, and when: the ledger decides, and each holder looks.

use alloc::{collections::BTreeMap, vec::Vec};

use chacha20poly1305::{
    ChaCha20Poly1305, KeyInit as _,
    aead::{Aead as _, Payload},
};
use curve25519_dalek::scalar::Scalar;
use keepwell_types::{
    DecodeError, decode, encode,
    encoding::{Blob, List},
    id::{Digest, Suite},
    limits::{ESCROW_BYTES_MAX, ESCROW_HOLDERS_MAX, ESCROW_SECRET_BYTES_MAX},
};
use minicbor::{Decode, Encode};
use rand_core::CryptoRng;
use thiserror::Error;
use zeroize::{Zeroize as _, Zeroizing};

use crate::{
    hash::{Hasher, derive, digest},
    seal::{self, ENCAPSULATED_BYTES, OpenError, SealingKey, SealingPublic, TAG_BYTES},
    threshold::{Polynomial, decode_scalar, lagrange},
};

const SHARE_DOMAIN: &str = "keepwell/escrow/share/v1";
const HANDED_DOMAIN: &str = "keepwell/escrow/handed/v1";

/// Bytes of a share: the holder's number and a scalar.
pub const SHARE_BYTES: usize = 34;

/// Why something was not shared out, or not given back, and whose fault it is.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum EscrowFault {
    /// The numbers make no escrow: the fault of whoever deals.
    #[error(
        "{threshold} of {holders} holders make no escrow; name 1 to {ESCROW_HOLDERS_MAX} holders and a threshold that they can reach"
    )]
    Numbers {
        /// Shares that should open.
        threshold: u16,
        /// Holders in all.
        holders: usize,
    },
    /// The secret is too long: the fault of whoever deals.
    #[error("an escrow holds {ESCROW_SECRET_BYTES_MAX} bytes, not {len}")]
    TooLong {
        /// Bytes given.
        len: usize,
    },
    /// The escrow's parts do not fit each other, or it is of another context.
    #[error("the escrow is not whole, or it was dealt for something else; fetch it again")]
    Malformed,
    /// Nobody holds a share of this number.
    #[error("the escrow has no holder {0}")]
    NoSuchHolder(u16),
    /// The holder's share does not open with this key.
    #[error(
        "the key does not open the share of holder {0}; use the key that the holder had when the escrow was dealt"
    )]
    WrongKey(u16),
    /// A share is not the one that was dealt: its holder's fault.
    #[error("holder {0} gave a false share; leave it out and ask another holder")]
    FalseShare(u16),
    /// Too few shares.
    #[error("{have} shares are here and {need} are needed; ask further holders")]
    TooFew {
        /// Different shares given.
        have: usize,
        /// Shares needed.
        need: usize,
    },
    /// Good shares give no secret: whoever dealt the escrow did it wrongly.
    #[error(
        "the shares are good and give no secret: the escrow was dealt wrongly, and the secret cannot be had from it"
    )]
    DealtWrongly,
}

/// A secret shared out among holders: an object that may lie anywhere.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub struct Escrow {
    #[n(0)]
    suite: Suite,
    #[n(1)]
    threshold: u16,
    #[n(2)]
    check: Digest,
    #[n(3)]
    digests: List<Digest, ESCROW_HOLDERS_MAX>,
    #[n(4)]
    sealed: List<SealedShare, ESCROW_HOLDERS_MAX>,
    #[n(5)]
    ciphertext: Blob<{ ESCROW_SECRET_BYTES_MAX + TAG_BYTES }>,
}

/// A share sealed to someone: to its holder by the dealer, or by its holder to whoever collects.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub struct SealedShare {
    #[n(0)]
    encapsulated: Blob<ENCAPSULATED_BYTES>,
    #[n(1)]
    ciphertext: Blob<{ SHARE_BYTES + TAG_BYTES }>,
}

/// One holder's share. Erased from memory when dropped.
#[derive(Clone)]
pub struct Share {
    holder: u16,
    value: Scalar,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.value.zeroize();
    }
}

impl core::fmt::Debug for Share {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Share({}, ..)", self.holder)
    }
}

impl Escrow {
    /// Shares `secret` out. Holder j, counted from 1, has `holders[j − 1]`; `threshold` of them give it
    /// back. `context` is all that the escrow is bound to.
    pub fn deal(
        rng: &mut impl CryptoRng,
        context: &[&[u8]],
        secret: &[u8],
        threshold: u16,
        holders: &[SealingPublic],
    ) -> Result<Self, EscrowFault> {
        check_numbers(threshold, holders.len())?;
        if secret.len() > ESCROW_SECRET_BYTES_MAX {
            return Err(EscrowFault::TooLong { len: secret.len() });
        }
        let constant = Zeroizing::new(Scalar::random(rng));
        let polynomial = Polynomial::random(rng, *constant, threshold);
        let shares = (1..=holders.len() as u16)
            .map(|holder| Share { holder, value: polynomial.at(holder) })
            .collect::<Vec<_>>();
        let context = context_digest(context);
        let sealed = shares.iter().zip(holders);
        let sealed = sealed
            .map(|(share, key)| SealedShare::new(rng, key, SHARE_DOMAIN, &[&context.0], share));
        let sealed = List::from_vec(sealed.collect()).expect("the numbers were checked");
        let digests = shares.iter().map(|share| share.digest(&context)).collect();
        let mut escrow = Self {
            suite: Suite::One,
            threshold,
            check: check(&context, &constant),
            digests: List::from_vec(digests).expect("the numbers were checked"),
            sealed,
            ciphertext: Blob::from_vec(Vec::new()).expect("nothing is within the limit"),
        };
        let binding = escrow.binding(&context);
        let ciphertext = cipher(&constant, &binding)
            .encrypt(&Default::default(), Payload { msg: secret, aad: b"" })
            .expect("the secret is far shorter than the cipher's limit");
        escrow.ciphertext = Blob::from_vec(ciphertext).expect("the length was checked");
        Ok(escrow)
    }

    /// Decodes canonical bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        decode(bytes, ESCROW_BYTES_MAX)
    }

    /// Its canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// What stands on the ledger.
    pub fn digest(&self) -> Digest {
        digest("keepwell/escrow/whole/v1", &[&self.encode()])
    }

    /// How many shares give the secret back.
    pub const fn threshold(&self) -> u16 {
        self.threshold
    }

    /// How many holders there are.
    pub fn holders(&self) -> u16 {
        self.sealed.len() as u16
    }

    /// Opens the share of `holder`.
    pub fn open_share(
        &self,
        context: &[&[u8]],
        holder: u16,
        key: &SealingKey,
    ) -> Result<Share, EscrowFault> {
        let place = usize::from(holder).checked_sub(1).ok_or(EscrowFault::NoSuchHolder(holder))?;
        let sealed = self.sealed.get(place).ok_or(EscrowFault::NoSuchHolder(holder))?;
        let bound = context_digest(context);
        let share = sealed
            .open(key, SHARE_DOMAIN, &[&bound.0])
            .map_err(|_| EscrowFault::WrongKey(holder))?;
        if share.holder != holder {
            return Err(EscrowFault::DealtWrongly);
        }
        self.check_share(context, &share).map_err(|_| EscrowFault::DealtWrongly)?;
        Ok(share)
    }

    /// Whether a share is the one that was dealt.
    pub fn check_share(&self, context: &[&[u8]], share: &Share) -> Result<(), EscrowFault> {
        let place = usize::from(share.holder).checked_sub(1);
        let dealt = place.and_then(|place| self.digests.get(place));
        let dealt = dealt.ok_or(EscrowFault::NoSuchHolder(share.holder))?;
        if *dealt == share.digest(&context_digest(context)) {
            Ok(())
        } else {
            Err(EscrowFault::FalseShare(share.holder))
        }
    }

    /// The secret, from as many good shares as it takes. The same share twice counts once.
    pub fn recover(
        &self,
        context: &[&[u8]],
        shares: &[Share],
    ) -> Result<Zeroizing<Vec<u8>>, EscrowFault> {
        self.check_shape()?;
        for share in shares {
            self.check_share(context, share)?;
        }
        let by_holder: BTreeMap<_, _> = shares.iter().map(|it| (it.holder, it)).collect();
        let need = usize::from(self.threshold);
        if by_holder.len() < need {
            return Err(EscrowFault::TooFew { have: by_holder.len(), need });
        }
        let used: Vec<_> = by_holder.into_values().take(need).collect();
        let weights = lagrange(&used.iter().map(|share| share.holder).collect::<Vec<_>>(), 0);
        let terms = used.iter().zip(weights).map(|(share, weight)| share.value * weight);
        let constant = Zeroizing::new(terms.sum::<Scalar>());
        let context = context_digest(context);
        if self.check != check(&context, &constant) {
            return Err(EscrowFault::DealtWrongly);
        }
        let payload = Payload { msg: self.ciphertext.as_ref(), aad: b"" };
        cipher(&constant, &self.binding(&context))
            .decrypt(&Default::default(), payload)
            .map(Zeroizing::new)
            .map_err(|_| EscrowFault::Malformed)
    }

    fn check_shape(&self) -> Result<(), EscrowFault> {
        check_numbers(self.threshold, self.sealed.len())?;
        if self.digests.len() == self.sealed.len() { Ok(()) } else { Err(EscrowFault::Malformed) }
    }

    /// Digest of the context and of all that the dealer chose but the ciphertext.
    fn binding(&self, context: &Digest) -> Digest {
        let mut hasher = Hasher::new("keepwell/escrow/binding/v1");
        hasher.part(&context.0);
        hasher.part(&self.threshold.to_le_bytes());
        hasher.part(&self.check.0);
        hasher.part(&encode(&self.digests));
        hasher.part(&encode(&self.sealed));
        hasher.finish()
    }
}

impl Share {
    /// Whose it is, counted from 1.
    pub const fn holder(&self) -> u16 {
        self.holder
    }

    /// Its bytes: what an escrow of shares shares out.
    pub fn to_bytes(&self) -> Zeroizing<[u8; SHARE_BYTES]> {
        let mut bytes = Zeroizing::new([0; SHARE_BYTES]);
        bytes[..2].copy_from_slice(&self.holder.to_le_bytes());
        bytes[2..].copy_from_slice(self.value.as_bytes());
        bytes
    }

    /// The share with these bytes, if they are one.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (holder, value) = bytes.split_first_chunk::<2>()?;
        let value = decode_scalar(value.try_into().ok()?)?;
        Some(Self { holder: u16::from_le_bytes(*holder), value })
    }

    /// Hands the share to whoever collects, in this context.
    pub fn seal(
        &self,
        rng: &mut impl CryptoRng,
        to: &SealingPublic,
        context: &[&[u8]],
    ) -> SealedShare {
        SealedShare::new(rng, to, HANDED_DOMAIN, context, self)
    }

    fn digest(&self, context: &Digest) -> Digest {
        digest("keepwell/escrow/dealt/v1", &[&context.0, &*self.to_bytes()])
    }
}

impl SealedShare {
    fn new(
        rng: &mut impl CryptoRng,
        to: &SealingPublic,
        domain: &str,
        parts: &[&[u8]],
        share: &Share,
    ) -> Self {
        let (encapsulated, ciphertext) = seal::seal(rng, to, domain, parts, &*share.to_bytes());
        Self {
            encapsulated: Blob::from_vec(encapsulated).expect("X-Wing's length"),
            ciphertext: Blob::from_vec(ciphertext).expect("a share and a tag"),
        }
    }

    /// Opens what [`Share::seal`] made for this key and context. Whether it is a good share, the escrow
    /// tells.
    pub fn open_handed(&self, key: &SealingKey, context: &[&[u8]]) -> Result<Share, OpenError> {
        self.open(key, HANDED_DOMAIN, context)
    }

    fn open(&self, key: &SealingKey, domain: &str, parts: &[&[u8]]) -> Result<Share, OpenError> {
        let opened = seal::open(key, domain, parts, &self.encapsulated, &self.ciphertext)?;
        Share::from_bytes(&opened).ok_or(OpenError::WrongKey)
    }
}

fn check_numbers(threshold: u16, holders: usize) -> Result<(), EscrowFault> {
    let within =
        0 < threshold && usize::from(threshold) <= holders && holders <= ESCROW_HOLDERS_MAX;
    if within { Ok(()) } else { Err(EscrowFault::Numbers { threshold, holders }) }
}

fn context_digest(context: &[&[u8]]) -> Digest {
    digest("keepwell/escrow/context/v1", context)
}

fn check(context: &Digest, constant: &Scalar) -> Digest {
    digest("keepwell/escrow/check/v1", &[&context.0, constant.as_bytes()])
}

fn cipher(constant: &Scalar, binding: &Digest) -> ChaCha20Poly1305 {
    let key = derive::<32>(constant.as_bytes(), "keepwell/escrow/key/v1", &[&binding.0]);
    ChaCha20Poly1305::new((&*key).into())
}
