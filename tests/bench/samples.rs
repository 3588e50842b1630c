//! What the micro-benchmarks are given.
//!
//! Prose is what was said in the history of tests/data/tidewatch, one text a message of some hundred bytes.
//!
//! **Invariant:** nothing is drawn by lot, and no text follows from the code that is measured.

use agent_memory::domain::context::{ContextDraft, ContextQuery};
use agent_memory::domain::recall::{Extent, Hit, Pool, RecallDraft, RecallQuery, Row, Voice, Why};
use agent_memory::domain::{
    ActorType, ChunkField, EntityType, NewChunk, TenantId, Timestamp, redact,
};
use anyhow::{Context as _, anyhow};
use serde_json::Value;

const HISTORY: &str = include_str!("../data/tidewatch/history.jsonl");
/// Longer texts of the history are logs.
const LONGEST: usize = 2_000;
/// As many as the store offers for a question.
const CANDIDATES: usize = 100;
/// Passages of a candidate's session that are in the pool: it, two before it and two after.
const SURROUNDED: usize = 5;
const QUESTION: &str = "why does the gauge at the harbour lose readings when the battery is cold?";
const CODE: &str = r#"
/// Reads gauges until the channel closes; a reading that is out of range is kept and marked.
pub fn poll(gauges: &[Gauge], out: &SyncSender<Reading>, stop: &AtomicBool) -> Result<usize, PollError> {
    let mut sent = 0;
    for (index, gauge) in gauges.iter().enumerate().filter(|(_, gauge)| !gauge.is_paused()) {
        let raw = gauge.read_register(0x4b).map_err(|source| PollError::Bus { index, source })?;
        let level_mm = i64::from(raw) * gauge.scale.numerator / gauge.scale.denominator - gauge.zero_mm;
        let quality = match level_mm {
            -2_000..=12_000 => Quality::Good,
            _ if gauge.history.len() < MIN_HISTORY => Quality::Unknown,
            _ => Quality::OutOfRange,
        };
        if out.try_send(Reading { gauge: gauge.id, level_mm, quality, at: now() }).is_err() {
            tracing::warn!(gauge = %gauge.id, "the queue is full; the oldest reading is dropped");
        }
        sent += 1;
        if stop.load(Ordering::Relaxed) { break; }
    }
    Ok(sent)
}
"#;
const CJK: &str = "今日は港の水位計をすべて点検しました。三番の電池が寒さで弱っていて、夜のあいだに読み取りが止まります。\
明日、新しい電池と交換してから、もう一度記録を確認してください。港口的水位计每十分钟记录一次数据，如果连续三次没有读数，\
系统会通知港务长。我们昨天决定把备份保存在第二块硬盘上，因为网络在风暴中经常断开。항구의 수위계는 십 분마다 값을 기록하고, \
세 번 연속으로 값이 없으면 담당자에게 알립니다. 어제 우리는 백업을 두 번째 디스크에 두기로 했습니다.";

/// A kind of text: its name and some of it.
pub(crate) type Kind = (&'static str, Vec<String>);

pub(crate) fn english() -> anyhow::Result<Kind> {
    Ok(("English", prose()?))
}

pub(crate) fn code() -> Kind {
    ("code", vec![CODE.to_owned()])
}

pub(crate) fn cjk() -> Kind {
    ("CJK", vec![CJK.to_owned()])
}

/// English, every third text with a secret in it. They are put together here, so that no scanner takes them for real.
pub(crate) fn secrets() -> anyhow::Result<Kind> {
    let run = "a1B2c3D4e5";
    let secrets = [
        format!("sk-{}-{}", "ant-api03", run.repeat(9)),
        format!("gh{}_{}", "p", run.repeat(4)),
        format!("Authorization: {} {}", "Bearer", run.repeat(3)),
    ];
    let mut texts = prose()?;
    for (text, secret) in texts.iter_mut().step_by(3).zip(secrets.iter().cycle()) {
        text.push_str(&format!(" The key is {secret}, do not lose it."));
    }
    Ok(("with secrets", texts))
}

pub(crate) fn bytes(texts: &[String]) -> anyhow::Result<u64> {
    Ok(u64::try_from(texts.iter().map(String::len).sum::<usize>())?)
}

pub(crate) fn now() -> Timestamp {
    Timestamp::from_millis(1_774_000_000_000)
}

/// What was said and holds no secret.
pub(crate) fn prose() -> anyhow::Result<Vec<String>> {
    let mut texts = Vec::new();
    for line in HISTORY.lines() {
        let record: Value = serde_json::from_str(line)?;
        let text = record
            .pointer("/event/content/text")
            .and_then(Value::as_str);
        let usual = text.filter(|text| text.len() < LONGEST && redact::redact(text).is_clean());
        texts.extend(usual.map(str::to_owned));
    }
    Ok(texts)
}

pub(crate) fn question() -> anyhow::Result<RecallQuery> {
    let draft = RecallDraft {
        query: QUESTION.to_owned(),
        min_score: Some(0.0),
        ..RecallDraft::default()
    };
    RecallQuery::parse(&draft, &TenantId::default_tenant(), now())
        .map_err(|invalid| anyhow!("the question is not valid: {invalid:?}"))
}

pub(crate) fn task(max_tokens: i64) -> anyhow::Result<ContextQuery> {
    let draft = ContextDraft {
        query_text: QUESTION.to_owned(),
        intent: Some("fix the lost readings".to_owned()),
        max_tokens: Some(max_tokens),
        ..ContextDraft::default()
    };
    ContextQuery::parse(&draft, &TenantId::default_tenant(), now())
        .map_err(|invalid| anyhow!("the task is not valid: {invalid:?}"))
}

/// What a search found, each a text of its own.
pub(crate) fn hits(count: usize) -> anyhow::Result<Vec<Hit>> {
    let texts = numbered(count)?;
    let hits = texts.into_iter().enumerate().map(|(place, text)| Hit {
        id: format!("evt_{place:032x}"),
        entity_type: EntityType::Event,
        text,
        score: 1.0 / (1.0 + f64::from(u32::try_from(place).unwrap_or(0))),
        ts: now(),
        refs: Vec::new(),
        status: None,
        superseded_by: None,
        duplicates: Vec::new(),
        duplicate_count: 0,
        why: Why {
            coverage: 1.0,
            matched: Vec::new(),
            features: Vec::new(),
        },
    });
    Ok(hits.collect())
}

/// So many texts of the history, from its beginning again when it ends, and no two alike.
fn numbered(count: usize) -> anyhow::Result<Vec<String>> {
    let prose = prose()?;
    let again = prose.iter().cycle().take(count).enumerate();
    Ok(again
        .map(|(place, text)| format!("{text} ({place})"))
        .collect())
}

/// The pool of a tenant of 100,000 passages: each candidate in a session of its own, its neighbours around it.
pub(crate) fn pool(query: &RecallQuery) -> anyhow::Result<Pool> {
    let mut rows = Vec::new();
    for (place, text) in numbered(CANDIDATES * SURROUNDED)?.into_iter().enumerate() {
        rows.push(row(place, &text)?);
    }
    // Each term rarer than the one before it.
    let frequencies = (1..).map(|place| 20_000 / place);
    Ok(Pool {
        passages: 100_000,
        words: 4_000_000,
        terms: query.terms.iter().cloned().zip(frequencies).collect(),
        rows,
    })
}

fn row(place: usize, text: &str) -> anyhow::Result<Row> {
    let (session, within) = (place / SURROUNDED, place % SURROUNDED);
    let candidate = within == SURROUNDED / 2;
    // Two words of the question, another two for each candidate.
    let asked: Vec<&str> = QUESTION
        .split(' ')
        .cycle()
        .skip(session * 2)
        .take(2)
        .collect();
    let text = if candidate {
        format!("{text} {}", asked.join(" "))
    } else {
        text.to_owned()
    };
    let number = i64::try_from(place).context("too many rows")?;
    let ts = Timestamp::from_millis(now().millis() - number * 60_000);
    let voice = Voice {
        actor: ActorType::Human,
        name: "marit",
        decides: false,
    };
    Ok(Row {
        chunk: number,
        entity: (EntityType::Event, number),
        extent: Extent {
            field: ChunkField::Content,
            start: 0,
            end: u32::try_from(text.len())?,
        },
        session: Some(i64::try_from(session)?),
        ts,
        signature: NewChunk::whole(ChunkField::Content, &text, ts, &[], Some(voice)).signature,
        before: (within > 0).then(|| place - 1),
        after: (within + 1 < SURROUNDED).then_some(place + 1),
        shown: candidate,
        successor: None,
    })
}
