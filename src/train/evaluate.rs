//! Validation, test and prediction: passes without gradient.

use super::task::Rows;
use super::trainer::Trainer;
use super::{Task, limited};
use crate::data::{DataModule, Loader, Split};
use crate::error::{Error, Result};
use crate::tensor::guard;

impl Trainer {
    /// A pass over a split; gives its metrics.
    ///
    /// # Errors
    /// When the data has no such split, or a step fails.
    pub fn evaluate(&mut self, task: &mut dyn Task, data: &dyn DataModule, split: Split) -> Result<Vec<(String, f64)>> {
        let (loader, batches) = self.loader(data, split)?;
        self.evaluate_loader(task, &loader, batches, split)
    }

    fn loader(&self, data: &dyn DataModule, split: Split) -> Result<(Loader, usize)> {
        let loader =
            data.loader(split)?.ok_or_else(|| Error::request(format!("the data has no {} split", split.name())))?;
        let batches = self.limited(&loader, split)?;
        Ok((loader, batches))
    }

    /// How many batches of a split's loader are used.
    pub(super) fn limited(&self, loader: &Loader, split: Split) -> Result<usize> {
        let (limit, name) = self.args.limit(split);
        limited(loader.batches(), limit, name)
    }

    pub(super) fn evaluate_loader(
        &mut self,
        task: &mut dyn Task,
        loader: &Loader,
        batches: usize,
        split: Split,
    ) -> Result<Vec<(String, f64)>> {
        self.log.clear();
        task.on_epoch_start(split);
        self.batches = batches;
        self.hook(task, |callback, cx| callback.on_eval_start(split, cx))?;
        for (index, batch) in loader.epoch(0, 0).take(batches).enumerate() {
            if self.stop.is_interrupted() {
                return Ok(Vec::new());
            }
            self.batch = index;
            let batch = batch?.to_device(self.device)?;
            self.log.set_batch_size(batch.len());
            let log = &mut self.log;
            tch::no_grad(|| guard(|| task.eval_step(split, &batch, log)))
                .map_err(|error| error.context(format!("{} batch {index}", split.name())))?;
            self.hook(task, |callback, cx| callback.on_eval_batch_end(split, cx))?;
        }
        guard(|| task.on_epoch_end(split, &mut self.log))?;
        let values = self.log.epoch_values();
        if !self.sanity_checking {
            self.metrics.extend(self.log.callback_values());
            self.send(&values)?;
        }
        self.hook(task, |callback, cx| callback.on_eval_end(split, cx))?;
        Ok(values)
    }

    /// Predicts a split, handing the rows of each batch to `sink` as they come. Nothing is kept in memory.
    pub fn predict(
        &mut self,
        task: &mut dyn Task,
        data: &dyn DataModule,
        split: Split,
        mut sink: impl FnMut(&[String], Rows) -> Result<()>,
    ) -> Result<usize> {
        let (mut loader, _) = self.loader(data, split)?;
        // Every sample once, in order, also of the training split.
        (loader.shuffle, loader.drop_last, loader.sampler) = (false, false, None);
        loader.batch_transforms.clear();
        let batches = self.limited(&loader, split)?;
        self.batches = batches;
        self.hook(task, |callback, cx| callback.on_eval_start(Split::Predict, cx))?;
        let mut samples = 0;
        for (index, batch) in loader.epoch(0, 0).take(batches).enumerate() {
            if self.stop.is_interrupted() {
                return Err(Error::failed(format!("interrupted after {samples} predictions")));
            }
            self.batch = index;
            let batch = batch?.to_device(self.device)?;
            let ids: Vec<String> = batch.indices.iter().map(|&i| loader.dataset.id(i)).collect();
            let rows = tch::no_grad(|| guard(|| task.predict_step(&batch)))
                .map_err(|error| error.context(format!("predict batch {index}")))?;
            samples += rows.rows.len();
            sink(&ids, rows)?;
            self.hook(task, |callback, cx| callback.on_eval_batch_end(Split::Predict, cx))?;
        }
        self.hook(task, |callback, cx| callback.on_eval_end(Split::Predict, cx))?;
        Ok(samples)
    }
}
