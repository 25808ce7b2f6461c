//! `keepwell member`: new, enrol, show, assign, group, suspend, reinstate, rotate.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use keepwell_client::{
    Client,
    identity::{Actor, MemberIdentity, OrganisationAgent},
};
use keepwell_crypto::seal::SealingPublic;
use keepwell_node::random::rng;
use keepwell_types::{
    access::Purpose,
    chart::COMPARTMENT_KEY_BYTES,
    command::Payload,
    encoding::List,
    id::{GroupId, MemberId, OrganisationId, PublicKey},
    member::{GroupForm, MemberAssign, MemberEnrol, MemberRotate, MemberStanding, Role},
    set::{PurposeSet, RoleSet},
};
use rand_core::Rng as _;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    commands::organisation::{height, with_others},
    failure::Failure,
    lock::Lock,
    output::Output,
    profile::{AGENT, As, Identity, MEMBER_KEY, Office, Profile, Session},
    runtime::block_on,
};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// Enrol people and devices of an organisation, say what they do, and bar them; as its administrator
#[derive(Args)]
#[command(after_help = "Examples:
  keepwell member new --like ./hospital-administrator --to ./carl --request carl.member
  keepwell member new --agent --like ./hospital-administrator --to ./agent --request agent.member
  keepwell member enrol --as ./hospital-administrator --role key_agent --role gateway --role registrar agent.member
  keepwell member enrol --as ./hospital-administrator --role clinician carl.member
  keepwell member show --as ./hospital-administrator MEMBER
  keepwell member assign --as ./hospital-administrator --role clinician --role privacy_officer MEMBER
  keepwell member group --as ./hospital-administrator --purpose TREAT
  keepwell member suspend --as ./hospital-administrator MEMBER
  keepwell member reinstate --as ./hospital-administrator MEMBER
  keepwell member rotate --as ./hospital-administrator --overlap-days 7 --from ./carl --to ./carl-2027")]
pub(crate) struct Member {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Draw one's keys, in a profile of one's own, and write the request for one's administrator
    New {
        /// A profile of the same organisation, whose nodes and genesis file are taken over
        #[arg(long, value_name = "DIR")]
        like: PathBuf,
        /// The new profile
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
        /// Where the request is written: public keys alone
        #[arg(long, value_name = "FILE")]
        request: PathBuf,
        #[command(flatten)]
        lock: Lock,
        /// Whose member; without it, of the organisation of that profile
        #[arg(long)]
        organisation: Option<OrganisationId>,
        /// A key agent: a program of the organisation, which opens charts for patients and holds their keys
        #[arg(long)]
        agent: bool,
    },
    /// Enrol whoever made a request
    Enrol {
        #[command(flatten)]
        by: Administrators,
        /// What the member does; may be given several times
        #[arg(long = "role", required = true)]
        roles: Vec<Role>,
        /// The request
        request: PathBuf,
    },
    /// Show a member: its organisation, what it does, and whether it may act
    Show {
        #[command(flatten)]
        who: As,
        /// The member
        member: MemberId,
    },
    /// Say anew what a member does
    Assign {
        #[command(flatten)]
        by: Administrators,
        /// What it does from now on; may be given several times
        #[arg(long = "role")]
        roles: Vec<Role>,
        /// A group that it is in from now on; may be given several times
        #[arg(long = "group")]
        groups: Vec<GroupId>,
        /// The member
        member: MemberId,
    },
    /// Form a group, such as a tumour board, which patients can grant to; `member assign` says who is in it
    Group {
        #[command(flatten)]
        by: Administrators,
        /// What it reads for, for good; may be given several times
        #[arg(long = "purpose", required = true)]
        purposes: Vec<Purpose>,
    },
    /// Bar a member from acting, from the next block on
    Suspend {
        #[command(flatten)]
        by: Administrators,
        /// The member
        member: MemberId,
    },
    /// Let a suspended member act again
    Reinstate {
        #[command(flatten)]
        by: Administrators,
        /// The member
        member: MemberId,
    },
    /// Give a member a new signing key, in a new profile; what is sealed to the member opens as before
    Rotate {
        #[command(flatten)]
        by: Administrators,
        /// Days for which the key so far counts beside the new one; 0, for a stolen key, ends it at once
        #[arg(long, default_value_t = 7)]
        overlap_days: u64,
        /// The member's profile
        #[arg(long, value_name = "DIR")]
        from: PathBuf,
        /// The new profile; of a try that failed, the one that it left
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
    },
}

/// As whom, and together with whom
#[derive(Args)]
struct Administrators {
    #[command(flatten)]
    who: As,
    /// Another administrator whose profile is here, where several must sign; may be given several times
    #[arg(long = "with", value_name = "DIR")]
    with: Vec<PathBuf>,
}

/// Who asks to be enrolled: public keys alone.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Request {
    member: MemberId,
    signing: PublicKey,
    /// The X-Wing key, in hexadecimal digits.
    sealing: String,
}

impl Member {
    pub(crate) fn run(self, output: &Output) -> Result<(), Failure> {
        match self.what {
            What::New { like, to, request, lock, organisation, agent } => {
                let like = Like { profile: &like, organisation, lock: &lock };
                new(&like, agent, &to, &request, output)
            }
            What::Enrol { by, roles, request } => by.enrol(&roles, &request, output),
            What::Show { who, member } => {
                let (client, actor) = who.asker()?;
                block_on(show(&client, &actor, member, output))
            }
            What::Assign { by, roles, groups, member } => {
                let groups = List::from_vec(groups)
                    .map_err(|error| Failure::Misused(format!("its groups: {error}")))?;
                let roles = roles.into_iter().collect::<RoleSet>();
                let assign = MemberAssign { member, roles, groups };
                by.change(Payload::MemberAssign(assign), member, "does other work", output)
            }
            What::Group { by, purposes } => by.form(&purposes, output),
            What::Suspend { by, member } => {
                let payload = Payload::MemberSuspend(MemberStanding { member });
                by.change(payload, member, "is suspended", output)
            }
            What::Reinstate { by, member } => {
                let payload = Payload::MemberReinstate(MemberStanding { member });
                by.change(payload, member, "may act again", output)
            }
            What::Rotate { by, overlap_days, from, to } => {
                by.rotate(overlap_days, &from, &to, output)
            }
        }
    }
}

/// What a new profile is made after.
struct Like<'a> {
    profile: &'a Path,
    organisation: Option<OrganisationId>,
    lock: &'a Lock,
}

fn new(
    like: &Like<'_>,
    agent: bool,
    to: &Path,
    request: &Path,
    output: &Output,
) -> Result<(), Failure> {
    let profile = Profile::like(like.profile, like.lock.operator()?)?;
    let chain = profile.consortium(to)?.chain();
    let organisation = match like.organisation {
        Some(organisation) => organisation,
        None if Office::is_at(like.profile) => {
            Office::open(like.profile)?.administrator.organisation()
        }
        None => Session::open(like.profile)?.member()?.organisation(),
    };
    let unlock = like.lock.make()?;
    let identity = MemberIdentity::generate(chain, organisation);
    fs::create_dir_all(to).map_err(Failure::at(to))?;
    let (member, signing) = (identity.member(), identity.signing_public());
    let sealing = identity.sealing_public().to_bytes();
    if agent {
        OrganisationAgent::create(&to.join(AGENT), identity, &unlock, false)?;
    } else {
        identity.create(&to.join(MEMBER_KEY), &unlock, false)?;
    }
    profile.write(to)?;
    let sealing = sealing.iter().map(|byte| format!("{byte:02x}")).collect();
    let text = toml::to_string(&Request { member, signing, sealing }).expect("plain TOML");
    fs::write(request, text).map_err(Failure::at(request))?;
    output.result(
        &format!(
            "member {member} has its keys in {}; your organisation's administrator enrols you with\n  keepwell member enrol --role ROLE {}",
            to.display(),
            request.display()
        ),
        &json!({ "member": member, "profile": to, "request": request }),
    );
    Ok(())
}

impl Administrators {
    /// Signs a command together.
    fn administer(&self, payload: Payload) -> Result<(Office, u64), Failure> {
        let (office, with) = (self.who.office()?, with_others(&self.with)?);
        let decided = block_on(async {
            let actor = office.actor();
            let signers: Vec<&Actor> = [&actor].into_iter().chain(&with).collect();
            Ok::<_, Failure>(office.client.administer(&signers, payload).await?)
        })?;
        Ok((office, height(&decided)))
    }

    fn change(
        self,
        payload: Payload,
        member: MemberId,
        words: &str,
        output: &Output,
    ) -> Result<(), Failure> {
        let (_, height) = self.administer(payload)?;
        output.result(
            &format!("member {member} {words} from block {height} on"),
            &json!({ "member": member, "height": height }),
        );
        Ok(())
    }

    fn form(self, purposes: &[Purpose], output: &Output) -> Result<(), Failure> {
        let mut group = GroupId([0; 16]);
        rng().fill_bytes(&mut group.0);
        let organisation = self.who.office()?.administrator.organisation();
        let purposes = purposes.iter().copied().collect::<PurposeSet>();
        let form = GroupForm { group, organisation, purposes };
        let (_, height) = self.administer(Payload::GroupForm(form))?;
        output.result(
            &format!("group {group} is there from block {height} on, with nobody in it yet; `keepwell member assign --group {group}` adds a member"),
            &json!({ "group": group, "organisation": organisation, "height": height }),
        );
        Ok(())
    }

    fn enrol(self, roles: &[Role], path: &Path, output: &Output) -> Result<(), Failure> {
        let (Request { member, signing, .. }, sealing) = read_request(path)?;
        let organisation = self.who.office()?.administrator.organisation();
        let roles = roles.iter().copied().collect::<RoleSet>();
        let sealed = sealing.digest();
        let enrol = MemberEnrol { member, organisation, signing, sealing: sealed, roles };
        let (office, height) = self.administer(Payload::MemberEnrol(enrol))?;
        block_on(async {
            office.client.publish_member_key(&office.actor(), member, &sealing).await?;
            Ok::<_, Failure>(())
        })?;
        output.result(
            &format!("member {member} acts for {organisation} from block {height} on"),
            &json!({ "member": member, "organisation": organisation, "height": height }),
        );
        Ok(())
    }

    fn rotate(self, days: u64, from: &Path, to: &Path, output: &Output) -> Result<(), Failure> {
        let of = Session::open(from)?;
        let former = of.member()?;
        let renewed = renewed(&of, from, to)?;
        if renewed.member() != former.member() {
            return Err(Failure::Misused(format!(
                "{} has the keys of another member; name another folder",
                to.display()
            )));
        }
        let (office, with) = (self.who.office()?, with_others(&self.with)?);
        let decided = block_on(async {
            let (client, actor) = (&office.client, office.actor());
            let now = client.tip().await?.header().time;
            let overlap = days.saturating_mul(DAY_MS);
            let rotate = MemberRotate {
                member: renewed.member(),
                signing: renewed.signing_public(),
                sealing: renewed.sealing_digest(),
                overlap_until: (overlap > 0).then(|| now.plus_ms(overlap)),
            };
            let keeper = renewed.actor();
            let signers: Vec<&Actor> = [&actor].into_iter().chain(&with).chain([&keeper]).collect();
            Ok::<_, Failure>(client.administer(&signers, Payload::MemberRotate(rotate)).await?)
        })?;
        let (member, height) = (renewed.member(), height(&decided));
        if matches!(of.identity, Identity::Agent(_)) {
            output.warn(&format!(
                "use {} alone from now on: it has the charts so far, and not those that {} opens after this",
                to.display(),
                from.display()
            ));
        }
        let former = match days {
            0 => "its key so far counts no more".to_owned(),
            1 => "its key so far counts for one more day".to_owned(),
            days => format!("its key so far counts for {days} more days"),
        };
        output.result(
            &format!(
                "member {member} signs with {} from block {height} on; {former}",
                to.display()
            ),
            &json!({ "member": member, "height": height, "profile": to }),
        );
        Ok(())
    }
}

/// The member of the profile in `from` with a new signing key, which is on disk, in `to`, before it counts.
fn renewed(of: &Session, from: &Path, to: &Path) -> Result<MemberIdentity, Failure> {
    let profile = Profile::read(from)?.moved(from)?;
    let unlock = profile.unlock(to)?;
    let (key, agent) = (to.join(MEMBER_KEY), to.join(AGENT));
    if key.exists() || agent.exists() {
        return Ok(Identity::open(to, &unlock)?.member()?.clone());
    }
    fs::create_dir_all(to).map_err(Failure::at(to))?;
    let renewed = match &of.identity {
        Identity::Agent(charts) => charts.renewed(&agent, &unlock, false)?.identity().clone(),
        Identity::Member(_) | Identity::Wallet(_) => {
            let renewed = of.member()?.renewed();
            renewed.create(&key, &unlock, false)?;
            renewed
        }
    };
    profile.write(to)?;
    Ok(renewed)
}

fn read_request(path: &Path) -> Result<(Request, SealingPublic), Failure> {
    let text = fs::read_to_string(path).map_err(Failure::at(path))?;
    let damaged = |reason: String| {
        Failure::Misused(format!(
            "{} is no request of `keepwell member new`: {reason}; ask the member for another",
            path.display()
        ))
    };
    let request: Request = toml::from_str(&text).map_err(|error| damaged(error.to_string()))?;
    let sealing = bytes_of(&request.sealing)
        .and_then(|bytes| SealingPublic::from_bytes(&bytes).ok())
        .ok_or_else(|| damaged("its sealing key is none".into()))?;
    Ok((request, sealing))
}

/// The bytes of hexadecimal digits, if they are as many as a sealing key has.
fn bytes_of(digits: &str) -> Option<Vec<u8>> {
    if digits.len() != 2 * COMPARTMENT_KEY_BYTES || !digits.is_ascii() {
        return None;
    }
    let pair = |at: usize| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).ok();
    (0..COMPARTMENT_KEY_BYTES).map(pair).collect()
}

async fn show(
    client: &Client,
    actor: &Actor,
    id: MemberId,
    output: &Output,
) -> Result<(), Failure> {
    let entry = client.member(actor, id).await?;
    let roles: Vec<_> = entry.roles.iter().map(Role::as_str).collect();
    let standing = if entry.suspended { "suspended" } else { "may act" };
    let mut lines = vec![
        format!("member {id} of {}, {standing}", entry.organisation),
        format!("  does  {}", if roles.is_empty() { "nothing".into() } else { roles.join(", ") }),
        format!("  signs with {}", entry.signing),
    ];
    lines.extend(
        entry.former.map(|it| format!("  and until {} with {} as well", it.until, it.signing)),
    );
    output.result(&lines.join("\n"), &json!({ "member": id, "entry": entry }));
    Ok(())
}
