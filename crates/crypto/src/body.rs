//! Bodies: content of any size, encrypted in chunks, in place, readable from the middle.
//!
//! ```text
//! sealed body = header (40 bytes) ‖ chunk 0 ‖ chunk 1 ‖ ... ‖ last chunk
//! header      = version (1) ‖ algorithm (1) ‖ log2 of a chunk's plaintext (1) ‖ 0 (5) ‖ key commitment (32)
//! chunk       = AES-256-GCM(body key, nonce, plaintext) ‖ tag (16)
//! nonce       = 0 (7) ‖ number of the chunk (4, big endian) ‖ 1 for the last chunk, 0 for any other (1)
//! plaintext   = length of the content (8, big endian) ‖ content ‖ zeros up to Padmé(8 + length)
//! body key ‖ key commitment = HKDF(data key, record id, first 8 bytes of the header)
//! ```
//!
//! Every chunk but the last has the full 64 KiB (bodies of less than 8 MiB) or 1 MiB of plaintext.
//!
//! # Invariants
//!
//! * A [`Dek`] encrypts one content once, so no nonce meets a key twice: whoever seals draws a fresh one
//!   for each body.
//! * The commitment fixes the key: one sealed body has one plaintext, whoever made it.
//! * A chunk opens only at its own place, of its own record, and the last one only as the last: chunks
//!   that were swapped, repeated, cut off or appended are refused.
//! * The number of sealed bytes fixes the number and the lengths of all chunks, and says no more about
//!   the content's length than Padmé does.
//!
//! Not here: the Merkle tree over the chunks as they lie at a custodian (`keepwell-merkle`).

use core::ops::Range;

use aes_gcm::{Aes256Gcm, KeyInit as _, aead::AeadInOut as _};
use keepwell_types::{
    id::RecordId,
    limits::{RECORD_BYTES_MAX, SEALED_BYTES_MAX},
};
use rand_core::CryptoRng;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::{
    hash::derive,
    padding::padded_len,
    seal::{OpenError, SealError, TAG_BYTES},
    secret::secret,
};

/// Bytes of the header.
pub const HEADER_BYTES: usize = 40;
/// Bytes of the largest sealed chunk: a buffer of this size serves every body.
pub const SEALED_CHUNK_BYTES_MAX: usize = (1 << LARGE_LOG2) + TAG_BYTES;

const VERSION: u8 = 1;
const AES_256_GCM: u8 = 1;
const FIXED_BYTES: usize = 8;
const LENGTH_BYTES: usize = 8;
const SMALL_LOG2: u8 = 16;
const LARGE_LOG2: u8 = 20;
const LARGE_FROM_SEALED_BYTES: u64 = 8 * 1024 * 1024;

// The nonce counts chunks in 32 bits.
const _: () = assert!(SEALED_BYTES_MAX >> SMALL_LOG2 < 1 << 32);

secret! {
    /// The data key of one body of one record.
    Dek, 32
}

impl Dek {
    /// A fresh key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *bytes);
        Self(bytes)
    }
}

/// Bytes of the sealed body of `content_bytes` bytes: header, padding and tags included.
///
/// Exact for whatever a record may hold; `u64::MAX` for contents far beyond that.
pub fn sealed_len(content_bytes: u64) -> u64 {
    match content_bytes.checked_add(LENGTH_BYTES as u64) {
        Some(plain) if plain < 1 << 62 => Layout::of_plain(padded_len(plain)).sealed_bytes(),
        _ => u64::MAX,
    }
}

/// log2 of a chunk's plaintext, as the first bytes of a sealed body say; nothing if they are not a
/// header. For who stores a body without its key.
pub fn chunk_log2(header: &[u8]) -> Option<u8> {
    let [VERSION, AES_256_GCM, log2 @ (SMALL_LOG2 | LARGE_LOG2), 0, 0, 0, 0, 0, ..] = *header
    else {
        return None;
    };
    (header.len() >= HEADER_BYTES).then_some(log2)
}

/// How a sealed body is cut into chunks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Layout {
    log2: u8,
    plain_bytes: u64,
}

impl Layout {
    /// The layout of a content.
    pub fn of_content(content_bytes: u64) -> Result<Self, SealError> {
        if content_bytes > RECORD_BYTES_MAX {
            return Err(SealError::ContentTooLong { len: content_bytes, max: RECORD_BYTES_MAX });
        }
        Ok(Self::of_plain(padded_len(content_bytes + LENGTH_BYTES as u64)))
    }

    /// The layout of a sealed body of this many bytes, if there is one.
    pub fn of_sealed(sealed_bytes: u64) -> Result<Self, OpenError> {
        let wrong = OpenError::Size { sealed_bytes };
        let chunks = sealed_bytes.saturating_sub(HEADER_BYTES as u64);
        if sealed_bytes > SEALED_BYTES_MAX {
            return Err(wrong);
        }
        [SMALL_LOG2, LARGE_LOG2]
            .into_iter()
            .map(|log2| {
                let tags = TAG_BYTES as u64 * chunks.div_ceil((1 << log2) + TAG_BYTES as u64);
                Self::of_plain(padded_len(chunks.saturating_sub(tags)))
            })
            // Whichever guess was right gives the size back.
            .find(|layout| {
                layout.plain_bytes >= LENGTH_BYTES as u64 && layout.sealed_bytes() == sealed_bytes
            })
            .ok_or(wrong)
    }

    fn of_plain(plain_bytes: u64) -> Self {
        let small = Self { log2: SMALL_LOG2, plain_bytes };
        if small.sealed_bytes() < LARGE_FROM_SEALED_BYTES {
            small
        } else {
            Self { log2: LARGE_LOG2, plain_bytes }
        }
    }

    /// log2 of a chunk's plaintext.
    pub fn chunk_log2(&self) -> u8 {
        self.log2
    }

    /// Bytes of the whole sealed body.
    pub fn sealed_bytes(&self) -> u64 {
        HEADER_BYTES as u64
            + self.plain_bytes
            + TAG_BYTES as u64 * self.plain_bytes.div_ceil(self.chunk_bytes())
    }

    /// How many chunks it has: at least one.
    pub fn chunks(&self) -> u32 {
        u32::try_from(self.plain_bytes.div_ceil(self.chunk_bytes()))
            .expect("a body within the limits has fewer than 2^32 chunks")
    }

    /// Where chunk `index` lies in the sealed body.
    pub fn sealed_range(&self, index: u32) -> Option<Range<u64>> {
        let plain = self.plain_range(index)?;
        let tags = TAG_BYTES as u64 * u64::from(index);
        let start = HEADER_BYTES as u64 + plain.start + tags;
        Some(start..start + (plain.end - plain.start) + TAG_BYTES as u64)
    }

    /// In which chunk the byte at `offset` of the content lies, and where in the chunk's plaintext.
    pub fn locate(&self, offset: u64) -> Option<(u32, usize)> {
        let at = offset.checked_add(LENGTH_BYTES as u64).filter(|at| *at < self.plain_bytes)?;
        let index = u32::try_from(at / self.chunk_bytes()).ok()?;
        let within = usize::try_from(at % self.chunk_bytes()).ok()?;
        Some((index, within))
    }

    fn chunk_bytes(&self) -> u64 {
        1 << self.log2
    }

    fn plain_range(&self, index: u32) -> Option<Range<u64>> {
        let start = u64::from(index) * self.chunk_bytes();
        (start < self.plain_bytes).then(|| start..self.plain_bytes.min(start + self.chunk_bytes()))
    }

    /// Which part of chunk `index`, if there is such a chunk, is content: what is not the length before
    /// it or the padding after it.
    fn content_range(&self, index: u32, content_bytes: u64) -> Option<Slot> {
        let plain = self.plain_range(index)?;
        let content = LENGTH_BYTES as u64..LENGTH_BYTES as u64 + content_bytes;
        let within = |at: u64| (at.clamp(plain.start, plain.end) - plain.start) as usize;
        let plain_bytes = (plain.end - plain.start) as usize;
        Some(Slot {
            content: within(content.start)..within(content.end),
            sealed_bytes: plain_bytes + TAG_BYTES,
        })
    }

    fn is_last(&self, index: u32) -> bool {
        index + 1 == self.chunks()
    }
}

/// What the next chunk takes, as places in the caller's buffer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Slot {
    /// Where the next bytes of the content go. Empty in chunks of nothing but padding.
    pub content: Range<usize>,
    /// How much of the buffer the sealed chunk fills.
    pub sealed_bytes: usize,
}

impl Slot {
    fn plain_bytes(&self) -> usize {
        self.sealed_bytes - TAG_BYTES
    }
}

/// Encrypts a body chunk by chunk in the caller's buffer.
///
/// ```text
/// write(encryptor.header());
/// while let Some(slot) = encryptor.next_slot() {
///     read_exact(&mut buffer[slot.content]);
///     write(encryptor.seal_chunk(&mut buffer)?);
/// }
/// ```
pub struct Encryptor {
    cipher: BodyCipher,
    content_bytes: u64,
    next: u32,
}

impl Encryptor {
    /// Begins the body of `record`, whose content has exactly `content_bytes` bytes.
    pub fn new(dek: &Dek, record: &RecordId, content_bytes: u64) -> Result<Self, SealError> {
        let cipher = BodyCipher::new(dek, record, Layout::of_content(content_bytes)?);
        Ok(Self { cipher, content_bytes, next: 0 })
    }

    /// The header: the first bytes of the sealed body.
    pub fn header(&self) -> [u8; HEADER_BYTES] {
        self.cipher.header
    }

    /// How the body is cut.
    pub fn layout(&self) -> Layout {
        self.cipher.layout
    }

    /// What the next chunk takes; nothing once all are sealed.
    pub fn next_slot(&self) -> Option<Slot> {
        self.cipher.layout.content_range(self.next, self.content_bytes)
    }

    /// Seals the next chunk, whose content stands in `buffer` at the place that [`Self::next_slot`]
    /// said; returns the sealed chunk, which is the beginning of `buffer`.
    pub fn seal_chunk<'b>(&mut self, buffer: &'b mut [u8]) -> Result<&'b [u8], SealError> {
        let slot = self.next_slot().ok_or(SealError::Finished)?;
        let given = buffer.len();
        let sealed = buffer
            .get_mut(..slot.sealed_bytes)
            .ok_or(SealError::BufferTooSmall { given, needed: slot.sealed_bytes })?;
        let (plain, tag) = sealed.split_at_mut(slot.plain_bytes());
        if self.next == 0 {
            plain[..LENGTH_BYTES].copy_from_slice(&self.content_bytes.to_be_bytes());
        }
        plain[slot.content.end..].fill(0);
        self.cipher.encrypt(self.next, plain, tag);
        self.next += 1;
        Ok(sealed)
    }
}

/// Decrypts the chunks of a body, in any order, in the caller's buffer.
pub struct Opener {
    cipher: BodyCipher,
}

impl Opener {
    /// Begins with the header of a body whose label says that it has `sealed_bytes` bytes.
    pub fn new(
        dek: &Dek,
        record: &RecordId,
        header: &[u8],
        sealed_bytes: u64,
    ) -> Result<Self, OpenError> {
        let layout = Layout::of_sealed(sealed_bytes)?;
        let header: &[u8; HEADER_BYTES] = header.try_into().map_err(|_| OpenError::Header)?;
        if header[..FIXED_BYTES] != fixed_header(layout) {
            return Err(OpenError::Header);
        }
        let cipher = BodyCipher::new(dek, record, layout);
        if bool::from(cipher.header.ct_eq(header)) {
            Ok(Self { cipher })
        } else {
            Err(OpenError::WrongKey)
        }
    }

    /// How the body is cut.
    pub fn layout(&self) -> Layout {
        self.cipher.layout
    }

    /// Opens chunk `index`, which is all of `chunk`; returns its plaintext. That of chunk 0 begins
    /// with the length of the content: see [`Self::content_bytes`].
    pub fn decrypt_chunk<'b>(
        &self,
        index: u32,
        chunk: &'b mut [u8],
    ) -> Result<&'b [u8], OpenError> {
        let layout = self.cipher.layout;
        let plain = layout
            .plain_range(index)
            .ok_or(OpenError::NoSuchChunk { index, chunks: layout.chunks() })?;
        let plain_bytes = (plain.end - plain.start) as usize;
        if chunk.len() != plain_bytes + TAG_BYTES {
            let (given, needed) = (chunk.len(), plain_bytes + TAG_BYTES);
            return Err(OpenError::ChunkLength { index, given, needed });
        }
        let (plain, tag) = chunk.split_at_mut(plain_bytes);
        self.cipher.decrypt(index, plain, tag)?;
        Ok(plain)
    }

    /// The length of the content, from the plaintext of chunk 0; refused if it does not fit the size
    /// of the body.
    pub fn content_bytes(&self, first: &[u8]) -> Result<u64, OpenError> {
        let length = first.first_chunk::<LENGTH_BYTES>().ok_or(OpenError::Padding)?;
        let content_bytes = u64::from_be_bytes(*length);
        match Layout::of_content(content_bytes) {
            Ok(layout) if layout == self.cipher.layout => Ok(content_bytes),
            Ok(_) | Err(_) => Err(OpenError::Padding),
        }
    }

    /// The content in the plaintext of chunk `index`; refused if the padding after it is not zero.
    pub fn content<'b>(
        &self,
        index: u32,
        content_bytes: u64,
        plain: &'b [u8],
    ) -> Result<&'b [u8], OpenError> {
        let layout = self.cipher.layout;
        let slot = layout
            .content_range(index, content_bytes)
            .ok_or(OpenError::NoSuchChunk { index, chunks: layout.chunks() })?;
        let (content, padding) = (plain.get(slot.content.clone()), plain.get(slot.content.end..));
        match (content, padding) {
            (Some(content), Some(padding)) if padding.iter().all(|byte| *byte == 0) => Ok(content),
            _ => Err(OpenError::Padding),
        }
    }
}

/// Decrypts a body from its first chunk to its last, in the caller's buffer.
///
/// What a chunk yields is authentic at once; that nothing is missing is known from [`Self::finish`].
pub struct Decryptor {
    opener: Opener,
    content_bytes: u64,
    next: u32,
}

impl Decryptor {
    /// See [`Opener::new`].
    pub fn new(
        dek: &Dek,
        record: &RecordId,
        header: &[u8],
        sealed_bytes: u64,
    ) -> Result<Self, OpenError> {
        let opener = Opener::new(dek, record, header, sealed_bytes)?;
        Ok(Self { opener, content_bytes: 0, next: 0 })
    }

    /// How many sealed bytes the next chunk has; nothing after the last.
    pub fn next_sealed_bytes(&self) -> Option<usize> {
        let plain = self.opener.layout().plain_range(self.next)?;
        Some((plain.end - plain.start) as usize + TAG_BYTES)
    }

    /// Opens the next chunk, which is all of `chunk`; returns the content in it. After an error the
    /// same chunk may be tried again, from another custodian.
    pub fn open_chunk<'b>(&mut self, chunk: &'b mut [u8]) -> Result<&'b [u8], OpenError> {
        let plain = self.opener.decrypt_chunk(self.next, chunk)?;
        if self.next == 0 {
            self.content_bytes = self.opener.content_bytes(plain)?;
        }
        let content = self.opener.content(self.next, self.content_bytes, plain)?;
        self.next += 1;
        Ok(content)
    }

    /// Ends the body; returns the length of its content. Refused while chunks are missing.
    pub fn finish(self) -> Result<u64, OpenError> {
        let chunks = self.opener.layout().chunks();
        if self.next == chunks {
            Ok(self.content_bytes)
        } else {
            Err(OpenError::Incomplete { opened: self.next, chunks })
        }
    }
}

/// One body's key, and the header that commits to it.
struct BodyCipher {
    cipher: Aes256Gcm,
    header: [u8; HEADER_BYTES],
    layout: Layout,
}

impl BodyCipher {
    fn new(dek: &Dek, record: &RecordId, layout: Layout) -> Self {
        let fixed = fixed_header(layout);
        let derived: Zeroizing<[u8; 64]> =
            derive(dek.as_bytes(), "keepwell/body/key/v1", &[&record.0, &fixed]);
        let (key, commitment) = derived.split_at(32);
        let mut header = [0; HEADER_BYTES];
        header[..FIXED_BYTES].copy_from_slice(&fixed);
        header[FIXED_BYTES..].copy_from_slice(commitment);
        let cipher = Aes256Gcm::new_from_slice(key).expect("the key has 32 bytes");
        Self { cipher, header, layout }
    }

    fn encrypt(&self, index: u32, plain: &mut [u8], tag: &mut [u8]) {
        let made = self
            .cipher
            .encrypt_inout_detached(&self.nonce(index).into(), b"", plain.into())
            .expect("a chunk is far shorter than AES-GCM's limit");
        tag.copy_from_slice(&made);
    }

    fn decrypt(&self, index: u32, plain: &mut [u8], tag: &[u8]) -> Result<(), OpenError> {
        let tag: &[u8; TAG_BYTES] = tag.try_into().map_err(|_| OpenError::Chunk { index })?;
        self.cipher
            .decrypt_inout_detached(&self.nonce(index).into(), b"", plain.into(), tag.into())
            .map_err(|_| OpenError::Chunk { index })
    }

    fn nonce(&self, index: u32) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce[7..11].copy_from_slice(&index.to_be_bytes());
        nonce[11] = u8::from(self.layout.is_last(index));
        nonce
    }
}

fn fixed_header(layout: Layout) -> [u8; FIXED_BYTES] {
    [VERSION, AES_256_GCM, layout.log2, 0, 0, 0, 0, 0]
}
