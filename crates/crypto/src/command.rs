//! Commands: their digests, and the proof that their signers signed.
//!
//! # Invariants
//!
//! * A [`Verified`] is made by [`verify`] and [`verify_all`] and nothing else, and they agree.
//! * Each signer's signature is over the digest of the same bytes: command, chain, id, window and the
//!   list of all signers included.
//! * A `record.add` counts as verified only with every acknowledgement of custody in it.
//!
//! Not here: whether the keys are the signers'. The ledger checks that at the height of execution.

use alloc::{sync::Arc, vec::Vec};

use keepwell_types::{
    command::{Command, CommandSignature, Entry, Payload, SignedCommand},
    encode,
    encoding::List,
    genesis::Genesis,
    id::{ChainId, ChartId, CommandDigest, CommandId, Digest, RecordId, Suite},
    limits::SIGNERS_MAX,
    member::Party,
    time::BlockTime,
    validators::ValidatorSet,
};

pub use crate::sign::SignatureError;
use crate::{
    custody,
    hash::digest,
    sign::{self, Claim, SigningKey},
};

const SIGNATURE_DOMAIN: &str = "keepwell/command/signature/v1";

/// The id of the consortium that a genesis file founds.
pub fn chain_id(genesis: &Genesis) -> ChainId {
    ChainId(digest("keepwell/command/chain/v1", &[&genesis.encode()]).0)
}

/// The digest of a set of validators, which the last block before it commits to.
pub fn validators_digest(set: &ValidatorSet) -> Digest {
    digest("keepwell/command/validators/v1", &[&encode(set)])
}

/// The digest of a command, without its signatures.
pub fn command_digest(command: &Command) -> CommandDigest {
    CommandDigest(digest("keepwell/command/digest/v1", &[&encode(command)]).0)
}

/// The digest of the entry of the genesis file at place `index`, counted from 0.
pub fn genesis_digest(payload: &Payload, index: u32) -> CommandDigest {
    let parts: [&[u8]; 2] = [&index.to_le_bytes(), &encode(payload)];
    CommandDigest(digest("keepwell/command/genesis/v1", &parts).0)
}

/// The digest of an entry that stands at place `index` of its block.
pub fn entry_digest(entry: &Entry, index: u32) -> CommandDigest {
    match entry {
        Entry::Genesis(payload) => genesis_digest(payload, index),
        Entry::Signed(signed) => command_digest(&signed.command),
    }
}

/// The id of the record that a `record.add` adds: known to its author before anything is sealed, and
/// unique as the command is, since the ledger accepts a command id once within its window.
pub fn record_id(
    chain: &ChainId,
    chart: &ChartId,
    signer: Party,
    id: CommandId,
    until: BlockTime,
) -> RecordId {
    let parts: [&[u8]; 5] = [&chain.0, &chart.0, &encode(&signer), &id.0, &until.0.to_le_bytes()];
    RecordId(digest("keepwell/command/record/v1", &parts).0)
}

/// The id of the record that `command` adds, if it adds one. A version that amends another has an id of its
/// own, so that nobody can take its place at a custodian.
pub fn record_id_of(command: &Command) -> Option<RecordId> {
    let Payload::RecordAdd(add) = &command.payload else { return None };
    let signer = *command.signers.first()?;
    Some(record_id(&command.chain, &add.chart, signer, command.id, command.window.until))
}

/// Signs a command with the keys of its signers, in their order.
///
/// # Panics
///
/// If there are more than [`SIGNERS_MAX`] keys: no command has so many signers.
pub fn sign(command: Command, keys: &[&SigningKey]) -> SignedCommand {
    let digest = command_digest(&command);
    let signatures = keys
        .iter()
        .map(|key| CommandSignature {
            suite: Suite::One,
            key: key.public(),
            signature: key.sign(SIGNATURE_DOMAIN, &digest.0),
        })
        .collect();
    let signatures = List::<_, SIGNERS_MAX>::from_vec(signatures)
        .expect("the caller has no more keys than a command has signers");
    SignedCommand { command, signatures }
}

/// A command that each of its signers signed. Cheap to clone.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Verified {
    signed: Arc<SignedCommand>,
    digest: CommandDigest,
}

impl Verified {
    /// The command with its signatures.
    pub fn signed(&self) -> &SignedCommand {
        &self.signed
    }

    /// What was signed.
    pub fn command(&self) -> &Command {
        &self.signed.command
    }

    /// By which keys, in the order of the command's signers.
    pub fn signatures(&self) -> &[CommandSignature] {
        &self.signed.signatures
    }

    /// The command's digest.
    pub fn digest(&self) -> CommandDigest {
        self.digest
    }

    /// The signed command, and its witness no more.
    pub fn into_signed(self) -> SignedCommand {
        Arc::unwrap_or_clone(self.signed)
    }
}

/// Verifies every signature of one command.
pub fn verify(signed: SignedCommand) -> Result<Verified, SignatureError> {
    let digest = command_digest(&signed.command);
    for claim in claims(&signed, digest)? {
        claim.verify()?;
    }
    Ok(Verified { signed: Arc::new(signed), digest })
}

/// Verifies every signature of many commands in one batch; the answers are those of [`verify`], in
/// order.
pub fn verify_all(commands: Vec<SignedCommand>) -> Vec<Result<Verified, SignatureError>> {
    let mut batch = Vec::new();
    let counted: Vec<_> = commands
        .into_iter()
        .map(|signed| {
            let digest = command_digest(&signed.command);
            let claims = claims(&signed, digest)?;
            let count = claims.len();
            batch.extend(claims);
            Ok((Verified { signed: Arc::new(signed), digest }, count))
        })
        .collect();
    let mut answers = sign::verify_claims(&batch).into_iter();
    counted
        .into_iter()
        .map(|counted| {
            let (verified, count) = counted?;
            // All answers of this command are taken, so that the next one finds its own.
            let own: Vec<_> = answers.by_ref().take(count).collect();
            own.into_iter().collect::<Result<(), _>>().map(|()| verified)
        })
        .collect()
}

/// Who claims to have signed what: the signers of the command, then the custodians in it.
fn claims(signed: &SignedCommand, digest: CommandDigest) -> Result<Vec<Claim>, SignatureError> {
    let command = &signed.command;
    if command.signers.is_empty() {
        return Err(SignatureError::Unsigned);
    }
    if command.signers.len() != signed.signatures.len() {
        let (signers, signatures) = (command.signers.len(), signed.signatures.len());
        return Err(SignatureError::Count { signers, signatures });
    }
    let message = sign::signed_digest(SIGNATURE_DOMAIN, &digest.0);
    let by_signers = signed.signatures.iter().map(|by| match by.suite {
        Suite::One => Claim { key: by.key, digest: message, signature: by.signature },
    });
    let mut claims: Vec<_> = by_signers.collect();
    if let (Payload::RecordAdd(add), Some(record)) = (&command.payload, record_id_of(command)) {
        claims.extend(add.custody.iter().map(|by| custody::claim(command, add, record, by)));
    }
    Ok(claims)
}
