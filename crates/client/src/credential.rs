//! Credentials: issued, suspended and revoked by licensing boards; carried elsewhere and brought here as SD-JWT VC.
//!
//! ```text
//! board    SD-JWT VC over the member's key ──> file for the member
//!          credential.issue {member, kind, scope, window, digest of what was signed} ──> ledger
//! member   file ──> presentation for one request, of what it chooses ──> anyone with the board's key
//! board    presentation of another issuer's credential, for its own request ──> credential.issue
//! ```
//!
//! # Invariants
//!
//! * What is imported was verified with the issuer's key that the board names, holds now, and was presented to the
//!   board's own request. Its window is not widened.
//! * The id of an imported credential follows from what its issuer signed and from the member: nobody imports one
//!   twice.
//!
//! Not here: whether a credential holds when it is used, which the ledger decides; the format
//! ([`keepwell_crypto::sd_jwt`]).

use keepwell_crypto::{
    hash,
    jose::Json,
    sd_jwt::{Credential as Verified, Issued, NewCredential, Request, Trust, issue},
};
use keepwell_ledger::state::{Credential, Key, Value};
use keepwell_types::{
    command::Payload,
    credential::{CredentialIssue, CredentialKind, CredentialStanding},
    encoding::Text,
    id::{ChainId, CredentialId, Digest, MemberId, OrganisationId, PublicKey},
    time::{BlockTime, Window},
};

use crate::{
    Client,
    client::{Decided, now, random, rng},
    error::{ClientError, UsageError},
    identity::{Actor, MemberIdentity},
};

/// What a board says of a member.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NewLicence<'a> {
    /// Whose it is.
    pub member: MemberId,
    /// What it is about.
    pub kind: CredentialKind,
    /// Where or for what it holds.
    pub scope: &'a str,
    /// When it holds. The file says it in seconds, and so does the ledger.
    pub window: Window,
    /// What the holder may show or not: names and values.
    pub claims: &'a [(String, String)],
}

/// A credential that was issued.
#[derive(Clone, Debug)]
pub struct IssuedLicence {
    /// Its id on the ledger.
    pub credential: CredentialId,
    /// For its holder, as a file.
    pub file: Issued,
    /// The proof.
    pub decided: Decided,
}

/// What stands for a change of a credential's standing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// It does not hold for now.
    Suspend,
    /// It holds again.
    Reinstate,
    /// It never holds again.
    Revoke,
}

/// How a board is called in what it issues.
pub fn issuer_of(chain: &ChainId, board: OrganisationId) -> String {
    format!("urn:keepwell:{chain}:organisation:{board}")
}

/// The type of a credential of this kind.
pub fn type_of(kind: CredentialKind) -> String {
    format!("urn:keepwell:credential:{}:1", kind.as_str())
}

/// Where on the ledger a credential's standing is.
fn status(chain: &ChainId, member: MemberId, credential: CredentialId) -> Json {
    let ledger = Json::object([
        ("chain", Json::text(chain.to_string())),
        ("member", Json::text(member.to_string())),
        ("credential", Json::text(credential.to_string())),
    ]);
    Json::object([("keepwell_ledger", ledger)])
}

/// The id of a credential that was brought here: the same one for the same credential of the same member.
pub fn imported_id(chain: &ChainId, member: MemberId, evidence: Digest) -> CredentialId {
    let parts: [&[u8]; 3] = [&chain.0, &member.0, &evidence.0];
    let digest = hash::digest("keepwell/client/imported-credential/v1", &parts);
    let (id, _) = digest.0.split_first_chunk().expect("a digest is longer than an id");
    CredentialId(*id)
}

/// A nonce for one presentation. It names the member that the credential shall be for, so that whoever presents it
/// agrees to that.
pub fn nonce_for(member: MemberId) -> String {
    format!("{member}.{}", CredentialId(random()))
}

fn is_nonce_for(member: MemberId, nonce: &str) -> bool {
    let drawn =
        nonce.split_once('.').map(|(named, drawn)| (named.parse::<MemberId>(), drawn.len()));
    matches!(drawn, Some((Ok(named), len)) if named == member && len == 2 * CredentialId::LEN)
}

/// A time in whole seconds: what it has beyond is cut off.
const fn seconds(time: BlockTime) -> u64 {
    time.0 / 1_000
}

fn scope_of(
    scope: &str,
) -> Result<Text<{ keepwell_types::limits::CREDENTIAL_SCOPE_BYTES_MAX }>, UsageError> {
    Text::from_string(scope.to_owned()).map_err(|_| UsageError::Scope)
}

/// When an imported credential holds: as its issuer says, and from now on.
fn window_of(verified: &Verified, now: BlockTime) -> Result<Window, UsageError> {
    let until = verified.until.ok_or(UsageError::EndlessCredential)?;
    let from = verified.from.map_or(now, |from| BlockTime(from.saturating_mul(1_000)).max(now));
    Ok(Window { from, until: BlockTime(until.saturating_mul(1_000)) })
}

impl Client {
    /// Issues a credential: the file for its holder, and the entry on the ledger that names it.
    pub async fn issue_credential(
        &self,
        board: &MemberIdentity,
        new: &NewLicence<'_>,
    ) -> Result<IssuedLicence, ClientError> {
        let (actor, chain) = (board.actor(), self.consortium().chain());
        let credential = CredentialId(random());
        let holder = self.member(&actor, new.member).await?.signing;
        let (from, until) = (seconds(new.window.from), seconds(new.window.until));
        let open = vec![("scope".to_owned(), Json::text(new.scope))];
        let claims = new.claims.iter();
        let file = issue(
            &mut rng(),
            actor.key(),
            &NewCredential {
                issuer: &issuer_of(&chain, board.organisation()),
                vct: &type_of(new.kind),
                issued_at: seconds(now()),
                from,
                until,
                holder,
                status: Some(status(&chain, new.member, credential)),
                open,
                disclosable: claims
                    .map(|(name, value)| (name.clone(), Json::text(value)))
                    .collect(),
            },
        )
        .map_err(UsageError::Credential)?;
        let issue = CredentialIssue {
            member: new.member,
            credential,
            kind: new.kind,
            scope: scope_of(new.scope)?,
            window: Window { from: BlockTime(from * 1_000), until: BlockTime(until * 1_000) },
            evidence: file.evidence(),
        };
        let decided = self.command(&actor, Payload::CredentialIssue(issue)).await?;
        Ok(IssuedLicence { credential, file, decided })
    }

    /// Brings another issuer's credential here: verifies its presentation, and issues what it says of the member.
    pub async fn import_credential(
        &self,
        board: &MemberIdentity,
        (member, kind, scope): (MemberId, CredentialKind, &str),
        presented: &Issued,
        (issuer, key): (&str, &PublicKey),
        nonce: &str,
    ) -> Result<(CredentialId, Verified, Decided), ClientError> {
        let (actor, chain, now) = (board.actor(), self.consortium().chain(), now());
        if !is_nonce_for(member, nonce) {
            return Err(UsageError::OtherNonce(member).into());
        }
        let audience = &issuer_of(&chain, board.organisation());
        let request = &Request { audience, nonce };
        let trust = Trust { issuer, key, now: seconds(now) };
        let verified =
            presented.verify_presentation(&trust, request).map_err(UsageError::Credential)?;
        let evidence = presented.evidence();
        let credential = imported_id(&chain, member, evidence);
        let window = window_of(&verified, now)?;
        let scope = scope_of(scope)?;
        let issue = CredentialIssue { member, credential, kind, scope, window, evidence };
        let decided = self.command(&actor, Payload::CredentialIssue(issue)).await?;
        Ok((credential, verified, decided))
    }

    /// Shows a verifier what the holder chooses of a credential.
    pub fn present_credential(
        &self,
        holder: &MemberIdentity,
        file: &Issued,
        names: &[&str],
        request: &Request<'_>,
    ) -> Result<Issued, UsageError> {
        let actor = holder.actor();
        Ok(file.present(actor.key(), names, request, seconds(now()))?)
    }

    /// Suspends, reinstates or revokes a credential.
    pub async fn change_credential(
        &self,
        board: &MemberIdentity,
        member: MemberId,
        credential: CredentialId,
        standing: Standing,
    ) -> Result<Decided, ClientError> {
        let named = CredentialStanding { member, credential };
        let payload = match standing {
            Standing::Suspend => Payload::CredentialSuspend(named),
            Standing::Reinstate => Payload::CredentialReinstate(named),
            Standing::Revoke => Payload::CredentialRevoke(named),
        };
        self.command(&board.actor(), payload).await
    }

    /// The credentials of a member, with proof.
    pub async fn credentials(
        &self,
        actor: &Actor,
        member: MemberId,
    ) -> Result<Vec<Credential>, ClientError> {
        let target = format!("/v1/members/{member}/credentials");
        let proven = self.state(actor, Key::Credentials(member), target).await?;
        match proven.into_value() {
            Some(Value::Credentials(credentials)) => Ok(credentials.all.iter().cloned().collect()),
            Some(_) | None => Ok(Vec::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_imported_credential_has_one_id_for_one_member() {
        let (chain, member, evidence) = (ChainId([1; 32]), MemberId([2; 16]), Digest([3; 32]));
        let id = imported_id(&chain, member, evidence);
        assert_eq!(id, imported_id(&chain, member, evidence));
        assert_ne!(id, imported_id(&chain, MemberId([4; 16]), evidence));
        assert_ne!(id, imported_id(&chain, member, Digest([4; 32])));
        assert_ne!(id, imported_id(&ChainId([4; 32]), member, evidence));
    }

    #[test]
    fn a_nonce_is_for_one_member() {
        let (member, other) = (MemberId([2; 16]), MemberId([3; 16]));
        let nonce = nonce_for(member);
        assert!(is_nonce_for(member, &nonce) && !is_nonce_for(other, &nonce));
        assert_ne!(nonce, nonce_for(member));
        for odd in ["", ".", &member.to_string(), &format!("{member}."), &format!("{member}.1")] {
            assert!(!is_nonce_for(member, odd), "{odd}");
        }
    }

    #[test]
    fn an_imported_credential_holds_no_longer_than_it_says() {
        let verified = |from, until| Verified {
            issuer: String::new(),
            vct: String::new(),
            from,
            until,
            holder: PublicKey([0; 32]),
            status: None,
            claims: Vec::new(),
        };
        let now = BlockTime(5_500);
        let window = |from, until| window_of(&verified(from, until), now).ok();
        let of = |from, until| Some(Window { from: BlockTime(from), until: BlockTime(until) });
        assert_eq!(window(Some(1), Some(9)), of(5_500, 9_000));
        assert_eq!(window(Some(7), Some(9)), of(7_000, 9_000));
        assert_eq!(window(None, Some(9)), of(5_500, 9_000));
        assert_eq!(window(Some(1), None), None);
        assert_eq!(window(Some(1), Some(u64::MAX)), of(5_500, u64::MAX));
    }
}
