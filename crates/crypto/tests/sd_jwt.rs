//! Credentials as SD-JWT VC: what counts, and every way in which something does not.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use keepwell_crypto::{
    hash::sha256,
    jose::{
        DEPTH_MAX, JoseError, Json, base64url, from_base64url, from_jwk, jwk, sign_jws, verify_jws,
    },
    sd_jwt::{
        Credential, DISCLOSURES_MAX, Issued, NewCredential, PRESENTATION_AGE_S_MAX, Request,
        SD_JWT_BYTES_MAX, SdJwtError, Trust, issue,
    },
    sign::SigningKey,
};
use keepwell_types::id::PublicKey;
use support::CountingRng;

const ISSUER: &str = "https://board.example";
const VCT: &str = "urn:keepwell:credential:licence";
const NOW: u64 = 1_795_000_000;
const YEAR: u64 = 31_536_000;
const REQUEST: Request<'_> = Request { audience: "https://clinic.example", nonce: "n-0S6_WzA2Mj" };

fn board() -> SigningKey {
    SigningKey::from_seed(&[1; 32])
}

fn doctor() -> SigningKey {
    SigningKey::from_seed(&[2; 32])
}

fn stranger() -> SigningKey {
    SigningKey::from_seed(&[3; 32])
}

fn claim(name: &str, value: &str) -> (String, Json) {
    (name.to_owned(), Json::text(value))
}

fn new() -> NewCredential<'static> {
    NewCredential {
        issuer: ISSUER,
        vct: VCT,
        issued_at: NOW,
        from: NOW,
        until: NOW + YEAR,
        holder: doctor().public(),
        status: None,
        open: vec![claim("scope", "US-CA")],
        disclosable: vec![claim("family_name", "Huber"), claim("licence_number", "G-4711")],
    }
}

fn issued() -> Issued {
    issue(&mut CountingRng::new("sd-jwt"), &board(), &new()).unwrap()
}

fn verify_at(issued: &Issued, now: u64) -> Result<Credential, SdJwtError> {
    let key = board().public();
    issued.verify(&Trust { issuer: ISSUER, key: &key, now })
}

fn verify(text: &str) -> Result<Credential, SdJwtError> {
    verify_at(&Issued::parse(text)?, NOW)
}

fn presented_at(text: &str, request: &Request<'_>, now: u64) -> Result<Credential, SdJwtError> {
    let key = board().public();
    Issued::parse(text)?.verify_presentation(&Trust { issuer: ISSUER, key: &key, now }, request)
}

fn presentation(names: &[&str]) -> String {
    issued().present(&doctor(), names, &REQUEST, NOW).unwrap().text()
}

/// The issuer's part over a payload, as the board signs it.
fn signed(payload: &str) -> String {
    sign_jws(&board(), "dc+sd-jwt", &Json::parse(payload.as_bytes()).unwrap())
}

/// A payload with what every credential has, and `more`.
fn payload(more: &str) -> String {
    let jwk = jwk(&doctor().public());
    format!(r#"{{"iss":"{ISSUER}","vct":"{VCT}","cnf":{{"jwk":{jwk}}}{more}}}"#)
}

/// A disclosure and its digest.
fn disclosure(json: &str) -> (String, String) {
    let text = base64url(json.as_bytes());
    let digest = base64url(&sha256(&[text.as_bytes()]).0);
    (text, digest)
}

/// A JWS of this header and payload, byte for byte, by the board.
fn jws(header: &str, payload: &str) -> String {
    let signed = format!("{}.{}", base64url(header.as_bytes()), base64url(payload.as_bytes()));
    let signature = base64url(&board().sign_raw(signed.as_bytes()).0);
    format!("{signed}.{signature}")
}

#[test]
fn t3_a_credential_says_what_was_issued() {
    let credential = verify(&issued().text()).unwrap();
    assert_eq!((credential.issuer.as_str(), credential.vct.as_str()), (ISSUER, VCT));
    assert_eq!((credential.from, credential.until), (Some(NOW), Some(NOW + YEAR)));
    assert_eq!(credential.holder, doctor().public());
    let mut claims: Vec<_> = credential.claims.iter().map(|(name, _)| name.as_str()).collect();
    claims.sort_unstable();
    assert_eq!(claims, ["family_name", "iat", "licence_number", "scope"]);
}

#[test]
fn a_holder_shows_what_it_likes() {
    let credential = presented_at(&presentation(&["family_name"]), &REQUEST, NOW).unwrap();
    let shows = |name: &str| credential.claims.iter().any(|(known, _)| known == name);
    assert!(shows("family_name") && shows("scope") && !shows("licence_number"));
    let none = presented_at(&presentation(&[]), &REQUEST, NOW).unwrap();
    assert_eq!(none.claims.len(), 2);
    let nothing = issued().present(&doctor(), &["age"], &REQUEST, NOW);
    assert_eq!(nothing, Err(SdJwtError::NothingSuch("age".into())));
    let other = issued().present(&stranger(), &[], &REQUEST, NOW);
    assert_eq!(other, Err(SdJwtError::NotHolder));
}

/// RFC 9901, section 4.2.1 and 4.2.3: the disclosure and its digest.
#[test]
fn a_disclosure_has_the_digest_of_the_rfc() {
    let (text, digest) = disclosure(r#"["_26bc4LT-ac6q2KI6cBW5es", "family_name", "Möbius"]"#);
    assert_eq!(text, "WyJfMjZiYzRMVC1hYzZxMktJNmNCVzVlcyIsICJmYW1pbHlfbmFtZSIsICJNw7ZiaXVzIl0");
    assert_eq!(digest, "X9yH0Ajrdm1Oij4tWso9UzzKJvPoDxwmuEcO3XAdRC0");
    let issuer = signed(&payload(&format!(r#","_sd":["{digest}"]"#)));
    let credential = verify(&format!("{issuer}~{text}~")).unwrap();
    assert_eq!(credential.claims, [claim("family_name", "Möbius")]);
}

/// RFC 8037, appendix A: key, thumbprint's input and signature.
#[test]
fn a_jws_is_as_in_rfc_8037() {
    let seed = from_base64url("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
    let key = SigningKey::from_seed(&seed.try_into().unwrap());
    let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    assert_eq!(jwk(&key.public()).get("x").and_then(Json::as_str), Some(x));
    let signed = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    let signature =
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    assert_eq!(base64url(&key.sign_raw(signed.as_bytes()).0), signature);
}

#[test]
fn a_header_chooses_nothing() {
    let body = payload("");
    for (header, fault) in [
        (r#"{"alg":"none","typ":"dc+sd-jwt"}"#, JoseError::Algorithm),
        (r#"{"alg":"None","typ":"dc+sd-jwt"}"#, JoseError::Algorithm),
        (r#"{"alg":"HS256","typ":"dc+sd-jwt"}"#, JoseError::Algorithm),
        (r#"{"alg":"ES256","typ":"dc+sd-jwt"}"#, JoseError::Algorithm),
        (r#"{"alg":["EdDSA"],"typ":"dc+sd-jwt"}"#, JoseError::Algorithm),
        (r#"{"typ":"dc+sd-jwt"}"#, JoseError::Algorithm),
        (r#"{"alg":"EdDSA","alg":"none","typ":"dc+sd-jwt"}"#, JoseError::Json),
        (r#"{"alg":"EdDSA","typ":"dc+sd-jwt"} "x""#, JoseError::Json),
        (r#"{"alg":"EdDSA"}"#, JoseError::Type),
        (r#"{"alg":"EdDSA","typ":"JWT"}"#, JoseError::Type),
        (r#"{"alg":"EdDSA","typ":"kb+jwt"}"#, JoseError::Type),
        (r#"{"alg":"EdDSA","typ":"dc+sd-jwt","crit":["x"],"x":1}"#, JoseError::Critical),
        (r#"{"alg":"EdDSA","typ":"dc+sd-jwt","b64":false}"#, JoseError::Critical),
    ] {
        let text = format!("{}~", jws(header, &body));
        assert_eq!(verify(&text), Err(SdJwtError::Issuer(fault)), "{header}");
    }
    // A key in the header is not looked at, and the new name of the algorithm is one.
    let key = jwk(&stranger().public());
    let header = format!(r#"{{"alg":"Ed25519","typ":"vc+sd-jwt","jwk":{key},"kid":"k"}}"#);
    assert!(verify(&format!("{}~", jws(&header, &body))).is_ok());
}

/// An attacker signs with the public key as the secret of a hash, or not at all.
#[test]
fn no_other_signature_is_one() {
    let text = issued().text();
    let (jws, rest) = text.split_once('~').unwrap();
    let (signed, _) = jws.rsplit_once('.').unwrap();
    for signature in [
        String::new(),
        base64url(&[0; 64]),
        base64url(&sha256(&[&board().public().0, signed.as_bytes()]).0),
        base64url(&stranger().sign_raw(signed.as_bytes()).0),
        base64url(&board().sign("keepwell/command/v1", signed.as_bytes()).0),
    ] {
        let refused = verify(&format!("{signed}.{signature}~{rest}"));
        assert!(matches!(refused, Err(SdJwtError::Issuer(_))), "{signature}: {refused:?}");
    }
    // Bits that base64url leaves over, padding, another alphabet, a fourth part.
    for broken in
        [format!("{jws}="), format!("{jws}.x"), jws.replacen('.', "..", 1), jws.to_uppercase()]
    {
        assert!(verify(&format!("{broken}~{rest}")).is_err(), "{broken}");
    }
}

#[test]
fn another_issuer_is_another_issuer() {
    let (own, other) = (board().public(), stranger().public());
    let issued = issued();
    let of = |issuer, key| issued.verify(&Trust { issuer, key, now: NOW });
    assert!(of(ISSUER, &own).is_ok());
    let expected = "https://board.example/".to_owned();
    let given = ISSUER.to_owned();
    assert_eq!(
        of(&expected, &own),
        Err(SdJwtError::OtherIssuer { given, expected: expected.clone() })
    );
    assert_eq!(of(ISSUER, &other), Err(SdJwtError::Issuer(JoseError::Signature)));
}

#[test]
fn it_ends_at_its_very_second() {
    let issued = issued();
    let until = NOW + YEAR;
    assert!(verify_at(&issued, until - 1).is_ok());
    assert_eq!(verify_at(&issued, until), Err(SdJwtError::Ended { until, now: until }));
    let early = SdJwtError::TooEarly { from: NOW, now: NOW - 1 };
    assert_eq!(verify_at(&issued, NOW - 1), Err(early));
    for odd in [
        r#","exp":"9999999999""#,
        r#","exp":1e99"#,
        r#","exp":-1"#,
        r#","nbf":null"#,
        r#","exp":1.5"#,
    ] {
        let refused = verify(&format!("{}~", signed(&payload(odd))));
        assert!(matches!(refused, Err(SdJwtError::Claim("exp" | "nbf"))), "{odd}: {refused:?}");
    }
}

#[test]
fn every_disclosure_is_signed_for_once() {
    let (text, digest) = disclosure(r#"["s","a","1"]"#);
    let (other, other_digest) = disclosure(r#"["t","a","2"]"#);
    let (item, item_digest) = disclosure(r#"["s","x"]"#);
    let one = signed(&payload(&format!(r#","_sd":["{digest}"]"#)));
    let same = signed(&payload(&format!(r#","_sd":["{digest}","{digest}"]"#)));
    let both = signed(&payload(&format!(r#","_sd":["{digest}","{other_digest}"]"#)));
    let array = signed(&payload(&format!(r#","l":[{{"...":"{item_digest}"}},"y"]"#)));
    let nowhere = signed(&payload(""));
    for (text, fault) in [
        (format!("{one}~{text}~"), None),
        (format!("{one}~"), None),
        (format!("{one}~{other}~"), Some(SdJwtError::Foreign(0))),
        (format!("{one}~{text}~{other}~"), Some(SdJwtError::Foreign(1))),
        (format!("{nowhere}~{text}~"), Some(SdJwtError::Foreign(0))),
        (format!("{one}~{text}~{text}~"), Some(SdJwtError::Twice)),
        (format!("{same}~{text}~"), Some(SdJwtError::Twice)),
        (format!("{same}~"), Some(SdJwtError::Twice)),
        // Two digests, one name: whose value would it be?
        (format!("{both}~{text}~{other}~"), Some(SdJwtError::Disclosure(1))),
        (format!("{array}~{item}~"), None),
        // An item where a member belongs, and the other way round.
        (
            format!("{}~{item}~", signed(&payload(&format!(r#","_sd":["{item_digest}"]"#)))),
            Some(SdJwtError::Disclosure(0)),
        ),
        (
            format!("{}~{text}~", signed(&payload(&format!(r#","l":[{{"...":"{digest}"}}]"#)))),
            Some(SdJwtError::Disclosure(0)),
        ),
    ] {
        assert_eq!(verify(&text).err(), fault, "{text}");
    }
}

#[test]
fn names_that_mean_something_else_are_refused() {
    for json in [
        r#"["s","_sd",["x"]]"#,
        r#"["s","...","x"]"#,
        r#"["s","_sd_alg","none"]"#,
        r#"["s",1,"x"]"#,
        r#"[1,"a","x"]"#,
        r#"["s"]"#,
        r#"[]"#,
        r#"{"s":"a"}"#,
        r#"["s","a","x","y"]"#,
        r#"["s","a",{"b":1,"b":2}]"#,
        r#"["s","a","x"]]"#,
    ] {
        let (text, digest) = disclosure(json);
        let issuer = signed(&payload(&format!(r#","_sd":["{digest}"]"#)));
        let refused = verify(&format!("{issuer}~{text}~"));
        assert_eq!(refused, Err(SdJwtError::Disclosure(0)), "{json}");
    }
    let (same, digest) = disclosure(r#"["s","scope","US-NY"]"#);
    let issuer = signed(&payload(&format!(r#","scope":"US-CA","_sd":["{digest}"]"#)));
    assert_eq!(verify(&format!("{issuer}~{same}~")), Err(SdJwtError::Disclosure(0)));
}

/// What only the issuer says is not left out to be shown or not.
#[test]
fn the_holder_withholds_neither_end_nor_standing() {
    for json in [r#"["s","exp",1]"#, r#"["s","nbf",1]"#, r#"["s","status",{}]"#] {
        let (text, digest) = disclosure(json);
        let issuer = signed(&payload(&format!(r#","_sd":["{digest}"]"#)));
        let refused = verify(&format!("{issuer}~{text}~"));
        assert!(matches!(refused, Err(SdJwtError::Claim(_))), "{json}: {refused:?}");
    }
    let mut new = new();
    new.disclosable = vec![claim("exp", "1")];
    let refused = issue(&mut CountingRng::new("exp"), &board(), &new);
    assert_eq!(refused, Err(SdJwtError::Disclosure(0)));
}

#[test]
fn digests_have_one_form() {
    for more in [
        r#","_sd":"x""#,
        r#","_sd":[1]"#,
        r#","_sd":{"x":1}"#,
        r#","...":"x""#,
        r#","l":[{"...":"x","y":1}]"#,
        r#","l":[{"...":1}]"#,
        r#","o":{"_sd_alg":"sha-256"}"#,
    ] {
        let refused = verify(&format!("{}~", signed(&payload(more))));
        assert_eq!(refused, Err(SdJwtError::Digests), "{more}");
    }
    for alg in [r#""sha-512""#, r#""SHA-256""#, "null", "1"] {
        let refused = verify(&format!("{}~", signed(&payload(&format!(r#","_sd_alg":{alg}"#)))));
        assert_eq!(refused, Err(SdJwtError::HashAlgorithm), "{alg}");
    }
    // Inside of what is disclosed there may be more to disclose.
    let (inner, inner_digest) = disclosure(r#"["s","city","Bern"]"#);
    let (outer, digest) = disclosure(&format!(r#"["s","address",{{"_sd":["{inner_digest}"]}}]"#));
    let issuer = signed(&payload(&format!(r#","_sd":["{digest}"]"#)));
    let credential = verify(&format!("{issuer}~{inner}~{outer}~")).unwrap();
    let city = credential.claims[0].1.get("city").and_then(Json::as_str);
    assert_eq!(city, Some("Bern"));
    assert_eq!(verify(&format!("{issuer}~{inner}~")), Err(SdJwtError::Foreign(0)));
}

/// Two readers of one text agree on what it says, or it says nothing.
#[test]
fn nothing_is_named_twice() {
    let twice = payload(r#","scope":"US-CA","scope":"US-NY""#);
    let refused = verify(&format!("{}~", jws(r#"{"alg":"EdDSA","typ":"dc+sd-jwt"}"#, &twice)));
    assert_eq!(refused, Err(SdJwtError::Issuer(JoseError::Json)));
    for malformed in [
        r#"{"a":1,"\u0061":2}"#,
        "{\"a\":1,}",
        "[1,]",
        "[01]",
        "[1.]",
        "[.5]",
        "[+1]",
        "[1e]",
        "[--1]",
        "[\"\u{1}\"]",
        r#"["\ud800"]"#,
        r#"["\ud800\u0041"]"#,
        r#"["\udc00"]"#,
        r#"["\x"]"#,
        r#"["\u12"]"#,
        "nul",
        "truefalse",
        "",
        " ",
        "\u{feff}1",
        "[1 2]",
        "{\"a\" 1}",
        "{1:2}",
        "'a'",
    ] {
        assert_eq!(Json::parse(malformed.as_bytes()), Err(JoseError::Json), "{malformed}");
    }
    assert_eq!(Json::parse(b"\"\xff\""), Err(JoseError::Json));
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(Json::parse(nested(DEPTH_MAX + 1).as_bytes()).is_ok());
    assert_eq!(Json::parse(nested(DEPTH_MAX + 2).as_bytes()), Err(JoseError::Json));
    assert_eq!(Json::parse(nested(100_000).as_bytes()), Err(JoseError::Json));
    for same in
        [r#"{"a":[1,-2.5e+3,"\u00e9\ud83d\ude00\n\"\\/",null,true,false,{}]}"#, " [ ] ", "0"]
    {
        let value = Json::parse(same.as_bytes()).unwrap();
        assert_eq!(Json::parse(value.to_string().as_bytes()), Ok(value), "{same}");
    }
}

#[test]
fn absurd_sizes_are_refused() {
    let text = issued().text();
    let many = format!("{}{}", text, "e30~".repeat(DISCLOSURES_MAX));
    assert_eq!(Issued::parse(&many), Err(SdJwtError::TooLong));
    let long = format!("{text}{}~", "x".repeat(SD_JWT_BYTES_MAX));
    assert_eq!(Issued::parse(&long), Err(SdJwtError::TooLong));
    for malformed in ["", "~", "a", "~~", "a~~"] {
        assert_eq!(Issued::parse(malformed), Err(SdJwtError::Form), "{malformed:?}");
    }
}

#[test]
fn a_presentation_is_for_one_request() {
    let text = presentation(&["family_name"]);
    assert!(presented_at(&text, &REQUEST, NOW).is_ok());
    let other = Request { audience: "https://clinic.example/", ..REQUEST };
    assert_eq!(presented_at(&text, &other, NOW), Err(SdJwtError::OtherAudience));
    // Sent again to the same verifier, who has drawn another nonce by then.
    let again = Request { nonce: "n-1", ..REQUEST };
    assert_eq!(presented_at(&text, &again, NOW), Err(SdJwtError::OtherNonce));
    let age = PRESENTATION_AGE_S_MAX;
    assert!(presented_at(&text, &REQUEST, NOW + age - 1).is_ok());
    let stale = SdJwtError::Stale { at: NOW, now: NOW + age };
    assert_eq!(presented_at(&text, &REQUEST, NOW + age), Err(stale));
    let early = issued().present(&doctor(), &[], &REQUEST, NOW + 61).unwrap().text();
    let stale = SdJwtError::Stale { at: NOW + 61, now: NOW };
    assert_eq!(presented_at(&early, &REQUEST, NOW), Err(stale));
}

#[test]
fn a_presentation_is_bound_to_what_it_shows() {
    let text = presentation(&["family_name", "licence_number"]);
    let parts: Vec<_> = text.split('~').collect();
    let [jws, first, second, binding] = parts[..] else { panic!() };
    for shown in [
        format!("{jws}~{first}~{binding}"),
        format!("{jws}~{second}~{first}~{binding}"),
        format!("{jws}~{binding}"),
    ] {
        assert_eq!(presented_at(&shown, &REQUEST, NOW), Err(SdJwtError::OtherContent), "{shown}");
    }
    // The binding of fewer disclosures does not carry more.
    let fewer = presentation(&["family_name"]);
    let (_, binding) = fewer.rsplit_once('~').unwrap();
    let more = format!("{jws}~{first}~{second}~{binding}");
    assert_eq!(presented_at(&more, &REQUEST, NOW), Err(SdJwtError::OtherContent));
}

#[test]
fn only_the_holder_binds() {
    let text = presentation(&[]);
    let (shown, binding) = text.rsplit_once('~').unwrap();
    let bound = verify_jws(&doctor().public(), &["kb+jwt"], binding).unwrap();
    let by_other = sign_jws(&stranger(), "kb+jwt", &bound);
    let refused = presented_at(&format!("{shown}~{by_other}"), &REQUEST, NOW);
    assert_eq!(refused, Err(SdJwtError::Holder(JoseError::Signature)));
    let as_other = sign_jws(&doctor(), "dc+sd-jwt", &bound);
    let refused = presented_at(&format!("{shown}~{as_other}"), &REQUEST, NOW);
    assert_eq!(refused, Err(SdJwtError::Holder(JoseError::Type)));
    assert_eq!(presented_at(&issued().text(), &REQUEST, NOW), Err(SdJwtError::Binding(true)));
    assert_eq!(verify(&text), Err(SdJwtError::Binding(false)));
}

#[test]
fn a_holders_key_is_one_public_key() {
    let key: PublicKey = doctor().public();
    assert_eq!(from_jwk(&jwk(&key)), Some(key));
    let x = base64url(&key.0);
    for odd in [
        format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}","d":"{x}"}}"#),
        format!(r#"{{"kty":"EC","crv":"Ed25519","x":"{x}"}}"#),
        format!(r#"{{"kty":"OKP","crv":"X25519","x":"{x}"}}"#),
        format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}A"}}"#),
        r#"{"kty":"OKP","crv":"Ed25519","x":""}"#.to_owned(),
        r#"{"kty":"oct","k":"AAAA"}"#.to_owned(),
    ] {
        assert_eq!(from_jwk(&Json::parse(odd.as_bytes()).unwrap()), None, "{odd}");
        let jws = signed(&format!(r#"{{"iss":"{ISSUER}","vct":"{VCT}","cnf":{{"jwk":{odd}}}}}"#));
        assert_eq!(verify(&format!("{jws}~")), Err(SdJwtError::Claim("cnf")), "{odd}");
    }
}

#[test]
fn what_is_issued_twice_is_told_apart() {
    let rng = &mut CountingRng::new("twice");
    let (first, second) =
        (issue(rng, &board(), &new()).unwrap(), issue(rng, &board(), &new()).unwrap());
    assert_ne!(first.evidence(), second.evidence());
    let shown = first.present(&doctor(), &[], &REQUEST, NOW).unwrap();
    assert_eq!(first.evidence(), shown.evidence());
}
