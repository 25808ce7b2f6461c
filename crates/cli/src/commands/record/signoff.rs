//! `keepwell record` approve, retract, withdraw, signatures; and `keepwell verify --signatures`.

use std::path::Path;

use keepwell_client::{
    Consortium,
    signoff::{SignOff, Signature, SignatureFile, VerifiedSignatures, signatures_in},
};
use keepwell_ledger::state::Proposal;
use keepwell_types::{id::LogPosition, member::Party, signoff::Meaning};
use serde_json::{Value, json};

use super::Which;
use crate::{failure::Failure, output::Output, profile::Session, runtime::block_on};

impl Which {
    pub(super) fn approve(
        self,
        meaning: Meaning,
        seat: Option<u8>,
        output: &Output,
    ) -> Result<(), Failure> {
        let session = self.who.session()?;
        let (decided, sign_off) = block_on(async {
            let actor = session.actor(self.chart)?;
            let sign_off = self.sign_off(&session).await?;
            let seat = match seat {
                Some(seat) => seat,
                None => session.client.seat_for(&actor, &sign_off, meaning).await?,
            };
            let decided = session.client.approve_record(&actor, &sign_off, meaning, seat).await?;
            Ok((decided, self.sign_off(&session).await?))
        })?;
        let outcome = decided.outcome();
        let waits = standing(&sign_off.proposal);
        output.result(
            &format!(
                "signed as {meaning} in block {} at {}; {waits}",
                outcome.location.height, outcome.time
            ),
            &json!({
                "position": self.position,
                "meaning": meaning,
                "height": outcome.location.height,
                "time": outcome.time,
                "final_at": sign_off.proposal.final_at,
            }),
        );
        Ok(())
    }

    pub(super) fn retract(self, output: &Output) -> Result<(), Failure> {
        let session = self.who.session()?;
        let decided = block_on(async {
            let (actor, sign_off) = (session.actor(self.chart)?, self.sign_off(&session).await?);
            Ok(session.client.retract_approval(&actor, self.chart, sign_off.name).await?)
        })?;
        let height = decided.outcome().location.height;
        output.result(
            &format!("your signature is taken back in block {height}"),
            &json!({ "position": self.position, "height": height }),
        );
        Ok(())
    }

    pub(super) fn withdraw(self, output: &Output) -> Result<(), Failure> {
        let session = self.who.session()?;
        let decided = block_on(async {
            let (actor, sign_off) = (session.actor(self.chart)?, self.sign_off(&session).await?);
            Ok(session.client.withdraw_record(&actor, self.chart, sign_off.name).await?)
        })?;
        let height = decided.outcome().location.height;
        output.result(
            &format!("the record is withdrawn in block {height}: nobody can approve it any more"),
            &json!({ "position": self.position, "height": height }),
        );
        Ok(())
    }

    pub(super) fn signatures(self, to: Option<&Path>, output: &Output) -> Result<(), Failure> {
        let session = self.who.session()?;
        let (sign_off, bytes) = block_on(async {
            let actor = session.actor(self.chart)?;
            let sign_off = self.sign_off(&session).await?;
            let bytes = match to {
                None => None,
                Some(_) => Some(session.client.signatures(&actor, &sign_off).await?.encode()),
            };
            Ok((sign_off, bytes))
        })?;
        let mut text = lines(&sign_off.proposal).join("\n");
        if let (Some(path), Some(bytes)) = (to, &bytes) {
            std::fs::write(path, bytes).map_err(Failure::at(path))?;
            let shown = path.display();
            text += &format!(
                "\n{} bytes are in {shown}. Anyone can check them offline:\n  keepwell verify --genesis FILE --signatures {shown}",
                bytes.len()
            );
        }
        let mut value = shown(&sign_off.proposal);
        value["file"] = json!(to);
        output.result(&text, &value);
        Ok(())
    }

    async fn sign_off(&self, session: &Session) -> Result<SignOff, Failure> {
        let actor = session.actor(self.chart)?;
        Ok(session.client.sign_off(&actor, self.chart, LogPosition(self.position)).await?)
    }
}

/// Checks a signature file offline, and shows what it proves.
pub(crate) fn verify(genesis: &Path, path: &Path, output: &Output) -> Result<(), Failure> {
    let bytes = std::fs::read(genesis).map_err(Failure::at(genesis))?;
    let consortium = Consortium::read(&bytes)?;
    let bytes = std::fs::read(path).map_err(Failure::at(path))?;
    let unusable = |why: String| Failure::Misused(format!("{}: {why}", path.display()));
    let file = SignatureFile::decode(&bytes).map_err(|error| unusable(error.to_string()))?;
    let verified = file.verify(&consortium).map_err(|fault| unusable(fault.to_string()))?;
    report(&verified, output);
    Ok(())
}

fn report(verified: &VerifiedSignatures, output: &Output) {
    let (proposed, header) = (verified.proposed(), verified.header().header());
    let text = format!(
        "verified: {} {} by {}, added at {}, as of block {} at {}\n{}",
        proposed.kind,
        proposed.record,
        party(proposed.author),
        proposed.time,
        header.height,
        header.time,
        lines(verified.proposal()).join("\n")
    );
    let mut value = shown(verified.proposal());
    value["verified"] = json!(true);
    value["record"] = json!(proposed.record);
    value["height"] = json!(header.height);
    output.result(&text, &value);
}

/// A sign-off for people: its rule, a line for each signature, and how it stands.
fn lines(proposal: &Proposal) -> Vec<String> {
    let signature = |it: Signature| {
        format!(
            "  {}  {:<14} {}  block {}",
            it.time,
            it.meaning.as_str(),
            party(it.signer),
            it.location.height
        )
    };
    let mut lines = vec![format!("rule: {}", proposal.rule)];
    lines.extend(signatures_in(proposal).into_iter().map(signature));
    lines.push(standing(proposal));
    lines
}

fn shown(proposal: &Proposal) -> Value {
    json!({
        "rule": proposal.rule.to_string(),
        "signatures": signatures_in(proposal),
        "until": proposal.until,
        "final_at": proposal.final_at,
        "withdrawn_at": proposal.withdrawn_at,
    })
}

fn standing(proposal: &Proposal) -> String {
    if let Some(at) = proposal.final_at {
        return format!("the record is final since {at}");
    }
    if let Some(at) = proposal.withdrawn_at {
        return format!("its author withdrew the record at {at}");
    }
    let until = proposal.until.map(|until| format!(", until {until}")).unwrap_or_default();
    match proposal.rule.steps.get(proposal.steps_met()) {
        Some(step) => format!("the record waits for {step}{until}"),
        None => "the record is final".into(),
    }
}

fn party(party: Party) -> String {
    match party {
        Party::Member(id) => format!("member {id}"),
        Party::Controller(_) => "the patient".into(),
        Party::Administrator(id) => format!("the administrator of {id}"),
        Party::Claimant(_) => "the holder of a one-time code".into(),
        Party::Custodian(id) => format!("the custodian {id}"),
        Party::Proxy(_, proxy) => format!("proxy {proxy}, for the patient"),
        Party::Guardian(_) => "a guardian".into(),
        Party::Successor(_) => "a successor".into(),
        Party::Validator(id) => format!("a validator of {id}"),
    }
}
