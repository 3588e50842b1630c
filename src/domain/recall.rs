//! Recall: what to look for, and in which order to show what was found.
//!
//! 1. A [`RecallDraft`] becomes a [`RecallQuery`]: the terms to look for, what may be found, and the cues of the
//!    [`Question`].
//! 2. The store fills a [`Pool`]: the passages that hold the rarest of the terms, and those around them in their
//!    sessions, each as a [`Signature`], without its text. A word that occurs nowhere is first mended ([`spelling`]).
//! 3. [`rank()`] orders it by the weighted sum of features in [`weights`], or finds that nothing is about the question.
//! 4. The store loads the best passages, and [`Presenter`] makes [`Hit`]s of them, the same fact only once.
//!
//! A larger model would enter as one more [`Feature`] of step 3 on the rows of the pool. A static embedding table (256
//! dimensions, 8 MB, distilled from `MiniLM`) was measured there, on an early form of the ranking, and left out: on the
//! dev conversations no linear mix gained more than half a point of rec@10 or MRR.
//!
//! **Invariant:** every step here is pure; the same memory and question give the same list.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::terms::{self, QueryTerm};
use crate::domain::{
    Channel, DecisionStatus, EntityType, Invalid, Name, TenantId, Timestamp, content,
    event::check_tenant, page,
};

mod pool;
mod present;
mod question;
mod rank;
mod signature;
pub mod spelling;
mod time_phrase;
mod weights;

pub use pool::{Extent, Pool, Row};
pub use present::{Found, Presenter};
pub use question::Question;
pub use rank::{
    Features, Ranked, Ranking, Reasons, favour, features, idf, named_speaker, rank, saturated,
};
pub use signature::{Signature, Sought, Voice};
pub use time_phrase::TimeRange;
pub use weights::{Feature, WEIGHTS};

/// Most hits of one search.
pub const MAX_HITS: u32 = 100;
/// Hits of a search that names no limit.
pub const DEFAULT_HITS: u32 = 10;
/// Most tokens that the texts of all hits can be bounded by.
pub const MAX_TOKENS: u32 = 1_000_000;
/// Longest query, in bytes. Only its first terms count; a longer one is refused rather than cut in silence.
pub const MAX_QUERY_BYTES: usize = 256 * 1024;

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
    #[schemars(length(max = EntityType::ALL.len()))]
    pub types: Option<Vec<EntityType>>,
    /// Only this project, and what has none.
    #[schemars(with = "Option<crate::domain::Name>")]
    pub project_id: Option<String>,
    /// Only this session.
    #[schemars(with = "Option<crate::domain::Name>")]
    pub session_id: Option<String>,
    /// Where the answer will be heard.
    pub channel: Option<Channel>,
    /// Only what has all of these tags.
    #[schemars(length(max = content::MAX_TAGS), inner(length(min = 1), regex(pattern = r"\S")))]
    pub tags: Option<Vec<String>>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before (exclusive).
    pub until: Option<Timestamp>,
    /// Most hits, 1 to 100; 10 if absent.
    #[schemars(range(min = 1, max = MAX_HITS))]
    pub limit: Option<i64>,
    /// Drop hits below this score, 0 to 1. If absent, a question that nothing is about is answered with nothing.
    #[schemars(range(min = 0, max = 1))]
    pub min_score: Option<f64>,
    /// Leave out what would make the hits' texts exceed this many tokens.
    #[schemars(range(min = 1, max = MAX_TOKENS))]
    pub max_tokens: Option<i64>,
    /// When it is asked: what "yesterday" counts from. Now, if absent.
    pub asked_at: Option<Timestamp>,
}

/// A search ready to be run.
#[derive(Debug, Clone)]
pub struct RecallQuery {
    /// The terms to look for.
    pub terms: Vec<QueryTerm>,
    /// What it asks for beyond them.
    pub question: Question,
    /// What may be found.
    pub filter: RecallFilter,
    /// Most hits.
    pub limit: usize,
    /// The lowest score to show; without one, relevance decides.
    pub min_score: Option<f64>,
    /// Most tokens of all hits' texts together.
    pub max_tokens: Option<usize>,
    /// Whether memories that say the same become one hit.
    pub collapse: bool,
    /// Whether each hit says why it was found.
    pub explain: bool,
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
    pub fn parse(draft: &RecallDraft, tenant: &TenantId, now: Timestamp) -> Result<Self, Invalid> {
        check_tenant(draft.tenant_id.as_deref(), tenant)?;
        if draft.query.len() > MAX_QUERY_BYTES {
            return Err(Invalid::new("query", "is longer than 256 KiB"));
        }
        if draft
            .types
            .as_ref()
            .is_some_and(|types| types.len() > EntityType::ALL.len())
        {
            return Err(Invalid::new(
                "types",
                "holds more items than there are types",
            ));
        }
        let tags = draft.tags.as_deref().unwrap_or_default();
        if tags.len() > content::MAX_TAGS {
            return Err(Invalid::new(
                "tags",
                format!("holds more than {} items", content::MAX_TAGS),
            ));
        }
        if tags.iter().any(|tag| tag.trim().is_empty()) {
            return Err(Invalid::new("tags", "holds an empty item"));
        }
        if draft
            .min_score
            .is_some_and(|score| !(0.0..=1.0).contains(&score))
        {
            return Err(Invalid::new("min_score", "is not between 0 and 1"));
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
        let question = Question::read(&draft.query, draft.asked_at.unwrap_or(now));
        Ok(Self {
            terms: looked_for(&draft.query, &question),
            question,
            filter: RecallFilter {
                types: draft.types.clone().unwrap_or_default(),
                project: Name::parse_opt("project_id", draft.project_id.as_deref())?,
                session: Name::parse_opt("session_id", draft.session_id.as_deref())?,
                tags: tags.iter().map(|tag| terms::tag_term(tag.trim())).collect(),
                since: draft.since,
                until: draft.until,
            },
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            min_score: draft.min_score,
            max_tokens: max_tokens.and_then(|tokens| usize::try_from(tokens).ok()),
            collapse: true,
            explain: true,
        })
    }
}

impl RecallQuery {
    /// Whether it names neither a word nor a time.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty() && self.question.time.is_none()
    }
}

/// The terms of a question, without the words that only say when: "last Tuesday" is a time and not a text about Tuesdays,
/// and "what happened last Tuesday?" asks for all of it.
fn looked_for(query: &str, question: &Question) -> Vec<QueryTerm> {
    const HAPPENED: &str = "happen happened happens happening occur occurred";
    let mut looked_for = terms::query_terms(query);
    if let Some(time) = &question.time {
        let spent = terms::index_terms(&format!("{HAPPENED} {}", time.spent.join(" ")));
        looked_for.retain(|term| !spent.contains(&term.term));
    }
    looked_for
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
    /// How well, 0 to 1; comparable within one answer.
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
    /// Other memories that say the same in nearly the same words, best first; at most ten.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub duplicates: Vec<String>,
    /// How many there are among the next best twenty.
    #[serde(skip_serializing_if = "is_zero")]
    pub duplicate_count: usize,
    /// Why it was found.
    pub why: Why,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// Why a hit was found.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct Why {
    /// The share of the question's information that stands in the passage, 0 to 1.
    pub coverage: f64,
    /// The query's terms that stand in it or around it, as indexed, best first.
    pub matched: Vec<MatchedTerm>,
    /// What made up the score, largest first; the shares add up to 1.
    pub features: Vec<FeatureShare>,
}

/// A term's part in a hit.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct MatchedTerm {
    /// The term as indexed.
    pub term: String,
    /// Its share of what the words add.
    pub share: f64,
}

/// A feature's part in a score.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct FeatureShare {
    /// Which one.
    pub feature: &'static str,
    /// Its share of the score; below zero if it took something away.
    pub share: f64,
}
