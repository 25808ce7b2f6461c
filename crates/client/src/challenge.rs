//! Challenges: asking custodians to show that they still have a record, or that they have erased it.
//!
//! # Invariants
//!
//! * The block that chooses the leaf is newer than the record: nobody knew it when the record was stored.
//! * What counts against a custodian is signed by it: a node that answers nothing, or in between drops the
//!   connection, has said nothing.
//!
//! A custodian that fetches the leaf from another one passes: what is found out is that nobody near it has
//! the record any more, not who keeps it on which disk.
//!
//! Not here: whether a custodian must have it, which the ledger says.

use keepwell_crypto::{
    body::Layout,
    custody::{chosen_leaf, shown_digest, verify_finding},
};
use keepwell_merkle::{
    block::block_id,
    content,
    tree::{InclusionPath, leaf_digest},
};
use keepwell_types::{
    challenge::{ChallengeAnswer, Finding, Shown},
    id::{BlockId, ChartId, Digest, OrganisationId, PublicKey},
    limits::{CHALLENGE_ANSWER_BYTES_MAX, PATH_BYTES_MAX},
};

use crate::{
    Client,
    error::{ClientError, CustodyProblem},
    identity::Actor,
    node::Ask,
    open::{RecordFacts, check_capsule},
};

/// What came of a challenge.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Challenged {
    /// It showed the leaf: it has the record.
    Has(ChallengeAnswer),
    /// It says under signature that it does not have the record.
    HasNot(ChallengeAnswer),
    /// It signed something that is not so.
    Wrong(CustodyProblem),
    /// It gave no answer that is signed.
    Silent(CustodyProblem),
}

/// What is asked, of whom.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The chart.
    pub chart: ChartId,
    /// One version of a record.
    pub facts: &'a RecordFacts,
    /// Who is asked.
    pub custodian: OrganisationId,
    /// The block that chooses the leaf.
    pub block: BlockId,
}

impl Client {
    /// Asks a custodian to show that it has one version of a record.
    pub async fn challenge(
        &self,
        actor: &Actor,
        chart: ChartId,
        facts: &RecordFacts,
        custodian: OrganisationId,
    ) -> Result<Challenged, ClientError> {
        let organisation = self.organisation(actor, custodian).await?;
        let tip = self.tip().await?;
        let is_its_key = |key: &PublicKey| organisation.has_custodian(key, tip.header().time);
        let height = tip.header().height;
        let question = Question { chart, facts, custodian, block: block_id(tip.header()) };
        let position = facts.name.position;
        let target = format!("/v1/charts/{chart}/records/{position}/challenge?block={height}");
        let ask = Ask::get(target, Some(actor), CHALLENGE_ANSWER_BYTES_MAX);
        let bytes = match self.ask_custodian(custodian, &ask).await {
            Ok(bytes) => bytes,
            Err(problem) => return Ok(Challenged::Silent(problem)),
        };
        Ok(self.judge(&question, is_its_key, &bytes))
    }

    /// What an answer amounts to.
    fn judge(
        &self,
        question: &Question<'_>,
        is_its_key: impl Fn(&PublicKey) -> bool,
        bytes: &[u8],
    ) -> Challenged {
        let Ok(answer) = keepwell_types::decode(bytes, CHALLENGE_ANSWER_BYTES_MAX) else {
            return Challenged::Silent(CustodyProblem::OtherObject);
        };
        let answer: ChallengeAnswer = answer;
        let expected = question.finding(self, answer.finding.shown);
        let signed = is_its_key(&answer.key)
            && answer.finding == expected
            && answer.shown.as_ref().map(shown_digest) == answer.finding.shown
            && verify_finding(&answer.key, &answer.finding, &answer.signature).is_ok();
        if !signed {
            return Challenged::Silent(CustodyProblem::Acknowledgement);
        }
        match &answer.shown {
            None => Challenged::HasNot(answer),
            Some(shown) => match self.check_shown(question, shown) {
                Ok(()) => Challenged::Has(answer),
                Err(problem) => Challenged::Wrong(problem),
            },
        }
    }

    /// Whether what is shown is the chosen leaf of the record.
    fn check_shown(&self, question: &Question<'_>, shown: &Shown) -> Result<(), CustodyProblem> {
        let (chain, committee) = (self.consortium().chain(), self.consortium().committee().id());
        let salted =
            check_capsule(&chain, question.chart, &committee, question.facts, &shown.capsule)?;
        let label = salted.capsule.label();
        let layout = Layout::of_sealed(label.sealed_bytes).map_err(CustodyProblem::Header)?;
        let leaves = content::leaves(&layout);
        let index = chosen_leaf(&question.finding(self, None), leaves);
        let place = u32::try_from(index).expect("a body has fewer than 2^32 leaves");
        let damaged = CustodyProblem::Chunk { index: place };
        let range = content::leaf_range(&layout, index).expect("the leaf is one of the body's");
        if shown.leaf.len() as u64 != range.end - range.start {
            return Err(CustodyProblem::CutOff { index: place });
        }
        let path: InclusionPath =
            keepwell_types::decode(&shown.path, PATH_BYTES_MAX).map_err(|_| damaged.clone())?;
        path.verify(&label.content, leaves, index, &leaf_digest(&shown.leaf)).map_err(|_| damaged)
    }
}

impl Question<'_> {
    fn finding(&self, client: &Client, shown: Option<Digest>) -> Finding {
        Finding {
            chain: client.consortium().chain(),
            custodian: self.custodian,
            chart: self.chart,
            record: self.facts.name.record,
            version: self.facts.version,
            block: self.block,
            shown,
        }
    }
}
