//! The text of a wake-up: Markdown, most important first, under its budget of tokens.
//!
//! **Invariant:** says nothing that is not in the facts.

use crate::domain::DecisionScope;
use crate::domain::handoff::{Fields, IdentityStatement};
use crate::domain::pack::Packer;
use crate::domain::wake_up::{Layer, WakeUpFacts, WakeUpQuery, brief_text, clip, month_text};

/// The text to put in the prompt.
pub(super) fn context_of(
    query: &WakeUpQuery,
    facts: &WakeUpFacts,
    identity: &[IdentityStatement],
) -> String {
    let mut packer = Packer::new(query.max_tokens);
    if query.has(Layer::Metadata) && facts.summary.sessions + facts.summary.handoffs > 0 {
        packer.line(&metadata_line(facts));
    }
    if facts.recent.is_empty() || !query.has(Layer::Recent) {
        pack_decisions(&mut packer, facts);
        pack_notes(&mut packer, facts);
        pack_conclusions(&mut packer, query, facts);
    }
    if query.has(Layer::Recent) {
        for (index, handoff) in facts.recent.iter().enumerate() {
            let ordinal = if index == 0 {
                "Last session"
            } else {
                "Before that"
            };
            let heading = format!(
                "\n## {ordinal}, {} with {}",
                handoff.created_at.day(),
                handoff.with_whom
            );
            packer.section(&heading, |packer| pack_handoff(packer, &handoff.fields));
            if index == 0 {
                pack_decisions(&mut packer, facts);
                pack_notes(&mut packer, facts);
                pack_identity(&mut packer, identity);
                pack_conclusions(&mut packer, query, facts);
            }
        }
    }
    if query.has(Layer::Progressive) {
        packer.section("\n## Earlier", |packer| {
            for handoff in &facts.older {
                let (day, text) = (handoff.created_at.day(), one_line(&brief_text(handoff)));
                // A line has its date already.
                let label = if text.starts_with(&day) {
                    "- ".to_owned()
                } else {
                    format!("- {day}: ")
                };
                packer.passage(&label, &text, 12);
            }
            for month in &facts.months {
                packer.passage("- ", &month_text(month), 6);
            }
        });
    }
    packer.into_text()
}

fn pack_handoff(packer: &mut Packer, fields: &Fields) {
    // What must not be forgotten comes first, so that a small budget still carries it. `becoming` has its own part.
    for (label, text) in [
        ("Remember", &fields.remember),
        ("Learned", &fields.learned),
        ("Experienced", &fields.experienced),
        ("Noticed", &fields.noticed),
        ("Story", &fields.story),
    ] {
        if !text.trim().is_empty() {
            packer.passage(&format!("- {label}: "), &one_line(text), 12);
        }
    }
}

fn pack_decisions(packer: &mut Packer, facts: &WakeUpFacts) {
    packer.section("\n## Decisions that hold", |packer| {
        for decision in &facts.decisions {
            let label = match decision.scope {
                DecisionScope::Policy | DecisionScope::Global => {
                    format!("- {} ({}): ", decision.ts.day(), decision.scope.as_str())
                }
                DecisionScope::Session | DecisionScope::User | DecisionScope::Project => {
                    format!("- {}: ", decision.ts.day())
                }
            };
            packer.passage(
                &label,
                &one_line(&clip(&decision.statement.decision, 400)),
                12,
            );
        }
    });
}

fn pack_notes(packer: &mut Packer, facts: &WakeUpFacts) {
    packer.section("\n## Notes", |packer| {
        for note in &facts.notes {
            let label = note.body.title.as_ref().map_or_else(
                || "- ".to_owned(),
                |title| format!("- {}: ", one_line(title)),
            );
            let mut text = one_line(&clip(&note.body.content, 400));
            if note.duplicates > 0 {
                text.push_str(&format!(" (noted {} times)", note.duplicates + 1));
            }
            packer.passage(&label, &text, 12);
        }
    });
}

fn pack_identity(packer: &mut Packer, identity: &[IdentityStatement]) {
    packer.section("\n## Becoming", |packer| {
        let mut seen: Vec<&str> = Vec::new();
        for statement in identity.iter().rev() {
            if !seen.contains(&statement.becoming.as_str()) {
                seen.push(&statement.becoming);
                packer.passage(
                    &format!("- {}: ", statement.created_at.day()),
                    &one_line(&statement.becoming),
                    12,
                );
            }
        }
    });
}

/// The principles, a line each, and what the newest period came to.
fn pack_conclusions(packer: &mut Packer, query: &WakeUpQuery, facts: &WakeUpFacts) {
    if !query.has(Layer::Reflection) {
        return;
    }
    packer.section("\n## Conclusions", |packer| {
        for principle in &facts.principles {
            let text = one_line(&clip(&principle.body.text, 200));
            packer.passage("- ", &text, 6);
        }
        if let Some(newest) = facts.reflections.first() {
            let body = &newest.body;
            let label = format!(
                "- {} to {}, {}: ",
                body.period_start.day(),
                body.ts().day(),
                counted(i64::from(body.session_count), "session")
            );
            packer.passage(&label, &one_line(&clip(&body.summary, 600)), 12);
        }
    });
}

fn metadata_line(facts: &WakeUpFacts) -> String {
    let summary = &facts.summary;
    let mut line = format!(
        "{}, {}",
        counted(summary.sessions, "session"),
        counted(summary.handoffs, "handoff")
    );
    if let (Some(first), Some(last)) = (summary.first_at, summary.last_at) {
        line.push_str(&format!(", {} to {}", first.day(), last.day()));
    }
    if !facts.people.is_empty() {
        line.push_str(&format!("; with {}", clip(&facts.people.join(", "), 200)));
    }
    if !summary.topics.is_empty() {
        line.push_str(&format!(
            "; about {}",
            clip(&summary.topics.join(", "), 200)
        ));
    }
    line
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn counted(count: i64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
