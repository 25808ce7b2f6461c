//! Credentials as others read them: SD-JWT VC (draft-ietf-oauth-sd-jwt-vc) over SD-JWT (RFC 9901).
//!
//! ```text
//! credential   = JWS by the issuer ~ disclosure ~ ... ~
//! presentation = JWS by the issuer ~ some disclosures ~ ... ~ JWS by the holder (key binding)
//! disclosure   = base64url([salt, name, value])      its SHA-256 stands in `_sd` of the issuer's JWS
//! ```
//!
//! The issuer signs digests; the holder chooses what to show. Key binding is the holder's signature over the
//! audience, its nonce and the digest of all that is shown: a presentation is for one verifier, once, as it is.
//!
//! # Invariants
//!
//! * Whatever is returned was signed by the issuer's key that the caller trusts, and holds at the time given:
//!   [nbf, exp), the second of its end excluded.
//! * A disclosure counts if exactly one digest in what is signed, or in another disclosure that counts, is its
//!   own. One that nothing refers to, or that comes twice, spoils the whole.
//! * No disclosure says who issued, for whom, of which type, until when or how it stands: `iss`, `nbf`, `exp`,
//!   `cnf`, `vct` and `status` are where the issuer signed them, or nowhere. None is called `_sd` or `...`, or like
//!   what is there already.
//! * A [`Credential`] exists only verified; one that was [`presented`](Issued::verify_presentation) was also bound by
//!   the key that the issuer named.
//!
//! Not here: whose key the issuer's is, and whether a nonce was drawn here and not used yet. Whoever asks for
//! a presentation knows both. SHA-256 and Ed25519 are the algorithms that are taken.

use alloc::{
    borrow::ToOwned as _,
    collections::{BTreeMap, BTreeSet},
    format,
    string::String,
    vec::Vec,
};

use keepwell_types::id::{Digest, PublicKey};
use rand_core::CryptoRng;
use thiserror::Error;

use crate::{
    hash::{digest, sha256},
    jose::{
        JoseError, Json, base64url, from_base64url, from_jwk, jwk, sign_jws, unverified_payload,
        verify_jws,
    },
    sign::SigningKey,
};

/// Bytes of a credential or presentation.
pub const SD_JWT_BYTES_MAX: usize = 64 * 1024;
/// Disclosures of one credential.
pub const DISCLOSURES_MAX: usize = 64;
/// How old a presentation may be, in seconds.
pub const PRESENTATION_AGE_S_MAX: u64 = 10 * 60;
/// How far the holder's clock may be ahead, in seconds.
const CLOCK_AHEAD_S_MAX: u64 = 60;

const TYPE: &str = "dc+sd-jwt";
/// What the drafts before November 2024 called it.
const TYPES: [&str; 2] = [TYPE, "vc+sd-jwt"];
const BINDING_TYPE: &str = "kb+jwt";
const SHA_256: &str = "sha-256";
/// What only the issuer says.
const UNDISCLOSED: [&str; 6] = ["iss", "nbf", "exp", "cnf", "vct", "status"];
const SALT_BYTES: usize = 16;

/// Why a credential does not count.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum SdJwtError {
    /// Too long, or with too many disclosures.
    #[error(
        "a credential has {SD_JWT_BYTES_MAX} bytes and {DISCLOSURES_MAX} disclosures at most; this is none"
    )]
    TooLong,
    /// Not parts with a tilde between.
    #[error("it is no SD-JWT: its parts end with ~; take the file as its issuer or holder gave it")]
    Form,
    /// The issuer's JWS.
    #[error("the issuer's part: {0}")]
    Issuer(JoseError),
    /// Something that it has to say is missing or of another form.
    #[error("the issuer's part has no {0}, or not in the form that it must have")]
    Claim(&'static str),
    /// Another issuer.
    #[error("it is issued by {given}, and {expected} was expected")]
    OtherIssuer {
        /// Its own word.
        given: String,
        /// Expected.
        expected: String,
    },
    /// Hashed with something else.
    #[error("its disclosures are hashed with another algorithm than SHA-256 (_sd_alg)")]
    HashAlgorithm,
    /// Not yet.
    #[error("it holds from second {from} on, and it is {now}")]
    TooEarly {
        /// First second.
        from: u64,
        /// Given.
        now: u64,
    },
    /// Not any more.
    #[error("it ended at second {until}, and it is {now}; ask its issuer for another one")]
    Ended {
        /// First second without it.
        until: u64,
        /// Given.
        now: u64,
    },
    /// A disclosure is not one.
    #[error("disclosure {0} is malformed, or has a name that no disclosure may have")]
    Disclosure(usize),
    /// A disclosure that nothing signed refers to.
    #[error("disclosure {0} is not one that the issuer signed")]
    Foreign(usize),
    /// A digest, or a disclosure, twice.
    #[error("a digest or a disclosure stands there twice")]
    Twice,
    /// Digests where there can be none.
    #[error("its digests (_sd, ...) are not in the form that they must have")]
    Digests,
    /// No key binding where there must be one, or one where there must be none.
    #[error("{}", if *.0 { "it is not bound to this request by its holder; ask the holder for a presentation" } else { "it is a presentation; take the credential as its issuer gave it" })]
    Binding(bool),
    /// The holder's JWS.
    #[error("the holder's part: {0}")]
    Holder(JoseError),
    /// For another verifier.
    #[error("it was presented to somebody else (aud)")]
    OtherAudience,
    /// For another request.
    #[error(
        "it was presented to another request, or was used before (nonce); draw a new nonce, and ask again"
    )]
    OtherNonce,
    /// Of something else.
    #[error("the holder bound something else than what is shown (sd_hash)")]
    OtherContent,
    /// Too old, or from the future.
    #[error("it was presented at second {at}, and it is {now}; ask for it again")]
    Stale {
        /// When it was bound.
        at: u64,
        /// Given.
        now: u64,
    },
    /// The holder's key is not the one that the credential names.
    #[error("the credential is bound to another key")]
    NotHolder,
    /// Something is to be shown that is not there.
    #[error("the credential has nothing called {0:?} to show")]
    NothingSuch(String),
}

/// What is to be issued.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NewCredential<'a> {
    /// Who issues it, as a URI.
    pub issuer: &'a str,
    /// Its type, as a URI or URN.
    pub vct: &'a str,
    /// When it is issued, in seconds since 1970.
    pub issued_at: u64,
    /// First second in which it holds.
    pub from: u64,
    /// First second in which it does not hold any more.
    pub until: u64,
    /// The holder's key.
    pub holder: PublicKey,
    /// Where its standing is found.
    pub status: Option<Json>,
    /// What everyone sees.
    pub open: Vec<(String, Json)>,
    /// What the holder may show or not.
    pub disclosable: Vec<(String, Json)>,
}

/// A credential or a presentation as it came: nobody has verified it yet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Issued {
    jws: String,
    disclosures: Vec<String>,
    binding: Option<String>,
}

/// A credential that holds: signed by the issuer that was expected, at a time at which it holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Credential {
    /// Who issued it.
    pub issuer: String,
    /// Its type.
    pub vct: String,
    /// First second in which it holds.
    pub from: Option<u64>,
    /// First second in which it does not hold any more.
    pub until: Option<u64>,
    /// The holder's key.
    pub holder: PublicKey,
    /// Where its standing is found.
    pub status: Option<Json>,
    /// All else that it says and that is shown.
    pub claims: Vec<(String, Json)>,
}

/// Whom a verifier believes, and when it is.
#[derive(Clone, Copy, Debug)]
pub struct Trust<'a> {
    /// The issuer, as its `iss` says.
    pub issuer: &'a str,
    /// The issuer's key.
    pub key: &'a PublicKey,
    /// Seconds since 1970.
    pub now: u64,
}

/// For what a presentation is asked.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Who asks.
    pub audience: &'a str,
    /// Drawn by whoever asks, for one presentation.
    pub nonce: &'a str,
}

/// Issues a credential, with everything that it can disclose.
pub fn issue(
    rng: &mut impl CryptoRng,
    key: &SigningKey,
    new: &NewCredential<'_>,
) -> Result<Issued, SdJwtError> {
    let mut disclosures = Vec::with_capacity(new.disclosable.len());
    for (place, (name, value)) in new.disclosable.iter().enumerate() {
        let is_open = new.open.iter().any(|(open, _)| open == name);
        if is_open || is_reserved(name) || UNDISCLOSED.contains(&name.as_str()) {
            return Err(SdJwtError::Disclosure(place));
        }
        let mut salt = [0; SALT_BYTES];
        rng.fill_bytes(&mut salt);
        let disclosure =
            Json::Array([Json::text(base64url(&salt)), Json::text(name), value.clone()].into());
        disclosures.push(base64url(format!("{disclosure}").as_bytes()));
    }
    // In ascending order, so that their order says nothing about the claims.
    let digests: BTreeSet<_> = disclosures.iter().map(|it| digest_of(it)).collect();
    let mut payload = alloc::vec![
        ("iss".to_owned(), Json::text(new.issuer)),
        ("vct".to_owned(), Json::text(new.vct)),
        ("iat".to_owned(), Json::number(new.issued_at)),
        ("nbf".to_owned(), Json::number(new.from)),
        ("exp".to_owned(), Json::number(new.until)),
        ("cnf".to_owned(), Json::object([("jwk", jwk(&new.holder))])),
    ];
    payload.extend(new.status.clone().map(|status| ("status".to_owned(), status)));
    payload.extend(new.open.iter().cloned());
    payload.push(("_sd_alg".to_owned(), Json::text(SHA_256)));
    payload.push(("_sd".to_owned(), Json::Array(digests.into_iter().map(Json::String).collect())));
    let issued =
        Issued { jws: sign_jws(key, TYPE, &Json::Object(payload)), disclosures, binding: None };
    // What is issued can be read: names that collide, or too much of it, are found here.
    Issued::parse(&issued.text())?.check_names()?;
    Ok(issued)
}

impl Issued {
    /// Takes the parts of a text apart.
    pub fn parse(text: &str) -> Result<Self, SdJwtError> {
        if text.len() > SD_JWT_BYTES_MAX {
            return Err(SdJwtError::TooLong);
        }
        let mut parts = text.split('~');
        let jws = parts.next().unwrap_or_default().to_owned();
        let mut disclosures: Vec<_> = parts.map(str::to_owned).collect();
        // What follows the last tilde is the binding, or nothing.
        let binding = disclosures.pop().ok_or(SdJwtError::Form)?;
        if disclosures.len() > DISCLOSURES_MAX {
            return Err(SdJwtError::TooLong);
        }
        if jws.is_empty() || disclosures.iter().any(String::is_empty) {
            return Err(SdJwtError::Form);
        }
        let binding = (!binding.is_empty()).then_some(binding);
        Ok(Self { jws, disclosures, binding })
    }

    /// The text, with the binding if there is one.
    pub fn text(&self) -> String {
        let mut text = self.shown();
        text.push_str(self.binding.as_deref().unwrap_or_default());
        text
    }

    /// The digest of what the issuer signed: what a ledger can name it by. The salts in it keep it from
    /// being guessed.
    pub fn evidence(&self) -> Digest {
        digest("keepwell/sd-jwt/evidence/v1", &[self.jws.as_bytes()])
    }

    /// The names that can be disclosed at the top, as they are said to be.
    pub fn names(&self) -> Vec<String> {
        let disclosures = self.disclosures.iter().filter_map(|it| Disclosure::parse(it));
        disclosures.filter_map(|it| it.name).collect()
    }

    /// Verifies a credential as its issuer gave it.
    pub fn verify(&self, trust: &Trust<'_>) -> Result<Credential, SdJwtError> {
        if self.binding.is_some() {
            return Err(SdJwtError::Binding(false));
        }
        self.verify_issued(trust)
    }

    /// Verifies a presentation: the credential in it, and that its holder made it for this request.
    pub fn verify_presentation(
        &self,
        trust: &Trust<'_>,
        request: &Request<'_>,
    ) -> Result<Credential, SdJwtError> {
        let binding = self.binding.as_deref().ok_or(SdJwtError::Binding(true))?;
        let credential = self.verify_issued(trust)?;
        let bound = verify_jws(&credential.holder, &[BINDING_TYPE], binding);
        let bound = bound.map_err(SdJwtError::Holder)?;
        let says = |name| bound.get(name).and_then(Json::as_str);
        if says("aud") != Some(request.audience) {
            return Err(SdJwtError::OtherAudience);
        }
        if says("nonce") != Some(request.nonce) {
            return Err(SdJwtError::OtherNonce);
        }
        if says("sd_hash") != Some(&digest_of(&self.shown())) {
            return Err(SdJwtError::OtherContent);
        }
        let now = trust.now;
        let at = bound.get("iat").and_then(Json::as_u64);
        let at = at.ok_or(SdJwtError::Holder(JoseError::Json))?;
        if at > now.saturating_add(CLOCK_AHEAD_S_MAX)
            || now.saturating_sub(at) >= PRESENTATION_AGE_S_MAX
        {
            return Err(SdJwtError::Stale { at, now });
        }
        Ok(credential)
    }

    /// Presents what is called by these names, and nothing else that can be withheld, to one request.
    pub fn present(
        &self,
        holder: &SigningKey,
        names: &[&str],
        request: &Request<'_>,
        now: u64,
    ) -> Result<Self, SdJwtError> {
        let payload = unverified_payload(&self.jws).map_err(SdJwtError::Issuer)?;
        if holder_of(&payload)? != holder.public() {
            return Err(SdJwtError::NotHolder);
        }
        let known = self.names();
        if let Some(name) = names.iter().find(|name| !known.iter().any(|known| known == *name)) {
            return Err(SdJwtError::NothingSuch((*name).to_owned()));
        }
        let is_shown = |disclosure: &&String| {
            let name = Disclosure::parse(disclosure).and_then(|it| it.name);
            name.is_some_and(|name| names.contains(&name.as_str()))
        };
        let disclosures = self.disclosures.iter().filter(is_shown).cloned().collect();
        let mut shown = Self { jws: self.jws.clone(), disclosures, binding: None };
        let binding = Json::object([
            ("iat", Json::number(now)),
            ("aud", Json::text(request.audience)),
            ("nonce", Json::text(request.nonce)),
            ("sd_hash", Json::text(digest_of(&shown.shown()))),
        ]);
        shown.binding = Some(sign_jws(holder, BINDING_TYPE, &binding));
        Ok(shown)
    }

    /// Everything before the binding: what the holder signs the digest of.
    fn shown(&self) -> String {
        let mut text = self.jws.clone();
        text.push('~');
        for disclosure in &self.disclosures {
            text.push_str(disclosure);
            text.push('~');
        }
        text
    }

    fn verify_issued(&self, trust: &Trust<'_>) -> Result<Credential, SdJwtError> {
        let payload = verify_jws(trust.key, &TYPES, &self.jws).map_err(SdJwtError::Issuer)?;
        let issuer = text_of(&payload, "iss")?;
        if issuer != trust.issuer {
            let expected = trust.issuer.to_owned();
            return Err(SdJwtError::OtherIssuer { given: issuer, expected });
        }
        let (from, until) = (second_of(&payload, "nbf")?, second_of(&payload, "exp")?);
        let now = trust.now;
        if let Some(from) = from.filter(|from| now < *from) {
            return Err(SdJwtError::TooEarly { from, now });
        }
        if let Some(until) = until.filter(|until| *until <= now) {
            return Err(SdJwtError::Ended { until, now });
        }
        let (vct, holder) = (text_of(&payload, "vct")?, holder_of(&payload)?);
        let status = payload.get("status").cloned();
        let claims = self.disclosed(payload)?;
        Ok(Credential { issuer, vct, from, until, holder, status, claims })
    }

    /// Whether what was just issued discloses what it should.
    fn check_names(&self) -> Result<(), SdJwtError> {
        let payload = unverified_payload(&self.jws).map_err(SdJwtError::Issuer)?;
        self.disclosed(payload).map(drop)
    }

    /// The claims with what is disclosed in its place (RFC 9901, section 7.1, step 3).
    fn disclosed(&self, payload: Json) -> Result<Vec<(String, Json)>, SdJwtError> {
        let algorithm = payload.get("_sd_alg").map(Json::as_str);
        if algorithm.is_some_and(|it| it != Some(SHA_256)) {
            return Err(SdJwtError::HashAlgorithm);
        }
        let Json::Object(members) = payload else { return Err(SdJwtError::Claim("object")) };
        let signed: Vec<_> = members.into_iter().filter(|(name, _)| name != "_sd_alg").collect();
        let mut resolving = Resolving::of(&self.disclosures)?;
        let own: BTreeSet<_> = signed.iter().map(|(name, _)| name.clone()).collect();
        let all = resolving.object(signed)?;
        let smuggled = |name: &String| UNDISCLOSED.contains(&name.as_str()) && !own.contains(name);
        if all.iter().any(|(name, _)| smuggled(name)) {
            return Err(SdJwtError::Claim("claim of its own where one was disclosed"));
        }
        resolving.finish()?;
        let said = |name: &String| !UNDISCLOSED.contains(&name.as_str());
        Ok(all.into_iter().filter(|(name, _)| said(name)).collect())
    }
}

/// One disclosure: of a member of an object if it has a name, else of an item of an array.
struct Disclosure {
    name: Option<String>,
    value: Json,
}

impl Disclosure {
    fn parse(text: &str) -> Option<Self> {
        let Json::Array(items) = Json::parse(&from_base64url(text)?).ok()? else { return None };
        let mut items = items.into_iter();
        let salt = items.next()?;
        salt.as_str()?;
        match (items.next(), items.next(), items.next()) {
            (Some(Json::String(name)), Some(value), None) => {
                Some(Self { name: Some(name), value }).filter(|it| !it.is_reserved())
            }
            (Some(value), None, None) => Some(Self { name: None, value }),
            _ => None,
        }
    }

    fn is_reserved(&self) -> bool {
        self.name.as_deref().is_some_and(is_reserved)
    }
}

/// Names that stand for digests.
fn is_reserved(name: &str) -> bool {
    matches!(name, "_sd" | "..." | "_sd_alg")
}

/// Puts disclosures where their digests are. Each is taken out once; what is left at the end was not signed.
struct Resolving {
    waiting: BTreeMap<String, (usize, Disclosure)>,
    met: BTreeSet<String>,
}

impl Resolving {
    fn of(disclosures: &[String]) -> Result<Self, SdJwtError> {
        let mut waiting = BTreeMap::new();
        for (place, text) in disclosures.iter().enumerate() {
            let disclosure = Disclosure::parse(text).ok_or(SdJwtError::Disclosure(place))?;
            if waiting.insert(digest_of(text), (place, disclosure)).is_some() {
                return Err(SdJwtError::Twice);
            }
        }
        Ok(Self { waiting, met: BTreeSet::new() })
    }

    /// What the disclosure with this digest says, if it is shown.
    fn take(&mut self, digest: &str) -> Result<Option<(usize, Disclosure)>, SdJwtError> {
        if !self.met.insert(digest.to_owned()) {
            return Err(SdJwtError::Twice);
        }
        Ok(self.waiting.remove(digest))
    }

    fn value(&mut self, value: Json) -> Result<Json, SdJwtError> {
        match value {
            Json::Object(members) => self.object(members).map(Json::Object),
            Json::Array(items) => self.array(items).map(Json::Array),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => Ok(value),
        }
    }

    fn object(&mut self, members: Vec<(String, Json)>) -> Result<Vec<(String, Json)>, SdJwtError> {
        let mut resolved: Vec<(String, Json)> = Vec::with_capacity(members.len());
        let mut digests = Vec::new();
        for (name, value) in members {
            match name.as_str() {
                "_sd" => digests = texts(&value).ok_or(SdJwtError::Digests)?,
                // One of these here is no claim, and stands for nothing.
                "..." | "_sd_alg" => return Err(SdJwtError::Digests),
                _ => resolved.push((name, self.value(value)?)),
            }
        }
        for digest in digests {
            let Some((place, Disclosure { name, value })) = self.take(&digest)? else { continue };
            let name = name.ok_or(SdJwtError::Disclosure(place))?;
            if resolved.iter().any(|(known, _)| *known == name) {
                return Err(SdJwtError::Disclosure(place));
            }
            resolved.push((name, self.value(value)?));
        }
        Ok(resolved)
    }

    fn array(&mut self, items: Vec<Json>) -> Result<Vec<Json>, SdJwtError> {
        let mut resolved = Vec::with_capacity(items.len());
        for item in items {
            let Some(digest) = item.get("...") else {
                resolved.push(self.value(item)?);
                continue;
            };
            let is_alone = item.as_object().is_some_and(|members| members.len() == 1);
            let digest = digest.as_str().filter(|_| is_alone).ok_or(SdJwtError::Digests)?;
            let Some((place, Disclosure { name, value })) = self.take(digest)? else { continue };
            if name.is_some() {
                return Err(SdJwtError::Disclosure(place));
            }
            resolved.push(self.value(value)?);
        }
        Ok(resolved)
    }

    fn finish(self) -> Result<(), SdJwtError> {
        match self.waiting.into_values().map(|(place, _)| place).min() {
            Some(place) => Err(SdJwtError::Foreign(place)),
            None => Ok(()),
        }
    }
}

fn texts(array: &Json) -> Option<Vec<String>> {
    array.as_array()?.iter().map(|it| it.as_str().map(str::to_owned)).collect()
}

/// SHA-256 of a text, in base64url.
fn digest_of(text: &str) -> String {
    base64url(&sha256(&[text.as_bytes()]).0)
}

fn text_of(payload: &Json, name: &'static str) -> Result<String, SdJwtError> {
    let text = payload.get(name).and_then(Json::as_str);
    text.map(str::to_owned).ok_or(SdJwtError::Claim(name))
}

/// Seconds since 1970, if it says any.
fn second_of(payload: &Json, name: &'static str) -> Result<Option<u64>, SdJwtError> {
    match payload.get(name) {
        None => Ok(None),
        Some(value) => value.as_u64().map(Some).ok_or(SdJwtError::Claim(name)),
    }
}

fn holder_of(payload: &Json) -> Result<PublicKey, SdJwtError> {
    let jwk = payload.get("cnf").and_then(|cnf| cnf.get("jwk"));
    jwk.and_then(from_jwk).ok_or(SdJwtError::Claim("cnf"))
}
