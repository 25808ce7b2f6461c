//! Goal: an index says what was put into it, of any time, to whoever has the key, in either database. Method: the same
//! tests on SQLite, and on a PostgreSQL cluster made for them.

use std::{
    env, fs, io,
    net::TcpListener,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    sync::Arc,
};

use tempfile::TempDir;

use super::{
    exports::{ExportId, ExportPage, Head, NewExport, Scan},
    subscriptions::{NewEvent, NewSubscription, SubscriptionId},
    *,
};

/// Where Debian has PostgreSQL.
const PROGRAMS: &str = "/usr/lib/postgresql";
/// How often it is started with another port.
const TRIES: usize = 5;

fn key() -> IndexKey {
    IndexKey::from_bytes(&[7; 32])
}

/// A cluster of PostgreSQL that ends with it.
struct Cluster {
    programs: PathBuf,
    folder: TempDir,
    url: String,
}

impl Cluster {
    /// Nothing where PostgreSQL is not installed.
    fn start() -> Option<Self> {
        let versions = fs::read_dir(PROGRAMS).ok()?;
        let programs = versions.filter_map(|it| Some(it.ok()?.path().join("bin")));
        // A client's package has a folder there as well.
        let programs = programs.filter(|it| it.join("initdb").exists()).max()?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("ours");
        let data = folder.path().join("data");
        fs::create_dir(&data).expect("a folder");
        if let Some((user, group)) = postgres() {
            chown(&data, Some(user), Some(group)).expect("root may");
        }
        let mut cluster = Self { programs, folder, url: String::new() };
        let arguments = ["-U", "index", "-A", "trust", "-E", "UTF8", "--locale=C"];
        assert!(
            cluster.call("initdb", &arguments).expect("it is there").success(),
            "initdb failed"
        );
        // Whoever else runs here may take the port first.
        let started = (0..TRIES).any(|_| {
            let port = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
            let port = port.expect("a free port").port();
            cluster.url = format!("postgres://index@127.0.0.1:{port}/postgres?sslmode=disable");
            let options =
                format!("-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=");
            let arguments = ["-w", "-t", "60", "-l", "log", "-o", &options, "start"];
            cluster.call("pg_ctl", &arguments).expect("it is there").success()
        });
        let log = fs::read_to_string(cluster.data().join("log")).unwrap_or_default();
        assert!(started, "PostgreSQL does not start: {log}");
        Some(cluster)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// PostgreSQL refuses to run as root.
    fn call(&self, program: &str, arguments: &[&str]) -> io::Result<ExitStatus> {
        let program = self.programs.join(program);
        let mut command = match postgres() {
            Some(_) => {
                let mut command = Command::new("runuser");
                command.args(["-u", "postgres", "--"]).arg(program);
                command
            }
            None => Command::new(program),
        };
        // A server that is started keeps what it is given open.
        let null = || fs::File::create(Path::new("/dev/null"));
        command.current_dir(self.data()).arg("-D").arg(self.data()).args(arguments);
        command.stdout(null()?).stderr(null()?).status()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.call("pg_ctl", &["-m", "immediate", "-w", "stop"]);
    }
}

/// The user and group that PostgreSQL runs as, where this is root.
fn postgres() -> Option<(u32, u32)> {
    let is_root = fs::metadata("/proc/self").ok().is_some_and(|it| {
        use std::os::unix::fs::MetadataExt as _;
        it.uid() == 0
    });
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let line = users.lines().find(|line| line.starts_with("postgres:"))?;
    let mut fields = line.split(':').skip(2).map_while(|it| it.parse().ok());
    is_root.then_some((fields.next()?, fields.next()?))
}

/// Runs a test on an index in each database.
fn check<F: Future<Output = ()>>(test: impl Fn(Arc<Index>, String) -> F) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sqlite = format!("sqlite:{}", folder.path().join("index.db").display());
    let cluster = Cluster::start();
    if cluster.is_none() {
        assert!(env::var_os("CI").is_none(), "PostgreSQL is not installed");
        println!("skipped on PostgreSQL: it is not installed; `apt-get install postgresql`");
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for url in [Some(sqlite), cluster.as_ref().map(|it| it.url.clone())].into_iter().flatten() {
        runtime.block_on(async {
            let index = Index::open(&url, key()).await.expect("an index");
            test(Arc::new(index), url.clone()).await;
        });
    }
}

fn chart(of: u8) -> ChartId {
    ChartId([of; 32])
}

fn term(text: &str) -> Term {
    key().term(&[text.as_bytes()])
}

fn version(record: u8, name: &str, number: u64) -> NewVersion<'static> {
    NewVersion {
        record: RecordId([record; 32]),
        chart: chart(1),
        position: LogPosition(u64::from(record)),
        follows: None,
        name: term(name),
        kind: term("Observation"),
        number,
        time: BlockTime(1_000 * u64::from(record)),
        body: b"{\"valueDecimal\":72.50}",
        terms: vec![term("code=a"), term(&format!("number={number}"))],
    }
}

/// The newest version of a name that one chart has.
async fn current(index: &Index, name: &str) -> Option<Version> {
    let mut found = index.named(&[term(name)]).await.unwrap();
    assert!(found.len() < 2, "{found:?}");
    found.pop()
}

async fn found(index: &Index, terms: &[&[&str]], at: Snapshot) -> Vec<u8> {
    let terms: Vec<Vec<_>> =
        terms.iter().map(|any| any.iter().map(|it| term(it)).collect()).collect();
    let kinds = [term("Observation")];
    let find = Find { kinds: &kinds, terms: &terms, at, after: 0, rows_max: 100 };
    let found = index.find(&find).await.expect("an answer");
    found.into_iter().map(|it| it.record.0[0]).collect()
}

#[test]
fn versions_come_back_as_they_were_sent() {
    check(async |index, _| {
        index.put(&[version(1, "a", 1), version(2, "a", 2)], None).await.unwrap();
        let newest = current(&index, "a").await.unwrap();
        assert_eq!((newest.record.0[0], newest.number, newest.time.0), (2, 2, 2_000));
        assert_eq!(*newest.body, b"{\"valueDecimal\":72.50}");
        assert_eq!(newest.chart, chart(1));
        let first = index.version((chart(1), &term("a")), 1).await.unwrap().unwrap();
        assert_eq!(first.record.0[0], 1);
        let history = index.history((chart(1), &term("a")), u64::MAX).await.unwrap();
        assert_eq!(history.iter().map(|it| it.number).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(index.history((chart(1), &term("a")), 2).await.unwrap().len(), 1);
        assert!(current(&index, "b").await.is_none());
        assert!(index.version((chart(1), &term("a")), 3).await.unwrap().is_none());
    });
}

#[test]
fn terms_find_what_is_current() {
    check(async |index, _| {
        index.put(&[version(1, "a", 1), version(2, "b", 1)], None).await.unwrap();
        let before = index.now().await.unwrap();
        index.put(&[version(3, "a", 2)], None).await.unwrap();
        let now = index.now().await.unwrap();
        assert_eq!(found(&index, &[], now).await, [2, 3]);
        assert_eq!(found(&index, &[&["code=a"]], now).await, [2, 3]);
        assert_eq!(found(&index, &[&["number=1"]], now).await, [2]);
        assert_eq!(found(&index, &[&["code=a"], &["number=2", "number=9"]], now).await, [3]);
        assert_eq!(found(&index, &[&["code=b"]], now).await, [] as [u8; 0]);
        assert_eq!(found(&index, &[&[]], now).await, [] as [u8; 0]);
        // A page that was begun before stays as it was.
        assert_eq!(found(&index, &[], before).await, [1, 2]);
        assert_eq!(found(&index, &[&["number=2"]], before).await, [] as [u8; 0]);
    });
}

#[test]
fn pages_follow_one_another() {
    check(async |index, _| {
        for record in 1..=25 {
            let name = format!("resource-{record}");
            index.put(&[version(record, &name, 1)], None).await.unwrap();
        }
        let at = index.now().await.unwrap();
        let kinds = [term("Observation")];
        let (mut after, mut records) = (0, Vec::new());
        loop {
            let find = Find { kinds: &kinds, terms: &[], at, after, rows_max: 10 };
            let page = index.find(&find).await.unwrap();
            assert!(page.len() <= 10);
            let Some(last) = page.last() else { break };
            after = last.row;
            records.extend(page.iter().map(|it| it.record.0[0]));
            index.put(&[version(100 + records.len() as u8, "more", 1)], None).await.unwrap();
        }
        assert_eq!(records, (1..=25).collect::<Vec<_>>());
    });
}

#[test]
fn what_is_put_again_or_late_changes_nothing() {
    check(async |index, _| {
        index.put(&[version(2, "a", 2)], None).await.unwrap();
        index.put(&[version(1, "a", 1)], None).await.unwrap();
        index.put(&[version(2, "a", 2)], None).await.unwrap();
        // Another record that says that it is the same version.
        index.put(&[version(9, "a", 2)], None).await.unwrap();
        let now = index.now().await.unwrap();
        assert_eq!(found(&index, &[], now).await, [2]);
        assert_eq!(current(&index, "a").await.unwrap().record.0[0], 2);
        assert_eq!(index.history((chart(1), &term("a")), u64::MAX).await.unwrap().len(), 2);
    });
}

#[test]
fn a_chart_is_forgotten_whole() {
    check(async |index, _| {
        let other = NewVersion { chart: chart(2), ..version(2, "b", 1) };
        index.put(&[version(1, "a", 1)], Some((chart(1), b"one"))).await.unwrap();
        index.put(&[other], Some((chart(2), b"two"))).await.unwrap();
        index.put(&[], Some((chart(2), b"three"))).await.unwrap();
        index.forget(chart(1)).await.unwrap();
        let now = index.now().await.unwrap();
        assert_eq!(found(&index, &[&["code=a"]], now).await, [2]);
        assert_eq!(index.mark(chart(1)).await.unwrap(), None);
        assert_eq!(index.mark(chart(2)).await.unwrap().unwrap(), b"three");
        // It may be granted again.
        index.put(&[version(1, "a", 1)], None).await.unwrap();
        assert!(current(&index, "a").await.is_some());
    });
}

#[test]
fn charts_may_call_different_things_the_same() {
    check(async |index, _| {
        let other = NewVersion { chart: chart(2), ..version(2, "a", 1) };
        index.put(&[version(1, "a", 1), other], None).await.unwrap();
        index.put(&[version(3, "a", 2)], None).await.unwrap();
        let named = index.named(&[term("a"), term("b")]).await.unwrap();
        let named: Vec<_> = named.iter().map(|it| (it.chart, it.number)).collect();
        assert_eq!(named, [(chart(2), 1), (chart(1), 2)]);
        assert_eq!(index.history((chart(2), &term("a")), u64::MAX).await.unwrap().len(), 1);
    });
}

#[test]
fn an_amendment_ends_what_it_amends_whatever_it_is_called() {
    let amended = || NewVersion { follows: Some(RecordId([1; 32])), ..version(2, "b", 2) };
    check(async |index, _| {
        index.put(&[version(1, "a", 1), version(3, "c", 1)], None).await.unwrap();
        index.put(&[amended()], None).await.unwrap();
        assert!(current(&index, "a").await.is_none());
        assert_eq!(current(&index, "b").await.unwrap().number, 2);
        assert!(current(&index, "c").await.is_some());
    });
    check(async |index, _| {
        index.put(&[amended()], None).await.unwrap();
        index.put(&[version(1, "a", 1)], None).await.unwrap();
        assert!(current(&index, "a").await.is_none(), "it came late");
        assert_eq!(current(&index, "b").await.unwrap().number, 2);
    });
}

#[test]
fn a_resource_is_forgotten_in_all_its_versions() {
    check(async |index, _| {
        let other = NewVersion { chart: chart(2), ..version(4, "a", 1) };
        index
            .put(&[version(1, "a", 1), version(2, "a", 2), version(3, "b", 1), other], None)
            .await
            .unwrap();
        index.forget_resource(chart(2), RecordId([1; 32])).await.unwrap();
        assert_eq!(index.named(&[term("a")]).await.unwrap().len(), 2, "it is another chart's");
        index.forget_resource(chart(1), RecordId([1; 32])).await.unwrap();
        let left = index.named(&[term("a"), term("b")]).await.unwrap();
        assert_eq!(left.iter().map(|it| it.record.0[0]).collect::<Vec<_>>(), [3, 4]);
        assert!(index.history((chart(1), &term("a")), u64::MAX).await.unwrap().is_empty());
        assert!(!index.has(RecordId([2; 32])).await.unwrap());
        index.forget_resource(chart(1), RecordId([1; 32])).await.unwrap();
    });
}

#[test]
fn it_is_there_again_for_the_same_key_alone() {
    check(async |index, url| {
        index.put(&[version(1, "a", 1)], None).await.unwrap();
        let again = Index::open(&url, key()).await.unwrap();
        assert!(current(&again, "a").await.is_some());
        let other = Index::open(&url, IndexKey::from_bytes(&[8; 32])).await.unwrap();
        let refused = other.named(&[term("a")]).await.unwrap_err();
        assert!(matches!(refused, IndexError::Sealed { row: 1, .. }), "{refused}");
    });
}

#[test]
fn whoever_has_the_database_alone_reads_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("index.db");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let index = Index::open(&format!("sqlite:{}", file.display()), key()).await.unwrap();
        let secret = NewVersion { body: b"a-word-of-the-patient", ..version(1, "a", 1) };
        index.put(&[secret], None).await.unwrap();
        for entry in fs::read_dir(folder.path()).unwrap() {
            let bytes = fs::read(entry.unwrap().path()).unwrap();
            for word in [&b"a-word-of-the-patient"[..], b"Observation", b"code=a"] {
                assert!(!bytes.windows(word.len()).any(|it| it == word));
            }
        }
        // As long as it is open, its files stay where they are.
        drop(index);
    });
}

#[test]
fn what_is_forgotten_is_in_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("index.db");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let index = Index::open(&format!("sqlite:{}", file.display()), key()).await.unwrap();
        let other = NewVersion { chart: chart(2), ..version(2, "b", 1) };
        index.put(&[version(1, "a", 1), other], None).await.unwrap();
        let has = |record: u8| {
            let files = fs::read_dir(folder.path()).unwrap();
            let mut files = files.map(|it| fs::read(it.unwrap().path()).unwrap());
            files.any(|bytes| bytes.windows(32).any(|it| it == [record; 32]))
        };
        assert!(has(1) && has(2));
        index.forget(chart(1)).await.unwrap();
        assert!(!has(1) && has(2));
    });
}

#[test]
fn several_write_at_once_and_rows_stay_in_their_order() {
    check(async |index, url| {
        let writers = (0..8_u8).map(|writer| {
            let url = url.clone();
            tokio::spawn(async move {
                // Each as if it were in a process of its own.
                let index = Index::open(&url, key()).await.unwrap();
                for turn in 0..5_u8 {
                    let record = 1 + writer * 5 + turn;
                    let name = format!("{writer}-{turn}");
                    index.put(&[version(record, &name, 1)], None).await.unwrap();
                    // Nothing comes to stand before what was seen.
                    let at = index.now().await.unwrap();
                    let seen = found(&index, &[], at).await;
                    assert_eq!(seen, found(&index, &[], at).await);
                }
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap();
        }
        let now = index.now().await.unwrap();
        assert_eq!(found(&index, &[], now).await.len(), 40);
    });
}

#[test]
fn too_much_at_once_is_refused() {
    check(async |index, _| {
        let many = NewVersion { terms: vec![term("a"); ROW_TERMS_MAX + 1], ..version(1, "a", 1) };
        let refused = index.put(&[many], None).await.unwrap_err();
        assert!(matches!(refused, IndexError::TooManyTerms { .. }), "{refused}");
        let most = vec![vec![term("code=a"); FIND_TERMS_MAX - 1]];
        let kinds = [term("Observation")];
        let at = Snapshot(0);
        let find = Find { kinds: &kinds, terms: &most, at, after: 0, rows_max: 1 };
        assert!(index.find(&find).await.unwrap().is_empty());
        let more = vec![vec![term("code=a"); FIND_TERMS_MAX]];
        let refused = index.find(&Find { terms: &more, ..find }).await.unwrap_err();
        assert!(matches!(refused, IndexError::TooManyTerms { .. }), "{refused}");
    });
}

#[test]
fn a_database_of_another_form_is_refused() {
    check(async |index, url| {
        sqlx::query("UPDATE form SET form = form - 1").execute(&index.pool).await.unwrap();
        let refused = Index::open(&url, key()).await.unwrap_err();
        assert!(matches!(refused, IndexError::Form { given: 1 }), "{refused}");
        sqlx::query("UPDATE form SET form = form + 1").execute(&index.pool).await.unwrap();
    });
}

/// The rows that a look finds, chart by chart, in steps.
async fn scanned(index: &Index, at: Snapshot, charts: Option<&[ChartId]>) -> Vec<(u8, u8)> {
    let (mut after, mut found) = ((ChartId([0; 32]), 0), Vec::new());
    loop {
        let heads = index.scan(&Scan { at, after, charts }).await.unwrap();
        let Some(Head { row, chart, bytes }) = heads.first().copied() else { return found };
        assert!(bytes > 0);
        // One at a time, as if no more had fit.
        let version = index.rows(&[row]).await.unwrap().pop().unwrap();
        assert_eq!((version.row, version.chart), (row, chart));
        found.push((chart.0[0], version.record.0[0]));
        after = (chart, row);
    }
}

#[test]
fn a_look_through_all_goes_chart_by_chart() {
    check(async |index, _| {
        let of = |chart_of: u8, record, name: &'static str, number| NewVersion {
            chart: chart(chart_of),
            ..version(record, name, number)
        };
        let all = [of(2, 1, "a", 1), of(1, 2, "b", 1), of(2, 3, "c", 1), of(3, 4, "d", 1)];
        index.put(&all, None).await.unwrap();
        let before = index.now().await.unwrap();
        index.put(&[of(1, 5, "b", 2), of(1, 6, "e", 1)], None).await.unwrap();
        let now = index.now().await.unwrap();
        assert_eq!(scanned(&index, before, None).await, [(1, 2), (2, 1), (2, 3), (3, 4)]);
        assert_eq!(scanned(&index, now, None).await, [(1, 5), (1, 6), (2, 1), (2, 3), (3, 4)]);
        let some = [chart(1), chart(3), chart(9)];
        assert_eq!(scanned(&index, before, Some(&some)).await, [(1, 2), (3, 4)]);
        assert_eq!(scanned(&index, now, Some(&[])).await, []);
        // In the order in which they are asked for, and none for what is not there.
        let rows: Vec<_> = (1..=3).rev().chain([99]).collect();
        let rows = index.rows(&rows).await.unwrap();
        assert_eq!(rows.iter().map(|it| it.row).collect::<Vec<_>>(), [3, 2, 1]);
        let many = [chart(1); FIND_TERMS_MAX + 1];
        let after = (chart(0), 0);
        let refused = index.scan(&Scan { at: now, after, charts: Some(&many) }).await;
        assert!(matches!(refused, Err(IndexError::TooManyTerms { .. })));
        assert!(index.rows(&[1; FIND_TERMS_MAX + 1]).await.is_err());
    });
}

#[test]
fn exports_are_kept_until_they_are_over() {
    check(async |index, url| {
        let (one, other) = (ExportId::random(), ExportId::random());
        let new = |id, client, until_ms| NewExport {
            id,
            client,
            until_ms,
            spec: b"spec in the clear",
            progress: b"begun",
        };
        index.keep_export(&new(one, "ehr", 1_000)).await.unwrap();
        index.keep_export(&new(other, "lab", 2_000)).await.unwrap();
        assert!(index.keep_export(&new(one, "ehr", 1_000)).await.is_err(), "it is there");
        assert_eq!(index.exports_of("ehr").await.unwrap(), (1, 2));
        assert_eq!(index.exports().await.unwrap().len(), 2);
        let page = |file, page, until_byte| ExportPage {
            file,
            page,
            until_byte,
            lines: vec![(7, 20), (9, 30)],
        };
        let pages = [page(1, 1, 50), page(2, 1, 50), page(1, 2, 100)];
        assert!(index.advance_export(one, (b"further", 1_500), &pages).await.unwrap());
        let (spec, progress) = index.export(one).await.unwrap().unwrap();
        assert_eq!((&spec[..], &progress[..]), (&b"spec in the clear"[..], &b"further"[..]));
        for (file, byte, expected) in [
            (1, 0, Some(&pages[0])),
            (1, 49, Some(&pages[0])),
            (1, 50, Some(&pages[2])),
            (1, 100, None),
            (2, 0, Some(&pages[1])),
            (3, 0, None),
        ] {
            let found = index.export_page(one, file, byte).await.unwrap();
            assert_eq!(found.as_ref(), expected, "{file} {byte}");
        }
        assert_eq!(index.export_page(other, 1, 0).await.unwrap(), None);
        // A page that is there already is none that comes to it.
        assert!(index.advance_export(one, (b"again", 1_500), &pages[..1]).await.is_err());
        assert_eq!(&index.export(one).await.unwrap().unwrap().1[..], b"further");
        let secret = [&b"spec in the clear"[..], b"further", b"ehr"];
        if let Some(file) = url.strip_prefix("sqlite:") {
            let files = [file.to_owned(), format!("{file}-wal")].map(|it| fs::read(it).unwrap());
            for (file, secret) in files.iter().flat_map(|it| secret.map(|secret| (it, secret))) {
                assert!(!file.windows(secret.len()).any(|it| it == secret), "it is sealed");
            }
        }
        assert_eq!(index.forget_exports_until(1_499).await.unwrap(), 0);
        assert_eq!(index.forget_exports_until(1_500).await.unwrap(), 1);
        assert!(index.export(one).await.unwrap().is_none());
        assert_eq!(index.export_page(one, 1, 0).await.unwrap(), None);
        assert!(!index.advance_export(one, (b"further", 9_000), &pages).await.unwrap());
        assert_eq!(index.export_page(one, 1, 0).await.unwrap(), None, "nothing goes on with it");
        assert!(index.forget_export(other).await.unwrap());
        assert!(!index.forget_export(other).await.unwrap());
    });
}

#[test]
fn events_of_a_subscription_have_their_numbers_for_good() {
    check(async |index, url| {
        let (one, other) = (SubscriptionId::random(), SubscriptionId::random());
        let new = |id, owner, until_ms| NewSubscription {
            id,
            owner,
            until_ms,
            spec: b"Authorization: secret",
            state: b"requested",
        };
        index.keep_subscription(&new(one, b"ward", 1_000)).await.unwrap();
        index.keep_subscription(&new(other, b"lab", 2_000)).await.unwrap();
        assert!(index.keep_subscription(&new(one, b"ward", 1_000)).await.is_err(), "it is there");
        assert_eq!(index.subscriptions_of(b"ward").await.unwrap(), (vec![one], 2));
        assert_eq!(index.subscriptions().await.unwrap().len(), 2);
        let event = |number, source: &str| NewEvent {
            number,
            source: source.as_bytes().to_vec(),
            body: format!("to Observation/{number}").into_bytes(),
        };
        let some = [event(1, "a"), event(2, "b")];
        assert!(index.advance_subscription(one, (b"active", 1_500), &some).await.unwrap());
        let (spec, state) = index.subscription(one).await.unwrap().unwrap();
        assert_eq!((&spec[..], &state[..]), (&b"Authorization: secret"[..], &b"active"[..]));
        // What happened once, or has a number, is nothing new; and what counts it is not kept either.
        for bad in [event(3, "a"), event(2, "c")] {
            let all = [event(4, "d"), bad];
            assert!(index.advance_subscription(one, (b"more", 9_000), &all).await.is_err());
        }
        assert_eq!(&index.subscription(one).await.unwrap().unwrap().1[..], b"active");
        let numbers = async |id, from, until, max| {
            let found = index.events(id, (from, until), max).await.unwrap();
            found.iter().map(|it| it.0).collect::<Vec<_>>()
        };
        assert_eq!(numbers(one, 1, u64::MAX, 9).await, [1, 2]);
        assert_eq!(numbers(one, 2, 2, 9).await, [2]);
        assert_eq!(numbers(one, 1, 9, 1).await, [1]);
        assert!(numbers(other, 1, 9, 9).await.is_empty());
        let body = index.events(one, (2, 2), 1).await.unwrap();
        assert_eq!(&body[0].1[..], b"to Observation/2");
        assert!(index.has_event(one, b"a").await.unwrap());
        assert!(!index.has_event(other, b"a").await.unwrap());
        let secret = [&b"secret"[..], b"Observation/1", b"ward"];
        if let Some(file) = url.strip_prefix("sqlite:") {
            let files = [file.to_owned(), format!("{file}-wal")].map(|it| fs::read(it).unwrap());
            for (file, secret) in files.iter().flat_map(|it| secret.map(|secret| (it, secret))) {
                assert!(!file.windows(secret.len()).any(|it| it == secret), "it is sealed");
            }
        }
        // What is derived is forgotten, and these stay.
        index.put(&[version(1, "a", 1)], None).await.unwrap();
        let rows = index.versions_after((chart(1), 0), 9).await.unwrap();
        assert_eq!(rows.len(), 1);
        index.forget(chart(1)).await.unwrap();
        index.put(&[version(1, "a", 1)], None).await.unwrap();
        let again = index.versions_after((chart(1), rows[0].row), 9).await.unwrap();
        assert_eq!(again.len(), 1, "a row that was built again comes after all that were");
        assert_eq!(index.forget_subscriptions_until(1_499).await.unwrap(), 0);
        assert_eq!(index.forget_subscriptions_until(1_500).await.unwrap(), 1);
        assert!(index.subscription(one).await.unwrap().is_none());
        assert!(numbers(one, 1, 9, 9).await.is_empty());
        assert!(!index.advance_subscription(one, (b"active", 9_000), &[]).await.unwrap());
        assert!(index.forget_subscription(other).await.unwrap());
        assert!(!index.forget_subscription(other).await.unwrap());
    });
}
