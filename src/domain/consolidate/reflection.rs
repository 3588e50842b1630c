//! Reflection: what a month came to.
//!
//! A period is a calendar month, UTC: long enough to have themes, and the unit that people ask by. A month that goes on
//! has a reflection too, which ends with its last handoff and not with now, so that a run without news changes nothing.
//!
//! Its *summary* says how many sessions there were, with whom and when, what they were about, and the sentences of the
//! month that say most. *Themes* are words that many of its handoffs say and few of the tenant's others. *Insights* are, a
//! line each: what was learned, what was decided and what no longer holds, which themes are new against the month before,
//! and what is still open: what a handoff asked to remember and no later one of the month says to be done.
//!
//! **Invariant:** as sensitive as the most sensitive of what it was drawn from; bounded however many handoffs the month
//! has.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use crate::domain::consolidate::open::Open;
use crate::domain::consolidate::summary::Forms;
use crate::domain::consolidate::{
    Change, Plan, Rarity, RetireReflection, WriteReflection, counted, derived,
};
use crate::domain::handoff::Fields;
use crate::domain::reflection::{Reflection, ReflectionBody};
use crate::domain::terms::{fnv1a, index_terms};
use crate::domain::{
    ConsolidationType, Name, ReflectionId, Sensitivity, TenantId, Timestamp, token,
};

/// Tokens of the sentences in a summary, so that with its first line it is about as long as a handoff's.
const TOLD_TOKENS: usize = 90;
/// Tokens of what one handoff puts up for the month.
const SAID_TOKENS: usize = 40;
/// Handoffs that a reflection is told by, those that mattered most.
const MOST_TOLD: usize = 256;
/// Themes, and words that are counted to find them.
const THEMES: usize = 8;
const MOST_WORDS: usize = 20_000;
/// How much of a text is read for themes, in bytes.
const READ_BYTES: usize = 4 * 1024;
/// Insights of each kind.
const LEARNED: usize = 5;
const DECIDED: usize = 5;
const OPEN: usize = 8;
/// Longest decision or open item in a line, in bytes.
const LINE_BYTES: usize = 300;
/// People that are named.
const PEOPLE: usize = 3;

/// A calendar month, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month {
    year: i16,
    month: i8,
}

impl Month {
    /// The month that a time is in.
    pub fn of(ts: Timestamp) -> Self {
        let (year, month, ..) = ts.date();
        Self { year, month }
    }

    /// Its first moment.
    pub fn start(self) -> Timestamp {
        let text = format!("{:04}-{:02}-01T00:00:00Z", self.year, self.month);
        Timestamp::parse("month", &text).unwrap_or(Timestamp::MAX)
    }

    /// The month after it.
    pub fn next(self) -> Self {
        match self.month {
            12 => Self {
                year: self.year.saturating_add(1),
                month: 1,
            },
            month => Self {
                month: month + 1,
                ..self
            },
        }
    }

    /// The moment after its last.
    pub fn end(self) -> Timestamp {
        self.next().start()
    }
}

/// `2026-01`.
impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

/// What is known of a handoff of the month that is not `secret`.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionFacts {
    /// Its session.
    pub session: Name,
    /// With whom.
    pub with_whom: Name,
    /// When it ended.
    pub created_at: Timestamp,
    /// How carefully to handle it.
    pub sensitivity: Sensitivity,
    /// How much it mattered, 0 to 1.
    pub significance: f64,
    /// Its texts.
    pub fields: Fields,
}

/// A decision that was made in the month.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChoiceFacts {
    /// When.
    pub ts: Timestamp,
    /// What was decided.
    pub decision: String,
    /// Whether another has taken its place since.
    pub superseded: bool,
}

/// The id of a tenant's reflection on a month.
pub fn reflection_id(tenant: &TenantId, month: Month) -> ReflectionId {
    ReflectionId::from_bytes(derived(
        tenant,
        "reflection",
        &[month.to_string().as_bytes()],
    ))
}

/// A word that may be a theme.
#[derive(Debug)]
struct Word {
    handoffs: u32,
    /// As it was written first.
    surface: String,
}

/// Draws what one month came to.
#[derive(Debug)]
pub struct Planner<'r, R> {
    tenant: TenantId,
    month: Month,
    rarity: &'r R,
    plan: Plan,
    handoffs: u32,
    sessions: HashSet<u64>,
    people: BTreeMap<Name, u32>,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    sensitivity: Option<Sensitivity>,
    words: HashMap<String, Word>,
    /// What was told and learned, by how much it mattered and in the order of time.
    told: BTreeMap<(u64, u32), (String, String)>,
    open: Open,
    decided: Vec<String>,
    dropped: Vec<String>,
}

impl<'r, R: Rarity> Planner<'r, R> {
    /// A planner for a month of a tenant.
    pub fn new(tenant: TenantId, month: Month, rarity: &'r R) -> Self {
        Self {
            tenant,
            month,
            rarity,
            plan: Plan::new(ConsolidationType::Reflection),
            handoffs: 0,
            sessions: HashSet::new(),
            people: BTreeMap::new(),
            first: None,
            last: None,
            sensitivity: None,
            words: HashMap::new(),
            told: BTreeMap::new(),
            open: Open::default(),
            decided: Vec::new(),
            dropped: Vec::new(),
        }
    }

    /// Takes the next handoffs of the month, which are not before those it had. Those of other months are passed over.
    pub fn page(&mut self, page: &[SessionFacts]) {
        for facts in page {
            self.plan.items_processed += 1;
            let secret = facts.sensitivity == Sensitivity::Secret;
            if !secret && Month::of(facts.created_at) == self.month {
                self.take(facts);
            }
        }
    }

    fn take(&mut self, facts: &SessionFacts) {
        self.handoffs += 1;
        self.sessions.insert(fnv1a(facts.session.as_str()));
        *self.people.entry(facts.with_whom.clone()).or_default() += 1;
        self.first = Some(
            self.first
                .map_or(facts.created_at, |first| first.min(facts.created_at)),
        );
        self.last = self.last.max(Some(facts.created_at));
        self.sensitivity = self.sensitivity.max(Some(facts.sensitivity));
        self.count_words(&facts.fields);
        self.open.take(&facts.fields);
        let Fields {
            experienced,
            noticed,
            learned,
            story,
            ..
        } = &facts.fields;
        let said = |fields: Fields| Forms::of(&fields, self.rarity).within(SAID_TOKENS);
        let told = said(Fields {
            experienced: experienced.clone(),
            noticed: noticed.clone(),
            learned: learned.clone(),
            story: story.clone(),
            ..Fields::default()
        });
        let learned = said(Fields {
            learned: learned.clone(),
            ..Fields::default()
        });
        // Between 0 and 1, so that the bits are in the order of the numbers.
        let weight = facts.significance.clamp(0.0, 1.0).to_bits();
        self.told.insert((weight, self.handoffs), (told, learned));
        if self.told.len() > MOST_TOLD {
            self.told.pop_first();
        }
    }

    fn count_words(&mut self, fields: &Fields) {
        let mut seen = HashSet::new();
        for (_, text) in fields.each() {
            let text = text
                .get(..text.floor_char_boundary(READ_BYTES))
                .unwrap_or_default();
            // Alone, a word that says nothing would be a term of its own.
            let says: HashSet<String> = index_terms(text).into_iter().collect();
            for word in text.split_whitespace() {
                let word = word.trim_matches(|c: char| !c.is_alphanumeric());
                if word.chars().count() < 3 || word.contains(char::is_numeric) {
                    continue;
                }
                if let Some(term) = index_terms(word).into_iter().next()
                    && says.contains(&term)
                    && seen.insert(term.clone())
                {
                    self.count(term, word);
                }
            }
        }
    }

    fn count(&mut self, term: String, word: &str) {
        if let Some(known) = self.words.get_mut(&term) {
            known.handoffs += 1;
        } else if self.words.len() < MOST_WORDS {
            let surface = word.to_owned();
            self.words.insert(
                term,
                Word {
                    handoffs: 1,
                    surface,
                },
            );
        }
    }

    /// Takes the month's decisions, in the order of time.
    pub fn decisions(&mut self, page: &[ChoiceFacts]) {
        for facts in page {
            self.plan.items_processed += 1;
            if Month::of(facts.ts) == self.month {
                let line = one_line(&facts.decision);
                let list = if facts.superseded {
                    &mut self.dropped
                } else {
                    &mut self.decided
                };
                list.push(line);
                if list.len() > DECIDED {
                    list.remove(0);
                }
            }
        }
    }

    /// The plan, given the reflection on this month that is there ([`reflection_id`]) and the one on the month before.
    pub fn finish(mut self, known: Option<&Reflection>, before: Option<&Reflection>) -> Plan {
        let reflection_id = reflection_id(&self.tenant, self.month);
        let known = known.filter(|reflection| reflection.reflection_id == reflection_id);
        let tokens_before = known.map_or(0, |reflection| tokens(&reflection.body));
        let change = match (self.body(before), known) {
            (Some(body), Some(known)) if known.body == body => None,
            (Some(body), _) => Some(Change::WriteReflection(WriteReflection {
                reflection_id,
                known: known.is_some(),
                tokens_before,
                tokens_after: tokens(&body),
                body,
            })),
            (None, Some(_)) => Some(Change::RetireReflection(RetireReflection {
                reflection_id,
                tokens_before,
            })),
            (None, None) => None,
        };
        self.plan.changes.extend(change);
        self.plan
    }

    fn body(&self, before: Option<&Reflection>) -> Option<ReflectionBody> {
        let (first, last) = (self.first?, self.last?);
        let themes = self.themes();
        let session_count = u32::try_from(self.sessions.len()).unwrap_or(u32::MAX);
        let mut summary = format!(
            "{} with {}, {} to {}",
            counted(session_count, "session"),
            self.people(),
            first.day(),
            last.day()
        );
        if !themes.is_empty() {
            summary.push_str(&format!(", about {}", themes.join(", ")));
        }
        summary.push('.');
        let told = self.pool(|(told, _)| told).within(TOLD_TOKENS);
        if !told.is_empty() {
            summary.push(' ');
            summary.push_str(&told);
        }
        Some(ReflectionBody {
            period_start: self.month.start(),
            // A month that goes on ends with what is known of it.
            period_end: last.plus_millis(1).min(self.month.end()),
            session_count,
            summary,
            insights: self.insights(&themes, &told, before),
            themes,
            sensitivity: self.sensitivity?,
        })
    }

    /// The people of most sessions, and how many others there were.
    fn people(&self) -> String {
        let mut people: Vec<_> = self.people.iter().collect();
        people.sort_by_key(|(_, sessions)| std::cmp::Reverse(**sessions));
        let others = people.len().saturating_sub(PEOPLE);
        let mut names: Vec<String> = people
            .iter()
            .take(PEOPLE)
            .map(|(name, _)| name.to_string())
            .collect();
        if others > 0 {
            names.push(counted(u32::try_from(others).unwrap_or(u32::MAX), "other"));
        }
        names.join(", ")
    }

    /// What many handoffs of the month say and few of the tenant's others.
    fn themes(&self) -> Vec<String> {
        let least = if self.handoffs > 3 { 2 } else { 1 };
        let people: HashSet<String> = self
            .people
            .keys()
            .flat_map(|name| index_terms(name.as_str()))
            .collect();
        let mut words: Vec<(f64, &str, &str)> = self
            .words
            .iter()
            .filter(|(term, word)| word.handoffs >= least && !people.contains(*term))
            .map(|(term, word)| {
                let weight = f64::from(word.handoffs).sqrt() * self.rarity.of(term);
                (weight, term.as_str(), word.surface.as_str())
            })
            .collect();
        words.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(other.1)));
        words
            .iter()
            .take(THEMES)
            .map(|(_, _, surface)| (*surface).to_owned())
            .collect()
    }

    /// What was put up for the month, as one text.
    fn pool(&self, of: impl Fn(&(String, String)) -> &String) -> Pool<'_, R> {
        let mut lines: Vec<(u32, &String)> = self
            .told
            .iter()
            .map(|((_, at), told)| (*at, of(told)))
            .collect();
        lines.sort_unstable();
        let lines: Vec<&str> = lines.into_iter().map(|(_, line)| line.as_str()).collect();
        Pool {
            fields: Fields {
                learned: lines.join("\n"),
                ..Fields::default()
            },
            rarity: self.rarity,
        }
    }

    fn insights(&self, themes: &[String], told: &str, before: Option<&Reflection>) -> Vec<String> {
        let learned = self.pool(|(_, learned)| learned).sentences();
        let untold = learned.iter().filter(|line| !told.contains(line.as_str()));
        let mut lines: Vec<String> = untold
            .take(LEARNED)
            .map(|line| format!("Learned: {line}"))
            .collect();
        lines.extend(self.decided.iter().map(|line| format!("Decided: {line}")));
        lines.extend(
            self.dropped
                .iter()
                .map(|line| format!("No longer holds: {line}")),
        );
        if let Some(before) = before.map(|reflection| &reflection.body.themes) {
            let new = missing(themes, before);
            let gone = missing(before, themes);
            if !new.is_empty() && new.len() < themes.len() {
                lines.push(format!("New against the month before: {}", new.join(", ")));
            }
            if !gone.is_empty() && gone.len() < before.len() {
                lines.push(format!("No longer a theme: {}", gone.join(", ")));
            }
        }
        lines.extend(
            self.open
                .newest(OPEN)
                .into_iter()
                .map(|item| format!("Open: {item}")),
        );
        lines
    }
}

/// Sentences to choose from.
struct Pool<'r, R> {
    fields: Fields,
    rarity: &'r R,
}

impl<R: Rarity> Pool<'_, R> {
    fn within(&self, tokens: usize) -> String {
        Forms::of(&self.fields, self.rarity).within(tokens)
    }

    fn sentences(&self) -> Vec<String> {
        let forms = Forms::of(&self.fields, self.rarity);
        let sentences = forms.sentences(2 * TOLD_TOKENS);
        sentences.into_iter().map(str::to_owned).collect()
    }
}

/// Those of `these` that `those` lack.
fn missing<'t>(these: &'t [String], those: &[String]) -> Vec<&'t str> {
    these
        .iter()
        .filter(|word| !those.contains(word))
        .map(String::as_str)
        .collect()
}

fn tokens(body: &ReflectionBody) -> u64 {
    token::estimate(&body.searchable()) as u64
}

fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.len() <= LINE_BYTES {
        return line;
    }
    let cut = line
        .get(..line.floor_char_boundary(LINE_BYTES))
        .unwrap_or_default();
    let cut = cut.rsplit_once(' ').map_or(cut, |(head, _)| head);
    format!("{cut}…")
}

#[cfg(test)]
mod tests;
