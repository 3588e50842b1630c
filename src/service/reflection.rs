//! Reflections and principles: read, forgotten, and written by consolidation.
//!
//! **Invariant:** no front end writes them; a client reads what was concluded and may have it forgotten.

use crate::domain::page::{Page, Paged};
use crate::domain::principle::{NewPrinciple, Principle, PrincipleBody};
use crate::domain::reflection::{NewReflection, Reflection, ReflectionBody};
use crate::domain::{Caller, PrincipleId, ReflectionId};
use crate::service::{Error, Pending, Services, found};

impl Services {
    /// Writes what a period came to; under an id that is taken, in place of what was there. For jobs.
    ///
    /// # Errors
    /// `Forbidden`, `Invalid`, `Overloaded`; pending: `Unavailable`.
    pub fn write_reflection(
        &self,
        caller: &Caller,
        id: ReflectionId,
        body: ReflectionBody,
    ) -> Result<Pending<Reflection>, Error> {
        let store = self.writer(caller)?;
        let now = self.clock.now();
        let new = NewReflection::new(id, body, now, now)?;
        Ok(store.write_reflection(&caller.tenant, new, now)?)
    }

    /// A reflection by its id.
    ///
    /// # Errors
    /// `NotFound`, also for another tenant's; `Overloaded`, `Unavailable`.
    pub fn reflection(&self, caller: &Caller, id: ReflectionId) -> Result<Reflection, Error> {
        let row = self.store.reflection(self.wait, &caller.tenant, id)?;
        let row = row.map(|reflection| {
            let sensitivity = reflection.body.sensitivity;
            (reflection, sensitivity)
        });
        found(caller, "reflection", row)
    }

    /// Reflections in the order of their periods.
    ///
    /// # Errors
    /// `Overloaded`, `Unavailable`.
    pub fn reflections(&self, caller: &Caller, page: &Page) -> Result<Paged<Reflection>, Error> {
        Ok(self.store.reflections(self.wait, caller, page)?)
    }

    /// Forgets a reflection.
    ///
    /// # Errors
    /// `Forbidden`, `Overloaded`; pending: `NotFound`, `Unavailable`.
    pub fn forget_reflection(
        &self,
        caller: &Caller,
        id: ReflectionId,
    ) -> Result<Pending<()>, Error> {
        let store = self.writer(caller)?;
        Ok(store.forget_reflection(&caller.tenant, id)?)
    }

    /// Writes what recurs; under an id that is taken, in place of what was there. For jobs.
    ///
    /// # Errors
    /// `Forbidden`, `Invalid`, `Overloaded`; pending: `Unavailable`.
    pub fn write_principle(
        &self,
        caller: &Caller,
        id: PrincipleId,
        body: PrincipleBody,
    ) -> Result<Pending<Principle>, Error> {
        let store = self.writer(caller)?;
        let now = self.clock.now();
        let new = NewPrinciple::new(id, body, now, now, now)?;
        Ok(store.write_principle(&caller.tenant, new, now)?)
    }

    /// A principle by its id.
    ///
    /// # Errors
    /// `NotFound`, also for another tenant's; `Overloaded`, `Unavailable`.
    pub fn principle(&self, caller: &Caller, id: PrincipleId) -> Result<Principle, Error> {
        let row = self.store.principle(self.wait, &caller.tenant, id)?;
        let row = row.map(|principle| {
            let sensitivity = principle.body.sensitivity;
            (principle, sensitivity)
        });
        found(caller, "principle", row)
    }

    /// Principles in the order in which they were found first.
    ///
    /// # Errors
    /// `Overloaded`, `Unavailable`.
    pub fn principles(&self, caller: &Caller, page: &Page) -> Result<Paged<Principle>, Error> {
        Ok(self.store.principles(self.wait, caller, page)?)
    }

    /// Forgets a principle.
    ///
    /// # Errors
    /// `Forbidden`, `Overloaded`; pending: `NotFound`, `Unavailable`.
    pub fn forget_principle(&self, caller: &Caller, id: PrincipleId) -> Result<Pending<()>, Error> {
        let store = self.writer(caller)?;
        Ok(store.forget_principle(&caller.tenant, id)?)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Clock;
    use crate::domain::page::Direction;
    use crate::domain::recall::RecallDraft;
    use crate::domain::{Channel, HandoffId, Sensitivity, Stat, TenantId, Timestamp};
    use crate::service::Limits;
    use crate::store::{Durability, Options, Role, Store};

    fn services(dir: &tempfile::TempDir) -> (Services, Clock) {
        let options = Options {
            path: dir.path().join("m.db"),
            role: Role::Command,
            readers: 1,
            reader_wait: Duration::from_secs(1),
            read_time: None,
            durability: Durability::Normal,
            max_log_bytes: u64::MAX,
            write_wait: Duration::from_secs(1),
        };
        let clock = Clock::fixed(Timestamp::parse("t", "2026-03-01T00:00:00Z").unwrap());
        let store = Store::open(&options, clock.now()).unwrap();
        let limits = Limits {
            max_artifact_bytes: 0,
        };
        (Services::new(store, clock.clone(), limits), clock)
    }

    fn on(channel: Channel) -> Caller {
        Caller {
            channel,
            ..Caller::local(TenantId::default_tenant())
        }
    }

    fn found(services: &Services, channel: Channel, query: &str) -> Vec<String> {
        let draft = RecallDraft {
            query: query.to_owned(),
            ..RecallDraft::default()
        };
        let hits = services.recall(&on(channel), &draft).unwrap();
        hits.into_iter().map(|hit| hit.id).collect()
    }

    fn is_sound(services: &Services) {
        let findings = services.examine().unwrap();
        let faults: Vec<_> = findings.iter().filter(|finding| !finding.ok).collect();
        assert!(
            faults.iter().all(|fault| fault.check == "permissions"),
            "{faults:?}"
        );
    }

    #[test]
    fn a_period_is_reflected_on_again_in_place() {
        let dir = tempfile::tempdir().unwrap();
        let (services, clock) = services(&dir);
        let (caller, id) = (on(Channel::Private), ReflectionId::from_bytes([1; 16]));
        let body = |summary: &str, sensitivity| ReflectionBody {
            period_start: Timestamp::parse("t", "2026-02-01T00:00:00Z").unwrap(),
            period_end: Timestamp::parse("t", "2026-03-01T00:00:00Z").unwrap(),
            session_count: 2,
            summary: summary.to_owned(),
            insights: vec!["gauges drift".to_owned()],
            themes: vec!["tides".to_owned()],
            sensitivity,
        };
        let write = |body| {
            let pending = services.write_reflection(&caller, id, body).unwrap();
            pending.wait().unwrap()
        };
        let first = write(body("an anemometer", Sensitivity::None));
        clock.advance_millis(5_000);
        assert_eq!(
            write(body("an anemometer", Sensitivity::None)).created_at,
            first.created_at
        );
        assert_eq!(
            found(&services, Channel::Public, "anemometer"),
            [id.to_string()]
        );
        let second = write(body("a barometer", Sensitivity::High));
        assert_eq!(
            (second.created_at, second.body.summary.as_str()),
            (first.created_at, "a barometer")
        );
        let page = Page::first(10, Direction::Ascending);
        assert_eq!(services.reflections(&caller, &page).unwrap().items.len(), 1);
        assert_eq!(services.fresh_stats().unwrap()[&Stat::Reflections], 1);
        assert_eq!(found(&services, Channel::Private, "anemometer"), [""; 0]);
        assert_eq!(
            found(&services, Channel::Private, "barometer drifting"),
            [id.to_string()]
        );
        // It has become more sensitive.
        assert_eq!(found(&services, Channel::Public, "barometer"), [""; 0]);
        assert!(
            services
                .reflections(&on(Channel::Public), &page)
                .unwrap()
                .items
                .is_empty()
        );
        assert!(services.reflection(&on(Channel::Public), id).is_err());
        is_sound(&services);
        services
            .forget_reflection(&caller, id)
            .unwrap()
            .wait()
            .unwrap();
        assert_eq!(found(&services, Channel::Private, "barometer"), [""; 0]);
        let stats = services.fresh_stats().unwrap();
        assert_eq!((stats[&Stat::Reflections], stats[&Stat::TextBytes]), (0, 0));
        is_sound(&services);
    }

    #[test]
    fn a_principle_that_is_found_again_is_updated() {
        let dir = tempfile::tempdir().unwrap();
        let (services, clock) = services(&dir);
        let (caller, id) = (on(Channel::Private), PrincipleId::from_bytes([1; 16]));
        let write = |text: &str, count: u32| {
            let sources = (1..=3).map(|byte| HandoffId::from_bytes([byte; 16]));
            let body = PrincipleBody {
                text: text.to_owned(),
                source_handoffs: sources.collect(),
                count,
                sensitivity: Sensitivity::None,
            };
            let pending = services.write_principle(&caller, id, body).unwrap();
            pending.wait().unwrap()
        };
        let first = write("measure first", 3);
        clock.advance_millis(5_000);
        // The same again is not a change.
        assert_eq!(write("measure first", 3).updated_at, first.updated_at);
        let second = write("measure twice", 4);
        assert_eq!(second.created_at, first.created_at);
        assert_eq!(second.updated_at, clock.now());
        assert_eq!(services.principle(&caller, id).unwrap().body, second.body);
        assert_eq!(services.fresh_stats().unwrap()[&Stat::Principles], 1);
        assert_eq!(found(&services, Channel::Agent, "twice"), [id.to_string()]);
        is_sound(&services);
        services
            .forget_principle(&caller, id)
            .unwrap()
            .wait()
            .unwrap();
        assert_eq!(found(&services, Channel::Agent, "twice"), [""; 0]);
        is_sound(&services);
        assert!(
            services
                .forget_principle(&caller, id)
                .unwrap()
                .wait()
                .is_err()
        );
    }
}
