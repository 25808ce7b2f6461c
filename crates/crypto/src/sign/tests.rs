use alloc::{vec, vec::Vec};

use curve25519_dalek::constants::EIGHT_TORSION;

use super::*;
use SignatureError::{Key, Malformed, Wrong};

#[test]
fn the_table_of_small_orders_is_complete() {
    for point in EIGHT_TORSION {
        assert!(!is_canonical_and_large(&point.compress().0), "{point:?}");
    }
    let base = curve25519_dalek::constants::ED25519_BASEPOINT_COMPRESSED;
    assert!(is_canonical_and_large(&base.0));
}

#[test]
fn y_is_below_p() {
    let mut p = [0xff; 32];
    (p[0], p[31]) = (0xed, 0x7f);
    for above in 0..19 {
        let mut y = p;
        y[0] += above;
        assert!(!is_canonical_and_large(&y), "p + {above}");
    }
    let mut minus_two = p;
    minus_two[0] -= 2;
    assert!(is_canonical_and_large(&minus_two));
}

/// The edge cases of "Taming the many EdDSAs", table 6c: message, key, signature, what is answered,
/// and whether ZIP 215 accepts it.
type Edge = (&'static str, &'static str, &'static str, fn(PublicKey) -> Verdict, bool);
type Verdict = Result<(), SignatureError>;

const EDGES: [Edge; 12] = [
    (
        "8c93255d71dcab10e8f379c26200f3c7bd5f09d9bc3068d3ef4edeb4853022b6",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a0000000000000000000000000000000000000000000000000000000000000000",
        |key| Err(Key(key)), // small key, small R
        true,
    ),
    (
        "9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43a5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04",
        |key| Err(Key(key)), // small key, mixed R
        true,
    ),
    (
        "aebf3f2601a0c8c5d39cc7d8911642f740b78168218da8471772b35f9d35b9ab",
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa8c4bd45aecaca5b24fb97bc10ac27ac8751a7dfe1baff8b953ec9f5833ca260e",
        |key| Err(Malformed(key)), // mixed key, small R
        true,
    ),
    (
        "9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79",
        "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
        "9046a64750444938de19f227bb80485e92b83fdb4b6506c160484c016cc1852f87909e14428a7a1d62e9f22f3d3ad7802db02eb2e688b6c52fcd6648a98bd009",
        |_| Ok(()), // mixed key, mixed R, the small parts cancel
        true,
    ),
    (
        "e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c",
        "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
        "160a1cb0dc9c0258cd0a7d23e94d8fa878bcb1925f2c64246b2dee1796bed5125ec6bc982a269b723e0668e540911a9a6a58921d6925e434ab10aa7940551a09",
        |_| Ok(()), // mixed key, mixed R, the small parts do not cancel
        true,
    ),
    (
        "e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c",
        "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
        "21122a84e0b5fca4052f5b1235c80a537878b38f3142356b2c2384ebad4668b7e40bc836dac0f71076f9abe3a53f9c03c1ceeeddb658d0030494ace586687405",
        |_| Ok(()), // mixed key, R of large order
        true,
    ),
    (
        "85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40",
        "442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623",
        "e96f66be976d82e60150baecff9906684aebb1ef181f67a7189ac78ea23b6c0e547f7690a0e2ddcd04d87dbc3490dc19b3b3052f7ff0538cb68afb369ba3a514",
        |key| Err(Malformed(key)), // S above the order
        false,
    ),
    (
        "85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40",
        "442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623",
        "8ce5b96c8f26d0ab6c47958c9e68b937104cd36e13c33566acd2fe8d38aa19427e71f98a4734e74f2f13f06f97c20d58cc3f54b8bd0d272f42b695dd7e89a8c2",
        |key| Err(Malformed(key)), // S far above the order
        false,
    ),
    (
        "9bedc267423725d473888631ebf45988bad3db83851ee85c85e241a07d148b41",
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff03be9678ac102edcd92b0210bb34d7428d12ffc5df5f37e359941266a4e35f0f",
        |key| Err(Malformed(key)), // R small and not canonical, hashed in canonical form
        false,
    ),
    (
        "9bedc267423725d473888631ebf45988bad3db83851ee85c85e241a07d148b41",
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffca8c5b64cd208982aa38d4936621a4775aa233aa0505711d8fdcfdaa943d4908",
        |key| Err(Malformed(key)), // the same, hashed as it is
        true,
    ),
    (
        "e96b7021eb39c1a163b6da4e3093dcd3f21387da4cc4572be588fafae23c155b",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "a9d55260f765261eb9b84e106f665e00b867287a761990d7135963ee0a7d59dca5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04",
        |key| Err(Key(key)), // key small and not canonical, hashed in canonical form
        true,
    ),
    (
        "39a591f5321bbe07fd5a23dc2f39d025d74526615746727ceefd6e82ae65c06f",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "a9d55260f765261eb9b84e106f665e00b867287a761990d7135963ee0a7d59dca5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04",
        |key| Err(Key(key)), // the same, hashed as it is
        true,
    ),
];

fn edges() -> impl Iterator<Item = (Claim, Verdict, bool)> {
    EDGES.into_iter().map(|(message, key, signature, answer, zip215)| {
        let claim = Claim {
            key: key.parse().unwrap(),
            digest: message.parse().unwrap(),
            signature: signature.parse().unwrap(),
        };
        (claim, answer(claim.key), zip215)
    })
}

#[test]
fn edge_cases_are_decided_as_documented() {
    for (case, (claim, answer, zip215)) in edges().enumerate() {
        assert_eq!(claim.verify(), answer, "case {case}");
        let raw = verify_raw(&claim.key, claim.digest.as_bytes(), &claim.signature);
        assert_eq!(raw.is_ok(), zip215, "case {case} by ZIP 215");
    }
}

fn honest(seed: u8) -> Claim {
    let key = SigningKey::from_seed(&[seed; 32]);
    let digest = Digest([seed; 32]);
    Claim { key: key.public(), digest, signature: key.sign_raw(digest.as_bytes()) }
}

/// A signature by a malicious signer: components of small order in the key and in R. It fulfils the
/// equation, and each batch that it is in fails with a probability of seven in eight.
fn crafted(seed: u8, key_torsion: usize, r_torsion: usize) -> Claim {
    let scalar = |use_| crate::hash::scalar("keepwell/test/scalar/v1", &[&[seed], use_]);
    let (a, r) = (scalar(b"a"), scalar(b"r"));
    let key = (EdwardsPoint::mul_base(&a) + EIGHT_TORSION[key_torsion % 8]).compress().0;
    let r_bytes = (EdwardsPoint::mul_base(&r) + EIGHT_TORSION[r_torsion % 8]).compress().0;
    let digest = Digest([seed; 32]);
    let hash = Sha512::new().chain_update(r_bytes).chain_update(key).chain_update(digest.0);
    let s = r + Scalar::from_bytes_mod_order_wide(&hash.finalize().into()) * a;
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&r_bytes);
    signature[32..].copy_from_slice(s.as_bytes());
    Claim { key: PublicKey(key), digest, signature: Signature(signature) }
}

fn batch_agrees(claims: &[Claim]) {
    let alone: Vec<_> = claims.iter().map(Claim::verify).collect();
    assert_eq!(verify_claims(claims), alone);
}

#[test]
fn batch_and_single_agree_on_edge_cases() {
    let edges: Vec<_> = edges().map(|edge| edge.0).collect();
    batch_agrees(&edges);
    for edge in edges {
        let mut claims: Vec<_> = (0..15).map(honest).collect();
        claims.insert(7, edge);
        batch_agrees(&claims);
    }
}

#[test]
fn batch_and_single_agree_on_crafted_signatures() {
    // In every number, so that in some of the batches the small components cancel.
    for count in 0..12 {
        let crafted = (0..count).map(|seed| crafted(seed, usize::from(seed) % 3, 4));
        let claims: Vec<_> = crafted.chain((0..6).map(honest)).collect();
        batch_agrees(&claims);
        assert!(verify_claims(&claims).iter().all(Result::is_ok), "{count} crafted signatures");
    }
}

#[test]
fn one_bad_signature_among_64_is_found_wherever_it_is() {
    let claims: Vec<_> = (0..64).map(honest).collect();
    assert_eq!(verify_claims(&claims), vec![Ok(()); 64]);
    for place in [0, 1, 31, 32, 62, 63] {
        let mut claims = claims.clone();
        claims[place].digest.0[0] ^= 1;
        let mut expected = vec![Ok(()); 64];
        expected[place] = Err(Wrong(claims[place].key));
        assert_eq!(verify_claims(&claims), expected);
    }
}

#[test]
fn signatures_of_rfc_8032() {
    // Section 7.1, tests 1 to 3.
    let table = [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
    ];
    for (seed, public, message, signature) in table {
        let seed: Digest = seed.parse().unwrap();
        let message = hex::decode(message).unwrap();
        let signature = signature.parse().unwrap();
        let key = SigningKey::from_seed(&seed.0);
        assert_eq!(key.public(), public.parse().unwrap());
        assert_eq!(key.sign_raw(&message), signature);
        assert_eq!(verify_raw(&key.public(), &message, &signature), Ok(()));
    }
}
