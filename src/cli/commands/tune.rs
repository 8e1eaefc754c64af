//! Choosing a batch size and a learning rate by short trials: `runner tune`, and `tune: true` before training.

use serde_json::json;

use super::run::{Run, Wanted, shown};
use super::train::INTERRUPTED;
use crate::cli::compose::Composed;
use crate::config::{Node, Value};
use crate::error::{Error, Result};
use crate::plan::Plan;
use crate::registry::{Build, Registry};
use crate::train::Status;
use crate::train::tune::{BatchSizeArgs, LrFindArgs, Rule, TunerArgs, plot};

/// Runs the command; gives the exit code.
pub fn tune(composed: &Composed, registry: &Registry) -> Result<i32> {
    let wanted = Wanted { command: "tune", splits: &[], trains: false, go_on: None, prepare: &mut |_, _| Ok(()) };
    let mut run = Run::start(composed, registry, wanted)?;
    let outcome = choose(&mut run, composed, registry);
    let interrupted = run.trainer.stop.is_interrupted();
    let (status, results, dir) = match run.finish(outcome) {
        Err(_) if interrupted => return Ok(INTERRUPTED),
        other => other?,
    };
    let chosen: Vec<String> = results.tuned.iter().map(|(place, value)| format!("{place}={value}")).collect();
    println!("{} in {:.1} s: {}", results.status, results.duration_s, shown(dir.path()));
    println!("use it: runner train {}", chosen.join(" "));
    Ok(if status == Status::Interrupted { INTERRUPTED } else { 0 })
}

/// With `tune: true`, chooses values and goes on with them. A run that goes on from a checkpoint has its values.
pub fn before_training(run: &mut Run, composed: &Composed, registry: &Registry) -> Result<()> {
    if !run.settings.tune {
        return Ok(());
    }
    let why = match (&run.settings.ckpt_path, run.trainer.args.is_fast_dev_run()) {
        (Some(_), _) => "the run goes on from a checkpoint",
        (None, true) => "trainer.fast_dev_run is on",
        (None, false) => {
            run.event("tune", json!({}));
            return choose(run, composed, registry).map(drop);
        }
    };
    tracing::info!("nothing is tuned: {why}");
    Ok(())
}

/// Looks for what `tuner` says, writes it into the run's config and makes network and data anew with it.
fn choose(run: &mut Run, composed: &Composed, registry: &Registry) -> Result<Status> {
    let config = composed.resolve(run.dir.path())?;
    let args = match Plan::check(&config, registry)?.plan.tuner {
        Some(slot) => Build::new(registry).build(&slot)?,
        None => TunerArgs { learning_rate: Some(LrFindArgs::default()), batch_size: None },
    };
    let places = [
        args.batch_size.as_ref().map(|size| (&size.batch_arg_name, "tuner.batch_size.batch_arg_name")),
        args.learning_rate.as_ref().map(|lr| (&lr.attr_name, "tuner.learning_rate.attr_name")),
    ];
    for (place, argument) in places.into_iter().flatten() {
        check_place(&config, place, argument)?;
    }
    // What a later run with this config does is what this one does after tuning.
    let mut values = vec![("tune".to_owned(), Value::Bool(false))];
    if run.settings.seed.is_none() {
        values.push(("seed".to_owned(), Value::Int(i64::from(run.seed))));
    }
    if let Some(args) = &args.batch_size {
        let size = batch_size(run, args)?;
        take(run, &mut values, &args.batch_arg_name, Value::Int(size as i64), json!(size));
        run.adopt(&composed.with(&values), registry)?;
    }
    if let Some(args) = &args.learning_rate {
        let rate = learning_rate(run, args)?;
        take(run, &mut values, &args.attr_name, Value::Float(rate), json!(rate));
    }
    run.adopt(&composed.with(&values), registry)?;
    Ok(Status::Finished)
}

fn take(run: &mut Run, values: &mut Vec<(String, Value)>, place: &str, value: Value, shown: serde_json::Value) {
    values.push((place.to_owned(), value.clone()));
    // Beside its place, so that a reader of the config sees that it was not typed.
    values.push((format!("tuned.{place}"), value));
    run.results.tuned.insert(place.to_owned(), shown);
}

/// The place of a chosen value is a number of the config.
fn check_place(config: &Node, place: &str, argument: &str) -> Result<()> {
    match config.select(place) {
        Some(node) if matches!(node.value, Value::Int(_) | Value::Float(_) | Value::Null) => Ok(()),
        Some(node) => Err(Error::request(format!("`{place}` is {}, not a number to tune", node.value.describe()))
            .help(format!("name the place of the number: {argument}=…"))),
        None => Err(Error::request(format!("the config has no `{place}` to tune"))
            .help(format!("name the place of the number: {argument}=…"))),
    }
}

fn batch_size(run: &mut Run, args: &BatchSizeArgs) -> Result<usize> {
    let (size, trials) = run.trainer.scale_batch_size(run.task.as_mut(), run.data.as_ref(), args)?;
    let lines: Vec<String> = trials.iter().map(|trial| format!("{},{}\n", trial.size, trial.fits)).collect();
    run.dir.write("batch_size.csv", &format!("batch_size,fits\n{}", lines.concat()))?;
    tracing::info!("batch size: {size}");
    Ok(size)
}

fn learning_rate(run: &mut Run, args: &LrFindArgs) -> Result<f64> {
    let curve = run.trainer.find_lr(run.task.as_mut(), run.data.as_ref(), args)?;
    curve.write_csv(&run.dir.path().join("lr_find.csv"))?;
    let chosen = curve.suggestion(args.suggestion);
    let mut rules: Vec<(Rule, f64)> = chosen.iter().map(|rate| (args.suggestion, *rate)).collect();
    let others = Rule::ALL.iter().filter(|rule| **rule != args.suggestion);
    rules.extend(others.filter_map(|rule| Some((*rule, curve.suggestion(*rule).ok()?))));
    run.dir.write("lr_find.svg", &plot(&curve, &rules))?;
    if curve.diverged {
        tracing::info!("the loss grew too much after {} of {} trials", curve.lrs.len(), curve.planned);
    }
    let chosen = chosen?;
    let others: Vec<String> = rules.iter().skip(1).map(|(rule, rate)| format!("{} {rate:.3e}", rule.name())).collect();
    tracing::info!("learning rate: {chosen:.3e} by the rule `{}` ({})", args.suggestion.name(), others.join(", "));
    Ok(chosen)
}
