//! `keepwell status`: how a node is, as its operator sees it at a glance.
//!
//! It shows what the node says of itself, which is for its operator; whoever wants proof asks for receipts.

use std::{
    collections::BTreeMap,
    io::{IsTerminal as _, stdout},
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::Args;
use keepwell_client::node::Link;
use keepwell_crypto::command::chain_id;
use keepwell_node::{clock::Clock, config::NodeConfig};
use keepwell_types::{genesis::Genesis, time::BlockTime};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    commands::node::url,
    failure::Failure,
    output::Output,
    runtime::{asked_to_stop, block_on},
};

/// Bytes of a page of metrics, those of the engine of some validators among them.
const PAGE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// A block that is older than this says that the node is cut off, or that too few validators are up.
const TIP_AGE_MS_MAX: u64 = 30_000;
const GIB: u64 = 1 << 30;
const DAY_S: u64 = 24 * 60 * 60;

/// Show how a node is: its height, its peers, what waits, its disk, its certificate
///
/// The picture is drawn again every two seconds until Ctrl-C, or once where the output is no terminal. What needs
/// its operator is marked with `!`; with --once the command fails where something is.
#[derive(Args)]
#[command(after_help = "Examples:
  keepwell status --config /etc/keepwell/node.toml
  keepwell --json status --config /etc/keepwell/node.toml --once")]
pub(crate) struct Status {
    /// The node's configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Show it once, and fail if something needs its operator
    #[arg(long)]
    once: bool,
    /// Seconds between two looks
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    every: u64,
}

impl Status {
    pub(crate) fn run(self, output: &Output) -> Result<(), Failure> {
        let config = NodeConfig::read(&self.config)?;
        let genesis = config.read_genesis()?;
        let link = Link::to(&url(&config)?)?;
        block_on(self.show(&link, &config, &genesis, output))
    }

    async fn show(
        &self,
        link: &Link,
        config: &NodeConfig,
        genesis: &Genesis,
        output: &Output,
    ) -> Result<(), Failure> {
        let once = self.once || !stdout().is_terminal();
        let mut before = None;
        loop {
            let page = link.page("/metrics", PAGE_BYTES_MAX).await;
            if once {
                let fault = |fault| Failure::Misused(format!("the node {fault}"));
                let page = Page::read(&page.map_err(fault)?);
                let picture = Picture::of(&page, None, config, genesis);
                output.result(&picture.text(), &picture.json());
                return picture.verdict();
            }
            match page {
                Ok(page) => {
                    let page = Page::read(&page);
                    let picture = Picture::of(&page, before.as_ref(), config, genesis);
                    // Home, and clear what is below.
                    output.result(&format!("\x1b[H\x1b[J{}", picture.text()), &picture.json());
                    before = Some((Instant::now(), page));
                }
                Err(error) => output.result(
                    &format!("\x1b[H\x1b[J! the node {error}"),
                    &json!({ "error": error.to_string() }),
                ),
            }
            tokio::select! {
                () = sleep(Duration::from_secs(self.every)) => {}
                () = asked_to_stop() => return Ok(()),
            }
        }
    }
}

/// Numbers of a page of metrics, by name and labels as they stand there.
struct Page(BTreeMap<String, u64>);

impl Page {
    /// Takes our own lines. Numbers here are counts; their fractions do not matter.
    fn read(text: &str) -> Self {
        let own = text.lines().filter(|line| line.starts_with("keepwell_"));
        let pairs = own.filter_map(|line| {
            let (name, number) = line.rsplit_once(' ')?;
            let whole = number.split('.').next()?;
            Some((name.to_owned(), whole.parse().ok()?))
        });
        Self(pairs.collect())
    }

    fn number(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// The sum over all labels, and over those that have this one.
    fn sum(&self, name: &str, label: &str) -> u64 {
        let begins = format!("{name}{{");
        let lines = self.0.iter().filter(|(line, _)| line.starts_with(&begins));
        lines.filter(|(line, _)| line.contains(label)).map(|(_, number)| number).sum()
    }
}

/// One line of the picture.
struct Line {
    name: &'static str,
    words: String,
    value: Value,
    /// What its operator does about it.
    needs: Option<&'static str>,
}

/// What is shown.
struct Picture(Vec<Line>);

impl Picture {
    fn of(
        page: &Page,
        before: Option<&(Instant, Page)>,
        config: &NodeConfig,
        genesis: &Genesis,
    ) -> Self {
        let mut lines = vec![
            Line {
                name: "chain",
                words: format!("{} of {}", chain_id(genesis), genesis.name.as_str()),
                value: json!(chain_id(genesis)),
                needs: None,
            },
            height(page, before),
            peers(page),
            seat(page),
            protocol(page),
        ];
        lines.extend(load(page, before));
        lines.extend([disk(page, config), custody(page), certificate(page)]);
        Self(lines)
    }

    fn text(&self) -> String {
        let lines = self.0.iter().map(|line| {
            let (mark, needs) = match line.needs {
                Some(needs) => ('!', format!(": {needs}")),
                None => (' ', String::new()),
            };
            format!("{mark} {:<12}{}{needs}", line.name, line.words)
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    fn json(&self) -> Value {
        let values = self.0.iter().map(|line| (line.name.to_owned(), line.value.clone()));
        let mut object: serde_json::Map<_, _> = values.collect();
        let needs = self.0.iter().filter_map(|it| it.needs.map(|needs| json!({ it.name: needs })));
        object.insert("needs".to_owned(), needs.collect());
        object.into()
    }

    fn verdict(&self) -> Result<(), Failure> {
        match self.0.iter().filter(|it| it.needs.is_some()).count() {
            0 => Ok(()),
            many => Err(Failure::Misused(format!(
                "the node's operator is needed for {many} of these; see above"
            ))),
        }
    }
}

/// What was counted since the last look, for each second.
fn rate(now: u64, before: Option<(&Instant, u64)>) -> Option<f64> {
    let (at, then) = before?;
    let seconds = at.elapsed().as_secs_f64();
    #[allow(clippy::cast_precision_loss, reason = "for the eye")]
    Some(now.saturating_sub(then) as f64 / seconds.max(0.001))
}

fn height(page: &Page, before: Option<&(Instant, Page)>) -> Line {
    let (height, age_ms) = (page.number("keepwell_height"), page.number("keepwell_tip_age_ms"));
    let rate = rate(height, before.map(|(at, page)| (at, page.number("keepwell_height"))));
    let rate = rate.map_or_else(String::new, |it| format!(", {it:.1} a second"));
    let is_late = age_ms > TIP_AGE_MS_MAX;
    Line {
        name: "height",
        words: format!("{height}{rate}, the newest block {} s old", age_ms / 1_000),
        value: json!({ "height": height, "tip_age_ms": age_ms }),
        needs: is_late.then_some(
            "no new blocks; see whether enough validators are up and the clock is right",
        ),
    }
}

fn peers(page: &Page) -> Line {
    let validators = page.number("keepwell_validators");
    let (have, all) = (page.number("keepwell_peers_connected"), validators.saturating_sub(1));
    Line {
        name: "peers",
        words: format!("{have} of {all} connected"),
        value: json!({ "connected": have, "of": all }),
        needs: (have < all).then_some("ask the operators of the others, or look at the firewall"),
    }
}

fn seat(page: &Page) -> Line {
    let epoch = page.number("keepwell_epoch");
    let (sits, share) = (page.number("keepwell_seats") > 0, page.number("keepwell_shares") > 0);
    let abstains = page.number("keepwell_abstains") > 0;
    let words = match (sits, abstains) {
        (true, false) => "validates",
        (true, true) => "validates, and votes once it has newer blocks",
        (false, _) => "follows, without a seat",
    };
    Line {
        name: "epoch",
        words: format!("{epoch}; this node {words}"),
        value: json!({ "epoch": epoch, "validates": sits, "abstains": abstains, "share": share }),
        needs: match (sits, share, abstains) {
            (true, false, _) => Some(
                "it has no share of the committee's key and releases nothing; restore share.key, or have all deal anew",
            ),
            (true, true, true) => {
                Some("stop no other validator until it does; a moment, while enough of them run")
            }
            _ => None,
        },
    }
}

fn protocol(page: &Page) -> Line {
    let (now, newest) = (page.number("keepwell_protocol"), page.number("keepwell_protocol_newest"));
    let from = page.number("keepwell_protocol_next_from");
    let next = if from > 0 { format!(", {} from block {from} on", now + 1) } else { String::new() };
    Line {
        name: "protocol",
        words: format!("{now}{next}; this program knows up to {newest}"),
        value: json!({ "now": now, "next_from": (from > 0).then_some(from), "newest": newest }),
        needs: (from > 0 && newest <= now)
            .then_some("install a newer keepwell before then, or the node stops"),
    }
}

fn load(page: &Page, before: Option<&(Instant, Page)>) -> [Line; 3] {
    let waiting = page.number("keepwell_mempool_commands");
    let decided = |page: &Page| page.sum("keepwell_commands_total", "");
    let (all, refused) =
        (decided(page), page.sum("keepwell_commands_total", "outcome=\"refused\""));
    let commands = rate(all, before.map(|(at, page)| (at, decided(page))));
    let commands = commands.map_or_else(String::new, |it| format!(", {it:.1} a second"));
    let releases = page.sum("keepwell_releases_total", "");
    let given = page.sum("keepwell_releases_total", "outcome=\"given\"");
    [
        Line {
            name: "pending",
            words: format!(
                "{waiting} commands, {} KiB",
                page.number("keepwell_mempool_bytes") / 1_024
            ),
            value: json!({ "commands": waiting, "bytes": page.number("keepwell_mempool_bytes") }),
            needs: None,
        },
        Line {
            name: "commands",
            words: format!("{all} sent here{commands}, {refused} refused"),
            value: json!({ "all": all, "refused": refused }),
            needs: None,
        },
        Line {
            name: "releases",
            words: format!("{given} of {releases} requests for shares answered with one"),
            value: json!({ "all": releases, "released": given }),
            needs: None,
        },
    ]
}

fn disk(page: &Page, config: &NodeConfig) -> Line {
    let free = page.number("keepwell_disk_free_bytes");
    let least = config.custody_limits.free_bytes_min;
    Line {
        name: "disk",
        words: format!("{} GiB free", free / GIB),
        value: json!({ "free_bytes": free, "free_bytes_min": least }),
        needs: (free < least.saturating_mul(2))
            .then_some("uploads stop soon, then the node; make room"),
    }
}

fn custody(page: &Page) -> Line {
    let stored = page.number("keepwell_custody_stored_bytes");
    let unnamed = page.number("keepwell_custody_unnamed_bytes");
    let damaged = page.number("keepwell_custody_damaged");
    let repaired = page.number("keepwell_custody_repaired");
    Line {
        name: "custody",
        words: format!(
            "{} MiB stored since it started, {} MiB that no entry names yet; {damaged} objects damaged, {repaired} repaired",
            stored >> 20,
            unnamed >> 20
        ),
        value: json!({ "stored_bytes": stored, "unnamed_bytes": unnamed, "damaged": damaged, "repaired": repaired }),
        needs: (damaged > 0).then_some(
            "sealed objects are missing or damaged; see whether [[custodians]] names those that have them",
        ),
    }
}

fn certificate(page: &Page) -> Line {
    let ends_s = page.number("keepwell_certificate_ends_seconds");
    let left_s = ends_s.saturating_sub(Clock.now().0 / 1_000);
    let words = match ends_s {
        0 => "none: plain HTTP, on this computer alone".to_owned(),
        _ => format!("until {}, {} days", BlockTime(ends_s.saturating_mul(1_000)), left_s / DAY_S),
    };
    Line {
        name: "certificate",
        words,
        value: if ends_s == 0 { Value::Null } else { json!({ "ends_s": ends_s }) },
        needs: (ends_s > 0 && left_s < 14 * DAY_S).then_some("renew it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(page: &str, name: &str) -> (String, bool) {
        let (page, config) = (Page::read(page), NodeConfig::parse(CONFIG).unwrap());
        let lines = [
            height(&page, None),
            peers(&page),
            seat(&page),
            protocol(&page),
            disk(&page, &config),
            certificate(&page),
        ];
        let line = lines.into_iter().find(|it| it.name == name).unwrap();
        (line.words, line.needs.is_some())
    }

    const CONFIG: &str = "folder = \"n\"\ngenesis = \"g\"\npeers = []\n[keys]\nfolder = \"k\"\n";

    #[test]
    fn what_needs_its_operator_is_marked() {
        for (page, name, words, needs) in [
            (
                "keepwell_height 7\nkeepwell_tip_age_ms 900",
                "height",
                "7, the newest block 0 s old",
                false,
            ),
            (
                "keepwell_epoch 3\nkeepwell_seats 1\nkeepwell_shares 1",
                "epoch",
                "3; this node validates",
                false,
            ),
            (
                "keepwell_epoch 3\nkeepwell_seats 1\nkeepwell_shares 0",
                "epoch",
                "3; this node validates",
                true,
            ),
            (
                "keepwell_epoch 3\nkeepwell_seats 1\nkeepwell_shares 1\nkeepwell_abstains 1",
                "epoch",
                "3; this node validates, and votes once it has newer blocks",
                true,
            ),
            ("keepwell_epoch 3", "epoch", "3; this node follows, without a seat", false),
            (
                "keepwell_protocol 1\nkeepwell_protocol_newest 1\nkeepwell_protocol_next_from 0",
                "protocol",
                "1; this program knows up to 1",
                false,
            ),
            (
                "keepwell_protocol 1\nkeepwell_protocol_newest 2\nkeepwell_protocol_next_from 99",
                "protocol",
                "1, 2 from block 99 on; this program knows up to 2",
                false,
            ),
            (
                "keepwell_protocol 1\nkeepwell_protocol_newest 1\nkeepwell_protocol_next_from 99",
                "protocol",
                "1, 2 from block 99 on; this program knows up to 1",
                true,
            ),
            (
                "keepwell_height 7\nkeepwell_tip_age_ms 31000",
                "height",
                "7, the newest block 31 s old",
                true,
            ),
            (
                "keepwell_validators 4\nkeepwell_peers_connected 3",
                "peers",
                "3 of 3 connected",
                false,
            ),
            (
                "keepwell_validators 4\nkeepwell_peers_connected 2",
                "peers",
                "2 of 3 connected",
                true,
            ),
            ("keepwell_disk_free_bytes 1073741824", "disk", "1 GiB free", true),
            ("keepwell_disk_free_bytes 107374182400", "disk", "100 GiB free", false),
            (
                "keepwell_certificate_ends_seconds 0",
                "certificate",
                "none: plain HTTP, on this computer alone",
                false,
            ),
            (
                "keepwell_certificate_ends_seconds 1000",
                "certificate",
                "until 1970-01-01T00:16:40.000Z, 0 days",
                true,
            ),
            ("", "height", "0, the newest block 0 s old", false),
        ] {
            assert_eq!(picture(page, name), (words.to_owned(), needs), "{page}");
        }
    }

    #[test]
    fn sums_are_over_labels() {
        let page = Page::read(
            "# HELP keepwell_commands Commands\nkeepwell_commands_total{family=\"a\",outcome=\"refused\"} 2\nkeepwell_commands_total{family=\"b\",outcome=\"accepted\"} 3\nother_commands_total{} 9\nkeepwell_odd x\n",
        );
        assert_eq!(page.sum("keepwell_commands_total", ""), 5);
        assert_eq!(page.sum("keepwell_commands_total", "outcome=\"refused\""), 2);
    }
}
