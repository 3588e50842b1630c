//! The redactor against a labelled set: `tests/redaction`, made before its rules were, and a tenth of it not looked at
//! while they were written.
//!
//! **Invariant:** nothing of a secret may be left, and nothing but the secret may be gone.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use agent_memory::domain::redact::redact;
use serde_json::Value;

/// What the project promises of the redactor.
const LEAST_RECALL: f64 = 0.98;
const MOST_FALSE_POSITIVES: f64 = 0.005;
/// So many characters of a secret in a row are a part of it; fewer may be chance.
const TRACE: usize = 8;

fn read(name: &str) -> String {
    fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/redaction")
            .join(name),
    )
    .unwrap()
}

/// One in ten, by a sum that has nothing to do with what stands there (FNV-1a).
fn held_out(text: &str) -> bool {
    let sum = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (sum >> 32).is_multiple_of(10)
}

struct Secret {
    kind: String,
    before: String,
    secret: String,
    after: String,
}

impl Secret {
    fn text(&self) -> String {
        format!("{}{}{}", self.before, self.secret, self.after)
    }

    /// Whether the text is without it and with what stood around it.
    fn is_gone(&self) -> bool {
        let text = redact(&self.text()).text.into_owned();
        let secret: Vec<char> = self.secret.chars().collect();
        // What is the same in each secret of its kind tells nothing: the address of a webhook, the first line of a key.
        let public = [
            "https://hooks.slack.com/services/",
            "https://discord.com/api/webhooks/",
        ];
        let trace = |run: &[char]| {
            let run: String = run.iter().collect();
            !public.iter().any(|part| part.contains(&run))
                && text.contains(&run)
                && !self.before.contains(&run)
                && !self.after.contains(&run)
        };
        let gone =
            !text.contains(&self.secret) && !secret.windows(TRACE.min(secret.len())).any(trace);
        let end: String = self
            .after
            .chars()
            .rev()
            .take(6)
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .collect();
        let start: String = self.before.chars().take(6).collect();
        gone && (self.kind == "private_block" || text.ends_with(&end) && text.starts_with(&start))
    }
}

fn secrets() -> Vec<Secret> {
    let text = |row: &Value, field: &str| row[field].as_str().unwrap().to_owned();
    read("secrets.jsonl")
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|row| Secret {
            kind: text(&row, "kind"),
            before: text(&row, "before"),
            secret: row["secret"]
                .as_array()
                .unwrap()
                .iter()
                .map(|piece| piece.as_str().unwrap())
                .collect(),
            after: text(&row, "after"),
        })
        .collect()
}

fn ordinary() -> Vec<String> {
    (read("ordinary.txt") + &read("shapes.txt"))
        .lines()
        .map(|line| line.replace("\\n", "\n"))
        .collect()
}

#[test]
fn takes_out_the_secrets_of_the_labelled_set_and_nothing_else() {
    let (secrets, ordinary) = (secrets(), ordinary());
    let kinds: BTreeMap<&str, (u32, u32)> =
        secrets.iter().fold(BTreeMap::new(), |mut kinds, secret| {
            let (gone, all) = kinds.entry(secret.kind.as_str()).or_default();
            *gone += u32::from(secret.is_gone());
            *all += 1;
            kinds
        });
    assert!(secrets.len() >= 200 && kinds.len() >= 20 && ordinary.len() >= 1000);
    for (kind, (gone, all)) in &kinds {
        eprintln!("{kind:18} {gone:3} of {all:3}");
    }
    for part in [false, true] {
        let name = if part { "held out" } else { "looked at" };
        let here: Vec<_> = secrets
            .iter()
            .filter(|secret| held_out(&secret.text()) == part)
            .collect();
        let missed: Vec<_> = here.iter().filter(|secret| !secret.is_gone()).collect();
        let lines: Vec<_> = ordinary
            .iter()
            .filter(|line| held_out(line) == part)
            .collect();
        let hit: Vec<_> = lines
            .iter()
            .filter(|line| !redact(line).is_clean())
            .collect();
        let recall = 1.0 - missed.len() as f64 / here.len() as f64;
        let wrong = hit.len() as f64 / lines.len() as f64;
        eprintln!(
            "{name}: recall {recall:.4} of {}, false positives {wrong:.4} of {}",
            here.len(),
            lines.len()
        );
        if std::env::var_os("REDACTION_SHOW").is_some() && !part {
            missed.iter().for_each(|secret| {
                eprintln!(
                    "MISSED {} {:?} -> {:?}",
                    secret.kind,
                    secret.text(),
                    redact(&secret.text()).text
                )
            });
            hit.iter()
                .for_each(|line| eprintln!("HIT {line:?} -> {:?}", redact(line).text));
        }
        assert!(recall >= LEAST_RECALL, "{name}: recall is {recall}");
        assert!(
            wrong <= MOST_FALSE_POSITIVES,
            "{name}: {wrong} of the ordinary lines were changed"
        );
    }
}
