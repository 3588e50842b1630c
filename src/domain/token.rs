//! How many tokens a language model will read for a text, without the 4 MB of a real tokenizer.
//!
//! The estimate walks the text as the splitting rule of the encoding `o200k_base` does (words with the space before them,
//! digits by threes, runs of punctuation, line ends with their white space) and gives each character what it adds on
//! average. The tests hold it between 5 % below and 20 % above the real count for English, code, JSON and CJK each.
//!
//! **Invariant:** what a character adds depends on what stands before it alone and is never negative: a longer prefix
//! never counts less, which is what lets [`cut`] stop at the first character too many. Nothing is allocated.

/// Parts of a token, so that costs are integers; 64 tells apart what differs by 2 %.
///
/// All costs below were fitted against `o200k_base` over 1.5 MB of conversations, Rust, C, Python, JSON, Markdown and a
/// dozen languages, to come out some 7 % above it: a context that is too long costs more than one a little short.
const TOKEN: u64 = 64;

/// About how many tokens a text is. 0 only for an empty one.
pub fn estimate(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut walk = Walk::default();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match bytes.get(at + 1) {
            Some(letter)
                if *byte == b' ' && letter.is_ascii_lowercase() && walk.last != Class::Space =>
            {
                walk.word(*letter);
                at += 2;
            }
            _ => {
                walk.step(*byte, bytes, at);
                at += 1;
            }
        }
        if walk.last == Class::Lower {
            // Most of most texts are small letters after small letters.
            let rest = bytes.get(at..).unwrap_or_default();
            let letters = rest.iter().take_while(|b| b.is_ascii_lowercase()).count();
            walk.letters(rest.get(..letters).unwrap_or_default());
            at += letters;
        }
    }
    whole(walk.cost).max(usize::from(!text.is_empty()))
}

/// The longest beginning of a text that is estimated at no more than this many tokens. It ends with a whole word, unless
/// that word is longer than any in a dictionary.
pub fn cut(text: &str, max_tokens: usize) -> &str {
    if max_tokens == 0 {
        return "";
    }
    // No character counts more than a token for each of its bytes. Most texts are not cut, and to see that takes less than
    // to look for where.
    if text.len() <= max_tokens || estimate(text) <= max_tokens {
        return text;
    }
    let mut walk = Walk::default();
    let (mut fits, mut word) = (0, 0);
    for (at, byte) in text.bytes().enumerate() {
        if text.is_char_boundary(at) {
            fits = at;
            if byte.is_ascii_whitespace() && !matches!(walk.last, Class::Space | Class::Line)
                || walk.last == Class::Dense
            {
                word = at;
            }
        }
        walk.step(byte, text.as_bytes(), at);
        if whole(walk.cost) > max_tokens {
            let end = if word > 0 && fits - word <= MAX_WORD_BYTES {
                word
            } else {
                fits
            };
            return text.get(..end).unwrap_or_default();
        }
    }
    text
}

/// How far [`cut`] goes back for a word's end: the longest word of a German dictionary has 67 letters.
const MAX_WORD_BYTES: usize = 67;

fn whole(cost: u64) -> usize {
    usize::try_from((cost + TOKEN / 2) / TOKEN).unwrap_or(usize::MAX)
}

/// What a character is to the splitting rule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Class {
    /// A lower-case ASCII letter.
    Lower,
    /// An upper-case ASCII letter.
    Upper,
    Digit,
    /// A space or tab.
    Space,
    /// A line end. So is the text's beginning.
    #[default]
    Line,
    Sign,
    /// A letter with an accent; of a Latin word.
    Accent,
    /// A letter of another alphabet.
    Letter,
    /// A character of Chinese, Japanese or Korean.
    Dense,
    /// Emoji and other symbols.
    Symbol,
    /// The rest of a character.
    Inside,
}

#[derive(Default)]
struct Walk {
    cost: u64,
    last: Class,
    /// The class before the run that `last` belongs to.
    before: Class,
    /// How many characters of that run there were, without the one to come.
    run: u64,
    last_byte: u8,
}

impl Walk {
    #[inline]
    fn step(&mut self, byte: u8, bytes: &[u8], at: usize) {
        let class = CLASSES.get(usize::from(byte)).copied().unwrap_or_default();
        let (class, weight) = match class {
            Class::Inside => return,
            Class::Symbol | Class::Letter | Class::Dense => wide(
                byte,
                bytes.get(at + 1).copied().unwrap_or(0),
                bytes.get(at + 2).copied().unwrap_or(0),
            ),
            class => (class, 0),
        };
        let cost = match class {
            Class::Lower | Class::Accent => self.lower(class),
            Class::Upper => self.upper(),
            Class::Digit => self.digit(),
            Class::Space => self.space(byte),
            Class::Line => self.line(),
            Class::Sign => self.sign(byte),
            Class::Letter => {
                if self.last == class {
                    weight
                } else {
                    TOKEN
                }
            }
            Class::Dense | Class::Symbol | Class::Inside => weight,
        };
        self.cost += cost;
        self.last_byte = byte;
        if same_run(self.last, class) {
            self.run += 1;
        } else {
            (self.before, self.run) = (self.last, 1);
        }
        self.last = class;
    }

    /// A space after something else and the small letter after it, as [`Walk::step`] would take them one by one.
    #[inline]
    fn word(&mut self, letter: u8) {
        self.cost += TOKEN;
        (self.before, self.last, self.run) = (Class::Space, Class::Lower, 1);
        self.last_byte = letter;
    }

    /// Small letters after a small letter, as [`Walk::step`] would take them one by one.
    #[inline]
    fn letters(&mut self, letters: &[u8]) {
        let Some(last) = letters.last() else {
            return;
        };
        let count = u64::try_from(letters.len()).unwrap_or(u64::MAX);
        let in_code = self.before == Class::Sign;
        self.cost += in_words(self.run + count, in_code) - in_words(self.run, in_code);
        self.run += count;
        self.last_byte = *last;
    }

    /// A small letter, at the beginning of a word or in it.
    fn lower(&self, class: Class) -> u64 {
        let accent = if class == Class::Accent { ACCENT } else { 0 };
        let in_code = self.before == Class::Sign;
        let letter = match (self.last, self.run) {
            (Class::Lower | Class::Upper | Class::Accent, run) => in_word(run, in_code),
            // `I'm`: the ending belongs to the word.
            (Class::Sign, 1) if self.last_byte == b'\'' && is_word(self.before) => 6,
            // `.get`, `_name`, `(self`: often one token with its sign.
            (Class::Sign, 1) if is_word(self.before) => 30,
            (Class::Sign, 1) => 50,
            _ => TOKEN,
        };
        letter + accent
    }

    /// A hump begins a word; capitals go by threes.
    fn upper(&self) -> u64 {
        match (self.last, self.run) {
            (Class::Upper, 1) => 2,
            (Class::Upper, _) => 17,
            (Class::Sign, 1) if is_word(self.before) => 48,
            _ => TOKEN,
        }
    }

    /// By threes, and the space before is a token of its own.
    fn digit(&self) -> u64 {
        match (self.last, self.run % 3) {
            (Class::Digit, 0) => TOKEN,
            (Class::Digit, _) => 0,
            (Class::Space, _) if self.run == 1 => 2 * TOKEN,
            _ => TOKEN,
        }
    }

    /// One space belongs to the word after it; more are a token beside it.
    fn space(&self, byte: u8) -> u64 {
        match (self.last, self.run) {
            (Class::Space, 1) if self.last_byte == b' ' => TOKEN,
            (Class::Space, run) if run % 32 == 0 => TOKEN,
            (Class::Space, _) => 0,
            _ if byte == b'\t' => TOKEN,
            _ => 0,
        }
    }

    /// A run of line ends is one token, and often part of the punctuation before it.
    fn line(&self) -> u64 {
        match (self.last, self.run) {
            (Class::Line, run) if run % 16 == 0 => TOKEN,
            (Class::Line, _) => 2,
            (Class::Sign, _) => 18,
            (Class::Space, 2..) => 0,
            _ => TOKEN,
        }
    }

    /// Pairs such as `);` are mostly one token, and so are rules of one character.
    fn sign(&self, byte: u8) -> u64 {
        match self.last {
            Class::Sign if byte == self.last_byte => 6,
            Class::Sign if self.run % 2 == 1 => 14,
            Class::Sign => 30,
            _ => TOKEN,
        }
    }
}

/// What a small letter adds to a word of so many characters: nearly all words of up to 8 letters are one token after a
/// space; inside code, fewer.
fn in_word(run: u64, in_code: bool) -> u64 {
    in_words(run + 1, in_code) - in_words(run, in_code)
}

/// What the small letters of a word of so many add to its first.
fn in_words(length: u64, in_code: bool) -> u64 {
    let (fifth, eighth) = if in_code { (4, 14) } else { (1, 4) };
    fifth * length.saturating_sub(4).min(3)
        + eighth * length.saturating_sub(7).min(6)
        + 22 * length.saturating_sub(13)
}

/// What an accent adds to a Latin word.
const ACCENT: u64 = 28;

fn same_run(last: Class, class: Class) -> bool {
    // A capital after a small letter begins a word; a small letter after capitals goes on with theirs.
    last == class || is_word(last) && is_word(class) && class != Class::Upper
}

fn is_word(class: Class) -> bool {
    matches!(class, Class::Lower | Class::Upper | Class::Accent)
}

/// The class of a character of more than two bytes, or of another alphabet, and what it adds.
fn wide(first: u8, second: u8, third: u8) -> (Class, u64) {
    match (first, second) {
        // Cyrillic, Greek, Armenian, Hebrew, Arabic; then India's scripts; Thai and Lao.
        (0xc2..=0xdf, _) => (Class::Letter, 11),
        (0xe0, 0xb8..=0xbb) => (Class::Dense, 28),
        (0xe0, _) => (Class::Letter, 12),
        (0xe1, _) => (Class::Dense, 44),
        // A joiner and the like; quotes and dashes.
        (0xe2, 0x80) if third < 0x90 => (Class::Symbol, TOKEN),
        (0xe2, 0x80) => (Class::Symbol, TOKEN),
        (0xe2, _) => (Class::Symbol, 96),
        // CJK punctuation; kana; Han; Hangul; full-width forms.
        (0xe3, 0x80) => (Class::Dense, 52),
        (0xe3, 0x81..=0x83) => (Class::Dense, 48),
        (0xe3..=0xe9, _) => (Class::Dense, 56),
        (0xea..=0xed, _) => (Class::Dense, 46),
        (0xef, 0xbc..=0xbf) => (Class::Dense, 58),
        (0xef, _) => (Class::Symbol, TOKEN),
        _ => (Class::Symbol, 144),
    }
}

const CLASSES: [Class; 256] = classes();

const fn classes() -> [Class; 256] {
    let mut classes = [Class::Sign; 256];
    let mut byte = 0_u8;
    loop {
        #[expect(
            clippy::indexing_slicing,
            reason = "a byte is below 256, and this runs in the compiler"
        )]
        let class = &mut classes[byte as usize];
        *class = match byte {
            b'a'..=b'z' => Class::Lower,
            b'A'..=b'Z' => Class::Upper,
            b'0'..=b'9' => Class::Digit,
            b' ' | b'\t' => Class::Space,
            b'\n' | b'\r' => Class::Line,
            0x80..=0xbf => Class::Inside,
            0xc3..=0xc9 => Class::Accent,
            0xc2 | 0xca..=0xdf => Class::Letter,
            0xe0..=0xff => Class::Symbol,
            _ => Class::Sign,
        };
        if byte == u8::MAX {
            return classes;
        }
        byte += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const ENGLISH: &str = "Yesterday Caroline told me that she has finally signed up for the pottery class she's been \
        thinking about since last summer. It meets every Thursday evening at the community centre on Elm Street, and \
        the first session is on 8 May 2023. She'd rather go with a friend, so I said I'd join her if I can finish work \
        early; my manager wasn't thrilled, but he agreed. What struck me is how much happier she sounds nowadays: after \
        the move, the new job and three months of looking for an affordable apartment, things are settling down.\n\n\
        We also talked about the architecture of the service. The main decision was to keep a single writer and several \
        readers, because concurrent writers starved each other under load (about 95% of transactions failed). I don't \
        think that's going to change, although the documentation still recommends the old configuration. Could you \
        remind me to update it before the release? Thanks! Next week we'll review the remaining questions: retention, \
        encryption, backups and whether summaries should be generated automatically.\n";

    const CODE: &str = r#"
import asyncio
from collections import defaultdict

class EventStore:
    """Keeps events by session."""

    def __init__(self, path: str, max_size: int = 1024) -> None:
        self._path = path
        self._events: dict[str, list[dict]] = defaultdict(list)

    async def append(self, session_id: str, event: dict) -> int:
        if not session_id or len(event) > self.max_size:
            raise ValueError(f"invalid event for {session_id!r}")
        async with self._lock:
            self._events[session_id].append(event)
            await asyncio.to_thread(self._flush)
        return len(self._events[session_id])

export async function fetchUser(id: number, opts: RequestInit = {}): Promise<User | null> {
  const response = await fetch(`${API_URL}/users/${id}`, { ...opts, headers: { Accept: "application/json" } });
  if (!response.ok) {
    console.error("request failed", response.status);
    return null;
  }
  for (let i = 0; i < items.length; i++) { total += items[i].price * (1 - discount); }
  return (await response.json()) as User;
}
"#;

    const CHINESE: &str = "昨天下午我和同事讨论了新项目的数据库设计。我们决定先使用一个写入线程和多个读取线程,这样可以避免并发写入时的锁冲突。\
        会议结束以后,他请我喝了一杯咖啡,还说下个月要搬到杭州去工作,因为他的妻子在那里找到了更好的职位。我建议他先租房子,等熟悉了环境再考虑买房。\
        晚上回家的路上下起了大雨,我没有带伞,只好在地铁站里等了半个小时。请记住:以后所有的接口都必须写测试,错误信息要清楚,不能泄露用户的隐私。";

    const JAPANESE: &str = "昨日の午後、同僚と新しいプロジェクトのデータベース設計について話し合いました。書き込みは一つのスレッドだけで行い、読み込みは複数のスレッドで\
        並行して処理することに決めました。会議のあと、彼は駅前の喫茶店でコーヒーをごちそうしてくれて、来月から大阪に引っ越すことになったと教えてくれました。\
        帰り道に急に雨が降ってきたので、しばらく本屋で待ってから家に帰りました。これからは、すべての関数にテストを書いて、エラーメッセージを分かりやすくしてください。";

    const KOREAN: &str = "어제 오후에 동료와 새로운 프로젝트의 데이터베이스 설계에 대해 이야기했습니다. 쓰기는 하나의 스레드에서만 처리하고 읽기는 여러 스레드에서 \
        동시에 처리하기로 결정했습니다. 회의가 끝난 뒤에 그는 커피를 사 주면서 다음 달에 부산으로 이사한다고 말했습니다. 집에 돌아오는 길에 갑자기 비가 와서 \
        한참 동안 서점에서 기다렸습니다. 앞으로는 모든 함수에 테스트를 작성하고 오류 메시지를 알기 쉽게 만들어 주세요.";

    const EMOJI: &str =
        "😀😂❤️👍🏽🎉🔥🙏😭✨🚀💯👨‍👩‍👧‍👦🇩🇪🏳️‍🌈🤷‍♀️🐱☀️✅❌⚠️🧠📝🔧🥳 🦀 🪐 🫠 love it 😍😍😍 see you 👋";

    fn json(rows: usize, pretty: bool) -> String {
        let row = |n: usize| {
            json!({
                "id": n, "name": format!("user_{n}"), "email": format!("user{n}@example.com"), "tags": ["alpha", "production"],
                "content": "The deployment failed because the certificate had expired.", "active": n.is_multiple_of(2), "parent": null,
                "createdAt": format!("2024-03-{:02}T10:{:02}:00.000Z", n % 28 + 1, n % 60), "score": n as f64 * 0.37,
            })
        };
        let rows: Vec<_> = (0..rows).map(row).collect();
        if pretty {
            serde_json::to_string_pretty(&rows).unwrap()
        } else {
            serde_json::to_string(&rows).unwrap()
        }
    }

    #[test]
    fn stays_near_a_real_tokenizer() {
        let real = tiktoken_rs::o200k_base().unwrap();
        let samples = [
            ("english", ENGLISH.to_owned()),
            ("code", CODE.to_owned()),
            ("rust", include_str!("chunk.rs").to_owned()),
            ("json", json(40, false)),
            ("pretty json", json(40, true)),
            ("chinese", CHINESE.to_owned()),
            ("japanese", JAPANESE.to_owned()),
            ("korean", KOREAN.to_owned()),
            ("emoji", EMOJI.to_owned()),
        ];
        for (name, sample) in samples {
            let (real, estimate) = (
                real.encode_ordinary(&sample).len() as f64,
                estimate(&sample) as f64,
            );
            let error = (estimate / real - 1.0) * 100.0;
            assert!(
                (-5.0..=20.0).contains(&error),
                "{name}: {real} real, {estimate} estimated, {error:+.1} %"
            );
        }
    }

    #[test]
    fn counts_something_for_anything() {
        for (text, tokens) in [
            ("", 0),
            (" ", 1),
            ("a", 1),
            ("hello world", 2),
            ("2023", 2),
            ("\n\n", 1),
        ] {
            assert_eq!(estimate(text), tokens, "{text:?}");
        }
        let long = " ".repeat(1_000_000);
        assert!(estimate(&long) > 10_000);
    }

    #[test]
    fn cuts_at_a_word() {
        assert_eq!(cut("one two three", 2), "one two");
        assert_eq!(cut("one two", 9), "one two");
        assert_eq!(cut("one", 0), "");
        assert!(cut(&"x".repeat(10_000), 5).len() > 10);
        assert_eq!(cut(CHINESE, 10).chars().count(), 11);
    }

    proptest! {
        #[test]
        fn a_longer_prefix_never_counts_less(text in "(?s:.){0,60}|[ -~\\n]{0,80}|[a-zA-Z0-9 .猫é\t\n]{0,80}") {
            let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            let counts: Vec<usize> = ends.map(|end| estimate(&text[..end])).collect();
            prop_assert!(counts.is_sorted(), "{:?}", counts);
        }

        #[test]
        fn what_is_taken_at_a_stride_costs_what_it_costs_step_by_step(text in "(?s:.){0,60}|[ a-c.\\nA-C']{0,80}") {
            let mut walk = Walk::default();
            for (at, byte) in text.bytes().enumerate() {
                walk.step(byte, text.as_bytes(), at);
            }
            prop_assert_eq!(estimate(&text), whole(walk.cost).max(usize::from(!text.is_empty())));
        }

        #[test]
        fn a_cut_fits(text in "(?s:.){0,60}|[ -~\\n]{0,80}|[a-zA-Z0-9 .猫é\t\n]{0,80}", max in 0_usize..30) {
            let short = cut(&text, max);
            prop_assert!(text.starts_with(short) && estimate(short) <= max);
            prop_assert!(short.len() == text.len() || estimate(&text) > max);
            let rest: usize = text.chars().take_while(|c| !c.is_whitespace()).map(char::len_utf8).sum();
            prop_assert!(max < 2 || rest > MAX_WORD_BYTES || text.is_empty() || !short.is_empty());
        }
    }
}
