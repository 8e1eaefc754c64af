//! One-to-one assignments of largest total weight.

/// For each row the column that it is assigned to, so that the sum of the weights (0 or above) is largest; pairs of
/// weight 0 are not made.
///
/// Rows and columns that no positive weight connects are solved apart: boxes of one image mostly lie apart.
pub(super) fn assign(weights: &[Vec<f64>], columns: usize) -> Vec<Option<usize>> {
    let mut assigned = vec![None; weights.len()];
    for (rows, cols) in islands(weights, columns) {
        // The solver wants no more rows than columns.
        let turned = rows.len() > cols.len();
        let (short, long) = if turned { (&cols, &rows) } else { (&rows, &cols) };
        let cost = |i: usize, j: usize| -if turned { weights[long[j]][short[i]] } else { weights[short[i]][long[j]] };
        for (i, j) in solve(short.len(), long.len(), cost).into_iter().enumerate() {
            let (row, col) = if turned { (long[j], short[i]) } else { (short[i], long[j]) };
            if weights[row][col] > 0.0 {
                assigned[row] = Some(col);
            }
        }
    }
    assigned
}

/// The connected parts of the graph of positive weights, as rows and columns.
fn islands(weights: &[Vec<f64>], columns: usize) -> Vec<(Vec<usize>, Vec<usize>)> {
    let mut seen_rows = vec![false; weights.len()];
    let mut seen_columns = vec![false; columns];
    let mut islands = Vec::new();
    for start in 0..weights.len() {
        if seen_rows[start] {
            continue;
        }
        seen_rows[start] = true;
        let (mut rows, mut cols, mut open) = (Vec::new(), Vec::new(), vec![start]);
        while let Some(row) = open.pop() {
            rows.push(row);
            for col in (0..columns).filter(|col| weights[row][*col] > 0.0) {
                if !std::mem::replace(&mut seen_columns[col], true) {
                    cols.push(col);
                    for next in (0..weights.len()).filter(|next| weights[*next][col] > 0.0) {
                        if !std::mem::replace(&mut seen_rows[next], true) {
                            open.push(next);
                        }
                    }
                }
            }
        }
        if !cols.is_empty() {
            rows.sort_unstable();
            cols.sort_unstable();
            islands.push((rows, cols));
        }
    }
    islands
}

/// The column of each of `n` rows in the cheapest assignment to `m >= n` columns: shortest augmenting paths with
/// potentials (Kuhn, 1955; Jonker and Volgenant, 1987).
fn solve(n: usize, m: usize, cost: impl Fn(usize, usize) -> f64) -> Vec<usize> {
    // Column 0 is where each path starts; rows and columns are counted from 1.
    let (mut row_price, mut column_price) = (vec![0.0; n + 1], vec![0.0; m + 1]);
    let mut owner = vec![0usize; m + 1];
    for row in 1..=n {
        owner[0] = row;
        let (mut distance, mut from, mut done) = (vec![f64::INFINITY; m + 1], vec![0usize; m + 1], vec![false; m + 1]);
        let mut column = 0;
        while owner[column] != 0 {
            done[column] = true;
            let (mut step, mut next) = (f64::INFINITY, 0);
            for j in 1..=m {
                if done[j] {
                    continue;
                }
                let reduced = cost(owner[column] - 1, j - 1) - row_price[owner[column]] - column_price[j];
                if reduced < distance[j] {
                    (distance[j], from[j]) = (reduced, column);
                }
                if distance[j] < step {
                    (step, next) = (distance[j], j);
                }
            }
            for j in 0..=m {
                if done[j] {
                    row_price[owner[j]] += step;
                    column_price[j] -= step;
                } else {
                    distance[j] -= step;
                }
            }
            column = next;
        }
        while column != 0 {
            owner[column] = owner[from[column]];
            column = from[column];
        }
    }
    let mut columns = vec![0; n];
    for (j, row) in owner.iter().enumerate().skip(1).filter(|(_, row)| **row != 0) {
        columns[row - 1] = j - 1;
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The largest total over all ways to leave rows out or give them free columns.
    fn best(weights: &[Vec<f64>], taken: &mut Vec<bool>) -> f64 {
        let Some((first, rest)) = weights.split_first() else { return 0.0 };
        let mut most = best(rest, taken);
        for col in 0..first.len() {
            if !taken[col] {
                taken[col] = true;
                most = most.max(first[col] + best(rest, taken));
                taken[col] = false;
            }
        }
        most
    }

    proptest! {
        #[test]
        fn is_the_best_of_all(rows in 0usize..6, columns in 1usize..6, seed in proptest::collection::vec(0u8..9, 36)) {
            // Small whole numbers make ties, 0 makes islands.
            let weights: Vec<Vec<f64>> = (0..rows)
                .map(|r| (0..columns).map(|c| f64::from(seed[r * 6 + c].saturating_sub(4))).collect())
                .collect();
            let assigned = assign(&weights, columns);
            let mut taken = vec![false; columns];
            let mut total = 0.0;
            for (row, col) in assigned.iter().enumerate() {
                if let Some(col) = col {
                    prop_assert!(!std::mem::replace(&mut taken[*col], true));
                    total += weights[row][*col];
                }
            }
            prop_assert_eq!(total, best(&weights, &mut vec![false; columns]));
        }
    }
}
