//! Times compositions: `compose FOLDER NAME COUNT [OVERRIDE…]` prints the milliseconds of each as a JSON list. Every one
//! reads and parses all files again, as Hydra's does. `scripts/bench compose` runs it beside Hydra.

use std::time::Instant;

use runner::config::{Composer, Facts, Place, Problem, Problems, Sources, json, overrides};

fn main() -> Result<(), Problems> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, name, count, overrides @ ..] = arguments.as_slice() else {
        return Err(Problem::new("give a folder, the name of a config, and how many times to compose it").into());
    };
    let count: usize = count.parse().map_err(|_| Problem::new("the number of times is a whole number"))?;
    let mut times = Vec::new();
    for _ in 0..count {
        let start = Instant::now();
        let parsed = overrides::parse_all(overrides)?;
        let places = [Place::folder("main", folder), Place::shipped()];
        let composer = Composer::new(Sources::new(places), Facts::default());
        let config = composer.compose(Some(name), &parsed)?;
        std::hint::black_box(json::compact(&config.job));
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    println!("{times:?}");
    Ok(())
}
