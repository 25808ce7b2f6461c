//! A client that writes while things break, and remembers what it was told.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use super::{Place, wait_until};

/// A patient who keeps adding records, and what was acknowledged to them.
pub struct Writer<'a> {
    pub place: Place<'a>,
    pub chart: String,
    pub wallet: String,
    pub desk: PathBuf,
    /// Positions in the chart's log, and what stands there.
    pub acknowledged: BTreeMap<u64, Vec<u8>>,
    sent: u64,
}

impl<'a> Writer<'a> {
    pub fn new(place: Place<'a>) -> Self {
        let (chart, wallet) = place.claimed();
        let desk = place.dir.with_extension("desk");
        fs::create_dir(&desk).unwrap();
        Self { place, chart, wallet, desk, acknowledged: BTreeMap::new(), sent: 0 }
    }

    /// Adds one record; one that fails counts for nothing, whether it is on the ledger or not.
    pub fn write(&mut self) -> Result<(), String> {
        self.sent += 1;
        let content = format!("record {} ", self.sent).repeat(self.sent as usize).into_bytes();
        let file = self.desk.join("content");
        fs::write(&file, &content).unwrap();
        let done = self.place.add(&self.wallet, &self.chart, &file);
        if !done.status.success() {
            done.refused_in_json();
            return Err(done.stdout);
        }
        self.acknowledged.insert(done.json()["position"].as_u64().unwrap(), content);
        Ok(())
    }

    /// Writes until `kill` has returned, which begins once something was acknowledged.
    pub fn write_while(&mut self, kill: impl FnOnce() + Send) {
        let (written, end) = (AtomicBool::new(false), AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| {
                wait_until(|| written.load(Ordering::Relaxed));
                kill();
                end.store(true, Ordering::Relaxed);
            });
            while !end.load(Ordering::Relaxed) {
                // Nodes that are gone refuse; that is what the test is about.
                let done = self.write();
                written.fetch_or(done.is_ok(), Ordering::Relaxed);
            }
        });
    }

    pub fn check(&self) {
        let to = self.desk.join("read");
        for (position, content) in &self.acknowledged {
            self.place.get(&self.wallet, &self.chart, &position.to_string(), &to).ok();
            assert!(fs::read(&to).unwrap() == *content, "record {position} came back changed");
        }
    }
}
