//! Domination between trials with several objectives.

use super::trial::{Direction, Trial, TrialState};

/// Whether losses `a` are nowhere worse than `b` and somewhere better.
pub fn dominates(a: &[f64], b: &[f64]) -> bool {
    a.iter().zip(b).all(|(a, b)| a <= b) && a.iter().zip(b).any(|(a, b)| a < b)
}

/// A trial's values as losses.
pub fn losses(trial: &Trial, directions: &[Direction]) -> Vec<f64> {
    trial.values.iter().zip(directions).map(|(value, direction)| direction.loss(*value)).collect()
}

/// The finished trials that no other dominates, by number; for one objective the best one, the earliest of equals.
/// Trials that violate a constraint count only when all do, and then those with the smallest violation.
pub fn front<'a>(trials: &'a [Trial], directions: &[Direction]) -> Vec<&'a Trial> {
    let whole = |trial: &&Trial| {
        trial.state == TrialState::Finished
            && trial.values.len() == directions.len()
            && !trial.values.iter().any(|value| value.is_nan())
    };
    let mut candidates: Vec<&Trial> = trials.iter().filter(whole).collect();
    if candidates.iter().any(|trial| trial.is_feasible()) {
        candidates.retain(|trial| trial.is_feasible());
    } else {
        let least = candidates.iter().map(|trial| violation(trial)).fold(f64::INFINITY, f64::min);
        candidates.retain(|trial| violation(trial) <= least);
    }
    let scored: Vec<(Vec<f64>, &Trial)> = candidates.iter().map(|trial| (losses(trial, directions), *trial)).collect();
    let beaten = |loss: &[f64]| scored.iter().any(|(other, _)| dominates(other, loss));
    let mut best: Vec<&Trial> = scored.iter().filter(|(loss, _)| !beaten(loss)).map(|(_, trial)| *trial).collect();
    if directions.len() == 1 {
        best.truncate(1);
    }
    best
}

/// The sum of what is violated.
pub fn violation(trial: &Trial) -> f64 {
    trial.constraints.iter().map(|violation| violation.max(0.0)).sum()
}

/// The rank of each point: 0 for the front, 1 for the front of the rest, and so on.
pub fn ranks(points: &[Vec<f64>]) -> Vec<usize> {
    let mut ranks = vec![usize::MAX; points.len()];
    let mut left: Vec<usize> = (0..points.len()).collect();
    let mut rank = 0;
    while !left.is_empty() {
        let beaten = |i: usize| left.iter().any(|&j| dominates(&points[j], &points[i]));
        let (rest, front): (Vec<usize>, Vec<usize>) = left.iter().partition(|&&i| beaten(i));
        front.iter().for_each(|&i| ranks[i] = rank);
        left = rest;
        rank += 1;
    }
    ranks
}

/// The places of the points, best first, at least the first `n` of them in order: by rank, and within the rank that
/// does not fit whole by what each adds to the dominated volume (greedily, as in Optuna's MOTPE).
pub fn best_first(points: &[Vec<f64>], n: usize) -> Vec<usize> {
    let ranks = ranks(points);
    let mut order = Vec::with_capacity(points.len());
    for rank in 0..=ranks.iter().copied().max().unwrap_or(0) {
        let mut front: Vec<usize> = (0..points.len()).filter(|i| ranks[*i] == rank).collect();
        if order.len() < n && order.len() + front.len() > n {
            front = by_contribution(points, front, n - order.len());
        }
        order.extend(front);
    }
    order
}

/// Puts the `n` points first that together dominate the largest volume, chosen one by one.
fn by_contribution(points: &[Vec<f64>], front: Vec<usize>, n: usize) -> Vec<usize> {
    let reference: Vec<f64> = (0..points[front[0]].len())
        .map(|axis| {
            let worst = front.iter().map(|&i| points[i][axis]).fold(f64::NEG_INFINITY, f64::max);
            let beyond = (1.1 * worst).max(0.9 * worst);
            if beyond == 0.0 { 1e-12 } else { beyond }
        })
        .collect();
    let mut rest = front;
    let mut chosen: Vec<usize> = Vec::new();
    while chosen.len() < n && !rest.is_empty() {
        let volume = |i: usize| {
            let with: Vec<&[f64]> = chosen.iter().chain([&i]).map(|&j| points[j].as_slice()).collect();
            hypervolume(&with, &reference)
        };
        let best = (0..rest.len()).max_by(|&a, &b| volume(rest[a]).total_cmp(&volume(rest[b])).then(b.cmp(&a)));
        chosen.push(rest.remove(best.unwrap_or(0)));
    }
    chosen.extend(rest);
    chosen
}

/// The volume that points dominate up to `reference`, all axes losses: by what each adds to those after it (While,
/// Bradstreet and Barone, *A Fast Way of Calculating Exact Hypervolumes*, 2012).
pub fn hypervolume(points: &[&[f64]], reference: &[f64]) -> f64 {
    let mut volume = 0.0;
    for (i, point) in points.iter().enumerate() {
        let own: f64 = point.iter().zip(reference).map(|(p, r)| (r - p).max(0.0)).product();
        if own == 0.0 {
            continue;
        }
        let limited: Vec<Vec<f64>> =
            points[i + 1..].iter().map(|other| other.iter().zip(*point).map(|(a, b)| a.max(*b)).collect()).collect();
        let kept: Vec<&[f64]> = (0..limited.len())
            .filter(|&j| {
                let beaten = |k: usize| dominates(&limited[k], &limited[j]) || limited[k] == limited[j] && k < j;
                !(0..limited.len()).any(|k| k != j && beaten(k))
            })
            .map(|j| limited[j].as_slice())
            .collect();
        volume += own - hypervolume(&kept, reference);
    }
    volume
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::trial::Params;

    #[test]
    fn ranks_volumes_and_fronts() {
        let points: Vec<Vec<f64>> =
            [[1.0, 4.0], [2.0, 2.0], [4.0, 1.0], [3.0, 3.0], [2.0, 2.5]].map(|p| p.to_vec()).to_vec();
        assert_eq!(ranks(&points), [0, 0, 0, 2, 1]);
        let front: Vec<&[f64]> = points[..3].iter().map(Vec::as_slice).collect();
        // 4x1 + 3x2 + 1x1 cells of the staircase below (5, 5).
        assert_eq!(hypervolume(&front, &[5.0, 5.0]), 4.0 * 1.0 + 3.0 * 2.0 + 1.0 * 1.0);
        let cube = [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]];
        assert_eq!(hypervolume(&cube.each_ref().map(|p| p.as_slice()), &[2.0; 3]), 4.0 + 4.0 - 2.0);
        // Of three on the front the one in the middle dominates most.
        assert_eq!(best_first(&points, 1)[0], 1);

        let trial = |number: usize, values: [f64; 2], violated: f64| Trial {
            state: TrialState::Finished,
            values: values.to_vec(),
            constraints: vec![violated],
            ..Trial::running(number, Params::new())
        };
        let trials = [
            trial(0, [0.0, 9.0], 1.0),
            trial(1, [1.0, 2.0], 0.0),
            trial(2, [2.0, 3.0], -1.0),
            trial(3, [0.5, 1.0], 0.0),
        ];
        let numbers = |directions: [Direction; 2]| -> Vec<usize> {
            super::front(&trials, &directions).iter().map(|trial| trial.number).collect()
        };
        assert_eq!(numbers([Direction::Minimize, Direction::Maximize]), [1, 2, 3]);
        assert_eq!(numbers([Direction::Maximize, Direction::Maximize]), [2]);
        assert_eq!(numbers([Direction::Minimize, Direction::Minimize]), [3]);
    }
}
