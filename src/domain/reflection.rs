//! Reflections: what a period came to, drawn from the handoffs of its sessions.
//!
//! Consolidation writes them; what a run writes about a period takes the place of what the run before wrote.
//!
//! **Invariant:** a reflection is handled as carefully as the most sensitive of what it was drawn from.

use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::content::{Cleaner, MAX_TAG_BYTES, MAX_TAGS, Redactions};
use crate::domain::time::MAX_AHEAD_MS;
use crate::domain::{
    ChunkField, Invalid, NewChunk, ReflectionId, Sensitivity, TenantId, Timestamp,
};

/// Longest summary, in bytes; as a handoff's field.
pub const MAX_SUMMARY_BYTES: usize = 64 * 1024;
/// Most insights; as a decision's reasons.
pub const MAX_INSIGHTS: usize = 64;
/// Longest insight, in bytes; as a decision's reason.
pub const MAX_INSIGHT_BYTES: usize = 4 * 1024;

/// What a reflection says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ReflectionBody {
    /// The first moment of the period.
    pub period_start: Timestamp,
    /// The moment after its last; reflections are ordered by it. A period that goes on ends now.
    pub period_end: Timestamp,
    /// How many sessions it had.
    pub session_count: u32,
    /// What they came to.
    pub summary: String,
    /// What stands out.
    pub insights: Vec<String>,
    /// What they were about; found like tags.
    pub themes: Vec<String>,
    /// The highest sensitivity of what it was drawn from.
    pub sensitivity: Sensitivity,
}

impl ReflectionBody {
    /// The text it is searched by.
    pub fn searchable(&self) -> String {
        let lines = std::iter::once(&self.summary).chain(&self.insights);
        lines.map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    /// Octets of text.
    pub fn bytes(&self) -> usize {
        self.summary.len() + self.insights.iter().map(String::len).sum::<usize>()
    }

    /// When it is of: the last moment of the period, so that a month is found by its own name.
    pub fn ts(&self) -> Timestamp {
        self.period_end.plus_millis(-1)
    }

    /// Cleaned and validated; nothing is trimmed.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn cleaned(self, cleaner: &mut Cleaner) -> Result<Self, Invalid> {
        if self.period_start >= self.period_end {
            return Err(Invalid::new("period_end", "is not after period_start"));
        }
        let body = Self {
            summary: cleaner.text(&self.summary),
            insights: cleaner.texts("insights", &self.insights, MAX_INSIGHTS, MAX_INSIGHT_BYTES)?,
            themes: cleaner.texts("themes", &self.themes, MAX_TAGS, MAX_TAG_BYTES)?,
            ..self
        };
        if body.summary.trim().is_empty() || body.summary.len() > MAX_SUMMARY_BYTES {
            return Err(Invalid::new("summary", "is not 1 byte to 64 KiB of text"));
        }
        Ok(body)
    }
}

/// A reflection ready to be stored.
#[derive(Debug, Clone)]
pub struct NewReflection {
    /// Its id. Whoever writes about the same period again uses the same.
    pub id: ReflectionId,
    /// What it says.
    pub body: ReflectionBody,
    /// When it was written first.
    pub created_at: Timestamp,
    /// What is searched.
    pub chunks: Vec<NewChunk>,
    /// What was taken out.
    pub redactions: Redactions,
}

impl NewReflection {
    /// Validates, cleans and indexes.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn new(
        id: ReflectionId,
        body: ReflectionBody,
        created_at: Timestamp,
        now: Timestamp,
    ) -> Result<Self, Invalid> {
        let mut cleaner = Cleaner::default();
        let body = body.cleaned(&mut cleaner)?;
        not_ahead("period_end", body.period_end, now)?;
        Ok(Self {
            id,
            chunks: chunks_of(&body),
            body,
            created_at,
            redactions: cleaner.into_redactions(),
        })
    }
}

/// Refuses a time that has not come; another clock may be a little ahead.
pub(in crate::domain) fn not_ahead(
    field: &str,
    ts: Timestamp,
    now: Timestamp,
) -> Result<(), Invalid> {
    if ts > now.plus_millis(MAX_AHEAD_MS) {
        return Err(Invalid::new(
            field,
            "is more than a day ahead of the server's clock",
        ));
    }
    Ok(())
}

/// The chunks of a reflection that says this.
pub fn chunks_of(body: &ReflectionBody) -> Vec<NewChunk> {
    let text = body.searchable();
    NewChunk::cut(ChunkField::Reflection, &text, body.ts(), &body.themes)
}

/// A reflection as it is read back.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Reflection {
    /// Its id.
    pub reflection_id: ReflectionId,
    /// Its tenant.
    pub tenant_id: TenantId,
    /// What it says.
    #[serde(flatten)]
    pub body: ReflectionBody,
    /// When it was written first.
    pub created_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body() -> ReflectionBody {
        ReflectionBody {
            period_start: Timestamp::parse("t", "2026-01-01T00:00:00Z").unwrap(),
            period_end: Timestamp::parse("t", "2026-02-01T00:00:00Z").unwrap(),
            session_count: 3,
            summary: "The gauges were set up.".to_owned(),
            insights: vec!["They drift.".to_owned()],
            themes: vec!["tides".to_owned()],
            sensitivity: Sensitivity::None,
        }
    }

    fn new(body: ReflectionBody) -> Result<NewReflection, Invalid> {
        let now = Timestamp::parse("t", "2026-02-02T00:00:00Z").unwrap();
        NewReflection::new(ReflectionId::from_bytes([1; 16]), body, now, now)
    }

    #[test]
    fn is_found_by_its_words_its_themes_and_its_month() {
        let made = new(body()).unwrap();
        assert_eq!(made.chunks.len(), 1);
        let terms = &made.chunks[0].terms;
        for term in ["gaug", "drift", "januari", "2026"] {
            assert!(terms.iter().any(|known| known == term), "{term}: {terms:?}");
        }
        assert!(!terms.iter().any(|known| known == "februari"), "{terms:?}");
        assert!(terms.contains(&crate::domain::terms::tag_term("tides")));
    }

    #[test]
    fn refuses_what_is_out_of_bounds() {
        let over = |change: fn(&mut ReflectionBody)| {
            let mut body = body();
            change(&mut body);
            new(body).unwrap_err().field
        };
        assert_eq!(over(|body| body.summary = " \n".to_owned()), "summary");
        assert_eq!(
            over(|body| body.summary = "x".repeat(MAX_SUMMARY_BYTES + 1)),
            "summary"
        );
        assert_eq!(
            over(|body| body.period_end = body.period_start),
            "period_end"
        );
        assert_eq!(
            over(|body| body.insights.push("x".repeat(MAX_INSIGHT_BYTES + 1))),
            "insights[1]"
        );
        assert_eq!(
            over(|body| body.insights = vec!["x".to_owned(); MAX_INSIGHTS + 1]),
            "insights"
        );
        assert_eq!(over(|body| body.themes.push(String::new())), "themes[1]");
        assert_eq!(
            over(|body| body.period_end = body.period_end.plus_millis(2 * MAX_AHEAD_MS + 1)),
            "period_end"
        );
    }

    #[test]
    fn secrets_do_not_enter() {
        let key = format!("ghp_{}", "aB3dE6gH9jK2".repeat(3));
        let made = new(ReflectionBody {
            summary: format!("it was {key}"),
            insights: vec![key.clone()],
            ..body()
        })
        .unwrap();
        assert!(!made.body.searchable().contains(&key));
        assert_eq!(made.redactions.values().sum::<i64>(), 2);
    }
}
