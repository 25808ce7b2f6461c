//! Requests to a node: who asks, and for exactly what.
//!
//! Not here: whether the key is the asker's, whether the request is fresh, and whether its body has
//! the digest that it names. The node checks those.

use keepwell_types::{
    encode,
    id::{Digest, PublicKey, Suite},
    wire::{Request, SignedRequest},
};

use crate::{
    hash::digest,
    sign::{self, SignatureError, SigningKey},
};

const DOMAIN: &str = "keepwell/request/signature/v1";

/// The digest of a request's body; of no bytes where there is none.
pub fn body_digest(body: &[u8]) -> Digest {
    digest("keepwell/request/body/v1", &[body])
}

/// Signs a request with the key of the party that it names.
pub fn sign(key: &SigningKey, request: Request) -> SignedRequest {
    let signature = key.sign(DOMAIN, &encode(&request));
    SignedRequest { request, suite: Suite::One, key: key.public(), signature }
}

/// Verifies the signature of a request.
pub fn verify(signed: SignedRequest) -> Result<VerifiedRequest, SignatureError> {
    sign::verify(&signed.key, DOMAIN, &encode(&signed.request), &signed.signature)?;
    Ok(VerifiedRequest { request: signed.request, key: signed.key })
}

/// A request whose signature was verified: made by [`verify`] and nothing else.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VerifiedRequest {
    request: Request,
    key: PublicKey,
}

impl VerifiedRequest {
    /// What is asked.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// The key that signed.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }
}
