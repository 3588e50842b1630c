//! Answers that cost something to find, kept for whoever asks next.
//!
//! Each is kept with a count of the state it was read in, of writes or of erasures, which every transaction keeps; whoever
//! asks says whether an answer of that state still holds. So an answer is never older than the snapshot it is used in,
//! whichever process wrote.
//!
//! **Invariant:** what is kept takes no more memory than it was given.

use quick_cache::Weighter;
use quick_cache::sync::Cache;

/// The answers asked for last.
#[derive(Debug)]
pub(crate) struct Memo<K, V: Weigh + Clone>(Cache<K, (i64, V), ByBytes>);

/// About how much memory a value takes, in bytes, with its key and its place.
pub(crate) trait Weigh {
    /// As much.
    fn bytes(&self) -> usize;
}

#[derive(Debug, Clone)]
struct ByBytes;

impl<K, V: Weigh> Weighter<K, (i64, V)> for ByBytes {
    fn weight(&self, _: &K, (_, value): &(i64, V)) -> u64 {
        u64::try_from(value.bytes()).unwrap_or(u64::MAX)
    }
}

impl<K: Eq + std::hash::Hash, V: Weigh + Clone> Memo<K, V> {
    /// With room for so many bytes, which is about so many values.
    pub(crate) fn new(bytes: u64, about: usize) -> Self {
        Self(Cache::with_weighter(about, bytes, ByBytes))
    }

    /// What was kept, if it holds of the state that it was read in.
    pub(crate) fn get(&self, key: &K, holds: impl FnOnce(i64) -> bool) -> Option<V> {
        let (state, value) = self.0.get(key)?;
        holds(state).then_some(value)
    }

    /// Keeps what was read in this state.
    pub(crate) fn keep(&self, key: K, state: i64, value: V) {
        self.0.insert(key, (state, value));
    }
}
