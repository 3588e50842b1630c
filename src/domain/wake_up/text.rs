//! The text of a wake-up: Markdown, most important first, under its budget of tokens.
//!
//! **Invariant:** says nothing that is not in the facts.

use crate::domain::handoff::{Fields, IdentityStatement};
use crate::domain::pack::Packer;
use crate::domain::wake_up::{Layer, WakeUpFacts, WakeUpQuery, brief_text, clip};

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
                pack_identity(&mut packer, identity);
            }
        }
    }
    if query.has(Layer::Progressive) {
        packer.section("\n## Earlier", |packer| {
            for handoff in &facts.older {
                packer.passage(
                    &format!("- {}: ", handoff.created_at.day()),
                    &one_line(&brief_text(handoff)),
                    12,
                );
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

fn metadata_line(facts: &WakeUpFacts) -> String {
    let summary = &facts.summary;
    let mut line = format!(
        "{} sessions, {} handoffs",
        summary.sessions, summary.handoffs
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
