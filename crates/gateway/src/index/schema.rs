//! The tables of an index, in SQLite or in PostgreSQL.
//!
//! Where the two differ, it is here and nowhere else: how bytes and numbers of rows are called, what makes a commit
//! durable, and how one writes alone.

use sqlx::{Any, AnyConnection, AnyPool, AssertSqlSafe, Executor as _, Row as _, Transaction};

use super::IndexError;

/// The form of the tables below, and of what their terms are made of. Another one is another index.
pub(super) const FORM: i64 = 2;

/// What the tables are in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Backend {
    Sqlite,
    Postgres,
}

impl Backend {
    /// What a URL names; whoever else it names says so when it is connected to.
    pub(super) fn of(url: &str) -> Self {
        if url.starts_with("sqlite:") { Self::Sqlite } else { Self::Postgres }
    }

    /// The URL with which it is connected to: a file that is not there is made.
    pub(super) fn url(self, url: &str) -> String {
        match self {
            Self::Sqlite if !url.contains('?') => format!("{url}?mode=rwc"),
            Self::Sqlite | Self::Postgres => url.into(),
        }
    }

    /// Readies a connection.
    pub(super) async fn prepare(self, connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
        if self == Self::Sqlite {
            // In a log that is synced before it is gone through, not at each commit: what a power cut takes are the last
            // commits, all of each, and the ledger is followed from the mark before them. What is deleted is overwritten.
            for pragma in [
                "PRAGMA journal_mode = WAL",
                "PRAGMA synchronous = NORMAL",
                "PRAGMA secure_delete = ON",
                "PRAGMA busy_timeout = 10000",
            ] {
                connection.execute(pragma).await?;
            }
        }
        Ok(())
    }

    /// Begins to write, once nobody else does, and keeps others from it until the end: rows get their numbers in the
    /// order in which they are committed. Others may read.
    pub(super) async fn begin(
        self,
        pool: &AnyPool,
    ) -> Result<Transaction<'static, Any>, sqlx::Error> {
        match self {
            Self::Sqlite => pool.begin_with("BEGIN IMMEDIATE").await,
            Self::Postgres => {
                let mut transaction = pool.begin().await?;
                let lock = "LOCK TABLE version IN SHARE ROW EXCLUSIVE MODE";
                sqlx::query(lock).execute(&mut *transaction).await?;
                Ok(transaction)
            }
        }
    }

    /// Removes what was deleted from the log as well, whose pages it is still on.
    pub(super) async fn clean(self, pool: &AnyPool) -> Result<(), sqlx::Error> {
        if self == Self::Sqlite {
            sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(pool).await?;
        }
        Ok(())
    }

    fn tables(self) -> [String; 11] {
        let (row, bytes, rest) = match self {
            Self::Sqlite => ("INTEGER PRIMARY KEY AUTOINCREMENT", "BLOB", " WITHOUT ROWID"),
            Self::Postgres => ("BIGSERIAL PRIMARY KEY", "BYTEA", ""),
        };
        [
            "CREATE TABLE IF NOT EXISTS form (form BIGINT NOT NULL)".into(),
            format!(
                "CREATE TABLE IF NOT EXISTS version (
                    row {row}, record {bytes} NOT NULL UNIQUE, chart {bytes} NOT NULL,
                    position BIGINT NOT NULL, follows {bytes}, name {bytes} NOT NULL,
                    kind {bytes} NOT NULL, number BIGINT NOT NULL, time_ms BIGINT NOT NULL,
                    ends BIGINT NOT NULL, body {bytes} NOT NULL, UNIQUE (name, chart, number))"
            ),
            format!(
                "CREATE TABLE IF NOT EXISTS term (
                    term {bytes} NOT NULL, row BIGINT NOT NULL, PRIMARY KEY (term, row)){rest}"
            ),
            format!(
                "CREATE TABLE IF NOT EXISTS mark (chart {bytes} PRIMARY KEY, mark {bytes} NOT NULL)"
            ),
            format!(
                "CREATE TABLE IF NOT EXISTS export (
                    export {bytes} PRIMARY KEY, client {bytes} NOT NULL, until_ms BIGINT NOT NULL,
                    spec {bytes} NOT NULL, progress {bytes} NOT NULL)"
            ),
            format!(
                "CREATE TABLE IF NOT EXISTS export_page (
                    export {bytes} NOT NULL, file BIGINT NOT NULL, page BIGINT NOT NULL,
                    until_byte BIGINT NOT NULL, body {bytes} NOT NULL,
                    PRIMARY KEY (export, file, page))"
            ),
            format!(
                "CREATE TABLE IF NOT EXISTS subscription (
                    subscription {bytes} PRIMARY KEY, owner {bytes} NOT NULL,
                    until_ms BIGINT NOT NULL, spec {bytes} NOT NULL, state {bytes} NOT NULL)"
            ),
            format!(
                "CREATE TABLE IF NOT EXISTS subscription_event (
                    subscription {bytes} NOT NULL, number BIGINT NOT NULL, source {bytes} NOT NULL,
                    body {bytes} NOT NULL, PRIMARY KEY (subscription, number),
                    UNIQUE (subscription, source))"
            ),
            "CREATE INDEX IF NOT EXISTS version_by_kind ON version (kind, row)".into(),
            "CREATE INDEX IF NOT EXISTS version_by_chart ON version (chart)".into(),
            "CREATE INDEX IF NOT EXISTS version_by_follows ON version (follows)".into(),
        ]
    }
}

/// Makes the tables that are missing, and refuses those of another form.
pub(super) async fn make(pool: &AnyPool, backend: Backend) -> Result<(), IndexError> {
    for statement in backend.tables() {
        sqlx::query(AssertSqlSafe(statement)).execute(pool).await?;
    }
    sqlx::query("INSERT INTO form (form) SELECT $1 WHERE NOT EXISTS (SELECT 1 FROM form)")
        .bind(FORM)
        .execute(pool)
        .await?;
    let given = sqlx::query("SELECT form FROM form").fetch_one(pool).await?.try_get(0)?;
    if given == FORM { Ok(()) } else { Err(IndexError::Form { given }) }
}
