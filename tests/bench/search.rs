//! How well samplers search: `search SAMPLER FUNCTION TRIALS SEEDS` runs one search a seed and prints, as JSON, the best
//! value of each and the milliseconds that the sampler took a trial. The functions are those of the peers'
//! `optuna_search.py`; `scripts/bench search` runs it beside Optuna.

use std::f64::consts::PI;
use std::time::Instant;

use runner::config::overrides;
use runner::error::{Error, Result};
use runner::sweep::samplers::{CmaEs, CmaEsOptions, Context, GaussianProcess, Sampler, Suggestion, Tpe, Uniform};
use runner::sweep::space::{Argument, SearchSpace};
use runner::sweep::{Direction, History, ParamValue, Params, Trial, TrialState};

/// A function to be minimized, and over what.
struct Function {
    name: &'static str,
    space: &'static [&'static str],
    value: fn(&[f64]) -> f64,
}

const ROSENBROCK: [&str; 5] = [
    "a=interval(-2.048,2.048)",
    "b=interval(-2.048,2.048)",
    "c=interval(-2.048,2.048)",
    "d=interval(-2.048,2.048)",
    "e=interval(-2.048,2.048)",
];

const FUNCTIONS: [Function; 4] = [
    Function { name: "branin", space: &["x=interval(-5.0,10.0)", "y=interval(0.0,15.0)"], value: branin },
    Function {
        name: "hartmann6",
        space: &[
            "a=interval(0.0,1.0)",
            "b=interval(0.0,1.0)",
            "c=interval(0.0,1.0)",
            "d=interval(0.0,1.0)",
            "e=interval(0.0,1.0)",
            "f=interval(0.0,1.0)",
        ],
        value: hartmann6,
    },
    Function { name: "rosenbrock5", space: &ROSENBROCK, value: rosenbrock },
    Function {
        name: "mixed5",
        space: &[
            "lr=tag(log,interval(1e-5,1e-1))",
            "dropout=interval(0.0,0.7)",
            "width=tag(log,int(interval(16,512)))",
            "act=choice(relu,gelu,silu,tanh)",
            "wd=tag(log,interval(1e-6,1e-2))",
        ],
        value: mixed,
    },
];

fn branin(p: &[f64]) -> f64 {
    let (x, y) = (p[0], p[1]);
    let (b, c, s) = (5.1 / (4.0 * PI * PI), 5.0 / PI, 1.0 / (8.0 * PI));
    (y - b * x * x + c * x - 6.0).powi(2) + 10.0 * (1.0 - s) * x.cos() + 10.0
}

fn hartmann6(p: &[f64]) -> f64 {
    const A: [[f64; 6]; 4] = [
        [10.0, 3.0, 17.0, 3.5, 1.7, 8.0],
        [0.05, 10.0, 17.0, 0.1, 8.0, 14.0],
        [3.0, 3.5, 1.7, 10.0, 17.0, 8.0],
        [17.0, 8.0, 0.05, 10.0, 0.1, 14.0],
    ];
    const P: [[f64; 6]; 4] = [
        [0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886],
        [0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991],
        [0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650],
        [0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381],
    ];
    let distance = |i: usize| (0..6).map(|j| A[i][j] * (p[j] - P[i][j]).powi(2)).sum::<f64>();
    -[1.0, 1.2, 3.0, 3.2].iter().enumerate().map(|(i, c)| c * (-distance(i)).exp()).sum::<f64>()
}

fn rosenbrock(p: &[f64]) -> f64 {
    p.windows(2).map(|w| 100.0 * (w[1] - w[0] * w[0]).powi(2) + (1.0 - w[0]).powi(2)).sum()
}

fn mixed(p: &[f64]) -> f64 {
    (p[0].log10() + 3.0).powi(2)
        + 10.0 * (p[1] - 0.2).powi(2)
        + (p[2].log2() - 7.0).powi(2) / 4.0
        + 0.5 * p[3]
        + (p[4].log10() + 4.0).powi(2) / 4.0
}

fn sampler(name: &str, space: &SearchSpace) -> Result<Box<dyn Sampler>> {
    Ok(match name {
        "random" => Box::new(Uniform),
        "tpe" => Box::new(Tpe::default()),
        "gp" => Box::new(GaussianProcess { n_startup_trials: 10, deterministic: false }),
        "cmaes" => {
            let options = CmaEsOptions {
                x0: None,
                sigma0: None,
                n_startup_trials: 1,
                popsize: None,
                inc_popsize: 1,
                separable: false,
                consider_pruned_trials: false,
            };
            Box::new(CmaEs::new(space, options)?)
        }
        _ => return Err(Error::request(format!("no sampler `{name}`")).help("random, tpe, gp or cmaes")),
    })
}

fn number(value: &ParamValue) -> f64 {
    match value {
        ParamValue::Choice(place) => *place as f64,
        ParamValue::Int(value) => *value as f64,
        ParamValue::Float(value) => *value,
    }
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let usage = || Error::request("search SAMPLER FUNCTION TRIALS SEEDS: search tpe branin 100 20");
    let [name, function, trials, seeds] = arguments.as_slice() else { return Err(usage()) };
    let (trials, seeds): (usize, u64) = (trials.parse().map_err(|_| usage())?, seeds.parse().map_err(|_| usage())?);
    let function = FUNCTIONS.iter().find(|known| known.name == function).ok_or_else(usage)?;
    let ranges: Result<Vec<Argument>> = function
        .space
        .iter()
        .map(|text| {
            let parsed = overrides::parse(text, 1).map_err(|problem| Error::failed(problem.to_string()))?;
            Ok(Argument { parsed, line: None })
        })
        .collect();
    let space = SearchSpace::read(&ranges?, &|_| Vec::new(), 0, false)
        .map_err(|problems| Error::failed(problems.to_string()))?;
    let (mut best, mut times) = (Vec::new(), Vec::new());
    for seed in 0..seeds {
        let mut sampler = sampler(name, &space)?;
        let mut history: Vec<Trial> = Vec::new();
        let start = Instant::now();
        for number in 0..trials {
            let params = propose(sampler.as_mut(), &space, &history, seed)?;
            let point: Vec<f64> = space.parameters.keys().map(|key| self::number(&params[key])).collect();
            let values = vec![(function.value)(&point)];
            history.push(Trial { state: TrialState::Finished, values, ..Trial::running(number, params) });
        }
        times.push(start.elapsed().as_secs_f64() * 1e3 / trials as f64);
        best.push(history.iter().map(|trial| trial.values[0]).fold(f64::INFINITY, f64::min));
    }
    println!("{}", serde_json::json!({ "best": best, "ms_per_trial": times }));
    Ok(())
}

fn propose(sampler: &mut dyn Sampler, space: &SearchSpace, trials: &[Trial], seed: u64) -> Result<Params> {
    let directions = [Direction::Minimize];
    let history = History::new(trials, trials.len());
    let context = Context { space, history, number: trials.len(), attempt: 0, seed, directions: &directions };
    match sampler.suggest(&context)? {
        Suggestion::Params(params) => Ok(params),
        Suggestion::Done(_) => Err(Error::failed("the sampler has nothing more to propose")),
    }
}
