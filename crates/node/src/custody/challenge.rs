//! Challenges: showing that an object is still here, or saying under signature that it is not.
//!
//! # Invariants
//!
//! * What is shown was read now, all of it, and is what the stored capsule says: a damaged body is not
//!   shown, and the custodian says so itself.
//! * Few challenges run at one time, since each reads a whole body.
//!
//! Not here: who may ask (`crate::api`).

use futures::StreamExt as _;
use keepwell_crypto::{
    body::Layout,
    capsule::SaltedCapsule,
    custody::{chosen_leaf, shown_digest, sign_finding},
};
use keepwell_merkle::content::{self, ContentProver};
use keepwell_types::{
    challenge::{ChallengeAnswer, Finding, Shown},
    encode,
    encoding::Blob,
    id::BlockId,
};
use object_store::GetRange;

use super::{
    Custody, CustodyError,
    store::{RecordObject, StoreError},
};

/// Challenges that are answered at one time.
pub(super) const CHALLENGES_MAX: usize = 2;

impl Custody {
    /// Looks whether an object is here, with the leaf that a block chooses, and signs what it finds.
    #[tracing::instrument(name = "challenge", skip_all)]
    pub async fn challenge(
        &self,
        object: &RecordObject,
        block: BlockId,
    ) -> Result<ChallengeAnswer, CustodyError> {
        let busy = CustodyError::Busy { max: CHALLENGES_MAX };
        let _one = self.challenges.try_acquire().map_err(|_| busy)?;
        let mut finding = Finding {
            chain: self.chain,
            custodian: self.organisation,
            chart: object.chart,
            record: object.record,
            version: object.version,
            block,
            shown: None,
        };
        let shown = match self.show(object, &finding).await {
            Ok(shown) => shown,
            Err(CustodyError::Store(StoreError::NotFound)) => None,
            Err(error) => return Err(error),
        };
        finding.shown = shown.as_ref().map(shown_digest);
        let signature = sign_finding(&self.key, &finding);
        Ok(ChallengeAnswer { finding, key: self.key.public(), signature, shown })
    }

    /// What shows that the object is here whole; nothing if it is not.
    async fn show(
        &self,
        object: &RecordObject,
        question: &Finding,
    ) -> Result<Option<Shown>, CustodyError> {
        let Some(capsule) = self.capsule_of(object).await? else { return Ok(None) };
        let Some(found) = self.find_leaf(object, question, &capsule).await? else {
            return Ok(None);
        };
        let (leaf, path) = found;
        Ok(Some(Shown {
            capsule: Blob::from_vec(capsule.encode()).expect("a capsule's limit is the blob's"),
            leaf: Blob::from_vec(leaf).expect("a leaf's limit is the blob's"),
            path: Blob::from_vec(path).expect("a path's limit is the blob's"),
        }))
    }

    /// The leaf and its path, if the body is the one that the capsule says.
    async fn find_leaf(
        &self,
        object: &RecordObject,
        question: &Finding,
        capsule: &SaltedCapsule,
    ) -> Result<Option<(Vec<u8>, Vec<u8>)>, CustodyError> {
        let label = capsule.capsule.label();
        let layout = Layout::of_sealed(label.sealed_bytes).map_err(|_| CustodyError::NotSealed)?;
        let index = chosen_leaf(question, content::leaves(&layout));
        let mut prover = ContentProver::new(layout.chunk_log2());
        let mut body = self.body(object, None).await?;
        while let Some(piece) = body.bytes.next().await {
            prover.update(&piece.map_err(StoreError::from)?);
        }
        let (root, path) = prover.finish(index);
        let (Some(path), Some(range)) = (path, content::leaf_range(&layout, index)) else {
            return Ok(None);
        };
        if (root, body.len) != (label.content, label.sealed_bytes) {
            return Ok(None);
        }
        let mut stretch = self.body(object, Some(GetRange::Bounded(range))).await?;
        let mut leaf = Vec::new();
        while let Some(piece) = stretch.bytes.next().await {
            leaf.extend_from_slice(&piece.map_err(StoreError::from)?);
        }
        Ok(Some((leaf, encode(&path))))
    }
}
