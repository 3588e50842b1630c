//! Recall: what to look for, and in which order to show what was found.
//!
//! The store offers candidates (passages that hold the rarest of the query's terms); this module scores them with
//! BM25 on the tenant's *own* statistics and keeps the best passage of each entity.
//!
//! **Invariant:** ranking is a pure function of the candidates: the same ones in any order give the same list.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::terms::{self, QueryTerm};
use crate::domain::{
    Channel, DecisionStatus, EntityType, Invalid, Name, Sensitivity, TenantId, Timestamp, content,
    event::check_tenant, page,
};

/// Most hits of one search.
pub const MAX_HITS: u32 = 100;
/// Hits of a search that names no limit.
pub const DEFAULT_HITS: u32 = 10;
/// Most tokens that the texts of all hits can be bounded by.
pub const MAX_TOKENS: u32 = 1_000_000;
/// Longest query, in bytes. Only its first terms count; a longer one is refused rather than cut in silence.
pub const MAX_QUERY_BYTES: usize = 256 * 1024;
/// BM25's saturation of repeats, from the ranking study (LEX2).
const K1: f64 = 1.6;
/// BM25's share of length, from the ranking study (LEX2).
const B: f64 = 0.7;

/// A search as a client asks it.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecallDraft {
    /// What to look for, in plain words.
    #[schemars(length(max = MAX_QUERY_BYTES))]
    pub query: String,
    /// The tenant; it has to agree with the caller's.
    #[schemars(with = "Option<TenantId>")]
    pub tenant_id: Option<String>,
    /// Only these types of memory.
    pub types: Option<Vec<EntityType>>,
    /// Only this project, and what has none.
    #[schemars(length(min = 1))]
    pub project_id: Option<String>,
    /// Only this session.
    #[schemars(length(min = 1))]
    pub session_id: Option<String>,
    /// Where the answer will be heard.
    pub channel: Option<Channel>,
    /// Only what has all of these tags.
    #[schemars(length(max = content::MAX_TAGS))]
    pub tags: Option<Vec<String>>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before (exclusive).
    pub until: Option<Timestamp>,
    /// Most hits, 1 to 100; 10 if absent.
    #[schemars(range(min = 1, max = MAX_HITS))]
    pub limit: Option<i64>,
    /// Drop hits below this score.
    #[schemars(range(min = 0))]
    pub min_score: Option<f64>,
    /// Stop before the hits' texts exceed this many tokens.
    #[schemars(range(min = 1, max = MAX_TOKENS))]
    pub max_tokens: Option<i64>,
}

/// A search ready to be run.
#[derive(Debug, Clone)]
pub struct RecallQuery {
    /// The terms to look for; none is an empty answer.
    pub terms: Vec<QueryTerm>,
    /// What may be found.
    pub filter: RecallFilter,
    /// Most hits.
    pub limit: usize,
    /// The lowest score to show.
    pub min_score: f64,
    /// Most tokens of all hits' texts together.
    pub max_tokens: Option<usize>,
}

/// What a search may find.
#[derive(Debug, Clone, Default)]
pub struct RecallFilter {
    /// Only these types; empty is all.
    pub types: Vec<EntityType>,
    /// Only this project, and what has none.
    pub project: Option<Name>,
    /// Only this session.
    pub session: Option<Name>,
    /// Terms of the tags that all have to be there.
    pub tags: Vec<String>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before (exclusive).
    pub until: Option<Timestamp>,
}

impl RecallQuery {
    /// Validates a draft.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn parse(draft: &RecallDraft, tenant: &TenantId) -> Result<Self, Invalid> {
        check_tenant(draft.tenant_id.as_deref(), tenant)?;
        if draft.query.len() > MAX_QUERY_BYTES {
            return Err(Invalid::new("query", "is longer than 256 KiB"));
        }
        let tags = draft.tags.as_deref().unwrap_or_default();
        if tags.len() > content::MAX_TAGS {
            return Err(Invalid::new(
                "tags",
                format!("holds more than {} items", content::MAX_TAGS),
            ));
        }
        let min_score = draft.min_score.unwrap_or(0.0);
        if !min_score.is_finite() || min_score < 0.0 {
            return Err(Invalid::new("min_score", "is not a number from 0 up"));
        }
        if let (Some(since), Some(until)) = (draft.since, draft.until)
            && since >= until
        {
            return Err(Invalid::new("until", "is not after since"));
        }
        let limit = page::parse_limit("limit", draft.limit, DEFAULT_HITS, MAX_HITS)?;
        let max_tokens = draft
            .max_tokens
            .map(|tokens| page::parse_limit("max_tokens", Some(tokens), 0, MAX_TOKENS))
            .transpose()?;
        Ok(Self {
            terms: terms::query_terms(&draft.query),
            filter: RecallFilter {
                types: draft.types.clone().unwrap_or_default(),
                project: Name::parse_opt("project_id", draft.project_id.as_deref())?,
                session: Name::parse_opt("session_id", draft.session_id.as_deref())?,
                tags: tags.iter().map(|tag| terms::tag_term(tag.trim())).collect(),
                since: draft.since,
                until: draft.until,
            },
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            min_score,
            max_tokens: max_tokens.and_then(|tokens| usize::try_from(tokens).ok()),
        })
    }
}

/// What a store offers for a query: passages, and the statistics to weigh them by.
#[derive(Debug, Clone, Default)]
pub struct Candidates {
    /// How many passages the tenant has.
    pub passages: i64,
    /// How many terms they have together.
    pub words: i64,
    /// For each term of the query, in its order, in how many of the tenant's passages it stands.
    pub frequencies: Vec<i64>,
    /// The passages.
    pub items: Vec<Candidate>,
}

/// A passage that may answer.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The entity it is part of.
    pub id: String,
    /// The entity's type.
    pub entity_type: EntityType,
    /// The entity's insertion sequence, the last tie-breaker.
    pub seq: i64,
    /// When the entity happened.
    pub ts: Timestamp,
    /// The passage.
    pub text: String,
    /// The entity's tags.
    pub tags: Vec<String>,
    /// The entity's references.
    pub refs: Vec<String>,
    /// How carefully to handle it.
    pub sensitivity: Sensitivity,
    /// Whether it holds, if it is a decision.
    pub status: Option<DecisionStatus>,
    /// What took its place, if that is still known.
    pub superseded_by: Option<String>,
}

/// One found memory.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Hit {
    /// The entity.
    pub id: String,
    /// Its type.
    #[serde(rename = "type")]
    pub entity_type: EntityType,
    /// The passage that matched.
    pub text: String,
    /// How well; comparable within one answer.
    pub score: f64,
    /// When it happened.
    pub ts: Timestamp,
    /// What it refers to.
    pub refs: Vec<String>,
    /// Whether it holds, if it is a decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<DecisionStatus>,
    /// What took its place, if that is still known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<String>,
    /// Why it was found.
    pub why: Why,
}

/// Why a hit was found.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Why {
    /// The query's terms that stand in it, as indexed, best first.
    pub matched: Vec<MatchedTerm>,
}

/// A term's share of a score.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct MatchedTerm {
    /// The term as indexed.
    pub term: String,
    /// What it adds to the score.
    pub score: f64,
}

/// Orders candidates by BM25, one hit an entity, at most `query.limit`.
pub fn rank(query: &RecallQuery, candidates: &Candidates) -> Vec<Hit> {
    let scorer = Scorer::new(query, candidates);
    let mut best: HashMap<(EntityType, &str), (f64, usize, Vec<MatchedTerm>)> = HashMap::new();
    for (index, candidate) in candidates.items.iter().enumerate() {
        let (score, matched) = scorer.score(candidate);
        if score <= 0.0 || score < query.min_score {
            continue;
        }
        let entry = best.entry((candidate.entity_type, candidate.id.as_str()));
        let slot = entry.or_insert((f64::MIN, index, Vec::new()));
        let shown = candidates
            .items
            .get(slot.1)
            .map_or("", |shown| shown.text.as_str());
        if (score, candidate.text.as_str()) > (slot.0, shown) || slot.0 == f64::MIN {
            *slot = (score, index, matched);
        }
    }
    let mut ranked: Vec<_> = best
        .into_values()
        .filter_map(|(score, index, matched)| Some((score, candidates.items.get(index)?, matched)))
        .collect();
    // Newer before older at the same score; the sequence makes the order total.
    ranked.sort_by(|a, b| {
        b.0.total_cmp(&a.0)
            .then((b.1.ts, b.1.seq).cmp(&(a.1.ts, a.1.seq)))
    });
    ranked.truncate(query.limit);
    let hits = ranked.into_iter().map(|(score, candidate, matched)| Hit {
        id: candidate.id.clone(),
        entity_type: candidate.entity_type,
        text: candidate.text.clone(),
        score: round(score),
        ts: candidate.ts,
        refs: candidate.refs.clone(),
        status: candidate.status,
        superseded_by: candidate.superseded_by.clone(),
        why: Why { matched },
    });
    within(hits, query.max_tokens)
}

fn within(hits: impl Iterator<Item = Hit>, max_tokens: Option<usize>) -> Vec<Hit> {
    let Some(max_tokens) = max_tokens else {
        return hits.collect();
    };
    let mut spent = 0;
    hits.filter(|hit| {
        let tokens = crate::domain::token::estimate(&hit.text);
        let fits = spent + tokens <= max_tokens;
        spent += if fits { tokens } else { 0 };
        fits
    })
    .collect()
}

/// Four decimals: enough to tell hits apart, short on the wire.
fn round(score: f64) -> f64 {
    (score * 10_000.0).round() / 10_000.0
}

struct Scorer<'a> {
    weights: HashMap<&'a str, f64>,
    average: f64,
}

impl<'a> Scorer<'a> {
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
    fn new(query: &'a RecallQuery, candidates: &Candidates) -> Self {
        let passages = candidates.passages.max(1) as f64;
        let weights = query
            .terms
            .iter()
            .zip(&candidates.frequencies)
            .map(|(term, frequency)| {
                let df = (*frequency as f64).min(passages);
                let idf = (1.0 + (passages - df + 0.5) / (df + 0.5)).ln();
                (term.term.as_str(), term.weight * idf)
            })
            .collect();
        let average = (candidates.words as f64 / passages).max(1.0);
        Self { weights, average }
    }

    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
    fn score(&self, candidate: &Candidate) -> (f64, Vec<MatchedTerm>) {
        let terms = terms::index_terms(&candidate.text);
        let length = terms.len() as f64;
        let (year, month, day, weekday) = candidate.ts.date();
        let dates = terms::date_terms(year, month, day, weekday);
        let tags = candidate
            .tags
            .iter()
            .flat_map(|tag| terms::index_terms(tag));
        let mut counts: HashMap<&str, f64> = HashMap::new();
        for term in terms.iter().cloned().chain(dates).chain(tags) {
            if let Some((term, _)) = self.weights.get_key_value(term.as_str()) {
                *counts.entry(term).or_default() += 1.0;
            }
        }
        let norm = K1 * (1.0 - B + B * length / self.average);
        let mut matched: Vec<MatchedTerm> = counts
            .into_iter()
            .map(|(term, tf)| {
                let weight = self.weights.get(term).copied().unwrap_or_default();
                MatchedTerm {
                    term: term.to_owned(),
                    score: weight * tf * (K1 + 1.0) / (tf + norm),
                }
            })
            .collect();
        matched.sort_by(|a, b| {
            b.score
                .total_cmp(&a.score)
                .then_with(|| a.term.cmp(&b.term))
        });
        let score = matched.iter().map(|term| term.score).sum();
        matched
            .iter_mut()
            .for_each(|term| term.score = round(term.score));
        (score, matched)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(id: &str, text: &str) -> Candidate {
        Candidate {
            id: id.to_owned(),
            entity_type: EntityType::Event,
            seq: 1,
            ts: Timestamp::from_millis(0),
            text: text.to_owned(),
            tags: vec![],
            refs: vec![],
            sensitivity: Sensitivity::None,
            status: None,
            superseded_by: None,
        }
    }

    fn query(text: &str) -> RecallQuery {
        let draft = RecallDraft {
            query: text.to_owned(),
            ..RecallDraft::default()
        };
        RecallQuery::parse(&draft, &TenantId::default_tenant()).unwrap()
    }

    fn candidates(items: Vec<Candidate>, frequencies: Vec<i64>) -> Candidates {
        Candidates {
            passages: 100,
            words: 1000,
            frequencies,
            items,
        }
    }

    #[test]
    fn the_rarer_word_decides_whatever_the_order() {
        let query = query("prometheus interval");
        let mut items = vec![
            candidate("a", "the interval"),
            candidate("b", "the prometheus"),
        ];
        let ranked = rank(&query, &candidates(items.clone(), vec![2, 50]));
        assert_eq!(
            ranked.iter().map(|hit| hit.id.as_str()).collect::<Vec<_>>(),
            ["b", "a"]
        );
        items.reverse();
        let again = rank(&query, &candidates(items, vec![2, 50]));
        assert_eq!(again[0].id, "b");
        assert_eq!(ranked[0].why.matched[0].term, "prometheus");
    }

    #[test]
    fn an_entity_is_one_hit_with_its_best_passage() {
        let query = query("prometheus");
        let items = vec![
            candidate("a", "prometheus and much else that dilutes it"),
            candidate("a", "prometheus"),
        ];
        let ranked = rank(&query, &candidates(items, vec![2]));
        assert_eq!(ranked.len(), 1);
        assert_eq!(ranked[0].text, "prometheus");
    }

    #[test]
    fn nothing_matching_is_an_honest_nothing() {
        assert!(
            rank(
                &query("zebra"),
                &candidates(vec![candidate("a", "prometheus")], vec![0])
            )
            .is_empty()
        );
    }

    #[test]
    fn contradictory_bounds_are_refused() {
        let at = |ms| Some(Timestamp::from_millis(ms));
        let draft = RecallDraft {
            query: "x".to_owned(),
            since: at(5),
            until: at(5),
            ..RecallDraft::default()
        };
        assert_eq!(
            RecallQuery::parse(&draft, &TenantId::default_tenant())
                .unwrap_err()
                .field,
            "until"
        );
    }
}
