//! The little linear algebra that samplers need: dense symmetric matrices of a few hundred rows, row by row.

/// A lower triangular matrix `L`, row by row, of a symmetric positive definite one: `A = L Lᵀ`.
#[derive(Clone, Debug)]
pub struct Cholesky {
    n: usize,
    rows: Vec<f64>,
}

impl Cholesky {
    /// Factors `a` (`n` by `n`, its lower half is read); `None` when it is not positive definite.
    pub fn of(mut a: Vec<f64>, n: usize) -> Option<Self> {
        for i in 0..n {
            let (above, row) = a.split_at_mut(i * n);
            for j in 0..i {
                let other = &above[j * n..j * n + j + 1];
                let sum = row[j] - dot(&row[..j], &other[..j]);
                row[j] = sum / other[j];
            }
            let rest = row[i] - dot(&row[..i], &row[..i]);
            if rest.is_nan() || rest <= 0.0 {
                return None;
            }
            row[i] = rest.sqrt();
        }
        Some(Cholesky { n, rows: a })
    }

    fn row(&self, i: usize) -> &[f64] {
        &self.rows[i * self.n..i * self.n + i + 1]
    }

    /// Solves `L x = b`.
    pub fn forward(&self, b: &[f64]) -> Vec<f64> {
        let mut x: Vec<f64> = Vec::with_capacity(self.n);
        for (i, b) in b.iter().enumerate() {
            let row = self.row(i);
            x.push((b - dot(&row[..i], &x)) / row[i]);
        }
        x
    }

    /// Solves `Lᵀ x = b`.
    pub fn backward(&self, mut b: Vec<f64>) -> Vec<f64> {
        for i in (0..self.n).rev() {
            let row = self.row(i);
            b[i] /= row[i];
            let value = b[i];
            b[..i].iter_mut().zip(row).for_each(|(b, l)| *b -= l * value);
        }
        b
    }

    /// Solves `A x = b`.
    pub fn solve(&self, b: &[f64]) -> Vec<f64> {
        self.backward(self.forward(b))
    }

    /// The inverse of `A`, row by row.
    pub fn inverse(&self) -> Vec<f64> {
        let n = self.n;
        // The inverse of L by columns, kept as rows of its transpose; A⁻¹ = L⁻ᵀ L⁻¹.
        let mut inverse = vec![0.0; n * n];
        for j in 0..n {
            let column = &mut inverse[j * n..(j + 1) * n];
            for i in j..n {
                let row = self.row(i);
                let start = if i == j { 1.0 } else { 0.0 };
                column[i] = (start - dot(&row[j..i], &column[j..i])) / row[i];
            }
        }
        let mut product = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..=i {
                let value = dot(&inverse[i * n + i..(i + 1) * n], &inverse[j * n + i..(j + 1) * n]);
                product[i * n + j] = value;
                product[j * n + i] = value;
            }
        }
        product
    }

    /// Half the logarithm of the determinant of `A`.
    pub fn half_log_determinant(&self) -> f64 {
        (0..self.n).map(|i| self.row(i)[i].ln()).sum()
    }
}

/// The inner product.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    // Four sums side by side: the compiler makes vectors of them.
    let mut sums = [0.0; 4];
    let whole = a.len().min(b.len()) / 4 * 4;
    for (a, b) in a[..whole].chunks_exact(4).zip(b[..whole].chunks_exact(4)) {
        for k in 0..4 {
            sums[k] += a[k] * b[k];
        }
    }
    let rest: f64 = a[whole..].iter().zip(&b[whole..]).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}

/// The eigenvalues of a symmetric matrix and their vectors, `vectors[k]` to `values[k]`: cyclic Jacobi rotations
/// (Golub and Van Loan, *Matrix Computations*, 8.5).
pub fn eigen(mut a: Vec<Vec<f64>>) -> (Vec<f64>, Vec<Vec<f64>>) {
    const SWEEPS: usize = 60;
    let n = a.len();
    let mut vectors: Vec<Vec<f64>> = (0..n).map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    for _ in 0..SWEEPS {
        let off: f64 = (0..n).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| a[i][j] * a[i][j]).sum();
        let diagonal: f64 = (0..n).map(|i| a[i][i] * a[i][i]).sum();
        if off <= 1e-30 * diagonal {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                if a[p][q] != 0.0 {
                    rotate(&mut a, &mut vectors, p, q);
                }
            }
        }
    }
    ((0..n).map(|i| a[i][i]).collect(), vectors)
}

/// Makes `a[p][q]` zero.
fn rotate(a: &mut [Vec<f64>], vectors: &mut [Vec<f64>], p: usize, q: usize) {
    let theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
    let t = theta.signum() / (theta.abs() + theta.hypot(1.0));
    let t = if theta == 0.0 { 1.0 } else { t };
    let c = 1.0 / t.hypot(1.0);
    let s = t * c;
    for row in a.iter_mut() {
        let (x, y) = (row[p], row[q]);
        (row[p], row[q]) = (c * x - s * y, s * x + c * y);
    }
    let (first, second) = a.split_at_mut(q);
    for (x, y) in first[p].iter_mut().zip(second[0].iter_mut()) {
        (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
    }
    let (first, second) = vectors.split_at_mut(q);
    for (x, y) in first[p].iter_mut().zip(second[0].iter_mut()) {
        (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_solves_inverts_and_finds_eigenvectors() {
        let a = vec![4.0, 1.0, 0.5, 1.0, 3.0, -0.2, 0.5, -0.2, 2.0];
        let factor = Cholesky::of(a.clone(), 3).unwrap();
        let x = factor.solve(&[1.0, 2.0, 3.0]);
        for (i, b) in [1.0, 2.0, 3.0].iter().enumerate() {
            assert!((dot(&a[3 * i..3 * i + 3], &x) - b).abs() < 1e-12);
        }
        let inverse = factor.inverse();
        let (values, vectors) = eigen(a.chunks(3).map(<[f64]>::to_vec).collect());
        for i in 0..3 {
            for j in 0..3 {
                let one: f64 = (0..3).map(|k| a[3 * i + k] * inverse[3 * k + j]).sum();
                assert!((one - f64::from(u8::from(i == j))).abs() < 1e-12, "{i} {j} {one}");
                let again: f64 = (0..3).map(|k| vectors[k][i] * values[k] * vectors[k][j]).sum();
                assert!((again - a[3 * i + j]).abs() < 1e-12, "{i} {j} {again}");
            }
        }
        let product: f64 = values.iter().product();
        assert!((factor.half_log_determinant() - 0.5 * product.ln()).abs() < 1e-12);
        assert!(Cholesky::of(vec![1.0, 2.0, 2.0, 1.0], 2).is_none());
    }
}
