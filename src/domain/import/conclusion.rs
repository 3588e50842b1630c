//! Reflections and principles on their way in.
//!
//! **Invariant:** the same rules as for what consolidation writes, by the same functions.

use crate::domain::Invalid;
use crate::domain::export::{PrincipleRow, ReflectionRow};
use crate::domain::import::{ImportLine, ImportRow, Intaker};
use crate::domain::principle::{NewPrinciple, PrincipleBody};
use crate::domain::reflection::{NewReflection, ReflectionBody};

impl Intaker<'_> {
    /// A reflection.
    ///
    /// # Errors
    /// As above.
    pub fn reflection(self, row: ReflectionRow, line: u64) -> Result<ImportLine, Invalid> {
        let body = ReflectionBody {
            period_start: row.period_start,
            period_end: row.period_end,
            session_count: row.session_count,
            summary: row.summary,
            insights: row.insights,
            themes: row.themes,
            sensitivity: row.sensitivity,
        };
        let mut new = NewReflection::new(row.reflection_id, body, row.created_at, self.intake.now)?;
        let body = new.body.clone();
        let row = ReflectionRow {
            tenant_id: self.tenant.to_string(),
            summary: body.summary,
            insights: body.insights,
            themes: body.themes,
            ..row
        };
        Ok(ImportLine {
            line,
            redactions: std::mem::take(&mut new.redactions),
            row: ImportRow::Reflection(Box::new((row, new))),
        })
    }

    /// A principle.
    ///
    /// # Errors
    /// As above.
    pub fn principle(self, row: PrincipleRow, line: u64) -> Result<ImportLine, Invalid> {
        let body = PrincipleBody {
            text: row.text,
            source_handoffs: row.source_handoffs,
            count: row.count,
            sensitivity: row.sensitivity,
        };
        let (id, created_at, updated_at) = (row.principle_id, row.created_at, row.updated_at);
        let mut new = NewPrinciple::new(id, body, created_at, updated_at, self.intake.now)?;
        let body = new.body.clone();
        let row = PrincipleRow {
            tenant_id: self.tenant.to_string(),
            text: body.text,
            source_handoffs: body.source_handoffs,
            ..row
        };
        Ok(ImportLine {
            line,
            redactions: std::mem::take(&mut new.redactions),
            row: ImportRow::Principle(Box::new((row, new))),
        })
    }
}
