//! Identity consolidation: what recurs in the identity thread becomes a principle.
//!
//! Each sentence of a `becoming` is held against those that founded a group before it, in the order of time: it joins the
//! one that it shares most terms with, if that is enough, and founds its own if not. So a group's founder is its oldest
//! sentence, a group grows without changing, groups never merge, and what is said tomorrow moves nothing that was said
//! before. A group that was said in [`RECURS`] sessions is a principle: the words of its founder, the handoffs that said
//! so, and an id that follows from the founder alone. If the founder is forgotten, or an older one is brought in by an
//! import, the principle is taken back and the one of the new founder written.
//!
//! New principles are drawn once a tenant has as many statements as the threshold asks for; those that are there are kept
//! up with what is said however few there are.
//!
//! **Invariant:** touches no principle but those it made itself, which it knows by their ids.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::LazyLock;

use crate::domain::consolidate::{
    Change, Plan, RetirePrinciple, Thresholds, WritePrinciple, derived,
};
use crate::domain::principle::{MAX_SOURCES, Principle, PrincipleBody};
use crate::domain::terms::{fnv1a, index_terms};
use crate::domain::transcript::sentence;
use crate::domain::{
    ConsolidationType, HandoffId, Name, PrincipleId, Sensitivity, TenantId, Timestamp, token,
};

/// Sessions that have to say a thing before it is a principle: twice may be chance.
pub const RECURS: usize = 3;
/// Groups that a planner holds. When there are more, the one that waited longest for a second saying gives way; one that
/// recurred stays, and what would found another then is left out.
pub const MAX_GROUPS: usize = 4_096;
/// Sentences of a statement that are looked at; it is a statement and no story.
const MAX_SENTENCES: u8 = 8;
/// Terms of a sentence that are compared; 400 bytes of English have some 45.
const MAX_TERMS: usize = 64;
/// Distinct terms that a sentence has to have to say anything.
const LEAST_TERMS: usize = 2;
/// How much of the terms of both together two sentences have to share, in tenths: with 4 terms each, 3.
const ALIKE_TENTHS: usize = 6;
/// What every such statement says, whatever it says.
const FRAME: &str =
    "become becoming someone somebody person one grow growing learn learning more kind sort";

static FRAME_TERMS: LazyLock<HashSet<u64>> =
    LazyLock::new(|| index_terms(FRAME).iter().map(|term| fnv1a(term)).collect());

/// One statement of who the agent is becoming, of a handoff that is not `secret`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementFacts {
    /// The handoff that says so.
    pub handoff_id: HandoffId,
    /// Its session.
    pub session: Name,
    /// When.
    pub created_at: Timestamp,
    /// How carefully to handle it.
    pub sensitivity: Sensitivity,
    /// What it says.
    pub becoming: String,
}

/// What says nearly the same.
#[derive(Debug)]
struct Group {
    id: PrincipleId,
    /// The founder's words and terms.
    text: String,
    terms: Vec<u64>,
    sources: Vec<HandoffId>,
    last: HandoffId,
    count: u32,
    sessions: HashSet<u64>,
    sensitivity: Sensitivity,
    /// When it was said last, by the number of the sentence.
    said: u64,
}

/// Finds what recurs in a tenant's statements.
#[derive(Debug)]
pub struct Planner {
    tenant: TenantId,
    least: u64,
    plan: Plan,
    sentences: u64,
    statements: u64,
    groups: HashMap<u64, Group>,
    /// By a term, the groups that have it among those that any sentence alike shares one of.
    by_term: HashMap<u64, Vec<u64>>,
    /// Groups that have not recurred, by when they were said last.
    waiting: BTreeSet<(u64, u64)>,
}

/// The plan for all statements and principles of a tenant, in any order.
pub fn plan(
    tenant: TenantId,
    thresholds: &Thresholds,
    mut statements: Vec<StatementFacts>,
    known: &[Principle],
) -> Plan {
    statements.sort_by_key(|facts| (facts.created_at, facts.handoff_id));
    let mut planner = Planner::new(tenant, thresholds);
    planner.page(&statements);
    planner.finish(known)
}

impl Planner {
    /// A planner for a tenant.
    pub fn new(tenant: TenantId, thresholds: &Thresholds) -> Self {
        Self {
            tenant,
            least: thresholds.statements.into(),
            plan: Plan::new(ConsolidationType::IdentityConsolidation),
            sentences: 0,
            statements: 0,
            groups: HashMap::new(),
            by_term: HashMap::new(),
            waiting: BTreeSet::new(),
        }
    }

    /// Takes the next statements, which are not before those it had.
    pub fn page(&mut self, page: &[StatementFacts]) {
        for facts in page {
            self.plan.items_processed += 1;
            if facts.becoming.trim().is_empty() || facts.sensitivity == Sensitivity::Secret {
                continue;
            }
            self.statements += 1;
            for (ordinal, text) in (0..MAX_SENTENCES).zip(sentence::split(&facts.becoming)) {
                let terms = terms_of(text);
                if terms.len() >= LEAST_TERMS && text.len() <= sentence::MAX_BYTES {
                    self.sentences += 1;
                    match self.alike(&terms) {
                        Some(group) => self.join(group, facts),
                        None => self.found(facts, ordinal, text, terms),
                    }
                }
            }
        }
    }

    /// The group whose founder shares most terms with these; of two that share as many, the older.
    fn alike(&self, terms: &[u64]) -> Option<u64> {
        let mut tried = HashSet::new();
        let mut best: Option<(usize, usize, u64)> = None;
        for term in probe(terms) {
            for number in self.by_term.get(term).into_iter().flatten() {
                let Some(group) = self.groups.get(number).filter(|_| tried.insert(*number)) else {
                    continue;
                };
                let shared = shared(terms, &group.terms);
                let all = terms.len() + group.terms.len() - shared;
                if shared * 10 < all * ALIKE_TENTHS {
                    continue;
                }
                let better = best.is_none_or(|(most, of, older)| {
                    // shared/all against most/of, without a division.
                    let (this, that) = (shared * of, most * all);
                    this > that || this == that && *number < older
                });
                if better {
                    best = Some((shared, all, *number));
                }
            }
        }
        best.map(|(_, _, number)| number)
    }

    fn join(&mut self, number: u64, facts: &StatementFacts) {
        let Some(group) = self.groups.get_mut(&number) else {
            return;
        };
        self.waiting.remove(&(group.said, number));
        group.said = self.sentences;
        group.sessions.insert(fnv1a(facts.session.as_str()));
        group.sensitivity = group.sensitivity.max(facts.sensitivity);
        if group.last != facts.handoff_id {
            group.last = facts.handoff_id;
            group.count = group.count.saturating_add(1);
            if group.sources.len() < MAX_SOURCES {
                group.sources.push(facts.handoff_id);
            }
        }
        if group.sessions.len() < RECURS {
            self.waiting.insert((group.said, number));
        }
    }

    fn found(&mut self, facts: &StatementFacts, ordinal: u8, text: &str, terms: Vec<u64>) {
        if self.groups.len() >= MAX_GROUPS {
            let Some((_, number)) = self.waiting.pop_first() else {
                self.plan.items_left_out += 1;
                return;
            };
            self.dissolve(number);
        }
        let number = self.sentences;
        for term in probe(&terms) {
            self.by_term.entry(*term).or_default().push(number);
        }
        self.waiting.insert((number, number));
        self.groups.insert(
            number,
            Group {
                id: principle_id(&self.tenant, facts.handoff_id, ordinal),
                text: text.to_owned(),
                terms,
                sources: vec![facts.handoff_id],
                last: facts.handoff_id,
                count: 1,
                sessions: HashSet::from([fnv1a(facts.session.as_str())]),
                sensitivity: facts.sensitivity,
                said: number,
            },
        );
    }

    fn dissolve(&mut self, number: u64) {
        let Some(group) = self.groups.remove(&number) else {
            return;
        };
        for term in probe(&group.terms) {
            if let Some(groups) = self.by_term.get_mut(term) {
                groups.retain(|other| *other != number);
                if groups.is_empty() {
                    self.by_term.remove(term);
                }
            }
        }
    }

    /// The plan, given the tenant's principles, all of them.
    pub fn finish(self, known: &[Principle]) -> Plan {
        let Self {
            tenant,
            least,
            mut plan,
            statements,
            groups,
            ..
        } = self;
        let mut recurring: Vec<(u64, Group)> = groups
            .into_iter()
            .filter(|(_, group)| group.sessions.len() >= RECURS)
            .collect();
        recurring.sort_unstable_by_key(|(number, _)| *number);
        let there: HashMap<PrincipleId, &Principle> = known
            .iter()
            .map(|principle| (principle.principle_id, principle))
            .collect();
        let mut wanted = HashSet::new();
        for (_, group) in recurring {
            let before = there.get(&group.id).copied();
            if before.is_none() && statements < least {
                continue;
            }
            wanted.insert(group.id);
            plan.changes.extend(written(group, before));
        }
        let gone = known.iter().filter(|principle| {
            !wanted.contains(&principle.principle_id) && is_ours(&tenant, principle)
        });
        plan.changes.extend(gone.map(|principle| {
            Change::RetirePrinciple(RetirePrinciple {
                principle_id: principle.principle_id,
                tokens_before: token::estimate(&principle.body.text) as u64,
            })
        }));
        plan
    }
}

fn written(group: Group, before: Option<&Principle>) -> Option<Change> {
    let body = PrincipleBody {
        text: group.text,
        source_handoffs: group.sources,
        count: group.count,
        sensitivity: group.sensitivity,
    };
    if before.is_some_and(|principle| principle.body == body) {
        return None;
    }
    let tokens = |text: &str| token::estimate(text) as u64;
    Some(Change::WritePrinciple(WritePrinciple {
        principle_id: group.id,
        known: before.is_some(),
        tokens_before: before.map_or(0, |principle| tokens(&principle.body.text)),
        tokens_after: tokens(&body.text),
        body,
    }))
}

/// The id of the principle that a sentence of a handoff founded.
fn principle_id(tenant: &TenantId, founder: HandoffId, ordinal: u8) -> PrincipleId {
    PrincipleId::from_bytes(derived(tenant, "principle", &[founder.bytes(), &[ordinal]]))
}

/// Whether a planner made it: its id follows from the handoff that it names first.
fn is_ours(tenant: &TenantId, principle: &Principle) -> bool {
    principle
        .body
        .source_handoffs
        .first()
        .is_some_and(|founder| {
            (0..MAX_SENTENCES)
                .any(|ordinal| principle_id(tenant, *founder, ordinal) == principle.principle_id)
        })
}

/// The distinct terms of a sentence, hashed and in order; those of the frame aside.
fn terms_of(text: &str) -> Vec<u64> {
    let mut terms: Vec<u64> = index_terms(text).iter().map(|term| fnv1a(term)).collect();
    terms.retain(|term| !FRAME_TERMS.contains(term));
    terms.sort_unstable();
    terms.dedup();
    terms.truncate(MAX_TERMS);
    terms
}

/// The terms of which two sentences that are alike share at least one: in any one order of all terms, those that come
/// before the last [`ALIKE_TENTHS`] of them (Bayardo, Ma and Srikant, "Scaling up all pairs similarity search", 2007).
fn probe(terms: &[u64]) -> &[u64] {
    let rest = (terms.len() * ALIKE_TENTHS).div_ceil(10);
    terms.get(..=terms.len() - rest.max(1)).unwrap_or(terms)
}

/// How many terms two ordered lists share.
fn shared(one: &[u64], other: &[u64]) -> usize {
    let mut rest = other.iter().peekable();
    let mut count = 0;
    for term in one {
        while rest.next_if(|next| *next < term).is_some() {}
        count += usize::from(rest.next_if_eq(&term).is_some());
    }
    count
}

#[cfg(test)]
mod tests;
