//! A founder's host during the ceremony: HTTP around `keepwell_crypto::ceremony`, and a folder of its own posts.
//!
//! ```text
//! GET /v1/founding/PLAN/ROUND/FOUNDER    the post, canonical CBOR; 404 while it is not here
//! GET /v1/founding/PLAN/finished         200 once this host has its genesis file
//!
//! FOLDER/ROUND.post                      what this founder posted; each plan has a folder of its own
//! ```
//!
//! # Invariants
//!
//! * A post is on disk before anyone sees it. After a crash the same one is shown again: a founder that said two
//!   things in one round would be taken for a cheat.
//! * Nothing secret passes here: shares are sealed inside their posts, which are signed, so that whoever listens or
//!   meddles on the way learns nothing and changes nothing.
//! * Whoever fails goes on showing what it posted for a while: the others come to the same fault by themselves.
//!
//! Not here: what is posted, and whether it is right.

use std::{
    collections::BTreeMap,
    fs,
    io::{ErrorKind, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{Path as Segments, State},
    http::{StatusCode, header::CONTENT_TYPE},
    middleware,
    response::{IntoResponse as _, Response},
    routing::get,
};
use futures::future::join_all;
use keepwell_crypto::ceremony::{Board, CeremonyFault, Founded, Participant, Plan, Post, Round};
use keepwell_node::{api::server, folder::hand_over};
use keepwell_types::limits::POST_BYTES_MAX;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle, time::sleep};

use crate::{failure::Failure, output::Output, page::plain, runtime::asked_to_stop};

/// Between two looks at what the others posted.
const PAUSE: Duration = Duration::from_millis(300);
/// How long another host may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// Between two words about who is waited for.
const WORD: Duration = Duration::from_secs(15);
/// How long posts are shown after a fault.
const AFTER_FAULT: Duration = Duration::from_secs(60);

/// What the others see of this host.
#[derive(Default)]
struct Shown {
    posts: BTreeMap<(Round, u16), Vec<u8>>,
    finished: bool,
}

type Wall = Arc<(String, Mutex<Shown>)>;

/// One founder's host.
pub(crate) struct Host<'a> {
    plan: &'a Plan,
    founder: u16,
    board: Board<'a>,
    folder: PathBuf,
    wall: Wall,
    http: reqwest::Client,
    stop: watch::Sender<bool>,
    served: JoinHandle<()>,
}

impl<'a> Host<'a> {
    /// Begins to show what this founder has posted so far, by what is in `folder`.
    pub(crate) async fn open(
        plan: &'a Plan,
        founder: u16,
        folder: &Path,
        listen: SocketAddr,
    ) -> Result<Self, Failure> {
        fs::create_dir_all(folder).map_err(Failure::at(folder))?;
        let listener = TcpListener::bind(listen).await.map_err(Failure::at(listen.to_string()))?;
        let wall: Wall = Arc::new((plan.digest().to_string(), Mutex::default()));
        let router = Router::new()
            .route("/v1/founding/{plan}/finished", get(finished))
            .route("/v1/founding/{plan}/{round}/{founder}", get(post))
            .layer(middleware::from_fn(server::in_time))
            .with_state(wall.clone());
        let (stop, stopping) = watch::channel(false);
        let served = tokio::spawn(server::serve(listener, None, router, stopping));
        let http = reqwest::Client::builder()
            .timeout(ANSWER)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| Failure::Misused(format!("HTTP cannot be used here: {error}")))?;
        let (board, folder) = (Board::new(plan), folder.to_path_buf());
        let mut host = Self { plan, founder, board, folder, wall, http, stop, served };
        for round in Round::ALL {
            let path = host.path(round);
            if path.exists() {
                let bytes = fs::read(&path).map_err(Failure::at(&path))?;
                let post = Post::decode(&bytes).ok();
                let own = post.filter(|it| it.founder() == founder && it.round() == round);
                let other = || {
                    Failure::Misused(format!(
                        "{} is a post of another ceremony; name a folder of this one",
                        path.display()
                    ))
                };
                host.take(own.ok_or_else(other)?).map_err(|_| other())?;
            }
        }
        Ok(host)
    }

    fn path(&self, round: Round) -> PathBuf {
        self.folder.join(format!("{round}.post"))
    }

    fn shown(&self) -> std::sync::MutexGuard<'_, Shown> {
        self.wall.1.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a post on the board, and where others see it.
    fn take(&mut self, post: Post) -> Result<(), CeremonyFault> {
        let (at, bytes) = ((post.round(), post.founder()), post.encode());
        self.board.add(post)?;
        self.shown().posts.insert(at, bytes);
        Ok(())
    }

    /// Takes part until all agree.
    pub(crate) async fn run(
        &mut self,
        participant: &Participant<'_>,
        output: Output,
    ) -> Result<Founded, Failure> {
        let mut told = None;
        while let Some(round) = self.board.round() {
            if self.board.post(round, self.founder).is_none() {
                let post = participant.post(round, &self.board)?;
                let path = self.path(round);
                write_durably(&path, &post.encode()).map_err(Failure::at(&path))?;
                self.take(post)?;
                output.say(&format!("{round}: posted"));
                continue;
            }
            let missing = self.board.missing(round);
            let faults = self.fetch(round, &missing).await?;
            if self.board.missing(round).is_empty() {
                output.say(&format!("{round}: all {} are here", self.plan.founders().count()));
                told = None;
            } else {
                self.tell(round, &faults, &mut told, output);
                sleep(PAUSE).await;
            }
        }
        match participant.finish(&self.board) {
            Err(CeremonyFault::Divided { founder }) => {
                // Whoever signed two different posts is the one to name.
                self.compare().await?;
                Err(CeremonyFault::Divided { founder }.into())
            }
            founded => Ok(founded?),
        }
    }

    /// Says now and then who is waited for, and why.
    fn tell(
        &self,
        round: Round,
        faults: &BTreeMap<u16, String>,
        told: &mut Option<Instant>,
        output: Output,
    ) {
        if told.is_some_and(|at: Instant| at.elapsed() < WORD) {
            return;
        }
        *told = Some(Instant::now());
        for founder in self.board.missing(round) {
            let why = faults.get(&founder).map_or("has not posted yet", String::as_str);
            output.say(&format!("{round}: waits for {}: {why}", self.name(founder)));
        }
    }

    fn name(&self, founder: u16) -> String {
        self.plan.founder(founder).map_or_else(String::new, |it| {
            let (name, address) = (plain(it.admit.name.as_str()), plain(it.address.as_str()));
            format!("founder {founder}, {name} at {address}")
        })
    }

    /// Asks these founders for their posts of a round; says of whom nothing came, and why.
    async fn fetch(
        &mut self,
        round: Round,
        founders: &[u16],
    ) -> Result<BTreeMap<u16, String>, Failure> {
        let asked = founders.iter().map(|founder| self.ask(*founder, round, *founder));
        let (mut faults, answers) = (BTreeMap::new(), join_all(asked).await);
        for (founder, answer) in founders.iter().zip(answers) {
            let why = match answer {
                Ok(Some(post)) => match self.take(post) {
                    Ok(()) => continue,
                    // Whoever is on the way may have made it up.
                    Err(fault @ CeremonyFault::Post { .. }) => fault.to_string(),
                    Err(fault) => return Err(fault.into()),
                },
                Ok(None) => continue,
                Err(why) => why,
            };
            faults.insert(*founder, why);
        }
        Ok(faults)
    }

    /// Looks for two different posts of one founder: those here, and those that the other hosts show.
    async fn compare(&mut self) -> Result<(), CeremonyFault> {
        let others = self.plan.founders().filter(|it| *it != self.founder);
        let shown = join_all(others.map(|host| self.shown_by(host))).await;
        for post in shown.into_iter().flatten() {
            if let Err(fault @ CeremonyFault::TwoFaced { .. }) = self.board.add(post) {
                return Err(fault);
            }
        }
        Ok(())
    }

    /// All posts that a host shows, as far as it answers.
    async fn shown_by(&self, host: u16) -> Vec<Post> {
        let mut posts = Vec::new();
        for founder in self.plan.founders() {
            for round in Round::ALL {
                match self.ask(host, round, founder).await {
                    Ok(post) => posts.extend(post),
                    // One that is gone, or that stalls, holds nobody up for long.
                    Err(_) => return posts,
                }
            }
        }
        posts
    }

    fn url(&self, host: u16, what: &str) -> Option<String> {
        let address = self.plan.founder(host)?.address.as_str();
        Some(format!("http://{address}/v1/founding/{}/{what}", self.plan.digest()))
    }

    /// What a host shows of a founder in a round.
    async fn ask(&self, host: u16, round: Round, founder: u16) -> Result<Option<Post>, String> {
        let url = self.url(host, &format!("{round}/{founder}")).ok_or("no such founder")?;
        let mut answer = self.http.get(url).send().await.map_err(|error| cause(&error))?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        if answer.status() != StatusCode::OK {
            return Err(format!("its host answers {}", answer.status()));
        }
        let mut bytes = Vec::new();
        while let Some(more) = answer.chunk().await.map_err(|error| cause(&error))? {
            bytes.extend_from_slice(&more);
            if bytes.len() > POST_BYTES_MAX {
                return Err("its answer is longer than a post".into());
            }
        }
        match Post::decode(&bytes) {
            Ok(post) if (post.round(), post.founder()) == (round, founder) => Ok(Some(post)),
            Ok(_) | Err(_) => Err("its answer is no post of that round".into()),
        }
    }

    /// Whether a host has its genesis file.
    async fn has_finished(&self, host: u16) -> bool {
        let Some(url) = self.url(host, "finished") else { return false };
        self.http.get(url).send().await.is_ok_and(|answer| answer.status() == StatusCode::OK)
    }

    /// The board, with all posts.
    pub(crate) const fn board(&self) -> &Board<'a> {
        &self.board
    }

    /// Shows the posts until every other founder has its genesis file too, or the person asks to stop.
    pub(crate) async fn see_off(self, output: Output) {
        self.shown().finished = true;
        let others: Vec<_> = self.plan.founders().filter(|it| *it != self.founder).collect();
        let all_finished = async {
            let (mut waits, mut told) = (others, None::<Instant>);
            loop {
                let finished = join_all(waits.iter().map(|it| self.has_finished(*it))).await;
                let mut finished = finished.into_iter();
                waits.retain(|_| !finished.next().unwrap_or(false));
                if waits.is_empty() {
                    break;
                }
                if told.is_none_or(|at| at.elapsed() >= WORD) {
                    told = Some(Instant::now());
                    for founder in &waits {
                        output.say(&format!("stays for {}; Ctrl-C ends it", self.name(*founder)));
                    }
                }
                sleep(PAUSE).await;
            }
            // They look at each other as well.
            sleep(4 * PAUSE).await;
        };
        tokio::select! {
            () = asked_to_stop() => {}
            () = all_finished => {}
        }
        self.close().await;
    }

    /// Shows the posts a little longer, so that the others can come to the same fault.
    pub(crate) async fn leave(self, output: Output) {
        output.say("shows its posts to the others for a minute; Ctrl-C ends it");
        tokio::select! {
            () = asked_to_stop() => {}
            () = sleep(AFTER_FAULT) => {}
        }
        self.close().await;
    }

    async fn close(self) {
        let _ = self.stop.send(true);
        let _ = self.served.await;
    }
}

/// Why a host was not reached, without the address, which is said already.
fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    if error.is_timeout() { "does not answer".into() } else { format!("not reached: {cause}") }
}

async fn post(
    State(wall): State<Wall>,
    Segments((plan, round, founder)): Segments<(String, String, u16)>,
) -> Response {
    let round = Round::named(&round).filter(|_| plan == wall.0);
    let shown = wall.1.lock().unwrap_or_else(PoisonError::into_inner);
    match round.and_then(|round| shown.posts.get(&(round, founder))) {
        Some(bytes) => ([(CONTENT_TYPE, "application/cbor")], bytes.clone()).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn finished(State(wall): State<Wall>, Segments(plan): Segments<String>) -> StatusCode {
    let shown = wall.1.lock().unwrap_or_else(PoisonError::into_inner);
    if shown.finished && plan == wall.0 { StatusCode::OK } else { StatusCode::NOT_FOUND }
}

/// Writes a file whole or not at all. One that it takes the place of keeps its user and its mode.
pub(crate) fn write_durably(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let new = path.with_extension("new");
    let mut file = fs::File::create(&new)?;
    match fs::metadata(path) {
        Ok(before) => {
            file.set_permissions(before.permissions())?;
            hand_over(&file, &before)?;
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    // A bare name is in the current folder, and its parent is the empty path.
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
    fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};

    use super::*;

    #[test]
    fn a_file_that_is_written_again_keeps_its_user_and_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("profile.toml");
        write_durably(&path, b"old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        // Only root gives files away.
        let user = if chown(&path, Some(65_534), None).is_ok() { 65_534 } else { 0 };
        write_durably(&path, b"new").unwrap();
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(metadata.mode() & 0o777, 0o640);
        assert!(user == 0 || metadata.uid() == user);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
