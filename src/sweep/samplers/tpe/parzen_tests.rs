use super::*;
use crate::config::Value;
use crate::sweep::space::Choice;

fn domains() -> Vec<(Domain, [f64; 3], [f64; 2])> {
    let choice = |text: &str| Choice { text: text.into(), value: Value::Str(text.into()) };
    let float = |low, high, log, step| Domain::Float { low, high, log, step };
    let int = |low, high, log, step| Domain::Int { low, high, log, step };
    vec![
        (float(0.0, 1.0, false, None), [0.1, 0.9, 0.5], [0.3, 0.95]),
        (float(1e-5, 1e-1, true, None), [1e-3, 2e-5, 5e-2], [1e-4, 0.1]),
        (float(0.0, 1.0, false, Some(0.25)), [0.0, 0.25, 0.75], [0.5, 1.0]),
        (int(1, 9, false, 2), [1.0, 9.0, 5.0], [3.0, 9.0]),
        (int(16, 512, true, 1), [16.0, 100.0, 512.0], [64.0, 511.0]),
        (Domain::Choice { values: ["a", "b", "c"].map(choice).to_vec(), ordered: false }, [0.0, 2.0, 2.0], [1.0, 2.0]),
    ]
}

/// Computed with Optuna 5.0's `_ParzenEstimator.log_pdf`: all six parameters together, then one by one.
#[test]
fn densities_are_optuna_s() {
    let cases: [(usize, Shape, [[f64; 2]; 7]); 3] = [
        (
            3,
            Shape { prior_weight: 1.0, magic_clip: true, endpoints: false },
            [
                [-12.561756072328128, -13.817382662871358],
                [0.04640937312284521, -0.13975273179047343],
                [-2.2005390646781096, -2.39495869549294],
                [-1.645023866879834, -2.0401431389829834],
                [-1.56657911472113, -1.7016481496451488],
                [-5.376490916363437, -7.558673615527091],
                [-1.6582280766035324, -0.7419373447293772],
            ],
        ),
        (
            3,
            Shape { prior_weight: 0.5, magic_clip: false, endpoints: true },
            [
                [-12.999140283162198, -13.635713655828159],
                [0.049990227664090225, -0.15164089988945795],
                [-2.199110156162001, -2.4086001171549816],
                [-1.656196683390458, -2.1107802145353993],
                [-1.5632693884264568, -1.709270450114103],
                [-5.376748378515168, -7.556742633053407],
                [-2.07512188053532, -0.6141039732194924],
            ],
        ),
        (
            0,
            Shape { prior_weight: 1.0, magic_clip: true, endpoints: false },
            [
                [-11.823108787767396, -14.335248150851587],
                [0.02097780049094955, -0.060272199509050495],
                [-2.2105990058768965, -2.3043490058768965],
                [-1.570125667851616, -1.6498593707377667],
                [-1.590059090916968, -1.6498593707377667],
                [-5.3746905349447545, -7.572295915321996],
                [-1.0986122886681098, -1.0986122886681098],
            ],
        ),
    ];
    let domains = domains();
    for (n, shape, want) in cases {
        let groups: Vec<Vec<usize>> = [(0..6).collect()].into_iter().chain((0..6).map(|i| vec![i])).collect();
        for (group, want) in groups.iter().zip(want) {
            let chosen: Vec<&Domain> = group.iter().map(|i| &domains[*i].0).collect();
            let rows: Vec<Vec<f64>> = (0..n).map(|row| group.iter().map(|i| domains[*i].1[row]).collect()).collect();
            let parzen = Parzen::new(&rows, weights_by_age(n), &chosen, shape);
            for (point, want) in want.into_iter().enumerate() {
                let at: Vec<f64> = group.iter().map(|i| domains[*i].2[point]).collect();
                let found = parzen.log_density(&at);
                assert!((found - want).abs() < 1e-6, "{n} {shape:?} {group:?}: {found} {want}");
            }
        }
    }
}

#[test]
fn old_observations_count_less() {
    let weights = weights_by_age(28);
    assert_eq!(weights[..4], [0.03571428571428571, 0.5178571428571429, 1.0, 1.0]);
    assert_eq!(weights_by_age(24), vec![1.0; 24]);
    assert_eq!(weights_by_age(26)[0], 1.0 / 26.0);
}

#[test]
fn samples_follow_the_density() {
    let domains = domains();
    let chosen: Vec<&Domain> = domains.iter().map(|d| &d.0).collect();
    let rows: Vec<Vec<f64>> = (0..3).map(|row| domains.iter().map(|d| d.1[row]).collect()).collect();
    let shape = Shape { prior_weight: 1.0, magic_clip: true, endpoints: false };
    let parzen = Parzen::new(&rows, weights_by_age(3), &chosen, shape);
    let mut random = Random::new(3, &[]);
    let samples: Vec<Vec<f64>> = (0..4000).map(|_| parzen.sample(&mut random)).collect();
    // The share of samples at the last choice, and at the middle of the steps, is the probability.
    for (i, value) in [(5, 2.0), (2, 0.5), (3, 3.0)] {
        let alone: Vec<Vec<f64>> = rows.iter().map(|row| vec![row[i]]).collect();
        let want = Parzen::new(&alone, weights_by_age(3), &chosen[i..=i], shape).log_density(&[value]).exp();
        let share = samples.iter().filter(|sample| sample[i] == value).count() as f64 / 4000.0;
        assert!((share - want).abs() < 0.03, "{i}: {share} {want}");
    }
    assert!(samples.iter().all(|s| (1e-5..=1e-1).contains(&s[1]) && s[4].fract() == 0.0));
}
