//! `keepwell credential`: issue, list; suspend, reinstate, revoke; export; ask, import.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use keepwell_client::credential::{NewLicence, Standing, issuer_of, nonce_for};
use keepwell_crypto::{
    jose::{Json, from_jwk, jwk},
    sd_jwt::{Issued, Request, SD_JWT_BYTES_MAX},
};
use keepwell_types::{
    credential::CredentialKind,
    id::{CredentialId, MemberId, PublicKey},
    time::Window,
};
use serde_json::json;

use crate::{
    failure::Failure,
    output::Output,
    profile::{As, Session},
    runtime::block_on,
};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// Issue, suspend and revoke licences for a board; carry them as SD-JWT VC; bring others here
#[derive(Args)]
#[command(after_help = "Examples:
  keepwell credential issue --as ./board --member MEMBER --kind licence --scope US-CA --days 365 --claim family_name=Huber --to huber.sd-jwt
  keepwell credential list --as ./board MEMBER
  keepwell credential suspend --as ./board --member MEMBER CREDENTIAL
  keepwell credential reinstate --as ./board --member MEMBER CREDENTIAL
  keepwell credential revoke --as ./board --member MEMBER CREDENTIAL
  keepwell credential export --as ./huber --disclose family_name --audience https://verifier.example --nonce NONCE --to shown.sd-jwt huber.sd-jwt
  keepwell credential ask --as ./board --member MEMBER
  keepwell credential import --as ./board --member MEMBER --kind licence --scope DE-BY --issuer https://board.example --issuer-key board.jwk --nonce NONCE shown.sd-jwt")]
pub(crate) struct Credential {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Issue a credential: an entry on the ledger, and a file for its holder
    Issue {
        #[command(flatten)]
        who: As,
        /// Whose it is
        #[arg(long)]
        member: MemberId,
        /// licence, specialty or controlled_substance
        #[arg(long)]
        kind: CredentialKind,
        /// Where or for what it holds; the ledger shows it
        #[arg(long)]
        scope: String,
        /// Days for which it holds
        #[arg(long, default_value_t = 365)]
        days: u64,
        /// What the holder may show or not, as NAME=VALUE; only in the file
        #[arg(long = "claim", value_name = "NAME=VALUE")]
        claims: Vec<String>,
        /// Where the file for the holder is written
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
    /// List the credentials of a member
    List {
        #[command(flatten)]
        who: As,
        /// The member
        member: MemberId,
    },
    /// Suspend a credential: it does not hold until it is reinstated
    Suspend {
        #[command(flatten)]
        which: Which,
    },
    /// Let a suspended credential hold again
    Reinstate {
        #[command(flatten)]
        which: Which,
    },
    /// Revoke a credential for good; what was signed while it held stays signed
    Revoke {
        #[command(flatten)]
        which: Which,
    },
    /// Show a verifier what you choose of a credential of yours, for one request
    Export {
        #[command(flatten)]
        who: As,
        /// What is shown beside what everyone sees; may be given several times
        #[arg(long = "disclose", value_name = "NAME")]
        disclose: Vec<String>,
        /// Who asked for it
        #[arg(long)]
        audience: String,
        /// What they drew for this request
        #[arg(long)]
        nonce: String,
        /// Where the presentation is written
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
        /// The file from the board
        file: PathBuf,
    },
    /// Draw a request for a credential from elsewhere: its holder presents it to that
    Ask {
        #[command(flatten)]
        who: As,
        /// For which member
        #[arg(long)]
        member: MemberId,
    },
    /// Verify a credential from elsewhere, presented to your request, and issue what it says of a member
    Import {
        #[command(flatten)]
        who: As,
        /// Whose it is
        #[arg(long)]
        member: MemberId,
        /// What it is taken for
        #[arg(long)]
        kind: CredentialKind,
        /// Where or for what it is taken to hold
        #[arg(long)]
        scope: String,
        /// Its issuer, as it names itself (iss)
        #[arg(long)]
        issuer: String,
        /// The issuer's public key: a JWK with Ed25519, from the issuer itself
        #[arg(long, value_name = "FILE")]
        issuer_key: PathBuf,
        /// The nonce that `credential ask` printed
        #[arg(long)]
        nonce: String,
        /// The presentation
        file: PathBuf,
    },
}

/// Which credential
#[derive(Args)]
struct Which {
    #[command(flatten)]
    who: As,
    /// Whose it is
    #[arg(long)]
    member: MemberId,
    /// The credential, as `credential list` shows it
    credential: CredentialId,
}

impl Credential {
    pub(crate) fn run(self, output: &Output) -> Result<(), Failure> {
        match self.what {
            What::Issue { who, member, kind, scope, days, claims, to } => {
                let (session, claims) = (who.session()?, pairs(&claims)?);
                block_on(issue(&session, (member, kind, &scope), days, &claims, &to, output))
            }
            What::List { who, member } => {
                let session = who.session()?;
                block_on(list(&session, member, output))
            }
            What::Suspend { which } => which.change(Standing::Suspend, "suspended", output),
            What::Reinstate { which } => which.change(Standing::Reinstate, "reinstated", output),
            What::Revoke { which } => which.change(Standing::Revoke, "revoked for good", output),
            What::Export { who, disclose, audience, nonce, to, file } => {
                let session = who.session()?;
                let request = Request { audience: &audience, nonce: &nonce };
                export(&session, &file, &disclose, &request, &to, output)
            }
            What::Ask { who, member } => ask(&who.session()?, member, output),
            What::Import { who, member, kind, scope, issuer, issuer_key, nonce, file } => {
                let (session, key) = (who.session()?, read_key(&issuer_key)?);
                let taken = (member, kind, scope.as_str());
                block_on(import(&session, taken, &file, (&issuer, &key), &nonce, output))
            }
        }
    }
}

impl Which {
    fn change(self, standing: Standing, word: &str, output: &Output) -> Result<(), Failure> {
        let session = self.who.session()?;
        let decided = block_on(async {
            let (client, board) = (&session.client, session.member()?);
            Ok(client.change_credential(board, self.member, self.credential, standing).await?)
        })?;
        let height = decided.outcome().location.height;
        output.result(
            &format!("credential {} is {word} from block {height} on", self.credential),
            &json!({ "credential": self.credential, "height": height }),
        );
        Ok(())
    }
}

fn pairs(claims: &[String]) -> Result<Vec<(String, String)>, Failure> {
    let pair = |claim: &String| {
        let (name, value) = claim.split_once('=').ok_or_else(|| {
            Failure::Misused(format!(
                "{claim:?} is no claim; write NAME=VALUE, such as family_name=Huber"
            ))
        })?;
        Ok((name.to_owned(), value.to_owned()))
    };
    claims.iter().map(pair).collect()
}

fn read_issued(path: &Path) -> Result<Issued, Failure> {
    let about = fs::metadata(path).map_err(Failure::at(path))?;
    // A line end that an editor left is no part of it.
    if about.len() > SD_JWT_BYTES_MAX as u64 + 2 {
        return Err(Failure::Misused(format!("{} is too long for a credential", path.display())));
    }
    let text = fs::read_to_string(path).map_err(Failure::at(path))?;
    Issued::parse(text.trim_end_matches(['\r', '\n'])).map_err(misused)
}

fn read_key(path: &Path) -> Result<PublicKey, Failure> {
    let text = fs::read(path).map_err(Failure::at(path))?;
    let key = Json::parse(&text).ok().and_then(|jwk| from_jwk(&jwk));
    key.ok_or_else(|| {
        Failure::Misused(format!(
            "{} is no public JWK with Ed25519 (kty OKP, crv Ed25519, x); get the key from the issuer",
            path.display()
        ))
    })
}

fn misused(error: impl ToString) -> Failure {
    Failure::Misused(error.to_string())
}

async fn issue(
    session: &Session,
    (member, kind, scope): (MemberId, CredentialKind, &str),
    days: u64,
    claims: &[(String, String)],
    to: &Path,
    output: &Output,
) -> Result<(), Failure> {
    let (client, board) = (&session.client, session.member()?);
    let from = client.tip().await?.header().time;
    let window = Window { from, until: from.plus_ms(days.saturating_mul(DAY_MS)) };
    let new = NewLicence { member, kind, scope, window, claims };
    let issued = client.issue_credential(board, &new).await?;
    fs::write(to, issued.file.text()).map_err(Failure::at(to))?;
    let issuer = issuer_of(&client.consortium().chain(), board.organisation());
    let key = jwk(&board.signing_public()).to_string();
    let height = issued.decided.outcome().location.height;
    output.result(
        &format!(
            "credential {} holds from block {height} on, until {}\nThe file for its holder is {}. Verifiers need\n  issuer {issuer}\n  key    {key}",
            issued.credential,
            window.until,
            to.display()
        ),
        &json!({ "credential": issued.credential, "height": height, "file": to, "issuer": issuer, "key": key }),
    );
    Ok(())
}

async fn list(session: &Session, member: MemberId, output: &Output) -> Result<(), Failure> {
    let client = &session.client;
    let actor = session.asker()?;
    let credentials = client.credentials(&actor, member).await?;
    let now = client.tip().await?.header().time;
    let mut lines = Vec::new();
    for it in &credentials {
        let standing = match (it.revoked_at, it.suspended, it.holds(now)) {
            (Some(at), ..) => format!("revoked {at}"),
            (None, true, _) => "suspended".into(),
            (None, false, true) => "holds".into(),
            (None, false, false) => "not in its time".into(),
        };
        lines.push(format!(
            "{}  {:<21} {:<12} {} to {}  {standing}",
            it.credential,
            it.kind.as_str(),
            it.scope.as_str(),
            it.window.from,
            it.window.until
        ));
    }
    lines.push(format!("{} credentials", credentials.len()));
    output.result(&lines.join("\n"), &json!(credentials));
    Ok(())
}

fn export(
    session: &Session,
    file: &Path,
    disclose: &[String],
    request: &Request<'_>,
    to: &Path,
    output: &Output,
) -> Result<(), Failure> {
    let names: Vec<_> = disclose.iter().map(String::as_str).collect();
    let issued = read_issued(file)?;
    let shown = session.client.present_credential(session.member()?, &issued, &names, request)?;
    fs::write(to, shown.text()).map_err(Failure::at(to))?;
    let kept: Vec<_> = issued.names().into_iter().filter(|it| !disclose.contains(it)).collect();
    output.result(
        &format!(
            "the presentation for {} is in {}; it keeps to you: {}",
            request.audience,
            to.display(),
            if kept.is_empty() { "nothing".to_owned() } else { kept.join(", ") }
        ),
        &json!({ "file": to, "shown": disclose, "kept": kept }),
    );
    Ok(())
}

fn ask(session: &Session, member: MemberId, output: &Output) -> Result<(), Failure> {
    let board = session.member()?;
    let audience = issuer_of(&session.client.consortium().chain(), board.organisation());
    let nonce = nonce_for(member);
    output.result(
        &format!("Ask the holder for a presentation, within ten minutes, to\n  audience {audience}\n  nonce    {nonce}"),
        &json!({ "audience": audience, "nonce": nonce }),
    );
    Ok(())
}

async fn import(
    session: &Session,
    taken: (MemberId, CredentialKind, &str),
    file: &Path,
    issuer: (&str, &PublicKey),
    nonce: &str,
    output: &Output,
) -> Result<(), Failure> {
    let presented = read_issued(file)?;
    let (client, board) = (&session.client, session.member()?);
    let (credential, verified, decided) =
        client.import_credential(board, taken, &presented, issuer, nonce).await?;
    let height = decided.outcome().location.height;
    let mut text = format!(
        "credential {credential} of {} is taken from block {height} on; it says",
        verified.issuer
    );
    for (name, value) in &verified.claims {
        text.push_str(&format!("\n  {name}: {value}"));
    }
    output.result(&text, &json!({ "credential": credential, "height": height }));
    Ok(())
}
