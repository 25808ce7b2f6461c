//! What an index keeps of subscriptions: who asks to be told of what, how far they were told, and of what.
//!
//! ```text
//! subscription         subscription  owner  until_ms  spec  state         one row for each subscription
//! subscription_event   subscription  number  source  body                 one row for each event
//! ```
//!
//! `owner` and `source` are terms, and `spec`, `state` and `body` are sealed, as rows of the index are. Subscriptions
//! are the only rows here that the ledger and the custodians do not have: what is built again keeps them.
//!
//! # Invariants
//!
//! * Events are there together with the state that counts them, or not at all.
//! * Of one subscription, a number has one event, and what happened once has one number: also after the index was built
//!   again, when its rows have other numbers.
//! * Nothing is kept of a subscription that was forgotten: what goes on with it is told so.
//!
//! Not here: what is in a spec, a state and an event, and who may see any of them.

use std::fmt;

use keepwell_crypto::hash::digest;
use rand_core::Rng as _;

use super::*;

/// The id of a subscription: random, and written in hexadecimal digits.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct SubscriptionId([u8; 16]);

impl SubscriptionId {
    pub(crate) fn random() -> Self {
        let mut bytes = [0; 16];
        UnwrapErr(SysRng).fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// Reads an id, in the one way in which it is written.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes)).filter(|it| it.to_string() == text)
    }
}

impl fmt::Display for SubscriptionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex::encode(self.0))
    }
}

/// A subscription that begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewSubscription<'a> {
    pub(crate) id: SubscriptionId,
    /// Whose it is.
    pub(crate) owner: &'a [u8],
    /// Until when it is kept, in milliseconds since 1970.
    pub(crate) until_ms: u64,
    pub(crate) spec: &'a [u8],
    pub(crate) state: &'a [u8],
}

/// What is kept of a subscription: what is asked for, and how far it was told.
pub(crate) type KeptSubscription = (Zeroizing<Vec<u8>>, Zeroizing<Vec<u8>>);

/// An event of a subscription.
#[derive(Clone, Debug)]
pub(crate) struct NewEvent {
    pub(crate) number: u64,
    /// What happened, by which it is known again.
    pub(crate) source: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

impl Index {
    /// The versions of a chart in rows after this one, in their order.
    pub(crate) async fn versions_after(
        &self,
        (chart, row): (ChartId, u64),
        rows_max: u32,
    ) -> Result<Vec<Version>, IndexError> {
        let query = sqlx::query(AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM version WHERE chart = $1 AND row > $2 ORDER BY row LIMIT $3"
        )));
        let query = query.bind(&chart.0[..]).bind(signed(row)).bind(i64::from(rows_max));
        query.fetch_all(&self.pool).await?.iter().map(|row| self.read(row)).collect()
    }

    /// Keeps a subscription that begins.
    pub(crate) async fn keep_subscription(
        &self,
        new: &NewSubscription<'_>,
    ) -> Result<(), IndexError> {
        let mut transaction = self.backend.begin(&self.pool).await?;
        sqlx::query(
            "INSERT INTO subscription (subscription, owner, until_ms, spec, state)
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(&new.id.0[..])
        .bind(&self.owner_term(new.owner)[..])
        .bind(signed(new.until_ms))
        .bind(self.seal_part(new.id, &[b"spec"], new.spec))
        .bind(self.seal_part(new.id, &[b"state"], new.state))
        .execute(&mut *transaction)
        .await?;
        Ok(transaction.commit().await?)
    }

    /// What is kept of a subscription.
    pub(crate) async fn subscription(
        &self,
        id: SubscriptionId,
    ) -> Result<Option<KeptSubscription>, IndexError> {
        let found = sqlx::query("SELECT spec, state FROM subscription WHERE subscription = $1")
            .bind(&id.0[..])
            .fetch_optional(&self.pool)
            .await?;
        let open = |row: AnyRow| -> Result<KeptSubscription, IndexError> {
            let spec = self.open_part(id, &[b"spec"], &row.try_get::<Vec<u8>, _>("spec")?)?;
            let state: Vec<u8> = row.try_get("state")?;
            Ok((spec, self.open_part(id, &[b"state"], &state)?))
        };
        found.map(open).transpose()
    }

    /// The subscriptions of an owner, and how many there are of all.
    pub(crate) async fn subscriptions_of(
        &self,
        owner: &[u8],
    ) -> Result<(Vec<SubscriptionId>, usize), IndexError> {
        let rows =
            sqlx::query("SELECT subscription, owner FROM subscription ORDER BY subscription");
        let rows = rows.fetch_all(&self.pool).await?;
        let (owner, mut own) = (self.owner_term(owner), Vec::new());
        for row in &rows {
            if row.try_get::<Vec<u8>, _>("owner")? == owner {
                own.push(subscription_in(row)?);
            }
        }
        Ok((own, rows.len()))
    }

    /// All subscriptions.
    pub(crate) async fn subscriptions(&self) -> Result<Vec<SubscriptionId>, IndexError> {
        let rows = sqlx::query("SELECT subscription FROM subscription ORDER BY subscription");
        rows.fetch_all(&self.pool).await?.iter().map(subscription_in).collect()
    }

    /// Keeps how far a subscription is, until when it is kept, and the events that came to it. False if it was
    /// forgotten.
    pub(crate) async fn advance_subscription(
        &self,
        id: SubscriptionId,
        (state, until_ms): (&[u8], u64),
        events: &[NewEvent],
    ) -> Result<bool, IndexError> {
        let mut transaction = self.backend.begin(&self.pool).await?;
        let done = sqlx::query(
            "UPDATE subscription SET state = $1, until_ms = $2 WHERE subscription = $3",
        )
        .bind(self.seal_part(id, &[b"state"], state))
        .bind(signed(until_ms))
        .bind(&id.0[..])
        .execute(&mut *transaction)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        for it in events {
            let body = self.seal_part(id, &[b"event", &it.number.to_be_bytes()], &it.body);
            sqlx::query(
                "INSERT INTO subscription_event (subscription, number, source, body)
                 VALUES ($1, $2, $3, $4)",
            )
            .bind(&id.0[..])
            .bind(signed(it.number))
            .bind(&self.source_term(id, &it.source)[..])
            .bind(body)
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(true)
    }

    /// Whether a subscription has an event of this already.
    pub(crate) async fn has_event(
        &self,
        id: SubscriptionId,
        source: &[u8],
    ) -> Result<bool, IndexError> {
        let found =
            sqlx::query("SELECT 1 FROM subscription_event WHERE subscription = $1 AND source = $2")
                .bind(&id.0[..])
                .bind(&self.source_term(id, source)[..])
                .fetch_optional(&self.pool);
        Ok(found.await?.is_some())
    }

    /// The events of a subscription from one number to another, both included, in their order, so many at most.
    pub(crate) async fn events(
        &self,
        id: SubscriptionId,
        (from, until): (u64, u64),
        events_max: u32,
    ) -> Result<Vec<(u64, Zeroizing<Vec<u8>>)>, IndexError> {
        let rows = sqlx::query(
            "SELECT number, body FROM subscription_event
             WHERE subscription = $1 AND number >= $2 AND number <= $3 ORDER BY number LIMIT $4",
        )
        .bind(&id.0[..])
        .bind(signed(from))
        .bind(signed(until))
        .bind(i64::from(events_max))
        .fetch_all(&self.pool)
        .await?;
        let open = |row: &AnyRow| {
            let number = unsigned(row.try_get("number")?)?;
            let place = [&b"event"[..], &number.to_be_bytes()];
            Ok((number, self.open_part(id, &place, &row.try_get::<Vec<u8>, _>("body")?)?))
        };
        rows.iter().map(open).collect()
    }

    /// Forgets a subscription and its events. False if it is none.
    pub(crate) async fn forget_subscription(&self, id: SubscriptionId) -> Result<bool, IndexError> {
        Ok(self.forget_subscriptions("subscription = $1", Some(id), 0).await? > 0)
    }

    /// Forgets what was to be kept until now, in milliseconds since 1970.
    pub(crate) async fn forget_subscriptions_until(&self, now_ms: u64) -> Result<u64, IndexError> {
        // Whoever writes keeps others from it, and mostly there is nothing to write.
        let over = sqlx::query("SELECT 1 FROM subscription WHERE until_ms <= $1 LIMIT 1")
            .bind(signed(now_ms))
            .fetch_optional(&self.pool);
        if over.await?.is_none() {
            return Ok(0);
        }
        self.forget_subscriptions("until_ms <= $1", None, now_ms).await
    }

    async fn forget_subscriptions(
        &self,
        which: &'static str,
        id: Option<SubscriptionId>,
        number: u64,
    ) -> Result<u64, IndexError> {
        let mut transaction = self.backend.begin(&self.pool).await?;
        let mut forgotten = 0;
        for statement in [
            format!(
                "DELETE FROM subscription_event WHERE subscription IN
                 (SELECT subscription FROM subscription WHERE {which})"
            ),
            format!("DELETE FROM subscription WHERE {which}"),
        ] {
            let query = sqlx::query(AssertSqlSafe(statement));
            let query = match id {
                Some(id) => query.bind(id.0.to_vec()),
                None => query.bind(signed(number)),
            };
            forgotten = query.execute(&mut *transaction).await?.rows_affected();
        }
        transaction.commit().await?;
        Ok(forgotten)
    }

    fn owner_term(&self, owner: &[u8]) -> Term {
        self.key.term(&[b"subscription owner", owner])
    }

    fn source_term(&self, id: SubscriptionId, source: &[u8]) -> Term {
        self.key.term(&[b"subscription source", &id.0, source])
    }

    fn seal_part(&self, id: SubscriptionId, place: &[&[u8]], plain: &[u8]) -> Vec<u8> {
        self.key.seal(&mut UnwrapErr(SysRng), &name_of(id, place), plain)
    }

    fn open_part(
        &self,
        id: SubscriptionId,
        place: &[&[u8]],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, IndexError> {
        let opened = self.key.open(&name_of(id, place), sealed);
        opened.map_err(|error| IndexError::Sealed { row: 0, error })
    }
}

fn subscription_in(row: &AnyRow) -> Result<SubscriptionId, IndexError> {
    let bytes: Vec<u8> = row.try_get("subscription")?;
    Ok(SubscriptionId(bytes.try_into().map_err(|_| IndexError::Damaged(0))?))
}

/// What stands in the place of a record's id for a part of a subscription, so that no part stands for another.
fn name_of(id: SubscriptionId, place: &[&[u8]]) -> RecordId {
    let parts: Vec<&[u8]> = [&id.0[..]].into_iter().chain(place.iter().copied()).collect();
    RecordId(digest("keepwell/gateway/subscription/v1", &parts).0)
}
