//! Decisions and what took their place.
//!
//! **Invariant:** of two decisions the one that holds is shown first, whatever the words of the question.

use std::collections::{HashMap, HashSet};

use crate::domain::EntityType;
use crate::domain::recall::pool::Row;
use crate::domain::recall::rank::Best;

/// What each step back from the decision that holds takes from its score; the next float below would show as equal.
const BELOW: f64 = 0.999;
/// Longest chain that is followed; a longer one ends here.
const LONGEST_CHAIN: usize = 64;

/// The decision that holds gets the best score of the chain that leads to it, and those before it go below, each by its
/// distance: who asks by the old words is told what holds.
pub(super) fn put_successors_first(best: &mut Best, rows: &[Row]) {
    let next: HashMap<i64, i64> = rows
        .iter()
        .filter(|row| row.entity.0 == EntityType::Decision)
        .filter_map(|row| Some((row.entity.1, row.successor?)))
        .filter(|(_, successor)| best.contains_key(&(EntityType::Decision, *successor)))
        .collect();
    let mut ends: HashMap<i64, f64> = HashMap::new();
    let mut places: Vec<(i64, i64, usize)> = Vec::new();
    for (entity, hit) in best
        .iter()
        .filter(|(entity, _)| entity.0 == EntityType::Decision)
    {
        let (end, distance) = end_of(entity.1, &next);
        let known = ends.entry(end).or_insert(0.0);
        *known = known.max(hit.score);
        places.push((entity.1, end, distance));
    }
    for (decision, end, distance) in places {
        let (Some(top), Some(hit)) = (
            ends.get(&end),
            best.get_mut(&(EntityType::Decision, decision)),
        ) else {
            continue;
        };
        let steps = i32::try_from(distance).unwrap_or(i32::MAX);
        let below = top * BELOW.powi(steps);
        hit.score = if distance == 0 {
            *top
        } else {
            hit.score.min(below)
        };
    }
}

/// The last decision of a chain and how far away it is; of a circle, the one before it closes.
fn end_of(start: i64, next: &HashMap<i64, i64>) -> (i64, usize) {
    let mut visited = HashSet::from([start]);
    let mut at = start;
    while let Some(successor) = next.get(&at)
        && visited.len() <= LONGEST_CHAIN
        && visited.insert(*successor)
    {
        at = *successor;
    }
    (at, visited.len() - 1)
}
