//! Numbers without a meaning: to try a network without data, and to measure what training itself costs.

use std::num::NonZeroUsize;
use std::sync::Arc;

use tch::{Device, Kind, Tensor};

use crate::data::{Batch, DataContext, DataFacts, DataModule, DataModuleKind, Dataset, Field, Loader, Sample};
use crate::data::{SampleKey, Split};
use crate::native::elements;
use crate::native::generator::Generator;
use crate::prelude::*;

/// Inputs drawn from a normal distribution and classes drawn evenly, all in memory.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomArgs {
    /// The shape of one input: `[3, 32, 32]`.
    shape: Vec<NonZeroUsize>,
    /// How many classes.
    #[serde(default = "ten")]
    num_classes: NonZeroUsize,
    /// Samples to train on, to validate with, and to test with; 0 leaves a split out.
    #[serde(default = "sizes")]
    sizes: [usize; 3],
    /// Samples in a batch.
    #[serde(default = "batch_size")]
    batch_size: NonZeroUsize,
    /// Whether to leave out a last batch that is not full.
    #[serde(default)]
    drop_last: bool,
    /// The seed of the numbers, apart from the run's.
    #[serde(default)]
    data_seed: u64,
}

fn ten() -> NonZeroUsize {
    NonZeroUsize::MIN.saturating_add(9)
}

fn batch_size() -> NonZeroUsize {
    NonZeroUsize::MIN.saturating_add(31)
}

fn sizes() -> [usize; 3] {
    [8192, 1024, 1024]
}

impl Component for RandomArgs {
    type Kind = DataModuleKind;
    const TARGETS: &'static [&'static str] = &["runner.data.Random"];

    fn build(self, _: &mut Build) -> Result<Box<dyn DataModule>> {
        Ok(Box::new(Random { args: self, seed: 0, sets: Vec::new() }))
    }
}

struct Random {
    args: RandomArgs,
    seed: u64,
    sets: Vec<Arc<Samples>>,
}

struct Samples {
    inputs: Vec<f32>,
    targets: Vec<i64>,
    shape: Vec<i64>,
}

impl Random {
    fn shape(&self) -> Vec<i64> {
        self.args.shape.iter().map(|side| side.get() as i64).collect()
    }
}

impl DataModule for Random {
    fn setup(&mut self, cx: &DataContext) -> Result<()> {
        self.seed = cx.seed;
        let mut generator = Generator::new(Device::Cpu, self.args.data_seed)?;
        for samples in self.args.sizes {
            let shape: Vec<i64> = std::iter::once(samples as i64).chain(self.shape()).collect();
            let inputs = Tensor::f_empty(&shape, (Kind::Float, Device::Cpu))?;
            let targets = Tensor::f_empty([samples as i64], (Kind::Int64, Device::Cpu))?;
            generator.fill_normal(&inputs, 0.0, 1.0)?;
            generator.fill_integers(&targets, 0, self.args.num_classes.get() as i64)?;
            let set = Samples {
                inputs: elements::to_vec(&inputs)?,
                targets: elements::to_vec(&targets)?,
                shape: self.shape(),
            };
            self.sets.push(Arc::new(set));
        }
        Ok(())
    }

    fn loader(&self, split: Split) -> Result<Option<Loader>> {
        let set = match split {
            Split::Train => self.sets.first(),
            Split::Val => self.sets.get(1),
            Split::Test | Split::Predict => self.sets.get(2),
        };
        Ok(set.filter(|set| !set.is_empty()).map(|set| {
            let mut loader = Loader::new(set.clone(), self.args.batch_size.get(), self.seed);
            loader.shuffle = split == Split::Train;
            loader.drop_last = self.args.drop_last && split == Split::Train;
            loader
        }))
    }

    fn facts(&self) -> DataFacts {
        let classes = (0..self.args.num_classes.get()).map(|class| class.to_string()).collect();
        DataFacts { classes, input_shape: Some(self.shape()), ..DataFacts::default() }
    }
}

impl Samples {
    fn row(&self, key: &SampleKey) -> &[f32] {
        let size = self.shape.iter().product::<i64>() as usize;
        &self.inputs[key.index as usize * size..][..size]
    }
}

impl Dataset for Samples {
    fn len(&self) -> usize {
        self.targets.len()
    }

    fn sample(&self, key: SampleKey) -> Result<Sample> {
        let input = elements::from_vec(self.row(&key).to_vec(), &self.shape)?;
        Ok(Sample::pair(input, Tensor::from(self.targets[key.index as usize])))
    }

    fn batch(&self, keys: &[SampleKey]) -> Result<Batch> {
        let shape: Vec<i64> = std::iter::once(keys.len() as i64).chain(self.shape.iter().copied()).collect();
        let inputs = keys.iter().flat_map(|key| self.row(key)).copied().collect();
        let targets = keys.iter().map(|key| self.targets[key.index as usize]).collect();
        let mut batch = Batch { indices: keys.iter().map(|key| key.index as usize).collect(), ..Batch::default() };
        batch.fields.insert("input".into(), Field::Tensor(elements::from_vec(inputs, &shape)?));
        batch.fields.insert("target".into(), Field::Tensor(elements::from_vec(targets, &[keys.len() as i64])?));
        Ok(batch)
    }

    fn in_memory(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_samples() {
        let made = |data_seed: u64| {
            let args = format!(r#"{{"shape": [2, 3], "sizes": [5, 2, 0], "batch_size": 4, "data_seed": {data_seed}}}"#);
            let args: RandomArgs = serde_json::from_str(&args).unwrap();
            let mut data = Random { args, seed: 0, sets: Vec::new() };
            data.setup(&DataContext { seed: 1, run_dir: None }).unwrap();
            assert!(data.loader(Split::Test).unwrap().is_none());
            let batches: Vec<Batch> =
                data.loader(Split::Val).unwrap().unwrap().epoch(0, 0).map(Result::unwrap).collect();
            assert_eq!(batches[0].input().unwrap().size(), [2, 2, 3]);
            let sample = data.sets[1].sample(SampleKey { seed: 0, epoch: 0, index: 1 }).unwrap();
            assert!(batches[0].input().unwrap().get(1).equal(&sample.fields["input"]));
            elements::to_vec::<f32>(batches[0].input().unwrap()).unwrap()
        };
        assert_eq!(made(3), made(3));
        assert_ne!(made(3), made(4));
    }
}
