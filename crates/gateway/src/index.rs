//! What this organisation may read, kept so that it is found again: the gateway's index.
//!
//! ```text
//! version   row  record  chart  position  follows  name  kind  number  time_ms  ends  body    one row for each version
//! term      term  row                                                          what it is found by
//! mark      chart  mark                                                        how far a chart's log was followed
//! ```
//!
//! What is kept of exports beside them is in [`exports`], and of subscriptions in [`subscriptions`].
//!
//! `name`, `kind` and `term` are terms under the organisation's key, and `body` is sealed with it
//! ([`keepwell_crypto::index`]): who takes the database has numbers and equalities. Record, chart, position and time stand
//! on the ledger anyway.
//!
//! Rows are numbered as they are written, and never changed but for `ends`, the number of the row that follows a
//! version. So the index as it was when it had so many rows can be read at any time: a page is asked for
//! [`Snapshot`] by snapshot, and stays the same whatever is written meanwhile.
//!
//! # Invariants
//!
//! * It is derived, but for subscriptions: a folder or database that is lost is built again from the ledger and the
//!   custodians.
//! * A version and its terms are there together or not at all, durably, before [`Index::put`] returns.
//! * What is found by terms is a superset of what is asked for: whoever asks opens the rows and looks.
//! * Whoever writes does so alone, from whatever process, so that rows are seen in their order.
//!
//! Not here: which terms a resource has, who may read a row, and the access that reading it commits.

pub(crate) mod exports;
mod schema;
pub(crate) mod subscriptions;
#[cfg(test)]
mod tests;

use std::{num::TryFromIntError, time::Duration};

use getrandom::SysRng;
use keepwell_crypto::{
    index::{IndexKey, TERM_BYTES, Term},
    seal::OpenError,
};
use keepwell_types::{
    id::{ChartId, LogPosition, RecordId},
    time::BlockTime,
};
use rand_core::UnwrapErr;
use sqlx::{
    AnyPool, AssertSqlSafe, Row as _,
    any::{AnyPoolOptions, AnyRow},
};
use thiserror::Error;
use zeroize::Zeroizing;

/// Terms of one row: more than a resource has search keys.
pub const ROW_TERMS_MAX: usize = 32_768;
/// Terms of one question.
pub const FIND_TERMS_MAX: usize = 512;
/// Rows of one answer.
pub const ROWS_MAX: u32 = 1_000;
/// Connections at once.
const CONNECTIONS_MAX: u32 = 8;
/// How long a question waits for a connection.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// What is read of a version.
const COLUMNS: &str = "row, record, chart, position, name, number, time_ms, body";
/// What ends a version that nothing follows yet.
const CURRENT: i64 = i64::MAX;

/// Why the index cannot answer.
#[derive(Debug, Error)]
pub enum IndexError {
    /// The database.
    #[error("the index cannot be used: {0}; see whether its database runs and its disk has room")]
    Database(#[from] sqlx::Error),
    /// A row was sealed with another key, or is damaged.
    #[error(
        "row {row} of the index does not open with the organisation's key ({error}); if the key is the right one, build the index again"
    )]
    Sealed {
        /// Which.
        row: i64,
        /// Why.
        error: OpenError,
    },
    /// A row is none of ours.
    #[error("row {0} of the index is damaged; build the index again")]
    Damaged(i64),
    /// The index has another form.
    #[error(
        "the index has form {given}, and this program reads form {}; build it again with this program",
        schema::FORM
    )]
    Form {
        /// In the database.
        given: i64,
    },
    /// More terms than one row or question may have.
    #[error("{given} terms are more than the {max} that the index takes at once")]
    TooManyTerms {
        /// Given.
        given: usize,
        /// Allowed.
        max: usize,
    },
}

/// The index when it had so many rows.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Snapshot(pub u64);

/// A version to be kept.
#[derive(Clone, Debug)]
pub struct NewVersion<'a> {
    /// The record that it is on the ledger.
    pub record: RecordId,
    /// Its chart.
    pub chart: ChartId,
    /// Where it was added to the chart's log.
    pub position: LogPosition,
    /// The version that it amends, if it is not the first.
    pub follows: Option<RecordId>,
    /// Its resource, within the chart: whose it is, its type and its id. What two authors call the same is not the same.
    pub name: Term,
    /// Resources among which it is looked for, such as those of one type in one chart.
    pub kind: Term,
    /// The version's number, from 1.
    pub number: u64,
    /// When it became final.
    pub time: BlockTime,
    /// The resource's exact bytes.
    pub body: &'a [u8],
    /// What it is found by.
    pub terms: Vec<Term>,
}

/// A version that is kept.
#[derive(Clone, Debug)]
pub struct Version {
    /// Its row.
    pub row: u64,
    /// The record that it is on the ledger.
    pub record: RecordId,
    /// Its chart.
    pub chart: ChartId,
    /// Where it was added to the chart's log.
    pub position: LogPosition,
    /// Its resource, within the chart.
    pub name: Term,
    /// The version's number, from 1.
    pub number: u64,
    /// When it became final.
    pub time: BlockTime,
    /// The resource's exact bytes.
    pub body: Zeroizing<Vec<u8>>,
}

/// What is looked for.
#[derive(Clone, Copy, Debug)]
pub struct Find<'a> {
    /// Among which resources: those of any of these.
    pub kinds: &'a [Term],
    /// One of each of these lists, all of them.
    pub terms: &'a [Vec<Term>],
    /// As of when.
    pub at: Snapshot,
    /// Rows after this one; 0 for the first ones.
    pub after: u64,
    /// So many at most, and never more than [`ROWS_MAX`].
    pub rows_max: u32,
}

/// An index.
#[derive(Debug)]
pub struct Index {
    pool: AnyPool,
    backend: schema::Backend,
    key: IndexKey,
}

impl Index {
    /// Opens the index at a URL, `sqlite:FILE` or `postgres://...`, or makes one there.
    ///
    /// # Errors
    ///
    /// [`IndexError::Database`], and [`IndexError::Form`] if another program made it.
    pub async fn open(url: &str, key: IndexKey) -> Result<Self, IndexError> {
        sqlx::any::install_default_drivers();
        let backend = schema::Backend::of(url);
        let pool = AnyPoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(WAIT_MAX)
            .after_connect(move |connection, _| Box::pin(backend.prepare(connection)))
            .connect(&backend.url(url))
            .await?;
        schema::make(&pool, backend).await?;
        Ok(Self { pool, backend, key })
    }

    /// The index as it is now.
    pub async fn now(&self) -> Result<Snapshot, IndexError> {
        let row = sqlx::query("SELECT COALESCE(MAX(row), 0) FROM version").fetch_one(&self.pool);
        Ok(Snapshot(unsigned(row.await?.try_get(0)?)?))
    }

    /// Keeps versions, and how far their chart's log was followed if it is said; a version that is there already stays as
    /// it is. A version with a higher number follows the one before it of the same name, and the one that it amends.
    pub async fn put(
        &self,
        versions: &[NewVersion<'_>],
        mark: Option<(ChartId, &[u8])>,
    ) -> Result<(), IndexError> {
        let too_many = versions.iter().map(|it| it.terms.len()).find(|it| *it > ROW_TERMS_MAX);
        if let Some(given) = too_many {
            return Err(IndexError::TooManyTerms { given, max: ROW_TERMS_MAX });
        }
        let mut transaction = self.backend.begin(&self.pool).await?;
        for version in versions {
            let body = self.key.seal(&mut UnwrapErr(SysRng), &version.record, version.body);
            let row = sqlx::query(
                "INSERT INTO version
                 (record, chart, position, follows, name, kind, number, time_ms, ends, body)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
                 ON CONFLICT DO NOTHING RETURNING row",
            )
            .bind(&version.record.0[..])
            .bind(&version.chart.0[..])
            .bind(signed(version.position.0))
            .bind(version.follows.map(|it| it.0.to_vec()))
            .bind(&version.name[..])
            .bind(&version.kind[..])
            .bind(signed(version.number))
            .bind(signed(version.time.0))
            .bind(CURRENT)
            .bind(&body[..])
            .fetch_optional(&mut *transaction)
            .await?;
            let Some(row) = row else { continue };
            let row: i64 = row.try_get(0)?;
            end(&mut transaction, version, row).await?;
            for term in &version.terms {
                sqlx::query("INSERT INTO term (term, row) VALUES ($1, $2) ON CONFLICT DO NOTHING")
                    .bind(&term[..])
                    .bind(row)
                    .execute(&mut *transaction)
                    .await?;
            }
        }
        if let Some((chart, mark)) = mark {
            sqlx::query(
                "INSERT INTO mark (chart, mark) VALUES ($1, $2)
                 ON CONFLICT (chart) DO UPDATE SET mark = excluded.mark",
            )
            .bind(&chart.0[..])
            .bind(mark)
            .execute(&mut *transaction)
            .await?;
        }
        Ok(transaction.commit().await?)
    }

    /// How far a chart's log was followed.
    pub async fn mark(&self, chart: ChartId) -> Result<Option<Vec<u8>>, IndexError> {
        let found = sqlx::query("SELECT mark FROM mark WHERE chart = $1")
            .bind(&chart.0[..])
            .fetch_optional(&self.pool)
            .await?;
        Ok(found.map(|row| row.try_get(0)).transpose()?)
    }

    /// The newest versions of the resources with any of these names, in the order of their rows: of one in each chart that
    /// has one, [`ROWS_MAX`] at most.
    pub async fn named(&self, names: &[Term]) -> Result<Vec<Version>, IndexError> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        if names.len() > FIND_TERMS_MAX {
            return Err(IndexError::TooManyTerms { given: names.len(), max: FIND_TERMS_MAX });
        }
        let places: Vec<_> = (3..).take(names.len()).map(|at| format!("${at}")).collect();
        let mut query = sqlx::query(AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM version WHERE ends = $1 AND name IN ({}) ORDER BY row LIMIT $2",
            places.join(", ")
        )))
        .bind(CURRENT)
        .bind(i64::from(ROWS_MAX));
        for name in names {
            query = query.bind(&name[..]);
        }
        let rows = query.fetch_all(&self.pool).await?;
        rows.iter().map(|row| self.read(row)).collect()
    }

    /// One version of a resource.
    pub async fn version(
        &self,
        (chart, name): (ChartId, &Term),
        number: u64,
    ) -> Result<Option<Version>, IndexError> {
        let query = sqlx::query(AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM version WHERE name = $1 AND chart = $2 AND number = $3"
        )));
        let query = query.bind(&name[..]).bind(&chart.0[..]).bind(signed(number));
        let found = query.fetch_optional(&self.pool).await?;
        found.map(|row| self.read(&row)).transpose()
    }

    /// The versions of a resource below a number, the newest first, [`ROWS_MAX`] at most.
    pub async fn history(
        &self,
        (chart, name): (ChartId, &Term),
        below: u64,
    ) -> Result<Vec<Version>, IndexError> {
        let rows = sqlx::query(AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM version WHERE name = $1 AND chart = $2 AND number < $3
             ORDER BY number DESC LIMIT $4"
        )))
        .bind(&name[..])
        .bind(&chart.0[..])
        .bind(signed(below))
        .bind(i64::from(ROWS_MAX))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|row| self.read(row)).collect()
    }

    /// What a record of a chart brought.
    pub async fn of_record(
        &self,
        chart: ChartId,
        record: RecordId,
    ) -> Result<Option<Version>, IndexError> {
        let query = sqlx::query(AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM version WHERE record = $1 AND chart = $2"
        )));
        let found = query.bind(&record.0[..]).bind(&chart.0[..]).fetch_optional(&self.pool).await?;
        found.map(|row| self.read(&row)).transpose()
    }

    /// Whether a record's version is here.
    pub async fn has(&self, record: RecordId) -> Result<bool, IndexError> {
        let found = sqlx::query("SELECT 1 FROM version WHERE record = $1")
            .bind(&record.0[..])
            .fetch_optional(&self.pool);
        Ok(found.await?.is_some())
    }

    /// The versions that were current at a snapshot and have the terms, in the order of their rows.
    pub async fn find(&self, find: &Find<'_>) -> Result<Vec<Version>, IndexError> {
        let given = find.kinds.len() + find.terms.iter().map(Vec::len).sum::<usize>();
        if given > FIND_TERMS_MAX {
            return Err(IndexError::TooManyTerms { given, max: FIND_TERMS_MAX });
        }
        // Nothing is one of no terms.
        if find.kinds.is_empty() || find.terms.iter().any(Vec::is_empty) {
            return Ok(Vec::new());
        }
        let mut query = sqlx::query(AssertSqlSafe(question(find)))
            .bind(signed(find.after))
            .bind(signed(find.at.0))
            .bind(i64::from(find.rows_max.min(ROWS_MAX)));
        for term in find.kinds.iter().chain(find.terms.iter().flatten()) {
            query = query.bind(&term[..]);
        }
        let rows = query.fetch_all(&self.pool).await?;
        rows.iter().map(|row| self.read(row)).collect()
    }

    /// Forgets all of a chart, as where a grant ends: once this returns, its rows are in no file of the database. (Of
    /// PostgreSQL that is so once it has vacuumed, and its log has moved on.)
    pub async fn forget(&self, chart: ChartId) -> Result<(), IndexError> {
        let mut transaction = self.backend.begin(&self.pool).await?;
        for statement in [
            "DELETE FROM term WHERE row IN (SELECT row FROM version WHERE chart = $1)",
            "DELETE FROM version WHERE chart = $1",
            "DELETE FROM mark WHERE chart = $1",
        ] {
            sqlx::query(statement).bind(&chart.0[..]).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(self.backend.clean(&self.pool).await?)
    }

    /// Forgets a resource in all its versions, as where one of them was redacted: likewise.
    pub async fn forget_resource(
        &self,
        chart: ChartId,
        version: RecordId,
    ) -> Result<(), IndexError> {
        let mut transaction = self.backend.begin(&self.pool).await?;
        let found = sqlx::query("SELECT name FROM version WHERE record = $1 AND chart = $2")
            .bind(&version.0[..])
            .bind(&chart.0[..])
            .fetch_optional(&mut *transaction)
            .await?;
        let Some(found) = found else { return Ok(()) };
        let name: Vec<u8> = found.try_get(0)?;
        for statement in [
            "DELETE FROM term WHERE row IN (SELECT row FROM version WHERE name = $1 AND chart = $2)",
            "DELETE FROM version WHERE name = $1 AND chart = $2",
        ] {
            let statement = sqlx::query(statement).bind(&name[..]).bind(&chart.0[..]);
            statement.execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(self.backend.clean(&self.pool).await?)
    }

    /// The charts whose logs are followed.
    pub async fn charts(&self) -> Result<Vec<ChartId>, IndexError> {
        let rows = sqlx::query("SELECT chart FROM mark ORDER BY chart").fetch_all(&self.pool);
        let chart = |row: &AnyRow| -> Result<ChartId, IndexError> {
            let bytes: Vec<u8> = row.try_get(0)?;
            Ok(ChartId(bytes.try_into().map_err(|_| IndexError::Damaged(0))?))
        };
        rows.await?.iter().map(chart).collect()
    }

    /// The key of what is in it.
    pub const fn key(&self) -> &IndexKey {
        &self.key
    }

    fn read(&self, row: &AnyRow) -> Result<Version, IndexError> {
        let at: i64 = row.try_get("row")?;
        let bytes = |column| -> Result<[u8; 32], IndexError> {
            let bytes: Vec<u8> = row.try_get(column)?;
            bytes.try_into().map_err(|_| IndexError::Damaged(at))
        };
        let number = |column| -> Result<u64, IndexError> {
            let number: i64 = row.try_get(column)?;
            unsigned(number).map_err(|_| IndexError::Damaged(at))
        };
        let name: Vec<u8> = row.try_get("name")?;
        let (record, body) = (RecordId(bytes("record")?), row.try_get::<Vec<u8>, _>("body")?);
        let body = self.key.open(&record, &body);
        Ok(Version {
            row: number("row")?,
            record,
            chart: ChartId(bytes("chart")?),
            position: LogPosition(number("position")?),
            name: name.try_into().map_err(|_| IndexError::Damaged(at))?,
            number: number("number")?,
            time: BlockTime(number("time_ms")?),
            body: body.map_err(|error| IndexError::Sealed { row: at, error })?,
        })
    }
}

/// Ends the version before a new one, or the new one at once if a later one came first. An amendment ends what it amends
/// also where it is called otherwise: what was put right is not shown as if it were the newest.
async fn end(
    transaction: &mut sqlx::Transaction<'_, sqlx::Any>,
    version: &NewVersion<'_>,
    row: i64,
) -> Result<(), IndexError> {
    let later = sqlx::query(
        "SELECT row FROM version
         WHERE chart = $1 AND (follows = $2 OR (name = $3 AND number > $4)) LIMIT 1",
    )
    .bind(&version.chart.0[..])
    .bind(&version.record.0[..])
    .bind(&version.name[..])
    .bind(signed(version.number))
    .fetch_optional(&mut **transaction)
    .await?;
    let statement = match later {
        // It was never the newest one here.
        Some(_) => sqlx::query("UPDATE version SET ends = $1 WHERE row = $1").bind(row),
        None => sqlx::query(
            "UPDATE version SET ends = $1
             WHERE chart = $2 AND ends = $3 AND row <> $1 AND (name = $4 OR record = $5)",
        )
        .bind(row)
        .bind(&version.chart.0[..])
        .bind(CURRENT)
        .bind(&version.name[..])
        .bind(version.follows.map(|it| it.0.to_vec())),
    };
    statement.execute(&mut **transaction).await?;
    Ok(())
}

/// The words of [`Index::find`]: numbers of what is bound, and nothing of what anyone sent.
fn question(find: &Find<'_>) -> String {
    let mut number = 3;
    let mut list = |terms: &[Term]| {
        let names: Vec<_> = terms
            .iter()
            .map(|_| {
                number += 1;
                format!("${number}")
            })
            .collect();
        names.join(", ")
    };
    let kinds = list(find.kinds);
    let terms: String = find
        .terms
        .iter()
        .map(|terms| format!(" AND row IN (SELECT row FROM term WHERE term IN ({}))", list(terms)))
        .collect();
    format!(
        "SELECT {COLUMNS} FROM version
         WHERE row > $1 AND row <= $2 AND ends > $2 AND kind IN ({kinds}){terms}
         ORDER BY row LIMIT $3"
    )
}

/// As databases have numbers. Heights of time and counts do not come near the limit.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> Result<u64, IndexError> {
    u64::try_from(number).map_err(|_: TryFromIntError| IndexError::Damaged(number))
}

const _: () = assert!(TERM_BYTES == 16, "the columns of terms have 16 bytes");
