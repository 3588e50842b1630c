//! From facts to plans: the pages that each planner asks for, and what a tenant usually talks about.
//!
//! **Invariant:** reads alone; a dry run and a run see the same plans.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::consolidate::rarity::Counts;
use crate::domain::consolidate::reflection::{Month, reflection_id};
use crate::domain::consolidate::{
    Change, Line, Plan, Thresholds, archival, compression, duplicates, identity, reflection,
};
use crate::domain::page::Position;
use crate::domain::reflection::Reflection;
use crate::domain::{Caller, CompressionLevel, ConsolidationType, Stat, TenantId, Timestamp};
use crate::service::consolidation::{ROUND, Stop};
use crate::service::{Error, Services};
use crate::store::{FactPage, StoreError};

/// Changes of a dry run that are listed; the others are counted.
const LISTED: usize = 1_000;
/// Handoffs whose words are counted to know what is rare: of more, one in so many.
const SAMPLED: i64 = 5_000;

/// What a job would do.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "ConsolidationPlan")]
pub struct PlanReport {
    /// The type of the job.
    pub job_type: ConsolidationType,
    /// Rows that were looked at.
    pub items_processed: u64,
    /// Rows that would be shown otherwise.
    pub items_affected: u64,
    /// What those take where they are shown, in tokens.
    pub tokens_before: u64,
    /// What they would take.
    pub tokens_after: u64,
    /// Why it would be skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    /// What would change; the first thousand.
    pub changes: Vec<Line>,
}

/// What is done with each plan as it is made.
type Take<'a> = &'a mut dyn FnMut(Plan) -> Result<(), Stop>;

impl Services {
    /// What the jobs of a type, or of all, would do for the caller's tenant now. Changes nothing.
    ///
    /// # Errors
    /// `Forbidden`, `Overloaded`, `Unavailable`.
    pub fn preview_consolidation(
        &self,
        caller: &Caller,
        job_type: Option<ConsolidationType>,
    ) -> Result<Vec<PlanReport>, Error> {
        // It names what is not for every reader.
        self.admin(caller)?;
        let mut reports = Vec::new();
        for kind in ROUND {
            if job_type.is_some_and(|only| only != kind) {
                continue;
            }
            let mut report = PlanReport {
                job_type: kind,
                items_processed: 0,
                items_affected: 0,
                tokens_before: 0,
                tokens_after: 0,
                skipped: None,
                changes: Vec::new(),
            };
            let skipped = self.plans(caller, kind, &mut |plan| {
                report.items_processed += plan.items_processed;
                report.items_affected += plan.items_affected();
                report.tokens_before += plan.tokens_before();
                report.tokens_after += plan.tokens_after();
                let room = LISTED.saturating_sub(report.changes.len());
                let lines = plan.changes.iter().take(room);
                report.changes.extend(lines.map(|change| change.line()));
                Ok(())
            });
            report.skipped = match skipped {
                Ok(skipped) => skipped,
                Err(Stop::Failed(error)) => return Err(error),
                Err(Stop::Asked) => None,
            };
            reports.push(report);
        }
        Ok(reports)
    }

    /// Hands the plans of a type to `take`, page by page; answers why there is too little to plan with, if so.
    pub(super) fn plans(
        &self,
        caller: &Caller,
        kind: ConsolidationType,
        take: Take<'_>,
    ) -> Result<Option<String>, Stop> {
        let (tenant, now) = (&caller.tenant, self.clock.now());
        let thresholds = &self.consolidator.settings.thresholds;
        match kind {
            ConsolidationType::HandoffCompression => {
                self.compress(tenant, now, thresholds, take)?
            }
            ConsolidationType::DecisionArchival => {
                let until = compression::due_before(now, thresholds.archive_days);
                self.pages(
                    |after| self.store.decision_facts(self.wait, tenant, until, after),
                    |page| take(archival::plan(now, thresholds, &page)),
                )?;
            }
            ConsolidationType::IdentityConsolidation => {
                let mut planner = identity::Planner::new(tenant.clone(), thresholds);
                self.pages(
                    |after| self.store.statement_facts(self.wait, tenant, after),
                    |page| {
                        planner.page(&page);
                        Ok(())
                    },
                )?;
                let known = self.store.all_principles(self.wait, tenant)?;
                let plan = planner.finish(&known);
                let few = plan.items_processed < u64::from(thresholds.statements);
                let idle = plan.changes.is_empty();
                take(plan)?;
                if few && idle {
                    let least = thresholds.statements;
                    return Ok(Some(format!(
                        "there are fewer than {least} identity statements"
                    )));
                }
            }
            ConsolidationType::Deduplication => {
                let mut planner = duplicates::Planner::default();
                for pinned in [true, false] {
                    self.pages(
                        |after| self.store.note_facts(self.wait, tenant, pinned, after),
                        |page| {
                            planner.page(&page);
                            Ok(())
                        },
                    )?;
                }
                take(planner.finish())?;
            }
            ConsolidationType::Reflection => self.reflect(tenant, now, take)?,
            ConsolidationType::Maintenance => {}
        }
        Ok(None)
    }

    /// Reads all pages of a list.
    fn pages<T>(
        &self,
        read: impl Fn(Option<Position>) -> Result<FactPage<T>, StoreError>,
        mut each: impl FnMut(Vec<T>) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let mut after = None;
        loop {
            let (page, next) = read(after)?;
            if !page.is_empty() {
                each(page)?;
            }
            after = match next {
                None => return Ok(()),
                next => next,
            };
        }
    }

    fn compress(
        &self,
        tenant: &TenantId,
        now: Timestamp,
        thresholds: &Thresholds,
        take: Take<'_>,
    ) -> Result<(), Stop> {
        let mut rarity = None;
        // The shortest first, so that none is met twice.
        for (level, days) in [
            (CompressionLevel::QuickRef, thresholds.integrated_days),
            (CompressionLevel::Summary, thresholds.quick_ref_days),
            (CompressionLevel::Full, thresholds.summary_days),
        ] {
            let until = compression::due_before(now, days);
            self.pages(
                |after| {
                    self.store
                        .handoff_facts(self.wait, tenant, level, until, after)
                },
                |page| {
                    let rarity = match &rarity {
                        Some(rarity) => rarity,
                        None => rarity.insert(self.rarity(tenant)?),
                    };
                    take(compression::plan(now, thresholds, rarity, &page))
                },
            )?;
        }
        Ok(())
    }

    /// The months that may have changed: this one and the one before, those with handoffs that came since the last time, and
    /// those without a reflection.
    fn reflect(&self, tenant: &TenantId, now: Timestamp, take: Take<'_>) -> Result<(), Stop> {
        let months = self.store.months_of_handoffs(self.wait, tenant)?;
        let of = |month: &Month| reflection_id(tenant, *month);
        let ids: Vec<_> = months.iter().map(|(month, _)| of(month)).collect();
        let known = self.store.reflections_by_id(self.wait, tenant, &ids)?;
        let known: BTreeMap<_, _> = known
            .into_iter()
            .map(|reflection| (reflection.reflection_id, reflection))
            .collect();
        let this = Month::of(now);
        let mut rarity = None;
        // The month before as it will be, or else a second run would find something new against it.
        let mut before: Option<Reflection> = None;
        let mut changed = false;
        for (month, is_new) in &months {
            let young = *month >= this || month.next() == this;
            let stored = known.get(&of(month));
            // What is new against the month before changes with its themes.
            if young || *is_new || changed || stored.is_none() {
                let rarity = match &rarity {
                    Some(rarity) => rarity,
                    None => rarity.insert(self.rarity(tenant)?),
                };
                let months = (stored, before.as_ref());
                let plan = self.reflect_on(tenant, *month, rarity, months)?;
                before = stands(&plan, tenant, now, stored);
                let themes = |one: Option<&Reflection>| one.map(|one| one.body.themes.clone());
                changed = themes(before.as_ref()) != themes(stored);
                take(plan)?;
            } else {
                changed = false;
                before = stored.cloned();
            }
        }
        Ok(())
    }

    fn reflect_on(
        &self,
        tenant: &TenantId,
        month: Month,
        rarity: &Counts,
        (known, before): (Option<&Reflection>, Option<&Reflection>),
    ) -> Result<Plan, Stop> {
        let time = (month.start(), month.end());
        let mut planner = reflection::Planner::new(tenant.clone(), month, rarity);
        self.pages(
            |after| self.store.session_facts(self.wait, tenant, time, after),
            |page| {
                planner.page(&page);
                Ok(())
            },
        )?;
        self.pages(
            |after| self.store.choice_facts(self.wait, tenant, time, after),
            |page| {
                planner.decisions(&page);
                Ok(())
            },
        )?;
        Ok(planner.finish(known, before))
    }

    /// What the tenant usually talks about, from its handoffs alone: so what consolidation writes makes no word commoner, and
    /// a second run sees what the first one saw.
    fn rarity(&self, tenant: &TenantId) -> Result<Counts, Stop> {
        let stats = self.store.tenant_stats(self.wait, tenant)?;
        let handoffs: i64 = stats
            .iter()
            .filter(|(stat, _)| matches!(stat, Stat::Handoffs(_)))
            .map(|(_, count)| count)
            .sum();
        let stride = u32::try_from(handoffs / SAMPLED + 1).unwrap_or(u32::MAX);
        let mut usual = Counts::default();
        self.pages(
            |after| self.store.sampled_texts(self.wait, tenant, stride, after),
            |page| {
                for fields in page {
                    usual.add(fields.each().map(|(_, text)| text));
                }
                Ok(())
            },
        )?;
        Ok(usual)
    }
}

/// The reflection of a month as a plan leaves it.
fn stands(
    plan: &Plan,
    tenant: &TenantId,
    now: Timestamp,
    known: Option<&Reflection>,
) -> Option<Reflection> {
    match plan.changes.as_slice() {
        [Change::WriteReflection(written)] => Some(Reflection {
            reflection_id: written.reflection_id,
            tenant_id: tenant.clone(),
            body: written.body.clone(),
            created_at: known.map_or(now, |known| known.created_at),
        }),
        [Change::RetireReflection(_)] => None,
        _ => known.cloned(),
    }
}
