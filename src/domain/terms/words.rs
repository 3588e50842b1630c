//! English words as terms: the lists of what to drop, fold together and weigh less, the stemmer, and the folding of accents
//! in any language.
//!
//! **Invariant:** knows single words, never a text; a word outside the lists goes through Snowball's English stemmer and
//! nothing else.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use foldhash::fast::FixedState;
use rust_stemmers::{Algorithm, Stemmer};
use unicode_normalization::UnicodeNormalization as _;

use crate::domain::terms::scan::Role;

/// Compatibility forms and accents folded. Marks of Latin, Greek and Cyrillic (U+0300..), and the optional points of
/// Hebrew and Arabic go; the marks of other scripts are part of their words. ASCII stays as it is.
pub(super) fn folded(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let ascii = rest
            .bytes()
            .position(|b| !b.is_ascii())
            .unwrap_or(rest.len());
        out.push_str(rest.get(..ascii).unwrap_or_default());
        rest = rest.get(ascii..).unwrap_or_default();
        let wide = rest
            .bytes()
            .position(|b| b.is_ascii())
            .unwrap_or(rest.len());
        let run = rest.get(..wide).unwrap_or_default();
        rest = rest.get(wide..).unwrap_or_default();
        for c in run.nfkd().filter(|c| !is_point(*c)).nfc() {
            match c {
                '’' | '‘' => out.push('\''),
                '‐' | '‑' => out.push('-'),
                'ß' | 'ẞ' => out.push_str("ss"),
                _ => out.push(c),
            }
        }
    }
    Cow::Owned(out)
}

/// Accents and vowel points, and what is invisible inside a word: soft hyphen, joiners, variation selectors, the mark of
/// a keycap.
fn is_point(c: char) -> bool {
    matches!(u32::from(c), 0x300..=0x36f | 0x591..=0x5bd | 0x5bf..=0x5c7 | 0x610..=0x61a | 0x640 | 0x64b..=0x65f | 0x670
        | 0xad | 0x200c..=0x200d | 0x2060 | 0x20e3 | 0xfe00..=0xfe0f | 0xfeff)
}

/// Whether the stemmer may change this word: it is English letters, and ends as one of Snowball's suffixes does. Saves
/// half of the stemmer's calls, which are most of the time; a test compares the two over a vocabulary.
pub(super) fn changes(word: &str) -> bool {
    let bytes = word.as_bytes();
    let suffix = match bytes {
        [] | [_] | [_, _] => false,
        [.., b's' | b'd' | b'g' | b'y' | b'e' | b'l'] => true,
        [.., b'r'] => word.ends_with("er") || word.ends_with("or"),
        [.., b'c'] => word.ends_with("ic"),
        [.., b't'] => word.ends_with("nt"),
        [.., b'm'] => word.ends_with("ism"),
        [.., b'n'] => word.ends_with("ion"),
        [.., b'i'] => true,
        _ => false,
    };
    suffix && bytes.iter().all(u8::is_ascii_lowercase)
}

/// A lower-case word as a term, by the tables and the stemmer.
pub(super) fn stemmed(word: &str) -> String {
    match KNOWN.get(word) {
        Some((term, _)) => term.clone(),
        None => STEMMER.stem(word).into_owned(),
    }
}

/// Snowball English, as tantivy uses it.
pub(super) static STEMMER: LazyLock<Stemmer> =
    LazyLock::new(|| Stemmer::create(Algorithm::English));

/// The words of the tables with their terms, stemmed once.
pub(super) static KNOWN: LazyLock<HashMap<&'static str, (String, Role), FixedState>> =
    LazyLock::new(|| {
        // A command makes this for a single write, so nothing here is looked for word by word.
        let mut bases: HashMap<&'static str, &'static str> = HashMap::new();
        for (base, forms) in IRREGULAR {
            for form in forms.split(' ') {
                bases.entry(form).or_insert(base);
            }
        }
        // `children` is a form of `child`, and `child` a word for `kid`: two steps at most, four to be safe.
        let base = |word: &'static str| {
            (0..4).fold(word, |word, _| bases.get(word).copied().unwrap_or(word))
        };
        let frames: HashSet<&str> = FRAME.split(' ').collect();
        // Every word of every text is looked up, and nobody can choose what is in it.
        let mut known = HashMap::default();
        let mut add = |words: &'static str, role: Role| {
            for word in words.split_ascii_whitespace() {
                let role = if role == Role::Word && frames.contains(base(word)) {
                    Role::Frame
                } else {
                    role
                };
                known.insert(word, (STEMMER.stem(base(word)).into_owned(), role));
            }
        };
        IRREGULAR.iter().for_each(|(base, forms)| {
            add(base, Role::Word);
            add(forms, Role::Word);
        });
        add(FRAME, Role::Frame);
        add(STOP, Role::Stop);
        known
    });

/// January first.
pub(super) const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// Monday first.
pub(super) const WEEKDAYS: [&str; 7] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

/// The frame of a question; the list of `ref_lex2.py`, tuned on `LoCoMo`.
const FRAME: &str = "kind type sort name many much long often likely would could considered mention mentioned describe described \
    specific specifically event activities activity different various based according feel think does plan planning \
    main reason";

/// Says nothing of what a text is about; the list of `ref_lex2.py`. Kept in the index it loses 8 points of hit@10.
const STOP: &str = "a an the and or but if then else of in on at to for from by with about as into like through after over between \
    out against during without before under around among is are was were be been being am do does did doing done \
    have has had having will would shall should can could may might must i me my mine we us our ours you your yours \
    he him his she her hers it its they them their theirs this that these those what which who whom whose when where \
    why how there here not no nor so than too very just also s t don now m re ve ll d";

/// Irregular forms and everyday words for the same thing, each after its base; the list of `ref_lex2.py`. The first line
/// that has a form wins.
#[rustfmt::skip]
const IRREGULAR: [(&str, &str); 97] = [
    ("be", "am is are was were been being"), ("go", "went gone"), ("buy", "bought"), ("win", "won"),
    ("teach", "taught"), ("take", "took taken"), ("make", "made"), ("get", "got gotten"), ("give", "gave given"),
    ("run", "ran"), ("begin", "began begun"), ("see", "saw seen"), ("say", "said"), ("tell", "told"),
    ("think", "thought"), ("find", "found"), ("come", "came"), ("know", "knew known"), ("feel", "felt"),
    ("leave", "left"), ("lose", "lost"), ("meet", "met"), ("write", "wrote written"), ("read", "read"),
    ("drive", "drove driven"), ("ride", "rode ridden"), ("eat", "ate eaten"), ("drink", "drank drunk"),
    ("sing", "sang sung"), ("swim", "swam swum"), ("speak", "spoke spoken"), ("break", "broke broken"),
    ("choose", "chose chosen"), ("draw", "drew drawn"), ("fall", "fell fallen"), ("fly", "flew flown"),
    ("forget", "forgot forgotten"), ("grow", "grew grown"), ("hear", "heard"), ("hold", "held"), ("keep", "kept"),
    ("lead", "led"), ("learn", "learnt"), ("send", "sent"), ("sell", "sold"), ("build", "built"), ("spend", "spent"),
    ("stand", "stood"), ("catch", "caught"), ("bring", "brought"), ("fight", "fought"), ("seek", "sought"),
    ("sleep", "slept"), ("pay", "paid"), ("shoot", "shot"), ("sit", "sat"), ("steal", "stole stolen"),
    ("wear", "wore worn"), ("wake", "woke woken"), ("throw", "threw thrown"), ("rise", "rose risen"),
    ("hide", "hid hidden"), ("bite", "bit bitten"), ("become", "became"), ("understand", "understood"),
    ("lie", "lay lain"), ("lay", "laid"), ("dream", "dreamt"), ("deal", "dealt"), ("mean", "meant"), ("feed", "fed"),
    ("dig", "dug"), ("hang", "hung"), ("shake", "shook shaken"), ("show", "shown"), ("swear", "swore sworn"),
    ("tear", "tore torn"), ("child", "children"), ("man", "men"), ("woman", "women"), ("person", "people"),
    ("foot", "feet"), ("tooth", "teeth"), ("mouse", "mice"), ("wife", "wives"), ("life", "lives"),
    ("knife", "knives"), ("leaf", "leaves"), ("mom", "mother mum mommy"), ("dad", "father daddy"),
    ("kid", "child children"), ("bike", "bicycle"), ("photo", "picture pic photograph"), ("tv", "television"),
    ("movie", "film"), ("job", "work"), ("pet", "pets"),
];
