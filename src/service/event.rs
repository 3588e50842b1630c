//! Recording and reading events.
//!
//! **Invariant:** a batch stores all of its valid items in one transaction, or none.

use serde::Serialize;

use crate::domain::content::{Cleaner, Fingerprint};
use crate::domain::event::{
    Artifact, Chunk, Event, EventDraft, EventFilter, EventReceipt, NewEvent,
};
use crate::domain::page::{Page, Paged};
use crate::domain::{ArtifactId, Caller, ChunkId, EventId, Invalid};
use crate::service::{Error, Pending, Services, found};
use crate::store::{IdempotencyKey, Outcome};

/// Most events of one batch. From the contract.
pub(crate) const MAX_BATCH: usize = 1000;

/// A batch on its way: the write of its valid items, and for each item whether it was refused.
pub(crate) type Batch = (Pending<Vec<Outcome>>, Vec<Option<Invalid>>);

/// What became of one item of a batch.
#[derive(Debug, Clone)]
pub enum BatchItem {
    /// It is stored.
    Stored(EventReceipt),
    /// It was refused before storing.
    Refused(Invalid),
    /// Its id is taken by another event.
    Conflict,
}

impl Services {
    /// Records one event. `key` is the client's `Idempotency-Key`.
    ///
    /// # Errors
    /// `Forbidden`, `Invalid`, `Overloaded`; pending: `Conflict`, `Unavailable`.
    pub fn record_event(
        &self,
        caller: &Caller,
        draft: EventDraft,
        key: Option<&str>,
    ) -> Result<Pending<Vec<Outcome>>, Error> {
        let store = self.writer(caller)?;
        let key = key
            .map(|key| idempotency_key("events", key, &draft))
            .transpose()?;
        let event = NewEvent::parse(draft, &caller.tenant, self.intake())?;
        let now = self.clock.now();
        Ok(store.record_events(&caller.tenant, vec![event], key, now)?)
    }

    /// Records a batch: answers the write of the valid items, and the refusals of the others by their index.
    ///
    /// # Errors
    /// `Forbidden`, `Invalid` when there are too many items, `Overloaded`; pending: `Unavailable`.
    pub(crate) fn record_batch(
        &self,
        caller: &Caller,
        items: Vec<Result<EventDraft, Invalid>>,
        key: Option<&str>,
    ) -> Result<Batch, Error> {
        let store = self.writer(caller)?;
        if items.len() > MAX_BATCH {
            return Err(Invalid::new("body", format!("holds more than {MAX_BATCH} events")).into());
        }
        let good: Vec<&EventDraft> = items.iter().filter_map(|item| item.as_ref().ok()).collect();
        let key = key
            .map(|key| idempotency_key("events/batch", key, &good))
            .transpose()?;
        let intake = self.intake();
        let mut events = Vec::with_capacity(items.len());
        let mut refusals = Vec::with_capacity(items.len());
        for item in items {
            match item.and_then(|draft| NewEvent::parse(draft, &caller.tenant, intake)) {
                Ok(event) => {
                    events.push(event);
                    refusals.push(None);
                }
                Err(invalid) => refusals.push(Some(invalid)),
            }
        }
        let pending = if events.is_empty() && key.is_none() {
            Pending::done(Ok(Vec::new()))
        } else {
            store.record_events(&caller.tenant, events, key, intake.now)?
        };
        Ok((pending, refusals))
    }

    /// An event by its id.
    ///
    /// # Errors
    /// `NotFound`, also for another tenant's; `Overloaded`, `Unavailable`.
    pub fn event(&self, caller: &Caller, id: EventId) -> Result<Event, Error> {
        let row = self.store.event(self.wait, &caller.tenant, id)?;
        let row = row.map(|event| {
            let sensitivity = event.sensitivity;
            (event, sensitivity)
        });
        found(caller, "event", row)
    }

    /// Events in order.
    ///
    /// # Errors
    /// `Overloaded`, `Unavailable`.
    pub fn events(
        &self,
        caller: &Caller,
        filter: &EventFilter,
        page: &Page,
    ) -> Result<Paged<Event>, Error> {
        Ok(self.store.events(self.wait, caller, filter, page)?)
    }

    /// A chunk by its id.
    ///
    /// # Errors
    /// As [`Services::event`].
    pub fn chunk(&self, caller: &Caller, id: ChunkId) -> Result<Chunk, Error> {
        found(
            caller,
            "chunk",
            self.store.chunk(self.wait, &caller.tenant, id)?,
        )
    }

    /// An artifact by its id.
    ///
    /// # Errors
    /// As [`Services::event`].
    pub fn artifact(&self, caller: &Caller, id: ArtifactId) -> Result<Artifact, Error> {
        found(
            caller,
            "artifact",
            self.store.artifact(self.wait, &caller.tenant, id)?,
        )
    }
}

/// The items of a batch in their order: what was stored, and what was refused.
pub(crate) fn merge(outcomes: Vec<Outcome>, refusals: Vec<Option<Invalid>>) -> Vec<BatchItem> {
    let mut outcomes = outcomes.into_iter();
    refusals
        .into_iter()
        .map(|refusal| match refusal {
            Some(invalid) => BatchItem::Refused(invalid),
            None => match outcomes.next() {
                Some(Outcome::Stored(receipt)) => BatchItem::Stored(receipt),
                Some(Outcome::Conflict) | None => BatchItem::Conflict,
            },
        })
        .collect()
}

/// Longest `Idempotency-Key`.
pub(crate) const MAX_KEY_BYTES: usize = 255;

/// What a client's key stands for: hashes of the key and of the request as it was sent.
pub(crate) fn idempotency_key(
    route: &'static str,
    key: &str,
    request: &impl Serialize,
) -> Result<IdempotencyKey, Error> {
    let visible = |byte: u8| (0x21..=0x7e).contains(&byte);
    if key.is_empty() || key.len() > MAX_KEY_BYTES || !key.bytes().all(visible) {
        return Err(Invalid::new("Idempotency-Key", "is not 1 to 255 visible characters").into());
    }
    let request =
        serde_json::to_value(request).map_err(|error| Error::Internal(Box::new(error)))?;
    // After redaction, so that what is kept says nothing about a secret.
    let request = Cleaner::default().value(request);
    Ok(IdempotencyKey {
        route,
        key: Fingerprint::of(&serde_json::Value::from(key)),
        request: Fingerprint::of(&request),
    })
}
