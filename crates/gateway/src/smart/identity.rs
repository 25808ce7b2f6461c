//! The key under which the gateway says who signed in (OpenID Connect Core 1.0, section 2).
//!
//! It is RS256, which every client reads (section 15.1), and drawn anew whenever the gateway starts: an id token is looked at
//! when it comes, with the key that is published then.

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, jwk::Jwk};
use serde_json::{Value, json};
use thiserror::Error;

use crate::auth::secret;

/// Why there is no key, or no signature.
#[derive(Debug, Error)]
pub enum SignerError {
    /// It cannot be made.
    #[error("no key could be made: {0}; try again")]
    Make(#[from] rcgen::Error),
    /// It does not sign.
    #[error("the key does not sign: {0}; start the gateway again")]
    Sign(#[from] jsonwebtoken::errors::Error),
}

/// The key that signs id tokens.
pub struct Signer {
    key: EncodingKey,
    id: String,
    public: Value,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Signer {
    /// Draws a key.
    pub fn generate() -> Result<Self, SignerError> {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256)?;
        let pem = zeroize::Zeroizing::new(pair.serialize_pem());
        let key = EncodingKey::from_rsa_pem(pem.as_bytes())?;
        let mut public = Jwk::from_encoding_key(&key, Algorithm::RS256)?;
        let id = secret()[..16].to_owned();
        public.common.key_id = Some(id.clone());
        let mut public = json!(public);
        public["use"] = json!("sig");
        Ok(Self { key, id, public: json!({ "keys": [public] }) })
    }

    /// Its public side, as a JSON Web Key Set.
    pub(super) fn public(&self) -> &Value {
        &self.public
    }

    pub(super) fn sign(&self, claims: &Value) -> Result<String, SignerError> {
        let mut header = Header::new(Algorithm::RS256);
        header.kid = Some(self.id.clone());
        Ok(encode(&header, claims, &self.key)?)
    }
}
