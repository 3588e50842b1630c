//! Decisions and what took their place.
//!
//! **Invariant:** of two decisions the one that holds is shown first, whatever the words of the question.

use std::collections::HashMap;

use crate::domain::EntityType;
use crate::domain::recall::pool::Row;
use crate::domain::recall::rank::Ranked;

/// A decision that was superseded goes right below the one that took its place, which gets the better score of both:
/// who asks by the old words is told what holds.
pub(super) fn put_successors_first(best: &mut HashMap<(EntityType, i64), Ranked>, rows: &[Row]) {
    // The next float below would do, but shows as an equal score.
    const BELOW: f64 = 0.999;
    let successor = |ranked: &Ranked| {
        rows.get(ranked.row)?
            .successor
            .map(|seq| (EntityType::Decision, seq))
    };
    let mut superseded: Vec<_> = best
        .iter()
        .filter_map(|(entity, ranked)| Some((*entity, successor(ranked)?)))
        .collect();
    // Along a chain from its newest link: each lifts what it is followed by before that is put below it. A decision is
    // superseded by a later one or an earlier one, so the number of links is the bound, not their order.
    superseded.sort_unstable_by(|a, b| b.cmp(a));
    for _ in 0..superseded.len().min(8) {
        for (old, new) in &superseded {
            let Some(old_score) = best.get(old).map(|hit| hit.score) else {
                continue;
            };
            let Some(new_hit) = best.get_mut(new) else {
                continue;
            };
            if old_score >= new_hit.score {
                new_hit.score = old_score;
                if let Some(old_hit) = best.get_mut(old) {
                    old_hit.score = old_score * BELOW;
                }
            }
        }
    }
}
