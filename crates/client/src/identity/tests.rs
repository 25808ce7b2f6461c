use std::fs;

use tempfile::tempdir;

use super::*;
use crate::client::random;
use keepwell_types::id::LogPosition;

fn passphrase(text: &str) -> Unlock {
    Unlock::Passphrase(Zeroizing::new(text.to_owned()))
}

fn operator(byte: u8) -> Unlock {
    Unlock::OperatorKey(Zeroizing::new([byte; 32]))
}

fn problem<T>(result: Result<T, FileError>) -> &'static str {
    match result.err().map(|error| error.problem) {
        None => "ok",
        Some(FileProblem::Exists) => "exists",
        Some(FileProblem::Missing) => "missing",
        Some(FileProblem::Forbidden) => "forbidden",
        Some(FileProblem::ReadOnly) => "read_only",
        Some(FileProblem::Full) => "full",
        Some(FileProblem::OpenToOthers { .. }) => "open_to_others",
        Some(FileProblem::Busy) => "busy",
        Some(FileProblem::Key(_)) => "key",
        Some(FileProblem::Damaged) => "damaged",
        Some(FileProblem::System(_)) => "system",
    }
}

fn known(byte: u8) -> KnownChart {
    let (meanings, _) = Meanings::draw(&mut rng(), &[("normal", false)]).unwrap();
    KnownChart::opened(ChartId([byte; 32]), OrganisationId([1; 16]), meanings)
}

#[test]
fn a_wallet_comes_back_with_all_that_it_knew() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a wallet with spaces and ünïcode");
    let mut wallet = Wallet::create(&path, &passphrase("correct horse"), true).unwrap();
    let chart = ChartId([3; 32]);
    wallet.add(known(3)).unwrap();
    let mark = LogMark { count: LogPosition(7), head: Digest([9; 32]) };
    wallet.note_log(chart, mark);
    wallet.note_log(chart, LogMark::START);
    let signs = wallet.holder(chart).unwrap().actor().key().public();
    wallet.save().unwrap();
    drop(wallet);

    let wallet = Wallet::open(&path, &passphrase("correct horse")).unwrap();
    assert!(wallet.is_demonstration());
    assert_eq!(wallet.chart(chart).unwrap().log(), mark);
    assert_eq!(wallet.holder(chart).unwrap().actor().key().public(), signs);
    assert!(matches!(wallet.holder(ChartId([4; 32])), Err(UsageError::UnknownChart(_))));
}

#[test]
fn wallets_refuse_what_is_not_theirs() {
    let folder = tempdir().unwrap();
    let path = folder.path();
    drop(Wallet::create(path, &operator(1), true).unwrap());
    assert_eq!(problem(Wallet::create(path, &operator(1), true)), "exists");
    assert_eq!(problem(Wallet::open(path, &operator(2))), "key");
    assert_eq!(problem(Wallet::open(path, &passphrase("x"))), "key");
    assert_eq!(problem(OrganisationAgent::open(path, &operator(1))), "missing");
    assert_eq!(problem(Wallet::open(&path.join("elsewhere"), &operator(1))), "missing");

    let open = Wallet::open(path, &operator(1)).unwrap();
    assert_eq!(problem(Wallet::open(path, &operator(1))), "busy");
    drop(open);

    let index = path.join("wallet.index");
    let good = fs::read(&index).unwrap();
    for (at, expected) in [(0, "damaged"), (10, "damaged"), (good.len() - 1, "damaged")] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&index, bad).unwrap();
        assert_eq!(problem(Wallet::open(path, &operator(1))), expected, "byte {at}");
    }
    fs::write(&index, &good[..good.len() / 2]).unwrap();
    assert_eq!(problem(Wallet::open(path, &operator(1))), "damaged");

    let other = tempdir().unwrap();
    drop(Wallet::create(other.path(), &operator(1), true).unwrap());
    fs::copy(other.path().join("wallet.index"), &index).unwrap();
    assert_eq!(problem(Wallet::open(path, &operator(1))), "damaged", "another wallet's index");
}

#[cfg(unix)]
#[test]
fn files_of_keys_are_for_their_user_alone() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempdir().unwrap();
    let path = folder.path().join("wallet");
    drop(Wallet::create(&path, &operator(1), true).unwrap());
    for entry in fs::read_dir(&path).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.path());
        assert!(!entry.file_name().to_string_lossy().starts_with('.'), "nothing staged is left");
    }
    fs::set_permissions(path.join("wallet.key"), fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(problem(Wallet::open(&path, &operator(1))), "open_to_others");
}

#[test]
fn members_come_back_and_are_not_taken_for_others() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("member.key");
    let member = MemberIdentity::generate(ChainId([1; 32]), OrganisationId([2; 16]));
    member.create(&path, &operator(1), true).unwrap();
    assert_eq!(problem(member.create(&path, &operator(1), true)), "exists");
    let again = MemberIdentity::open(&path, &operator(1)).unwrap();
    assert_eq!(again.member(), member.member());
    assert_eq!(again.signing_public(), member.signing_public());
    assert_eq!(again.sealing_digest(), member.sealing_digest());
    assert_eq!(problem(MemberIdentity::open(&path, &operator(2))), "key");
}

#[test]
fn an_agent_keeps_charts_and_codes() {
    let folder = tempdir().unwrap();
    let member = MemberIdentity::generate(ChainId([1; 32]), OrganisationId([2; 16]));
    let agent = OrganisationAgent::create(folder.path(), member, &operator(1), true);
    let mut agent = agent.unwrap();
    let code = ClaimCode::generate(&mut rng());
    for byte in [5, 3, 4] {
        let chart = ChartId([byte; 32]);
        agent.add(chart, Meanings::default(), Some(&code)).unwrap();
        assert!(matches!(
            agent.add(chart, Meanings::default(), None),
            Err(UsageError::ChartKnown(_))
        ));
    }
    agent.save().unwrap();
    drop(agent);
    let agent = OrganisationAgent::open(folder.path(), &operator(1)).unwrap();
    assert_eq!(agent.charts().count(), 3);
    assert_eq!(agent.chart(ChartId([4; 32])).unwrap().code(), Some(code));
}

#[test]
fn secrets_are_not_printed() {
    let root: [u8; 32] = random();
    let holder = ChartHolder::derive(&root, ChartId([1; 32]));
    let member = MemberIdentity::generate(ChainId([1; 32]), OrganisationId([2; 16]));
    let printed = format!("{holder:?} {member:?} {:?}", operator(0xab));
    for secret in [holder.secret().as_bytes(), member.seed.as_bytes(), &[0xab; 32]] {
        let digits: String = secret.iter().take(4).map(|it| format!("{it:02x}")).collect();
        assert!(!printed.contains(&digits), "{printed}");
        assert!(!printed.contains(&format!("{}, {}", secret[0], secret[1])), "{printed}");
    }
}

#[test]
fn after_a_claim_the_agents_epochs_stay_readable() {
    let (agent_root, wallet_root) = ([1; 32], [2; 32]);
    let chart = ChartId([3; 32]);
    let agent = ChartHolder::derive(&agent_root, chart);
    let mut until = [Epoch(1); COMPARTMENTS];
    until[4] = Epoch(3);
    let claimed = KnownChart::claimed(
        chart,
        OrganisationId([1; 16]),
        Meanings::default(),
        agent.secret(),
        until,
    );
    let (holder, own) = (claimed.holder(&wallet_root), ChartHolder::derive(&wallet_root, chart));
    for (compartment, epoch, is_agents) in
        [(0, 0, true), (0, 1, false), (4, 2, true), (4, 3, false), (4, 9, false)]
    {
        let place = (Compartment::new(compartment).unwrap(), Epoch(epoch));
        let whose = if is_agents { &agent } else { &own };
        let seed = holder.epoch_seed(place.0, place.1);
        assert_eq!(seed, whose.epoch_seed(place.0, place.1), "{compartment} at {epoch}");
    }
}

/// A chart that was claimed, then lost and recovered: each epoch opens with the keys that it had then.
#[test]
fn after_a_recovery_all_earlier_epochs_stay_readable() {
    let chart = ChartId([3; 32]);
    let agent = ChartHolder::derive(&[1; 32], chart);
    let folder = tempfile::tempdir().unwrap();
    let mut lost = Wallet::create(folder.path(), &operator(1), true).unwrap();
    let (meanings, claimed_at) = (Meanings::default(), [Epoch(1); COMPARTMENTS]);
    let organisation = OrganisationId([1; 16]);
    lost.add(KnownChart::claimed(chart, organisation, meanings, agent.secret(), claimed_at))
        .unwrap();
    let before = lost.holder(chart).unwrap();

    let masters = lost.masters(chart, CompartmentSet::all()).unwrap();
    let root = [9; 32];
    let recovered = KnownChart::recovered(chart, masters, [Epoch(3); COMPARTMENTS]);
    let (holder, own) = (recovered.holder(&root), ChartHolder::derive(&root, chart));
    for (epoch, whose) in [(0, &agent), (1, &before), (2, &before), (3, &own), (9, &own)] {
        let place = (Compartment::new(7).unwrap(), Epoch(epoch));
        let seed = holder.epoch_seed(place.0, place.1);
        assert_eq!(seed, whose.epoch_seed(place.0, place.1), "epoch {epoch}");
    }
    assert_ne!(holder.actor().key().public(), before.actor().key().public());
}

/// A proxy opens what it was handed, at every epoch of these keys, and nothing else.
#[test]
fn a_proxy_opens_its_compartments_alone() {
    let chart = ChartId([3; 32]);
    let [theirs, mine] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut patient = Wallet::create(theirs.path(), &operator(1), true).unwrap();
    let organisation = OrganisationId([1; 16]);
    patient.add(KnownChart::opened(chart, organisation, Meanings::default())).unwrap();
    let [given, kept] = [4, 5].map(|it| Compartment::new(it).unwrap());
    let masters = patient.masters(chart, CompartmentSet::EMPTY.with(given)).unwrap();

    let mut carer = Wallet::create(mine.path(), &operator(2), true).unwrap();
    let proxy = ProxyId([7; 16]);
    carer.add(KnownChart::of_proxy(chart, proxy, masters)).unwrap();
    carer.save().unwrap();
    drop(carer);
    let carer = Wallet::open(mine.path(), &operator(2)).unwrap();
    let (holder, owner) = (carer.holder(chart).unwrap(), patient.holder(chart).unwrap());
    assert_eq!(holder.actor().party(), Party::Proxy(chart, proxy));
    assert_ne!(holder.actor().key().public(), owner.actor().key().public());
    for epoch in [0, 5].map(Epoch) {
        assert_eq!(holder.epoch_seed(given, epoch), owner.epoch_seed(given, epoch));
        assert_eq!(holder.epoch_seed(kept, epoch), None);
    }
    assert!(carer.masters(chart, CompartmentSet::all()).is_err());
}

#[test]
fn a_backup_restores_a_wallet_with_its_passphrase_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (own, file) = (folder.path().join("own"), folder.path().join("backup.keepwell"));
    let mut wallet = Wallet::create(&own, &operator(1), true).unwrap();
    let chart = ChartId([3; 32]);
    let organisation = OrganisationId([1; 16]);
    wallet.add(KnownChart::opened(chart, organisation, Meanings::default())).unwrap();
    let lock = Unlock::Passphrase(Zeroizing::new("a long passphrase".to_owned()));
    wallet.export(&file, &lock).unwrap();
    assert!(wallet.export(&file, &lock).is_err(), "a backup is never overwritten");

    let other = Unlock::Passphrase(Zeroizing::new("another".to_owned()));
    let there = folder.path().join("there");
    assert!(Wallet::import(&file, &other, &there, &operator(2)).is_err());
    assert!(!there.join("wallet.key").exists());
    let restored = Wallet::import(&file, &lock, &there, &operator(2)).unwrap();
    let keys = |wallet: &Wallet| wallet.holder(chart).unwrap().actor().key().public();
    assert_eq!(keys(&restored), keys(&wallet));
    drop(restored);
    assert!(Wallet::open(&there, &operator(1)).is_err());
    assert_eq!(keys(&Wallet::open(&there, &operator(2)).unwrap()), keys(&wallet));
    assert!(Wallet::import(&file, &lock, &there, &operator(2)).is_err(), "one wallet to a folder");

    let mut bytes = std::fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let elsewhere = folder.path().join("elsewhere");
    assert!(Wallet::import(&file, &lock, &elsewhere, &operator(2)).is_err());
}
