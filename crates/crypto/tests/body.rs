//! Bodies: every size opens again, and nothing else does.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use keepwell_crypto::{
    body::{
        Decryptor, Dek, Encryptor, HEADER_BYTES, Layout, Opener, SEALED_CHUNK_BYTES_MAX, sealed_len,
    },
    padding::padded_len,
    seal::{OpenError, SealError, TAG_BYTES},
};
use keepwell_types::{
    id::RecordId,
    limits::{RECORD_BYTES_MAX, SEALED_BYTES_MAX},
};
use proptest::prelude::*;

const RECORD: RecordId = RecordId([5; 32]);
const SMALL: usize = 64 * 1024;
const LARGE: usize = 1024 * 1024;

fn dek() -> Dek {
    Dek::from_bytes(&[4; 32])
}

fn content(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

fn seal(content: &[u8]) -> Vec<u8> {
    let mut encryptor = Encryptor::new(&dek(), &RECORD, content.len() as u64).unwrap();
    let mut sealed = encryptor.header().to_vec();
    let mut buffer = vec![0xaa; SEALED_CHUNK_BYTES_MAX];
    let mut rest = content;
    while let Some(slot) = encryptor.next_slot() {
        let (now, later) = rest.split_at(slot.content.len());
        buffer[slot.content].copy_from_slice(now);
        sealed.extend_from_slice(encryptor.seal_chunk(&mut buffer).unwrap());
        rest = later;
    }
    assert!(rest.is_empty());
    sealed
}

/// Opens a whole body that the label says has `sealed_bytes` bytes.
fn open_as(
    dek: &Dek,
    record: &RecordId,
    sealed: &[u8],
    sealed_bytes: u64,
) -> Result<Vec<u8>, OpenError> {
    let (header, mut rest) = sealed.split_at(HEADER_BYTES.min(sealed.len()));
    let mut decryptor = Decryptor::new(dek, record, header, sealed_bytes)?;
    let mut content = Vec::new();
    while let Some(needed) = decryptor.next_sealed_bytes() {
        if rest.is_empty() {
            break;
        }
        let (now, later) = rest.split_at(needed.min(rest.len()));
        content.extend_from_slice(decryptor.open_chunk(&mut now.to_vec())?);
        rest = later;
    }
    assert_eq!(decryptor.finish()?, content.len() as u64);
    Ok(content)
}

fn open(sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
    open_as(&dek(), &RECORD, sealed, sealed.len() as u64)
}

#[test]
fn sizes_at_the_borders_open_again() {
    let sizes = [
        0,
        1,
        7,
        8,
        9,
        SMALL - 9,
        SMALL - 8,
        SMALL - 7,
        SMALL,
        SMALL + 1,
        3 * SMALL - 8,
        8 * LARGE - 400_000,
        8 * LARGE - 9,
        8 * LARGE,
        9 * LARGE + 1,
    ];
    for size in sizes {
        let content = content(size);
        let sealed = seal(&content);
        assert_eq!(sealed.len() as u64, sealed_len(size as u64), "{size}");
        assert!(open(&sealed).unwrap() == content, "{size}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_content_opens_again(content in proptest::collection::vec(any::<u8>(), 0..200_000)) {
        let sealed = seal(&content);
        prop_assert_eq!(sealed.len() as u64, sealed_len(content.len() as u64));
        prop_assert!(open(&sealed).unwrap() == content);
    }

    #[test]
    fn one_flipped_bit_is_found(at in 0..3 * SMALL, bit in 0..8_u8) {
        let mut sealed = seal(&content(3 * SMALL - 9));
        sealed[at] ^= 1 << bit;
        prop_assert!(open(&sealed).is_err());
    }

    #[test]
    fn a_layout_follows_from_the_sealed_size(len in 0..=RECORD_BYTES_MAX) {
        let layout = Layout::of_content(len).unwrap();
        prop_assert_eq!(layout.sealed_bytes(), sealed_len(len));
        prop_assert_eq!(Layout::of_sealed(sealed_len(len)), Ok(layout));
        prop_assert!(sealed_len(len) <= SEALED_BYTES_MAX);
        // Chunks lie one after the other, from the header to the end.
        let end = (0..layout.chunks()).try_fold(HEADER_BYTES as u64, |at, index| {
            layout.sealed_range(index).filter(|range| range.start == at).map(|range| range.end)
        });
        prop_assert_eq!(end, Some(layout.sealed_bytes()));
        prop_assert_eq!(layout.sealed_range(layout.chunks()), None);
    }
}

#[test]
fn the_sealed_size_says_no_more_than_padme() {
    let sizes: std::collections::BTreeSet<_> = (0..1_000_000).map(sealed_len).collect();
    let padded: std::collections::BTreeSet<_> =
        (0..1_000_000).map(|len| padded_len(len + 8)).collect();
    assert_eq!(sizes.len(), padded.len());
    assert!(sizes.len() < 400);
}

#[test]
fn limits() {
    let too_long = SealError::ContentTooLong { len: RECORD_BYTES_MAX + 1, max: RECORD_BYTES_MAX };
    assert_eq!(Layout::of_content(RECORD_BYTES_MAX + 1), Err(too_long));
    assert!(Layout::of_content(RECORD_BYTES_MAX).unwrap().sealed_bytes() <= SEALED_BYTES_MAX);
    assert_eq!(sealed_len(u64::MAX), u64::MAX);
    for sealed_bytes in [0, 1, 40, 56, 63, 65, 40 + 16 + 9, SEALED_BYTES_MAX, u64::MAX] {
        assert_eq!(Layout::of_sealed(sealed_bytes), Err(OpenError::Size { sealed_bytes }));
    }
    assert_eq!(sealed_len(0), 40 + 16 + 8);
}

#[test]
fn buffers_and_ends_are_checked() {
    let mut encryptor = Encryptor::new(&dek(), &RECORD, 10).unwrap();
    let slot = encryptor.next_slot().unwrap();
    assert_eq!((slot.content, slot.sealed_bytes), (8..18, 18 + TAG_BYTES));
    let small = SealError::BufferTooSmall { given: 33, needed: 34 };
    assert_eq!(encryptor.seal_chunk(&mut [0; 33]), Err(small));
    assert!(encryptor.seal_chunk(&mut [0; 34]).is_ok());
    assert_eq!(encryptor.next_slot(), None);
    assert_eq!(encryptor.seal_chunk(&mut [0; 34]), Err(SealError::Finished));
}

#[test]
fn wrong_keys_and_records_are_refused() {
    let sealed = seal(&content(100));
    let len = sealed.len() as u64;
    let other = Dek::from_bytes(&[6; 32]);
    assert_eq!(open_as(&other, &RECORD, &sealed, len), Err(OpenError::WrongKey));
    assert_eq!(open_as(&dek(), &RecordId([6; 32]), &sealed, len), Err(OpenError::WrongKey));
}

#[test]
fn damaged_headers_are_refused() {
    let sealed = seal(&content(100));
    let len = sealed.len() as u64;
    assert_eq!(open_as(&dek(), &RECORD, &sealed[..39], len), Err(OpenError::Header));
    assert_eq!(open_as(&dek(), &RECORD, &[], len), Err(OpenError::Header));
    for at in 0..8 {
        let mut changed = sealed.clone();
        changed[at] ^= 4;
        assert_eq!(open(&changed), Err(OpenError::Header), "byte {at}");
    }
    let mut changed = sealed.clone();
    changed[39] ^= 1;
    assert_eq!(open(&changed), Err(OpenError::WrongKey));
}

/// The sealed chunks of a body of small chunks.
fn chunks(sealed: &[u8]) -> Vec<Vec<u8>> {
    sealed[HEADER_BYTES..].chunks(SMALL + TAG_BYTES).map(<[u8]>::to_vec).collect()
}

fn join(sealed: &[u8], chunks: &[Vec<u8>]) -> Vec<u8> {
    [&sealed[..HEADER_BYTES], &chunks.concat()].concat()
}

#[test]
fn chunks_open_only_at_their_own_place() {
    // Exactly four chunks, so that all have one length.
    let sealed = seal(&content(4 * SMALL - 8));
    let len = sealed.len() as u64;
    let whole = chunks(&sealed);
    assert_eq!(whole.len(), 4);
    let changed = |order: &[usize]| {
        let chunks: Vec<_> = order.iter().map(|at| whole[*at].clone()).collect();
        open_as(&dek(), &RECORD, &join(&sealed, &chunks), len).map(|content| content.len())
    };
    assert_eq!(changed(&[0, 1, 2, 3]), Ok(4 * SMALL - 8));
    assert_eq!(changed(&[1, 0, 2, 3]), Err(OpenError::Chunk { index: 0 }), "swapped");
    assert_eq!(changed(&[0, 1, 1, 3]), Err(OpenError::Chunk { index: 2 }), "repeated");
    assert_eq!(changed(&[0, 1, 3]), Err(OpenError::Chunk { index: 2 }), "left out");
    assert_eq!(changed(&[0, 1, 2]), Err(OpenError::Incomplete { opened: 3, chunks: 4 }), "cut off");
    let in_the_middle = open_as(&dek(), &RECORD, &sealed[..sealed.len() - 1], len);
    let (given, needed) = (SMALL + TAG_BYTES - 1, SMALL + TAG_BYTES);
    assert_eq!(in_the_middle, Err(OpenError::ChunkLength { index: 3, given, needed }));
}

#[test]
fn a_body_cannot_be_passed_off_as_shorter_or_longer() {
    // Whoever changes the size with the body meets the length inside, and the mark of the last chunk.
    let three = seal(&content(3 * SMALL - 8));
    let four = seal(&content(4 * SMALL - 8));
    let shorter = four[..three.len()].to_vec();
    let longer = [three.as_slice(), &four[three.len()..]].concat();
    for body in [shorter, longer] {
        let opener =
            Opener::new(&dek(), &RECORD, &body[..HEADER_BYTES], body.len() as u64).unwrap();
        assert_eq!(open(&body), Err(OpenError::Padding));
        let third = opener.decrypt_chunk(2, &mut chunks(&body)[2]).map(<[u8]>::len);
        assert_eq!(third, Err(OpenError::Chunk { index: 2 }));
    }
}

#[test]
fn an_author_who_pads_wrongly_is_found_out() {
    // A slot's buffer is the author's until it is sealed, so the length and the padding are forged by
    // sealing one content's chunk under another's encryptor: same key, same layout.
    let forged = |claimed: u64, content_bytes: usize| {
        let mut honest = Encryptor::new(&dek(), &RECORD, content_bytes as u64).unwrap();
        let mut other = Encryptor::new(&dek(), &RECORD, claimed).unwrap();
        assert_eq!(honest.layout(), other.layout());
        let mut buffer = vec![0; SEALED_CHUNK_BYTES_MAX];
        let mut sealed = honest.header().to_vec();
        // Chunk 0 claims the other length; later chunks carry content where padding should be.
        sealed.extend_from_slice(other.seal_chunk(&mut buffer).unwrap());
        honest.seal_chunk(&mut buffer).unwrap();
        while let Some(slot) = honest.next_slot() {
            buffer[slot.content].fill(1);
            sealed.extend_from_slice(honest.seal_chunk(&mut buffer).unwrap());
        }
        open(&sealed)
    };
    let len = 4 * SMALL - 8;
    assert_eq!(forged(len as u64, len).map(|content| content.len()), Ok(len));
    assert_eq!(forged(len as u64 - 1, len), Err(OpenError::Padding));
}

#[test]
fn large_bodies_are_read_from_the_middle() {
    let content = content(9 * LARGE);
    let sealed = seal(&content);
    let opener =
        Opener::new(&dek(), &RECORD, &sealed[..HEADER_BYTES], sealed.len() as u64).unwrap();
    let chunk = |index| {
        let range = opener.layout().sealed_range(index).unwrap();
        sealed[range.start as usize..range.end as usize].to_vec()
    };
    let mut first = chunk(0);
    let content_bytes = opener.content_bytes(opener.decrypt_chunk(0, &mut first).unwrap()).unwrap();
    assert_eq!(content_bytes, content.len() as u64);
    for offset in [0, 1, LARGE as u64 - 9, LARGE as u64 - 8, 5_000_000, content_bytes - 1] {
        let (index, within) = opener.layout().locate(offset).unwrap();
        let mut buffer = chunk(index);
        let plain = opener.decrypt_chunk(index, &mut buffer).unwrap();
        assert_eq!(plain[within], content[offset as usize], "{offset}");
        let part = opener.content(index, content_bytes, plain).unwrap();
        assert!(!part.is_empty());
    }
    let chunks = opener.layout().chunks();
    let missing = OpenError::NoSuchChunk { index: chunks, chunks };
    assert_eq!(opener.decrypt_chunk(chunks, &mut chunk(0)), Err(missing));
    assert_eq!(opener.decrypt_chunk(1, &mut chunk(2)), Err(OpenError::Chunk { index: 1 }));
    assert_eq!(opener.layout().locate(u64::MAX), None);
}

#[test]
fn a_chunk_may_be_tried_again() {
    let sealed = seal(&content(10));
    let mut decryptor =
        Decryptor::new(&dek(), &RECORD, &sealed[..HEADER_BYTES], sealed.len() as u64).unwrap();
    let mut damaged = sealed[HEADER_BYTES..].to_vec();
    damaged[0] ^= 1;
    assert_eq!(decryptor.open_chunk(&mut damaged), Err(OpenError::Chunk { index: 0 }));
    let mut chunk = sealed[HEADER_BYTES..].to_vec();
    assert_eq!(decryptor.open_chunk(&mut chunk), Ok(content(10).as_slice()));
    let gone = OpenError::NoSuchChunk { index: 1, chunks: 1 };
    assert_eq!(decryptor.open_chunk(&mut chunk), Err(gone));
    assert_eq!(decryptor.finish(), Ok(10));
}
