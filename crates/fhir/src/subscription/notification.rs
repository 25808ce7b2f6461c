//! What whoever subscribed is told: a Bundle of type history that begins with how the subscription stands, as
//! Parameters.
//!
//! # Invariants
//!
//! * Numbers of events begin with 1 and have no gaps; what was told once is told again under the same number.
//! * Without content, no resource is named; with ids, no resource is shown.
//!
//! Not here: which events there are.

use alloc::{
    format,
    string::{String, ToString as _},
    vec::Vec,
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Content, Standing, Topic, own};
use crate::header::instant;

/// Why a notification is sent (`subscription-notification-type`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// To see whether anybody is there.
    Handshake,
    /// Nothing happened, and it would have been told.
    Heartbeat,
    /// Something happened.
    Event,
    /// It was asked how it stands.
    QueryStatus,
    /// It was asked for what happened before.
    QueryEvent,
}

impl Kind {
    /// Its code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Heartbeat => "heartbeat",
            Self::Event => "event-notification",
            Self::QueryStatus => "query-status",
            Self::QueryEvent => "query-event",
        }
    }
}

/// Something that happened.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Event {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// To which resource: `Type/id`; nothing of one that may not be named any more.
    pub focus: Option<String>,
    /// Whether it is there since then; else a version of it is.
    pub is_new: bool,
}

/// A notification.
#[derive(Clone, Copy, Debug)]
pub struct Notification<'a> {
    /// The server's public address.
    pub base: &'a str,
    /// The subscription's id.
    pub id: &'a str,
    /// Its topic.
    pub topic: Topic,
    /// How it stands.
    pub standing: Standing,
    /// Why it is sent.
    pub kind: Kind,
    /// How much is told.
    pub content: Content,
    /// How many events there were so far.
    pub count: u64,
    /// Some of them, with their numbers.
    pub events: &'a [(u64, Event)],
    /// Why the subscription has ended, if it has.
    pub error: Option<&'a str>,
}

impl Notification<'_> {
    /// How the subscription stands (SubscriptionStatus in R4).
    pub fn status(&self) -> Value {
        let Self { base, id, .. } = self;
        let mut parameters = Vec::from([
            json!({ "name": "subscription", "valueReference": { "reference": format!("{base}/Subscription/{id}") } }),
            json!({ "name": "topic", "valueCanonical": self.topic.canonical() }),
            json!({ "name": "status", "valueCode": self.standing.code() }),
            json!({ "name": "type", "valueCode": self.kind.code() }),
            json!({ "name": "eventsSinceSubscriptionStart", "valueString": self.count.to_string() }),
        ]);
        parameters.extend(self.events.iter().map(|it| self.event(it)));
        let error =
            self.error.map(|it| json!({ "name": "error", "valueCodeableConcept": { "text": it } }));
        parameters.extend(error);
        json!({
            "resourceType": "Parameters", "id": id,
            "meta": { "profile": [own("backport-subscription-status-r4")] },
            "parameter": parameters,
        })
    }

    fn event(&self, (number, event): &(u64, Event)) -> Value {
        let mut part = Vec::from([
            json!({ "name": "eventNumber", "valueString": number.to_string() }),
            json!({ "name": "timestamp", "valueInstant": instant(event.at_ms) }),
        ]);
        match self.content {
            Content::Empty => {}
            Content::IdOnly => part.extend(event.focus.as_ref().map(|focus| {
                let reference = format!("{}/{focus}", self.base);
                json!({ "name": "focus", "valueReference": { "reference": reference } })
            })),
        }
        json!({ "name": "notificationEvent", "part": part })
    }

    /// The Bundle. `at_ms` is when it is made, and `uuid` is drawn for it.
    pub fn bundle(&self, at_ms: u64, uuid: &str) -> Value {
        let Self { base, id, .. } = self;
        let mut entries = Vec::from([json!({
            "fullUrl": format!("urn:uuid:{uuid}"), "resource": self.status(),
            "request": { "method": "GET", "url": format!("{base}/Subscription/{id}/$status") },
            "response": { "status": "200" },
        })]);
        match self.content {
            Content::Empty => {}
            Content::IdOnly => {
                entries.extend(self.events.iter().filter_map(|(_, it)| self.entry(it)))
            }
        }
        json!({
            "resourceType": "Bundle",
            "meta": { "profile": [own("backport-subscription-notification-r4")] },
            "type": "history", "timestamp": instant(at_ms), "entry": entries,
        })
    }

    fn entry(&self, event: &Event) -> Option<Value> {
        let focus = event.focus.as_deref()?;
        let of = focus.split('/').next().unwrap_or_default();
        let (method, url, status) =
            if event.is_new { ("POST", of, "201") } else { ("PUT", focus, "200") };
        Some(json!({
            "fullUrl": format!("{}/{focus}", self.base),
            "request": { "method": method, "url": url }, "response": { "status": status },
        }))
    }
}
